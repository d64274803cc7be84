"""Faults in real processes: kills, full disks, rivals, folders that cannot be written; never a wrong result."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.graph_runtime import codec, events
from glidewire.graph_runtime.cache import Cache, Store

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that share what is loaded")

_NOBODY = 65534


def value(number: int) -> tuple[Any, ...]:
    """The result that belongs to key `number`: with tensors, or small and without."""
    if number % 5 == 0:
        return (number, "text")
    return (torch.full((number % 50 + 1, 40), float(number)), number)


def same(left: Any, right: Any) -> bool:
    return codec.digest(left) == codec.digest(right)


def start(work: Callable[[], None]) -> int:
    """Run `work` in a child process that ends without cleaning up; returns its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException as problem:
        os.write(2, repr(problem).encode())
    finally:
        os._exit(status)


def finish(child: int) -> None:
    """Wait for a child that must have ended well."""
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.parametrize("seed", range(25))
def test_a_killed_writer_loses_nothing_that_it_had_written(tmp_path: Path, seed: int) -> None:
    folder = tmp_path / "cache"
    before = Store(folder)
    before.write("before", value(7), 1.0)
    before.close()
    reader, writer = os.pipe()

    def write_on() -> None:
        store = Store(folder)
        for number in range(100_000):
            store.write(f"{number}", value(number), 1.0)
            if number % 10 == 9:
                store.flush()
                os.write(writer, f"{number}\n".encode())

    child = start(write_on)
    os.close(writer)
    time.sleep(random.Random(seed).uniform(0.01, 0.15))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reader) as told:
        written = max([int(line) for line in told.read().splitlines()], default=-1)

    store = Store(folder)
    assert same(store.read("before").value, value(7))
    for number in range(written + 1):
        assert same(store.read(f"{number}").value, value(number)), f"result {number} of {written} was lost"
    for number in range(written + 1, written + 12):
        found = store.read(f"{number}")
        assert found is None or same(found.value, value(number))
    found = store.verify()
    assert found["damaged"] == 0 and store.take_warnings() == []
    store.write("after", value(8), 1.0)
    store.close()
    assert same(Store(folder).read("after").value, value(8))


def test_rivals_writing_and_removing_the_same_keys_agree(tmp_path: Path) -> None:
    folder = tmp_path / "cache"

    def rival(name: int) -> None:
        store = Store(folder, budget=400_000)
        for round_ in range(3):
            for number in range(60):
                store.write(f"{number}", (torch.full((600,), float(number)), name), 1.0)
                found = store.read(f"{number}")
                assert found is None or bool((found.value[0] == number).all())
            if name == 0:
                store.prune(50_000 * round_)
        store.close()
        assert store.take_warnings() == []

    for child in [start(lambda name=name: rival(name)) for name in range(3)]:
        finish(child)
    store = Store(folder)
    assert store.verify()["damaged"] == 0 and store.take_warnings() == []
    assert len(list(store.folder.glob("objects/*/*"))) == store.stats()["entries"]


def test_a_full_disk_is_reported_once_and_the_run_goes_on(tmp_path: Path, tiny: Any) -> None:
    folder = tmp_path / "cache"
    before = Store(folder)
    before.write("before", value(7), 1.0)
    before.close()
    fills = {f"f{index}": ("fill", {"value": float(index), "size": 30_000}) for index in range(4)}
    keeps = {f"k{index}": ("keep", {"value": f"f{index}"}) for index in range(4)}
    graph = tiny.graph(**fills, **keeps)
    expected = tiny.bench(tmp_path).run(graph).digests

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        bench = tiny.bench(tmp_path, store=Store(folder), write_seconds=-1.0)
        for _ in range(2):
            bench.cache.clear_memory()
            result = bench.run(graph)
            assert result.ok and result.digests == expected
            warned = [event.message for event in bench.events if isinstance(event, events.Warned)]
            assert warned == ["the cache on disk takes no more results (File too large); the run goes on without it"]

    finish(start(work))
    store = Store(folder)
    assert same(store.read("before").value, value(7)) and store.verify()["damaged"] == 0
    assert not list(store.folder.glob("objects/*/.*"))


def test_a_full_disk_in_the_middle_of_the_index(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    before = Store(folder)
    before.write("0", value(0), 1.0)
    before.close()

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        store = Store(folder)
        for number in range(5, 20_000, 5):
            store.write(f"{number}", value(number), 1.0)
        store.flush()
        assert len(store.take_warnings()) == 1
        assert same(store.read("0").value, value(0))

    finish(start(work))
    store = Store(folder)
    assert same(store.read("0").value, value(0)) and store.verify()["damaged"] == 0


def test_a_folder_that_cannot_be_written_is_read(open_folder: Path, tiny: Any) -> None:
    store = Store(open_folder)
    for number in range(10):
        store.write(f"{number}", value(number), 1.0)
    store.close()
    for path in [*open_folder.rglob("*"), open_folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)

    def work() -> None:
        if os.geteuid() == 0:
            os.setuid(_NOBODY)
        reader = Store(open_folder)
        (warning,) = reader.take_warnings()
        assert warning.startswith(f"the cache in {open_folder / 'v1'} can be read but not written (")
        assert reader.read_only
        for number in range(10):
            assert same(reader.read(f"{number}").value, value(number))
        reader.write("new", value(11), 1.0)
        reader.record_run("w", {})
        reader.flush()
        assert "new" not in reader and reader.take_warnings() == []

    finish(start(work))
    again = Store(open_folder, read_only=True)
    assert same(again.read("3").value, value(3))


def test_a_second_process_finds_the_first_ones_results_and_what_changed_misses(tmp_path: Path, tiny: Any) -> None:
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "picture.txt").write_text("one")
    graph = tiny.graph(
        l=("load", {"file": "picture.txt"}),
        x=("anything", {"value": "l"}),
        f=("fill", {"value": 2.0}),
        g=("add", {"left": "f"}),
        kx=("keep", {"value": "x"}),
        kg=("keep", {"value": "g"}),
    )

    def process(change: Callable[[Any], Any], ran: list[str], cached: dict[str, str]) -> None:
        def work() -> None:
            bench = tiny.bench(tmp_path, store=Store(tmp_path / "cache"), write_seconds=-1.0)
            assert bench.run(change(graph)).ok
            found = {event.node: event.tier for event in bench.events if isinstance(event, events.Cached)}
            assert (bench.names(events.Started), found) == (ran, cached), (bench.names(events.Started), found)
            bench.cache.store.close()

        finish(start(work))

    process(lambda graph: graph, ["l", "x", "kx", "f", "g", "kg"], {})
    process(lambda graph: graph, ["kx", "kg"], {"x": "disk", "g": "disk"})
    process(lambda graph: graph.with_inputs("g", amount=9.0), ["kx", "g", "kg"], {"x": "disk", "f": "disk"})
    (tmp_path / "input" / "picture.txt").write_text("two")
    process(lambda graph: graph, ["l", "x", "kx", "kg"], {"g": "disk"})


def test_threads_share_a_cache(tmp_path: Path, tiny: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    cache = Cache(store=Store(tmp_path / "cache", budget=300_000), memory=100_000, write_seconds=-1.0)

    def work(name: int) -> bool:
        for number in range(60):
            cache.put(f"{number}", value(number), 1.0, digests=("d", "e") if number % 3 else None)
            found = cache.get(f"{(number * 7 + name) % 60}")
            assert found is None or same(found, value((number * 7 + name) % 60))
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))
    assert cache.take_warnings() == []
