"""`check`: everything that is wrong with a graph, in one pass and before any weight is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..errors import GlidewireError
from .arguments import coerce
from .constants import Constant, Constants
from .declaration import REQUIRED, InputDeclaration, NodeDeclaration
from .folders import Folders, near
from .graph import Graph, NodeCall, Wire
from .headers import Layout
from .literals import Refusal, listed, refusal, wire_of
from .problems import Problem
from .registry import Registry
from .report import Report
from .shapes import Shapes
from .sockets import fits
from .suggestions import Flow, Suggestions
from .validation import UNKNOWN, refusals, refused
from .widgets import Choice, File

__all__ = ["Report", "check"]

_LITERAL_TYPES: dict[type, str] = {bool: "BOOLEAN", int: "INT", float: "FLOAT", str: "STRING"}


def check(graph: Graph, registry: Registry, folders: Folders) -> Report:
    """Check a graph: types, literals, files, cycles and dims; reads headers and configs, never weights.

    Args:
        graph: The graph.
        registry: The nodes that there are.
        folders: Where its files are looked up.

    Returns:
        The report, with every problem; nothing in a graph makes it raise.
    """
    return _Check(graph, registry, folders).report()


class _Check:
    def __init__(self, graph: Graph, registry: Registry, folders: Folders) -> None:
        self.graph, self.registry, self.folders = graph, registry, folders
        self.problems: list[Problem] = []
        self.suggestions = Suggestions(registry)
        self.types: dict[tuple[str, int], tuple[str, ...]] = {}
        self.shapes = Shapes(graph, registry, self.types, folders, self.suggestions)
        self.layouts: dict[str, Layout] = {}
        self.constants = Constants()
        self.to_validate: list[tuple[NodeCall, NodeDeclaration, dict[str, Any]]] = []
        self.lookups: dict[tuple[int, object], Refusal | None] = {}
        self.wires_that_fit: dict[tuple[tuple[str, ...], tuple[str, ...]], bool] = {}

    def report(self) -> Report:
        for name in self._order():
            self._node(self.graph.calls[name])
        for call, declaration, values in self.to_validate:
            self._validate(call, declaration, values)
        known = {call.id: self.registry.get(call.type) for call in self.graph.calls.values()}
        effects = tuple(name for name, declaration in known.items() if declaration and declaration.effect)
        place = {name: position for position, name in enumerate(self.graph.calls)}
        problems = sorted([*self.problems, *self.shapes.problems], key=lambda problem: place.get(problem.node, -1))
        if not effects and all(known.values()):
            problems.append(self._nothing_to_do())
        return Report(tuple(problems), self.shapes, effects, self.graph, self.types)

    def _nothing_to_do(self) -> Problem:
        return Problem(
            "no_effect",
            "there is nothing to do: no node saves or shows anything",
            expected="at least one node with an effect",
            got=f"{len(self.graph.calls)} nodes without one" if self.graph.calls else "no node at all",
            hint=f"Add one of: {listed(entry.title for entry in self.registry if entry.effect)}.",
        )

    def _order(self) -> list[str]:
        """The nodes after those that they need; nodes in or behind a cycle, which is reported, come last."""
        import networkx as nx

        order: list[str] = []
        try:
            order.extend(nx.topological_sort(self.graph.network))
        except nx.NetworkXUnfeasible:
            for circle in self.graph.cycles():
                self._cycle(circle)
            return list(dict.fromkeys([*order, *self.graph.calls]))
        return order

    def _cycle(self, circle: list[str]) -> None:
        first = self.graph.calls[circle[0]]
        message = (
            f"the nodes {listed(circle, 30)} wait for one another in a circle"
            if len(circle) > 1
            else "the node waits for its own output"
        )
        hint = "Take out one of the wires between them."
        wanted = "wires that lead forward only"
        found = Problem("cycle", message, first.id, first.shown_title, expected=wanted, hint=hint)
        self.problems.append(replace(found, others=tuple(circle[1:])))

    def _node(self, call: NodeCall) -> None:
        declaration = self.registry.get(call.type)
        if declaration is None:
            hint = self.suggestions.node_named(call.type)
            hint = hint or "Install the pack that has it, or take the node out."
            self._problem(call, None, "unknown_node", "there is no such node", None, call.type, hint)
            return
        layout = self.layouts.get(declaration.id) or self.layouts.setdefault(declaration.id, Layout.of(declaration))
        values: dict[str, Any] = {}
        wires: dict[str, Wire] = {}
        for name, value in call.inputs.items():
            given = declaration.by_input.get(name)
            if given is None:
                self._unknown_input(call, declaration, name)
            elif isinstance(value, Wire):
                if self._wire_fits(call, declaration, given, value):
                    wires[name] = value
                    constant = self.constants.over(value)
                    if constant is not None and self._constant_fits(call, given, value, constant):
                        values[name] = constant.value
            elif self._literal_fits(call, given, value):
                values[name] = value
        for given in declaration.inputs:
            if given.id not in call.inputs and self._default_fits(call, given):
                values[given.id] = None if given.default is REQUIRED else given.default
        bound = self._variables(call, declaration, values, wires) if layout.has_variables else {}
        for index, output in enumerate(declaration.outputs):
            self.types[call.id, index] = bound.get(output.variable or "", output.type_ids)
        self.shapes.visit(call, layout, values, wires)
        if declaration.by_value:
            try:
                self.constants.make(call, declaration, values)
            except GlidewireError as error:
                self.problems.append(refused(call, error, [given.id for given in declaration.inputs]))
        if declaration.validate:
            self.to_validate.append((call, declaration, values))

    def _validate(self, call: NodeCall, declaration: NodeDeclaration, values: dict[str, Any]) -> None:
        """Ask a node's own validations; by now all is known of its dims that ever will be."""

        def known(name: str) -> Any:
            given = declaration.by_input.get(name)
            if given is not None and given.is_literal:
                return coerce(given, values[name]) if name in values else UNKNOWN
            found = self.shapes.known(call.id, name)
            return UNKNOWN if found is None else found

        self.problems += refusals(call, declaration, known, self.folders)

    def _problem(
        self,
        call: NodeCall,
        given: str | None,
        kind: str,
        message: str,
        expected: str | None,
        got: str | None,
        hint: str | None = None,
        others: tuple[str, ...] = (),
    ) -> None:
        self.problems.append(Problem(kind, message, call.id, call.shown_title, given, expected, got, hint, others))

    def _unknown_input(self, call: NodeCall, declaration: NodeDeclaration, name: str) -> None:
        known = [given.id for given in declaration.inputs]
        hint = near(name, known)
        self._problem(call, name, "unknown_input", "the node has no such input", listed(known), name, hint)

    def _literal_fits(self, call: NodeCall, given: InputDeclaration, value: Any) -> bool:
        """Whether a literal is in order; what needs a look at the disk is looked up once per value."""
        if isinstance(given.widget, File | Choice) and isinstance(value, str):
            key = (id(given), value)
            if key not in self.lookups:
                self.lookups[key] = refusal(given, value, self.folders)
            refused = self.lookups[key]
        else:
            refused = refusal(given, value, self.folders)
        if refused:
            hint = refused.hint
            if hint is None and not given.is_literal:
                hint = self.suggestions.makers(given.type_ids)
            self._problem(call, given.id, refused.kind, refused.message, refused.expected, refused.got, hint)
        return not refused

    def _constant_fits(self, call: NodeCall, given: InputDeclaration, wire: Wire, constant: Constant) -> bool:
        """Whether what is known to come over a wire is a value that the input admits, and the only one it will get."""
        if not given.is_literal:
            return False
        entry = replace(given, is_list=True) if constant.listed else given
        found = refusal(entry, constant.value, self.folders)
        if found:
            producer = self.graph.calls[wire.node]
            source = f"; it comes from node {producer.id} ({producer.shown_title})"
            texts = (found.kind, found.message + source, found.expected, found.got, found.hint)
            self._problem(call, given.id, *texts, others=(producer.id,))
        return not found and constant.listed == given.is_list

    def _default_fits(self, call: NodeCall, given: InputDeclaration) -> bool:
        if given.optional and (given.default is REQUIRED or given.default is None):
            return True
        if given.default is not REQUIRED:
            # A default is right by declaration, but a file can be missing and a list of options can change.
            return not isinstance(given.widget, File | Choice) or self._literal_fits(call, given, given.default)
        expected = ("a value or " if given.is_literal else "") + wire_of(given.type_ids)
        hint = None if given.is_literal else self.suggestions.makers(given.type_ids)
        self._problem(call, given.id, "missing_input", "the input is required", expected, "nothing", hint)
        return False

    # Wires

    def _wire_fits(self, call: NodeCall, declaration: NodeDeclaration, given: InputDeclaration, wire: Wire) -> bool:
        producer = self.graph.calls.get(wire.node)
        if producer is None:
            hint = near(wire.node, self.graph.calls) if len(self.graph.calls) < 1000 else None
            message = f"the wire comes from node {wire.node}, which does not exist"
            self._problem(call, given.id, "missing_node", message, "the id of a node", wire.node, hint)
            return False
        made = self.registry.get(producer.type)
        if made is None:
            return False
        if type(wire.output) is not int or not 0 <= wire.output < len(made.outputs):
            message = f"node {producer.id} ({producer.shown_title}) has no output {wire.output}"
            outputs = [f"{index} ({output.id})" for index, output in enumerate(made.outputs)]
            self._problem(
                call, given.id, "missing_output", message, listed(outputs), str(wire.output), others=(producer.id,)
            )
            return False
        # The output of a node that waits for this one (a cycle, reported) is not known yet.
        types = self.types.get((wire.node, wire.output), ("*",))
        ends = (types, given.type_ids)
        if ends not in self.wires_that_fit:
            self.wires_that_fit[ends] = fits(*ends)
        if not self.wires_that_fit[ends]:
            self._wrong_type(call, declaration, given, wire, made)
        return self.wires_that_fit[ends]

    def _wrong_type(
        self, call: NodeCall, declaration: NodeDeclaration, given: InputDeclaration, wire: Wire, made: NodeDeclaration
    ) -> None:
        types = self.types[wire.node, wire.output]
        producer = self.graph.calls[wire.node]
        message = f"output {made.outputs[wire.output].id} of node {producer.id} ({producer.shown_title}) does not fit"
        free = [other for other in declaration.inputs if not isinstance(call.inputs.get(other.id), Wire)]
        takers = [other.id for other in free if not other.is_literal and fits(types, other.type_ids)]
        makers = [
            output.id
            for index, output in enumerate(made.outputs)
            if fits(self.types.get((wire.node, index), ("*",)), given.type_ids)
        ]
        hints = [
            f"Input {listed(takers, 3)} takes it." if takers else None,
            f"Output {listed(makers, 3)} of node {producer.id} fits." if makers else None,
            self.suggestions.between(Flow(types), Flow(given.type_ids)),
        ]
        self._problem(
            call,
            given.id,
            "wrong_type",
            message,
            " or ".join(given.type_ids),
            " or ".join(types),
            " ".join(hint for hint in hints if hint) or None,
            (producer.id,),
        )

    def _variables(
        self, call: NodeCall, declaration: NodeDeclaration, values: dict[str, Any], wires: dict[str, Wire]
    ) -> dict[str, tuple[str, ...]]:
        """What each type variable of a node stands for: the type that is wired to the inputs that have it."""
        bound: dict[str, tuple[str, ...]] = {}
        for given in declaration.inputs:
            if given.variable is None:
                continue
            if given.id in wires:
                wire = wires[given.id]
                types = self.types.get((wire.node, wire.output), ("*",))
            elif (kind := _LITERAL_TYPES.get(type(values.get(given.id)))) is not None:
                types = (kind,)
            else:
                continue
            known = bound.get(given.variable)
            if known is None or "*" in known or fits(known, types):
                bound[given.variable] = known if known and "*" in types else types
            elif not fits(types, known):
                message = f"the inputs of type {given.variable} must all be of one type"
                self._problem(call, given.id, "wrong_type", message, " or ".join(known), " or ".join(types))
        return bound
