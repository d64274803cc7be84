"""What is known of a sample, pasted into every prediction of it: inpainting."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ...errors import GlidewireError
from ..denoiser import Combination, Denoiser
from ..identity import tensor_digest
from ..prediction import Prediction, Step
from .scores import require_clean_samples


def known_region(denoiser: Denoiser, known: Tensor, mask: Tensor) -> Denoiser:
    """Paste what is known into every prediction of the clean sample: x_0 = mask · known + (1 - mask) x_0.

    Args:
        denoiser: What paints the rest.
        known: The known sample, broadcastable to x_t, such as "batch channels height width" in [-1, 1].
        mask: 1 where known, 0 where to paint; broadcastable to x_t, such as "batch 1 height width".

    Raises:
        GlidewireError: If a network scores tokens; when run, if either does not broadcast to x_t.

    Source: the inpainting of GLIDE (Nichol et al. 2022), section 4.3; compare Song et al. 2021, appendix I.2.
    """
    require_clean_samples("known_region", denoiser)

    def combine(inputs: Mapping[str, Prediction], x_t: Tensor, step: Step) -> Prediction:
        painted = inputs["denoiser"].to("x_0", x_t, step)
        kept, image = (_like(name, tensor, x_t) for name, tensor in (("mask", mask), ("known", known)))
        return painted.with_value(painted.value * (1 - kept) + image * kept)

    parameters = {"known": tensor_digest(known), "mask": tensor_digest(mask)}
    return Combination(combine, {"denoiser": denoiser}, "known_region", parameters, reads_progress=False)


def _like(name: str, tensor: Tensor, x_t: Tensor) -> Tensor:
    try:
        return tensor.to(x_t.device, x_t.dtype).expand_as(x_t)
    except RuntimeError as problem:
        raise GlidewireError(
            f"known_region: {name} does not fit the sample",
            expected=f"a shape that broadcasts to {list(x_t.shape)}",
            got=list(tensor.shape),
        ) from problem
