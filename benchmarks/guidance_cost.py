"""Cost of each guidance over plain classifier-free guidance: batched forwards and rows counted, and time.

    python -m glidewire.benchmarks.guidance_cost [--model FILE] [--steps 4] [--batch 1] [--rounds 5]

Forwards are calls of the U-Net, each batched; rows are items that go through its way down and its way up, and back
through it for a gradient: an asymmetric edit takes two ways up on one way down, self-attention guidance evaluates one
row a second time, and a gradient of what the network predicts goes through it forwards and backwards. Looks are
pictures that a CLIP sees. All are per step, and counted inside of the networks. Times are ratios to classifier-free
guidance, which runs before each: medians over rounds.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..diffusion import guidance, samplers, solvers
from ..diffusion.denoiser import Denoiser, Leaf
from ..diffusion.guidance import ScaleSchedule
from ..diffusion.schedules import SCHEDULES, NoiseSchedule, respace
from ..graph_runtime.context import Context
from ..models import halves
from ..models.asyrp.directions import DeltaBlocks
from ..models.asyrp.edit import WeightedDirections, edited
from ..models.asyrp.spec import DeltaBlockSpec
from ..models.clip.model import ClipModel, load_clip
from ..models.glide.model import GlideModel, load_model
from ..models.noised_clip.model import NoisedClip, load_noised_clip
from ..nodes import clip, clip_guiding, guidance_attention, guidance_conditions, noised_clip
from .measuring import WEIGHTS, seconds

PROMPT = "a red cube"


@dataclass(frozen=True)
class Models:
    """What the guidances are made of."""

    glide: GlideModel
    clip: ClipModel
    noised: NoisedClip

    def leaf(self, prompt: str) -> Leaf:
        """The denoiser under a prompt."""
        return Leaf(self.glide.network, self.glide.encode_prompt(prompt)[0])


def of_differences(models: Models, schedule: NoiseSchedule, batch: int) -> Mapping[str, Denoiser]:
    """Guidances that combine predictions, by name; the first is what all others are compared with."""
    c, u, n, other = (models.leaf(prompt) for prompt in (PROMPT, "", "a blue sphere", "a green cone"))
    plain = guidance.classifier_free(c, u, 3.0)
    annealed = guidance_conditions.annealed_condition(c, batch, levels=len(schedule))
    side = models.glide.spec.image_size
    left = (torch.arange(side) < side // 2).float().expand(1, side, side)
    return {
        "classifier-free": plain,
        "conditional alone": c,
        "in half of the steps": guidance.classifier_free(c, u, 3.0, 0.0, 0.5),
        "at a scale that changes": guidance.classifier_free(c, u, ScaleSchedule(7.0, 1.0, "cosine")),
        "negative prompt as the empty one": guidance.classifier_free(c, n, 3.0),
        "CFG++": guidance.classifier_free_plus_plus(c, u, 0.6),
        "autoguidance (same network)": guidance.autoguidance(c, u, 2.0),
        "rescale": guidance.rescale(plain, c, 0.7),
        "static threshold": guidance.static_threshold(plain),
        "dynamic threshold": guidance.dynamic_threshold(plain),
        "APG": guidance.adaptive_projected(c, u, 7.5, momentum=-0.5),
        "CFG-Zero*": guidance.zero_star(c, u, 4.0),
        "TCFG": guidance.tangential(c, u, 3.0),
        "MAMBO-G": guidance.magnitude_aware(c, u, 7.5),
        "FDG": guidance.frequency_decoupled(c, u, [8.0, 3.0]),
        "CADS": guidance.classifier_free(annealed, u, 3.0),
        "negative prompt": guidance.negative_prompt(c, u, n, 7.0, 2.0),
        "Perp-Neg": guidance.perpendicular_negative(c, u, [n], [1.0], 7.0),
        "image and text": guidance.two_scale(c, n, u, 1.5, 7.5),
        "composable, three conditions": guidance.composable([c, n, other], u, [3.0, 3.0, -3.0]),
        "by region, two guided": guidance.by_region(plain, [(guidance.classifier_free(n, u, 3.0), left)]),
    }


def of_the_network(models: Models, schedule: NoiseSchedule) -> Mapping[str, Denoiser]:
    """Guidances that look into the network, and one that nests all kinds."""
    c, u = models.leaf(PROMPT), models.leaf("")
    plain = guidance.classifier_free(c, u, 3.0)
    channels, width = halves.bottleneck(models.glide.network.unet)
    direction = DeltaBlocks(DeltaBlockSpec(channels=channels, embedding_width=width, norm_groups=8)).eval()
    directions = WeightedDirections(((direction.requires_grad_(False), (1.0,)),))
    perturbed = guidance_attention.perturbed_attention_guidance(plain, 3.0)
    return {
        "PAG": perturbed,
        "PAG alone": guidance_attention.perturbed_attention_guidance(c, 3.0),
        "SLG": guidance_attention.skip_layer_guidance(plain, 2.8),
        "SEG": guidance_attention.smoothed_energy_guidance(plain, 3.0),
        "SAG": guidance_attention.self_attention_guidance(plain, schedule, 0.75),
        "Asyrp": edited(plain, directions, schedule, 1.0, 0, 0.0),
        "PAG, rescaled; thresholded for half": guidance.dynamic_threshold(
            guidance.rescale(perturbed, c, 0.7), start=0.0, end=0.5
        ),
    }


def of_gradients(models: Models) -> Mapping[str, Denoiser]:
    """Guidances that ask a CLIP, on classifier-free guidance."""
    plain = guidance.classifier_free(models.leaf(PROMPT), models.leaf(""), 3.0)
    text = clip.clip_text_embedding(models.clip, PROMPT, context=Context()).embedding
    noised = noised_clip.noised_clip_text_encoder(models.noised, PROMPT, context=Context())

    def by_clip(**settings: Any) -> Denoiser:
        return clip_guiding.clip_guidance(plain, models.clip, text, 15.0, cutouts=4, **settings)

    return {
        "noised CLIP": noised_clip.noised_clip_guidance(plain, models.noised, noised, 0.02),
        "classifier of two classes": clip_guiding.classifier_guidance(
            plain, models.noised, f"{PROMPT}\na blue sphere", context=Context()
        ),
        "CLIP on x_0, 4 cutouts": by_clip(),
        "the same, past the network": by_clip(through_network=False),
        "the same, in half of the steps": by_clip(end=0.5),
    }


class Counted:
    """What goes through a U-Net and through the CLIPs that look on, counted by hooks inside of them."""

    HEADS = ("forwards", "rows down", "rows up", "rows back", "looks")

    def __init__(self, models: Models) -> None:
        self.numbers = dict.fromkeys(self.HEADS, 0)
        unet: Any = models.glide.network.unet
        unet.mid_block.register_forward_hook(lambda _, __, output: self._add("rows down", output))
        unet.conv_out.register_forward_hook(self._up)
        unet.conv_in.register_forward_hook(lambda *_: self._add("forwards", [None]))
        for tower in (models.clip.network.image, models.noised.image):
            tower.register_forward_hook(lambda _, __, output: self._add("looks", output))

    def reset(self) -> None:
        """Begin anew."""
        self.numbers = dict.fromkeys(self.HEADS, 0)

    def _add(self, what: str, rows: Any) -> None:
        self.numbers[what] += len(rows)

    def _up(self, module: Any, inputs: Any, output: torch.Tensor) -> None:
        self._add("rows up", output)
        if output.requires_grad:
            output.register_hook(lambda gradient: self._add("rows back", gradient))


@torch.no_grad()
def main() -> None:
    """Print a row per guidance."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", type=Path, default=WEIGHTS / "mini-glide-base.safetensors")
    options.add_argument("--steps", type=int, default=4)
    options.add_argument("--batch", type=int, default=1)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()

    towers = (WEIGHTS / f"mini-noised-clip{tower}.safetensors" for tower in ("", "-text"))
    models = Models(load_model(given.model), load_clip(WEIGHTS / "mini-clip.safetensors"), load_noised_clip(*towers))
    schedule = respace(SCHEDULES[models.glide.spec.schedule](), str(given.steps))
    side = models.glide.spec.image_size
    x_T = torch.randn(given.batch, 3, side, side, generator=torch.Generator().manual_seed(0))
    counted = Counted(models)

    def run(denoiser: Denoiser) -> None:
        samplers.sample(denoiser, schedule, x_T, solvers.ddim(0.0))

    print(f"{given.steps} steps, batch {given.batch}, {side} px, {torch.get_num_threads()} threads; per step")
    print(f"{'guidance':<36}" + "".join(f"{head:>11}" for head in (*Counted.HEADS, "time")))
    every = {
        **of_differences(models, schedule, given.batch),
        **of_the_network(models, schedule),
        **of_gradients(models),
    }
    plain = every["classifier-free"]
    for name, denoiser in every.items():
        counted.reset()
        run(denoiser)
        numbers = [counted.numbers[head] / given.steps for head in Counted.HEADS]
        # Plain guidance before each round, so that what else the machine does falls on both.
        firsts, times = zip(
            *((seconds(partial(run, plain)), seconds(partial(run, denoiser))) for _ in range(given.rounds)), strict=True
        )
        ratios = [time / first for first, time in zip(firsts, times, strict=True)]
        print(f"{name:<36}" + "".join(f"{number:>11g}" for number in numbers) + f"{statistics.median(ratios):>11.2f}")


if __name__ == "__main__":
    main()
