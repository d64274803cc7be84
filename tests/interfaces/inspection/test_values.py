"""Values and steps behind the sockets of a graph that ran, and what is said of those that are gone."""

from __future__ import annotations

import io

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.cache import Cache
from glidewire.graph_runtime.cache.frames import CacheFrames
from glidewire.graph_runtime.frames import Frame
from glidewire.graph_runtime.views import Picture, Plot, Table, viewer
from glidewire.interfaces.inspection import values
from PIL import Image

KEY = "a" * 64


@viewer("INSPECTED")
def _seen(value: torch.Tensor) -> list[Picture | Plot | Table]:
    pixels = value.to(torch.uint8).expand(2, 3, 3)
    return [
        Picture("all of one grey", pixels),
        Plot("a line", "x", {"y": ([0, 1], [2, 3])}),
        Table("a table", ["a"], [["b"], [1.5]]),
    ]


@pytest.fixture
def cache() -> Cache:
    cache = Cache()
    cache.put(KEY, (torch.tensor(9.0), [torch.tensor(1.0), torch.tensor(2.0)]), 1.0)
    return cache


def test_a_value_is_summed_up_and_seen(cache: Cache) -> None:
    told = values.value_summary(cache, KEY, 0, ["INSPECTED"])
    assert told["tensors"][0]["min"] == 9.0
    assert [view["view"] for view in told["views"]] == ["picture", "plot", "table"]
    assert told["views"][0]["size"] == [3, 2]
    opened = Image.open(io.BytesIO(values.value_picture(cache, KEY, 0, ["INSPECTED"], 0)))
    assert (opened.size, opened.getpixel((0, 0))) == ((3, 2), (9, 9, 9))


def test_a_list_is_seen_item_by_item(cache: Cache) -> None:
    told = values.value_summary(cache, KEY, 1, ["INSPECTED"])
    assert [view["view"] for view in told["views"]].count("picture") == 2
    assert values.output_sizes(cache, KEY) is not None


def test_a_text_is_shown_as_it_is() -> None:
    cache = Cache()
    cache.put(KEY, ("a large\nred cube",), 1.0)
    assert values.value_summary(cache, KEY, 0, ["STRING"])["plain"] == "a large\nred cube"


def test_what_is_not_there_is_said_in_words(cache: Cache) -> None:
    with pytest.raises(GlidewireError, match=r"not in the cache.*Run the workflow"):
        values.value_summary(cache, "b" * 64, 0, [])
    with pytest.raises(GlidewireError, match="no output 7; expected 0 to 1"):
        values.value_summary(cache, KEY, 7, [])
    with pytest.raises(GlidewireError, match="view 1 of this value is no picture"):
        values.value_picture(cache, KEY, 0, ["INSPECTED"], 1)
    assert values.output_sizes(cache, "b" * 64) is None


def test_steps_are_listed_with_their_facts_and_pictures(cache: Cache) -> None:
    frames = CacheFrames(cache, KEY, {})
    frames.begin(["one", "two"])
    frames.keep(1, Frame({"norm": 2.0}, {"x_t": torch.full((1, 1, 3), 5, dtype=torch.uint8)}))
    assert values.steps(cache, KEY) == [[None, {"facts": {"norm": 2.0}, "pictures": ["x_t"]}]]
    assert Image.open(io.BytesIO(values.step_picture(cache, KEY, 0, 1, "x_t"))).getpixel((0, 0)) == (5, 5, 5)
    for walk, index, name in ((0, 0, "x_t"), (0, 1, "x_0"), (0, 9, "x_t"), (3, 0, "x_t")):
        with pytest.raises(GlidewireError, match=f"no picture {name} of step {index}.*Run the sampler again"):
            values.step_picture(cache, KEY, walk, index, name)
