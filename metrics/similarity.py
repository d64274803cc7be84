"""How well pictures fit texts in CLIP's space: CLIP score, and retrieval."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import GlidewireError


def clip_score(image: Tensor, text: Tensor, weight: float = 2.5) -> Tensor:
    """w · max(cos(z_i, z_t), 0) of each picture with its text.

    Args:
        image: z_i, "batch width".
        text: z_t, "batch width" or "1 width".
        weight: w; 2.5 was published, 1 gives the cosine itself (cut at 0).

    Returns:
        "batch".

    Raises:
        GlidewireError: Other widths or batches.

    Source: Hessel et al. 2021 (CLIPScore, 2104.08718), section 3.
    """
    _require(image, text)
    return weight * F.cosine_similarity(image.double(), text.double(), dim=-1).clamp(min=0)


def _require(image: Tensor, text: Tensor) -> None:
    fits = image.ndim == text.ndim == 2 and image.shape[1] == text.shape[1] and len(text) in (1, len(image))
    if not fits:
        raise GlidewireError(
            "pictures and texts do not fit together",
            expected="one width, and one text for all or one for each",
            got=f"{' x '.join(map(str, image.shape))} and {' x '.join(map(str, text.shape))}",
        )


def retrieval_accuracy(image: Tensor, text: Tensor, among: int = 1) -> float:
    """Share of the pictures whose own text is among the `among` nearest of all texts.

    Args:
        image: "batch width"; picture i belongs to text i.
        text: "batch width".
        among: 1 for top-1.

    Returns:
        0 to 1.

    Raises:
        GlidewireError: Not as many texts as pictures, or fewer than `among`.

    Source: Radford et al. 2021 (CLIP, 2103.00020), section 3.1.
    """
    _require(image, text)
    if len(text) != len(image) or not 1 <= among <= len(text):
        raise GlidewireError(
            "retrieval: every picture needs its own text", expected=f"{len(image)} texts", got=f"{len(text)}"
        )
    cosines = F.normalize(image.double(), dim=-1) @ F.normalize(text.double(), dim=-1).mT
    better = (cosines > cosines.diagonal()[:, None]).sum(dim=1)
    return (better < among).double().mean().item()


def ranked(image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """The order of pictures by cos(z_i, z_t), best first, and the cosines in that order.

    Args:
        image: "batch width".
        text: "1 width", what all of them should show.

    Returns:
        Indices "batch" int64 and cosines "batch"; equal ones keep the order of the batch.

    Raises:
        GlidewireError: Another width, or more than one text.

    Source: Ramesh et al. 2021 (DALL-E, 2102.12092), section 2.6 (re-ranking with a contrastive model).
    """
    _require(image, text)
    if len(text) != 1:
        raise GlidewireError("pictures are ranked for one text", expected="1 text", got=len(text))
    cosines = F.cosine_similarity(image.double(), text.double(), dim=-1)
    order = torch.sort(cosines, descending=True, stable=True).indices
    return order, cosines[order]
