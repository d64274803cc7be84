"""One node run by the host: its inputs as our runtime would hand them over, its context, its results."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...errors import GlidewireError
from ...graph_runtime import codec
from ...graph_runtime.arguments import coerce, literal
from ...graph_runtime.cache.frames import CacheFrames
from ...graph_runtime.cache.memo import CacheMemo
from ...graph_runtime.context import CancelledError, Context
from ...graph_runtime.declaration import NodeDeclaration
from ...graph_runtime.environment import environment
from ...graph_runtime.frames import Frames
from ...graph_runtime.graph import NodeCall
from ...graph_runtime.mapping import per_item
from ...graph_runtime.results import digest_or_none
from ...graph_runtime.widgets import File
from .. import sources
from ..version import versions
from . import host
from .cache import passing_cache, shared_cache
from .memory import loaded, of_this_process
from .prompts import place

HIDDEN = {"glidewire_prompt": "PROMPT", "glidewire_extra": "EXTRA_PNGINFO"}
"""What a node that saves asks the host for. No node asks for its own id: its result would then belong to the id."""

DIGEST = "glidewire_digest"
"""What a node with an effect shows beside its own: the digest of its inputs, the same as our own runtime's."""


def context_of(
    declaration: NodeDeclaration,
    values: Mapping[str, Any],
    key: str | None = None,
    prompt: Any = None,
    extra: Mapping[str, Any] | None = None,
) -> Context:
    """What a node may ask of its surroundings, answered by the host as far as it can.

    Args:
        declaration, values: The node and its inputs.
        key: Under which its frames are found; None leaves none.
        prompt, extra: What the host gives to nodes that save: the API form, and the saved workflow in "workflow".
    """
    facts = environment(host.policy())
    passing = of_this_process(values) or sources.restart_advice() is not None
    cache = passing_cache() if passing else shared_cache()
    report = host.ProgressReport()
    told = {"workflow": (extra or {}).get("workflow"), "prompt": prompt}
    told = {**told, "glidewire": versions()} if declaration.effect else {}
    return Context(
        policy=host.policy(loading=loads_models(declaration)),
        folders=host.folders(),
        memo=CacheMemo(cache, declaration, facts),
        frames=Frames() if key is None else CacheFrames(shared_cache(), key, facts),
        cancel=host.HostCancel(),
        on_progress=report,
        on_warning=host.LOG.warning,
        provenance={name: json.dumps(document) for name, document in told.items() if document},
        wants_previews=report.shown,
    )


def loads_models(declaration: NodeDeclaration) -> bool:
    """Whether a node reads a network from a file."""
    reads = any(isinstance(entry.widget, File) and entry.widget.folder == "models" for entry in declaration.inputs)
    return reads and any(kind.handle for output in declaration.outputs for kind in output.types)


def execute(declaration: NodeDeclaration, **inputs: Any) -> Any:
    """Run one node in the host: outside its inference mode, so that our networks may compute gradients.

    Tensors that the host made under inference mode are cloned; ours are handed through as they are. Networks
    among the inputs are on the device while the node runs, and the host may take them away afterwards. What our store
    holds under the node's key is not computed again.
    """
    hidden = [inputs.pop(name, None) for name in HIDDEN]
    with torch.inference_mode(False):
        values, where = arguments(declaration, inputs), place()
        key = where.key if where is not None else None
        found = where.found() if where is not None and key is not None else None
        if found is not None:
            return _handed(declaration, found)
        context, begun = context_of(declaration, values, key, *hidden), time.perf_counter()
        try:
            with loaded(values):
                results = _call(declaration, values, context)
        except CancelledError:
            host.raise_interrupted()
            raise
        except Exception as problem:
            if advice := sources.restart_advice():
                raise GlidewireError(f"{type(problem).__name__}: {problem}", hint=advice) from problem
            raise
        if where is not None and key is not None:
            where.keep(_kept(declaration, results), time.perf_counter() - begun)
        if not declaration.effect:
            return results
        return {"ui": {**context.shown, DIGEST: [effect_digest(declaration, values)]}, "result": results}


def _handed(declaration: NodeDeclaration, results: Sequence[Any]) -> tuple[Any, ...]:
    """Results as our runtime keeps them, as the host wants them of this node: lists where it takes lists."""
    single = takes_lists(declaration)
    pairs = zip(declaration.outputs, results, strict=True)
    return tuple([value] if single and not output.is_list else value for output, value in pairs)


def _kept(declaration: NodeDeclaration, results: Sequence[Any]) -> tuple[Any, ...]:
    """The reverse of `_handed`."""
    single = takes_lists(declaration)
    pairs = zip(declaration.outputs, results, strict=True)
    return tuple(value[0] if single and not output.is_list else value for output, value in pairs)


def arguments(declaration: NodeDeclaration, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Every input of a node as our runtime hands it over: defaults filled in, whole numbers made real."""
    lists = takes_lists(declaration)
    unset = NodeCall("", declaration.id)
    values: dict[str, Any] = {}
    for entry in declaration.inputs:
        if entry.id not in inputs:
            default = literal(entry, unset)
            values[entry.id] = [default] if lists and not entry.is_list else default
        elif lists and not entry.is_list:
            values[entry.id] = [coerce(entry, item) for item in inputs[entry.id]]
        else:
            values[entry.id] = coerce(entry, inputs[entry.id])
    return {name: codec.map_tensors(value, _usable) for name, value in values.items()}


def _usable(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.clone() if tensor.is_inference() else tensor


def _call(declaration: NodeDeclaration, values: Mapping[str, Any], context: Context) -> tuple[Any, ...]:
    """One value per output; where the node takes lists, one list per output (the host hands everything as lists)."""
    injected = {"context": context} if declaration.takes_context else {}
    if not takes_lists(declaration):
        return declaration.results(declaration.function(**values, **injected))
    listed = [name for name in values if not declaration.by_input[name].is_list]
    gathered: list[list[Any]] = [[] for _ in declaration.outputs]
    for once in per_item(values, listed):
        results = declaration.results(declaration.function(**once, **injected))
        for entry, result, into in zip(declaration.outputs, results, gathered, strict=True):
            into.extend(result if entry.is_list else [result])
    return tuple(gathered)


def takes_lists(declaration: NodeDeclaration) -> bool:
    """Whether the host must hand every input of this node as a list."""
    return any(entry.is_list for entry in declaration.inputs)


def effect_digest(declaration: NodeDeclaration, values: Mapping[str, Any]) -> str:
    """What went into a node with an effect, by value; a handle counts as nothing."""
    counted = [entry for entry in declaration.inputs if entry.widget is None or not entry.widget.cosmetic]
    return codec.digest({entry.id: digest_or_none(values[entry.id]) or "" for entry in counted})
