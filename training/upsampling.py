"""The recipes of the mini upsamplers, unCLIP's and GLIDE's: twice the side, learnt from crops, for any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from ..diffusion import degradation, losses, schedules
from ..models.checkpoint import save_published
from ..models.first_stage.model import SPACE
from ..models.glide import checkpoint as glide_checkpoint
from ..models.glide.model import GlideModel, load_model
from ..models.glide.network import GlideTextToImage
from ..models.glide.spec import GlideSpec
from ..models.hyper_parameters import SPEC, to_json
from ..models.unclip import checkpoint
from ..models.unclip.model import PIXELS
from ..models.unclip.spec import UpsamplerSpec
from ..models.unclip.upsampler import Upsampler
from ..models.unclip.upsampling import load_upsampler
from ..scenes import render
from . import batches
from .commands import Options, recipe_command, run_command
from .fresh import fresh_scenes
from .hybrid import SnrWeight, hybrid
from .pool import Pool
from .repainters import glide_upsampling, unclip_upsampling
from .run import Course, Lesson
from .timesteps import stratified

SIDE = 64
UNCLIP = UpsamplerSpec(model_channels=16, channel_mult=(1, 2, 2), num_res_blocks=1, norm_groups=8)


def glide_spec(base: GlideSpec) -> GlideSpec:
    """A shallow U-Net beside the base model's text transformer; only its middle attends, at a quarter of the side."""
    return replace(
        base,
        variant="upsample",
        image_size=SIDE,
        model_channels=16,
        channel_mult=(1, 2, 2),
        attention_resolutions=(),
        schedule="linear",
    )


@dataclass(frozen=True)
class UpsamplingCourse(Course):
    """The numbers of an upsampler's recipe.

    Attributes:
        crop: Side of the crops in pixels: edges are local, so that what is learnt of them holds at any size.
        pairs: Share of pictures with two solids.
        empty_captions: Share of captions replaced by nothing.
        blurred: Share of small pictures that are blurred, by up to `deviation` pixels.
        deviation: See `blurred`.
        degraded: Share of small pictures that are degraded blindly, up to `strength`.
        strength: See `degraded`.
        noise: Upper bound of the deviation of noise in small pictures (Ho et al. 2021, section 4.2).
        offset: Deviation of what is added to eps over the whole crop and, as smoothly, over its quarters: white noise
            hardly has colours as broad as these, a network that never meets them takes them for the picture's, and the
            errors of a few large steps stay in what is drawn.
        snr_limits: Of the weight of the eps error; see `hybrid.SnrWeight`.
        weight_limits: Of the same.
    """

    minutes: float = 15.0
    batch_size: int = 48
    learning_rate: float = 2e-3
    pool_size: int = 4_000
    ema: float = 0.998
    crop: int = 32
    pairs: float = 0.7
    empty_captions: float = 0.2
    blurred: float = 0.4
    deviation: float = 0.9
    degraded: float = 0.15
    strength: float = 0.6
    noise: float = 0.03
    offset: float = 0.25
    snr_limits: tuple[float, float] = (0.3, 10.0)
    weight_limits: tuple[float, float] = (0.2, 20.0)


def crops(pictures: Tensor, side: int, rng: np.random.Generator) -> Tensor:
    """A square of each picture "batch channels height width", at an even place."""
    height, width = pictures.shape[2:]
    tops = rng.integers((height - side) // 2 + 1, size=len(pictures)) * 2
    lefts = rng.integers((width - side) // 2 + 1, size=len(pictures)) * 2
    squares = zip(pictures, tops, lefts, strict=True)
    return torch.stack([picture[:, top : top + side, left : left + side] for picture, top, left in squares])


def small(pictures: Tensor, course: UpsamplingCourse, rng: np.random.Generator) -> Tensor:
    """Pictures "batch 3 height width" at half their side, as an upsampler may meet them: never quite clean."""
    found = F.avg_pool2d(pictures, 2)
    draw = rng.random(len(found))
    for index in np.flatnonzero(draw < course.blurred):
        found[index] = degradation.gaussian_blur(found[index : index + 1], rng.uniform(0, course.deviation))[0]
    for index in np.flatnonzero(draw > 1 - course.degraded):
        strength, seed = rng.uniform(0, course.strength), int(rng.integers(2**31))
        found[index] = degradation.blind_degradation(found[index : index + 1], strength, (seed,))[0]
    levels = torch.from_numpy(rng.uniform(0, course.noise, (len(found), 1, 1, 1)).astype(np.float32))
    grain = torch.from_numpy(rng.standard_normal(tuple(found.shape), dtype=np.float32))
    return ((found + levels * grain).clamp(-1, 1) * 127.5).round() / 127.5


def broad_noise(like: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """White noise "batch channels height width" with broad colours of so much deviation added at two scales."""
    count, channels, *size = like.shape
    whole, quarters = (torch.randn(count, channels, side, side, generator=generator) for side in (1, 4))
    broad = whole + F.interpolate(quarters, size=size, mode="bilinear")
    return (torch.randn(like.shape, generator=generator) + deviation * broad).to(like)


class UpsamplingLesson(Lesson):
    """An upsampler learns to enlarge crops of scenes.

    Args:
        course: The recipe's numbers.
        pool: Training scenes, twice as large as what is enlarged.
        device: To train on.
    """

    def __init__(self, course: UpsamplingCourse, pool: Pool, device: torch.device) -> None:
        self.course, self.pool, self.device = course, pool, device
        self.numbers = course
        torch.manual_seed(course.seed)

    def batch(self, step: int) -> tuple[Tensor, Tensor, list[str]]:
        """Large and small pictures of a step, and captions."""
        rng = self.course.choices(step)
        chosen = self.pool.choose(rng, self.course.batch_size, self.numbers.pairs)
        texts = batches.texts(
            batches.captions(self.pool, chosen, rng, silence=0.1), rng, empty=self.numbers.empty_captions
        )
        large = crops(batches.pictures(self.pool, chosen), self.numbers.crop, rng)
        return large.to(self.device), small(large, self.numbers, rng).to(self.device), texts

    def enlarged(self, averaged: nn.Module, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pictures "count height width 3" at twice their side."""
        raise NotImplementedError

    def sheet(self, averaged: nn.Module) -> NDArray[np.uint8]:
        """Fresh scenes, four to a row, each beside what becomes of its small picture."""
        scenes = fresh_scenes(16)
        found = self.enlarged(averaged, np.stack([render(scene, SIDE // 2) for scene in scenes]))
        return np.stack([np.stack([render(scene, SIDE) for scene in scenes]), found], axis=1).reshape(-1, SIDE, SIDE, 3)

    @property
    def weight(self) -> SnrWeight:
        """Of the eps error."""
        return SnrWeight(self.numbers.snr_limits, self.numbers.weight_limits)


class UnclipUpsamplingLesson(UpsamplingLesson):
    """unCLIP's upsampler: no attention, no text (Ramesh et al. 2022, section 2.1)."""

    name = "mini-unclip-upsampler"

    def __init__(self, course: UpsamplingCourse, pool: Pool, device: torch.device) -> None:
        super().__init__(course, pool, device)
        self.network = Upsampler(UNCLIP).to(device)
        self.model = self.network
        self.schedule = UNCLIP.noise_schedule

    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """The mean square error of eps, weighted."""
        x_0, low, _ = self.batch(step)
        generator = self.course.generator(step)
        timesteps = stratified(len(x_0), len(self.schedule), generator).to(self.device)
        noise = broad_noise(x_0, self.numbers.offset, generator)
        x_t = losses.q_sample(x_0, timesteps, noise, self.schedule)
        with torch.autocast(self.device.type, torch.bfloat16):
            output = self.network(x_t, timesteps, {"low_res": low})
        mse = (output.float() - noise).square().flatten(1).mean(1)
        return {"total": (self.weight.of(timesteps, self.schedule) * mse).mean(), "mse": mse.mean()}

    def enlarged(self, averaged: nn.Module, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See `UpsamplingLesson.enlarged`."""
        network: Any = averaged
        return unclip_upsampling(network)(pictures, range(len(pictures)))

    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the published layout."""
        strings = {**metadata, SPACE: PIXELS, SPEC: to_json("unclip", UNCLIP)}
        save_published(averaged, checkpoint.key_map(UNCLIP), path, metadata=strings, dtype=torch.float16)


@torch.no_grad()
def begin_alike(unet: nn.Module, known: nn.Module) -> None:
    """Give a U-Net, in place, each tensor of another's that fits it, and the filters of eps where it has variance too.

    What the timestep does to a block differs, in GLIDE a scale and a shift, and is learnt anew.
    """
    ours = unet.state_dict()
    for name, value in known.state_dict().items():
        if name.startswith("conv_out.") or ours[name].shape == value.shape:
            ours[name][: len(value)].copy_(value)


class GlideUpsamplingLesson(UpsamplingLesson):
    """GLIDE's upsampler: it sees the small picture beside x_t, and the caption (Nichol et al. 2021, section 4.1).

    Args:
        course: The recipe's numbers.
        pool: Training scenes.
        base: The base model, whose text transformer it keeps.
        device: To train on.
        like: unCLIP's upsampler, whose convolutions it begins with.
    """

    name = "mini-glide-upsampler"

    def __init__(
        self,
        course: UpsamplingCourse,
        pool: Pool,
        base: GlideModel,
        device: torch.device,
        like: Upsampler | None = None,
    ) -> None:
        super().__init__(course, pool, device)
        self.base, self.tokenizer = base, base.tokenizer
        self.network = GlideTextToImage(glide_spec(base.spec)).initialise(course.seed).to(device)
        self.network.text.load_state_dict(base.network.text.state_dict())
        self.network.text.requires_grad_(False)
        if like is not None:
            begin_alike(self.network.unet, like.unet)
        self.model = self.network
        self.schedule = schedules.SCHEDULES[self.network.spec.schedule]()

    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """The hybrid loss (Nichol & Dhariwal 2021, eq. 16), its eps error weighted."""
        x_0, low, texts = self.batch(step)
        words = self.tokenizer.encode_batch(texts, self.network.spec.text_context)
        text = self.network.encode_text(*(part.to(self.device) for part in words))

        def network(x_t: Tensor, timesteps: Tensor) -> Tensor:
            return self.network(x_t, timesteps, {**text, "low_res": low})

        generator = self.course.generator(step)
        noise = broad_noise(x_0, self.numbers.offset, generator)
        return hybrid(network, x_0, self.schedule, self.weight, generator, noise)

    def enlarged(self, averaged: nn.Module, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See `UpsamplingLesson.enlarged`."""
        network: Any = averaged
        return glide_upsampling(GlideModel(network, self.tokenizer))(pictures, range(len(pictures)))

    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        """Write GLIDE's published layout, with spec and vocabulary."""
        network: Any = averaged
        glide_checkpoint.save(network, path, merges=self.tokenizer, dtype=torch.float16, metadata=metadata)


def lesson(
    options: Options,
    base: Annotated[Path | None, typer.Option(help="Mini GLIDE, for GLIDE's upsampler; without it unCLIP's.")] = None,
    like: Annotated[Path | None, typer.Option(help="unCLIP's upsampler, for GLIDE's to begin with.")] = None,
) -> UpsamplingLesson:
    """Train a mini upsampler, or go on with the run in OUT."""
    course, where = options.course(UpsamplingCourse), options.where
    pool = options.opened(course, SIDE)
    if base is None:
        return UnclipUpsamplingLesson(course, pool, where)
    known = None if like is None else load_upsampler(like, device=where).network
    return GlideUpsamplingLesson(course, pool, load_model(base, device=where), where, known)


if __name__ == "__main__":
    run_command(recipe_command(lesson, UpsamplingCourse))
