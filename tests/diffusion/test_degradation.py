"""Degradations: closed forms of blur, what JPEG keeps, and noise that is a function of seed and item."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from glidewire.diffusion.degradation import blind_degradation, gaussian_blur, jpeg, oriented_blur
from glidewire.errors import GlidewireError
from PIL import Image


def picture(batch: int = 1, height: int = 24, width: int = 40) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    one = torch.stack([x, y, (3 * x + 2 * y).sin()])
    return one.expand(batch, -1, -1, -1).contiguous()


def test_a_blur_of_a_point_is_its_gaussian() -> None:
    point = torch.zeros(1, 1, 5, 5)
    point[0, 0, 2, 2] = 1
    blurred = gaussian_blur(point, 0.6)[0, 0]
    side, corner = np.exp(-0.5 / 0.36), np.exp(-1 / 0.36)
    total = 1 + 4 * side + 4 * corner
    assert blurred[2, 2].item() == pytest.approx(1 / total)
    assert blurred[2, 1].item() == pytest.approx(side / total)
    assert blurred[1, 1].item() == pytest.approx(corner / total)
    assert blurred.sum().item() == pytest.approx(1)


def test_a_blur_leaves_flat_pictures_and_0_changes_nothing() -> None:
    flat = torch.full((2, 3, 4, 4), 0.3)
    torch.testing.assert_close(gaussian_blur(flat, 3.0, 9), flat)
    torch.testing.assert_close(oriented_blur(flat, (0.5, 2.0), 0.7, 7), flat)
    assert torch.equal(gaussian_blur(picture(), 0.0), picture())
    tall = torch.rand(1, 1, 9, 9)
    torch.testing.assert_close(oriented_blur(tall, (0.5, 2.0), 0.0, 7).mT, oriented_blur(tall.mT, (2.0, 0.5), 0.0, 7))


@pytest.mark.parametrize("quality", [20, 50, 90])
def test_jpeg_loses_what_a_jpeg_file_loses(quality: int) -> None:
    original = picture(height=32, width=40)
    levels = ((original[0] + 1) * 127.5).round().to(torch.uint8).movedim(0, -1).numpy()
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "jpeg", quality=quality, subsampling=0)
    rounded, read = (
        torch.from_numpy(np.array(shown).astype(np.float32)).movedim(-1, 0) / 127.5 - 1
        for shown in (levels, Image.open(file))
    )
    ours = jpeg(rounded[None], quality)[0]
    # A file rounds to whole levels on the way, twice, which may turn a coefficient over.
    assert (ours - read).abs().mean() < max(1 / 127.5, 0.5 * (rounded - read).abs().mean())
    if quality >= 50:
        assert (ours - read).abs().max() < 6 / 127.5


def test_a_degraded_picture_is_a_function_of_seed_and_item() -> None:
    batch = blind_degradation(picture(3), 1.0, (7, 7, 7))
    assert torch.equal(blind_degradation(picture(), 1.0, (7,), first_item=2), batch[2:])
    assert not torch.equal(batch[0], batch[1])
    assert batch.abs().max() <= 1
    error = [(blind_degradation(picture(4), strength, (0,) * 4) - picture(4)).abs().mean() for strength in (0, 0.3, 2)]
    assert error[0] == 0 < error[1] < error[2]


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(GlidewireError, match="expected an odd kernel and a deviation from 0 up; got 4 and 1"):
        gaussian_blur(picture(), 1.0, 4)
    with pytest.raises(GlidewireError, match="an odd kernel and a deviation from 0 up; got 3 and -1"):
        gaussian_blur(picture(), -1.0)
    with pytest.raises(GlidewireError, match="3 channels and a quality of 1 to 100; got 3 and 0"):
        jpeg(picture(), 0)
    with pytest.raises(GlidewireError, match="impossible strength; expected 0 to 4; got 5"):
        blind_degradation(picture(), 5, (0,))
    with pytest.raises(GlidewireError, match="one seed is needed for each picture; expected 1; got 2"):
        blind_degradation(picture(), 1, (0, 1))
