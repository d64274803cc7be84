"""The holes that other node servers are known for: each has its test, and nothing here runs what comes from outside."""

from __future__ import annotations

import ast
import re

import pytest
from glidewire.graph_runtime.widgets import Text
from glidewire.interfaces.session import pack_registry
from glidewire.interfaces.surroundings import ROOT

TABLE = (ROOT / "docs" / "editor.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/\S+\.py)::(\w+)`", TABLE)
NOT_SERVED = {".venv", "tests", "training", "benchmarks", "docs", "build", "output"}

RUNS = {"eval", "exec", "compile", "__import__", "system", "popen", "Popen", "run_module", "run_path"}
"""Functions that turn data into a running program. (`run` is none: a converter starts itself, on two paths.)"""
FOREIGN = {"dill", "cloudpickle", "shelve", "marshal", "code", "pty"}


@pytest.mark.parametrize(("file", "test"), NAMED, ids=[test for _, test in NAMED])
def test_each_hole_in_the_table_has_its_test(file, test):
    assert re.search(rf"^def {test}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_the_table_names_every_hole_that_is_known():
    for hole in ("CVE-2024-10099", "CVE-2025-67303", "#12285", "#13914", "#1125", "#2816", "#141"):
        assert hole in TABLE
    assert len(set(NAMED)) >= 12


def running(node: ast.AST) -> str | None:
    """What a piece of a program does that lets data run, or None; methods (`network.eval()`) are none of it."""
    if isinstance(node, ast.Import):
        return next((one.name for one in node.names if one.name.split(".")[0] in FOREIGN), None)
    if isinstance(node, ast.ImportFrom):
        return node.module if not node.level and (node.module or "").split(".")[0] in {*FOREIGN, "pickle"} else None
    if not isinstance(node, ast.Call):
        return None
    name = ast.unparse(node.func)
    given = {one.arg: ast.unparse(one.value) for one in node.keywords}
    if given.get("trust_remote_code", "False") != "False":
        return "trust_remote_code"
    if name == "torch.load":
        return None if given.get("weights_only") == "True" else name
    owner, _, function = name.rpartition(".")
    run = function in RUNS and owner in ("", "os", "runpy", "builtins", "subprocess")
    return name if run or owner == "pickle" else None


@pytest.mark.parametrize(
    "program",
    ["eval(x)", "from pickle import loads", "pickle.loads(x)", "import dill", "from code import interact",
     "os.system(x)", "torch.load(x)", "load(x, trust_remote_code=True)"],
)  # fmt: skip
def test_what_would_be_found(program):
    assert [found for node in ast.walk(ast.parse(program)) if (found := running(node))]


def test_nothing_that_is_served_evaluates_unpickles_or_trusts_code_from_outside():
    found = {
        f"{path.relative_to(ROOT)} line {node.lineno}": what
        for path in ROOT.rglob("*.py")
        if path.relative_to(ROOT).parts[0] not in NOT_SERVED
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (what := running(node))
    }
    assert found == {}


def test_no_node_takes_a_program():
    # Nodes of other packs that evaluate Python, or are a terminal, were what attackers used.
    program = re.compile(r"\b(python|javascript|code|script|shell|command|eval|lambda|expression)\b", re.IGNORECASE)
    texts = [
        (declaration.id, entry.id)
        for declaration in pack_registry()
        for entry in declaration.inputs
        if isinstance(entry.widget, Text) and program.search(entry.id.replace("_", " "))
    ]
    assert texts == []
