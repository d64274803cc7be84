"""`glidewire models`: what is listed, inspected, fetched and converted, and what every mistake is told."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.interfaces import surroundings
from glidewire.interfaces.cli import app
from glidewire.interfaces.model_folders import host_folders, hub_cache, own_folder
from glidewire.models.published import PUBLISHED
from safetensors.torch import load_file, save_file
from tiny_checkpoints import TINY, tensors_of
from torch import nn
from typer.testing import CliRunner, Result

MINI = surroundings.ROOT / "weights" / "mini-glide-base.safetensors"


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run a command in this process, with homes of its own for the user and the hub."""
    monkeypatch.setenv("COLUMNS", "40")  # of a terminal: this is none
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("GLIDEWIRE_MODELS", "COMFYUI_PATH", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_list_names_what_is_there_and_what_is_published(cli: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "junk.safetensors").write_bytes(b"junk")
    (tmp_path / "models" / "base_inpaint.pt").write_bytes(MINI.read_bytes())
    done = cli("models", "list", "--models", tmp_path / "models")
    assert done.exit_code == 0
    assert "mini-glide-base.safetensors: glide text_to_image (base), 6.9 MiB" in done.stdout
    assert "junk.safetensors: checkpoint junk.safetensors is not a checkpoint" in done.stdout
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert set(PUBLISHED) <= set(rows)
    assert "  yes  " in rows["glide-base-inpaint"] and "  yes  " not in rows["glide-base"]
    assert "CreativeML OpenRAIL-M" in rows["stable-diffusion-1-5"] and "6ce0161689b3" in rows["stable-diffusion-1-5"]
    told = json.loads(cli("models", "list", "--models", tmp_path / "models", "--json").stdout)
    assert told["folders"][0] == str(tmp_path / "models")
    found = {entry["name"]: entry.get("is") for entry in told["found"]}
    assert found["mini-glide-base.safetensors"] == "glide text_to_image (base)" and found["junk.safetensors"] is None


def test_the_hubs_cache_and_a_hosts_folders_are_searched(
    cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = tmp_path / "hub" / "models--a--b" / "blobs" / "0123"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(MINI.read_bytes())
    snapshot = tmp_path / "hub" / "models--a--b" / "snapshots" / "rev"
    snapshot.mkdir(parents=True)
    (snapshot / "m.safetensors").symlink_to(blob)
    host = tmp_path / "host"
    for folder in ("models/checkpoints", "elsewhere/unets", "custom_nodes"):
        (host / folder).mkdir(parents=True)
    (host / "models" / "checkpoints" / "h.safetensors").write_bytes(MINI.read_bytes())
    (host / "elsewhere" / "unets" / "e.safetensors").write_bytes(MINI.read_bytes())
    (host / "extra_model_paths.yaml").write_text(
        f"a:\n  base_path: {host}/elsewhere\n  unet: |\n    unets\n    absent\n  is_default: true\nb: 7\n"
    )
    monkeypatch.setenv("COMFYUI_PATH", str(host))
    done = cli("models", "list")
    for name in ("models--a--b/snapshots/rev/m.safetensors", "checkpoints/h.safetensors", "e.safetensors"):
        assert f"{name}: glide text_to_image (base)" in done.stdout
    assert cli("models", "inspect", "checkpoints/h.safetensors").exit_code == 0
    monkeypatch.delenv("COMFYUI_PATH")
    assert host_folders(host / "custom_nodes" / "pack") == (host / "models", host / "elsewhere" / "unets")
    assert host_folders(tmp_path / "anywhere" / "pack") == ()
    (host / "extra_model_paths.yaml").write_text("a: [")
    assert host_folders(host / "custom_nodes" / "pack") == (host / "models",)


def test_homes_follow_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    assert hub_cache() == tmp_path / "hf" / "hub"
    assert own_folder().name == "models"


def test_inspect_says_what_a_file_is_and_what_takes_it(cli: Callable[..., Result]) -> None:
    done = cli("models", "inspect", MINI)
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert done.exit_code == 0 and lines["component"] == "glide text_to_image" and lines["loader"] == "Load GLIDE"
    assert lines["sha256"] == hashlib.sha256(MINI.read_bytes()).hexdigest() and lines["dtype"] == "float16"
    assert lines["  model"].startswith("GLIDE_MODEL (") and "GLIDE denoiser: model" in lines["  model"]
    facts = json.loads(cli("models", "inspect", "mini-glide-base.safetensors", "--json").stdout)
    assert facts["components"][0]["parameters"] == int(lines["parameters"])
    schedule = facts["fits"][0]["outlets"][1]
    assert schedule["type"] == "SCHEDULE" and any(name.endswith("sampler: schedule") for name in schedule["inputs"])


def test_what_the_pack_does_not_know_is_inspected_too(cli: Callable[..., Result], tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "m.safetensors")
    done = cli("models", "inspect", tmp_path / "m.safetensors")
    assert done.exit_code == 0 and "component: none that the pack knows" in done.stdout and "loader" not in done.stdout
    assert cli("models", "inspect", tmp_path / "none").exit_code == 4
    (tmp_path / "junk").write_bytes(b"junk")
    junk = cli("models", "inspect", tmp_path / "junk")
    assert junk.exit_code == 4 and "junk is not a checkpoint" in junk.stderr and "Traceback" not in junk.output


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Result]) -> Iterator[dict[str, bytes]]:
    """A server in the hub's place, and the files that it has by their paths."""
    files: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            if content is not None:
                self.send_header("X-Linked-Etag", hashlib.sha256(content).hexdigest())
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
        yield files
        server.shutdown()
        thread.join()


def test_pull_fetches_a_file_that_list_then_finds(cli: Callable[..., Result], hub: dict[str, bytes]) -> None:
    hub["/h94/IP-Adapter/resolve/main/models/ip-adapter_sd15.safetensors"] = MINI.read_bytes()
    done = cli("models", "pull", "ip-adapter-sd15")
    target = own_folder() / "ip-adapter_sd15.safetensors"
    assert done.exit_code == 0 and target.read_bytes() == MINI.read_bytes()
    assert done.stdout == f"{target}\nsha256 {hashlib.sha256(MINI.read_bytes()).hexdigest()}\n"
    assert "licence Apache-2.0" in done.stderr
    told = json.loads(cli("models", "list", "--json").stdout)
    assert {entry["name"] for entry in told["published"] if entry["present"]} == {"ip-adapter-sd15"}
    again = cli("models", "pull", "ip-adapter-sd15")
    assert again.exit_code == 4 and "is there already" in again.stderr


def test_pull_fetches_the_files_of_a_folder(cli: Callable[..., Result], hub: dict[str, bytes], tmp_path: Path) -> None:
    start = "/kandinsky-community/kandinsky-2-2-prior/resolve/main/prior"
    hub[f"{start}/config.json"] = b"{}"
    hub[f"{start}/diffusion_pytorch_model.safetensors"] = MINI.read_bytes()
    done = cli("models", "pull", "kandinsky-2-2-prior", "--to", tmp_path / "here", "--json")
    assert done.exit_code == 0 and len(json.loads(done.stdout)["files"]) == 2
    assert (tmp_path / "here" / "kandinsky-2-2-prior" / "prior" / "config.json").read_bytes() == b"{}"


def test_pull_tells_what_is_wrong(cli: Callable[..., Result], hub: dict[str, bytes], tmp_path: Path) -> None:
    unknown = cli("models", "pull", "stable-difusion-1-5")
    assert unknown.exit_code == 2 and "Did you mean stable-diffusion-1-5" in unknown.stderr
    absent = cli("models", "pull", "paella-v3", "--to", tmp_path / "here")
    assert absent.exit_code == 4 and "404" in absent.stderr and "huggingface.co/dome272/Paella" in absent.stderr
    hub["/stable-diffusion-v1-5/stable-diffusion-v1-5/resolve/main/v1-5-pruned-emaonly.safetensors"] = b"short"
    wrong = cli("models", "pull", "stable-diffusion-1-5", "--to", tmp_path / "here")
    assert wrong.exit_code == 4 and "Traceback" not in wrong.output
    assert not list((tmp_path / "here").glob("*.safetensors"))


def test_every_published_file_has_a_source_and_a_name_of_its_own() -> None:
    names = [file for entry in PUBLISHED.values() for file in entry.files]
    assert len(names) == len(set(names)) and not any(name.startswith(("/", "..")) for name in names)
    for entry in PUBLISHED.values():
        assert entry.licence and entry.system and entry.files
        assert all(source.url.startswith("https://") for source in entry.files.values())
        assert all(len(source.sha256 or "0" * 64) == 64 for source in entry.files.values())


def test_convert_writes_safetensors_and_says_how_many(cli: Callable[..., Result], tmp_path: Path) -> None:
    torch.save({"state_dict": {"module.a": torch.ones(2)}}, tmp_path / "m.ckpt")
    done = cli("models", "convert", tmp_path / "m.ckpt", tmp_path / "m.safetensors")
    assert done.exit_code == 0 and done.stdout == f"file: {tmp_path / 'm.safetensors'}\ntensors: 1\n"
    assert torch.equal(load_file(tmp_path / "m.safetensors")["a"], torch.ones(2))
    itself = cli("models", "convert", tmp_path / "m.ckpt", tmp_path / "m.ckpt")
    assert itself.exit_code == 4 and "would be written over itself" in itself.stderr
    junk = cli("models", "convert", tmp_path / "none", tmp_path / "out")
    assert junk.exit_code == 4 and "none does not exist" in junk.stderr


def test_convert_takes_a_pickled_module_in_a_process_of_its_own(cli: Callable[..., Result], tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 3), tmp_path / "m.pkl")
    done = cli("models", "convert", tmp_path / "m.pkl", tmp_path / "m.safetensors", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"file": str(tmp_path / "m.safetensors"), "tensors": 2}
    assert load_file(tmp_path / "m.safetensors").keys() == {"weight", "bias"}


class Runs(nn.Module):
    """A module whose file runs something where it is loaded."""

    def __init__(self, mark: Path) -> None:
        super().__init__()
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.mark)!r}, 'w')",)


def test_convert_refuses_what_would_run(cli: Callable[..., Result], tmp_path: Path) -> None:
    torch.save(Runs(tmp_path / "mark"), tmp_path / "m.pkl")
    done = cli("models", "convert", tmp_path / "m.pkl", tmp_path / "m.safetensors")
    assert done.exit_code == 4 and "is no plain module: it holds code that would be run" in done.stderr
    assert not (tmp_path / "mark").exists() and not (tmp_path / "m.safetensors").exists()


def test_convert_writes_what_is_stated_into_a_component_of_its_own(cli: Callable[..., Result], tmp_path: Path) -> None:
    torch.save({"model": tensors_of("if stage I")}, tmp_path / "m.pt")
    unknown = cli("models", "inspect", tmp_path / "m.pt")
    assert unknown.exit_code == 4 and "m.pt holds a network of imagen" in unknown.stderr
    assert "`glidewire models convert FILE OUT --state NAME=VALUE`" in unknown.stderr
    stated = [f"--state={name}={json.dumps(value)}" for name, value in TINY["if stage I"].stated.items()]
    done = cli("models", "convert", tmp_path / "m.pt", tmp_path / "m.safetensors", *stated)
    assert done.exit_code == 0, done.output
    told = cli("models", "inspect", tmp_path / "m.safetensors")
    assert "component: imagen denoiser" in told.stdout and "assumed: nothing" in told.stdout
    wrong = cli("models", "convert", tmp_path / "m.pt", tmp_path / "n", "--state", "pool_heads")
    assert wrong.exit_code == 2 and "--state cannot be read; expected name=value" in wrong.stderr
    text = cli("models", "convert", tmp_path / "m.pt", tmp_path / "n", "--state", "pool_heads=many")
    assert text.exit_code == 4 and "pool_heads has the wrong type; expected int" in text.stderr
    assert not (tmp_path / "n").exists()


def test_convert_to_diffusers_names_what_it_cannot_say(cli: Callable[..., Result], tmp_path: Path) -> None:
    done = cli("models", "convert", MINI, tmp_path / "folder", "--to", "diffusers")
    assert done.exit_code == 4 and "diffusers has no class for its glide text_to_image" in done.stderr
