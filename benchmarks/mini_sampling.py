"""Sampling time of each mini over its bare forwards: the shipped workflows, as a user runs them.

    python -m glidewire.benchmarks.mini_sampling [WORKFLOW ...] [--rounds 3]

Each round runs a workflow from Python with an empty cache, and then calls every network once more with what the run
called it with: the same forwards, at the same batches, with nothing around them. Compared are the wall times of the
nodes in which a network was called with theirs; the rest of a run loads, encodes, decodes and saves.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..graph_runtime.events import Event, Finished, Started
from ..interfaces.api import run
from .measuring import seconds

WORKFLOWS = ("text-to-image", "unclip", "prior-into-paella", "paella", "latent-diffusion")


@dataclass
class Watched:
    """The networks' calls of one run, and how long the nodes took that made them.

    Attributes:
        calls: Network and arguments of every call, in order.
        sampling: Seconds of the nodes that called a network.
        whole: Seconds of all nodes.
    """

    calls: list[tuple[nn.Module, tuple[Any, ...]]] = field(default_factory=list)
    sampling: float = 0.0
    whole: float = 0.0
    _before: int = 0

    def called(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """Take note of a denoiser's call; the modules inside of it are part of it."""
        if hasattr(module, "prediction") and hasattr(module, "learned_variance"):
            self.calls.append((module, inputs))

    def on_event(self, event: Event) -> None:
        """Take note of a node's time."""
        if isinstance(event, Started):
            self._before = len(self.calls)
        if isinstance(event, Finished):
            self.whole += event.seconds
            self.sampling += event.seconds * (len(self.calls) > self._before)


def watched_run(workflow: str) -> Watched:
    """Run a shipped workflow with an empty cache."""
    watched = Watched()
    hook = nn.modules.module.register_module_forward_hook(watched.called)
    try:
        with tempfile.TemporaryDirectory() as folder:
            run(workflow, on_event=watched.on_event, cache=Path(folder) / "cache", output=Path(folder) / "output")
    finally:
        hook.remove()
    return watched


def bare(watched: Watched) -> Callable[[], None]:
    """The forwards of a run, and nothing else."""

    @torch.no_grad()
    def call_all() -> None:
        for network, inputs in watched.calls:
            network(*inputs)

    return call_all


def main() -> None:
    """Print a row per workflow: forwards, median seconds of sampling and of its forwards, the ratio, and all nodes'."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("workflows", nargs="*", default=list(WORKFLOWS))
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, median of {given.rounds} rounds")
    print(f"{'workflow':<24}{'forwards':>10}{'sampling s':>12}{'bare s':>9}{'ratio':>8}{'all nodes s':>13}")
    for workflow in given.workflows:
        watched_run(workflow)
        rounds = [(watched := watched_run(workflow), seconds(bare(watched))) for _ in range(given.rounds)]
        ratio = statistics.median(one.sampling / least for one, least in rounds)
        sampling = statistics.median(one.sampling for one, _ in rounds)
        whole = statistics.median(one.whole for one, _ in rounds)
        least = statistics.median(least for _, least in rounds)
        calls = len(rounds[0][0].calls)
        print(f"{workflow:<24}{calls:>10}{sampling:>12.3f}{least:>9.3f}{ratio:>8.3f}{whole:>13.3f}", flush=True)


if __name__ == "__main__":
    main()
