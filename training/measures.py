"""What is measured of minis that draw nothing by themselves: autoencoders by the judge, CLIP by retrieval."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ..models.checkpoint import identify
from ..models.clip.model import ClipModel, load_clip
from ..models.first_stage.model import load_autoencoder
from ..models.paella.token_autoencoder import load_token_autoencoder
from ..scenes import Caption, Scene, render, sample_scene
from ..scenes.judge import judge, score
from .batches import everything

# Beyond the seeds of any pool.
_FIRST_SEED = 10_000_000
_BATCH = 100


def fresh_scenes(count: int, *, distinct: bool = False) -> list[Scene]:
    """Scenes that no pool has, every other one of combinations that training never shows.

    Args:
        count: How many.
        distinct: Whether no two have the same attributes.
    """
    scenes: dict[str, Scene] = {}
    seed = 0
    while len(scenes) < count:
        scene = sample_scene(_FIRST_SEED + seed, held_out=bool(seed % 2))
        scenes.setdefault(everything(scene).text if distinct else str(seed), scene)
        seed += 1
    return list(scenes.values())


def judged(pictures: NDArray[np.uint8], captions: list[Caption]) -> dict[str, float]:
    """Shares of pictures [count side side 3] in which what is stated is right: of each attribute, and of all."""
    scores = [score(judge(picture), caption.statement) for picture, caption in zip(pictures, captions, strict=True)]
    found = {"everything": float(np.mean([all(one.values()) for one in scores]))}
    for name in dict.fromkeys(name for one in scores for name in one):
        found[name] = float(np.mean([one[name] for one in scores if name in one]))
    return found


def verdicts_kept(decoded: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], count: int, size: int) -> dict[str, float]:
    """How often the judge finds everything that is true of a scene in what an autoencoder gives back.

    Args:
        decoded: Pictures to what comes back of them, uint8 [count size size 3].
        count: Scenes.
        size: Side in pixels.

    Returns:
        Shares as `judged`, and "signal to noise" in decibels: 10 log10(255^2 / mean square error).
    """
    scenes = fresh_scenes(count)
    pictures = np.stack([render(scene, size) for scene in scenes])
    found = np.concatenate([decoded(pictures[first : first + _BATCH]) for first in range(0, count, _BATCH)])
    error = float(np.mean((pictures.astype(float) - found) ** 2))
    ratio = 10 * np.log10(255**2 / max(error, 1e-12))
    return {**judged(found, [everything(scene) for scene in scenes]), "signal to noise": float(ratio)}


@torch.no_grad()
def retrieval(clip: ClipModel, count: int) -> dict[str, float]:
    """How often the caption nearest to a scene's picture is its own, and the picture nearest to its caption.

    Args:
        clip: The model.
        count: Scenes, no two of the same attributes, each with the caption that states all of them.

    Returns:
        Top-1 shares.

    Source: Radford et al. 2021, section 3.1.
    """
    scenes = fresh_scenes(count, distinct=True)
    pictures = np.stack([render(scene, clip.spec.image.image_size) for scene in scenes])
    values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    images = F.normalize(clip.encode_picture(values), dim=1)
    texts = [clip.encode_prompt(everything(scene).text)[0]["text_embedding"] for scene in scenes]
    scores, own = images @ F.normalize(torch.cat(texts), dim=1).mT, torch.arange(count)
    return {
        "caption of a picture": float((scores.argmax(1) == own).float().mean()),
        "picture of a caption": float((scores.argmax(0) == own).float().mean()),
    }


def measured(weights: Path, count: int) -> dict[str, float] | None:
    """The figures of a mini that draws nothing by itself; None for one that draws."""
    identity = identify(weights)
    if identity.component == "clip":
        return retrieval(load_clip(weights), count)
    if identity.component != "first_stage":
        return None
    if identity.dims.get("codes"):
        tokens = load_token_autoencoder(weights)

        def through_tokens(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
            values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
            return _bytes(tokens.decode(tokens.encode(values)))

        return verdicts_kept(through_tokens, count, 32)
    autoencoder = load_autoencoder(weights)

    def through_latents(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        values = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        return _bytes((autoencoder.decode(autoencoder.encode(values)) + 1) / 2)

    return verdicts_kept(through_latents, count, 32)


def _bytes(pictures: torch.Tensor) -> NDArray[np.uint8]:
    return (pictures.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
