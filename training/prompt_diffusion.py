"""The recipe of mini Prompt Diffusion: a control network learns from an example pair what to do to a query."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from ..diffusion import losses
from ..models.checkpoint import save_published
from ..models.controlnet.checkpoint import key_map
from ..models.controlnet.network import ControlNet
from ..models.controlnet.spec import ControlNetSpec
from ..models.controlnet.view import Controlled
from ..models.hyper_parameters import SPEC, to_json
from . import batches
from .commands import Options, recipe_command, run_command
from .frozen import Frozen
from .pool import Pool
from .run import Course, Lesson
from .timesteps import stratified

NAME = "mini-prompt-diffusion"


def edges(picture: Tensor) -> Tensor:
    """White where brightness changes, on black: the norm of differences of neighbours, shaped as the picture."""
    grey = F.pad(picture.mean(1, keepdim=True), (0, 1, 0, 1), mode="replicate")
    across, down = (grey[:, :, :-1, 1:] - grey[:, :, :-1, :-1]), (grey[:, :, 1:, :-1] - grey[:, :, :-1, :-1])
    strength = (across.square() + down.square()).sqrt()
    return (4 * strength - 1).clamp(-1, 1).expand_as(picture)


def segmentation(picture: Tensor) -> Tensor:
    """White where a solid stands, on black: solids are saturated and grounds are not."""
    chroma = picture.amax(1, keepdim=True) - picture.amin(1, keepdim=True)
    return torch.where(chroma > 0.7, 1.0, -1.0).expand_as(picture)


def negative(picture: Tensor) -> Tensor:
    """Light and dark, and every colour and its opposite, exchanged."""
    return -picture


def grey(picture: Tensor) -> Tensor:
    """Brightness alone. No network is trained on it: whether it is done from an example is the question."""
    return picture.mean(1, keepdim=True).expand_as(picture)


MAPS: Mapping[str, Callable[[Tensor], Tensor]] = {"edges": edges, "segmentation": segmentation, "negative": negative}
HELD_OUT: Mapping[str, Callable[[Tensor], Tensor]] = {"grey": grey}
"""Maps of pictures "batch 3 height width" in [-1, 1], shaped alike; a task is a map and one of its two ways."""


@dataclass(frozen=True)
class PromptDiffusionCourse(Course):
    """The numbers of the recipe.

    Attributes:
        empty_captions: Share of captions replaced by nothing; tasks that make a map have none.
        silence: Chance that a caption leaves out an object's shape, or else its colour.
        pairs: Share of pictures with two solids.
    """

    minutes: float = 60.0
    batch_size: int = 32
    learning_rate: float = 1e-3
    empty_captions: float = 0.3
    silence: float = 0.3
    pairs: float = 0.5


class PromptDiffusionLesson(Lesson):
    """A copy of a frozen denoiser's encoder is shown a pair and a query, and adds to its skips (Wang et al. 2023).

    Args:
        course: The recipe's numbers.
        pool: Training scenes.
        frozen: The networks around it. (The paper trains the denoiser's decoder too; here it stays as it is, so that
            one latent denoiser serves every adapter.)
        device: To train on.
    """

    name = NAME

    def __init__(self, course: PromptDiffusionCourse, pool: Pool, frozen: Frozen, device: torch.device) -> None:
        self.course, self.pool, self.frozen, self.device = course, pool, frozen, device
        self.numbers = course
        torch.manual_seed(course.seed)
        self.control = begun(frozen).to(device)
        self.model = self.control
        self.schedule = frozen.denoiser.schedule

    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """The mean square error of v of what the task makes of the query."""
        rng, count = self.course.choices(step), self.course.batch_size
        chosen, beside = (self.pool.choose(rng, count, self.numbers.pairs) for _ in range(2))
        maps = [list(MAPS)[int(index)] for index in rng.integers(len(MAPS), size=count)]
        makes_picture = rng.random(count) < 0.5
        pictures, examples = (batches.pictures(self.pool, one).to(self.device) for one in (chosen, beside))
        query, wanted = task(pictures, maps, makes_picture)
        source, target = task(examples, maps, makes_picture)
        found = batches.captions(self.pool, chosen, rng, silence=self.numbers.silence)
        said = batches.texts(found, rng, empty=self.numbers.empty_captions)
        texts = [text if drawn else "" for text, drawn in zip(said, makes_picture, strict=True)]
        with torch.no_grad():
            x_0 = self.frozen.autoencoder.encode(wanted).to(self.device)
            context = batches.clip_texts(self.frozen.clip, texts)["text_states"]
        generator = self.course.generator(step)
        timesteps = stratified(count, len(self.schedule), generator).to(self.device)
        noise = torch.randn(x_0.shape, generator=generator).to(self.device)
        x_t = losses.q_sample(x_0, timesteps, noise, self.schedule)
        view = Controlled(self.frozen.denoiser.network, self.control)
        pair = hint(torch.cat([source, target], dim=1), x_0)
        with torch.autocast(self.device.type, torch.bfloat16):
            hints = {f"{view.name}.example_pair": pair, f"{view.name}.query": hint(query, x_0)}
            output = view(x_t, timesteps, view.prepare({"context": context, **hints}))
        velocity = losses.velocity(x_0, timesteps, noise, self.schedule)
        return {"total": (output.float() - velocity).square().mean()}

    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the published layout of control networks."""
        strings = {**metadata, SPEC: to_json("controlnet", self.control.spec)}
        save_published(averaged, key_map(self.control.spec), path, metadata=strings, dtype=torch.float16)


def task(pictures: Tensor, maps: list[str], makes_picture: Any) -> tuple[Tensor, Tensor]:
    """What each item's task is given and what it makes, "batch 3 height width": a map and the picture, or reversed."""
    every = {**MAPS, **HELD_OUT}
    mapped = torch.cat([every[name](one[None]) for name, one in zip(maps, pictures, strict=True)])
    drawn = torch.as_tensor(makes_picture, device=pictures.device)[:, None, None, None]
    return torch.where(drawn, mapped, pictures), torch.where(drawn, pictures, mapped)


def hint(pictures: Tensor, latents: Tensor) -> Tensor:
    """Pictures as the control network's encoder takes them: eight times as large as latents."""
    size = [8 * side for side in latents.shape[2:]]
    return F.interpolate(pictures, size=size, mode="bilinear", align_corners=False)


def begun(frozen: Frozen) -> ControlNet:
    """A control network that is a copy of the denoiser's encoder, and adds nothing yet (Zhang et al. 2023, 3.2)."""
    denoiser = frozen.denoiser.network
    known = {field.name: getattr(denoiser.spec, field.name) for field in fields(denoiser.spec)}
    control = ControlNet(ControlNetSpec(**known, hint_channels=6, query_channels=3))
    ours, theirs = control.encoder.state_dict(), denoiser.unet.state_dict()
    control.encoder.load_state_dict({name: theirs.get(name, value) for name, value in ours.items()})
    return control


def recipe(
    options: Options,
    denoiser: Annotated[Path, typer.Option(help="The latent denoiser to control: mini latent diffusion.")],
    autoencoder: Annotated[Path, typer.Option(help="The KL autoencoder.")],
    clip: Annotated[Path, typer.Option(help="Mini CLIP.")],
) -> PromptDiffusionLesson:
    """Train mini Prompt Diffusion, or go on with the run in OUT."""
    course, where = options.course(PromptDiffusionCourse), options.where
    frozen = Frozen.load(denoiser, autoencoder, clip, where)
    return PromptDiffusionLesson(course, options.opened(course), frozen, where)


if __name__ == "__main__":
    run_command(recipe_command(recipe, PromptDiffusionCourse))
