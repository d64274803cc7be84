"""Whole shipped workflows in a host's executor: loaded by path, in inference mode, with the same digests as ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.graph_runtime.formats import to_api
from glidewire.interfaces import api
from glidewire.interfaces.api import Workflow
from glidewire.models.glide import checkpoint as glide_checkpoint
from glidewire.models.glide.network import GlideTextToImage
from glidewire.models.glide.spec import GlideSpec
from glidewire.models.glide.tokenizer import GlideTokenizer
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = Path(__file__).parent / "harness" / "program.py"
WORKFLOWS = ["text-to-image", "image-to-image", "prompts"]

Job = dict[str, Any]
Host = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host's folders, with a tiny model under the name of the one that the workflows load."""
    folder = tmp_path_factory.mktemp("host")
    for name in ("models/checkpoints", "input", "output"):
        (folder / name).mkdir(parents=True)
    tiny_glide(folder / "models" / "checkpoints" / "mini-glide-base.safetensors")
    Image.linear_gradient("L").resize((40, 32)).convert("RGB").save(folder / "input" / "text-to-image_00001.png")
    return folder


def tiny_glide(path: Path, seed: int = 0) -> None:
    words = GlideTokenizer.train(["a red cube left of a blue sphere", "a small green cone"], 300)
    spec = GlideSpec(
        variant="base", image_size=16, model_channels=16, channel_mult=(1, 2), num_res_blocks=1, num_head_channels=16,
        attention_resolutions=(8,), text_context=8, text_width=16, text_layers=1, text_heads=2,
        vocabulary_size=words.vocabulary_size, norm_groups=8,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    network = GlideTextToImage(spec)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    glide_checkpoint.save(network.eval(), path, merges=words)


@pytest.fixture(scope="module")
def host(folder: Path) -> Host:
    """Runs jobs in a host of their own."""

    def run(jobs: list[Job], *options: str, **environment: str) -> dict[str, Any]:
        listed = folder / "jobs.json"
        listed.write_text(json.dumps(jobs))
        done = subprocess.run(
            [sys.executable, str(PROGRAM), str(ROOT), str(listed), *options],
            env={
                **os.environ,
                "HARNESS_FOLDER": str(folder),
                # Before the shipped weights, as a user's own file of that name would not be.
                "GLIDEWIRE_MODELS": str(folder / "models" / "checkpoints"),
                "GLIDEWIRE_CACHE": str(folder / "cache"),
                **environment,
            },
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def prompt_of(name: str, **changes: Any) -> dict[str, Any]:
    flow = Workflow.load(name)
    flow.set(**{"spacing": "4", **changes})
    return to_api(flow.graph)


def ours(folder: Path, prompt: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("GLIDEWIRE_MODELS", str(folder / "models" / "checkpoints"))
    options: dict[str, Any] = {"output": folder / "ours", "inputs": [folder / "input"], "device": "cpu", "cache": None}
    return api.run(prompt, **options, threads=1).digests


def digests_of(run: dict[str, Any]) -> list[str]:
    return [shown["glidewire_digest"][0] for shown in run["shown"].values()]


@pytest.fixture(scope="module")
def first(host: Host) -> dict[str, Any]:
    """Every shipped workflow, once, in a host without a hook."""
    return host([{"id": name, "prompt": prompt_of(name)} for name in WORKFLOWS])


def test_the_pack_loads_beside_the_hosts_own_modules(first):
    assert first["whose"] == "the host's" and not first["installed"]
    assert first["networks"] == [], "a network was imported before any node ran"
    slow = {"diffusers", "open_clip", "transformers", "torchvision", "scipy", "networkx", "rich", "typer"}
    assert sorted(slow & set(first["libraries"])) == [], "the host's start waits for these"
    assert "GlidewireDdimSampler" in first["classes"] and "GlidewireHostDenoiser" not in first["classes"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_shipped_workflow_gives_the_same_digest_as_our_runtime(first, folder, monkeypatch, name):
    result = first["runs"][WORKFLOWS.index(name)]
    assert result["ended"] == "success" and result["shown"]
    assert digests_of(result) == list(ours(folder, prompt_of(name), monkeypatch).values())


def test_progress_reaches_the_hosts_bar_with_previews(first):
    told = first["runs"][0]["told"]
    assert [done for done, _, _ in told] == [1, 2, 3, 4] and {total for _, total, _ in told} == {4}
    assert all(kind == "JPEG" and limit == 512 for _, _, (kind, _, limit) in told)


def test_saved_pictures_carry_what_made_them(first, folder):
    shown = next(iter(first["runs"][0]["shown"].values()))
    with Image.open(folder / "output" / shown["images"][0]["subfolder"] / shown["images"][0]["filename"]) as picture:
        texts = dict(picture.text)
    assert json.loads(texts["prompt"]) == prompt_of("text-to-image")
    assert json.loads(texts["workflow"]) == {"named": "text-to-image"}
    assert "torch" in json.loads(texts["glidewire"])


def test_the_hosts_interrupt_ends_a_run_in_the_middle_of_a_node(host):
    job = {"id": "stopped", "prompt": prompt_of("text-to-image", spacing="8"), "interrupt_after": 2}
    result = host([job], GLIDEWIRE_HOST_CACHE="0")["runs"][0]
    assert result["ended"] == "interrupted" and len(result["told"]) == 2


def test_our_store_answers_behind_the_hosts_cache(first, host, folder):
    """In another process, with another id in the prompt: the sampler's result is there, and no network is loaded."""
    prompt = prompt_of("text-to-image")
    renamed = {
        f"7{node}": {
            **entry,
            "inputs": {
                name: [f"7{value[0]}", value[1]] if isinstance(value, list) else value
                for name, value in entry["inputs"].items()
            },
        }
        for node, entry in prompt.items()
    }
    found = host([{"id": "again", "prompt": renamed}], "--provider")["runs"][0]
    kinds = [renamed[node]["class_type"] for node in found["ran"]]
    assert found["told"] == [] and "GlidewireLoadGlide" not in kinds and "GlidewireAncestralSampler" not in kinds
    assert digests_of(found) == digests_of(first["runs"][0])


def test_an_older_host_finds_results_node_by_node(first, host):
    found = host([{"id": "again", "prompt": prompt_of("text-to-image")}])["runs"][0]
    assert found["told"] == [], "the sampler walked again"


def test_a_changed_model_is_another_model(first, host, folder):
    checkpoint = folder / "models" / "checkpoints" / "mini-glide-base.safetensors"
    kept = checkpoint.read_bytes()
    tiny_glide(checkpoint, seed=1)
    try:
        changed = host([{"id": "changed", "prompt": prompt_of("text-to-image")}], "--provider")["runs"][0]
    finally:
        checkpoint.write_bytes(kept)
    assert len(changed["told"]) == 4 and digests_of(changed) != digests_of(first["runs"][0])


def test_only_what_is_ours_all_the_way_up_is_kept(host):
    """A foreign node's result has no key: nothing behind it is looked for, nor stored."""
    from glidewire.graph_runtime.cache import Cache
    from glidewire.interfaces.comfyui.prompts import PromptKeys
    from glidewire.interfaces.session import pack_registry

    prompt = {
        "1": {"class_type": "SomebodysNumber", "inputs": {}},
        "2": {"class_type": "GlidewireNoiseStart", "inputs": {"denoiser": ["1", 0]}},
        "3": {"class_type": "GlidewireImageMetadata", "inputs": {}},
        "4": {"class_type": "GlidewireSeed", "inputs": {"value": 3}},
    }
    cache = Cache()
    keys = PromptKeys(prompt, pack_registry(), cache, {})
    assert keys.key("1") is keys.key("2") is keys.key("3") is None and keys.lookup("2") is None
    assert len(keys.key("4") or "") == 64
    keys.store("4", (3,), 0.5)
    assert keys.lookup("4") == (3,) and PromptKeys(prompt, pack_registry(), cache, {}).lookup("4") == (3,)


def test_help_pages_and_inspection_are_among_the_hosts_routes(first):
    assert "/glidewire/state" in first["routes"] and first["options"] == []
    assert any(path.startswith("/extensions/") and path.endswith("/docs/{node}.md") for path in first["routes"])
