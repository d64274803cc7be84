"""How samplers of masked tokens meet Paella's predictors and starts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..diffusion import halton, masking
from ..diffusion.denoiser import Denoiser, Network
from ..diffusion.halton import HaltonStep
from ..diffusion.masking import MaskStep
from ..diffusion.masks_as_noise import masks_as_noise
from ..diffusion.token_noise import SeededTokenNoise
from ..diffusion.token_run import OnTokens, TokenRecord
from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..models.paella.spec import PaellaV1Spec
from .sampling import Segments, resumption
from .step_frames import StepFrames
from .token_sampling import codes_of, require_codebook
from .token_sockets import Tokens, TokenStart


def time_of(network: Network) -> str:
    """What a predictor is told of its share of noise; see `masks_as_noise.TIMES`."""
    return "cosine" if isinstance(getattr(network, "spec", None), PaellaV1Spec) else "linear"


def _masked(denoiser: Denoiser, start: TokenStart, context: Context) -> tuple[Denoiser, Tensor, int]:
    """The expression that takes masks, the start with masks, and the mask's token."""
    require_codebook(denoiser, start.codebook)
    if start.share < 1 and start.generate is None:
        raise GlidewireError(
            "a sampler of masks must know which tokens are to be made",
            expected="a start of pure noise, or one for inpainting or outpainting",
            got=f"tokens of which a share of {start.share:g} is noise",
            hint="Use Paella's own sampler to edit.",
        )
    codes, _ = codes_of(denoiser)
    tokens = start.tensor.to(context.policy.torch_device)
    everywhere = torch.ones_like(tokens, dtype=torch.bool)
    generate = everywhere if start.generate is None else start.generate.to(tokens.device).expand_as(tokens)
    return masks_as_noise(denoiser, tokens, codes, time_of), torch.where(generate, codes, tokens), codes


@torch.no_grad()
def by_confidence(denoiser: Denoiser, steps: Sequence[MaskStep], start: TokenStart, context: Context) -> Tokens:
    """MaskGIT's sampler from a start of Paella's."""
    viewed, masked, mask_id = _masked(denoiser, start, context)
    frames, noise = StepFrames(context.frames), SeededTokenNoise(start.seeds, start.first_item)
    made = masking.sample_masked(
        viewed,
        steps,
        masked,
        mask_id,
        noise,
        on_step=_reporter(context, frames),
        trajectory=Segments(context.memo),
        evaluator=frames.evaluator,
        on_keys=frames.on_keys,
    )
    return Tokens(made.cpu(), start.codebook)


@torch.no_grad()
def in_halton_order(
    denoiser: Denoiser, steps: Sequence[HaltonStep], start: TokenStart, top_k: int, context: Context
) -> Tokens:
    """The Halton sampler from a start of Paella's that is noise everywhere."""
    if start.generate is not None:
        raise GlidewireError(
            "the Halton sampler makes whole pictures",
            expected="a start of pure noise",
            got="one with known tokens",
            hint="Inpaint with the MaskGIT sampler or with Paella's own.",
        )
    viewed, masked, _ = _masked(denoiser, start, context)
    frames, noise = StepFrames(context.frames), SeededTokenNoise(start.seeds, start.first_item)
    rows, columns = masked.shape[1:]
    order = halton.halton_order(rows, columns) @ torch.tensor([columns, 1])
    made = halton.sample_in_order(
        viewed,
        steps,
        masked,
        order,
        noise,
        top_k=top_k,
        on_step=_reporter(context, frames),
        trajectory=Segments(context.memo),
        evaluator=frames.evaluator,
        on_keys=frames.on_keys,
    )
    return Tokens(made.cpu(), start.codebook)


def _reporter(context: Context, frames: StepFrames) -> OnTokens:
    context.check_cancelled()
    resumed = resumption(0)

    def report(record: TokenRecord) -> None:
        frames.tokens(record)
        index, total = record.step.index, record.step.total
        context.progress(index + 1, total, resumed(index, total))

    return report
