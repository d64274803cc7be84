"""Tables and pages for the terminal: a plan, the dims on the wires, the nodes, one node in full."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..graph_runtime.declaration import REQUIRED, NodeDeclaration
from .declaration_texts import admits, default_text, dims_text, type_text

if TYPE_CHECKING:
    from ..graph_runtime.check import Report
    from ..graph_runtime.graph import Graph
    from ..graph_runtime.plan import Plan
    from ..graph_runtime.registry import Registry

_STYLES = {"memory": "green", "disk": "green", "run": "yellow", "effect": "cyan", "unneeded": "dim"}


def plan_rows(graph: Graph, plan: Plan) -> list[dict[str, Any]]:
    """A plan as plain JSON: one object per node, in the order of the document."""
    return [
        {
            "node": call.id,
            "title": call.shown_title,
            "status": plan.entries[call.id].status,
            "key": plan.entries[call.id].key,
            "seconds": plan.entries[call.id].seconds,
            "why": str(plan.entries[call.id].why),
        }
        for call in graph.calls.values()
        if call.id in plan.entries
    ]


def plan_table(graph: Graph, plan: Plan) -> Group:
    """A plan as a table, with a line that sums it up."""
    table = _table("node", "title", "status", "cost", "why")
    for row in plan_rows(graph, plan):
        style = _STYLES.get(row["status"], "")
        cost = "" if row["seconds"] is None else seconds_text(row["seconds"])
        table.add_row(row["node"], row["title"], Text(row["status"], style), cost, row["why"])
    counts: dict[str, int] = {}
    for entry in plan.entries.values():
        counts[entry.status] = counts.get(entry.status, 0) + 1
    return Group(table, Text(", ".join(f"{count} {status}" for status, count in counts.items())))


def seconds_text(seconds: float) -> str:
    """A duration as people read it: "3 ms", "1.2 s", "4 min"."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def bytes_text(count: float) -> str:
    """A size as people read it: "512 B", "1.5 MiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def dims_table(graph: Graph, registry: Registry, report: Report) -> Table:
    """The dims that check found on every output."""
    table = _table("node", "title", "output", "dims")
    for (node, index), dims in report.dims.items():
        declaration = registry.get(graph.calls[node].type)
        output = declaration.outputs[index].id if declaration else str(index)
        table.add_row(node, graph.calls[node].shown_title, output, dims)
    return table


def nodes_table(declarations: Iterable[NodeDeclaration]) -> Table:
    """Every node by category, with its summary."""
    table = _table("category", "node", "what it does")
    previous = ""
    for declaration in sorted(declarations, key=lambda entry: entry.category):
        category = declaration.category if declaration.category != previous else ""
        previous = declaration.category
        table.add_row(category, Text(declaration.name, "bold"), declaration.documentation.summary)
    return table


def node_page(declaration: NodeDeclaration) -> Group:
    """One node in full: sockets, dims, ranges, documentation, source."""
    documentation = declaration.documentation
    heading = Text(declaration.title, "bold").append(f"   {declaration.name}, id {declaration.id}", "dim")
    parts: list[Any] = [heading, Text(f"category {declaration.category}, version {declaration.version}", "dim"), Text()]
    parts += [Text(text + "\n") for text in (documentation.summary, documentation.body) if text]
    marks = [
        (declaration.effect, "It does something outside (saves, shows): it always runs."),
        (declaration.by_value, "What follows is cached by the value of its outputs."),
        (bool(declaration.lazy_inputs), f"Only computed when needed: {', '.join(declaration.lazy_inputs)}."),
    ]
    parts += [Text(text) for holds, text in marks if holds]
    if declaration.inputs:
        table = _table("input", "type", "dims", "default", "admits", "what it is")
        for entry in declaration.inputs:
            table.add_row(
                entry.id, type_text(entry), dims_text(entry), default_text(entry), admits(entry), entry.tooltip
            )
        parts.append(table)
    if declaration.outputs:
        table = _table("output", "type", "dims", "what it is")
        for output in declaration.outputs:
            table.add_row(output.id, type_text(output), dims_text(output), output.tooltip)
        parts.append(table)
    for title, text in (
        ("Returns", documentation.returns),
        ("Raises", documentation.raises),
        ("Source", documentation.source),
    ):
        if text:
            parts.append(Text(f"{title}: ", "bold").append(text, "not bold"))
    return Group(*parts)


def node_json(declaration: NodeDeclaration) -> dict[str, Any]:
    """One node as plain JSON."""
    return {
        "id": declaration.id,
        "name": declaration.name,
        "title": declaration.title,
        "category": declaration.category,
        "version": declaration.version,
        "effect": declaration.effect,
        "summary": declaration.documentation.summary,
        "source": declaration.documentation.source,
        "inputs": [
            {
                "id": entry.id,
                "type": type_text(entry),
                "dims": entry.dims,
                "required": entry.default is REQUIRED,
                "default": None if entry.default is REQUIRED else entry.default,
                "admits": admits(entry),
                "tooltip": entry.tooltip,
            }
            for entry in declaration.inputs
        ],
        "outputs": [
            {"id": entry.id, "type": type_text(entry), "dims": entry.dims, "tooltip": entry.tooltip}
            for entry in declaration.outputs
        ],
    }


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
