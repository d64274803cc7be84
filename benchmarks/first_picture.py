"""First picture: wall time from process start to a saved picture, beside importing torch and diffusers alone.

    python -m glidewire.benchmarks.first_picture [--rounds 3] [--steps 50]

Each round starts a fresh process with an empty cache, then one that finds the sampler's result on disk.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_PROMPT = "a large red cube left of a small blue sphere"


def seconds(command: list[str], folder: str) -> float:
    """Wall time of a process that must succeed."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=folder, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    return time.perf_counter() - started


def main() -> None:
    """Print the median of each figure and what each round took."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--steps", type=int, default=50)
    given = options.parse_args()
    package = __package__.rpartition(".")[0] if __package__ else "glidewire"
    figures: dict[str, list[float]] = {"import torch, diffusers": [], "first picture": [], "again, from the cache": []}
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as folder:
            run = [sys.executable, "-m", package, "run", "text-to-image", "--output", str(Path(folder) / "output")]
            run += ["--cache", str(Path(folder) / "cache"), "--set", f"prompt={_PROMPT}", "--set", "batch=1"]
            run += ["--set", f"spacing={given.steps}"]
            bare = [sys.executable, "-c", "import torch, diffusers; diffusers.UNet2DConditionModel"]
            figures["import torch, diffusers"].append(seconds(bare, folder))
            figures["first picture"].append(seconds(run, folder))
            figures["again, from the cache"].append(seconds(run, folder))
    for name, taken in figures.items():
        print(f"{name:<26}{statistics.median(taken):>8.2f} s   {' '.join(f'{one:.2f}' for one in taken)}")


if __name__ == "__main__":
    main()
