"""The recipe of mini IP-Adapter: a frozen latent denoiser takes from a picture what the caption does not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from ..diffusion import losses
from ..models.checkpoint import save_published
from ..models.clip.model import ClipModel, load_clip
from ..models.hyper_parameters import SPEC, to_json
from ..models.ip_adapter.checkpoint import key_map
from ..models.ip_adapter.network import AdaptedLayer, IpAdapter
from ..models.ip_adapter.spec import IpAdapterSpec
from ..models.ip_adapter.view import ImagePrompted
from ..models.ldm.attention import attention_layers
from ..scenes import Described, Statement, worded
from . import batches
from .commands import Options, recipe_command, run_command
from .encoded import encoded, rows
from .frozen import Frozen
from .pool import Pool
from .run import Course, Lesson
from .timesteps import stratified

NAME = "mini-ip-adapter"


@dataclass(frozen=True)
class IpAdapterCourse(Course):
    """The numbers of the adapter's recipe.

    Attributes:
        tokens: Image tokens.
        empty_captions: Share of captions replaced by nothing.
        empty_pictures: Share of image prompts replaced by that of no picture, for guidance (Ye et al. 2023, eq. 7).
        size_stated: Share of captions that state a size.
        ground_stated: Share of captions that state the ground.
    """

    minutes: float = 15.0
    batch_size: int = 64
    learning_rate: float = 2e-3
    ema: float = 0.995
    tokens: int = 4
    empty_captions: float = 0.1
    empty_pictures: float = 0.1
    size_stated: float = 0.6
    ground_stated: float = 0.5


class IpAdapterLesson(Lesson):
    """An adapter learns to read the colour of a solid from the picture of another solid.

    Captions leave the colour out, and the prompt is a picture of a solid of that colour and of any shape, size, place
    and ground: so that the caption goes on deciding all of these.

    Args:
        course: The recipe's numbers.
        pool: Training scenes.
        frozen: The networks around the adapter.
        clip: Whose image tower sees the prompts.
        folder: Where the encoded pool is kept.
        device: To train on.
    """

    name = NAME

    def __init__(
        self,
        course: IpAdapterCourse,
        pool: Pool,
        frozen: Frozen,
        clip: ClipModel,
        folder: Path,
        device: torch.device,
    ) -> None:
        self.course, self.pool, self.frozen, self.device = course, pool, frozen, device
        self.numbers, self.clip = course, clip
        self.latents = encoded(pool, folder, frozen.autoencoder.digest(), frozen.autoencoder.encode)
        torch.manual_seed(course.seed)
        self.adapter = begun(frozen, clip, course.tokens).to(device)
        self.model = self.adapter
        self.schedule = frozen.denoiser.schedule

    @cached_property
    def by_colour(self) -> Mapping[str, NDArray[np.int64]]:
        """The scenes of one solid, by its colour."""
        found: dict[str, list[int]] = {}
        for index, scene in enumerate(self.pool.scenes):
            if len(scene.solids) == 1:
                found.setdefault(scene.solids[0].colour, []).append(index)
        return {colour: np.array(indices) for colour, indices in found.items()}

    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """The mean square error of v under captions without colour and pictures of that colour."""
        rng, count = self.course.choices(step), self.course.batch_size
        chosen, shown = self.choose(rng, count)
        texts = ["" if rng.random() < self.numbers.empty_captions else self.caption(index, rng) for index in chosen]
        with torch.no_grad():
            context = batches.states(self.frozen.text, texts)
            seen = self.clip.network.encode_image(batches.pictures(self.pool, shown).to(self.device))
        unseen = torch.from_numpy(rng.random(count) < self.numbers.empty_pictures).to(self.device)
        seen = seen.float().masked_fill(unseen[:, None], 0.0)
        x_0 = rows(self.latents, chosen).to(self.device)
        generator = self.course.generator(step)
        timesteps = stratified(count, len(self.schedule), generator).to(self.device)
        noise = torch.randn(x_0.shape, generator=generator).to(self.device)
        x_t = losses.q_sample(x_0, timesteps, noise, self.schedule)
        view = ImagePrompted(self.frozen.denoiser.network, self.adapter)
        with torch.autocast(self.device.type, torch.bfloat16):
            tokens = self.adapter(image=seen)
            condition = view.prepare({"context": context, f"{view.name}.tokens": tokens})
            output = view(x_t, timesteps, condition)
        wanted = losses.velocity(x_0, timesteps, noise, self.schedule)
        return {"total": (output.float() - wanted).square().mean()}

    def choose(self, rng: np.random.Generator, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Indices of scenes to draw, and of scenes whose solid has the same colour."""
        colours = list(self.by_colour)
        groups = [self.by_colour[colours[int(index)]] for index in rng.integers(len(colours), size=count)]
        drawn, shown = (np.array([group[rng.integers(len(group))] for group in groups]) for _ in range(2))
        return drawn, shown

    def caption(self, index: int, rng: np.random.Generator) -> str:
        """A caption of a scene of one solid that leaves out its colour."""
        scene = self.pool.scenes[index]
        solid = scene.solids[0]
        size = solid.size if rng.random() < self.numbers.size_stated else None
        ground = scene.ground if rng.random() < self.numbers.ground_stated else None
        return worded(Statement((Described(solid.shape, None, size),), None, ground)).text

    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the published layout."""
        strings = {**metadata, SPEC: to_json("ip_adapter", self.adapter.spec)}
        save_published(averaged, key_map(self.adapter.spec), path, metadata=strings, dtype=torch.float16)


def begun(frozen: Frozen, clip: ClipModel, tokens: int) -> IpAdapter:
    """An adapter for a denoiser, whose keys and values begin as those of the text (Ye et al. 2023, section 3.2)."""
    network = frozen.denoiser.network
    attending = attention_layers(network.unet)[1::2]
    spec = IpAdapterSpec(
        tokens=tokens,
        image_width=clip.spec.image.projection,
        context_width=network.spec.context_width,
        channels=tuple(layer.inner_dim for layer in attending),
    )
    adapter = IpAdapter(spec)
    with torch.no_grad():
        for ours, theirs in zip(adapter.layers.values(), attending, strict=True):
            assert isinstance(ours, AdaptedLayer)
            ours.to_k_ip.weight.copy_(theirs.to_k.weight)
            ours.to_v_ip.weight.copy_(theirs.to_v.weight)
    return adapter


def recipe(
    options: Options,
    denoiser: Annotated[Path, typer.Option(help="The latent denoiser to adapt: mini latent diffusion.")],
    autoencoder: Annotated[Path, typer.Option(help="The KL autoencoder.")],
    clip: Annotated[Path, typer.Option(help="Mini CLIP, which sees the prompts.")],
    text: Annotated[Path | None, typer.Option(help="The denoiser's text encoder; by default mini CLIP's.")] = None,
) -> IpAdapterLesson:
    """Train mini IP-Adapter, or go on with the run in OUT."""
    course, where = options.course(IpAdapterCourse), options.where
    words = text or clip.with_name(f"{clip.stem}-text.safetensors")
    frozen, seeing = Frozen.load(denoiser, autoencoder, words, where), load_clip(clip, device=where)
    return IpAdapterLesson(course, options.opened(course), frozen, seeing, options.folder, where)


if __name__ == "__main__":
    run_command(recipe_command(recipe, IpAdapterCourse))
