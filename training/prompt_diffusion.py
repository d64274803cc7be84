"""The recipe of mini Prompt Diffusion: a control network learns from an example pair what to do to a query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from numpy.typing import NDArray
from torch import Tensor, nn

from ..diffusion import losses
from ..models.checkpoint import save_published
from ..models.controlnet.checkpoint import key_map
from ..models.controlnet.model import ControlModel
from ..models.controlnet.network import ControlNet
from ..models.controlnet.spec import ControlNetSpec
from ..models.controlnet.view import Controlled
from ..models.hyper_parameters import SPEC, to_json
from ..scenes.maps import MAPS, TRAINED
from . import batches
from .commands import Options, recipe_command, run_command
from .encoded import encoded, rows
from .example_pairs import Examples, example_painter, task
from .frozen import Frozen
from .painters import to_bytes
from .pool import Pool
from .run import Course, Lesson
from .timesteps import stratified

NAME = "mini-prompt-diffusion"
# Two levels that halve: the autoencoder makes latents of a quarter of a picture's side.
HINT_WIDTHS = (16, 32, 64)


@dataclass(frozen=True)
class PromptDiffusionCourse(Course):
    """The numbers of the recipe.

    Attributes:
        makes_picture: Share of items in which a picture is made of its map; the other way asks more of the pair.
        empty_captions: Share of captions replaced by nothing; tasks that make a map have none.
        silence: Chance that a caption leaves out an object's shape, or else its colour.
        pairs: Share of pictures with two solids.
    """

    minutes: float = 26.0
    batch_size: int = 32
    learning_rate: float = 1e-3
    decay_from: float = 0.4
    ema: float = 0.995
    pool_size: int = 20_000
    makes_picture: float = 0.5
    empty_captions: float = 0.5
    silence: float = 0.3
    pairs: float = 0.4


class PromptDiffusionLesson(Lesson):
    """A copy of a frozen denoiser's encoder is shown a pair and a query, and adds to its skips (Wang et al. 2023).

    Args:
        course: The recipe's numbers.
        pool: Training scenes.
        frozen: The networks around it. (The paper trains the denoiser's decoder too; here it stays as it is, so that
            one latent denoiser serves every adapter.)
        folder: Where the encoded pool is kept.
        device: To train on.
    """

    name = NAME

    def __init__(
        self, course: PromptDiffusionCourse, pool: Pool, frozen: Frozen, folder: Path, device: torch.device
    ) -> None:
        self.course, self.pool, self.frozen, self.device = course, pool, frozen, device
        self.numbers = course
        self.latents = {name: self._encoded(name, folder) for name in ("", *TRAINED)}
        torch.manual_seed(course.seed)
        self.control = begun(frozen).to(device)
        self.model = self.control
        self.schedule = frozen.denoiser.schedule

    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """The mean square error of v of what the task makes of the query."""
        rng, count = self.course.choices(step), self.course.batch_size
        chosen, beside = (self.pool.choose(rng, count, self.numbers.pairs) for _ in range(2))
        maps = [list(TRAINED)[int(index)] for index in rng.integers(len(TRAINED), size=count)]
        drawn = rng.random(count) < self.numbers.makes_picture
        pictures, examples = (batches.pictures(self.pool, one).to(self.device) for one in (chosen, beside))
        query, _ = task(pictures, maps, drawn)
        hints = {"example_pair": torch.cat(task(examples, maps, drawn), dim=1), "query": query}
        found = batches.captions(self.pool, chosen, rng, silence=self.numbers.silence)
        said = batches.texts(found, rng, empty=self.numbers.empty_captions)
        context = batches.states(
            self.frozen.text, [text if wanted else "" for text, wanted in zip(said, drawn, strict=True)]
        )
        x_0 = self.wanted(chosen, maps, drawn).to(self.device)
        generator = self.course.generator(step)
        timesteps = stratified(count, len(self.schedule), generator).to(self.device)
        noise = torch.randn(x_0.shape, generator=generator).to(self.device)
        x_t = losses.q_sample(x_0, timesteps, noise, self.schedule)
        view = Controlled(self.frozen.denoiser.network, self.control)
        with torch.autocast(self.device.type, torch.bfloat16):
            condition = {"context": context, **{f"{view.name}.{name}": hint for name, hint in hints.items()}}
            output = view(x_t, timesteps, view.prepare(condition))
        velocity = losses.velocity(x_0, timesteps, noise, self.schedule)
        return {"total": (output.float() - velocity).square().mean()}

    def wanted(self, chosen: NDArray[np.int64], maps: list[str], drawn: NDArray[np.bool_]) -> Tensor:
        """Latents of what each item's task makes, "batch channels height width"."""
        names = ["" if picture else name for name, picture in zip(maps, drawn, strict=True)]
        return torch.cat([rows(self.latents[name], chosen[i : i + 1]) for i, name in enumerate(names)])

    def sheet(self, averaged: nn.Module) -> NDArray[np.uint8]:
        """Eight fresh scenes to a row: queries, what is wanted, and what is drawn, for every task."""
        model: Any = ControlModel(averaged)  # pyrefly: ignore
        paint = example_painter(model, self.frozen)
        found = []
        for name in MAPS:
            for makes_picture in (False, True):
                examples = Examples.fresh(8, name, makes_picture)
                found += [to_bytes(examples.query), to_bytes(examples.wanted), paint(examples)]
        return np.concatenate(found)

    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the published layout of control networks."""
        strings = {**metadata, SPEC: to_json("controlnet", self.control.spec)}
        save_published(averaged, key_map(self.control.spec), path, metadata=strings, dtype=torch.float16)

    def _encoded(self, name: str, folder: Path) -> NDArray[np.generic]:
        """The pool's latents, or those of a map of it."""
        stage = self.frozen.autoencoder

        def encode(pictures: Tensor) -> Tensor:
            return stage.encode((TRAINED[name](pictures) if name else pictures).to(self.device))

        return encoded(self.pool, folder, f"{stage.digest()} {name}".rstrip(), encode)


def begun(frozen: Frozen) -> ControlNet:
    """A control network that is a copy of the denoiser's encoder, and adds nothing yet (Zhang et al. 2023, 3.2).

    What stands behind it is zero; what encodes hints is not, so that it sees them from the first update on.
    """
    denoiser = frozen.denoiser.network
    known = {field.name: getattr(denoiser.spec, field.name) for field in fields(denoiser.spec)}
    control = ControlNet(ControlNetSpec(**known, hint_channels=6, query_channels=3, hint_widths=HINT_WIDTHS))
    ours, theirs = control.encoder.state_dict(), denoiser.unet.state_dict()
    control.encoder.load_state_dict({name: theirs.get(name, value) for name, value in ours.items()})
    for hints in control.hint_encoders.values():
        assert isinstance(hints, ControlNetConditioningEmbedding)
        hints.conv_out.reset_parameters()
    return control


def recipe(
    options: Options,
    denoiser: Annotated[Path, typer.Option(help="The latent denoiser to control: mini latent diffusion.")],
    autoencoder: Annotated[Path, typer.Option(help="The KL autoencoder.")],
    text: Annotated[Path, typer.Option(help="The denoiser's text encoder.")],
) -> PromptDiffusionLesson:
    """Train mini Prompt Diffusion, or go on with the run in OUT."""
    course, where = options.course(PromptDiffusionCourse), options.where
    frozen = Frozen.load(denoiser, autoencoder, text, where)
    return PromptDiffusionLesson(course, options.opened(course), frozen, options.folder, where)


if __name__ == "__main__":
    run_command(recipe_command(recipe, PromptDiffusionCourse))
