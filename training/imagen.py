"""The recipe of mini Imagen's first stage: mini GLIDE's U-Net in DeepFloyd IF's form, under T5's texts."""

from __future__ import annotations

import re
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
from ..models.glide.model import GlideModel, load_model
from ..models.glide.spec import GlideSpec
from ..models.hyper_parameters import SPEC, to_json
from ..models.imagen import layout
from ..models.imagen.model import ImagenModel, T5TextEncoder, load_t5
from ..models.imagen.network import ImagenDenoiser
from ..models.imagen.spec import ImagenSpec
from ..models.text_image_unet import attentions
from ..models.unclip.model import PIXELS
from ..scenes import held_out_prompts
from . import batches, t5
from .commands import Options, recipe_command, run_command
from .hybrid import SnrWeight
from .painters import Sampling, imagen_painter
from .pool import Pool
from .run import Course, Lesson
from .timesteps import stratified
from .unclip import fit

NAME = "mini-imagen-base"
# GELU(x) is nearly x sigmoid(1.702 x) (Hendrycks & Gimpel 2016, section 2): SiLU(x) is nearly 1.702 GELU(x / 1.702).
GELU = 1.702


def mini_spec(glide: GlideSpec, text_width: int) -> ImagenSpec:
    """The form of IF's first stage around GLIDE's levels."""
    levels = range(len(glide.channel_mult))
    return ImagenSpec(
        model_channels=glide.model_channels,
        channel_mult=glide.channel_mult,
        num_res_blocks=(glide.num_res_blocks,) * len(levels),
        attention_levels=tuple(level for level in levels if glide.attention_levels[level]),
        num_head_channels=glide.num_head_channels,
        text_width=text_width,
        context_width=glide.text_width,
        pool_heads=4,
        time_width=glide.time_width,
        norm_groups=glide.norm_groups,
        size=glide.image_size,
    )


@dataclass(frozen=True)
class ImagenCourse(Course):
    """The numbers of the first stage's recipe.

    Attributes:
        read: Captions by which T5's states are fitted to what GLIDE says, before the first update.
        empty_captions: Share of captions replaced by nothing, for classifier-free guidance.
        silence: Chance that a caption leaves out an object's shape, or else its colour.
        pairs: Share of pictures with two solids.
        snr_limits: Of the weight of the eps error; see `hybrid.SnrWeight`.
        weight_limits: Of the same.
    """

    minutes: float = 14.0
    batch_size: int = 32
    learning_rate: float = 1e-3
    warm_up_steps: int = 30
    decay_from: float = 0.4
    pool_size: int = 40_000
    ema: float = 0.99
    read: int = 2000
    empty_captions: float = 0.12
    silence: float = 0.1
    pairs: float = 0.65
    snr_limits: tuple[float, float] = (0.3, 5.0)
    weight_limits: tuple[float, float] = (0.2, 20.0)


class ImagenLesson(Lesson):
    """A first stage learns what GLIDE predicts (Hinton et al. 2015), under the texts of a frozen T5.

    Args:
        course: The recipe's numbers.
        pool: Training scenes.
        glide: The model that it listens to, whose U-Net it begins with.
        text: T5.
        device: To train on.
    """

    name = NAME

    def __init__(
        self, course: ImagenCourse, pool: Pool, glide: GlideModel, text: T5TextEncoder, device: torch.device
    ) -> None:
        self.course, self.pool, self.device = course, pool, device
        self.numbers, self.glide, self.text = course, glide, text
        torch.manual_seed(course.seed)
        self.network = ImagenDenoiser(mini_spec(glide.spec, text.network.spec.width)).to(device)
        self.model = self.network
        self.schedule = schedules.squared_cosine(1000)

    def prepare(self) -> None:
        """Take GLIDE's U-Net, and let T5's states say there what GLIDE's own text said."""
        begun(self.network, self.glide)
        rng = np.random.default_rng(self.course.seed)
        chosen = self.pool.choose(rng, self.numbers.read, self.numbers.pairs)
        texts = [one.text for one in batches.captions(self.pool, chosen, rng, silence=self.numbers.silence)] + [""] * 20
        read(self.network, self.glide, batches.t5_states(self.text, texts), texts)

    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """The mean square error against GLIDE's eps and variance values."""
        rng, count = self.course.choices(step), self.course.batch_size
        chosen = self.pool.choose(rng, count, self.numbers.pairs)
        found = batches.captions(self.pool, chosen, rng, silence=self.numbers.silence)
        texts = batches.texts(found, rng, empty=self.numbers.empty_captions)
        x_0 = batches.pictures(self.pool, chosen).to(self.device)
        generator = self.course.generator(step)
        timesteps = stratified(count, len(self.schedule), generator).to(self.device)
        noise = torch.randn(x_0.shape, generator=generator).to(self.device)
        x_t = losses.q_sample(x_0, timesteps, noise, self.schedule)
        words = self.glide.tokenizer.encode_batch(texts, self.glide.spec.text_context)
        said = {"text_states": batches.t5_states(self.text, texts)}
        with torch.autocast(self.device.type, torch.bfloat16):
            with torch.no_grad():
                known = self.glide.network.encode_text(*(part.to(self.device) for part in words))
                wanted = self.glide.network(x_t, timesteps, known).float()
            output = self.network(x_t, timesteps, said).float()
        weight = SnrWeight(self.numbers.snr_limits, self.numbers.weight_limits).of(timesteps, self.schedule)
        eps, variance = ((output - wanted).square().chunk(2, dim=1)[half].flatten(1).mean(1) for half in (0, 1))
        return {"total": (weight * eps).mean() + 0.01 * variance.mean(), "eps": eps.mean(), "variance": variance.mean()}

    def sheet(self, averaged: nn.Module) -> NDArray[np.uint8]:
        """Twelve held-out prompts, two pictures each."""
        texts = [prompt.text for prompt in held_out_prompts(12) for _ in range(2)]
        model: Any = ImagenModel(averaged)  # pyrefly: ignore
        return imagen_painter(model, self.text, Sampling("20"))(texts, range(24), 0, 3.0)

    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        """Write IF's published layout."""
        strings = {**metadata, SPACE: PIXELS, SPEC: to_json("imagen", self.network.spec)}
        save_published(averaged, layout.key_map(self.network.spec), path, metadata=strings, dtype=torch.float16)


@torch.no_grad()
def begun(network: ImagenDenoiser, glide: GlideModel) -> None:
    """Give a first stage, in place, GLIDE's U-Net: all but what takes the text."""
    state = gelu_for_silu(glide.network.unet.state_dict())
    network.unet.load_state_dict({**network.unet.state_dict(), **state})


def gelu_for_silu(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A U-Net's weights that do with GELU what they did with SiLU, to a hundredth.

    What is activated is divided by 1.702 by the layer before, and what the layer behind takes of it multiplied.
    """
    found = dict(state)
    for name, value in state.items():
        if re.search(r"(norm1|norm2|conv_norm_out|linear_1)\.(weight|bias)$", name) or name.endswith("linear_2.bias"):
            found[name] = value / GELU
        elif re.search(r"(conv1|conv2|conv_out)\.weight$", name):
            found[name] = value * GELU
        elif "time_emb_proj" in name:  # the embedding is activated here; of the result, the shift is activated next
            scale, shift = (value * GELU if name.endswith("weight") else value).chunk(2)
            found[name] = torch.cat([scale, shift / GELU])
    return found


def read(network: ImagenDenoiser, glide: GlideModel, states: Tensor, texts: list[str]) -> None:
    """Fit, in place, what a first stage makes of T5's states to what GLIDE makes of its own.

    Keys, values and their projection by least squares; the pooled embedding by gradient, for it pools by attention.

    Args:
        network: The first stage, with GLIDE's keys and values.
        glide: The model that it begins as.
        states: T5's of the texts, "texts positions width".
        texts: The texts.
    """
    unet, wanted = network.unet, t5.glide_states(glide, texts)
    fit(unet.encoder_hid_proj, states.flatten(0, 1), wanted.flatten(0, 1))
    with torch.no_grad():
        projected = unet.encoder_hid_proj(states)
        for attention in attentions(unet):
            seen = attention.norm_encoder_hidden_states(projected).flatten(0, 1)
            for layer in (attention.add_k_proj, attention.add_v_proj):
                fit(layer, seen, layer(wanted).flatten(0, 1))
    _pool(unet.add_embedding, states, glide.network.text.transformer_proj(wanted[:, -1]).detach() / GELU)


def _pool(pooling: nn.Module, states: Tensor, wanted: Tensor, steps: int = 400) -> None:
    """Train what pools T5's states until it gives what is added to the time embedding."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(pooling.parameters(), 3e-3, weight_decay=0.0)
    for step in range(steps):
        chosen = torch.randint(len(states), (128,), generator=generator)
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        F.mse_loss(pooling(states[chosen]), wanted[chosen]).backward()
        optimizer.step()
        optimizer.zero_grad()


def lesson(
    options: Options,
    glide: Annotated[Path, typer.Option(help="Mini GLIDE, which it begins as.")],
    text: Annotated[Path, typer.Option(help="Mini T5.")],
) -> ImagenLesson:
    """Train mini Imagen's first stage, or go on with the run in OUT."""
    course, where = options.course(ImagenCourse), options.where
    known, words = load_model(glide, device=where), load_t5(text, device=where)
    return ImagenLesson(course, options.opened(course), known, words, where)


if __name__ == "__main__":
    run_command(recipe_command(lesson, ImagenCourse))
