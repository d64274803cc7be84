"""What a client asks to run: read, checked, and refused with every problem in the host's shape and our words."""

from __future__ import annotations

import pytest
from glidewire.graph_runtime import formats
from glidewire.interfaces.server import submission
from glidewire.interfaces.server.replies import Refused
from glidewire.interfaces.session import Session


@pytest.fixture
def session(registry, tmp_path):
    return Session.open(registry=registry, inputs=[tmp_path], device="cpu", cache=None)


def refusal(request, session) -> Refused:
    with pytest.raises(Refused) as caught:
        submission.read(request, session)
    assert caught.value.status == 400
    return caught.value


def test_a_workflow_in_order_is_taken_in_either_form(session, workflow):
    read = submission.read({"prompt": workflow()}, session)
    assert read.targets == ("3",) and not read.node_errors and read.graph.document is None
    saved = formats.to_saved(read.graph, session.registry)
    beside = {"extra_data": {"extra_pnginfo": {"workflow": saved}}}
    assert submission.read({"prompt": workflow(), **beside}, session).graph.document == saved
    assert submission.workflow_of(beside) == saved["id"]
    assert submission.read({"prompt": saved}, session).targets == ("3",)


def test_every_problem_stands_at_its_node_in_a_sentence_that_helps(session, workflow):
    prompt = workflow()
    prompt["1"]["inputs"]["count"] = 1000
    del prompt["2"]["inputs"]["grain"]
    prompt["3"]["inputs"]["grain"] = ["9", 0]
    refused = refusal({"prompt": prompt}, session)
    assert refused.kind == "prompt_outputs_failed_validation"
    (wrong,) = refused.node_errors["3"]["errors"]
    assert wrong["type"] == "bad_linked_input" and wrong["extra_info"]["input_name"] == "grain"
    assert "node 9, which does not exist" in wrong["message"] and refused.node_errors["3"]["class_type"]
    prompt["3"]["inputs"]["grain"] = ["2", 0]
    (missing,) = refusal({"prompt": prompt}, session).node_errors["2"]["errors"]
    assert missing["type"] == "required_input_missing"
    assert (
        missing["details"].startswith("grain: the input is required; expected a wire") and "GRAIN" in missing["details"]
    )
    prompt["2"]["inputs"]["grain"] = ["1", 0]
    (range_,) = refusal({"prompt": prompt}, session).node_errors["1"]["errors"]
    assert range_["type"] == "value_bigger_than_max" and "64" in range_["details"] and "1000" in range_["details"]
    assert range_["extra_info"]["glidewire"]["kind"] == "out_of_range"


def test_a_circle_names_all_of_its_nodes(session, workflow):
    prompt = workflow()
    prompt["1"] = {"class_type": "GlidewireTinyScale", "inputs": {"grain": ["2", 0]}}
    refused = refusal({"prompt": prompt}, session)
    assert set(refused.node_errors) == {"1", "2"}
    for entry in refused.node_errors.values():
        assert entry["errors"][0]["type"] == "dependency_cycle" and "nodes 1, 2 wait" in entry["errors"][0]["details"]
        assert entry["dependent_outputs"] == ["3"]


def test_what_can_run_runs_and_the_rest_is_reported(session, workflow):
    prompt = {**workflow(), "4": {"class_type": "GlidewireTinyKeep", "inputs": {}}}
    read = submission.read({"prompt": prompt}, session)
    assert read.targets == ("3",) and list(read.node_errors) == ["4"]


def test_only_the_targets_that_were_asked_for_run(session, workflow):
    prompt = {**workflow(), "4": {"class_type": "GlidewireTinyKeep", "inputs": {"grain": ["1", 0]}}}
    assert submission.read({"prompt": prompt, "partial_execution_targets": ["4"]}, session).targets == ("4",)
    assert submission.read({"prompt": prompt, "partial_execution_targets": [2]}, session).targets == ("2",)
    refused = refusal({"prompt": prompt, "partial_execution_targets": ["8"]}, session)
    assert "does not have" in refused.message and refused.got == "8"
    for bad in ("4", {}, [None], 4):
        assert "no list of node ids" in refusal({"prompt": prompt, "partial_execution_targets": bad}, session).message


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        (None, "no_prompt"), ({}, "prompt_no_outputs"), ([], "prompt_no_outputs"), ("x", "prompt_no_outputs"),
        ({"1": 2}, "invalid_prompt"), ({"a": {"b": 1}}, "invalid_prompt"),
        ({"1": {"class_type": "GlidewireTinyNoise", "inputs": {}}}, "prompt_no_outputs"),
        ({"1": {"class_type": "Unknown", "inputs": {}}}, "missing_node_type"),
        ({"1": {"class_type": 3}}, None),
        ({"1": {"class_type": "GlidewireTinyNoise", "inputs": []}}, None),
    ],
)  # fmt: skip
def test_what_is_no_workflow_is_refused_in_words(session, prompt, kind):
    refused = refusal({"prompt": prompt}, session)
    assert refused.message and (kind is None or refused.kind == kind)
    assert refused.response().status == 400


def test_an_unknown_node_is_named_with_what_was_meant(session):
    refused = refusal({"prompt": {"1": {"class_type": "GlidewireTinyNoize", "inputs": {}}}}, session)
    (error,) = refused.node_errors["1"]["errors"]
    assert error["type"] == "missing_node_type" and "GlidewireTinyNoise" in error["details"]


def test_fields_of_the_wrong_kind_are_refused():
    usual = "0f0e2d3c-1111-4222-8333-444455556666"
    assert submission.id_of({"prompt_id": usual}) == usual and len(submission.id_of({})) == 36
    for bad in (usual.upper(), "x", 3, "", usual + " ", usual.replace("-", "")):
        with pytest.raises(Refused, match="prompt_id is no UUID"):
            submission.id_of({"prompt_id": bad})
    assert submission.client_of({}) is None and submission.client_of({"client_id": "a"}) == "a"
    for bad in (3, "a" * 1000, {}):
        with pytest.raises(Refused, match="client_id is no short text"):
            submission.client_of({"client_id": bad})
    assert submission.number_of({"number": -3}) == -3.0 and submission.number_of({}) is None
    for bad in ("1", True, 1e300, []):
        with pytest.raises(Refused, match="no place in the queue"):
            submission.number_of({"number": bad})


def test_the_editor_is_told_to_show_our_sentences():
    texts = submission.editor_texts()["errorCatalog"]["validationErrors"]
    assert texts["required_input_missing"]["toastMessage"] == "{nodeName}: {rawDetails}"
    assert texts["dependency_cycle"]["detailsWithRawDetails"] == "{rawDetails}"


def test_tokens_of_outside_services_are_not_remembered(workflow):
    extra = {
        "extra_pnginfo": {"workflow": {"nodes": []}},
        "auth_token_comfy_org": "secret",
        "api_key_comfy_org": "secret",
    }
    kept = submission.worth_keeping({"prompt": workflow(), "extra_data": extra, "client_id": "me"})
    assert kept == {"prompt": workflow(), "extra_data": {"extra_pnginfo": {"workflow": {"nodes": []}}}}
    assert submission.worth_keeping({"prompt": {}, "extra_data": "x"}) == {"prompt": {}, "extra_data": {}}
