"""The recipes of the first stages: a KL autoencoder of the scene world, and the VQ autoencoder that grows out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import GlidewireError
from ..models.checkpoint import load, save_published
from ..models.codebook import nearest_codes
from ..models.first_stage import checkpoint
from ..models.first_stage.model import SPACE
from ..models.first_stage.network import FirstStage
from ..models.first_stage.spec import FirstStageSpec
from ..models.hyper_parameters import SPEC, to_json
from ..models.paella.model import CODEBOOK
from ..scenes import render, sample_scene
from . import batches
from .commands import Options, recipe_command, run_command
from .pool import Pool
from .run import Course, Lesson

# 32 pixels to 8 x 8 latents of 4 channels, 0.7 M parameters; convolutions alone, so that any size can be encoded.
KL = FirstStageSpec(
    channels=16,
    channel_mult=(1, 2, 4),
    num_res_blocks=1,
    middle_attention=False,
    latent_channels=4,
    code_channels=4,
    norm_groups=8,
    latent_scale=1.0,
)
VQ = FirstStageSpec(
    kind="vq",
    channels=16,
    channel_mult=(1, 2, 4),
    num_res_blocks=1,
    middle_attention=False,
    latent_channels=4,
    code_channels=4,
    codes=512,
    norm_groups=8,
    latent_scale=1.0,
)
SPECS = {"kl": KL, "vq": VQ}
SIDE = 32


@dataclass(frozen=True)
class AutoencoderCourse(Course):
    """The numbers of an autoencoder's recipe.

    Attributes:
        kind: How latents are bounded.
        edge_weight: Weight of the error of differences between neighbouring pixels, which keeps edges sharp.
        kl_weight: Weight of KL(posterior | standard normal), per latent channel and position.
        commitment: Weight of the encoder's distance from its codes (van den Oord et al. 2017, eq. 3).
        recolour: Share of pictures whose red, green and blue change places.
        revive_every: Updates after which codes that nothing used become latents of the day.
    """

    kind: Literal["kl", "vq"] = "kl"
    minutes: float = 8.0
    batch_size: int = 32
    learning_rate: float = 2e-3
    ema: float = 0.995
    edge_weight: float = 0.5
    kl_weight: float = 1e-4
    commitment: float = 0.25
    recolour: float = 0.3
    revive_every: int = 100


def reconstruction_loss(found: Tensor, picture: Tensor, edge_weight: float) -> Tensor:
    """|error| + error^2 of pixels, and of their differences to the right and downward.

    Args:
        found: "batch channels height width" in [-1, 1].
        picture: The same.
        edge_weight: Of the differences.
    """
    error = found - picture
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + error.square().mean() + edge_weight * edges


class AutoencoderLesson(Lesson):
    """A first stage learns to give pictures back.

    Args:
        course: The recipe's numbers.
        pool: Training scenes.
        device: To train on.
        start: An autoencoder of the same widths to begin with. A VQ autoencoder grows out of a KL autoencoder. One
            that begins as another of its kind keeps the encoder and the codes, so that latents and tokens stay those
            that other minis were trained on, and only the decoder learns more.
    """

    def __init__(self, course: AutoencoderCourse, pool: Pool, device: torch.device, start: Path | None = None) -> None:
        if course.kind not in SPECS:
            raise GlidewireError("kind of autoencoder", expected=" or ".join(SPECS), got=course.kind)
        self.name, self.course, self.pool = f"mini-{course.kind}-f4", course, pool
        self.device = device
        self.numbers = course
        torch.manual_seed(course.seed)
        self.network = FirstStage(SPECS[course.kind]).to(device)
        self.model = self.network
        self.taught = None if start is None else _load(start)
        self.keeps_encoder = self.taught is not None and self.taught.spec.kind == course.kind
        if self.keeps_encoder:
            for part in ("encoder", "quant_conv", "quantize"):
                getattr(self.network.autoencoder, part, nn.Module()).requires_grad_(False)
        if course.kind == "vq":
            self.used = torch.zeros(self.network.spec.codes, device=device)
            self.recent = torch.zeros(1, self.network.spec.code_channels, device=device)

    def prepare(self) -> None:
        """Begin as another autoencoder; the clusters of its latents are a VQ autoencoder's first codes."""
        if self.taught is not None and self.keeps_encoder:
            self.network.load_state_dict(self.taught.state_dict())
            return
        if self.taught is not None:
            _grow(self.network, self.taught)
        if self.numbers.kind == "vq":
            with torch.no_grad():
                found = torch.cat([self.network.encode(self._pictures(step)) for step in range(8)])
            latents = found.movedim(1, -1).flatten(0, 2)
            codes = clusters(latents, self.network.spec.codes, self.course.generator(0))
            self.network.codebook.data.copy_(codes)

    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """Reconstruction, and the bound on the latents: KL divergence, or codes and commitment."""
        picture = self._pictures(step)
        with torch.autocast(self.device.type, torch.bfloat16), torch.set_grad_enabled(not self.keeps_encoder):
            moments = self.network.autoencoder.quant_conv(self.network.autoencoder.encoder(picture)).float()
        latents, bound = self._bounded(moments, step)
        with torch.autocast(self.device.type, torch.bfloat16):
            found = self.network.decode(latents, quantise=False).float()
        reconstruction = reconstruction_loss(found, picture, self.numbers.edge_weight)
        weight = self.numbers.kl_weight if self.numbers.kind == "kl" else 1.0
        return {"total": reconstruction + weight * bound, "reconstruction": reconstruction, "bound": bound}

    def _bounded(self, moments: Tensor, step: int) -> tuple[Tensor, Tensor]:
        if self.numbers.kind == "kl":
            mean, log_variance = moments.chunk(2, dim=1)
            log_variance = log_variance.clamp(-30, 20)
            noise = torch.randn(mean.shape, generator=self.course.generator(step)).to(mean)
            divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
            return mean + torch.exp(0.5 * log_variance) * noise, divergence
        tokens = self.network.tokens(moments.detach())
        codes = F.embedding(tokens, self.network.codebook).movedim(-1, 1)
        with torch.no_grad():
            self.used += torch.bincount(tokens.flatten(), minlength=len(self.used))
            self.recent = moments.detach().movedim(1, -1).flatten(0, 2)
        distance = F.mse_loss(codes, moments.detach()) + self.numbers.commitment * F.mse_loss(moments, codes.detach())
        return moments + (codes - moments).detach(), distance  # the straight-through estimate

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Codes that nothing used become latents of the day, while there is time left for them to settle."""
        if self.numbers.kind != "vq" or self.keeps_encoder or (step + 1) % self.numbers.revive_every:
            return
        unused = torch.nonzero(self.used == 0).flatten()
        chosen = torch.randint(len(self.recent), (len(unused),), generator=self.course.generator(step))
        self.network.codebook.data[unused] = self.recent[chosen]
        self.used.zero_()

    def _pictures(self, step: int) -> Tensor:
        rng = self.course.choices(step)
        chosen = self.pool.choose(rng, self.course.batch_size, pairs=0.6)
        picture = batches.pictures(self.pool, chosen)
        # Other colours than the world's: what is learnt is any picture of solids, not a palette.
        for index in np.flatnonzero(rng.random(len(picture)) < self.numbers.recolour):
            picture[index] = picture[index][rng.permutation(3)]
        return picture.to(self.device)

    @torch.no_grad()
    def sheet(self, averaged: nn.Module) -> NDArray[np.uint8]:
        """Held-out scenes, four to a row, each beside what comes back."""
        network: Any = averaged
        pictures = held_out_pictures(16, SIDE)
        found = decoded(network, pictures)
        return np.stack([pictures, found], axis=1).reshape(-1, *pictures.shape[1:])

    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the published layout; a KL model's scale is measured: latents of unit deviation (sec. 4.1)."""
        network: Any = averaged
        spec = self.network.spec
        strings = {**metadata, SPACE: self.name}
        if self.numbers.kind == "vq":
            strings[CODEBOOK] = self.name
        elif self.taught is not None:
            spec = self.taught.spec
        else:
            with torch.no_grad():
                latents = torch.cat([network.encode(self._pictures(step)) for step in range(8)])
            spec = replace(spec, latent_scale=float(1 / latents.std()))
        save_published(
            network,
            checkpoint.key_map(spec),
            path,
            metadata={**strings, SPEC: to_json("first_stage", spec)},
            dtype=torch.float16,
        )


@torch.no_grad()
def clusters(points: Tensor, count: int, generator: torch.Generator, *, rounds: int = 10) -> Tensor:
    """The centres of `count` clusters: random points, each moved `rounds` times to the mean of those nearest to it.

    Args:
        points: "points channels".
        count: Number of centres; more than there are points makes some equal.
        generator: What draws.
        rounds: Of moving.

    Returns:
        "count channels".

    Source: Lloyd 1982.
    """
    centres = points[torch.randperm(max(len(points), count), generator=generator)[:count] % len(points)]
    for _ in range(rounds):
        nearest = nearest_codes(points.T[None, ..., None], centres).flatten()
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        counts = torch.bincount(nearest, minlength=count)[:, None]
        centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
    return centres


def _load(path: Path) -> FirstStage:
    network: Any = load(path, component="first_stage")
    return network


@torch.no_grad()
def _grow(network: FirstStage, taught: FirstStage) -> None:
    """Give a VQ autoencoder, in place, a KL autoencoder's halves; latents are then the posterior's means."""
    ours, theirs = network.autoencoder, taught.autoencoder
    kept = network.spec.latent_channels
    to_mean = theirs.quant_conv.weight[:kept, :, 0, 0]
    encoder = dict(theirs.encoder.state_dict())
    # Two linear layers after one another are one, which leaves the VQ model's own as the identity.
    encoder["conv_out.bias"] = to_mean @ encoder["conv_out.bias"] + theirs.quant_conv.bias[:kept]
    encoder["conv_out.weight"] = torch.einsum("om,mchw->ochw", to_mean, encoder["conv_out.weight"])
    ours.encoder.load_state_dict(encoder)
    ours.decoder.load_state_dict(theirs.decoder.state_dict())
    ours.post_quant_conv.load_state_dict(theirs.post_quant_conv.state_dict())
    ours.quant_conv.weight.copy_(torch.eye(kept)[..., None, None])
    ours.quant_conv.bias.zero_()


def held_out_pictures(count: int, size: int) -> NDArray[np.uint8]:
    """Scenes of combinations that training never shows, uint8 [count size size 3]."""
    return np.stack([render(sample_scene(seed, held_out=True), size) for seed in range(count)])


@torch.no_grad()
def decoded(network: FirstStage, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What comes back of pictures uint8 [count height width 3]."""
    device = next(network.parameters()).device
    values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().to(device) / 127.5 - 1
    found = network.decode(network.encode(values)).clamp(-1, 1)
    return ((found + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def lesson(
    options: Options,
    kind: Annotated[str, typer.Option(help="kl or vq.")] = "kl",
    start: Annotated[Path | None, typer.Option(help="An autoencoder to begin with.")] = None,
    edge_weight: Annotated[float, typer.Option(min=0, help="Weight of edges.")] = AutoencoderCourse.edge_weight,
) -> AutoencoderLesson:
    """Train an autoencoder of the scene world, or go on with the run in OUT."""
    course = options.course(AutoencoderCourse, kind=kind, edge_weight=edge_weight)
    return AutoencoderLesson(course, options.opened(course), options.where, start)


if __name__ == "__main__":
    run_command(recipe_command(lesson, AutoencoderCourse))
