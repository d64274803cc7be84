"""What a direction in a bottleneck is trained on: CLIP's directional and contrastive losses, and keeping the rest."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import GlidewireError


def directional_loss(source: Tensor, edited: Tensor, source_text: Tensor, target_text: Tensor) -> Tensor:
    """L_dir = 1 - cos(delta_I, delta_T), with delta_I = E(edited) - E(source) and delta_T = E(target) - E(source text).

    Embeddings are made of unit length before they are subtracted.

    Args:
        source: CLIP's embeddings of the pictures as they are, "batch width".
        edited: Of the edited pictures, "batch width"; gradients flow through these.
        source_text: Of the text of what is there, "1 or batch, width".
        target_text: Of what is wanted, "1 or batch, width".

    Returns:
        "batch", from 0 (the picture moves as the text does) to 2.

    Raises:
        GlidewireError: Embeddings of different widths, or equal texts, which have no direction.

    Source: Gal et al. 2021 (StyleGAN-NADA); Kwon et al. 2023 (Asyrp), section 4.
    """
    widths = [each.shape[-1] for each in (source, edited, source_text, target_text)]
    if len(set(widths)) > 1:
        raise GlidewireError("directional loss: embeddings of different CLIPs", expected="one width", got=widths)
    a, b, s, t = (F.normalize(each.float(), dim=-1) for each in (source, edited, source_text, target_text))
    of_text = t - s
    if not bool((of_text.norm(dim=-1) > 1e-6).all()):
        raise GlidewireError(
            "directional loss: the texts are equal",
            expected="a source and a target text that differ",
            got="no direction between them",
        )
    # An edit of nothing has no direction, and the gradient of its length none either.
    return 1 - F.cosine_similarity(b - a, of_text.expand_as(b), dim=-1, eps=1e-6)


def contrastive_loss(edited: Tensor, texts: Tensor, wanted: Tensor, scale: float) -> Tensor:
    """L_con = -log softmax_j(scale · cos(E(edited), E(text_j))) at the wanted text: CLIP tells it from all others.

    Args:
        edited: CLIP's embeddings of the edited pictures, "batch width"; gradients flow through these.
        texts: Of all that pictures could show, "texts width".
        wanted: Which of them each picture shall show, int64 "batch".
        scale: CLIP's exp(logit_scale).

    Returns:
        "batch", 0 or more.

    Raises:
        GlidewireError: Embeddings of different widths.

    Source: Radford et al. 2021 (CLIP), figure 3 and section 3.1.2: classification by texts.
    """
    if edited.shape[-1] != texts.shape[-1]:
        widths = [edited.shape[-1], texts.shape[-1]]
        raise GlidewireError("contrastive loss: embeddings of different CLIPs", expected="one width", got=widths)
    fits = scale * F.normalize(edited.float(), dim=-1) @ F.normalize(texts.float(), dim=-1).mT
    return F.cross_entropy(fits, wanted, reduction="none")


def asyrp_loss(
    edited: Tensor,
    plain: Tensor,
    directional: Tensor,
    cosine: float,
    *,
    keep: float = 3.0,
    move: float = 1.0,
) -> dict[str, Tensor]:
    """L = move · (-log((2 - L_dir) / 2)) + keep · cos(source, target) · |P(edited) - P(plain)|_1.

    The logarithm grows without bound where the picture moves against the text; what the texts share is kept.

    Args:
        edited: The predicted clean sample of the edit, "batch channels height width".
        plain: Without it, of the same shape; no gradient flows through it.
        directional: L_dir, "batch", from `directional_loss`.
        cosine: Similarity of the texts; published runs multiply the L1 term by it.
        keep: Weight of the L1 term; 3 was published.
        move: Weight of the directional term; 1 was published.

    Returns:
        Per item, each "batch": "direction", "kept" and "total".

    Raises:
        GlidewireError: Samples of different shapes.

    Source: Kwon et al. 2023 (Asyrp), section 4; the published code's logarithm.
    """
    if edited.shape != plain.shape:
        raise GlidewireError(
            "asyrp loss: the edited and the plain sample differ in shape",
            expected=tuple(plain.shape),
            got=tuple(edited.shape),
        )
    direction = -torch.log(((2 - directional) / 2).clamp(min=1e-6))
    kept = cosine * (edited.float() - plain.detach().float()).abs().flatten(1).mean(1)
    return {"direction": direction, "kept": kept, "total": move * direction + keep * kept}
