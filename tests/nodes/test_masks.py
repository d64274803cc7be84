"""Masks from files, boxes, colours and strokes; combined, grown, softened."""

from __future__ import annotations

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.graph_runtime.folders import Folders
from glidewire.nodes import masking
from glidewire.nodes.masks import (
    box_mask,
    brush_mask,
    colour_mask,
    combine_masks,
    grow_mask,
    image_to_mask,
    invert_mask,
    load_mask,
    resize_mask,
)
from glidewire.nodes.sockets import Image, Mask
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

BOX = box_mask(12, 10, 3, 2, 7, 6)


def test_a_mask_is_a_files_transparency_or_one_of_its_channels(tmp_path) -> None:
    Pillow.new("RGBA", (4, 2), (255, 0, 51, 51)).save(tmp_path / "a.png")
    context = Context(folders=Folders(input=(tmp_path,)))
    found = {
        name: load_mask("a.png", name, context=context)[0, 0, 0].item()
        for name in ("transparency", "red", "green", "blue", "lightness")
    }
    assert found == pytest.approx(
        {"transparency": 0.8, "red": 1, "green": 0, "blue": 0.2, "lightness": 0.2126 + 0.2 * 0.0722}, abs=1e-4
    )


def test_a_box_is_1_inside() -> None:
    assert BOX.shape == (1, 10, 12)
    assert BOX.sum() == 16
    assert BOX[0, 2:6, 3:7].sum() == 16
    for sides in ((3, 2, 3, 6), (3, 2, 13, 6), (3, 7, 7, 6)):
        with pytest.raises(GlidewireError, match=r"the box does not lie in the mask; expected left < right <= 12"):
            box_mask(12, 10, *sides)


def test_a_colour_is_found_within_the_tolerance() -> None:
    image = Image(torch.tensor([[[[1.0, 0, 0], [0.95, 0.05, 0], [0.5, 0, 0]]]]))
    assert colour_mask(image, "red", 0.05).tolist() == [[[1, 1, 0]]]
    assert colour_mask(image, "#800000", 0.01).tolist() == [[[0, 0, 1]]]
    with pytest.raises(GlidewireError, match="this is no colour"):
        colour_mask(image, "redd")


def test_a_brush_leaves_discs_and_lines() -> None:
    dot = brush_mask("8,8", 17, 17, 3)
    assert dot[0, 8, 8] == 1 and dot[0, 8, 11] == 1 and dot[0, 8, 13] == 0
    line = brush_mask("2,8 14,8", 17, 17, 1)
    assert line[0, 8, 2:15].min() == 1
    assert line[0, 3].max() == 0
    own = brush_mask("6: 8,8\n", 17, 17, 1)
    assert own.sum() > dot.sum()
    assert brush_mask("-5,-5 40,40", 17, 17, 1).sum() > 17, "a stroke may leave the mask"


@pytest.mark.parametrize("line", ["8", "8,", "a,b", "8,8 9", "0: 8,8", ": 8,8", "8;8"])
def test_what_is_no_stroke_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(GlidewireError, match="line 2 is no stroke of a brush"):
        brush_mask(f"1,1\n{line}", 8, 8)


@given(st.text(max_size=40))
def test_any_text_is_strokes_or_refused(text: str) -> None:
    try:
        assert masking.strokes_of(text, 1.0)
    except GlidewireError as problem:
        assert "stroke" in str(problem)


def test_masks_combine_as_sets() -> None:
    left, top = Mask(torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])), Mask(torch.tensor([[[1.0, 1.0], [0.0, 0.0]]]))
    found = {
        how: combine_masks(left, top, how).flatten().tolist()
        for how in ("either", "both", "first without second", "one of them")
    }
    assert found == {
        "either": [1, 1, 1, 0],
        "both": [1, 0, 0, 0],
        "first without second": [0, 0, 1, 0],
        "one of them": [0, 1, 1, 0],
    }
    with pytest.raises(GlidewireError, match=r"the masks do not fit together.*1 x 2 x 2 and 1 x 10 x 12"):
        combine_masks(left, BOX)


def test_growing_and_shrinking_move_edges_and_softness_keeps_the_middle() -> None:
    assert grow_mask(BOX, 1).sum() == 36
    assert grow_mask(BOX, -1).sum() == 4
    assert torch.equal(grow_mask(grow_mask(BOX, 1), -1), BOX)
    assert torch.equal(grow_mask(BOX, 0), BOX)
    soft = grow_mask(BOX, 0, 1.0)
    assert 0 < soft[0, 2, 3] < 1
    assert soft.sum().item() == pytest.approx(16, rel=0.05)
    assert torch.equal(invert_mask(invert_mask(BOX)), BOX)


def test_resizing_takes_means() -> None:
    assert resize_mask(BOX, 1, 1).item() == pytest.approx(16 / 120, abs=0.1)
    assert resize_mask(Mask(torch.ones(2, 4, 4)), 7, 3).min() == 1
    assert image_to_mask(Image(torch.ones(1, 2, 2, 3))).min().item() == pytest.approx(1)
