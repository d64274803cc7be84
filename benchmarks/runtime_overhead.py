"""What the runtime itself costs: microseconds a node for chains of trivial nodes, beside ComfyUI's figures.

python -m glidewire.benchmarks.runtime_overhead [--lengths 1000 10000 20000] [--repeat 3] [--store]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.table import Table

from ..graph_runtime.cache import Cache, Store
from ..graph_runtime.check import check
from ..graph_runtime.context import Policy
from ..graph_runtime.declaration import node
from ..graph_runtime.execute import run
from ..graph_runtime.folders import Folders
from ..graph_runtime.graph import Graph, NodeCall, Wire
from ..graph_runtime.plan import plan
from ..graph_runtime.registry import Registry
from ..graph_runtime.widgets import Wired
from .measuring import seconds

# ComfyUI 0.3.64, the same kind of chain, no client connected: (nodes, making keys first, making keys again, running),
# milliseconds, on a machine like the one these benchmarks are developed on. 1,000 nodes end in a RecursionError.
COMFYUI = [
    (50, 37, 35, 6),
    (100, 100, 120, 15),
    (200, 1053, 960, 45),
    (400, 3981, 5029, 157),
    (800, 15978, 17320, 607),
    (900, 19299, 23257, 728),
]


@node(category="benchmark")
def step(value: Annotated[int, Wired()] = 0) -> int:
    """One more."""
    return value + 1


@node(category="benchmark", effect=True)
def sink(value: Annotated[int, Wired()]) -> None:
    """Wants the end of the chain."""


REGISTRY = Registry([step.declaration, sink.declaration])


def chain(length: int) -> Graph:
    """`length` trivial nodes in a row, and an effect node that wants the last one."""
    calls = [NodeCall("0", step.declaration.id)]
    calls += [
        NodeCall(str(index), step.declaration.id, {"value": Wire(str(index - 1), 0)}) for index in range(1, length)
    ]
    return Graph([*calls, NodeCall("end", sink.declaration.id, {"value": Wire(str(length - 1), 0)})])


def measure(length: int, store: bool) -> list[float]:
    """Seconds to build, check, plan, run, run again (everything cached) and plan again."""
    with tempfile.TemporaryDirectory() as folder:
        folders, policy = Folders(output=Path(folder)), Policy()
        cache = Cache(store=Store(Path(folder) / "cache") if store else None)
        graph = chain(length)
        return [
            seconds(lambda: chain(length)),
            seconds(lambda: check(graph, REGISTRY, folders)),
            seconds(lambda: plan(graph, REGISTRY, cache, folders=folders, policy=policy)),
            seconds(lambda: run(graph, REGISTRY, cache, folders=folders, policy=policy)),
            seconds(lambda: run(graph, REGISTRY, cache, folders=folders, policy=policy)),
            seconds(lambda: plan(graph, REGISTRY, cache, folders=folders, policy=policy)),
        ]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[50, 400, 1000, 5000, 10_000, 20_000])
    parser.add_argument("--repeat", type=int, default=3, help="take the best of so many")
    parser.add_argument("--store", action="store_true", help="with a disk tier")
    options = parser.parse_args()
    console = Console()
    table = Table(
        title=f"glidewire: µs a node, best of {options.repeat}{', with a disk tier' if options.store else ''}"
    )
    for heading in ("nodes", "build", "check", "plan", "first run", "cached re-run", "cached plan"):
        table.add_column(heading, justify="right")
    for length in options.lengths:
        rounds = [measure(length, options.store) for _ in range(options.repeat)]
        best = [min(times) for times in zip(*rounds, strict=True)]
        table.add_row(f"{length:,}", *(f"{value / length * 1e6:.1f}" for value in best))
    console.print(table)
    other = Table(title="ComfyUI 0.3.64: µs a node (measured elsewhere; 1,000 nodes and more: RecursionError)")
    for heading in ("nodes", "first run: keys", "first run: execution", "cached re-run: keys"):
        other.add_column(heading, justify="right")
    for count, first, again, execution in COMFYUI:
        other.add_row(f"{count:,}", *(f"{value * 1000 / count:,.0f}" for value in (first, execution, again)))
    console.print(other)


if __name__ == "__main__":
    main()
