"""What mini GLIDE is made of: its hyper-parameters, its schedule of training, its batches and its loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..diffusion import losses, schedules
from ..models.glide.network import GlideTextToImage
from ..models.glide.spec import GlideSpec
from ..models.glide.tokenizer import GlideTokenizer
from ..scenes import caption, sample_scene
from .pool import Pool

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
class Recipe:
    """Everything that the result depends on, besides the world and the network.

    Attributes:
        minutes: Time to train for; schedules are functions of the share of it that has passed.
        steps: Updates to train for, if not by time: the result is then a function of the recipe alone.
        stages: (share of the time, side in pixels, pictures a step): coarse pictures first teach what words
            mean three times faster, as in progressive growing (Karras et al. 2018).
        reading_steps: Updates in which the text transformer alone learns to read; see `reading`.
        learning_rate: Of AdamW, constant until `decay_from` of the time, then a cosine down to 2 %.
        text_rate: The text transformer's learning rate over the U-Net's: it can read already.
        empty_captions: Share of captions replaced by nothing, for classifier-free guidance (Ho & Salimans 2022).
        silence: Chance that a caption leaves out an object's shape, or else its colour: a word then has to mean
            something by itself, and not only beside the words it was seen with.
        pairs: Share of pictures with two solids, which are harder than one.
        tints: Chance that a solid has a colour between the six that prompts name. With six alone, a network learns
            that yellow cylinders do not exist, and no caption or guidance talks it out of that.
        snr_limits: Weight of an item's eps error is clamp(SNR, low, high) / SNR: less for details, as in
            Hang et al. 2023, and more where almost only the caption tells what to draw.
        weight_limits: Bounds of that weight: without the lower one, samples keep speckles.
        ema: Decay of the moving average of the weights that is shipped.
        pool_size: Training scenes.
        seed: Of weights, batches, captions and noise.
    """

    minutes: float = 110.0
    steps: int = 0
    stages: tuple[tuple[float, int, int], ...] = ((0.51, 16, 128), (0.49, 32, 64))
    reading_steps: int = 800
    learning_rate: float = 1e-3
    text_rate: float = 0.1
    warm_up_steps: int = 200
    decay_from: float = 0.7
    empty_captions: float = 0.12
    silence: float = 0.1
    pairs: float = 0.65
    tints: float = 0.4
    snr_limits: tuple[float, float] = (0.3, 5.0)
    weight_limits: tuple[float, float] = (0.2, 20.0)
    ema: float = 0.999
    pool_size: int = 120_000
    seed: int = 0

    def progress(self, step: int, seconds: float) -> float:
        """Share of the training, 0 to 1, that is done after `step` updates in so many seconds."""
        return min(1.0, step / self.steps if self.steps else seconds / (60 * self.minutes))

    def stage(self, progress: float) -> tuple[int, int]:
        """Side in pixels and pictures a step, when `progress` (0 to 1) of the time has passed."""
        passed = 0.0
        for share, side, batch_size in self.stages:
            passed += share
            if progress < passed:
                return side, batch_size
        return self.stages[-1][1:]

    def rate(self, step: int, progress: float) -> float:
        """Learning rate at a step."""
        warm = min(1.0, (step + 1) / self.warm_up_steps)
        tail = max(0.0, (progress - self.decay_from) / (1 - self.decay_from))
        return self.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, tail))))


@dataclass(frozen=True)
class Batch:
    """Pictures "batch 3 height width" in [-1, 1], and their captions' tokens and mask "batch positions"."""

    pictures: Tensor
    tokens: Tensor
    mask: Tensor


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
    pictures = torch.from_numpy(pool.pictures[np.sort(chosen)][np.argsort(np.argsort(chosen))])
    pictures = pictures.permute(0, 3, 1, 2).float() / 127.5 - 1
    if pictures.shape[-1] != side:
        pictures = F.avg_pool2d(pictures, pictures.shape[-1] // side)
    return Batch(pictures.contiguous(), tokens, mask)


def loss_of(
    model: GlideTextToImage, batch: Batch, schedule: schedules.NoiseSchedule, recipe: Recipe, step: int
) -> dict[str, Tensor]:
    """Mean losses of a batch: the hybrid loss with the eps error weighted as `Recipe.snr_limits` says.

    Timesteps are stratified over the batch, which lowers the gradient's variance (Kingma et al. 2021, app. I.1).
    """
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
    x_0 = batch.pictures
    offset = torch.rand((), generator=generator)
    share = (torch.arange(len(x_0)) + offset) / len(x_0)
    timesteps = (share * len(schedule)).long().clamp(max=len(schedule) - 1)
    timesteps = timesteps[torch.randperm(len(x_0), generator=generator)].to(x_0.device)
    noise = torch.randn(x_0.shape, generator=generator).to(x_0.device)
    x_t = losses.q_sample(x_0, timesteps, noise, schedule)
    with torch.autocast(x_0.device.type, torch.bfloat16):
        output = model(x_t, timesteps, model.encode_text(batch.tokens, batch.mask))
    each = losses.hybrid_loss(output, x_0, x_t, noise, timesteps, schedule)
    alpha_bar = schedule.alpha_bar.float().to(x_0.device)[timesteps]
    snr = alpha_bar / (1 - alpha_bar)
    weight = (snr.clamp(*recipe.snr_limits) / snr).clamp(*recipe.weight_limits)
    total = (weight * each["mse"] + (each["total"] - each["mse"])).mean()
    return {"total": total, "mse": each["mse"].mean(), "vlb": each["vlb"].mean()}


def caption_tokenizer() -> GlideTokenizer:
    """The small byte-level BPE of the caption grammar: every word of it becomes one token."""
    texts = (caption(sample_scene(seed, tints=0.5), seed).text for seed in range(4000))
    return GlideTokenizer.train(texts, 512)
