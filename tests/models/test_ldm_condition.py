"""What conditions latent denoisers: the text encoder, class embeddings, segmentations and pictures with holes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import identify, load, save_published
from glidewire.models.ldm import bert, condition
from safetensors.torch import save_file


def load_bert(case: Any, folder: Path, weights: dict[str, torch.Tensor] | None = None) -> bert.Bert:
    save_file(weights or case.weights, folder / "m.safetensors")
    return load(folder / "m.safetensors", stated={"heads": case.config["heads"]})


@torch.no_grad()
def test_bert_parity(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("ldm_bert")
    model = load_bert(case, tmp_path)
    states = model(case.inputs["tokens"])
    case.assert_close("embeddings", states)
    case.assert_close("logits", model.to_logits(states))
    case.assert_close("embeddings_short", model(case.inputs["tokens_short"]))
    assert model.spec.heads * case.config["dim_head"] == model.spec.attention_width


@torch.no_grad()
def test_swapped_queries_and_values_show(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("ldm_bert")
    names = {".to_q.": ".to_v.", ".to_v.": ".to_q."}
    swap = {key: next((key.replace(a, b) for a, b in names.items() if a in key), key) for key in case.weights}
    model = load_bert(case, tmp_path, {swap[key]: value for key, value in case.weights.items()})
    with pytest.raises(AssertionError, match="error"):
        case.assert_close("embeddings", model(case.inputs["tokens"]))


@pytest.mark.parametrize("name", bert.PUBLISHED)
def test_published_sizes_of_bert(name: str) -> None:
    with torch.device("meta"):
        model = bert.Bert(bert.PUBLISHED[name])
    parameters = sum(value.numel() for value in model.parameters())
    if name == "txt2img-1.4B":  # the released checkpoint's, with the head that it does not use
        assert parameters == 581_994_042
    assert {target for entry in bert.key_map(model.spec) for target in entry.targets} == set(model.state_dict())


@torch.no_grad()
def test_both_layouts_of_bert(tmp_path: Path) -> None:
    spec = bert.BertSpec(vocabulary_size=50, positions=7, width=8, layers=3, heads=2, attention_width=12)
    model = bert.Bert(spec).eval()
    tokens = torch.randint(50, (2, 5))
    for layout in ("published", "diffusers"):
        save_published(model, bert.key_map(spec, layout), tmp_path / "m", metadata={})
        identity = identify(tmp_path / "m", stated={"heads": 2})
        assert (identity.component, identity.layout, identity.assumed) == ("text_encoder", layout, ())
        assert identity.dims == {"context_width": 8, "positions": 7, "vocabulary": 50}
        assert torch.equal(load(tmp_path / "m", stated={"heads": 2})(tokens), model(tokens))
    assert identify(tmp_path / "m", stated={"heads": 3}).spec.heads == 3
    with pytest.raises(GlidewireError, match="heads does not fit; expected a divisor of 12; got 8"):
        identify(tmp_path / "m")


def test_bert_names_bad_tokens() -> None:
    model = bert.Bert(bert.BertSpec(vocabulary_size=5, positions=3, width=4, layers=1, heads=1, attention_width=4))
    with pytest.raises(GlidewireError, match=r"at most 3 positions; got \(1, 4\)"):
        model(torch.zeros(1, 4, dtype=torch.long))
    with pytest.raises(GlidewireError, match="expected 0 to 4; got 2 to 5"):
        model(torch.tensor([[2, 5]]))


@torch.no_grad()
def test_class_embedder_parity(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("ldm_unet_class")
    save_file(case.weights, tmp_path / "m")
    model = load(tmp_path / "m", component="class_embedder")
    case.assert_close("context", model(case.inputs["class_label"]))
    assert model.no_class == case.config["cond_stage"]["null_class"]
    with pytest.raises(GlidewireError, match=f"expected 0 to {model.no_class}, where {model.no_class} is none; got"):
        model(torch.tensor([model.no_class + 1]))


@torch.no_grad()
def test_segmentations_are_halved_and_mapped(tmp_path: Path) -> None:
    weight = torch.randn(3, 5, 1, 1)
    save_file({"cond_stage_model.channel_mapper.weight": weight}, tmp_path / "m")
    identity = identify(tmp_path / "m")
    assert (identity.component, identity.assumed) == ("segmentation_encoder", ("halvings",))
    model = load(tmp_path / "m", stated={"halvings": 1})
    segmentation = torch.rand(2, 5, 8, 4)
    expected = torch.einsum("oi,bihw->bohw", weight[:, :, 0, 0], torch.nn.functional.avg_pool2d(segmentation, 2))
    torch.testing.assert_close(model(segmentation), expected)
    assert load(tmp_path / "m")(segmentation).shape == (2, 3, 2, 1)
    with pytest.raises(GlidewireError, match="5 classes"):
        model(torch.zeros(1, 3, 8, 8))


def test_inpainting_parity(parity: Callable[[str], Any]) -> None:
    case = parity("ldm_unet_inpaint7")
    picture, mask = condition.inpainting_picture(2 * case.inputs["image"] - 1, case.inputs["mask_raw"])
    case.assert_close("masked_image", picture)
    case.assert_close("mask_latent", condition.mask_for_latents(mask, case.inputs["z"]))


def test_stable_diffusion_sees_grey_holes() -> None:
    picture = torch.linspace(-1, 1, 12).view(1, 3, 2, 2)
    mask = torch.tensor([[[[0.2, 0.5], [0.9, 0.0]]]])
    masked, hole = condition.stable_inpainting_picture(picture, mask)
    assert hole.unique().tolist() == [0, 1] and hole[0, 0].tolist() == [[0, 1], [1, 0]]
    assert torch.equal(masked, torch.where(hole == 1, torch.zeros_like(picture), picture))
    black, signed = condition.inpainting_picture(picture, mask)
    assert torch.equal(signed, 2 * hole - 1)
    torch.testing.assert_close(black, torch.where(hole == 1, -torch.ones_like(picture), picture))
