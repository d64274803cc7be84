"""What a run gives back in Python: the values asked for, the digests, or the failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from ..errors import GlidewireError
from ..graph_runtime.execute import RunResult
from ..graph_runtime.problems import NodeFailure
from .placeholders import Output
from .recording import foreign

T = TypeVar("T")


class RunFailedError(GlidewireError):
    """Nodes failed; carries each failure, with the result of what did run."""

    def __init__(self, result: RunResult) -> None:
        self.result = result
        self.failures: tuple[NodeFailure, ...] = tuple(result.failures)
        super().__init__("\n".join(str(failure) for failure in self.failures) or "the run was cancelled")


@dataclass(frozen=True)
class Results:
    """What a run gave: `results[image]` is the value of that output.

    Args:
        result: The runtime's own result: ok, outputs, digests, failures.
        workflow: The workflow whose placeholders it answers to, if it came from one.
    """

    result: RunResult
    workflow: object | None = None

    @property
    def digests(self) -> Mapping[str, str]:
        """For each effect node, the digest of what came into it: the same from every door."""
        return self.result.digests

    @overload
    def __getitem__(self, output: tuple[str, int]) -> Any: ...
    @overload
    def __getitem__(self, output: T) -> T: ...

    def __getitem__(self, output: Any) -> Any:
        """The value of a placeholder, or of (node id, output number).

        Raises:
            GlidewireError: that output was not asked for in this run.
        """
        if isinstance(output, Output):
            if output.workflow is not self.workflow:
                raise foreign(output)
            output = (output.wire.node, output.wire.output)
        node, index = output
        values = self.result.outputs.get(node, ())
        if index >= len(values):
            raise GlidewireError(
                f"the value of output {index} of node {node} was not kept",
                expected=f"an output that was asked for: of node {', '.join(self.result.outputs) or 'none'}",
                hint="Name it in run(...), or use fetch(...).",
            )
        return values[index]
