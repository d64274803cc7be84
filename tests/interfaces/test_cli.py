"""The command line: what each command prints and where, its exit codes, and what every mistake is told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from glidewire.graph_runtime.graph import Wire
from glidewire.graph_runtime.history import workflow_id
from glidewire.interfaces import cli as main_module
from glidewire.interfaces import session
from glidewire.interfaces.api import Workflow
from glidewire.interfaces.cli import app
from glidewire.interfaces.cli_inspect import parse_size
from typer.testing import CliRunner, Result


@pytest.fixture
def cli(registry, monkeypatch) -> Callable[..., Result]:
    """Run a command in this process, with the tiny nodes as the pack."""
    monkeypatch.setattr(session, "pack_registry", lambda: registry)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def saved(tiny, registry, tmp_path) -> Path:
    """A chain of steps, saved: noise, steps, scale, keep."""
    with Workflow("chain", registry=registry) as flow:
        noise = flow.titled("Noise", tiny.tiny_noise(4, seed=1))
        scaled = tiny.tiny_scale(tiny.tiny_steps(noise), by=2.0)
        flow.titled("Keep", tiny.tiny_keep(scaled, name="kept"))
    return flow.save(tmp_path / "chain.json")


@pytest.fixture
def failing(tiny, registry, tmp_path) -> Path:
    """Two branches, one of which fails."""
    with Workflow("failing", registry=registry) as flow:
        noise = tiny.tiny_noise(4)
        tiny.tiny_keep(tiny.tiny_fail(noise), name="never")
        tiny.tiny_keep(noise, name="always")
    return flow.save(tmp_path / "failing.json")


def test_run_lists_what_it_shows_on_stdout_and_tells_its_progress_on_stderr(cli, saved, tmp_path):
    done = cli("run", saved, "--device", "cpu")
    assert (done.exit_code, done.stdout) == (0, "kept\n")
    assert (tmp_path / "output" / "kept.txt").is_file()
    lines = done.stderr.splitlines()
    assert lines[0] == "4 nodes to run, 0 cached"
    assert "   1  Noise: started" in lines
    assert re.search(r"   1  Noise: finished in \d+\.\d\d s: grain float32 4 in \[", done.stderr)
    assert "   2  GlidewireTinySteps: warning: the steps are over" in lines
    assert sum("/20 step" in line for line in lines) == 9
    assert "Traceback" not in done.stderr


def test_json_puts_one_event_on_each_line_of_stdout_and_nothing_else(cli, saved):
    done = cli("run", saved, "--device", "cpu", "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert done.exit_code == 0 and done.stderr == ""
    assert (kinds[0], kinds[-1]) == ("queued", "completed")
    assert kinds.count("progress") == 20 and kinds.count("finished") == 4 and "warned" in kinds
    assert events[-1]["ok"] is True and len(events[-1]["digests"]["4"]) == 64
    assert not any("preview" in event for event in events)


@pytest.mark.parametrize("set_", ["Noise.seed=7", "1.seed=7", "seed=7"])
def test_set_changes_an_input_by_id_title_or_unique_name(cli, saved, set_):
    first = cli("run", saved, "--device", "cpu", "--json", "--set", set_)
    again = cli("run", saved, "--device", "cpu", "--json", "--seed", "7")
    other = cli("run", saved, "--device", "cpu", "--json")
    digests = [json.loads(done.stdout.splitlines()[-1])["digests"] for done in (first, again, other)]
    assert digests[0] == digests[1] != digests[2]


def test_previews_are_written_as_files(cli, saved, tmp_path):
    assert cli("run", saved, "--device", "cpu", "--previews", tmp_path / "previews").exit_code == 0
    names = sorted(path.name for path in (tmp_path / "previews").iterdir())
    assert len(names) == 20 and names[0] == "2_00001.png"
    assert (tmp_path / "previews" / names[0]).read_bytes().startswith(b"\x89PNG")


def test_a_failing_node_ends_with_1_and_names_itself_its_inputs_and_the_cause(cli, failing, tmp_path):
    done = cli("run", failing, "--device", "cpu")
    assert done.exit_code == 1 and "Traceback" not in done.output
    assert (
        "error: node 2 (GlidewireTinyFail) failed: the tiny node fails; expected success; got failure. "
        "It always does.\n    grain = float32 4 in ["
    ) in done.stderr
    assert not (tmp_path / "output" / "never.txt").exists()


def test_keep_going_finishes_what_does_not_depend_on_it(cli, failing, tmp_path):
    done = cli("run", failing, "--device", "cpu", "--keep-going")
    assert (done.exit_code, done.stdout) == (1, "always\n")
    assert "   3  GlidewireTinyKeep: skipped, because node 2 did not finish" in done.stderr
    assert (tmp_path / "output" / "always.txt").is_file()


def test_tracebacks_are_shown_with_debug_alone(cli, tiny, registry, tmp_path):
    with Workflow(registry=registry) as flow:
        tiny.tiny_keep(tiny.tiny_crash(tiny.tiny_noise()))
    path = flow.save(tmp_path / "crash.json")
    quiet, loud = cli("run", path, "--device", "cpu"), cli("run", path, "--device", "cpu", "--debug")
    assert (quiet.exit_code, loud.exit_code) == (1, 1)
    assert "KeyError" in quiet.stderr and "Traceback" not in quiet.stderr
    assert "Traceback" in loud.stderr and "tiny_crash" in loud.stderr
    told = [json.loads(line) for line in cli("run", path, "--device", "cpu", "--json").stdout.splitlines()]
    failed = next(event for event in told if event["event"] == "failed")
    assert failed["failure"]["node"] == "2" and "traceback" not in failed["failure"]


def test_ctrl_c_cancels_within_a_step_and_ends_with_130(cli, saved, tmp_path):
    done = cli("run", saved, "--device", "cpu", "--set", "interrupt=3", "--json")
    kinds = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert done.exit_code == 130
    assert kinds.count("progress") == 3 and "cancelled" in kinds
    assert not (tmp_path / "output" / "kept.txt").exists()


def test_problems_end_with_3_and_are_all_listed(cli, tiny, registry, tmp_path):
    with Workflow(registry=registry) as flow:
        noise = tiny.tiny_noise(1000, seed=-1)
        tiny.tiny_keep(noise)
    path = flow.save_api(tmp_path / "wrong.json")
    for command in ("run", "check", "plan"):
        done = cli(command, path)
        assert done.exit_code == 3 and "Traceback" not in done.output
        assert "error: 2 problems in the workflow" in done.stderr
        assert "node 1 (GlidewireTinyNoise), input count: " in done.stderr
        assert "node 1 (GlidewireTinyNoise), input seed: " in done.stderr
    told = json.loads(cli("check", path, "--json").stdout)
    assert told["ok"] is False and [one["input"] for one in told["problems"]] == ["count", "seed"]
    run = json.loads(cli("run", path, "--json").stdout)
    assert run["event"] == "error" and [one["input"] for one in run["problems"]] == ["count", "seed"]


def test_document_problems_and_graph_problems_come_in_one_pass(cli, tmp_path):
    document = {
        "1": {"class_type": "GlidewireTinyNoise", "inputs": {"count": 1000}},
        "2": {"class_type": "GlidewireTinyKeep", "inputs": {"grain": ["1", -3]}},
    }
    (tmp_path / "both.json").write_text(json.dumps(document))
    done = cli("check", "both.json")
    assert done.exit_code == 3
    assert "node 2 (GlidewireTinyKeep), input grain: is no wire" in done.stderr
    assert "node 1 (GlidewireTinyNoise), input count: " in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("missing.json", None, "no workflow missing.json; expected a file, or one of the shipped workflows: "),
        ("empty.json", b"", "empty.json"),
        ("list.json", b"[1]", "list.json is no workflow"),
        ("garbage.png", b"\x89PNG\r\n\x1a\n" + b"x" * 40, "garbage.png"),
        ("photo.jpg", b"\xff\xd8\xff\xe0", "photo.jpg is a picture of a kind that carries no workflow"),
    ],
)
def test_a_file_that_cannot_be_read_ends_with_4(cli, tmp_path, name, content, text):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    for command in (["run"], ["check"], ["plan"], ["convert", "out.json"]):
        done = cli(command[0], name, *command[1:])
        assert done.exit_code == 4 and text in done.stderr and "Traceback" not in done.output
    assert not (tmp_path / "out.json").exists() and not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--set", "seed"], "error: --set cannot be read; expected node.input=value, or input=value; got 'seed'."),
        (["--set", "Noise.seed=x"], "error: 1.seed (Noise) cannot be set so; expected a whole number; got 'x'"),
        (["--set", "sed=1"], "error: the workflow has no input sed; expected 1.count (Noise), 1.seed (Noise), "),
        (["--device", "tpu"], "error: this machine has no such device; expected auto, cpu"),
        (["--dtype", "int8"], "error: no such number type; expected float32, bfloat16 or float16; got int8"),
        (["--threads", "0"], "error: the number of threads is impossible; expected 1 to 1024; got 0"),
        (["--threads", "9" * 30], "error: the number of threads is impossible; expected 1 to 1024; got 999"),
        (["--models", "none"], "error: the models folder does not exist; expected an existing folder; got "),
        (["--input", "none"], "error: the input folder does not exist; expected an existing folder; got "),
        (["--output", "chain.json"], "error: the output folder is a file; expected a folder, or a path that is free"),
        (["--cache", "chain.json"], "error: "),
        (["--cache", "x" * 5000], "error: the cache folder xxx"),
        (["--input", "x" * 5000], "error: the input folder xxx"),
        (["--output", "x" * 5000], "error: the output folder xxx"),
        (["--previews", "chain.json"], "error: cannot make the folder of previews chain.json; expected a folder, or "),
        (["--unknown"], "No such option: --unknown"),
    ],
)
def test_a_wrong_command_line_ends_with_2(cli, saved, arguments, text):
    done = cli("run", saved, *arguments)
    assert done.exit_code == 2 and text in done.stderr and done.stdout == ""


def test_a_name_that_no_file_can_have_is_told_without_a_traceback(cli, tiny, registry, tmp_path):
    for name in ("x" * 5000, "~a_user_that_nobody_is/w.json"):
        done = cli("run", name)
        assert done.exit_code == 4 and "Traceback" not in done.output
        assert (
            f"error: the workflow {name[:80]}" in done.stderr and " cannot be looked up; expected a path" in done.stderr
        )
    with Workflow(registry=registry) as flow:
        tiny.tiny_keep(tiny.tiny_noise(), name=tiny.tiny_read("w.txt"))
    done = cli("run", flow.save(tmp_path / "reads.json"), "--set", f"file={'x' * 5000}")
    assert done.exit_code == 3 and "input file: " in done.stderr and "Traceback" not in done.output


def test_messages_show_what_the_user_wrote_letter_by_letter(cli, saved):
    assert "got ':smile: [bold]x'" in cli("run", saved, "--set", "seed=:smile: [bold]x").stderr


def test_a_mistake_of_our_own_is_told_as_one_and_shown_with_debug(monkeypatch, capfd):
    monkeypatch.setattr(main_module, "app", lambda **_: {}["missing"])
    monkeypatch.setattr(sys, "argv", ["glidewire", "nodes"])
    with pytest.raises(SystemExit) as ended:
        main_module.main()
    assert ended.value.code == 70
    assert "glidewire made a mistake of its own (KeyError: 'missing'). Please report it" in " ".join(
        capfd.readouterr().err.split()
    )
    monkeypatch.setattr(sys, "argv", ["glidewire", "nodes", "--debug"])
    with pytest.raises(KeyError):
        main_module.main()


def test_a_file_named_with_set_is_allowed_and_only_that(cli, registry, tiny, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "other.txt").write_text("other")
    monkeypatch.chdir(tmp_path / "work")
    document = {
        "1": {"class_type": "GlidewireTinyRead", "inputs": {"file": "../other.txt"}},
        "2": {"class_type": "GlidewireTinyRead", "inputs": {"file": "../other.txt"}},
        "3": {"class_type": "GlidewireTinyKeep", "inputs": {"grain": ["4", 0], "name": ["1", 0]}},
        "4": {"class_type": "GlidewireTinyNoise", "inputs": {}},
    }
    Path("w.json").write_text(json.dumps(document))
    outside = cli("run", "w.json", "--device", "cpu")
    assert outside.exit_code == 3 and "../other.txt lies outside the input folders" in outside.stderr
    named = cli("run", "w.json", "--device", "cpu", "--set", "1.file=../secret.txt")
    assert (named.exit_code, named.stdout) == (0, "secret\n")
    assert Path("output/secret.txt").is_file()


def test_plan_and_why_say_what_would_run_and_what_changed(cli, saved):
    def fresh() -> dict[str, str]:
        return {row["node"]: row["why"] for row in json.loads(cli("plan", saved, "--device", "cpu", "--json").stdout)}

    assert fresh()["1"] == "never run in this workflow"
    assert cli("run", saved, "--device", "cpu").exit_code == 0
    changed = cli("plan", saved, "--device", "cpu", "--set", "by=3")
    assert changed.exit_code == 0 and "input by changed: 2.0 → 3.0" in changed.stdout
    why = cli("why", saved, "tiny_scale", "--device", "cpu", "--set", "by=3")
    assert why.stdout == "3 (GlidewireTinyScale): run\ninput by changed: 2.0 → 3.0\n"
    assert cli("why", saved, "scal", "--device", "cpu").exit_code == 2


def test_check_says_how_many_nodes_are_in_order_and_shows_dims(cli, saved):
    done = cli("check", saved, "--dims")
    assert done.exit_code == 0 and done.stdout.endswith("4 nodes, no problems\n")
    told = json.loads(cli("check", saved, "--json").stdout)
    assert told["ok"] and told["dims"]["1:0"] == "4"


def test_nodes_are_listed_and_shown_in_full(cli, registry):
    listed = cli("nodes")
    assert all(declaration.name in listed.stdout for declaration in registry)
    page = cli("nodes", "tiny_noise").stdout
    for text in ("Tiny noise", "GlidewireTinyNoise", "count", "INT", "1 to 64", "0 to 9007199254740991", "Noise."):
        assert text in page
    assert json.loads(cli("nodes", "GlidewireTinyNoise", "--json").stdout)["inputs"][0]["id"] == "count"
    missing = cli("nodes", "tiny_nois")
    assert missing.exit_code == 2 and "there is no node tiny_nois. Did you mean tiny_noise" in missing.stderr
    assert "Did you mean tiny_scale?" in cli("nodes", "Scale").stderr


def test_convert_writes_each_form_and_all_mean_the_same(cli, saved, registry, tmp_path):
    graph = Workflow.load(saved, registry=registry).graph
    for form, name in (("saved", "a.json"), ("api", "b.json")):
        done = cli("convert", saved, name, "--to", form, "--set", "by=5")
        assert (done.exit_code, done.stdout) == (0, f"{name}\n")
        made = Workflow.load(tmp_path / name, registry=registry).graph
        assert made.calls["3"].inputs == {"grain": Wire("2", 0), "by": 5.0, "offset": 0}
        assert made.calls["1"] == graph.calls["1"]
    assert cli("convert", saved, "c.py", "--to", "python").exit_code == 0
    assert 'with Workflow("chain") as flow:' in (tmp_path / "c.py").read_text()
    for name in ("no/folder.json", "a.json/in_a_file.json", "x" * 300):
        nowhere = cli("convert", saved, name)
        assert nowhere.exit_code == 2 and "cannot be written" in nowhere.stderr and "Traceback" not in nowhere.output


def test_the_cache_is_counted_verified_pruned_and_cleared(cli, saved, tmp_path):
    cli("run", saved, "--device", "cpu")
    told = json.loads(cli("cache", "stats", "--json").stdout)
    assert told["folder"].startswith(str(tmp_path / "cache"))
    assert json.loads(cli("cache", "verify", "--json").stdout)["damaged"] == 0
    assert "budget: 20.0 GiB" in cli("cache", "stats").stdout
    assert cli("cache", "prune", "--budget", "1K").exit_code == 0
    assert cli("cache", "clear", "--yes").exit_code == 0
    assert json.loads(cli("cache", "stats", "--json").stdout)["entries"] == 0
    asked = cli("cache", "clear")  # nobody there to say yes
    assert asked.exit_code != 0
    wrong = cli("cache", "prune", "--budget", "much")
    assert (
        wrong.exit_code == 2 and "the budget is no size; expected bytes, or a number with K, M, G or T" in wrong.stderr
    )


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("1000", 1000), ("2k", 2048), ("1.5 GiB", 3 * 2**29), ("3MB", 3 * 2**20)]
)
def test_sizes_are_read(text, size):
    assert parse_size(text) == size


def test_models_are_listed_and_inspected(cli, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "junk.safetensors").write_bytes(b"junk")
    listed = cli("models", "list", "--models", tmp_path / "models")
    assert listed.exit_code == 0 and "junk.safetensors: " in listed.stdout
    junk = cli("models", "inspect", "junk.safetensors", "--models", tmp_path / "models")
    assert junk.exit_code == 4 and "junk.safetensors" in junk.stderr and "Traceback" not in junk.output
    assert cli("models", "inspect", "missing.safetensors").exit_code == 4


def test_the_module_runs_as_a_program_and_documents_its_exit_codes(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "glidewire", "run", "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    text = " ".join(done.stdout.split())
    assert done.returncode == 0 and "0 done; 1 a node failed; 2 the command line is wrong; 3 the workflow" in text
    for option in ("--set", "--seed", "--output", "--models", "--input", "--device", "--dtype", "--threads", "--json",
                   "--keep-going", "--no-metadata", "--cache", "--no-cache", "--debug", "--previews"):  # fmt: skip
        assert option in text


def program(*arguments: str, **streams: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "glidewire", *arguments], text=True, timeout=120, **streams)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_output_that_cannot_be_written_is_told_and_is_no_mistake_of_ours(tmp_path):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = program("nodes", "--json", cwd=tmp_path, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (4, "error: the output cannot be written; got No space left on device\n")


def test_a_reader_who_goes_away_ends_the_command_quietly(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        done = program("nodes", "--json", cwd=tmp_path, stdout=gone, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("closed", [1, 2])
def test_a_closed_stream_is_no_trouble(tmp_path, closed):
    done = program("cache", "stats", cwd=tmp_path, preexec_fn=lambda: os.close(closed))
    assert done.returncode == 0


def test_a_picture_of_an_api_form_belongs_to_the_same_workflow(cli, saved, registry, tmp_path):
    cli("convert", saved, "api.json", "--to", "api")
    api = Workflow.load(tmp_path / "api.json", registry=registry)
    kept = Workflow.load(api.save(tmp_path / "again.json"), registry=registry)
    assert workflow_id(api.graph) == workflow_id(kept.graph)
