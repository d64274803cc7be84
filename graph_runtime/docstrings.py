"""Docstrings as data: the summary, each argument's text, what is returned and raised, and the source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_SECTION = re.compile(r"^(Args|Returns|Raises|Source):\s*(.*)$")
_ENTRY = re.compile(r"^(?P<names>[\w, ]+):\s+(?P<text>.*)$")


@dataclass(frozen=True)
class Docstring:
    """A docstring in its parts; `body` is what stands between the summary and the first section."""

    summary: str = ""
    body: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    returns: str = ""
    raises: str = ""
    source: str = ""


def parse_docstring(text: str) -> Docstring:
    """Read a docstring with the sections Args, Returns, Raises and Source; unknown parts stay in the body."""
    sections: dict[str, list[str]] = {"": []}
    current = ""
    for line in text.splitlines():
        heading = _SECTION.match(line)
        if heading:
            current = heading.group(1)
            sections[current] = [heading.group(2)]
        else:
            sections[current].append(line)
    summary, _, body = "\n".join(sections[""]).strip().partition("\n\n")
    return Docstring(
        summary=_joined(summary.splitlines()),
        body=body.strip(),
        arguments=_entries(sections.get("Args", [])),
        returns=_joined(sections.get("Returns", [])),
        raises=_joined(sections.get("Raises", [])),
        source=_joined(sections.get("Source", [])),
    )


def _joined(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines if line.strip())


def _entries(lines: list[str]) -> dict[str, str]:
    """`name: text` and `one, two: text`, each perhaps going on over more deeply indented lines."""
    found: dict[str, str] = {}
    names: list[str] = []
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    for line in lines:
        entry = _ENTRY.match(line[margin:]) if line[margin:] == line[margin:].lstrip() else None
        if entry:
            names = [name.strip() for name in entry.group("names").split(",")]
            found.update(dict.fromkeys(names, entry.group("text").strip()))
        elif line.strip():
            for name in names:
                found[name] = f"{found[name]} {line.strip()}"
    return found
