"""The recipe of mini Imagen's second stage: twice the side, from a noised small picture and the noise's level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from ..diffusion import losses, schedules
from ..models.checkpoint import save_published
from ..models.first_stage.model import SPACE
from ..models.hyper_parameters import SPEC, to_json
from ..models.imagen import layout
from ..models.imagen.model import ImagenModel, T5TextEncoder, load_t5
from ..models.imagen.network import ImagenDenoiser
from ..models.imagen.spec import STAGES, ImagenSpec
from ..models.unclip.model import PIXELS
from . import batches
from .commands import Options, recipe_command, run_command
from .hybrid import hybrid
from .pool import Pool
from .repainters import imagen_upsampling
from .upsampling import SIDE, UpsamplingCourse, UpsamplingLesson, broad_noise, crops, small


def mini_spec(text_width: int) -> ImagenSpec:
    """The form of IF's second stage: its middle alone attends, and to the text alone."""
    return ImagenSpec(
        upsampler=True,
        in_channels=6,
        model_channels=16,
        channel_mult=(1, 2, 2),
        num_res_blocks=(1, 1, 1),
        attention_levels=(),
        self_attention=False,
        num_head_channels=32,
        text_width=text_width,
        context_width=32,
        pool_heads=4,
        time_width=64,
        residual_scale=STAGES["stage II"].residual_scale,
        norm_groups=8,
        size=SIDE,
    )


@dataclass(frozen=True)
class ImagenUpsamplingCourse(UpsamplingCourse):
    """The numbers of the second stage's recipe.

    Attributes:
        level: Upper bound of the noise's level in small pictures, a share of the schedule (Saharia et al. 2022, A.1).
    """

    minutes: float = 10.0
    level: float = 0.4


class ImagenUpsamplingLesson(UpsamplingLesson):
    """A second stage learns to enlarge crops of scenes whose noise it is told the level of.

    Args:
        course: The recipe's numbers.
        pool: Training scenes, twice as large as what is enlarged.
        text: T5, which stays as it is.
        device: To train on.
    """

    name = "mini-imagen-upsampler"

    def __init__(self, course: ImagenUpsamplingCourse, pool: Pool, text: T5TextEncoder, device: torch.device) -> None:
        super().__init__(course, pool, device)
        self.text, self.level = text, course.level
        self.network = ImagenDenoiser(mini_spec(text.network.spec.width)).to(device)
        self.model = self.network
        self.schedule = schedules.squared_cosine(1000)

    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """The hybrid loss (Nichol & Dhariwal 2021, eq. 16), its eps error weighted."""
        rng, generator = self.course.choices(step), self.course.generator(step)
        chosen = self.pool.choose(rng, self.course.batch_size, self.numbers.pairs)
        found = batches.captions(self.pool, chosen, rng, silence=0.1)
        texts = batches.texts(found, rng, empty=self.numbers.empty_captions)
        large = batches.pictures(self.pool, chosen)
        low = F.interpolate(small(large, self.numbers, rng), large.shape[2:], mode="bilinear", align_corners=True)
        x_0, low = (
            part.to(self.device) for part in crops(torch.cat([large, low], 1), self.numbers.crop, rng).chunk(2, 1)
        )
        levels = torch.from_numpy(rng.uniform(0, self.level, len(low)) * len(self.schedule)).long().to(self.device)
        grain = torch.randn(low.shape, generator=generator).to(self.device)
        condition = {
            "text_states": batches.t5_states(self.text, texts),
            "low_res": losses.q_sample(low, levels, grain, self.schedule),
            "noise_level": levels.float(),
        }

        def network(x_t: Tensor, timesteps: Tensor) -> Tensor:
            return self.network(x_t, timesteps, condition)

        noise = broad_noise(x_0, self.numbers.offset, generator)
        return hybrid(network, x_0, self.schedule, self.weight, generator, noise)

    def enlarged(self, averaged: nn.Module, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See `UpsamplingLesson.enlarged`."""
        network: Any = averaged
        return imagen_upsampling(ImagenModel(network), self.text)(pictures, range(len(pictures)))

    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        """Write IF's published layout."""
        strings = {**metadata, SPACE: PIXELS, SPEC: to_json("imagen", self.network.spec)}
        save_published(averaged, layout.key_map(self.network.spec), path, metadata=strings, dtype=torch.float16)


def lesson(options: Options, text: Annotated[Path, typer.Option(help="Mini T5.")]) -> ImagenUpsamplingLesson:
    """Train mini Imagen's second stage, or go on with the run in OUT."""
    course, where = options.course(ImagenUpsamplingCourse), options.where
    return ImagenUpsamplingLesson(course, options.opened(course, SIDE), load_t5(text, device=where), where)


if __name__ == "__main__":
    run_command(recipe_command(lesson, ImagenUpsamplingCourse))
