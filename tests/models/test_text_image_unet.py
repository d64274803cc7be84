"""The U-Net that sees a text: keys and values projected ahead change nothing, and hidden positions do not matter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from glidewire.models.text_image_unet import projected_text, text_image_unet, unet_way_down, unet_way_up

WIDTH, POSITIONS = 6, 5


def run_unet(unet: Any, *, conditioning: Any, picture: torch.Tensor, mask: Any = None, **given: Any) -> torch.Tensor:
    given["added"] = given["added"].to(unet.conv_in.weight.dtype)
    encoded = unet_way_down(unet, picture, conditioning=conditioning, mask=mask, **given)
    return unet_way_up(unet, encoded, conditioning, mask=mask).to(picture.dtype)


@pytest.fixture(scope="module")
def unet() -> Any:
    generator = torch.Generator().manual_seed(0)
    model = text_image_unet(
        in_channels=3,
        out_channels=6,
        widths=(8, 16),
        attention_levels=(False, True),
        num_res_blocks=1,
        num_head_channels=8,
        norm_groups=4,
        text_width=WIDTH,
    )
    with torch.no_grad():
        for value in model.parameters():
            scale = 0.7 / value[0].numel() ** 0.5 if value.ndim > 1 else 0.1
            value.copy_(scale * torch.randn(value.shape, generator=generator) + (value.ndim == 1))
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def given() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = {"picture": (2, 3, 8, 8), "added": (2, 32), "states": (2, POSITIONS, WIDTH)}
    tensors = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {**tensors, "timesteps": torch.tensor([7, 913])}


def test_text_projected_ahead_gives_the_same_output(unet: Any, given: dict[str, torch.Tensor]) -> None:
    plain = run_unet(unet, conditioning={}, **given)
    assert plain.shape == (2, 6, 8, 8)
    prepared = projected_text(unet, given["states"])
    torch.testing.assert_close(run_unet(unet, conditioning=prepared, **given), plain, rtol=0, atol=1e-5)
    # Then the states themselves are not looked at again.
    blind = {**given, "states": torch.zeros_like(given["states"])}
    assert torch.equal(run_unet(unet, conditioning=prepared, **blind), run_unet(unet, conditioning=prepared, **given))


def test_hidden_positions_do_not_matter_and_others_do(unet: Any, given: dict[str, torch.Tensor]) -> None:
    mask = torch.ones(2, POSITIONS, dtype=torch.bool)
    seen = run_unet(unet, conditioning={}, mask=mask, **given)
    torch.testing.assert_close(seen, run_unet(unet, conditioning={}, **given), rtol=0, atol=1e-5)
    mask[:, 3:] = False
    hidden = run_unet(unet, conditioning={}, mask=mask, **given)
    assert (hidden - seen).abs().max() > 1e-3
    for place, matters in ((1, True), (4, False)):
        states = given["states"].clone()
        states[:, place] += 1
        other = run_unet(unet, conditioning={}, mask=mask, **{**given, "states": states})
        assert torch.equal(other, hidden) != matters


def test_all_text_may_be_hidden(unet: Any, given: dict[str, torch.Tensor]) -> None:
    nothing = torch.zeros(2, POSITIONS, dtype=torch.bool)
    assert bool(run_unet(unet, conditioning={}, mask=nothing, **given).isfinite().all())


def test_half_precision_takes_and_gives_the_pictures_dtype(unet: Any, given: dict[str, torch.Tensor]) -> None:
    full = run_unet(unet, conditioning={}, **given)
    half = run_unet(unet.to(torch.bfloat16), conditioning={}, **given)
    unet.float()
    assert half.dtype == torch.float32 and (half - full).abs().max() < 0.1 * full.abs().max()
