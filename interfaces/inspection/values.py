"""Values in the cache as an editor shows them: summaries in JSON, pictures as PNG, by key and output number."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from PIL import Image
from torch import Tensor

from ...errors import GlidewireError
from ...graph_runtime.cache import Cache
from ...graph_runtime.cache.frames import frame_under, walks_of
from ...graph_runtime.codec import nbytes
from ...graph_runtime.frames import Frame
from ...graph_runtime.summaries import summary
from ...graph_runtime.views import Picture, Plot, Table, View, views_of

_MOST_ITEMS = 8
"""Of a list of values, so many are shown."""
_MOST_LETTERS = 10_000


def value_summary(cache: Cache, key: str, output: int, kinds: Sequence[str]) -> dict[str, Any]:
    """What came out of an output: text, tensors with ranges and histograms, and its views.

    Args:
        cache: Where the results are.
        key: Of the node.
        output: The number of its output.
        kinds: The ids of the output's socket types, which decide how it is shown.

    Returns:
        `summaries.summary`, and "views": pictures by their number, plots and tables in full; of a text "plain", itself.

    Raises:
        GlidewireError: the result is no longer in the cache, or has no such output.
    """
    value = _value(cache, key, output)
    views = _views(kinds, value)
    plain = {"plain": value[:_MOST_LETTERS]} if isinstance(value, str) else {}
    return {**summary(value), **plain, "views": [_view(index, view) for index, view in enumerate(views)]}


def value_picture(cache: Cache, key: str, output: int, kinds: Sequence[str], index: int) -> bytes:
    """The picture that stands under a number among the views of a value, as PNG.

    Raises:
        GlidewireError: as `value_summary`, or that view is no picture.
    """
    views = _views(kinds, _value(cache, key, output))
    view = views[index] if 0 <= index < len(views) else None
    if not isinstance(view, Picture):
        raise GlidewireError(f"view {index} of this value is no picture", expected=f"one of {len(views)} views")
    return png(view.pixels)


def output_sizes(cache: Cache, key: str) -> list[int] | None:
    """The bytes of each output of a result that is in memory, or None."""
    found = cache.get(key) if cache.lookup(key) == "memory" else None
    return None if found is None else [nbytes(value) for value in found]


def steps(cache: Cache, key: str) -> list[list[dict[str, Any] | None]]:
    """The walks that a node left frames of: for each step its facts and the names of its pictures, or None."""
    return [[_step(frame_under(cache, one)) for one in walk] for walk in walks_of(cache, key)]


def step_picture(cache: Cache, key: str, walk: int, index: int, name: str) -> bytes:
    """One picture of one step, as PNG.

    Raises:
        GlidewireError: there is no such step or picture any more.
    """
    walks = walks_of(cache, key)
    frame = frame_under(cache, walks[walk][index]) if walk < len(walks) and index < len(walks[walk]) else None
    if frame is None or name not in frame.pictures:
        raise GlidewireError(
            f"there is no picture {name} of step {index}",
            expected=", ".join(frame.pictures) if frame else "a step whose frame is in the cache",
            hint="Run the sampler again.",
        )
    return png(frame.pictures[name])


def png(pixels: Tensor) -> bytes:
    """A picture "height width 3", uint8, as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _value(cache: Cache, key: str, output: int) -> Any:
    found = cache.get(key)
    if found is None:
        raise GlidewireError(
            "this result is not in the cache",
            expected="a result that was kept",
            got="one that was never made, was evicted, or is made again in no time",
            hint="Run the workflow.",
        )
    if not 0 <= output < len(found):
        raise GlidewireError(f"the node has no output {output}", expected=f"0 to {len(found) - 1}", got=output)
    return found[output]


def _views(kinds: Sequence[str], value: Any) -> list[View]:
    items = value[:_MOST_ITEMS] if isinstance(value, list) else [value]
    return [view for item in items for view in views_of(kinds, item)]


def _view(index: int, view: View) -> dict[str, Any]:
    match view:
        case Picture(title=title, pixels=pixels):
            return {"view": "picture", "title": title, "index": index, "size": [pixels.shape[1], pixels.shape[0]]}
        case Plot(title=title, x=x, lines=lines):
            points = {name: {"x": list(xs), "y": list(ys)} for name, (xs, ys) in lines.items()}
            return {"view": "plot", "title": title, "x": x, "lines": points}
        case Table(title=title, columns=columns, rows=rows):
            return {"view": "table", "title": title, "columns": list(columns), "rows": [list(row) for row in rows]}


def _step(frame: Frame | None) -> dict[str, Any] | None:
    return None if frame is None else {"facts": dict(frame.facts), "pictures": list(frame.pictures)}
