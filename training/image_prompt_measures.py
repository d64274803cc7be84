"""How well an image-prompt adapter does what it was trained for: whose colour pictures take, and whose shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..diffusion import guidance, samplers, schedules, solvers
from ..diffusion.denoiser import Leaf
from ..diffusion.noise import SeededNoise
from ..models.clip.image_encoder import load_image_encoder
from ..models.first_stage.model import load_autoencoder
from ..models.ip_adapter.apply import prompted
from ..models.ip_adapter.model import load_adapter
from ..models.ldm.model import load_denoiser
from ..models.ldm.text import load_clip_text
from ..scenes import Described, Scene, Statement, render, sample_scene, worded
from ..scenes.judge import judge, score
from ..scenes.world import GROUNDS, SHAPES
from . import batches
from .painters import to_bytes, to_pixels

SCALES = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)
GUIDANCE, SPACING = 3.0, "30"
# Beyond the seeds of any pool.
_FIRST_SEED = 10_000_000
_BATCH = 50


def pairs(count: int) -> list[tuple[Scene, Statement]]:
    """Scenes of one solid, and for each a caption of another shape that is silent of colour."""
    found: list[tuple[Scene, Statement]] = []
    seed = _FIRST_SEED
    while len(found) < count:
        scene, seed = sample_scene(seed), seed + 1
        if len(scene.solids) == 1:
            others = [shape for shape in SHAPES if shape != scene.solids[0].shape]
            ground = list(GROUNDS)[seed % len(GROUNDS)]
            found.append((scene, Statement((Described(others[seed % len(others)]),), None, ground)))
    return found


@torch.no_grad()
def image_prompt_figures(weights: Path, beside: Path, count: int) -> dict[str, float]:
    """The judge's shares, at each scale of the picture, of pictures with its colour and with the caption's shape.

    Args:
        weights: The adapter.
        beside: The folder of mini latent diffusion, its autoencoder and mini CLIP.
        count: Pairs of a picture and a caption.

    Source: Ye et al. 2023 (IP-Adapter), sections 4.2 and 4.3, for what is asked.
    """
    adapter, latent = load_adapter(weights), load_denoiser(beside / "mini-ldm.safetensors")
    text = load_clip_text(beside / "mini-clip-text.safetensors")
    autoencoder = load_autoencoder(beside / "mini-kl-f4.safetensors")
    encoder = load_image_encoder(beside / "mini-clip.safetensors")
    chosen = pairs(count)
    schedule = schedules.respace(latent.schedule, SPACING)
    found: dict[str, float] = {}
    for scale in SCALES:
        colours, shapes = [], []
        for first in range(0, count, _BATCH):
            part = chosen[first : first + _BATCH]
            pictures = to_pixels(np.stack([render(scene, 32) for scene, _ in part]))
            tokens, none = adapter.tokens(encoder, pictures)
            texts = batches.states(text, [worded(stated).text for _, stated in part])
            silent = batches.states(text, [""])
            towards = prompted(Leaf(latent.network, {"context": texts}), adapter, tokens, scale)
            away = prompted(Leaf(latent.network, {"context": silent}), adapter, none, scale)
            denoiser = guidance.classifier_free(towards, away, GUIDANCE)
            noise = SeededNoise(tuple(range(first, first + len(part))))
            x_T = noise.draw((latent.network.channels, latent.spec.size, latent.spec.size))
            x_0 = samplers.sample(denoiser, schedule, x_T, solvers.ddim(1.0, clip=False), noise)
            for drawn, (scene, stated) in zip(to_bytes(autoencoder.decode(x_0)), part, strict=True):
                reading = judge(drawn)
                wanted = Statement((Described(colour=scene.solids[0].colour),))
                colours.append(score(reading, wanted).get("colour", False))
                shapes.append(score(reading, stated)["shape"])
        found[f"the picture's colour, at scale {scale:g}"] = float(np.mean(colours))
        found[f"the caption's shape, at scale {scale:g}"] = float(np.mean(shapes))
    return found
