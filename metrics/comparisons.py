"""Whether two ways differ: figures of the same prompts and seeds, compared in pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..errors import GlidewireError


def paired_difference(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """The mean of first_i - second_i, and its standard error: deviation of the differences / sqrt(count).

    Args:
        first: Figures of one way, one for each prompt.
        second: Of the other way, for the same prompts.

    Returns:
        The mean difference, and its standard error, in the figures' own unit.

    Raises:
        GlidewireError: Lists of different lengths, or fewer than two pairs.

    Source:
        Student 1908, "The probable error of a mean", section III.
    """
    if len(first) != len(second):
        raise GlidewireError(
            "pairs need lists of one length", expected=f"{len(first)} and {len(first)}", got=len(second)
        )
    count = len(first)
    if count < 2:
        raise GlidewireError("an error of the mean needs two pairs or more", expected="at least 2", got=count)
    differences = [a - b for a, b in zip(first, second, strict=True)]
    mean = math.fsum(differences) / count
    variance = math.fsum((one - mean) ** 2 for one in differences) / (count - 1)
    return mean, math.sqrt(variance / count)
