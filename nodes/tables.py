"""Tables as text: columns of numbers in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import GlidewireError


def markdown(columns: Sequence[Sequence[float]], labels: Sequence[str] | None, names: list[str], digits: int) -> str:
    """A table in Markdown.

    Args:
        columns: Numbers, one column each.
        labels: What stands before each row, if anything.
        names: What stands above the columns, the labels' first.
        digits: Behind the decimal point.

    Raises:
        GlidewireError: Columns of different lengths, or more names than columns.
    """
    written: list[list[str]] = [[label.replace("|", "\\|") for label in labels]] if labels is not None else []
    written += [[f"{number:.{digits}f}" for number in column] for column in columns]
    lengths = [len(column) for column in written]
    if len(set(lengths)) != 1:
        raise GlidewireError("the columns of the table differ in length", expected=f"{lengths[0]} each", got=lengths)
    if len(names) > len(written):
        raise GlidewireError(
            "there are more names than columns", expected=f"at most {len(written)}", got=f"{len(names)}: {names}"
        )
    heads = names + [""] * (len(written) - len(names))
    rule = [":--" if labels is not None and index == 0 else "--:" for index in range(len(written))]
    rows = [heads, rule, *zip(*written, strict=True)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
