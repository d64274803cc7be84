"""Cost of each guidance over plain classifier-free guidance: batched forwards and rows counted, and time.

    python -m glidewire.benchmarks.guidance_cost [--model FILE] [--steps 4] [--batch 1] [--rounds 3]

Forwards are calls of the network by the evaluator, each batched; rows are items that go through its way down and its
way up, counted inside: an asymmetric edit takes two ways up on one way down, and self-attention guidance evaluates one
row a second time. Numbers are per step. Times are medians over rounds, as a ratio to classifier-free guidance.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..diffusion import guidance, samplers, solvers
from ..diffusion.denoiser import Denoiser, Leaf
from ..diffusion.evaluator import Evaluator
from ..diffusion.noise import SeededNoise
from ..diffusion.schedules import SCHEDULES, NoiseSchedule, respace
from ..models import halves
from ..models.asyrp.directions import DeltaBlocks
from ..models.asyrp.edit import WeightedDirections, edited
from ..models.asyrp.spec import DeltaBlockSpec
from ..models.glide.model import GlideModel, load_model
from ..nodes import guidance_attention
from .measuring import WEIGHTS, seconds


def expressions(model: GlideModel, schedule: NoiseSchedule, batch: int) -> Mapping[str, Denoiser]:
    """One guidance of each kind, by name; the first is what the others are compared with."""
    prompts = ("a red cube", "", "a blue sphere", "a green cone")
    c, u, n, other = (Leaf(model.network, model.encode_prompt(prompt)[0]) for prompt in prompts)
    plain = guidance.classifier_free(c, u, 3.0)
    noise = SeededNoise((0,) * batch)
    channels, width = halves.bottleneck(model.network.unet)
    direction = DeltaBlocks(DeltaBlockSpec(channels=channels, embedding_width=width, norm_groups=8)).eval()
    directions = WeightedDirections(((direction.requires_grad_(False), (1.0,)),))
    return {
        "classifier-free": plain,
        "conditional alone": c,
        "in half of the steps": guidance.classifier_free(c, u, 3.0, 0.0, 0.5),
        "CFG++": guidance.classifier_free_plus_plus(c, u, 0.6),
        "autoguidance (same network)": guidance.autoguidance(c, u, 2.0),
        "rescale": guidance.rescale(plain, c, 0.7),
        "dynamic threshold": guidance.dynamic_threshold(plain),
        "APG": guidance.adaptive_projected(c, u, 7.5, momentum=-0.5),
        "CFG-Zero*": guidance.zero_star(c, u, 4.0),
        "TCFG": guidance.tangential(c, u, 3.0),
        "MAMBO-G": guidance.magnitude_aware(c, u, 7.5),
        "FDG": guidance.frequency_decoupled(c, u, [8.0, 3.0]),
        "CADS": guidance.classifier_free(guidance.condition_annealed(c, noise, batch, len(schedule)), u, 3.0),
        "negative prompt": guidance.negative_prompt(c, u, n, 7.0, 2.0),
        "Perp-Neg": guidance.perpendicular_negative(c, u, [n], [1.0], 7.0),
        "composable, three": guidance.composable([c, n, other], u, [3.0, 3.0, 3.0]),
        "image and text": guidance.two_scale(c, n, u, 1.5, 7.5),
        "PAG": guidance_attention.perturbed_attention_guidance(plain, 3.0),
        "SLG": guidance_attention.skip_layer_guidance(plain, 2.8),
        "SEG": guidance_attention.smoothed_energy_guidance(plain, 3.0),
        "SAG": guidance_attention.self_attention_guidance(plain, schedule, 0.75),
        "Asyrp": edited(plain, directions, schedule, 1.0, 0, 0.0),
    }


class Counted:
    """Rows that go through a U-Net, counted by hooks on its way down and its way up."""

    def __init__(self, unet: Any) -> None:
        self.down = self.up = 0
        unet.mid_block.register_forward_hook(self._down)
        unet.conv_out.register_forward_hook(self._up)

    def _down(self, module: Any, inputs: Any, output: Any) -> None:
        self.down += len(output)

    def _up(self, module: Any, inputs: Any, output: Any) -> None:
        self.up += len(output)


@torch.no_grad()
def main() -> None:
    """Print a row per guidance."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", type=Path, default=WEIGHTS / "mini-glide-base.safetensors")
    options.add_argument("--steps", type=int, default=4)
    options.add_argument("--batch", type=int, default=1)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()

    model = load_model(given.model)
    schedule = respace(SCHEDULES[model.spec.schedule](), str(given.steps))
    side = model.spec.image_size
    x_T = SeededNoise((0,) * given.batch).draw((3, side, side))
    counted = Counted(model.network.unet)
    print(f"{given.steps} steps, batch {given.batch}, {side} px, {torch.get_num_threads()} threads; per step")
    print(f"{'guidance':<30}{'forwards':>10}{'rows down':>11}{'rows up':>9}{'time':>8}")
    of_plain = 0.0
    for name, denoiser in expressions(model, schedule, given.batch).items():

        def run(denoiser: Denoiser = denoiser) -> Evaluator:
            evaluator = Evaluator()
            samplers.sample(denoiser, schedule, x_T, solvers.ddim(0.0), evaluator=evaluator)
            return evaluator

        counted.down = counted.up = 0
        evaluator = run()
        numbers = [count / given.steps for count in (evaluator.forwards, counted.down, counted.up)]
        taken = statistics.median(seconds(run) for _ in range(given.rounds))
        of_plain = of_plain or taken
        print(f"{name:<30}{numbers[0]:>10.2f}{numbers[1]:>11.2f}{numbers[2]:>9.2f}{taken / of_plain:>8.2f}")


if __name__ == "__main__":
    main()
