"""Latent denoisers beside pictures: small ones, depth, segmentations; boxes; tiles of large pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from glidewire.diffusion.denoiser import Leaf
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.models.checkpoint import save_published
from glidewire.models.ldm import bert
from glidewire.nodes import autoencoders, latent_conditions, latent_pictures, samplers, tiling
from glidewire.nodes.latent_conditioning import boxes_of
from glidewire.nodes.sockets import Image, Sample
from hypothesis import given
from hypothesis import strategies as st

QUIET = Context()


def test_a_small_picture_lies_beside_the_latents_and_is_sampled_over(materials: Any) -> None:
    small = materials.picture(1, 8, 8)
    denoiser = latent_pictures.latent_upscaling_denoiser(materials.latent_model(6, 0, 3), small)
    assert isinstance(denoiser, Leaf)
    torch.testing.assert_close(denoiser.conditioning["low_res"], small.movedim(-1, 1) * 2 - 1)
    start = samplers.noise_start(denoiser, 8, 8)
    made = samplers.ddim_sampler(denoiser, materials.schedule, start, context=QUIET)
    assert made.tensor.shape == (1, 3, 8, 8)
    wrong = samplers.noise_start(denoiser, 16, 16)
    with pytest.raises(GlidewireError, match="condition 'low_res' does not fit"):
        samplers.ddim_sampler(denoiser, materials.schedule, wrong, context=QUIET)


def test_the_upscaler_is_told_of_the_noise_on_its_picture(materials: Any) -> None:
    model = materials.latent_model(7, 8, 4, classes=5)
    arguments = (model, materials.picture(2, 8, 8), materials.latent_text())
    noised = latent_pictures.latent_upscaling_denoiser(*arguments, noise_level=4, seed=1)
    assert noised.conditioning["class_label"].tolist() == [4]
    clean = materials.picture(2, 8, 8).movedim(-1, 1) * 2 - 1
    assert 1e-3 < (noised.conditioning["low_res"] - clean).abs().mean() < 0.2
    again = latent_pictures.latent_upscaling_denoiser(*arguments, noise_level=4, seed=1)
    assert torch.equal(noised.conditioning["low_res"], again.conditioning["low_res"])
    made = samplers.ddim_sampler(noised, materials.schedule, samplers.noise_start(noised, 8, 8, 2), context=QUIET)
    assert made.tensor.isfinite().all()
    with pytest.raises(GlidewireError, match="knows no such level of noise; expected 0 to 4; got 20"):
        latent_pictures.latent_upscaling_denoiser(*arguments)


def test_depth_is_stretched_for_each_picture(materials: Any) -> None:
    ramp = torch.linspace(0.2, 0.4, 16).expand(16, 16)
    depth = Image(torch.stack([ramp, 3 * ramp.T / 4, torch.full_like(ramp, 0.3)])[..., None].repeat(1, 1, 1, 3))
    arguments = (materials.latent_model(5), materials.autoencoder)
    denoiser = latent_pictures.latent_depth_denoiser(*arguments, depth, materials.latent_text())
    given = denoiser.conditioning["depth"]
    assert given.shape == (3, 1, 8, 8)
    assert given.amin(dim=(1, 2, 3)).tolist() == pytest.approx([-1, -1, 0], abs=1e-5)
    assert given.amax(dim=(1, 2, 3)).tolist() == pytest.approx([1, 1, 0], abs=1e-5)
    with pytest.raises(GlidewireError, match="sides that are multiples of 2; got 16 x 15"):
        latent_pictures.latent_depth_denoiser(*arguments, Image(depth[:, :, 1:]), materials.latent_text())
    other = replace(materials.autoencoder, space="another")
    with pytest.raises(GlidewireError, match="the autoencoder is not the denoiser's"):
        latent_pictures.latent_depth_denoiser(arguments[0], other, depth, materials.latent_text())


def test_a_segmentation_is_encoded_by_its_classes(materials: Any) -> None:
    arguments = (materials.latent_model(6, 0, 3), materials.segmentations)
    picture = materials.classes_picture()
    denoiser = latent_pictures.latent_semantic_denoiser(*arguments, picture)
    assert denoiser.conditioning["low_res"].shape == (1, 3, 4, 4)
    with pytest.raises(GlidewireError, match="a class that its encoder does not know; expected 0 to 7; got 9"):
        latent_pictures.latent_semantic_denoiser(*arguments, Image(picture + 2 / 255))


def test_a_layout_is_attended_to(materials: Any) -> None:
    whole, half = (
        latent_pictures.encode_boxes(materials.boxes, boxes).tensors["context"]
        for boxes in ("3: 0,0 1,1", "3: 0,0 0.5,1")
    )
    assert whole.shape == (1, 8, 8)
    assert not torch.equal(whole, half)
    with pytest.raises(GlidewireError, match="line 2 is no box"):
        boxes_of("3: 0,0 1,1\n3 0 0 1 1")
    with pytest.raises(GlidewireError, match="the layout has no box"):
        boxes_of(" \n")
    with pytest.raises(GlidewireError, match="too many boxes; expected at most 2"):
        latent_pictures.encode_boxes(materials.boxes, "1: 0,0 1,1\n" * 3)


def test_an_encoder_of_texts_is_no_encoder_of_boxes(materials: Any) -> None:
    spec = bert.BertSpec(64, positions=9, width=8, layers=1, attention_width=8)
    save_published(bert.Bert(spec), bert.key_map(spec), materials.folder / "texts.st", metadata={})
    with pytest.raises(GlidewireError, match=r"texts.st has an encoder of texts"):
        latent_pictures.load_box_encoder("texts.st", context=materials.context)


@given(st.text(max_size=40))
def test_any_text_is_a_layout_or_refused(text: str) -> None:
    try:
        assert boxes_of(text)
    except GlidewireError as problem:
        assert "box" in str(problem)


@pytest.mark.parametrize("name", ["latent_upscaling_denoiser", "latent_depth_denoiser", "latent_semantic_denoiser"])
def test_a_model_of_another_kind_and_a_missing_text_are_refused(materials: Any, examples: Any, name: str) -> None:
    inputs = examples.EXAMPLES[name](materials)
    call = getattr(latent_pictures, name)
    with pytest.raises(GlidewireError, match=r"this denoiser was not trained .*got none beside the latents"):
        call(**{**inputs, "model": materials.latent_model(), "condition": materials.latent_text()})
    wrong = None if inputs.get("condition") else materials.latent_text()
    with pytest.raises(GlidewireError, match="the condition does not fit the denoiser"):
        call(**{**inputs, "condition": wrong})


def test_one_tile_is_the_whole_and_several_are_near_it(materials: Any) -> None:
    picture = materials.picture(1, 96, 64)
    whole = autoencoders.encode_latents(materials.autoencoder, picture, "mode")
    one = tiling.encode_latents_in_tiles(materials.autoencoder, picture, 128, 0, context=QUIET)
    torch.testing.assert_close(one.tensor, whole.tensor, rtol=1e-4, atol=1e-5)
    told: list[tuple[int, int]] = []
    context = Context(on_progress=lambda done, total, text, preview: told.append((done, total)))
    two = tiling.encode_latents_in_tiles(materials.autoencoder, picture, 64, 32, context=context)
    assert told == [(1, 2), (2, 2)]
    assert two.tensor.shape == whole.tensor.shape
    assert (two.tensor - whole.tensor).abs().mean() < whole.tensor.abs().mean()
    shown = tiling.decode_latents_in_tiles(materials.autoencoder, two, 64, 16, context=QUIET)
    assert shown.shape == picture.shape
    with pytest.raises(GlidewireError, match="latents of another autoencoder"):
        tiling.decode_latents_in_tiles(materials.autoencoder, Sample(two.tensor, "another"), context=QUIET)
    with pytest.raises(GlidewireError, match="larger than their overlap"):
        tiling.encode_latents_in_tiles(materials.autoencoder, picture, 64, 64, context=QUIET)


def test_classes_still_condition(materials: Any) -> None:
    assert latent_conditions.class_condition(materials.classes, 1).tensors["context"].shape == (1, 1, 8)
