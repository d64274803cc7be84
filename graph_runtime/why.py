"""`why`: which part of a node's key changed since the last run of its workflow, followed to the root causes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .demand import Status
from .keys import Keys

_ROOTS_KEPT: Final = 4
_ROOTS_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Why:
    """The reason for what a plan says of a node.

    Args:
        kind: A stable word: "cached", "unneeded", "effect", "never_run", "changed", "upstream", "evicted",
            "handle", "unknown_value", "error".
        text: The reason in words.
        roots: The nodes where the change began.
    """

    kind: str
    text: str
    roots: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text


class Explainer:
    """Compares the keys of a graph with those of the last run of its workflow, one pass over all nodes.

    Args:
        keys: Of the graph now.
        status: What the plan says of each node.
        environment: The facts behind "@environment" now.
        last: The record of the last run (see `history`), or None.
    """

    def __init__(
        self,
        keys: Keys,
        status: Mapping[str, Status],
        environment: Mapping[str, str],
        last: Mapping[str, Any] | None,
    ) -> None:
        self._keys, self._status, self._environment = keys, status, environment
        self._last: Mapping[str, Any] = (last or {}).get("nodes", {})
        self._last_environment: Mapping[str, str] = (last or {}).get("environment", {})
        self._made_by = {entry["key"]: node for node, entry in self._last.items()}
        self._changes: dict[str, str] = {}
        self._roots: dict[str, tuple[str, ...]] = {}
        for node in keys.needed:
            self._trace(node)

    def why(self, node: str) -> Why:
        """The reason for what the plan says of a needed node."""
        status = self._status[node]
        if status in ("memory", "disk"):
            return Why("cached", f"its result is {'in memory' if status == 'memory' else 'on disk'}")
        if status == "unneeded":
            return self.unneeded()
        if status == "effect":
            return Why("effect", "effect nodes always run")
        if node in self._keys.errors:
            return Why("error", str(self._keys.errors[node]))
        key = self._keys.keys.get(node)
        if key is None:
            return self._hangs_on_a_value(node)
        if node in self._last and self._last[node]["key"] != key.key:
            return self._changed(node)
        if node not in self._last:
            return Why("never_run", "never run in this workflow")
        if any(kind.handle for output in self._keys.declaration(node).outputs for kind in output.types):
            return Why("handle", "it makes something that lives in memory only, and this process has not made it")
        return Why("evicted", "nothing changed, but its result is not in the cache: evicted, or not worth keeping")

    def unneeded(self) -> Why:
        """For nodes that will not be looked at."""
        return Why("unneeded", "nothing that will run asks for it")

    def cost(self, node: str) -> tuple[float, int] | None:
        """Seconds and bytes that the node took when it last ran in this workflow."""
        found = self._last.get(node, {}).get("cost")
        return None if found is None else (found[0], found[1])

    def _changed(self, node: str) -> Why:
        roots = self._roots[node]
        if node in self._changes:
            return Why("changed", self._changes[node], roots)
        shown = [f"upstream node {root} ({self._title(root)}): {self._changes[root]}" for root in roots[:_ROOTS_SHOWN]]
        more = ["and more upstream"] if len(roots) > _ROOTS_SHOWN else []
        return Why("upstream", "; ".join([*shown, *more]) or "something upstream changed", roots)

    def _hangs_on_a_value(self, node: str) -> Why:
        for _, wire in self._keys.wires[node]:
            if wire.node in self._keys.keys:
                place = f"node {wire.node} ({self._title(wire.node)})"
                return Why("unknown_value", f"it hangs on the value of {place}, which is not known before that runs")
        return Why("unknown_value", "it hangs on values upstream that are not known before they are computed")

    def _trace(self, node: str) -> None:
        """Note what changed at this node itself, and the nodes where the changes that reach it began."""
        key, old = self._keys.keys.get(node), self._last.get(node)
        if old is not None and key is not None and old["key"] == key.key:
            self._roots[node] = ()
            return
        own = "never run in this workflow" if old is None else self._own_change(node, old["parts"])
        roots: dict[str, None] = {}
        if own and not (old is None and not self._last):
            self._changes[node] = own
            roots[node] = None
        for _, wire in self._keys.wires[node]:
            if len(roots) >= _ROOTS_KEPT:
                break
            roots.update(dict.fromkeys(self._roots.get(wire.node, ())))
        self._roots[node] = tuple(roots)[:_ROOTS_KEPT]

    def _own_change(self, node: str, old: Mapping[str, str]) -> str:
        """What changed at the node itself, in words; "" if all of it came over its wires."""
        key = self._keys.keys.get(node)
        if key is None:
            return ""
        new, wires, found = key.parts, dict(self._keys.wires[node]), []
        if new["@node"] != old["@node"]:
            found.append(f"another kind of node: {old['@node']} → {new['@node']}")
        elif new["@version"] != old["@version"]:
            found.append(f"node version changed: {old['@version']} → {new['@version']}")
        if new["@environment"] != old["@environment"]:
            found.append(f"environment changed: {self._environment_change()}")
        for name in dict.fromkeys([*new, *old]):
            before, now = old.get(name), new.get(name)
            if name.startswith("@") or before == now:
                continue
            text = self._input_change(name, before, now, wires[name].node if name in wires else None)
            if text:
                found.append(text)
        return "; ".join(found)

    def _input_change(self, name: str, before: str | None, now: str | None, producer: str | None) -> str:
        """What changed at one input; "" where only the result that comes over the same wire did."""
        was, became = _kind(before), _kind(now)
        if was == became == "file":
            return f"the file of input {name} changed"
        if was == became == "wire":
            return self._wire_change(name, before or "", now or "", producer)
        if was == became == "value":
            return f"input {name} got another value from node {producer}"
        return f"input {name} changed: {self._shown(before, None)} → {self._shown(now, producer)}"

    def _wire_change(self, name: str, before: str, now: str, producer: str | None) -> str:
        (*_, slot, key), (*_, slot_now, _) = before.split(" "), now.split(" ")
        if self._last.get(producer or "", {}).get("key") == key:
            return "" if slot == slot_now else f"input {name} was wired to output {slot}, now to output {slot_now}"
        source = self._made_by.get(key, producer)
        return "" if source == producer else f"input {name} was wired to node {source}, now to node {producer}"

    def _environment_change(self) -> str:
        old, new = self._last_environment, self._environment
        names = [name for name in dict.fromkeys([*new, *old]) if old.get(name) != new.get(name)]
        return ", ".join(f"{name} {old.get(name, 'none')} → {new.get(name, 'none')}" for name in names) or "in part"

    def _shown(self, text: str | None, producer: str | None) -> str:
        kind = _kind(text)
        if text is None:
            return "not computed"
        if kind in ("wire", "value"):
            made_by = producer or self._made_by.get(text.rpartition(" ")[2])
            return f"a wire from node {made_by}" if made_by else "a wire"
        if kind == "file":
            return "a file"
        shown = text.partition(" ")[2]
        return shown if len(shown) <= 60 else f"{shown[:56]} ..."

    def _title(self, node: str) -> str:
        return self._keys.graph.calls[node].shown_title


def _kind(text: str | None) -> str:
    """What a part of a key is: "wire", "value", "file" or "literal"."""
    head = (text or "").removeprefix("list of ").partition(" ")[0]
    return head if head in ("wire", "value", "file") else "literal"
