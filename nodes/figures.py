"""What a study shows: labelled sheets, previews, tables and plots."""

from __future__ import annotations

import math
from typing import Annotated

from ..diffusion.schedules import NoiseSchedule
from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Number, Text, Wired
from . import lettering, pictures, plotting, tables
from .sockets import Image

Floats = list[Annotated[float, Wired()]]
Columns = Annotated[int, Number(min=0, max=256)]
Gap = Annotated[int, Number(min=0, max=256)]
Side = Annotated[int, Number(min=96, max=4096, step=8)]


@node(category="images", effect=True)
def preview_image(image: Socket[Image, "batch height width 3"], context: Context = INJECTED) -> None:
    """Show pictures on the node without adding to the results: equal pictures share one file in `previews`.

    Args:
        image: "batch height width 3" in [0, 1].

    Raises: GlidewireError for pictures that hold NaN or infinity, or where the output folder cannot be written.

    Source: none (utility).
    """
    context.show(images=pictures.save_previews(image, context))


@node(category="images", version=2)
def labelled_grid(
    images: Socket[Image, "batch height width 3"],
    labels: Annotated[str, Text(multiline=True)] = "",
    column_labels: Annotated[str, Text(multiline=True)] = "",
    row_labels: Annotated[str, Text(multiline=True)] = "",
    columns: Columns = 0,
    gap: Gap = 4,
    letters: Annotated[int, Number(min=6, max=128)] = 12,
) -> Socket[Image, "1 _ _ 3"]:
    """Arrange the pictures of a batch in one picture, with words below them, above columns and left of rows.

    Args:
        images: "batch height width 3".
        labels: One line below each picture, in the order of the batch; fewer lines leave the rest without.
        column_labels: One line above each column.
        row_labels: One line left of each row.
        columns: Pictures in a row; 0 takes as many as there are column labels, or a nearly square grid.
        gap: White pixels around pictures.
        letters: Height of the letters in pixels.

    Returns: One picture, "1 rows columns 3" pixels.

    Raises: GlidewireError for more labels than pictures, columns or rows.

    Source: none (utility).
    """
    count, heads = images.shape[0], column_labels.splitlines()
    across = min(columns, count) or len(heads) or math.ceil(math.sqrt(count))
    tops = lettering.lines_of(column_labels, across, "columns")
    sides = lettering.lines_of(row_labels, math.ceil(count / across), "rows")
    below = lettering.lines_of(labels, count, "pictures")
    return Image(lettering.sheet(images, across, gap, letters, below, (tops, sides)))


@node(category="figures", by_value=True)
def table(
    first: Floats,
    labels: list[Annotated[str, Wired()]] | None = None,
    second: Floats | None = None,
    third: Floats | None = None,
    fourth: Floats | None = None,
    fifth: Floats | None = None,
    names: Annotated[str, Text()] = "",
    digits: Annotated[int, Number(min=0, max=12)] = 3,
) -> str:
    """Set numbers in a table, in Markdown: one row for each item of the lists.

    Args:
        first: The numbers of the first column.
        labels: What stands before each row.
        second, third, fourth, fifth: More columns.
        names: What stands above the columns, with commas between; labels count as a column.
        digits: Behind the decimal point.

    Returns: The table as a text.

    Raises: GlidewireError for columns of different lengths, or more names than columns.

    Source: none (utility).
    """
    columns = [column for column in (first, second, third, fourth, fifth) if column is not None]
    return tables.markdown(columns, labels, [name.strip() for name in names.split(",")] if names else [], digits)


@node(category="figures", version=2)
def plot(
    y: Floats,
    x: Floats | None = None,
    second: Floats | None = None,
    third: Floats | None = None,
    fourth: Floats | None = None,
    names: Annotated[str, Text()] = "",
    title: Annotated[str, Text()] = "",
    x_label: Annotated[str, Text()] = "",
    y_label: Annotated[str, Text()] = "",
    width: Side = 640,
    height: Side = 400,
) -> Socket[Image, "1 height width 3"]:
    """Plot lists of numbers as lines.

    Args:
        y: The numbers of the first line.
        x: Where they lie; 0, 1, 2 ... if nothing is wired.
        second, third, fourth: More lines over the same x.
        names: Of the lines, with commas between.
        title: Above the plot.
        x_label, y_label: What the axes are.
        width, height: Size in pixels.

    Returns: A picture, "1 height width 3".

    Raises: GlidewireError for lines of different lengths, numbers that are not finite, or none at all.

    Source: none (utility).
    """
    given = [line for line in (y, second, third, fourth) if line is not None]
    called = [name.strip() for name in names.split(",")] if names else []
    if len(called) > len(given):
        raise GlidewireError("there are more names than lines", expected=f"at most {len(given)}", got=len(called))
    called += [""] * (len(given) - len(called))
    lines = [
        plotting.Line(name, range(len(line)) if x is None else x, line)
        for name, line in zip(called, given, strict=True)
    ]
    return Image(plotting.drawn(lines, (width, height), title, (x_label, y_label)))


@node(category="schedules")
def plot_schedule(
    schedule: Socket[NoiseSchedule, "_"], width: Side = 640, height: Side = 400
) -> Socket[Image, "1 height width 3"]:
    """Plot a noise schedule: the signal sqrt(alpha_bar) and the noise sqrt(1 - alpha_bar) over its timesteps.

    Args:
        schedule: Any schedule, respaced or whole; "steps".
        width, height: Size in pixels.

    Returns: A picture, "1 height width 3".

    Source: Nichol & Dhariwal 2021, figure 5.
    """
    x = [float(timestep) for timestep in schedule.timesteps]
    signal, noise = schedule.alpha_bar.sqrt().tolist(), (1 - schedule.alpha_bar).clamp(min=0).sqrt().tolist()
    lines = [plotting.Line("signal", x, signal), plotting.Line("noise", x, noise)]
    return Image(plotting.drawn(lines, (width, height), f"{len(schedule)} steps", ("timestep", "")))
