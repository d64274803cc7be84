"""Sheets, previews, tables and plots."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from full_disk import full_after
from glidewire.diffusion.schedules import squared_cosine
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.graph_runtime.folders import Folders
from glidewire.nodes import lettering
from glidewire.nodes.figures import labelled_grid, plot, plot_schedule, preview_image, table
from glidewire.nodes.plotting import round_ticks
from glidewire.nodes.sockets import Image
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture


def grey(count: int, level: float = 0.5, side: int = 20) -> Image:
    return Image(torch.full((count, side, side, 3), level))


def test_a_sheet_has_its_pictures_and_words_where_they_belong() -> None:
    plain = labelled_grid(grey(4), gap=2)
    assert plain.shape == (1, 2 * 22 + 2, 2 * 22 + 2, 3)
    assert (plain == 0.5).all(dim=-1).sum() == 4 * 400
    sheet = labelled_grid(grey(4), labels="one\ntwo", column_labels="a\nb", row_labels="c\nd", gap=2)
    assert sheet.shape[1] > plain.shape[1] and sheet.shape[2] > plain.shape[2]
    assert (sheet == 0.5).all(dim=-1).sum() >= 4 * 400, "no word covers a picture"
    assert sheet.min() < 0.3, "there are letters"
    assert labelled_grid(grey(3), column_labels="a\nb\nc").shape[2] > labelled_grid(grey(3), columns=1).shape[2]


@given(
    st.text(st.characters(categories=("L", "N", "Zs")), max_size=40), st.integers(8, 90), st.sampled_from([6, 12, 20])
)
def test_every_letter_finds_its_line_and_no_line_is_too_long(text: str, width: int, size: int) -> None:
    lines = lettering.wrapped(text, width, size)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(len(line) == 1 or lettering.length(line, size) <= width for line in lines if line)


def test_a_row_of_small_pictures_makes_room_for_its_longest_word() -> None:
    short, long = (labelled_grid(grey(1), row_labels=words) for words in ("a b c", "classifier-free guidance"))
    assert long.shape[2] > short.shape[2]
    words = long[0, :, : long.shape[2] - 24]
    assert (words[:, :3] == 1).all() and words.min() < 0.3, "no letter is cut at the edge"


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"labels": "a\nb\nc"}, "more labels than pictures; expected at most 2 lines; got 3"),
        ({"column_labels": "a\nb\nc", "columns": 2}, "more labels than columns; expected at most 2"),
        ({"row_labels": "a\nb", "columns": 2}, "more labels than rows; expected at most 1"),
    ],
)
def test_more_labels_than_places_are_refused(inputs: dict, words: str) -> None:
    with pytest.raises(GlidewireError, match=words):
        labelled_grid(grey(2), **inputs)


def test_equal_previews_share_a_file(tmp_path: Path) -> None:
    context = Context(folders=Folders(output=tmp_path))
    preview_image(grey(2), context=context)
    preview_image(Image(torch.cat([grey(1), grey(1, 0.2)])), context=context)
    assert len(list((tmp_path / "previews").iterdir())) == 2
    names = [entry["filename"] for entry in context.shown["images"]]
    assert len(names) == 4 and len(set(names)) == 2
    with pytest.raises(GlidewireError, match="holds NaN or infinity"):
        preview_image(Image(grey(1) * torch.nan), context=context)


def test_a_preview_is_never_half_there_on_a_full_disk(tmp_path: Path) -> None:
    noise = Image(torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0)))
    context = Context(folders=Folders(output=tmp_path))
    with full_after(1000), pytest.raises(GlidewireError, match="cannot be written"):
        preview_image(noise, context=context)
    assert list((tmp_path / "previews").iterdir()) == []
    preview_image(noise, context=context)
    (path,) = (tmp_path / "previews").iterdir()
    with Picture.open(path) as whole:
        whole.load()


def test_a_table_in_markdown() -> None:
    made = table([1.0, 2.0], ["a|b", "c"], second=[0.5, 0.25], names="scale, right", digits=2)
    assert made.splitlines() == [
        "| scale | right |  |",
        "| :-- | --: | --: |",
        "| a\\|b | 1.00 | 0.50 |",
        "| c | 2.00 | 0.25 |",
    ]
    with pytest.raises(GlidewireError, match="columns of the table differ in length"):
        table([1.0], second=[1.0, 2.0])
    with pytest.raises(GlidewireError, match="more names than columns; expected at most 1"):
        table([1.0], names="a, b")


def test_lines_of_a_plot_go_up_where_numbers_do() -> None:
    picture = plot([0.0, 1.0], width=200, height=104)
    blue = (picture[0, ..., 2] - picture[0, ..., 0] > 0.3).float()
    rows = torch.arange(104.0)[:, None] * blue
    left, right = blue[:, :100], blue[:, 100:]
    assert (rows[:, :100].sum() / left.sum()) > (rows[:, 100:].sum() / right.sum()) + 10
    two = plot([0.0, 1.0], second=[1.0, 0.0], names="up, down", width=200, height=104)
    assert not torch.equal(two, picture)


def test_a_legend_too_wide_for_one_row_is_broken_and_none_of_it_is_lost() -> None:
    names = "the first of the lines, the second of the lines, the third of the lines"

    def blue_letters(width: int) -> float:
        # The first line lies at the bottom, so that what is blue above the middle is its name.
        picture = plot(
            [0.0, 0.0], second=[1.0, 1.0], third=[2.0, 2.0], names=names, y_label="degrees", width=width, height=300
        )
        upper = picture[0, :150]
        return (upper[..., 2] - upper[..., 1]).clamp(min=0).sum().item()

    assert blue_letters(320) == pytest.approx(blue_letters(1200), rel=0.05)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"y": []}, "nothing to plot"),
        ({"y": [1.0], "x": [1.0, 2.0]}, "not as many x as y; expected 2; got 1"),
        ({"y": [float("nan")]}, "numbers that are not finite"),
        ({"y": [1.0], "names": "a, b"}, "more names than lines"),
    ],
)
def test_what_cannot_be_plotted_is_refused(inputs: dict, words: str) -> None:
    with pytest.raises(GlidewireError, match=words):
        plot(**inputs)


def test_a_constant_a_single_number_and_huge_ones_can_be_plotted() -> None:
    for numbers in ([1.0], [0.0, 0.0], [1e30, -1e30], [1e-30, 2e-30]):
        assert plot(numbers, width=96, height=96).isfinite().all()
    assert plot_schedule(squared_cosine(10), 96, 96).shape == (1, 96, 96, 3)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_few_and_lie_within(low: float, width: float) -> None:
    ticks = round_ticks(low, low + width)
    assert 1 <= len(ticks) <= 8
    assert all(low - 1e-6 * width <= tick <= low + width * (1 + 1e-6) for tick in ticks)
