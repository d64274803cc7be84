"""CLIP's text encoder under every name that files give it, against open_clip's and transformers' own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import identify, identify_all, load, save_published
from glidewire.models.clip_text.checkpoint import FAMILY, key_map, transformers_key_map
from glidewire.models.clip_text.network import ClipText
from glidewire.models.clip_text.spec import PUBLISHED, ClipTextSpec
from glidewire.models.header import Header
from glidewire.models.key_map import published_shapes, published_state_dict
from open_clip.model import CLIPTextCfg, _build_text_tower
from safetensors.torch import load_file, save_file

TINY = ClipTextSpec(
    vocabulary_size=60, positions=9, width=16, layers=3, heads=2, mlp_width=32, projection=10, padding=59
)
UNTOLD = {"heads": 2, "quick_gelu": True}


def randomised(spec: ClipTextSpec = TINY, seed: int = 0) -> ClipText:
    model = ClipText(spec)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            value.copy_((value.ndim == 1) + 0.3 * torch.randn(value.shape, generator=generator))
    return model.eval().requires_grad_(False)


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.tensor([[58, 3, 4, 59, 59, 59], [58, 7, 8, 9, 10, 59]])


@pytest.mark.parametrize("prefix", ["", "model.", "cond_stage_model.model."])
def test_open_clip_names_load(prefix: str, tokens: torch.Tensor, tmp_path: Path) -> None:
    model = randomised()
    tensors = {prefix + key: value for key, value in published_state_dict(model, key_map(TINY)).items()}
    tensors |= {f"{prefix}logit_scale": torch.tensor(4.6), f"{prefix}attn_mask": torch.zeros(9, 9)}
    save_file(tensors, tmp_path / "m")
    again = load(tmp_path / "m", stated=UNTOLD | {"left_out": 1})
    states, embedding = again.states_and_embedding(tokens)
    reference = _build_text_tower(
        10,
        CLIPTextCfg(context_length=9, vocab_size=60, width=16, heads=2, layers=3, mlp_ratio=2.0),
        quick_gelu=True,
    ).eval()
    reference.load_state_dict(model.encoder.state_dict())
    full = torch.cat([tokens, torch.zeros(2, 3, dtype=torch.long)], dim=1)
    torch.testing.assert_close(embedding, reference(full))
    # Stable Diffusion 2: the last block is left out, its norm is not.
    h = reference.token_embedding(full) + reference.positional_embedding
    for block in reference.transformer.resblocks[:2]:
        h = block(h, attn_mask=reference.attn_mask)
    torch.testing.assert_close(again(tokens), reference.ln_final(h)[:, :6])
    assert not torch.allclose(again(tokens), states, atol=0.01)


@pytest.mark.parametrize("prefix", ["", "text_model.", "cond_stage_model.transformer.text_model."])
@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
def test_transformers_names_load(prefix: str, act: str, tokens: torch.Tensor, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPTextConfig(
        vocab_size=60, hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2,
        max_position_embeddings=9, hidden_act=act, eos_token_id=59, bos_token_id=58, pad_token_id=59,
    )  # fmt: skip
    torch.manual_seed(0)
    reference = transformers.CLIPTextModel(config).eval()
    with torch.no_grad():
        for value in reference.parameters():
            value.add_(0.2 * torch.randn(value.shape))
    bare = {key.removeprefix("text_model."): value for key, value in reference.state_dict().items()}
    tensors = {prefix + key: value.contiguous() for key, value in bare.items() if "position_ids" not in key}
    tensors[f"{prefix}embeddings.position_ids"] = torch.arange(9)[None]
    save_file(tensors, tmp_path / "m")
    model = load(tmp_path / "m", stated={"heads": 2, "quick_gelu": act == "quick_gelu"})
    with torch.no_grad():
        torch.testing.assert_close(model(tokens), reference(tokens).last_hidden_state, atol=2e-5, rtol=1e-5)
    other = load(tmp_path / "m", stated={"heads": 2, "quick_gelu": act != "quick_gelu"})
    assert not torch.allclose(other(tokens), model(tokens), atol=1e-3)


def test_a_folder_of_transformers_tells_heads_and_function(tokens: torch.Tensor, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPTextConfig(
        vocab_size=60, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=9, hidden_act="gelu", projection_dim=6, eos_token_id=59, bos_token_id=58,
    )  # fmt: skip
    reference = transformers.CLIPTextModelWithProjection(config).eval()
    reference.save_pretrained(tmp_path / "text_encoder")
    model = load(tmp_path / "text_encoder")
    assert (model.spec.heads, model.spec.quick_gelu, model.spec.projection) == (4, False, 6)
    with torch.no_grad():
        expected = reference(tokens)
    states, embedding = model.states_and_embedding(tokens)
    torch.testing.assert_close(states, expected.last_hidden_state, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(embedding, expected.text_embeds, atol=2e-5, rtol=1e-5)


def test_both_layouts_are_inverse(tokens: torch.Tensor, tmp_path: Path) -> None:
    model = randomised()
    for layout in (key_map, transformers_key_map):
        save_published(model, layout(TINY), tmp_path / "m", metadata={})
        again = load(tmp_path / "m", stated=UNTOLD)
        assert again.spec == TINY
        assert torch.equal(again(tokens), model(tokens))


def test_swapped_queries_and_keys_show(tokens: torch.Tensor, tmp_path: Path) -> None:
    model = randomised()
    save_published(model, transformers_key_map(TINY), tmp_path / "m", metadata={})
    names = {".q_proj.": ".v_proj.", ".v_proj.": ".q_proj."}
    swap = lambda key: next((key.replace(a, b) for a, b in names.items() if a in key), key)  # noqa: E731
    save_file({swap(key): value for key, value in load_file(tmp_path / "m").items()}, tmp_path / "m")
    assert not torch.allclose(load(tmp_path / "m", stated=UNTOLD)(tokens), model(tokens), atol=1e-3)


def test_attention_is_causal(tokens: torch.Tensor) -> None:
    model = randomised()
    changed = tokens.clone()
    changed[:, 4] = 1
    before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :4], after[:, :4]) and not torch.allclose(before[:, 4:], after[:, 4:])


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_encoders_are_told_by_their_shapes(name: str) -> None:
    spec = PUBLISHED[name]
    with torch.device("meta"):
        shapes = published_shapes(ClipText(spec), transformers_key_map(spec))
    if name == "ViT-L/14":  # Radford et al. 2021; the text encoder of Stable Diffusion 1
        assert sum(torch.Size(shape).numel() for shape in shapes.values()) == 123_060_480
    dtypes = dict.fromkeys(shapes, torch.float16)
    header = Header(Path("m"), "safetensors", shapes, dtypes, locations={key: (key,) for key in shapes})
    identity = FAMILY.recognise(header, {})
    assert (identity.variant, identity.spec, identity.assumed) == (name, spec, ())


def test_what_is_assumed_is_said(tmp_path: Path) -> None:
    save_published(randomised(), key_map(TINY), tmp_path / "m", metadata={})
    assert identify(tmp_path / "m").assumed == ("heads", "quick_gelu", "left_out", "padding")
    assert identify(tmp_path / "m").spec.heads == 1
    with pytest.raises(GlidewireError, match="heads does not fit; expected a divisor of 16; got 3"):
        identify(tmp_path / "m", stated={"heads": 3})
    with pytest.raises(GlidewireError, match="contradicts the stated width; expected 16"):
        identify(tmp_path / "m", stated={"width": 8})
    both = load_file(tmp_path / "m") | {"visual.conv1.weight": torch.zeros(2, 3, 1, 1)}
    save_file(both, tmp_path / "both")
    assert identify_all(tmp_path / "both") == ()


def test_bad_tokens_are_named() -> None:
    model = randomised()
    with pytest.raises(GlidewireError, match=r"at most 9 positions; got \(1, 10\)"):
        model(torch.zeros(1, 10, dtype=torch.long))
    with pytest.raises(GlidewireError, match="expected 0 to 59; got 2 to 60"):
        model(torch.tensor([[2, 60]]))
    with pytest.raises(GlidewireError, match="no projection"):
        randomised(ClipTextSpec(**{**TINY.__dict__, "projection": 0})).states_and_embedding(torch.tensor([[2]]))
