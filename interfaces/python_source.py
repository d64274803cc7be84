"""A graph as Python source: the calls that write the same workflow, ready to be changed by hand."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import GlidewireError
from ..graph_runtime.declaration import NodeDeclaration
from ..graph_runtime.graph import Graph, NodeCall, Wire
from ..graph_runtime.problems import GraphProblems, Problem
from ..graph_runtime.registry import Registry
from .surroundings import PACKAGE

_LINE = 84
"""With the four columns of the block, the line length that formatters use by default."""


def as_python(graph: Graph, registry: Registry, *, name: str = "workflow") -> str:
    """Python source that rebuilds a graph and runs it: one node call per line, in an order that works.

    Args:
        graph: The graph; its literals are written out, inputs left out keep their defaults.
        registry: The nodes.
        name: The workflow's name.

    Raises:
        GraphProblems: a node's type, input or output is unknown, or nodes wait for one another.
    """
    _require(graph, registry)
    order = graph.order()
    declarations = {node: _declared(registry, graph.calls[node]) for node in order}
    variables = _variables(order, graph, declarations)
    calls = [_call(graph.calls[node], declarations, variables) for node in order]
    body = [f"    {line}" for call in calls for line in call.splitlines()] or ["    pass"]
    lines = [
        *_imports(declarations.values()),
        "",
        f"with Workflow({_text(name)}) as flow:",
        *body,
        "",
        'if __name__ == "__main__":',
        "    flow.run()",
    ]
    return "\n".join(lines) + "\n"


def _declared(registry: Registry, call: NodeCall) -> NodeDeclaration:
    found = registry.get(call.type)
    assert found is not None
    return found


def _require(graph: Graph, registry: Registry) -> None:
    problems = [problem for call in graph.calls.values() for problem in _call_problems(call, graph, registry)]
    for cycle in graph.cycles():
        message = f"the nodes {', '.join(cycle)} wait for one another in a circle"
        problems.append(Problem("cycle", message, cycle[0], others=tuple(cycle[1:])))
    if problems:
        raise GraphProblems(problems)


def _call_problems(call: NodeCall, graph: Graph, registry: Registry) -> Iterable[Problem]:
    declaration = registry.get(call.type)
    if declaration is None:
        yield Problem("unknown_node", f"there is no node type {call.type}", call.id, call.shown_title)
        return
    for name, value in call.inputs.items():
        if name not in declaration.by_input:
            yield Problem("unknown_input", "the node has no such input", call.id, call.shown_title, name)
        producer = graph.calls.get(value.node) if isinstance(value, Wire) else None
        made = registry.get(producer.type) if producer else None
        if isinstance(value, Wire) and (producer is None or (made and value.output >= len(made.outputs))):
            yield Problem("missing_output", "the wire comes from nowhere", call.id, call.shown_title, name)


def _variables(order: Iterable[str], graph: Graph, declarations: Mapping[str, NodeDeclaration]) -> dict[str, str]:
    """A readable, unique variable for each node: from its title, else from its type."""
    taken: set[str] = {"flow", "nodes", "Workflow", *(entry.name for entry in declarations.values())}
    found: dict[str, str] = {}
    for node in order:
        words = re.findall(r"[a-z0-9]+", (graph.calls[node].title or declarations[node].name).casefold())
        base = "_".join(words) or "node"
        base = f"node_{base}" if base[0].isdecimal() or keyword.iskeyword(base) or keyword.issoftkeyword(base) else base
        if base in taken and not graph.calls[node].title:
            base = f"{base}_{len(found) + 1}" if base in found.values() else f"the_{base}"
        unique, count = base, 2
        while unique in taken:
            unique, count = f"{base}_{count}", count + 1
        taken.add(unique)
        found[node] = unique
    return found


def _imports(declarations: Iterable[NodeDeclaration]) -> list[str]:
    """Nodes of the pack are reached through `nodes`; any other node is imported from where it was written."""
    others: dict[str, set[str]] = {}
    for declaration in declarations:
        if not _of_pack(declaration):
            others.setdefault(declaration.function.__module__, set()).add(declaration.name)
    lines = [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(others.items())]
    return [*lines, "from glidewire import Workflow, nodes"]


def _of_pack(declaration: NodeDeclaration) -> bool:
    return declaration.function.__module__.startswith(f"{PACKAGE}.nodes.")


def _call(call: NodeCall, declarations: Mapping[str, NodeDeclaration], variables: Mapping[str, str]) -> str:
    """A node call as a statement; one argument to a line where it is long."""
    declaration = declarations[call.id]
    written = {name: _value(value, declarations, variables) for name, value in call.inputs.items()}
    arguments = [f"{entry.id}={written[entry.id]}" for entry in declaration.inputs if entry.id in written]
    function = f"nodes.{declaration.name}" if _of_pack(declaration) else declaration.name
    assigned = f"{variables[call.id]} = " if declaration.outputs else ""
    room = _LINE - len(assigned)
    text = _spread(function, arguments, room if not call.title else room - len("flow.titled(, )") - len(call.title))
    if call.title:
        text = _spread("flow.titled", [_text(call.title), text], room)
    return assigned + text


def _spread(function: str, arguments: list[str], room: int) -> str:
    """A call on one line if there is room, else with an argument to a line."""
    flat = f"{function}({', '.join(arguments)})"
    if len(flat) <= room and "\n" not in flat:
        return flat
    lines = [f"    {line}" for argument in arguments for line in f"{argument},".splitlines()]
    return "\n".join([f"{function}(", *lines, ")"])


def _text(value: str) -> str:
    """A text as Python writes it, in double quotes unless it holds one."""
    plain = repr(value)
    return plain if '"' in plain or "'" in value else f'"{plain[1:-1]}"'


def _value(value: Any, declarations: Mapping[str, NodeDeclaration], variables: Mapping[str, str]) -> str:
    if isinstance(value, Wire):
        producer = declarations[value.node]
        variable = variables[value.node]
        return f"{variable}.{producer.outputs[value.output].id}" if producer.several_outputs else variable
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, list):
        return f"[{', '.join(_value(item, declarations, variables) for item in value)}]"
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    raise GlidewireError(
        "a literal has no Python form", expected="a number, a text or a list", got=type(value).__name__
    )
