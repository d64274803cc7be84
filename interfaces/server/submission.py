"""What a client asks to run: the request read and checked, and everything wrong with it in the host's shape."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ...errors import GlidewireError
from ...graph_runtime.formats import examine
from ...graph_runtime.formats.document import is_saved
from ...graph_runtime.graph import Graph
from ...graph_runtime.problems import Problem
from ..session import Session
from .replies import Refused

LONGEST_CLIENT: Final = 128

_HOST_KINDS: Final = {
    "missing_input": "required_input_missing",
    "wrong_type": "return_type_mismatch",
    "wrong_dims": "return_type_mismatch",
    "out_of_range": "value_bigger_than_max",
    "not_an_option": "value_not_in_list",
    "missing_file": "value_not_in_list",
    "missing_node": "bad_linked_input",
    "missing_output": "bad_linked_input",
    "unknown_node": "missing_node_type",
    "cycle": "dependency_cycle",
}
"""The editor's words for our kinds of problems (it marks inputs by them); the others are `_OTHER_KIND`."""

_OTHER_KIND: Final = "custom_validation_failed"


@dataclass(frozen=True)
class Submission:
    """A request to run a workflow.

    Args:
        graph: The workflow; its document is the saved workflow that travels in pictures.
        targets: The nodes that can run and are wanted.
        node_errors: What is wrong with the others, in the host's shape.
    """

    graph: Graph
    targets: tuple[str, ...]
    node_errors: dict[str, Any] = field(default_factory=dict)


def read(request: Mapping[str, Any], session: Session) -> Submission:
    """Read and check a request {"prompt": {...}, "extra_data": {...}, "partial_execution_targets": [...]}.

    Args:
        request: The prompt is an API form, or a saved workflow.
        session: What it is checked with.

    Raises:
        Refused: it is no workflow, or no node that was asked for can run; with everything that is wrong.
    """
    prompt = request.get("prompt")
    if not isinstance(prompt, Mapping) or not prompt:
        raise Refused(
            400,
            "the request has no workflow in it",
            expected='{"prompt": {node id: {"class_type": ..., "inputs": {...}}}}',
            got="nothing" if not prompt else type(prompt).__name__,
            kind="no_prompt" if prompt is None else "prompt_no_outputs",
        )
    try:
        reading = examine(prompt, session.registry)
    except GlidewireError as problem:
        raise Refused(
            400, problem.message, expected=problem.expected, got=problem.got, hint=problem.hint, kind="invalid_prompt"
        ) from None
    document = _document(request)
    graph = Graph(reading.graph.calls.values(), document) if document else reading.graph
    report = session.check(graph)
    known = {(problem.kind, problem.node, problem.input) for problem in reading.problems}
    found = [one for one in report.problems if (one.kind, one.node, one.input) not in known]
    problems = [*reading.problems, *found]
    wanted = _wanted(request, graph) or report.effects
    targets, relevant = _sort(graph, wanted, problems)
    if not targets:
        found = relevant or problems
        raise _refusal(found, node_errors(graph, found))
    return Submission(graph, targets, node_errors(graph, relevant))


def client_of(request: Mapping[str, Any]) -> str | None:
    """Who asks.

    Raises:
        Refused: the name is no short text.
    """
    client = request.get("client_id")
    if client is not None and not (isinstance(client, str) and len(client) <= LONGEST_CLIENT):
        raise Refused(
            400, "client_id is no short text", expected=f"up to {LONGEST_CLIENT} characters", got=_kind(client)
        )
    return client or None


def id_of(request: Mapping[str, Any]) -> str:
    """The id that the client chose for the job, or a new one.

    Raises:
        Refused: it is no UUID in its usual form.
    """
    chosen = request.get("prompt_id")
    if chosen is None:
        return str(uuid.uuid4())
    try:
        usual = isinstance(chosen, str) and str(uuid.UUID(chosen)) == chosen
    except ValueError:
        usual = False
    if not usual:
        raise Refused(400, "prompt_id is no UUID", expected="a UUID in lower case", got=repr(chosen)[:60])
    return chosen


def number_of(request: Mapping[str, Any]) -> float | None:
    """The place in the queue that the client asks for: lower runs sooner.

    Raises:
        Refused: it is no number.
    """
    number = request.get("number")
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int | float) or abs(number) > 1e12:
        raise Refused(400, "number is no place in the queue", expected="a number", got=repr(number)[:60])
    return float(number)


def workflow_of(request: Mapping[str, Any]) -> str:
    """The id of the saved workflow that the request came from, or ""."""
    found = (_document(request) or {}).get("id")
    return found if isinstance(found, str) else ""


def worth_keeping(request: Mapping[str, Any]) -> dict[str, Any]:
    """What a job remembers of its request: not the tokens of outside services that an editor may send along."""
    kept = {name: request[name] for name in ("prompt", "partial_execution_targets") if name in request}
    extra = request.get("extra_data")
    pnginfo = extra.get("extra_pnginfo") if isinstance(extra, Mapping) else None
    return {**kept, "extra_data": {"extra_pnginfo": pnginfo} if isinstance(pnginfo, Mapping) else {}}


def node_errors(graph: Graph, problems: Iterable[Problem]) -> dict[str, Any]:
    """Problems by node in the host's shape; each message is a whole sentence of ours."""
    found: dict[str, Any] = {}
    for problem in problems:
        # Every node of a circle turns red, not only the first.
        for node in (problem.node, *(problem.others if problem.kind == "cycle" else ())):
            call = graph.calls.get(node)
            if call is None:
                continue
            entry = found.setdefault(node, {"errors": [], "dependent_outputs": [], "class_type": call.type})
            entry["errors"].append(_error(problem))
    for node, entry in found.items():
        entry["dependent_outputs"] = (
            [
                other
                for other in graph.calls
                if node in graph.needed_by([other]) and not graph.network.out_degree(other)
            ][:100]
            if len(found) <= 20
            else []
        )
    return found


def _error(problem: Problem) -> dict[str, Any]:
    """One problem: what is wrong as message, the whole sentence with what to do as details."""
    place = f"{problem.input}: " if problem.input else ""
    extra = {"input_name": problem.input} if problem.input else {}
    return {
        "type": _HOST_KINDS.get(problem.kind, _OTHER_KIND),
        "message": problem.message,
        "details": place + str(replace(problem, node="", title="", input=None)).removeprefix("workflow: "),
        "extra_info": {**extra, "glidewire": problem.as_json()},
    }


def editor_texts() -> dict[str, Any]:
    """The editor's texts for problems, so that it shows our sentences in place of its own."""
    ours = dict.fromkeys(("details", "detailsWithRawDetails", "detailsWithValue", "detailsWithTypes"), "{rawDetails}")
    toasts = ("toastMessage", "toastMessageWithRawDetails", "toastMessageWithValue", "toastMessageWithTypes")
    ours |= dict.fromkeys(toasts, "{nodeName}: {rawDetails}")
    kinds = dict.fromkeys([*_HOST_KINDS.values(), _OTHER_KIND, "unknown_validation_error"], ours)
    # Where a text of its own is taken away, the editor falls back on the message that the server sent.
    runs = {"execution_failed": {"message": None, "toastMessage": None}}
    prompts = ("prompt_no_outputs", "no_prompt", "missing_node_type", "prompt_outputs_failed_validation")
    whole = {kind: {"desc": None} for kind in (*prompts, "server_error_local")}
    catalogue = {"validationErrors": kinds, "runtimeErrors": runs, "promptErrors": whole}
    elsewhere = {"errorHelp": " "}  # it sends people to other people's issue tracker and support
    return {"errorCatalog": catalogue, "rightSidePanel": elsewhere}


def _wanted(request: Mapping[str, Any], graph: Graph) -> tuple[str, ...]:
    targets = request.get("partial_execution_targets")
    if targets is None:
        return ()
    if not isinstance(targets, list) or not all(isinstance(one, str | int) for one in targets):
        raise Refused(400, "partial_execution_targets is no list of node ids", expected='["9"]', got=repr(targets)[:60])
    missing = [str(one) for one in targets if str(one) not in graph.calls]
    if missing:
        raise Refused(
            400,
            "partial_execution_targets names a node that the workflow does not have",
            expected=f"one of {', '.join(list(graph.calls)[:20])}",
            got=", ".join(missing)[:100],
        )
    return tuple(str(one) for one in targets)


def _sort(graph: Graph, wanted: Iterable[str], problems: list[Problem]) -> tuple[tuple[str, ...], list[Problem]]:
    """The targets that nothing stands in the way of, and the problems of the others."""
    whole = [problem for problem in problems if not problem.node and problem.kind != "no_effect"]
    bad = {node for problem in problems for node in (problem.node, *problem.others) if node}
    broken = {problem.node for problem in problems if problem.node}
    targets: list[str] = []
    concerned: set[str] = set()
    for target in wanted:
        needed = graph.needed_by([target])
        if whole or needed & broken or target not in graph.calls:
            concerned |= needed & bad
        else:
            targets.append(target)
    return tuple(targets), [one for one in problems if one.node in concerned or one in whole]


def _refusal(problems: list[Problem], errors: dict[str, Any]) -> Refused:
    nothing = all(problem.kind in ("no_effect", "unknown_node") for problem in problems)
    unknown = any(problem.kind == "unknown_node" for problem in problems)
    kind = "prompt_outputs_failed_validation"
    if nothing:
        kind = "missing_node_type" if unknown else "prompt_no_outputs"
    first = problems[0] if problems else Problem("no_effect", "there is nothing to do")
    count = len(problems)
    message = str(first) if count == 1 else f"{count} problems in the workflow"
    details = "" if count == 1 else "\n".join(str(problem) for problem in problems[:50])
    return Refused(400, message, kind=kind, node_errors=errors, details=details)


def _document(request: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The saved workflow beside the prompt, if it is one."""
    extra = request.get("extra_data")
    pnginfo = extra.get("extra_pnginfo") if isinstance(extra, Mapping) else None
    document = pnginfo.get("workflow") if isinstance(pnginfo, Mapping) else None
    return document if isinstance(document, Mapping) and is_saved(document) else None


def _kind(value: object) -> str:
    return f"{type(value).__name__} of {len(value)} characters" if isinstance(value, str) else type(value).__name__
