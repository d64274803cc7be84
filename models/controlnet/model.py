"""A control network as a whole, on guidance expressions; and whether an example pair fits its query."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ...diffusion.denoiser import Denoiser, Leaf
from ...diffusion.rewriting import leaves, with_leaves
from ...errors import GlidewireError
from ..checkpoint import identify, load_identified
from ..handle import Handle
from ..registry import Identity
from ..view import free_name
from .spec import ControlNetSpec

if TYPE_CHECKING:
    from .network import ControlNet

# The six tasks that Prompt Diffusion was trained on, and what their texts say (Wang et al. 2023).
TASKS: Mapping[str, str] = {
    "depth to image": "",
    "edges to image": "",
    "segmentation to image": "",
    "image to depth": "depth map",
    "image to edges": "hed map",
    "image to segmentation": "segmentation map",
}
_LARGEST = 2.0


@dataclass(frozen=True)
class ControlModel(Handle):
    """A control network: ControlNet's, or Prompt Diffusion's.

    Attributes:
        network: Frozen, in evaluation mode.
        file: The file's name, for errors.
        remarks: What a user should know of the file.
    """

    network: ControlNet
    file: str = "the control network"
    remarks: tuple[str, ...] = ()

    @property
    def spec(self) -> ControlNetSpec:
        """The network's hyper-parameters."""
        return self.network.spec

    def controlling(self, denoiser: Denoiser, hints: Mapping[str, Tensor], strengths: Sequence[float]) -> Denoiser:
        """A guidance expression all of whose latent leaves are controlled.

        Args:
            denoiser: A latent denoiser under a text, or guidance of some; it stays as it is.
            hints: What `spec.hints` names, each "1 or batch, channels, height, width".
            strengths: Of each residual; with all 0 the expression itself is given back.

        Raises:
            GlidewireError: The control network takes other hints, or as `view.Controlled`.
        """
        from .view import Controlled

        names = [name for name, _ in self.spec.hints]
        if sorted(hints) != sorted(names):
            raise GlidewireError(
                f"{self.file} is {'Prompt Diffusion' if self.spec.query_channels else 'a ControlNet'}",
                expected=" and ".join(names),
                got=" and ".join(hints),
                hint="Apply it by the other node." if len(names) != len(hints) else None,
            )
        if not any(strengths):
            return denoiser
        views: dict[int, Controlled] = {}

        def changed(leaf: Leaf) -> Leaf:
            network: Any = leaf.network
            if id(network) not in views:
                name = free_name(network, "control")
                views[id(network)] = Controlled(network, self.network, strength=strengths, name=name)
            view = views[id(network)]
            return Leaf(view, {**leaf.conditioning, **{f"{view.name}.{name}": hint for name, hint in hints.items()}})

        for leaf in leaves(denoiser):
            if not hasattr(leaf.network, "unet"):
                raise GlidewireError(
                    "a control network needs a latent denoiser",
                    expected="a text-conditional latent denoiser, such as Stable Diffusion",
                    got=type(leaf.network).__name__,
                )
        return with_leaves(denoiser, changed)

    def strengths(self, strength: float, by_residual: str = "") -> tuple[float, ...]:
        """One strength for each residual.

        Args:
            strength: Of all, at most 2 in size.
            by_residual: Factors of it, one for each skip on the way down and for the middle, with commas between;
                "guess" stands for those without a text (Zhang et al. 2023, section 3.4).

        Raises:
            GlidewireError: A number is out of range or cannot be read, or there are not as many as residuals.
        """
        from .view import guess_strengths

        count, factors = self.spec.residual_count, read_factors(by_residual, strength)
        if factors is None:
            factors = guess_strengths(count)
        factors = factors or (1.0,) * count
        if len(factors) != count:
            raise GlidewireError(
                "strengths are not as many as residuals", expected=f"{count} numbers", got=len(factors)
            )
        return tuple(strength * factor for factor in factors)


def read_factors(by_residual: str, strength: float = 1.0) -> tuple[float, ...] | None:
    """Factors of a strength as a user writes them, see `ControlModel.strengths`: none for all 1; None for "guess".

    Raises:
        GlidewireError: A number cannot be read, or it or the strength is out of range.
    """
    guess = by_residual.strip() == "guess"
    factors = () if guess else tuple(map(_number, filter(str.strip, re.split(r"[,;\s]+", by_residual))))
    for value in (strength, *factors):
        if not abs(value) <= _LARGEST:
            raise GlidewireError("a strength is out of range", expected=f"-{_LARGEST:g} to {_LARGEST:g}", got=value)
    return None if guess else factors


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise GlidewireError("strengths cannot be read", expected="numbers, or guess", got=repr(text)) from None


def picture_kind(picture: Tensor) -> Tensor:
    """Numbers that tell drawings, maps and photographs apart: colour, darkness, flatness, contrast and variety.

    Args:
        picture: "batch 3 height width" in [-1, 1].

    Returns:
        "batch 5", the first four in [0, 1]; variety, which tells most, in [0, 2].
    """
    colour = (picture.amax(1) - picture.amin(1)).flatten(1).mean(1) / 2
    grey = picture.mean(1)
    dark = (grey < -0.8).flatten(1).float().mean(1)
    steps = (grey[:, :, 1:] - grey[:, :, :-1]).abs()
    flat = (steps < 2 / 255).flatten(1).float().mean(1)
    return torch.stack([colour, dark, flat, grey.flatten(1).std(1), 2 * _variety(picture)], dim=1)


def _variety(picture: Tensor, levels: int = 8) -> Tensor:
    """The entropy of a picture's colours, of so many levels a channel, over that of evenly many of all; "batch"."""
    red, green, blue = ((picture + 1) / 2 * levels).long().clamp(0, levels - 1).flatten(2).unbind(1)
    colours = F.one_hot((red * levels + green) * levels + blue, levels**3).float().mean(1)
    return torch.special.entr(colours).sum(1) / math.log(levels**3)


def looks_like_target(source: Tensor, target: Tensor, query: Tensor) -> bool:
    """Whether a query is clearly more of its example's target's kind than of the source's; pictures in [-1, 1]."""
    kinds = [picture_kind(picture.float()).mean(0) for picture in (source, target, query)]
    from_source, from_target = (math.dist(kinds[2].tolist(), kinds[index].tolist()) for index in (0, 1))
    return from_target < 0.5 * from_source


def identify_control(path: str | Path) -> Identity:
    """The control network in a file; raises GlidewireError as `identify`."""
    return identify(path, component="control")


def load_control(
    path: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32
) -> ControlModel:
    """Load a control network, strictly; errors as `identify_control` and `models.checkpoint.load`."""
    identity = identify_control(path)
    network = cast("ControlNet", load_identified(identity, device=device, dtype=dtype))
    return ControlModel(network, identity.header.path.name, identity.remarks)
