"""Checkpoints that nobody should have: each is refused in words that say what it is, and nothing is half loaded."""

from __future__ import annotations

import os
import random
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models import strict
from glidewire.models.checkpoint import identify, load, load_identified
from glidewire.models.glide.model import load_model
from glidewire.models.header import open_tensors, read_header
from safetensors.torch import load_file, save_file


def rewritten(saved: Path, path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    """A copy of a checkpoint whose tensors were changed."""
    tensors = load_file(saved)
    change(tensors)
    save_file(tensors, path, metadata=dict(read_header(saved).metadata))
    return path


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(saved: Path, tmp_path: Path, bad: float) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors["token_embedding.weight"][3, 2] = bad
        tensors["out.2.bias"][0] = bad

    path = rewritten(saved, tmp_path / "diverged.safetensors", spoil)
    with pytest.raises(GlidewireError) as caught:
        load(path)
    assert str(caught.value) == (
        "checkpoint diverged.safetensors holds weights that are NaN or infinite; expected finite numbers; "
        "got token_embedding.weight; out.2.bias. "
        "The training diverged or the file is damaged: take another checkpoint, or download it again."
    )


def test_weights_that_a_short_number_type_cannot_hold(saved: Path, tmp_path: Path) -> None:
    path = rewritten(saved, tmp_path / "large.safetensors", lambda t: t["out.2.bias"].fill_(1e6))
    assert load(path) is not None
    with pytest.raises(GlidewireError, match=r"holds weights that are too large for float16; got out.2.bias. Use bfl"):
        load(path, dtype=torch.float16)


def test_huge_finite_weights_are_weights(saved: Path, tmp_path: Path) -> None:
    path = rewritten(saved, tmp_path / "huge.safetensors", lambda t: t["token_embedding.weight"].fill_(3e38))
    assert load(path) is not None


def test_a_file_swapped_after_it_was_identified(saved: Path, tmp_path: Path) -> None:
    identity = identify(saved)
    rewritten(saved, tmp_path / "other", lambda t: t["out.2.bias"].fill_(1)).replace(saved)
    with pytest.raises(GlidewireError, match=r"checkpoint mini.safetensors changed while it was being loaded"):
        load_identified(identity)
    saved.unlink()
    with pytest.raises(GlidewireError, match="changed while it was being loaded"):
        load_identified(identity)


def test_a_file_swapped_between_two_tensors(saved: Path, tmp_path: Path) -> None:
    header = read_header(saved)
    names = list(header.shapes)
    with pytest.raises(GlidewireError, match="changed while it was being loaded"), open_tensors(header) as read:
        read(names[0])
        save_file({"else": torch.zeros(1)}, tmp_path / "other")
        (tmp_path / "other").replace(saved)
        read(names[1])


def test_a_shard_swapped_after_its_folder_was_read(tmp_path: Path) -> None:
    from glidewire.models.folder import read_folder

    shards = {"a.weight": "one.safetensors", "b.weight": "two.safetensors"}
    for key, name in shards.items():
        save_file({key: torch.ones(2)}, tmp_path / name)
    (tmp_path / "config.json").write_text("{}")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a.weight": "one.safetensors", "b.weight": "two.safetensors"}}')
    header = read_folder(tmp_path)
    save_file({"b.weight": torch.zeros(2)}, tmp_path / "two.safetensors")
    with pytest.raises(GlidewireError, match=r"checkpoint two.safetensors changed"), open_tensors(header):
        pass


def refused(path: Path) -> str:
    with pytest.raises(GlidewireError) as caught:
        identify(path)
    return str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    told: list[str] = []
    thread = threading.Thread(target=lambda: told.append(refused(tmp_path / "pipe.safetensors")), daemon=True)
    thread.start()
    thread.join(20)
    assert told == ["checkpoint pipe.safetensors is no file; expected a file; got a pipe, a socket or a device"]


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").symlink_to("b.safetensors")
    (tmp_path / "b.safetensors").symlink_to("a.safetensors")
    assert "checkpoint a.safetensors" in refused(tmp_path / "a.safetensors")


def test_an_enormous_file_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sparse.safetensors"
    with path.open("wb") as file:
        file.truncate(100 * 2**30)
    assert "is not a checkpoint" in refused(path)
    with path.open("r+b") as file:  # a header that says it is 50 GiB long
        file.write((50 * 2**30).to_bytes(8, "little") + b"{")
    assert "is damaged or truncated" in refused(path)


def test_a_zip_that_unpacks_to_far_more(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("archive/data.pkl", b"\x80\x02" + b"0" * (64 * 2**20))
        bomb.writestr("archive/version", "3")
    assert "bomb.pt is damaged or truncated" in refused(tmp_path / "bomb.pt")


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_of_a_checkpoint_is_to_be_unpacked(packing: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "kl-f8.zip", "w", packing) as parcel:
        parcel.writestr("kl-f8/model.ckpt", b"weights")
    assert refused(tmp_path / "kl-f8.zip") == (
        "checkpoint kl-f8.zip is an archive with a checkpoint inside; expected the checkpoint; got kl-f8/model.ckpt. "
        "Unpack kl-f8/model.ckpt, and name that."
    )


def test_a_checkpoint_cut_off_anywhere_is_refused(saved: Path, tmp_path: Path) -> None:
    whole = saved.read_bytes()
    torch.save(load_file(saved), tmp_path / "whole.pt")
    zipped = (tmp_path / "whole.pt").read_bytes()
    chance = random.Random(0)
    for number in range(20):
        for name, content in ((f"{number}.safetensors", whole), (f"{number}.pt", zipped)):
            path = tmp_path / name
            path.write_bytes(content[: chance.randrange(1, len(content))])
            with pytest.raises(GlidewireError) as caught:
                load(path)
            assert f"checkpoint {name} is" in str(caught.value)


def test_another_familys_file_says_what_it_is(unet_of: Callable[[str], Any], saved: Path, tmp_path: Path) -> None:
    from glidewire.models.checkpoint import save_published
    from glidewire.models.registry import Identity, families

    network, _ = unet_of("unclip")
    made = Identity("unclip", "decoder", "", network.spec, {}, read_header(saved))
    save_published(network, families()["unclip"].key_map_of(made), tmp_path / "karlo.safetensors", metadata={})
    with pytest.raises(GlidewireError) as caught:
        load_model(tmp_path / "karlo.safetensors")
    assert str(caught.value) == (
        "checkpoint karlo.safetensors holds unclip decoder; expected a component 'text_to_image'. "
        "`glidewire models inspect` says which loaders take it."
    )


def test_sums_that_overflow_are_looked_at_again() -> None:
    assert strict._is_finite(torch.full((4,), 3e38)) and not strict._is_finite(torch.tensor([1.0, float("nan")]))
    assert strict._is_finite(torch.ones(3, dtype=torch.float8_e4m3fn)) and strict._is_finite(torch.arange(3))
