"""Worse versions of a U-Net by its own attention: without mixing, without a layer, or with smoothed energy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ...diffusion.denoiser import Leaf
from ...errors import GlidewireError
from ..additions import Attended, AttentionAddition, grid_of, layers_at
from ..view import UnetView, free_name

Perturbation = Literal["identity", "skip", "smooth"]


class Perturbed(UnetView):
    """A denoiser some rows of whose batch attend worse; the others are the denoiser, bit for bit.

    A leaf's conditioning has `<name>.rows` "batch 1" beside the denoiser's own: 1 for worse, 0 as it is. So a
    prediction and its worse version share one forward. "identity": each position finds its own value (PAG); "skip":
    the layer's output is left out, its residual stays (SLG); "smooth": queries are blurred over the picture (SEG).

    Args:
        base: The denoiser, or a view of it.
        kind: What is done.
        places: Where: "middle", "down 1, up 0", or "all"; see `additions.attention_places`.
        sigma: Of the blur, in positions of the layer; infinity takes the mean of all queries.
        name: What its condition is called by.

    Raises:
        GlidewireError: There is no attention of the picture to itself there, or sigma is not above 0.

    Source: Ahn et al. 2024 (perturbed-attention guidance); Hyung et al. 2024 (spatiotemporal skip
        guidance); Hong 2024 (smoothed energy guidance).
    """

    def __init__(
        self,
        base: Any,
        kind: Perturbation = "identity",
        places: str = "middle",
        sigma: float = math.inf,
        name: str = "perturbed",
    ) -> None:
        super().__init__(base, name)
        if not sigma > 0:
            raise GlidewireError("perturbed attention: impossible sigma", expected="a number above 0", got=sigma)
        self.kind, self.sigma = kind, sigma
        self.layers = layers_at(self.unet, places, ("self", "joint"))

    def identity(self) -> str:
        """Text of what is done, where."""
        return f"perturbed {self.name} {self.kind} {self.layers} {self.sigma!r}"

    def attention(self, conditioning: Mapping[str, Tensor], size: tuple[int, int]) -> tuple[AttentionAddition, ...]:
        """What is done to the rows that are marked."""
        return (_Worse(self, conditioning[self.rows], size),)

    @property
    def rows(self) -> str:
        """The name of the condition that marks rows."""
        return f"{self.name}.rows"

    def leaf(self, leaf: Leaf, worse: bool) -> Leaf:
        """A leaf of the base as one of this view, worse or as it is."""
        rows = torch.full((1, 1), float(worse))
        return Leaf(self, {**leaf.conditioning, self.rows: rows}, same_as=None if worse else leaf)


@dataclass(frozen=True)
class _Worse(AttentionAddition):
    view: Perturbed
    marked: Tensor
    size: tuple[int, int]

    def replaced(self, attended: Attended) -> Tensor | None:
        if attended.layer not in self.view.layers or self.view.kind == "skip":
            return None
        if self.view.kind == "identity":
            worse = attended.value[:, :, attended.context :]
        else:
            query = self._smoothed(attended.query)
            worse = F.scaled_dot_product_attention(query, attended.key, attended.value, attn_mask=attended.seen)
        return torch.where(self.marked[..., None, None] > 0, worse, attended.found)

    def kept(self, layer: int) -> Tensor | None:
        skips = self.view.kind == "skip" and layer in self.view.layers
        return 1 - self.marked[:, 0] if skips else None

    def _smoothed(self, query: Tensor) -> Tensor:
        if math.isinf(self.view.sigma):
            return query.mean(dim=2, keepdim=True).expand_as(query)
        rows, columns = grid_of(query.shape[2], self.size)
        pictures = query.mT.unflatten(-1, (rows, columns)).flatten(0, 1)
        return gaussian_blur(pictures, self.view.sigma).flatten(2).unflatten(0, query.shape[:2]).mT


def gaussian_blur(pictures: Tensor, sigma: float, size: int | None = None) -> Tensor:
    """Pictures "batch channels height width" under a normal window, mirrored at the border.

    Args:
        pictures: What is blurred.
        sigma: In pixels.
        size: Of the window, odd; 3 sigma to both sides by default. It is no larger than the mirrored picture.
    """
    channels, wanted = pictures.shape[1], math.ceil(3 * sigma) if size is None else size // 2
    for axis in (-1, -2):
        reach = min(wanted, pictures.shape[axis] - 1)
        places = torch.arange(-reach, reach + 1, dtype=torch.float32, device=pictures.device)
        window = torch.exp(-0.5 * (places / sigma) ** 2)
        window = (window / window.sum()).to(pictures.dtype)
        pad, shape = ((reach, reach, 0, 0), (1, -1)) if axis == -1 else ((0, 0, reach, reach), (-1, 1))
        kernel = window.reshape(1, 1, *shape).expand(channels, -1, -1, -1)
        pictures = F.conv2d(F.pad(pictures, pad, mode="reflect"), kernel, groups=channels)
    return pictures


def perturbing(leaf: Leaf, kind: Perturbation, places: str, sigma: float = math.inf) -> Perturbed:
    """The view of a leaf's network; arguments and errors as `Perturbed`."""
    if not hasattr(leaf.network, "way_down"):
        raise GlidewireError(
            "this network's attention cannot be perturbed",
            expected="a U-Net: GLIDE, an unCLIP decoder, a latent denoiser or IF, or a view of one",
            got=type(leaf.network).__name__,
        )
    return Perturbed(leaf.network, kind, places, sigma, free_name(leaf.network, "perturbed"))
