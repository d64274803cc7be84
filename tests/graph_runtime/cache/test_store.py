"""The disk tier: what comes back, what is evicted, what damage does, and what it says."""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.graph_runtime import codec
from glidewire.graph_runtime.cache import Store
from safetensors import safe_open


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Open the store of this test, once or again."""
    stores: list[Store] = []

    def make(**options: Any) -> Store:
        stores.append(Store(tmp_path / "cache", **options))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def tensor(seed: int, size: int = 100) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def only_object(store: Store) -> Path:
    (path,) = store.folder.glob("objects/*/*.safetensors")
    return path


def same(left: Any, right: Any) -> bool:
    return codec.digest(left) == codec.digest(right)


VALUES = [(tensor(0),), ({"x": [tensor(1), tensor(2)]}, 3), (1.5, "text", None), ("x" * 10_000,), ()]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_results_come_back_after_a_restart(opened: Callable[..., Store], value: Any) -> None:
    first = opened()
    first.write("key", value, 1.25, ("d",))
    assert "key" in first and same(first.read("key").value, value)
    first.close()
    second = opened()
    found = second.read("key")
    assert "key" in second and same(found.value, value) and found.seconds == 1.25
    assert second.digests("key") == ("d",) and second.cost("key")[0] == 1.25
    assert second.read("other") is None and "other" not in second and second.digests("other") is None


def test_an_object_is_a_safetensors_file_under_the_digest_of_its_bytes(opened: Callable[..., Store]) -> None:
    store = opened()
    store.write("key", (tensor(0), {"scale": 2.0}), 1.0)
    path = only_object(store)
    assert path.parent.name + path.stem == hashlib.sha256(path.read_bytes()).hexdigest()
    with safe_open(path, "pt") as file:
        assert torch.equal(file.get_tensor("0"), tensor(0)) and file.metadata()["key"] == "key"


def test_small_results_without_tensors_need_no_file(opened: Callable[..., Store]) -> None:
    store = opened()
    store.write("key", ("a text", 3), 1.0)
    store.flush()
    assert not list(store.folder.glob("objects/*/*")) and store.read("key").value == ("a text", 3)


def test_handles_are_not_stored(opened: Callable[..., Store]) -> None:
    store = opened()
    store.write("key", (object(),), 1.0)
    assert "key" not in store and store.take_warnings() == []


def test_the_budget_holds_and_the_dear_stay(opened: Callable[..., Store]) -> None:
    store = opened(budget=60_000)
    store.write("dear", (tensor(99, 2500),), 1000.0)
    for index in range(20):
        store.write(f"cheap {index}", (tensor(index, 2500),), 0.01)
        assert store.stats()["bytes"] <= 60_000
    assert "dear" in store and "cheap 0" not in store
    assert len(list(store.folder.glob("objects/*/*"))) == store.stats()["entries"]


def test_pinned_entries_are_not_removed_to_make_room(opened: Callable[..., Store]) -> None:
    store = opened(budget=25_000)
    store.write("pinned", (tensor(0, 2500),), 0.001)
    for index in range(5):
        store.write(f"{index}", (tensor(index, 2500),), 10.0, pinned={"pinned"})
    assert "pinned" in store


def test_prune_and_clear(opened: Callable[..., Store]) -> None:
    store = opened()
    for index in range(6):
        store.write(f"{index}", (tensor(index, 1000),), float(index + 1))
    size = store.stats()["bytes"] // 6
    assert store.prune(3 * size) == 3
    assert [key for key in "012345" if key in store] == ["3", "4", "5"]
    assert store.clear() == 3 and store.stats()["entries"] == 0 and not list(store.folder.glob("objects/*/*"))


def test_uses_are_counted_across_processes(opened: Callable[..., Store]) -> None:
    store = opened()
    store.write("key", (tensor(0),), 1.0)
    store.read("key")
    store.read("key")
    store.close()
    assert opened().stats()["hits"] == 2


@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_byte_is_found_reported_and_made_again(opened: Callable[..., Store], seed: int) -> None:
    store = opened()
    store.write("key", (tensor(0),), 1.0)
    store.write("other", (tensor(1),), 1.0)
    path = next(path for path in store.folder.glob("objects/*/*") if b'"key":"key"' in path.read_bytes())
    data = bytearray(path.read_bytes())
    data[random.Random(seed).randrange(len(data))] ^= 1 << seed % 8
    path.write_bytes(data)
    assert store.read("key") is None
    assert store.take_warnings() == [
        "a stored result was damaged and is made again (its file is missing or its digest differs)"
    ]
    assert "key" not in store and not path.exists() and same(store.read("other").value, (tensor(1),))
    store.write("key", (tensor(0),), 1.0)
    assert same(store.read("key").value, (tensor(0),)) and store.take_warnings() == []


@pytest.mark.parametrize("keep", [0, 4, 8, 60, -1])
def test_a_truncated_or_lost_file_is_made_again(opened: Callable[..., Store], keep: int) -> None:
    store = opened()
    store.write("key", (tensor(0),), 1.0)
    path = only_object(store)
    if keep:
        path.write_bytes(path.read_bytes()[:keep])
    else:
        path.unlink()
        assert "key" not in store
    assert store.read("key") is None and len(store.take_warnings()) == 1
    store.write("key", (tensor(0),), 1.0)
    assert same(store.read("key").value, (tensor(0),))


def test_a_small_result_that_was_tampered_with_is_found(opened: Callable[..., Store]) -> None:
    store = opened()
    store.write("key", ("honest",), 1.0)
    store.close()
    with sqlite3.connect(store.folder / "index.sqlite") as index:
        index.execute("UPDATE actions SET outputs = replace(outputs, 'honest', 'forged')")
    index.close()
    again = opened()
    assert again.read("key") is None
    assert again.take_warnings() == [
        "a stored result was damaged and is made again (its row in the index is not what was written)"
    ]


def test_a_lost_index_is_made_again_from_the_objects(opened: Callable[..., Store]) -> None:
    store = opened()
    for index in range(5):
        store.write(f"{index}", (tensor(index),), 1.0, ("value",))
    store.close()
    (store.folder / "index.sqlite").write_bytes(b"this is not a database" * 100)
    again = opened()
    assert again.take_warnings() == [
        "the cache's index was damaged (file is not a database); it was made again from 5 stored results"
    ]
    assert all(same(again.read(f"{index}").value, (tensor(index),)) for index in range(5))
    assert again.digests("0") == ("value",)


@pytest.mark.parametrize("seed", range(20))
def test_random_damage_to_the_index_never_yields_a_wrong_result(opened: Callable[..., Store], seed: int) -> None:
    store = opened()
    for index in range(30):
        store.write(f"{index}", (tensor(index, 5) if index % 2 else index,), 1.0, ("d",))
    store.close()
    path, chance = store.folder / "index.sqlite", random.Random(seed)
    data = bytearray(path.read_bytes())
    for _ in range(chance.choice([1, 10, 300])):
        data[chance.randrange(100, len(data))] = chance.randrange(256)
    path.write_bytes(data)
    again = opened()
    for index in range(30):
        found, expected = again.read(f"{index}"), (tensor(index, 5) if index % 2 else index,)
        assert found is None or same(found.value, expected)
        again.digests(f"{index}")
        again.write(f"{index}", expected, 1.0)
    again.flush()
    again.verify()
    again.prune(0)


def test_tables_that_another_hand_made_are_put_aside(opened: Callable[..., Store]) -> None:
    store = opened()
    store.write("key", (tensor(0),), 1.0)
    store.close()
    with sqlite3.connect(store.folder / "index.sqlite") as index:
        index.execute("ALTER TABLE actions DROP COLUMN seal")
    index.close()
    again = opened()
    assert again.take_warnings() == [
        "the cache's index was damaged (its table actions has other columns); it was made again from 1 stored results"
    ]
    assert same(again.read("key").value, (tensor(0),))


def test_verify_sorts_the_good_from_the_damaged_and_takes_back_what_kills_left(opened: Callable[..., Store]) -> None:
    store = opened()
    for index in range(4):
        store.write(f"{index}", (tensor(index),), 1.0)
    store.write("small", (7,), 1.0)
    store.flush()
    with sqlite3.connect(store.folder / "index.sqlite") as index:
        index.execute("DELETE FROM actions WHERE key = '3'")
    index.close()
    paths = list(store.folder.glob("objects/*/*"))
    damaged = next(path for path in paths if b'"key":"0"' in path.read_bytes())
    damaged.write_bytes(b"\0" * 100)
    left = paths[0].with_name(".0123.part")
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    assert store.verify() == {"good": 3, "damaged": 1, "adopted": 1, "swept": 1}
    assert same(store.read("3").value, (tensor(3),)) and not left.exists() and not damaged.exists()
    assert store.verify() == {"good": 4, "damaged": 0, "adopted": 0, "swept": 0}


@dataclass(frozen=True)
class Pose:
    angle: float
    points: torch.Tensor


def test_what_another_version_stored_is_sound_and_stays(
    opened: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    codec.register(Pose, "test_store.Pose")
    store = opened()
    store.write("large", (Pose(0.5, tensor(0)),), 1.0)
    store.write("small", (Pose(0.5, 3),), 1.0)
    store.close()
    with monkeypatch.context() as without:  # a process that never imported the class
        without.delitem(codec._CLASS_OF, "test_store.Pose")
        other = opened()
        assert other.verify() == {"good": 2, "damaged": 0, "adopted": 0, "swept": 0}
        assert other.read("large") is None and other.read("small") is None
        (warning,) = other.take_warnings()
        assert "of another version" in warning and "Pose" in warning
        other.write("large", (tensor(1),), 1.0)
    again = opened()
    assert same(again.read("large").value, (Pose(0.5, tensor(0)),)) and same(again.read("small").value[0].angle, 0.5)


def test_two_stores_on_one_folder_share_results(opened: Callable[..., Store]) -> None:
    one, two = opened(), opened()
    one.write("a", (tensor(1),), 1.0)
    two.write("a", (tensor(2),), 1.0)
    assert same(two.read("a").value, (tensor(1),)), "the first one written stays"
    assert len(list(one.folder.glob("objects/*/*"))) == 1
    two.prune(0)
    assert one.read("a") is None and one.take_warnings() == []


def test_a_read_only_store_reads_and_refuses_upkeep(opened: Callable[..., Store]) -> None:
    store = opened()
    store.write("key", (tensor(0),), 1.0)
    store.close()
    reader = opened(read_only=True)
    assert same(reader.read("key").value, (tensor(0),))
    reader.write("new", (tensor(1),), 1.0)
    reader.record_run("w", {"nodes": {}})
    reader.remember_file("f", "d")
    assert "new" not in reader and reader.last_run("w") is None and reader.file_digest("f") is None
    for upkeep in (reader.verify, reader.clear, lambda: reader.prune(0)):
        with pytest.raises(GlidewireError) as caught:
            upkeep()
        assert str(caught.value) == (
            f"the cache in {reader.folder} is read-only; expected a cache that can be written. "
            "Check who owns the folder."
        )
    path = only_object(reader)
    path.write_bytes(b"damaged")
    assert reader.read("key") is None and path.exists() and "key" not in reader


def test_a_folder_that_cannot_be_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(GlidewireError) as caught:
        Store(tmp_path / "file")
    assert str(caught.value) == (
        f"cannot make the cache folder {tmp_path / 'file' / 'v1'}; expected a folder that can be written; "
        "got Not a directory. Give another cache folder, or run without one."
    )
    with pytest.raises(GlidewireError, match=r"cannot open the cache in .*; expected a folder that can be written, or"):
        Store(tmp_path / "nothing", read_only=True)


def test_a_store_of_another_version_is_left_alone(opened: Callable[..., Store], tmp_path: Path) -> None:
    store = opened()
    store.close()
    with sqlite3.connect(store.folder / "index.sqlite") as index:
        index.execute("PRAGMA user_version = 99")
    index.close()
    with pytest.raises(GlidewireError) as caught:
        Store(tmp_path / "cache")
    assert str(caught.value) == (
        f"the cache in {store.folder} was written by another version; expected schema 1; got schema 99. "
        "Give another cache folder, or remove this one."
    )


def test_runs_are_recorded_in_one_row_each(opened: Callable[..., Store]) -> None:
    store = opened()
    store.record_run("w", {"nodes": {"1": {"key": "k"}}})
    store.record_run("w", {"nodes": {"1": {"key": "l"}}})
    store.close()
    again = opened()
    assert again.last_run("w") == {"nodes": {"1": {"key": "l"}}} and again.last_run("v") is None


def test_a_durable_store_writes_the_same(opened: Callable[..., Store]) -> None:
    store = opened(durable=True)
    store.write("key", (tensor(0),), 1.0)
    assert same(store.read("key").value, (tensor(0),))
