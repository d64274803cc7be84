"""The recipe of mini unCLIP's decoder: latents under a picture's embedding alone, as Kandinsky 2.2 decodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from ..diffusion import guidance, losses, samplers, schedules
from ..diffusion.denoiser import Leaf
from ..diffusion.noise import SeededNoise
from ..models.checkpoint import save_published
from ..models.clip.model import CLIP, load_clip
from ..models.first_stage.model import SPACE, load_autoencoder
from ..models.hyper_parameters import SPEC, to_json
from ..models.unclip import checkpoint
from ..models.unclip.decoder import Decoder
from ..models.unclip.spec import DecoderSpec
from ..scenes import render
from .commands import device_named, run_command
from .encoded import encoded, rows
from .measures import fresh_scenes
from .painters import Sampling, to_bytes
from .pool import Pool, open_pool
from .run import Course, Lesson, Run, train
from .timesteps import stratified

NAME = "mini-unclip-decoder"
SIDE = 32


def mini_spec(embedding_width: int) -> DecoderSpec:
    """8 x 8 latents: most of the arithmetic is at 4 x 4 and 2 x 2."""
    return DecoderSpec(
        system="kandinsky-2.2",
        in_channels=4,
        out_channels=8,
        model_channels=32,
        channel_mult=(1, 2, 4),
        num_res_blocks=1,
        attention_levels=(1, 2),
        num_head_channels=32,
        context_width=64,
        image_tokens=4,
        embedding_width=embedding_width,
        text_width=0,
        pooled_width=0,
        norm_groups=8,
    )


@dataclass(frozen=True)
class DecoderCourse(Course):
    """The numbers of the decoder's recipe.

    Attributes:
        empty_pictures: Share of embeddings replaced by that of a black picture, for classifier-free guidance.
        pairs: Share of pictures with two solids.
        snr_limits: Weight of an item's eps error is clamp(SNR, low, high) / SNR (Hang et al. 2023).
        weight_limits: Bounds of that weight.
    """

    minutes: float = 30.0
    batch_size: int = 128
    learning_rate: float = 1.5e-3
    pool_size: int = 40_000
    empty_pictures: float = 0.1
    pairs: float = 0.65
    snr_limits: tuple[float, float] = (0.3, 5.0)
    weight_limits: tuple[float, float] = (0.2, 20.0)


class DecoderLesson(Lesson):
    """A decoder learns eps and variance of latents under the embedding of their picture.

    Args:
        course: The recipe's numbers.
        pool: Training scenes.
        autoencoder: The KL autoencoder's file.
        clip: CLIP's file.
        folder: Where the encoded pool is kept.
        device: To train on.
    """

    name = NAME

    def __init__(
        self, course: DecoderCourse, pool: Pool, autoencoder: Path, clip: Path, folder: Path, device: torch.device
    ) -> None:
        self.course, self.pool, self.device = course, pool, device
        self.numbers = course
        self.autoencoder = load_autoencoder(autoencoder, device=device)
        self.clip = load_clip(clip, device=device)
        self.latents = encoded(pool, folder, self.autoencoder.digest(), self.autoencoder.encode)
        self.pictures = encoded(pool, folder, self.clip.digest(), self.clip.encode_picture)
        self.nothing = self.clip.encode_picture(-torch.ones(1, 3, SIDE, SIDE)).to(device)
        torch.manual_seed(course.seed)
        self.network = Decoder(mini_spec(self.clip.spec.image.projection)).to(device)
        self.network.space = self.autoencoder.space
        self.model = self.network
        self.schedule = self.network.spec.noise_schedule

    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """The hybrid loss (Nichol & Dhariwal 2021, eq. 16), eps weighted as `DecoderCourse.snr_limits` says."""
        rng, generator = self.course.choices(step), self.course.generator(step)
        chosen = self.pool.choose(rng, self.course.batch_size, self.numbers.pairs)
        embedding = rows(self.pictures, chosen).to(self.device)
        empty = torch.from_numpy(rng.random(len(chosen)) < self.numbers.empty_pictures).to(self.device)
        embedding = torch.where(empty[:, None], self.nothing, embedding)
        x_0 = rows(self.latents, chosen).to(self.device)
        timesteps = stratified(len(x_0), len(self.schedule), generator).to(self.device)
        noise = torch.randn(x_0.shape, generator=generator).to(self.device)
        x_t = losses.q_sample(x_0, timesteps, noise, self.schedule)
        with torch.autocast(self.device.type, torch.bfloat16):
            output = self.network(x_t, timesteps, self.network.encode(embedding))
        each = losses.hybrid_loss(output, x_0, x_t, noise, timesteps, self.schedule)
        alpha_bar = self.schedule.alpha_bar.float().to(self.device)[timesteps]
        snr = alpha_bar / (1 - alpha_bar)
        weight = (snr.clamp(*self.numbers.snr_limits) / snr).clamp(*self.numbers.weight_limits)
        total = (weight * each["mse"] + (each["total"] - each["mse"])).mean()
        return {"total": total, "mse": each["mse"].mean()}

    @torch.no_grad()
    def sheet(self, averaged: nn.Module) -> NDArray[np.uint8]:
        """Fresh scenes, four to a row, each beside what is drawn under its embedding."""
        network: Any = averaged
        network.space = self.autoencoder.space
        pictures = np.stack([render(scene, SIDE) for scene in fresh_scenes(16)])
        values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        embedding = self.clip.encode_picture(values).to(self.device)
        leaves = Leaf(network, network.encode(embedding)), Leaf(network, network.encode(self.nothing))
        denoiser = guidance.classifier_free(*leaves, 3.0)
        noise = SeededNoise(tuple(range(16)))
        schedule = schedules.respace(self.schedule, "20")
        x_T = noise.draw((network.channels, 8, 8)).to(self.device)
        x_0 = samplers.sample(denoiser, schedule, x_T, Sampling().built(clip=False), noise)
        found = to_bytes(self.autoencoder.decode(x_0))
        return np.stack([pictures, found], axis=1).reshape(-1, *pictures.shape[1:])

    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        """Write diffusers' layout, with the space of the latents."""
        spec = self.network.spec
        strings = {**metadata, CLIP: self.clip.clip, SPACE: self.autoencoder.space, SPEC: to_json("unclip", spec)}
        save_published(averaged, checkpoint.key_map(spec, "diffusers"), path, metadata=strings, dtype=torch.float16)


def main(
    out: Annotated[Path, typer.Option(help="Folder of the run: state, log, sheets, weights.")],
    autoencoder: Annotated[Path, typer.Option(help="The KL autoencoder.")],
    clip: Annotated[Path, typer.Option(help="Mini CLIP.")],
    minutes: Annotated[float, typer.Option(min=0.01, help="Time to train for.")] = DecoderCourse.minutes,
    steps: Annotated[int, typer.Option(min=0, help="Updates to train for, instead of a time.")] = 0,
    pool: Annotated[int, typer.Option(min=1, help="Number of training scenes.")] = DecoderCourse.pool_size,
    scenes: Annotated[Path | None, typer.Option(help="Folder of rendered scenes; by default inside OUT.")] = None,
    start: Annotated[Path | None, typer.Option(help="Published weights that a new run begins with.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Of weights, batches and noise.")] = 0,
) -> None:
    """Train a mini unCLIP decoder, or go on with the run in OUT."""
    torch.set_num_threads(threads)
    course = DecoderCourse(minutes=minutes, steps=steps, pool_size=pool, seed=seed)
    folder = scenes or out / "pool"
    opened = open_pool(folder, pool, SIDE, tints=course.tints, workers=threads)
    train(Run(DecoderLesson(course, opened, autoencoder, clip, folder, device_named(device)), out, start=start))


if __name__ == "__main__":
    run_command(main)
