"""What mini GLIDE is made of: its hyper-parameters, its schedule of training, its batches and its loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..diffusion import schedules
from ..models.glide.network import GlideTextToImage
from ..models.glide.spec import GlideSpec
from ..models.glide.tokenizer import GlideTokenizer
from ..scenes import caption, sample_scene
from . import batches
from .hybrid import SnrWeight, hybrid
from .pool import Pool
from .run import Course

# Most of the arithmetic is at 16 pixels and below: 3.5 M parameters at 0.17 GMAC a picture.
MINI = GlideSpec(
    image_size=32,
    model_channels=16,
    channel_mult=(1, 2, 4, 8),
    num_res_blocks=1,
    num_head_channels=32,
    attention_resolutions=(8, 4),
    text_context=24,
    text_width=96,
    text_layers=3,
    text_heads=4,
    norm_groups=8,
)


@dataclass(frozen=True)
class Recipe(Course):
    """Everything that the result depends on, besides the world and the network.

    Attributes:
        stages: (share of the time, side in pixels, pictures a step): coarse pictures first teach what words
            mean three times faster, as in progressive growing (Karras et al. 2018).
        reading_steps: Updates in which the text transformer alone learns to read; see `reading`.
        text_rate: The text transformer's learning rate over the U-Net's: it can read already.
        empty_captions: Share of captions replaced by nothing, for classifier-free guidance (Ho & Salimans 2022).
        silence: Chance that a caption leaves out an object's shape, or else its colour: a word then has to mean
            something by itself, and not only beside the words it was seen with.
        pairs: Share of pictures with two solids, which are harder than one.
        snr_limits: Weight of an item's eps error is clamp(SNR, low, high) / SNR: less for details, as in
            Hang et al. 2023, and more where almost only the caption tells what to draw.
        weight_limits: Bounds of that weight: without the lower one, samples keep speckles.
    """

    minutes: float = 110.0
    stages: tuple[tuple[float, int, int], ...] = ((0.51, 16, 128), (0.49, 32, 64))
    reading_steps: int = 800
    text_rate: float = 0.1
    warm_up_steps: int = 200
    decay_from: float = 0.7
    empty_captions: float = 0.12
    silence: float = 0.1
    pairs: float = 0.65
    snr_limits: tuple[float, float] = (0.3, 5.0)
    weight_limits: tuple[float, float] = (0.2, 20.0)

    def stage(self, progress: float) -> tuple[int, int]:
        """Side in pixels and pictures a step, when `progress` (0 to 1) of the time has passed."""
        passed = 0.0
        for share, side, batch_size in self.stages:
            passed += share
            if progress < passed:
                return side, batch_size
        return self.stages[-1][1:]


@dataclass(frozen=True)
class Batch:
    """What a step learns from.

    Attributes:
        pictures: "batch 3 height width" in [-1, 1].
        tokens: Of their captions, "batch positions".
        mask: Of the tokens, "batch positions".
        chosen: The scenes' numbers in the pool.
        known: What else the network is told, for inpainting.
    """

    pictures: Tensor
    tokens: Tensor
    mask: Tensor
    chosen: NDArray[np.int64]
    known: Mapping[str, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        known = {name: value.to(device) for name, value in self.known.items()}
        pictures, tokens, mask = (value.to(device) for value in (self.pictures, self.tokens, self.mask))
        return Batch(pictures, tokens, mask, self.chosen, known)


def draw_batch(pool: Pool, tokenizer: GlideTokenizer, recipe: Recipe, step: int, progress: float) -> Batch:
    """The batch of a step: a function of the recipe's seed, the step and the stage alone."""
    side, size = recipe.stage(progress)
    rng = np.random.default_rng((recipe.seed, step, 1))
    chosen = pool.choose(rng, size, recipe.pairs)
    phrasings = rng.integers(2**31, size=size)
    empty = rng.random(size) < recipe.empty_captions
    texts = [
        "" if empty[i] else caption(pool.scenes[index], int(phrasings[i]), silence=recipe.silence).text
        for i, index in enumerate(chosen)
    ]
    tokens, mask = tokenizer.encode_batch(texts, MINI.text_context)
    pictures = batches.pictures(pool, chosen)
    if pictures.shape[-1] != side:
        pictures = F.avg_pool2d(pictures, pictures.shape[-1] // side)
    return Batch(pictures.contiguous(), tokens, mask, chosen)


def loss_of(
    model: GlideTextToImage, batch: Batch, schedule: schedules.NoiseSchedule, recipe: Recipe, step: int
) -> dict[str, Tensor]:
    """Mean losses of a batch: the hybrid loss with the eps error weighted as `Recipe.snr_limits` says.

    Timesteps are stratified over the batch, which lowers the gradient's variance (Kingma et al. 2021, app. I.1).
    """

    def network(x_t: Tensor, timesteps: Tensor) -> Tensor:
        return model(x_t, timesteps, {**model.encode_text(batch.tokens, batch.mask), **batch.known})

    weight = SnrWeight(recipe.snr_limits, recipe.weight_limits)
    return hybrid(network, batch.pictures, schedule, weight, recipe.generator(step))


def caption_tokenizer() -> GlideTokenizer:
    """The small byte-level BPE of the caption grammar: every word of it becomes one token."""
    texts = (caption(sample_scene(seed, tints=0.5), seed).text for seed in range(4000))
    return GlideTokenizer.train(texts, 512)
