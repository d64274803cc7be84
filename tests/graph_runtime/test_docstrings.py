from __future__ import annotations

import inspect

from glidewire.graph_runtime.docstrings import Docstring, parse_docstring
from hypothesis import given
from hypothesis import strategies as st

WHOLE = """Extrapolate from one prediction: eps = u + s (c - u),
    in one forward.

    More on it,
    over two lines.

    Args:
        conditional: The first, "batch channels",
            in two lines: really.
        width, height: Sizes in pixels.
        scale: 1 is none.

    Returns: The guided one,
        "batch channels".

    Raises: GlidewireError where it must.

    Source: Ho & Salimans 2022, eq. 6.
    """


def test_a_docstring_is_read_into_its_parts():
    assert parse_docstring(inspect.cleandoc(WHOLE)) == Docstring(
        summary="Extrapolate from one prediction: eps = u + s (c - u), in one forward.",
        body="More on it,\nover two lines.",
        arguments={
            "conditional": 'The first, "batch channels", in two lines: really.',
            "width": "Sizes in pixels.",
            "height": "Sizes in pixels.",
            "scale": "1 is none.",
        },
        returns='The guided one, "batch channels".',
        raises="GlidewireError where it must.",
        source="Ho & Salimans 2022, eq. 6.",
    )


def test_text_after_a_heading_may_stand_on_the_next_line():
    parts = parse_docstring("Do it.\n\nReturns:\n    The thing.\n\nSource:\n    none (utility).")
    assert (parts.returns, parts.source) == ("The thing.", "none (utility).")


def test_nothing_is_nothing():
    assert parse_docstring("") == Docstring()


@given(st.text(max_size=200))
def test_any_text_is_read(text):
    parts = parse_docstring(text)
    assert isinstance(parts.summary, str)
    assert all(name and "," not in name for name in parts.arguments)
