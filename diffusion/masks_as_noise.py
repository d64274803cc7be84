"""Predictors that were trained on noised tokens, asked as if they had been trained on masked ones."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..errors import GlidewireError
from .denoiser import Denoiser, Leaf, Network, Observed
from .prediction import Kind
from .rewriting import with_leaves

NOISE = "tokens in the place of masks"


def cosine_time(share: Tensor) -> Tensor:
    """r of a share of noise cos(pi r / 2): Paella's first generation (Rampas et al. 2022, section 3)."""
    return share.clamp(0, 1).acos() * (2 / math.pi)


def linear_time(share: Tensor) -> Tensor:
    """t of a share of noise t: Paella's third generation (Rampas et al. 2023, section 3)."""
    return share


TIMES: Mapping[str, Callable[[Tensor], Tensor]] = {"cosine": cosine_time, "linear": linear_time}
"""What a network is told of a share of noise, by name."""


class MasksAsNoise:
    """A view of a token predictor that sees noise where a mask is, and the time at which so much is noise.

    A `Network` whose conditioning holds one more: the noise, "batch ..." int64, under `NOISE`.

    Args:
        base: The predictor.
        mask_id: The token that stands for a masked one; no code of the predictor's.
        time: One of `TIMES`.
    """

    learned_variance = False

    def __init__(self, base: Network, mask_id: int, time: str) -> None:
        self.base, self.mask_id, self.time = base, mask_id, time

    @property
    def prediction(self) -> Kind:
        """The parametrisation of the output."""
        return self.base.prediction

    @property
    def channels(self) -> int:
        """Codes of the predictor."""
        return self.mask_id

    @property
    def space(self) -> str:
        """Whose tokens these are."""
        return getattr(self.base, "space", "")

    def digest(self) -> str:
        """Identity of the predictor and of how masks are shown to it."""
        return hashlib.sha256(f"{self.base.digest()} masks {self.mask_id} as noise {self.time}".encode()).hexdigest()

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The predictor's own preparation, and the noise."""
        own = {name: value for name, value in conditioning.items() if name != NOISE}
        return {**self.base.prepare(own), NOISE: conditioning[NOISE]}

    def __call__(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor | Observed:
        """The predictor's output for tokens "batch ...", some of them `mask_id`; the timesteps are not looked at."""
        masked = x_t == self.mask_id
        share = masked.flatten(1).float().mean(dim=1)
        own = {name: value for name, value in conditioning.items() if name != NOISE}
        return self.base(torch.where(masked, conditioning[NOISE], x_t), TIMES[self.time](share), own)


def masks_as_noise(denoiser: Denoiser, noise: Tensor, mask_id: int, time: Callable[[Network], str]) -> Denoiser:
    """The same expression over views of its predictors that take masks.

    Args:
        denoiser: The guidance expression, whose networks predict logits.
        noise: What is shown in the place of a mask, "batch ..." int64.
        mask_id: The token that stands for a masked one.
        time: Which of `TIMES` a network was trained with.

    Raises:
        GlidewireError: A network predicts no logits.

    Source: for comparing samplers on one predictor: Rampas et al. 2022 (Paella), section 3; Chang et al. 2022.
    """

    def viewed(leaf: Leaf) -> Leaf:
        if leaf.network.prediction != "logits":
            raise GlidewireError(
                "masks can only be shown to a predictor of tokens", expected="logits", got=leaf.network.prediction
            )
        key = id(leaf.network)
        views.setdefault(key, MasksAsNoise(leaf.network, mask_id, time(leaf.network)))
        return Leaf(views[key], {**leaf.conditioning, NOISE: noise})

    # One view for each network: leaves of one network share a forward.
    views: dict[int, MasksAsNoise] = {}
    return with_leaves(denoiser, viewed)
