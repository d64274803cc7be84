"""Between and along embeddings: spherical interpolation, and the direction from one text to another."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import GlidewireError


def slerp(first: Tensor, second: Tensor, weight: float) -> Tensor:
    """sin((1 - w) a) / sin(a) · first + sin(w a) / sin(a) · second, where a is the angle between the two.

    Nearly parallel vectors are interpolated on a straight line.

    Args:
        first: "batch width" or "1 width".
        second: As `first`, of the same width.
        weight: w; 0 is the first, 1 the second.

    Returns:
        "batch width".

    Raises:
        GlidewireError: Shapes that do not fit together.

    Source: Shoemake 1985; of CLIP embeddings, Ramesh et al. 2022, sec. 3.2.
    """
    fits = first.ndim == second.ndim == 2 and first.shape[1] == second.shape[1]
    if not fits or (first.shape[0] != second.shape[0] and 1 not in (first.shape[0], second.shape[0])):
        raise GlidewireError(
            "slerp: the embeddings do not fit together",
            expected="batches of one size, or of one, and one width",
            got=f"{list(first.shape)} and {list(second.shape)}",
        )
    cosine = (F.normalize(first, dim=-1) * F.normalize(second, dim=-1)).sum(dim=-1, keepdim=True)
    angle = cosine.clamp(-1, 1).acos()
    straight = angle.sin() < 1e-4
    sine = torch.where(straight, 1.0, angle.sin())
    a = torch.where(straight, 1 - weight, ((1 - weight) * angle).sin() / sine)
    b = torch.where(straight, weight, (weight * angle).sin() / sine)
    return a * first + b * second


def text_difference(image: Tensor, source: Tensor, target: Tensor, weight: float) -> Tensor:
    """slerp(z_i, |z_i| d, w) with d = (t - s) / |t - s|, where s and t are the normalised text embeddings.

    Args:
        image: z_i, "batch width".
        source: s, what the picture shows, "1 width" or "batch width".
        target: t, what it shall show, shaped as `source`.
        weight: w; Ramesh et al. take 0.25 to 0.5.

    Returns:
        "batch width".

    Raises:
        GlidewireError: Texts whose embeddings are equal, or shapes as `slerp`.

    Source: Ramesh et al. 2022, sec. 3.3.
    """
    difference = F.normalize(target, dim=-1) - F.normalize(source, dim=-1)
    if not bool(difference.norm(dim=-1).gt(1e-6).all()):
        raise GlidewireError(
            "text difference: both texts have the same embedding",
            expected="two different texts",
            hint="Describe the picture in one and the wish in the other.",
        )
    return slerp(image, F.normalize(difference, dim=-1) * image.norm(dim=-1, keepdim=True), weight)
