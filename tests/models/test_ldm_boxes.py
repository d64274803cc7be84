"""Layouts as tokens."""

from __future__ import annotations

import pytest
from glidewire.errors import GlidewireError
from glidewire.models.ldm.boxes import Box, box_tokens, position_token
from hypothesis import given
from hypothesis import strategies as st


def test_a_layout_of_the_published_form() -> None:
    tokens = box_tokens([Box(17, 0.0, 0.0, 0.5, 1.0), Box(3, 0.25, 0.5, 1.0, 1.0)])
    assert tokens.shape == (92,)
    # A grid of 90 x 90 places: floor(sqrt(8192)).
    assert tokens[:6].tolist() == [17, 0, 44 + 90 * 89, 3, 22 + 90 * 44, 89 + 90 * 89]
    assert set(tokens[6:90].tolist()) == {8191}
    assert tokens[90:].tolist() == [0, 89 + 90 * 89]


@given(st.floats(0, 1), st.floats(0, 1), st.integers(9, 8192))
def test_every_place_is_a_token_below_the_one_that_says_nothing(x: float, y: float, vocabulary: int) -> None:
    assert 0 <= position_token(x, y, vocabulary) <= vocabulary - 1


def test_what_is_no_layout_is_refused() -> None:
    with pytest.raises(GlidewireError, match="too many boxes; expected at most 30; got 31"):
        box_tokens([Box(1, 0, 0, 1, 1)] * 31)
    with pytest.raises(GlidewireError, match="impossible class; expected 0 to 8190; got 8191"):
        box_tokens([Box(8191, 0, 0, 1, 1)])
    for sides in ((0.5, 0, 0.5, 1), (0, 0, 1.1, 1), (0, 0.6, 1, 0.5)):
        with pytest.raises(GlidewireError, match="a box does not lie in the picture"):
            Box(1, *sides)
