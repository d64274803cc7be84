"""CLIP in every layout, against open_clip's and transformers' own networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import StrictLoadError, identify, load
from glidewire.models.clip.checkpoint import FAMILY, build, key_map
from glidewire.models.clip.network import DEVIATION, MEAN, Clip, ClipImage, fitted
from glidewire.models.clip.spec import PUBLISHED, ClipImageSpec, ClipSpec
from glidewire.models.clip_text.spec import ClipTextSpec
from glidewire.models.key_map import Merge, published_shapes
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import save_file

HEADS = {"image_heads": 3, "text_heads": 2}


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in model.parameters():
            value.copy_((value.ndim == 1) + 0.3 * torch.randn(value.shape, generator=generator))
    return model.eval()


def open_clip_model(quick_gelu: bool) -> CLIP:
    vision = CLIPVisionCfg(layers=2, width=24, head_width=8, mlp_ratio=2.5, patch_size=4, image_size=8)
    text = CLIPTextCfg(context_length=7, vocab_size=30, width=16, heads=2, layers=2)
    return randomised(CLIP(12, vision, text, quick_gelu=quick_gelu))  # pyrefly: ignore


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture(scope="module")
def tokens() -> torch.Tensor:
    return torch.tensor([[28, 3, 4, 29, 0, 0, 0], [28, 7, 8, 9, 10, 11, 29]])


def normalised(picture: torch.Tensor) -> torch.Tensor:
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    return ((picture + 1) / 2 - mean) / deviation


@pytest.mark.parametrize("openai", [True, False])
@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_open_clip_layout(openai: bool, prefix: str, picture, tokens, tmp_path: Path) -> None:
    reference = open_clip_model(quick_gelu=openai)
    tensors = {prefix + key: value for key, value in reference.state_dict().items()}
    if openai:
        counters = {"input_resolution": 8, "context_length": 7, "vocab_size": 30}
        tensors |= {prefix + key: torch.tensor(value) for key, value in counters.items()}
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "m.pt")
    identity = identify(tmp_path / "m.pt", stated=HEADS)
    assert (identity.family, identity.component, identity.layout) == ("clip", "clip", "published")
    assert identity.assumed == (() if openai else ("quick_gelu",))
    model = load(tmp_path / "m.pt", stated=HEADS)
    assert isinstance(model, Clip)
    with torch.no_grad():
        image, text, scale = reference(normalised(picture), tokens)
        torch.testing.assert_close(F.normalize(model.encode_image(picture), dim=-1), image, rtol=0, atol=2e-6)
        torch.testing.assert_close(F.normalize(model.encode_text(tokens)[1], dim=-1), text, rtol=0, atol=2e-6)
        torch.testing.assert_close(model(picture, tokens), scale * image @ text.T, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def transformers_model():
    from transformers import CLIPConfig, CLIPModel

    shared = {"intermediate_size": 60, "num_hidden_layers": 2, "hidden_act": "gelu", "projection_dim": 12}
    vision = {**shared, "hidden_size": 24, "num_attention_heads": 3, "image_size": 8, "patch_size": 4}
    text = {**shared, "hidden_size": 16, "num_attention_heads": 2, "vocab_size": 30, "max_position_embeddings": 7}
    text |= {"bos_token_id": 28, "eos_token_id": 29, "pad_token_id": 0}
    return randomised(CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)))


def test_transformers_folder(transformers_model, picture, tokens, tmp_path: Path) -> None:
    transformers_model.save_pretrained(tmp_path / "m")
    identity = identify(tmp_path / "m")
    assert (identity.layout, identity.assumed, identity.spec.image.quick_gelu) == ("transformers", (), False)
    assert identity.dims["image_size"] == 8 and identity.dims["text_context"] == 7
    model = load(tmp_path / "m")
    assert isinstance(model, Clip)
    with torch.no_grad():
        expected = transformers_model(input_ids=tokens, pixel_values=normalised(picture), output_hidden_states=True)
        image, (states, text) = model.encode_image(picture), model.encode_text(tokens)
        torch.testing.assert_close(F.normalize(image, dim=-1), expected.image_embeds, rtol=0, atol=2e-6)
        torch.testing.assert_close(F.normalize(text, dim=-1), expected.text_embeds, rtol=0, atol=2e-6)
        torch.testing.assert_close(states, expected.text_model_output.last_hidden_state, rtol=0, atol=1e-5)
        hidden = expected.vision_model_output.hidden_states
        for left_out in (0, 1, 2):
            ours = model.image.states(picture, left_out)
            torch.testing.assert_close(ours, hidden[-1 - left_out], rtol=0, atol=1e-5)


def test_single_file_of_transformers_with_the_old_buffers(transformers_model, picture, tmp_path: Path) -> None:
    tensors = {key: value.contiguous() for key, value in transformers_model.state_dict().items()}
    tensors |= {f"{tower}_model.embeddings.position_ids": torch.arange(5) for tower in ("text", "vision")}
    save_file(tensors, tmp_path / "m")
    # Without a configuration OpenAI's activation is assumed, and said to be.
    identity = identify(tmp_path / "m", stated=HEADS)
    assert identity.assumed == ("quick_gelu",) and identity.spec.image.quick_gelu
    model = load(tmp_path / "m", stated={**HEADS, "quick_gelu": False})
    reference = transformers_model.vision_model(normalised(picture)).pooler_output
    expected = transformers_model.visual_projection(reference)
    torch.testing.assert_close(model.encode_image(picture), expected, rtol=0, atol=2e-5)


def test_the_image_tower_alone(transformers_model, picture, tmp_path: Path) -> None:
    tensors = {k: v.contiguous() for k, v in transformers_model.state_dict().items() if k.startswith("vis")}
    save_file(tensors, tmp_path / "one")
    reference = open_clip_model(quick_gelu=False)
    left = {k: v for k, v in reference.state_dict().items() if not k.startswith("transformer.")}
    save_file({f"embedder.model.{k}": v.contiguous() for k, v in left.items()}, tmp_path / "two")
    for name in ("one", "two"):
        identity = identify(tmp_path / name, stated=HEADS)
        assert (identity.component, identity.dims["embedding_width"]) == ("image_encoder", 12)
    heads = {**HEADS, "quick_gelu": False}
    one, two = load(tmp_path / "one", stated=heads), load(tmp_path / "two", stated=heads)
    assert isinstance(one, ClipImage) and isinstance(two, ClipImage)
    with torch.no_grad():
        torch.testing.assert_close(two(picture), reference.encode_image(normalised(picture)), rtol=0, atol=2e-5)
        pooled = transformers_model.vision_model(normalised(picture)).pooler_output
        torch.testing.assert_close(one(picture), transformers_model.visual_projection(pooled), rtol=0, atol=2e-5)


def test_a_folder_of_the_image_tower_alone(picture, tmp_path: Path) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    sizes = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 3}
    config = CLIPVisionConfig(**sizes, image_size=8, patch_size=4, projection_dim=12, hidden_act="gelu")
    reference = randomised(CLIPVisionModelWithProjection(config))
    reference.save_pretrained(tmp_path / "image_encoder")
    identity = identify(tmp_path / "image_encoder")
    assert (identity.component, identity.spec.heads, identity.assumed) == ("image_encoder", 3, ())
    with torch.no_grad():
        expected = reference(pixel_values=normalised(picture)).image_embeds
        torch.testing.assert_close(load(tmp_path / "image_encoder")(picture), expected, rtol=0, atol=1e-5)


def test_mistakes_of_a_loader_would_be_caught(picture, tmp_path: Path, monkeypatch, transformers_model) -> None:
    transformers_model.save_pretrained(tmp_path / "m")
    expected = load(tmp_path / "m").encode_image(picture)
    right = Merge.load
    with monkeypatch.context() as patch:
        patch.setattr(Merge, "load", lambda self, published: right(self, published[::-1]))
        assert (load(tmp_path / "m").encode_image(picture) - expected).abs().max() > 0.01
    identity = identify(tmp_path / "m")
    spec = replace(identity.spec.image, quick_gelu=True)
    other = ClipImage(spec)
    other.load_state_dict(load(tmp_path / "m").image.state_dict())
    assert (other(picture) - expected).abs().max() > 1e-3


@pytest.mark.parametrize(("name", "theirs"), [("ViT-B/32", "ViT-B-32-quickgelu"), ("ViT-bigG/14", "ViT-bigG-14")])
def test_published_sizes_are_open_clips(name: str, theirs: str) -> None:
    from open_clip.factory import get_model_config

    config = get_model_config(theirs)
    text = config["text_cfg"]
    image = PUBLISHED[name]
    spec = ClipSpec(
        image,
        ClipTextSpec(
            width=text["width"],
            layers=text["layers"],
            heads=text["heads"],
            mlp_width=4 * text["width"],
            projection=config["embed_dim"],
            quick_gelu=config.get("quick_gelu", False),
        ),
    )
    with torch.device("meta"):
        shapes = published_shapes(build(spec), key_map(spec))
        activation = config.pop("quick_gelu", False)
        reference = CLIP(**config, quick_gelu=activation)
    assert shapes == {key: tuple(value.shape) for key, value in reference.state_dict().items()}
    assert activation == image.quick_gelu
    assert reference.visual.transformer.resblocks[0].attn.num_heads == image.heads


def test_a_model_is_named_as_in_open_clip(tmp_path: Path) -> None:
    spec = ClipSpec(PUBLISHED["ViT-B/32"], ClipTextSpec(width=512, heads=8, mlp_width=2048, projection=512))
    with torch.device("meta"):
        shapes = published_shapes(build(spec), key_map(spec))
    torch.save({key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}, tmp_path / "m.pt")
    bare = identify(tmp_path / "m.pt")
    assert (bare.variant, bare.assumed, bare.spec.image.quick_gelu) == ("ViT-B/32", ("quick_gelu",), False)
    named = identify(tmp_path / "m.pt", stated={"name": "ViT-B-32-quickgelu"})
    assert (named.assumed, named.spec.image, named.spec.text.quick_gelu) == ((), PUBLISHED["ViT-B/32"], True)
    for other in ("RN50", "ViT-B-16-SigLIP", "hf-hub:someone/some-model", "nothing"):
        with pytest.raises(GlidewireError, match="no vision transformer of that name is known; expected one of"):
            identify(tmp_path / "m.pt", stated={"name": other})


def test_files_and_statements_that_do_not_fit(tmp_path: Path, transformers_model) -> None:
    tensors = dict(open_clip_model(False).state_dict())
    torch.save(tensors, tmp_path / "m.pt")
    with pytest.raises(GlidewireError, match=r"unknown field 'depth'; expected .*image_heads"):
        identify(tmp_path / "m.pt", stated={"depth": 2})
    with pytest.raises(GlidewireError, match="image_heads has the wrong type; expected int; got '3'"):
        identify(tmp_path / "m.pt", stated={"image_heads": "3"})
    with pytest.raises(GlidewireError, match="heads does not fit; expected a divisor of 24; got 5"):
        identify(tmp_path / "m.pt", stated={"image_heads": 5})
    torch.save({**tensors, "visual.proj": tensors["visual.proj"].mT.contiguous()}, tmp_path / "m.pt")
    with pytest.raises(GlidewireError, match="text does not fit; expected the image tower's projection"):
        identify(tmp_path / "m.pt", stated=HEADS)
    torch.save({**tensors, "visual.transformer.resblocks.0.ls_1.gamma": torch.zeros(24)}, tmp_path / "m.pt")
    with pytest.raises(StrictLoadError) as error:
        load(tmp_path / "m.pt", stated=HEADS)
    assert error.value.unexpected == ("visual.transformer.resblocks.0.ls_1.gamma",) and not error.value.missing
    torch.save({**tensors, "visual.layer1.0.conv1.weight": torch.zeros(1, 1, 1, 1)}, tmp_path / "m.pt")
    with pytest.raises(GlidewireError, match="is a CLIP with a ResNet; expected a vision transformer"):
        identify(tmp_path / "m.pt")
    transformers_model.save_pretrained(tmp_path / "folder")
    config = tmp_path / "folder" / "config.json"
    config.write_text(config.read_text().replace('"gelu"', '"relu"'))
    with pytest.raises(GlidewireError, match="an activation that no CLIP has; expected quick_gelu or gelu"):
        identify(tmp_path / "folder")
    with pytest.raises(GlidewireError, match="text does not fit; expected the image tower's projection"):
        ClipSpec(ClipImageSpec(), ClipTextSpec(projection=5))


def test_a_torchscript_program_of_something_else_is_no_clip(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "ViT-B-32.pt"))
    with pytest.raises(GlidewireError, match=r"belongs to no known family; .* got 2 tensors, bias, weight"):
        identify(tmp_path / "ViT-B-32.pt")


def test_pictures_are_fitted_by_their_shorter_side(picture) -> None:
    model = ClipImage(ClipImageSpec(8, 4, 24, 1, 3, 48, False, 12))
    with pytest.raises(GlidewireError, match="expected batch x 3 x 8 x 8; got 2 x 3 x 8 x 12"):
        model(torch.zeros(2, 3, 8, 12))
    with pytest.raises(GlidewireError, match="blocks to leave out; expected 0 to 1; got 2"):
        model.states(picture, 2)
    assert fitted(picture, 8) is picture
    wide = torch.zeros(1, 3, 16, 48)
    wide[..., 16:32] = 1
    assert fitted(wide, 8).shape == (1, 3, 8, 8) and fitted(wide, 8)[..., 2:6].min() > 0.9
    assert model.digest() != build(replace(model.spec, quick_gelu=True)).digest()
    assert FAMILY.name == "clip"
