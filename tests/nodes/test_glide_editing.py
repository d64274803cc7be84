"""GLIDE's inpainting and upsampler as nodes: the mask's convention, what stays as it was, the published defaults."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from glidewire.diffusion.schedules import linear, respace, squared_cosine
from glidewire.errors import GlidewireError
from glidewire.nodes import glide_editing, samplers
from glidewire.nodes.guidance import classifier_free_guidance
from glidewire.nodes.latent_diffusion import latent_denoiser
from glidewire.nodes.sockets import Sample


def inpaint(materials: Any, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    model = materials.glide_variant("inpaint")
    denoiser = glide_editing.glide_inpainting_denoiser(model, materials.text(), image, mask)
    return samplers.ddim_sampler(denoiser, materials.schedule, materials.start()).tensor


def test_the_model_sees_the_picture_where_the_mask_is_0_and_nothing_where_it_is_1(materials: Any) -> None:
    image, mask = materials.picture(1), materials.mask()
    inside = torch.where(mask[..., None] == 1, materials.picture(1, seed=9), image)
    outside = torch.where(mask[..., None] == 0, materials.picture(1, seed=9), image)
    painted = inpaint(materials, image, mask)
    assert torch.equal(inpaint(materials, inside, mask), painted)
    assert not torch.equal(inpaint(materials, outside, mask), painted)
    assert not torch.equal(inpaint(materials, image, 1 - mask), painted)


def test_a_soft_mask_is_cut_at_one_half(materials: Any) -> None:
    image, mask = materials.picture(1), materials.mask()
    assert torch.equal(inpaint(materials, image, mask * 0.4 + 0.1), inpaint(materials, image, mask))


def test_an_inpainting_model_guides_itself_by_an_empty_text(materials: Any) -> None:
    model, picture = materials.glide_variant("inpaint"), (materials.picture(1), materials.mask())
    both = [glide_editing.glide_inpainting_denoiser(model, materials.text(text), *picture) for text in ("a cube", "")]
    guided = classifier_free_guidance(*both, scale=5.0)
    sample = samplers.ancestral_sampler(guided, materials.schedule, materials.start(2))
    assert sample.tensor.shape == (2, 3, 16, 16) and sample.tensor.isfinite().all()


def test_inpainting_with_what_does_not_fit_is_refused(materials: Any) -> None:
    image, mask, text = materials.picture(1), materials.mask(), materials.text()
    with pytest.raises(GlidewireError) as caught:
        glide_editing.glide_inpainting_denoiser(materials.glide, text, image, mask)
    assert "was not fine-tuned for inpainting; expected the variant inpaint; got base" in str(caught.value)
    assert "or inpaint with known region" in str(caught.value)
    model = materials.glide_variant("inpaint")
    with pytest.raises(GlidewireError, match="does not fit the picture; expected 1 or 1 masks of 16 x 16; got 1 x"):
        glide_editing.glide_inpainting_denoiser(model, text, image, materials.mask(8, 8))
    with pytest.raises(GlidewireError, match="expected 1 or 1 masks of 16 x 16; got 3 x 16 x 16"):
        glide_editing.glide_inpainting_denoiser(model, text, image, mask.expand(3, -1, -1))
    small = glide_editing.glide_inpainting_denoiser(model, text, materials.picture(1, 8, 8), materials.mask(8, 8))
    with pytest.raises(GlidewireError, match="known picture has another size than the sample; expected 16 x 16; got 8"):
        samplers.ddim_sampler(small, materials.schedule, materials.start())


def test_a_known_region_stays_exactly_and_the_rest_is_painted(materials: Any) -> None:
    known, mask = materials.sample(2), materials.mask()
    denoiser = glide_editing.known_region(materials.denoiser(), known, mask)
    for sampler in (samplers.ddim_sampler, samplers.ancestral_sampler):
        painted = sampler(denoiser, materials.schedule, materials.start(2)).tensor
        assert torch.allclose(painted[..., :8], known.tensor[..., :8], atol=1e-5)
        assert not torch.allclose(painted[..., 8:], known.tensor[..., 8:], atol=0.1)


def test_a_known_region_of_latents_takes_the_pictures_mask(materials: Any) -> None:
    latents, mask = materials.latents(), torch.zeros(1, 16, 16)
    mask[0, 5, 7] = 1  # one pixel repaints its cell
    unguided = latent_denoiser(materials.latent_model(), materials.latent_text())
    denoiser = glide_editing.known_region(unguided, latents, mask)
    start = samplers.noised_start(latents, squared_cosine(4), strength=1.0, seed=1)
    painted = samplers.ddim_sampler(denoiser, squared_cosine(4), start, clip=False).tensor
    changed = (painted - latents.tensor).abs().amax(1)[0] > 1e-4
    assert changed.nonzero().tolist() == [[2, 3]]


def test_a_known_region_that_does_not_fit_is_refused(materials: Any) -> None:
    with pytest.raises(GlidewireError) as caught:
        glide_editing.known_region(materials.denoiser(), materials.sample(), materials.mask(16, 24))
    assert "expected 1 or 1 masks of 16 x 16, or a whole multiple of that; got 1 x 16 x 24" in str(caught.value)
    with pytest.raises(GlidewireError, match="another space than the denoiser; expected pixels; got tiny latents"):
        glide_editing.known_region(materials.denoiser(), materials.latents(), materials.mask())


def test_the_upsampler_sees_the_small_picture_in_8_bits(materials: Any) -> None:
    model, text = materials.glide_variant("upsample"), materials.text()
    levels = torch.randint(0, 256, (1, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    exact = levels / 127.5 - 1
    exactly, nearly = (glide_editing.glide_upsampler_denoiser(model, text, Sample(x)) for x in (exact, exact + 0.003))
    assert torch.equal(exactly.conditioning["low_res"], nearly.conditioning["low_res"])
    assert torch.allclose(exactly.conditioning["low_res"], exact, atol=1e-6)


def test_upsampling_is_as_published_unless_told_otherwise(materials: Any) -> None:
    denoiser, schedule = materials.upsampler(), linear(1000)
    whole = glide_editing.glide_upsample(denoiser, schedule, width=16, height=16, seed=3)
    start = samplers.noise_start(denoiser, 16, 16, seed=3, temperature=0.997)
    assert torch.equal(whole.tensor, samplers.ddim_sampler(denoiser, respace(schedule, "fast27"), start).tensor)
    warmer = glide_editing.glide_upsample(denoiser, schedule, width=16, height=16, seed=3, temperature=1.0)
    assert not torch.equal(whole.tensor, warmer.tensor)


def test_the_inpainting_upsampler_ignores_the_large_picture_where_it_repaints(materials: Any) -> None:
    model, text, mask = materials.glide_variant("upsample-inpaint"), materials.text(), materials.mask()
    small, image = Sample(materials.pixels(1, 8)), materials.picture(1)
    inside = torch.where(mask[..., None] == 1, materials.picture(1, seed=9), image)
    results = []
    for given in (image, inside):
        denoiser = glide_editing.glide_upsampler_denoiser(model, text, small, given, mask)
        results.append(glide_editing.glide_upsample(denoiser, materials.schedule, 16, 16, spacing="2").tensor)
    assert torch.equal(*results)


def test_upsampling_with_what_does_not_fit_is_refused(materials: Any) -> None:
    text, small = materials.text(), Sample(materials.pixels(1, 8))
    with pytest.raises(GlidewireError, match="is no upsampler; expected the variant upsample; got base"):
        glide_editing.glide_upsampler_denoiser(materials.glide, text, small)
    model = materials.glide_variant("upsample")
    with pytest.raises(GlidewireError, match="picture and its mask together; expected both or neither; got a picture"):
        glide_editing.glide_upsampler_denoiser(model, text, small, image=materials.picture(1))
    with pytest.raises(GlidewireError, match="got a mask alone"):
        glide_editing.glide_upsampler_denoiser(model, text, small, mask=materials.mask())
    with pytest.raises(GlidewireError, match="expected the variant upsample-inpaint; got upsample"):
        glide_editing.glide_upsampler_denoiser(model, text, small, materials.picture(1), materials.mask())
