"""A node's declaration as a help page in Markdown, as node hosts show it beside the node."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph_runtime.declaration import InputDeclaration, NodeDeclaration, OutputDeclaration
from .declaration_texts import admits, default_text, dims_text, type_text


def help_page(declaration: NodeDeclaration) -> str:
    """A node in full: what it does, its formula, inputs with dims, defaults and ranges, outputs, errors, source."""
    told = declaration.documentation
    parts = [f"# {declaration.title}", told.summary, told.body]
    if declaration.inputs:
        rows = [
            (f"`{entry.id}`", type_text(entry), _dims(entry), default_text(entry), admits(entry), entry.tooltip)
            for entry in declaration.inputs
        ]
        parts += ["## Inputs", _table(("input", "type", "dims", "default", "admits", "what it is"), rows)]
    if declaration.outputs:
        found = [(f"`{entry.id}`", type_text(entry), _dims(entry), entry.tooltip) for entry in declaration.outputs]
        parts += ["## Outputs", _table(("output", "type", "dims", "what it is"), found)]
    for title, text in (("Returns", told.returns), ("Raises", told.raises), ("Source", told.source)):
        if text:
            parts.append(f"**{title}.** {text}")
    parts.append(f"Id `{declaration.id}`, version {declaration.version}, in Python `nodes.{declaration.name}`.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _dims(entry: InputDeclaration | OutputDeclaration) -> str:
    text = dims_text(entry)
    return f"`{text}`" if text else ""


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
