"""Sampling overhead: wall time of a guided sampling run over its bare batched forwards, in one process.

    python -m glidewire.benchmarks.sampling_overhead [--model FILE] [--steps 50] [--batch 4] [--rounds 5]

The bare forward is the network alone at the batch that guidance needs (conditional and unconditional rows), with
the text's keys and values projected beforehand, under `no_grad`. Both are timed in turn, round by round.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import torch

from ..diffusion.schedules import SCHEDULES, respace
from ..graph_runtime.context import Context
from ..graph_runtime.folders import Folders
from ..models.glide.model import load_model
from ..nodes.glide import glide_denoiser
from ..nodes.guidance import classifier_free_guidance
from ..nodes.samplers import ancestral_sampler, ddim_sampler, noise_start
from ..nodes.sockets import Condition
from .measuring import WEIGHTS, seconds


@torch.no_grad()
def main() -> None:
    """Print a row per sampler: median seconds of the run, of its bare forwards, and the ratio."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", type=Path, default=WEIGHTS / "mini-glide-base.safetensors")
    options.add_argument("--steps", type=int, default=50)
    options.add_argument("--batch", type=int, default=4)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()

    model = load_model(given.model)
    context = Context(folders=Folders(models=(given.model.parent,)))
    conditions = [model.encode_prompt(prompt)[0] for prompt in ("a red cube", "")]
    conditional, unconditional = (glide_denoiser(model, Condition(tensors)) for tensors in conditions)
    guided = classifier_free_guidance(conditional, unconditional, 3.0)
    schedule = respace(SCHEDULES[model.spec.schedule](), str(given.steps))
    side = model.spec.image_size
    start = noise_start(guided, side, side, given.batch, seed=0)

    rows = 2 * given.batch
    text = {
        name: torch.cat([row.expand(given.batch, *row.shape[1:]) for row in (one[name] for one in conditions)])
        for name in conditions[0]
    }
    prepared = model.network.prepare(text)
    x_t = start.tensor.repeat(2, 1, 1, 1)

    def bare() -> None:
        for timestep in reversed(schedule.timesteps):
            model.network(x_t, torch.full((rows,), timestep), prepared)

    threads = torch.get_num_threads()
    print(f"{given.steps} steps, batch {given.batch}, {side} px, {threads} threads, torch {torch.__version__}")
    print(f"{'sampler':<12}{'run s':>10}{'bare s':>10}{'ratio':>8}   (median of {given.rounds}; each round's ratio)")
    for name, sampler in (("ancestral", ancestral_sampler), ("ddim", ddim_sampler)):
        run = lambda sampler=sampler: sampler(guided, schedule, start, context=context)  # noqa: E731
        run(), bare()
        pairs = [(seconds(run), seconds(bare)) for _ in range(given.rounds)]
        ratios = [taken / least for taken, least in pairs]
        run_median, bare_median = (statistics.median(column) for column in zip(*pairs, strict=True))
        shown = " ".join(f"{ratio:.3f}" for ratio in ratios)
        print(f"{name:<12}{run_median:>10.3f}{bare_median:>10.3f}{statistics.median(ratios):>8.3f}   {shown}")


if __name__ == "__main__":
    main()
