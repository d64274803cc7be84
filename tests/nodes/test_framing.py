"""Pictures cut, fitted and extended."""

from __future__ import annotations

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.nodes.framing import crop_image, extend_image, fit_image
from glidewire.nodes.sockets import Image

RAMP = Image(torch.linspace(0, 1, 16).expand(8, 16)[None, ..., None].repeat(1, 1, 1, 3))


def test_a_rectangle_is_cut_out() -> None:
    cut = crop_image(RAMP, left=4, top=2, width=5, height=3)
    assert torch.equal(cut, RAMP[:, 2:5, 4:9])


@pytest.mark.parametrize("inputs", [{"left": 12}, {"top": 4}])
def test_a_rectangle_that_leaves_the_picture_is_refused(inputs: dict[str, int]) -> None:
    with pytest.raises(GlidewireError, match="leaves the picture; expected columns up to 16 and rows up to 8"):
        crop_image(RAMP, width=5, height=5, **inputs)


def test_fitting_keeps_proportions_and_the_wanted_part() -> None:
    whole = {keep: fit_image(RAMP, 8, 8, keep, "nearest") for keep in ("middle", "left or top", "right or bottom")}
    assert torch.equal(whole["left or top"], RAMP[:, :, :8])
    assert torch.equal(whole["middle"], RAMP[:, :, 4:12])
    assert torch.equal(whole["right or bottom"], RAMP[:, :, 8:])
    assert fit_image(RAMP, 7, 31).shape == (1, 31, 7, 3)


def test_the_canvas_grows_and_the_mask_is_1_where_it_is_new() -> None:
    grown = extend_image(RAMP, left=2, right=3, above=1, below=0)
    assert grown.image.shape == (1, 9, 21, 3)
    assert torch.equal(grown.image[:, 1:, 2:18], RAMP)
    assert grown.image[0, 4, 20, 0] == 1, "the edge is repeated"
    assert grown.mask.sum() == 9 * 21 - 8 * 16
    assert grown.mask[:, 1:, 2:18].sum() == 0
    assert extend_image(RAMP, right=1, fill="grey").image[0, 0, 16].tolist() == [0.5] * 3
