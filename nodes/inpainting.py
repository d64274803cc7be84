"""How pictures with masks meet denoisers: the host's mask (1 is repainted) turned into what each of them expects."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..errors import GlidewireError


def to_pixels(image: Tensor) -> Tensor:
    """Pictures "batch height width 3" in [0, 1] as "batch 3 height width" in [-1, 1]."""
    return image.movedim(-1, 1).mul(2).sub(1).contiguous()


def hole(image: Tensor, mask: Tensor) -> Tensor:
    """Where a picture is repainted: mask >= 1/2.

    Args:
        image: "batch height width 3".
        mask: "batch height width", or one for the whole batch; 1 where to repaint, as hosts draw it.

    Returns:
        "batch 1 height width", 1 where to repaint, 0 where the picture is kept.

    Raises:
        GlidewireError: The mask is of another size, or there are neither one nor as many as pictures.
    """
    fits = mask.ndim == 3 and mask.shape[1:] == image.shape[1:3]
    if not fits or mask.shape[0] not in (1, image.shape[0]):
        raise GlidewireError(
            "the mask does not fit the picture",
            expected=f"1 or {image.shape[0]} masks of {image.shape[1]} x {image.shape[2]}",
            got=" x ".join(map(str, mask.shape)),
            hint="Resize one of them.",
        )
    return (mask >= 0.5).to(image)[:, None]


def kept_cells(mask: Tensor, sample: Tensor) -> Tensor:
    """Where a sample is kept: a mask of its size, or of the picture's whose latents it is.

    Args:
        mask: "batch height width", 1 where to repaint.
        sample: "batch channels h w", where height/h and width/w are one whole number.

    Returns:
        "batch 1 h w", 1 where kept. A cell is repainted if any of its pixels is.

    Raises:
        GlidewireError: The sizes do not fit, or there are neither one nor as many masks as samples.
    """
    height, width = sample.shape[-2:]
    factor = max(mask.shape[-1] // width, 1)
    fits = mask.ndim == 3 and tuple(mask.shape[1:]) == (height * factor, width * factor)
    if not fits or mask.shape[0] not in (1, sample.shape[0]):
        raise GlidewireError(
            "the mask does not fit the sample",
            expected=f"1 or {sample.shape[0]} masks of {height} x {width}, or a whole multiple of that",
            got=" x ".join(map(str, mask.shape)),
            hint="Resize the mask to the picture that the sample was made of.",
        )
    return 1 - F.max_pool2d((mask >= 0.5).float()[:, None], factor)
