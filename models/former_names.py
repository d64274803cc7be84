"""Names that libraries gave tensors in former versions, as their present ones."""

from __future__ import annotations

from collections.abc import Mapping

from .header import Header

# diffusers' attention layers before its version 0.16; a file has either all of them or none.
_MARK = ".attentions.0.query."
_FORMER: Mapping[str, str] = {
    ".query.": ".to_q.",
    ".key.": ".to_k.",
    ".value.": ".to_v.",
    ".proj_attn.": ".to_out.0.",
}


def with_present_names(header: Header) -> Header:
    """The header with former names as present ones; itself where it has none."""
    if not any(_MARK in key for key in header.shapes):
        return header
    names = {}
    for key in header.shapes:
        name = key
        for former, present in _FORMER.items():
            name = name.replace(former, present)
        names[name] = key
    return header.view(names)
