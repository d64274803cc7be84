"""The node host's door: the folder loaded by path as a host does it, and its classes run by hand."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TypeVar

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.graph_runtime import codec
from glidewire.graph_runtime.declaration import node
from glidewire.graph_runtime.registry import Registry
from glidewire.interfaces.api import Workflow
from glidewire.interfaces.comfyui.projection import mappings, node_class

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[3]


def test_every_node_has_a_class_with_the_hosts_schema(registry):
    classes, titles = mappings(registry)
    assert list(classes) == registry.ids() and titles["GlidewireTinyNoise"] == "Tiny noise"
    scale = classes["GlidewireTinyScale"]
    inputs = scale.INPUT_TYPES()
    assert inputs["required"]["grain"][0] == "GRAIN" and inputs["required"]["by"][1]["default"] == 2.0
    # A node that asked for its own id would be cached for that id alone; only what saves asks for anything.
    assert "hidden" not in inputs
    assert set(classes["GlidewireTinyKeep"].INPUT_TYPES()["hidden"].values()) == {"PROMPT", "EXTRA_PNGINFO"}
    assert (scale.RETURN_TYPES, scale.RETURN_NAMES, scale.CATEGORY) == (("GRAIN",), ("grain",), "glidewire/tiny")
    assert callable(getattr(scale, scale.FUNCTION)) and not scale.OUTPUT_NODE
    assert classes["GlidewireTinyKeep"].OUTPUT_NODE and classes["GlidewireTinyKeep"].RETURN_TYPES == ()
    assert classes["GlidewireTinySplit"].RETURN_NAMES == ("left", "right")
    assert not hasattr(scale, "IS_CHANGED") and not hasattr(scale, "check_lazy_status")


def test_a_chain_run_by_the_host_gives_what_run_gives(tiny, registry):
    """The host calls classes by hand, under inference mode, with hidden inputs."""
    classes, _ = mappings(registry)
    hidden = {"glidewire_prompt": {}, "glidewire_extra": {}}
    with torch.inference_mode():
        (noise,) = classes["GlidewireTinyNoise"]().run(count=6, seed=3)
        low, high = classes["GlidewireTinySplit"]().run(grain=noise, low=True)
        (joined,) = classes["GlidewireTinyJoin"]().run(left=low, right=high, label="sum")
        kept = classes["GlidewireTinyKeep"]().run(grain=joined, name="host", **hidden)
    with Workflow(registry=registry) as flow:
        ours = tiny.tiny_join(*tiny.tiny_split(tiny.tiny_noise(6, seed=3)))
    assert codec.digest(joined) == codec.digest(flow.fetch(ours, device="cpu"))
    assert kept["ui"]["text"] == ["host"] and kept["result"] == ()
    assert Path("output/host.txt").is_file()


def test_tensors_of_the_hosts_inference_mode_are_cloned_so_that_gradients_work():
    seen: list[torch.Tensor] = []

    @node(category="tiny", id="GradientProbe")
    def gradient_probe(grain: T) -> T:
        seen.append(grain)
        wanted = grain.clone().requires_grad_()
        (wanted**2).sum().backward()
        return wanted.grad

    with torch.inference_mode():
        host_made = torch.ones(3)
        (gradient,) = node_class(gradient_probe.declaration)().run(grain=host_made)
    assert host_made.is_inference() and not seen[0].is_inference()
    assert gradient.tolist() == [2.0, 2.0, 2.0]


def test_a_changed_file_changes_the_fingerprint(registry, tmp_path):
    read = mappings(registry)[0]["GlidewireTinyRead"]
    (tmp_path / "a.txt").write_text("one")
    before = read.IS_CHANGED(file="a.txt")
    assert read.IS_CHANGED(file="a.txt") == before and before.split()[0] == "1"
    (tmp_path / "a.txt").write_text("two")
    assert read.IS_CHANGED(file="a.txt") != before
    assert "a.txt" in read.INPUT_TYPES()["required"]["file"][0]
    with pytest.raises(GlidewireError, match="lies outside the input folders"):
        read().run(file="/etc/hostname")


def test_lists_lazy_inputs_and_files_follow_the_hosts_conventions():
    """The pack's own `pick` takes a list, its `switch` is lazy."""
    from glidewire.interfaces.session import pack_registry

    pack = Registry(pack_registry())
    pick, switch = node_class(pack.get("pick")), node_class(pack.get("switch"))
    assert pick.INPUT_IS_LIST and pick.OUTPUT_IS_LIST == (True,)
    assert pick().run(items=["a", "b", "c"], index=[1]) == (["b"],)
    assert pick().run(items=["a", "b", "c"], index=[2, 0]) == (["c", "a"],)
    lists = node_class(pack.get("text_list"))
    assert not lists.INPUT_IS_LIST and lists.OUTPUT_IS_LIST == (True,)
    assert lists().run(lines="a\nb") == (["a", "b"],)
    assert switch().check_lazy_status(condition=True, on_true=None, on_false=None) == ["on_true"]
    assert switch().check_lazy_status(condition=False, on_true=None, on_false="here") == []
    assert switch().check_lazy_status(condition=True, on_false=None) == []
    assert switch.INPUT_TYPES()["optional"]["on_true"][1]["lazy"] is True
    assert switch().run(condition=False, on_true=None, on_false=3) == (3,)


HOST = """
    import importlib.util, json, sys
    root, = sys.argv[1:]
    name = root.replace(".", "_x_")  # as a node host names the modules that it loads by path
    spec = importlib.util.spec_from_file_location(name, root + "/__init__.py", submodule_search_locations=[root])
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    assert "torch" not in sys.modules
    assert not hasattr(module, "comfy_entrypoint")
    classes, titles = module.NODE_CLASS_MAPPINGS, module.NODE_DISPLAY_NAME_MAPPINGS
    assert set(classes) == set(titles) and module.WEB_DIRECTORY == "./web"
    for cls in classes.values():
        json.dumps(cls.INPUT_TYPES())
    import torch
    with torch.inference_mode():
        (text,) = classes["GlidewireText"]().run(value="host")
    assert "glidewire" not in sys.modules and "nodes" not in sys.modules
    print(json.dumps({"classes": list(classes), "text": text}))
"""


def test_the_folder_loads_by_path_under_any_name(tmp_path):
    odd = tmp_path / "Some.Dir-Name"
    odd.symlink_to(ROOT, target_is_directory=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HOST), str(odd)],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    from glidewire.interfaces.session import pack_registry

    assert told == {"classes": pack_registry().ids(), "text": "host"}


def test_the_clone_runs_without_installation(tmp_path):
    clone = tmp_path / "any name"
    shutil.copytree(
        ROOT, clone, ignore=shutil.ignore_patterns(".venv", ".git", "tests", "weights", ".*cache*", "build", "*.png")
    )
    done = subprocess.run(
        [sys.executable, str(clone), "--version"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.split()[0]) == (0, "glidewire"), done.stderr
