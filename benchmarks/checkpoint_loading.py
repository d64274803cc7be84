"""Checkpoint loading: seconds and peak memory to identify and load files of published size, beside the usual ways.

    python -m glidewire.benchmarks.checkpoint_loading [--models glide sd] [--formats safetensors pt] \
        [--dtype float16] [--rounds 1] [--folder FOLDER]

Files with the published keys and shapes are made in a temporary folder, measured and removed: two at a time, of
0.8 GB (GLIDE base) and 1.7 GB (Stable Diffusion 1) each in float16. Every figure is taken in a fresh process,
after its imports, with the file in the system's page cache, and includes touching each page of the weights, since
some loaders only map them. Weights keep the type they are stored in. Memory is the resident set's peak over what it
was before, mapped pages of the file included. On a busy machine the processor's seconds tell more than the wall's.
Linux only: memory is read from /proc.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import save_file
from torch import Tensor, nn

from ..digests import file_digest
from ..models.checkpoint import identify, load
from ..models.glide.spec import GlideSpec
from ..models.key_map import published_shapes
from ..models.ldm.spec import PUBLISHED
from ..models.registry import families

_MIB = 2**20
_BASELINE = "torch.load + load_state_dict"


class Model(NamedTuple):
    """A published model: its name, family and hyper-parameters, and what stands before its keys in a single file."""

    title: str
    family: str
    spec: Any
    prefix: str
    wrapper: str


MODELS = {
    "glide": Model("GLIDE base", "glide", GlideSpec(), "", ""),
    "sd": Model(
        "Stable Diffusion 1 U-Net", "ldm", PUBLISHED["stable-diffusion-1"], "model.diffusion_model.", "state_dict"
    ),
}


class Figure(NamedTuple):
    """Wall time and the process' own in seconds, and the peak of the resident set over its start in bytes."""

    seconds: float
    processor: float
    peak: float


def network(model: Model) -> nn.Module:
    """The network without weights."""
    with torch.device("meta"):
        return families()[model.family].build(model.spec)


def write(model: Model, form: str, dtype: torch.dtype, path: Path) -> None:
    """Write a checkpoint as it was published, as a torch or safetensors file; or "own": under the network's names."""
    empty = network(model)
    shapes = {key: tuple(value.shape) for key, value in empty.state_dict().items()}
    if form != "own":
        published = published_shapes(empty, families()[model.family].key_map(model.spec))
        shapes = {model.prefix + key: shape for key, shape in published.items()}
    tensors: dict[str, Tensor] = {key: torch.full(shape, 0.01, dtype=dtype) for key, shape in shapes.items()}
    if form == "safetensors":
        save_file(tensors, path)
    else:
        wrapped = form == "pt" and model.wrapper
        torch.save({model.wrapper: tensors, "global_step": 0} if wrapped else tensors, path)


# What is measured: each makes ready, imports included, and returns the work itself.


def identifying(model: Model, path: Path) -> Callable[[], object]:
    """Family, variant and hyper-parameters from the header."""
    families()
    return lambda: identify(path)


def digesting(model: Model, path: Path) -> Callable[[], object]:
    """The sha256 of the file, which is a part of loading."""
    return lambda: file_digest(path)


def loading(model: Model, path: Path) -> Callable[[], object]:
    """Our loader."""
    network(model)
    return lambda: touched(load(path, dtype=None))


def loading_with_torch(model: Model, path: Path) -> Callable[[], object]:
    """The network made in the file's type, and filled from a state dict that has its names already."""
    network(model)
    (dtype,) = {value.dtype for value in torch.load(path, mmap=True, weights_only=True).values()}

    def work() -> nn.Module:
        torch.set_default_dtype(dtype)
        made = families()[model.family].build(model.spec)
        made.load_state_dict(torch.load(path, weights_only=True))
        return touched(made)

    return work


def loading_with_diffusers(model: Model, path: Path) -> Callable[[], object]:
    """diffusers' converter, with the configuration beside the file instead of the hub's."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
    unet.save_config(path.parent / "unet")
    dtype = next(iter(identify(path).header.dtypes.values()))
    config = str(path.parent / "unet")
    return lambda: touched(
        UNet2DConditionModel.from_single_file(str(path), config=config, torch_dtype=dtype, local_files_only=True)
    )


def touched(module: nn.Module) -> nn.Module:
    """The module, after one byte of every page of its weights was read."""
    for value in module.state_dict().values():
        value.flatten().view(torch.uint8)[::4096].sum()
    return module


WORK = {
    "identify": identifying,
    "sha256": digesting,
    "load": loading,
    _BASELINE: loading_with_torch,
    "from_single_file": loading_with_diffusers,
}


def resident(name: str) -> int:
    """The resident set ("VmRSS") or its peak ("VmHWM") in bytes."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(f"{name}:"))


def measure(work: Callable[[], object]) -> Figure:
    """One figure, in this process."""
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    begun, used = time.perf_counter(), time.process_time()
    kept = work()
    seconds, processor = time.perf_counter() - begun, time.process_time() - used
    del kept
    return Figure(seconds, processor, max(resident("VmHWM") - before, 0))


def measured(what: str, model: str, path: Path, rounds: int) -> Figure:
    """The median of as many fresh processes."""
    module = __spec__.name if __spec__ else "glidewire.benchmarks.checkpoint_loading"
    command = [sys.executable, "-m", module, "--figure", what, model, str(path)]
    figures = []
    for _ in range(rounds):
        offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=offline, cwd=path.parent)
        figures.append(Figure(*json.loads(done.stdout.splitlines()[-1])))
    return Figure(*(statistics.median(column) for column in zip(*figures, strict=True)))


def rows(key: str, formats: list[str], dtype: torch.dtype, folder: Path, rounds: int) -> Iterator[tuple[str, Figure]]:
    """Each figure of a model with its name; a file is there only while it is measured."""
    own = folder / "own.pt"
    write(MODELS[key], "own", dtype, own)
    yield _BASELINE, measured(_BASELINE, key, own, rounds)
    own.unlink()
    for form in formats:
        path = folder / f"published.{form}"
        write(MODELS[key], form, dtype, path)
        for what in WORK:
            # A digest does not depend on the form, and diffusers knows Stable Diffusion alone.
            elsewhere = {"sha256": form != formats[0], "from_single_file": key != "sd" or form != formats[0]}
            if what != _BASELINE and not elsewhere.get(what):
                yield f"{what} .{form}", measured(what, key, path, rounds)
        path.unlink()


def main() -> None:
    """Print a table for each model; ratios are to the first row and to the weights' own size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--formats", nargs="+", choices=["safetensors", "pt"], default=["safetensors", "pt"])
    parser.add_argument("--dtype", choices=["float16", "bfloat16", "float32"], default="float16")
    parser.add_argument("--rounds", type=int, default=1, help="take the median of so many")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    parser.add_argument("--figure", nargs=3, help=argparse.SUPPRESS)  # a fresh process' one task
    options = parser.parse_args()
    if options.figure:
        what, key, path = options.figure
        print(json.dumps(measure(WORK[what](MODELS[key], Path(path)))))
        return
    dtype = getattr(torch, options.dtype)
    lean = "with" if importlib.util.find_spec("accelerate") else "without"
    for key in options.models:
        model = MODELS[key]
        count = sum(value.numel() for value in network(model).state_dict().values())
        size = count * dtype.itemsize
        table = Table(
            title=f"{model.title}: {count / 1e6:.0f} M weights, {size / _MIB:.0f} MiB in {options.dtype}; median of "
            f"{options.rounds}, {torch.get_num_threads()} threads, torch {torch.__version__}, {lean} accelerate"
        )
        for heading in ("", "wall s", "÷ torch", "CPU s", "÷ torch", "peak MiB", "÷ weights"):
            table.add_column(heading, justify="right" if heading else "left")
        base: Figure | None = None
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            for name, figure in rows(key, options.formats, dtype, Path(folder), options.rounds):
                base = base or figure
                wall, processor = figure.seconds / base.seconds, figure.processor / base.processor
                times = (figure.seconds, wall, figure.processor, processor)
                memory = (f"{figure.peak / _MIB:.0f}", f"{figure.peak / size:.2f}")
                table.add_row(name, *(f"{value:.3f}" for value in times), *memory)
        Console().print(table)


if __name__ == "__main__":
    main()
