"""An example of every node: tiny real inputs, from which the registry test runs it.

A new node needs one line in EXAMPLES: its Python name, and a function that makes its inputs from `Materials`. Inputs
that are left out keep their defaults; a node without inputs that need a value has `just()`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from glidewire.diffusion.denoiser import Denoiser, Leaf
from glidewire.diffusion.guidance import ScaleSchedule
from glidewire.diffusion.schedules import NoiseSchedule, squared_cosine
from glidewire.graph_runtime.context import Context
from glidewire.graph_runtime.folders import Folders
from glidewire.models.glide import checkpoint as glide_checkpoint
from glidewire.models.glide.model import GlideModel
from glidewire.models.glide.network import GlideTextToImage
from glidewire.models.glide.spec import GlideSpec
from glidewire.models.glide.tokenizer import GlideTokenizer
from glidewire.nodes.sockets import PIXELS, Condition, Sample, Start
from PIL import Image as PillowImage
from torch import Tensor

STEPS = 4
SIDE = 16


@dataclass(frozen=True)
class Materials:
    """What examples are made of: a folder of files, and tiny models with random weights.

    Args:
        folder: The folder of models, inputs and results.
    """

    folder: Path

    @property
    def context(self) -> Context:
        """What a node is run with."""
        return Context(folders=Folders(models=(self.folder,), input=(self.folder,), output=self.folder / "output"))

    @cached_property
    def glide(self) -> GlideModel:
        """A GLIDE base model of a few thousand weights, its zero-initialised layers filled too."""
        words = GlideTokenizer.train(["a red cube left of a blue sphere", "a small green cone"], 300)
        spec = GlideSpec(
            image_size=SIDE, model_channels=16, channel_mult=(1, 2), num_res_blocks=1, num_head_channels=16,
            attention_resolutions=(8,), text_context=8, text_width=16, text_layers=1, text_heads=2,
            vocabulary_size=words.vocabulary_size, norm_groups=8,
        )  # fmt: skip
        network = GlideTextToImage(spec)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in network.parameters():
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
        return GlideModel(network.eval().requires_grad_(False), words)

    @cached_property
    def checkpoint(self) -> str:
        """That model as a file in the models folder."""
        glide_checkpoint.save(self.glide.network, self.folder / "tiny.safetensors", merges=self.glide.tokenizer)
        return "tiny.safetensors"

    @cached_property
    def picture_file(self) -> str:
        """A small picture with transparency, as a file in the input folder."""
        levels = (self.picture(1, 5, 7)[0] * 255).to(torch.uint8).numpy()
        picture = PillowImage.fromarray(levels)
        picture.putalpha(128)
        picture.save(self.folder / "picture.png")
        return "picture.png"

    def picture(self, batch: int = 2, height: int = SIDE, width: int = SIDE, seed: int = 1) -> Tensor:
        """Pictures "batch height width 3"."""
        return torch.rand(batch, height, width, 3, generator=torch.Generator().manual_seed(seed))

    def pixels(self, batch: int = 1, side: int = SIDE, seed: int = 2) -> Tensor:
        """Noise "batch 3 side side"."""
        return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))

    def sample(self, batch: int = 1) -> Sample:
        """A pixel-space sample."""
        return Sample(self.pixels(batch).clamp(-1, 1), PIXELS)

    def start(self, batch: int = 1) -> Start:
        """Pure noise in pixel space."""
        return Start(self.pixels(batch), PIXELS, seeds=(3,) * batch)

    def text(self, prompt: str = "a red cube") -> Condition:
        """An encoded prompt."""
        return Condition(self.glide.encode_prompt(prompt)[0])

    def denoiser(self, prompt: str = "a red cube") -> Denoiser:
        """The tiny model under a prompt."""
        return Leaf(self.glide.network, self.text(prompt).tensors)

    @cached_property
    def schedule(self) -> NoiseSchedule:
        """A schedule of a few steps."""
        return squared_cosine(STEPS)


Example = Callable[[Materials], dict[str, Any]]


def just(**inputs: Any) -> Example:
    """An example that needs no materials."""
    return lambda _: inputs


def _walk(materials: Materials, batch: int = 2) -> dict[str, Any]:
    return {"denoiser": materials.denoiser(), "schedule": materials.schedule, "start": materials.start(batch)}


def _pair(materials: Materials) -> dict[str, Any]:
    return {"conditional": materials.denoiser(), "unconditional": materials.denoiser("")}


EXAMPLES: dict[str, Example] = {
    # glide
    "load_glide": lambda m: {"checkpoint": m.checkpoint},
    "glide_text_encoder": lambda m: {"model": m.glide, "prompt": "a small green cone"},
    "glide_empty_text": lambda m: {"model": m.glide},
    "glide_denoiser": lambda m: {"model": m.glide, "text": m.text()},
    # guidance
    "classifier_free_guidance": _pair,
    "cfg_plus_plus_guidance": _pair,
    "autoguidance": lambda m: {"good": m.denoiser(), "bad": m.denoiser("")},
    "adaptive_projected_guidance": _pair,
    "zero_star_guidance": lambda m: {**_pair(m), "schedule": ScaleSchedule(4.0, 1.0)},
    "tangential_guidance": _pair,
    "magnitude_aware_guidance": _pair,
    "frequency_decoupled_guidance": _pair,
    "composable_guidance": lambda m: {
        "unconditional": m.denoiser(""),
        "first": m.denoiser(),
        "third": m.denoiser("a cone"),
        "third_weight": -1.0,
    },
    "negative_prompt_guidance": lambda m: {**_pair(m), "negative": m.denoiser("a cone")},
    "perpendicular_negative_guidance": lambda m: {**_pair(m), "negative": m.denoiser("a cone")},
    "image_and_text_guidance": lambda m: {
        "image_and_text": m.denoiser(),
        "image": m.denoiser("a cone"),
        "unconditional": m.denoiser(""),
    },
    "annealed_condition": lambda m: {"denoiser": m.denoiser(), "batch": 2, "levels": 4},
    "rescale_guidance": lambda m: {"guided": m.denoiser(), "conditional": m.denoiser("")},
    "dynamic_threshold": lambda m: {"denoiser": m.denoiser()},
    "static_threshold": lambda m: {"denoiser": m.denoiser()},
    "scale_schedule": just(first=7.0, last=1.0, shape="cosine"),
    "noise_level_interval": lambda m: {"schedule": m.schedule},
    # images
    "load_image": lambda m: {"file": m.picture_file},
    "save_image": lambda m: {"image": m.picture()},
    "resize_image": lambda m: {"image": m.picture(), "width": 9, "height": 5},
    "image_grid": lambda m: {"images": m.picture(3)},
    "concatenate_images": lambda m: {"first": m.picture(1), "second": m.picture(2), "third": m.picture(1)},
    "batch_images": lambda m: {"images": [m.picture(1), m.picture(2)]},
    "image_to_sample": lambda m: {"image": m.picture()},
    "sample_to_image": lambda m: {"sample": m.sample()},
    # sampling
    "noise_start": lambda m: {"denoiser": m.denoiser(), "width": 8, "height": 16, "batch": 2, "seed": 7},
    "noised_start": lambda m: {"sample": m.sample(2), "schedule": m.schedule, "seed": 7},
    "ddim_inversion": lambda m: {"denoiser": m.denoiser(), "schedule": m.schedule, "sample": m.sample()},
    "ancestral_sampler": _walk,
    "ddim_sampler": lambda m: {**_walk(m), "eta": 0.5},
    # schedules
    "noise_schedule": just(name="squaredcos_cap_v2", steps=8),
    "respace": lambda m: {"schedule": m.schedule, "spacing": "2"},
    # values
    "text": just(value="a red cube"),
    "integer": just(value=3),
    "number": just(value=0.5),
    "seed": just(value=11),
    "text_list": just(lines="a red cube\n\na blue sphere"),
    "seed_list": just(first=3, count=2),
    "pick": lambda m: {"items": [m.picture(1), m.picture(2)], "index": 1},
    "switch": lambda m: {"condition": False, "on_false": m.picture()},
    "show_text": just(value="hello"),
}
