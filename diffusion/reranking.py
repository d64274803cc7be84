"""Keeping the best of several samples by how well their embedding fits a text's."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..errors import GlidewireError


def best_by_similarity(candidates: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Which candidate of each item is nearest to its target: argmax_k cos(candidate_k, target).

    Args:
        candidates: "items count width".
        target: "items width" or "1 width".

    Returns:
        The index of the best, "items" int64, and all cosines, "items count".

    Raises:
        GlidewireError: The widths differ, or there is no candidate.

    Source: Ramesh et al. 2022, sec. 2.2 (two samples, of which the one with the higher z_i · z_t is kept).
    """
    fits = candidates.ndim == 3 and candidates.shape[1] > 0 and target.ndim == 2
    if not fits or candidates.shape[2] != target.shape[1] or target.shape[0] not in (1, len(candidates)):
        raise GlidewireError(
            "best_by_similarity: candidates and target do not fit together",
            expected="items x count x width and items x width",
            got=f"{list(candidates.shape)} and {list(target.shape)}",
        )
    similarities = (F.normalize(candidates, dim=-1) @ F.normalize(target, dim=-1)[..., None]).squeeze(-1)
    return similarities.argmax(dim=1), similarities
