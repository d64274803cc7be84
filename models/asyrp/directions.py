"""Directions in a U-Net's bottleneck: a small network f_t, or a tensor for each trained timestep."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import GlidewireError
from ..digest import network_digest
from .spec import DeltaBlockSpec, DeltaTensorSpec


class DeltaBlock(nn.Module):
    """delta h = C2 SiLU(norm(C1 g(h) + W SiLU(temb))), with g the identity or SiLU of a norm.

    Args:
        spec: Hyper-parameters.

    Source: Kwon et al. 2023, figure 4.
    """

    def __init__(self, spec: DeltaBlockSpec) -> None:
        super().__init__()
        self.ignore_timestep = spec.ignore_timestep
        # The published codes' epsilons.
        eps = 1e-5 if spec.kind == "guided" else 1e-6
        guided = spec.kind == "guided"
        self.first_norm = nn.GroupNorm(spec.norm_groups, spec.channels, eps=eps) if guided else None
        self.first_convolution = nn.Conv2d(spec.channels, spec.channels, 1)
        self.embedding = nn.Linear(spec.embedding_width, spec.channels)
        self.second_norm = nn.GroupNorm(spec.norm_groups, spec.channels, eps=eps)
        self.second_convolution = nn.Conv2d(spec.channels, spec.channels, 1)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        """The direction at h "batch channels height width" and time embedding "batch width", shaped as h."""
        delta = F.silu(self.first_norm(h)) if self.first_norm is not None else h
        delta = self.first_convolution(delta)
        if not self.ignore_timestep:
            delta = delta + self.embedding(F.silu(embedding))[..., None, None]
        return self.second_convolution(F.silu(self.second_norm(delta)))


class DeltaBlocks(nn.Module):
    """The directions of one file, each a `DeltaBlock`.

    Args:
        spec: Hyper-parameters.
    """

    def __init__(self, spec: DeltaBlockSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader: the file's digest stands for the weights
        self.blocks = nn.ModuleList(DeltaBlock(spec) for _ in range(spec.directions))

    def digest(self) -> str:
        """Content identity of the weights and the precision they are held in, for cache keys."""
        return network_digest(self, self.spec, self.content_digest)

    def forward(self, h: Tensor, embedding: Tensor, timesteps: Tensor) -> tuple[Tensor, ...]:
        """Every direction of the file.

        Args:
            h: The bottleneck, "batch channels height width".
            embedding: The U-Net's time embedding, "batch embedding_width".
            timesteps: Not used.

        Returns:
            One tensor a direction, shaped as h.
        """
        dtype = next(self.parameters()).dtype
        return tuple(block(h.to(dtype), embedding.to(dtype)).to(h.dtype) for block in self.blocks)


class DeltaTensors(nn.Module):
    """One direction as a tensor for each trained timestep; others take the nearest one's.

    Args:
        spec: Hyper-parameters.

    Source: Kwon et al. 2023, section 5.3 (the mean directions) and appendix C.
    """

    def __init__(self, spec: DeltaTensorSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader: the file's digest stands for the weights
        count, (first, *rest) = len(spec.timesteps), spec.shape
        self.tensors = nn.Parameter(torch.zeros(count * first, *rest))

    def digest(self) -> str:
        """Content identity of the weights and the precision they are held in, for cache keys."""
        return network_digest(self, self.spec, self.content_digest)

    def forward(self, h: Tensor, embedding: Tensor, timesteps: Tensor) -> tuple[Tensor, ...]:
        """The direction at each row's timestep.

        Args:
            h: The bottleneck, "batch channels height width".
            embedding: Not used.
            timesteps: Ids of the original schedule, "batch".

        Returns:
            One tensor, shaped as h.

        Raises:
            GlidewireError: h has another size than the direction's.
        """
        each = self.tensors.reshape(len(self.spec.timesteps), *self.spec.shape[-3:])
        if h.shape[1:] != each.shape[1:]:
            raise GlidewireError(
                "a direction stored as a tensor does not fit the bottleneck",
                expected=" x ".join(map(str, h.shape[1:])),
                got=" x ".join(map(str, each.shape[1:])),
                hint="It fits pictures of the size it was trained at only.",
            )
        return (each[self._nearest(timesteps)].to(h.dtype),)

    def _nearest(self, timesteps: Tensor) -> Tensor:
        """Places of the trained timesteps that are nearest, "batch"."""
        trained = self.spec.timesteps
        if self.spec.ignore_timestep:
            return torch.zeros_like(timesteps, dtype=torch.long)
        # In published files timestep 0 holds the mean over all others, where there are others.
        first = 1 if self.spec.zero_is_mean and trained[0] == 0 and len(trained) > 1 else 0
        known = torch.tensor(trained[first:], device=timesteps.device, dtype=torch.float64)
        return first + (timesteps.double()[:, None] - known).abs().argmin(dim=1)


Directions = DeltaBlocks | DeltaTensors
