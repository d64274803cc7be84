"""A session: the nodes, folders, device policy and cache with which a door checks, plans and runs graphs."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

from ..errors import GlidewireError
from ..graph_runtime.cache import Cache
from ..graph_runtime.check import Report
from ..graph_runtime.check import check as check_graph
from ..graph_runtime.context import CancelToken, Policy
from ..graph_runtime.declaration import RECORDER
from ..graph_runtime.events import Event
from ..graph_runtime.execute import RunResult
from ..graph_runtime.execute import run as run_graph
from ..graph_runtime.folders import Folders, near, user_path
from ..graph_runtime.formats import examine, to_api, to_saved
from ..graph_runtime.graph import Graph
from ..graph_runtime.plan import Plan
from ..graph_runtime.plan import plan as plan_graph
from ..graph_runtime.problems import GraphProblems, Problem
from ..graph_runtime.registry import Registry, collect
from ..graph_runtime.widgets import File
from .assignments import places, relative_names
from .surroundings import PACKAGE, ROOT, find_device, find_dtype, find_folders, open_store, use_threads
from .version import versions


@functools.cache
def pack_registry() -> Registry:
    """Every node of the pack."""
    return collect(f"{PACKAGE}.nodes")


def shipped_workflows() -> dict[str, Path]:
    """The workflows that come with the pack, by name: "text-to-image", "claims/guidance"."""
    folder = ROOT / "workflows"
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.json"))}


def locate_workflow(name: str | Path) -> Path:
    """The file that `name` means: a path, or the name of a shipped workflow.

    Raises:
        GlidewireError: there is neither such a file nor such a workflow.
    """
    path = user_path(name, "the workflow")
    shipped = shipped_workflows()
    # A run's folder may be named like the workflow that it is of.
    if path.exists() and not (path.is_dir() and str(name) in shipped):
        return path
    if str(name) in shipped:
        return shipped[str(name)]
    raise GlidewireError(
        f"no workflow {name}",
        expected=f"a file, or one of the shipped workflows: {', '.join(shipped) or 'none'}",
        hint=near(str(name), shipped),
    )


class SessionOptions(TypedDict, total=False):
    """What every door may choose.

    Keys:
        models: Folders searched for checkpoints, before $GLIDEWIRE_MODELS and the shipped weights.
        inputs: Folders searched for pictures and other inputs; the current folder if there are none.
        output: The folder that results are written into ("output").
        device: "cpu", "cuda", "cuda:1", "mps", or "auto": the first accelerator, else the processor.
        dtype: "float32", "bfloat16" or "float16".
        deterministic: Ask torch for deterministic kernels.
        threads: How many processor threads torch may use.
        cache: The folder of the disk cache; None keeps results in memory only; left out, the user's cache folder.
    """

    models: Sequence[str | Path]
    inputs: Sequence[str | Path]
    output: str | Path
    device: str
    dtype: str
    deterministic: bool
    threads: int | None
    cache: str | Path | None


@dataclass(frozen=True)
class Session:
    """The nodes, folders, device policy and cache with which graphs are checked, planned and run."""

    registry: Registry
    folders: Folders
    policy: Policy
    cache: Cache

    @classmethod
    def open(cls, *, registry: Registry | None = None, workflow: Path | None = None, **options: Any) -> Session:
        """Open a session; `options` are those of `SessionOptions`.

        Args:
            registry: The nodes; those of the pack if left out.
            workflow: The file that will run: its folder counts as a folder of inputs, after the others.

        Raises:
            GlidewireError: an option has an impossible value, or names a folder or device that does not exist.
        """
        unknown = sorted(set(options) - set(SessionOptions.__annotations__))
        if unknown:
            known = ", ".join(SessionOptions.__annotations__)
            raise GlidewireError(
                f"unknown option {unknown[0]}", expected=known, hint=near(unknown[0], known.split(", "))
            )
        use_threads(options.get("threads"))
        return cls(
            registry=pack_registry() if registry is None else registry,
            folders=find_folders(
                options.get("models", ()), options.get("inputs", ()), options.get("output", "output"), workflow
            ),
            policy=Policy(
                device=find_device(options.get("device", "auto")),
                dtype=find_dtype(options.get("dtype", "float32")),
                deterministic=options.get("deterministic", False),
            ),
            cache=Cache(store=None if options.get("cache", "") is None else open_store(options.get("cache"))),
        )

    def allowing(self, files: Iterable[Path]) -> Session:
        """This session, with single files allowed that the user named himself."""
        return replace(self, folders=replace(self.folders, files=self.folders.files | frozenset(files)))

    def check(self, graph: Graph) -> Report:
        """Every problem of a graph, and the dims on its wires."""
        return check_graph(graph, self.registry, self.folders)

    def plan(self, graph: Graph, targets: Sequence[str] | None = None) -> Plan:
        """What would run, what is cached, and why; raises GraphProblems where it could not run."""
        self.check(graph).refuse(targets)
        return plan_graph(graph, self.registry, self.cache, folders=self.folders, policy=self.policy, targets=targets)

    def run(
        self,
        graph: Graph,
        targets: Sequence[str] | None = None,
        *,
        on_event: Callable[[Event], None] = lambda event: None,
        cancel: CancelToken | None = None,
        keep_going: bool = False,
        metadata: bool = True,
        previews: bool = False,
        frames: bool = False,
    ) -> RunResult:
        """Run the effect nodes of a graph, or exactly `targets`; raises GraphProblems where they have problems.

        Args:
            metadata: Saved pictures carry the workflow, its API form and the versions of everything.
            previews: Somebody looks at the pictures in Progress events.
            frames: Nodes leave frames of their steps in the cache, for the step inspector.
        """
        self.check(graph).refuse(targets)
        recorder = RECORDER.set(None)  # inside `with Workflow()` too, nodes that call nodes mean to run them
        try:
            return run_graph(
                graph,
                self.registry,
                self.cache,
                folders=self.folders,
                policy=self.policy,
                targets=targets,
                on_event=on_event,
                cancel=cancel,
                keep_going=keep_going,
                provenance=self.provenance(graph) if metadata else {},
                previews=previews,
                frames=frames,
            )
        finally:
            RECORDER.reset(recorder)

    def provenance(self, graph: Graph) -> dict[str, str]:
        """What pictures carry: "workflow" (saved form), "prompt" (API form), "glidewire" (versions, digests)."""
        facts = {"device": self.policy.device, "dtype": self.policy.dtype, "files": self.file_digests(graph)}
        graph = relative_names(graph, self.registry, self.folders)
        documents = {
            "workflow": to_saved(graph, self.registry),
            "prompt": to_api(graph),
            "glidewire": {**versions(), **facts},
        }
        return {name: json.dumps(document) for name, document in documents.items()}

    def file_digests(self, graph: Graph) -> dict[str, str]:
        """SHA-256 of each file that the graph's inputs name, by the file's own name."""
        found = {}
        for place in places(graph, self.registry):
            name = place.call.inputs.get(place.input.id, place.input.default)
            if isinstance(place.input.widget, File) and isinstance(name, str):
                with suppress(GlidewireError):  # not needed by this run, or check would have refused it
                    path = self.folders.find(place.input.widget.folder, name)
                    found[path.name] = self.cache.files.digest(path)
        return found


@dataclass(frozen=True)
class Loaded:
    """A workflow as far as it could be read, the file it came from, and what is wrong with the rest."""

    graph: Graph
    path: Path | None = None
    problems: tuple[Problem, ...] = ()

    def problems_with(self, found: Iterable[Problem]) -> tuple[Problem, ...]:
        """The problems of the document and those that a check found, each once."""
        known = {(problem.kind, problem.node, problem.input) for problem in self.problems}
        return (*self.problems, *(one for one in found if (one.kind, one.node, one.input) not in known))

    def require(self, session: Session) -> Graph:
        """The graph; where the document has problems, GraphProblems with those and all that a check finds."""
        if self.problems:
            raise GraphProblems(self.problems_with(session.check(self.graph).problems))
        return self.graph


def load(source: str | Path | Mapping[str, Any] | Graph, registry: Registry) -> Loaded:
    """A workflow from a path, a shipped workflow's name, a document, or a graph as it is.

    Of a picture, what made it is taken (its API form), not what stands in the editor beside it.

    Raises:
        GlidewireError: there is no such file, or it is no workflow.
    """
    if isinstance(source, Graph):
        return Loaded(source)
    if not isinstance(source, str | Path | Mapping):
        raise GlidewireError(
            "this is no workflow",
            expected="a path, a shipped workflow's name, a document or a graph",
            got=repr(source)[:80],
        )
    path = None if isinstance(source, Mapping) else locate_workflow(source)
    reading = examine(path or source, registry, which="prompt")
    return Loaded(reading.graph, path, tuple(reading.problems))
