"""How the nodes of token pictures meet the runtime: conditions, starts made of seeds and masks, runs with segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..diffusion import renoising
from ..diffusion.denoiser import Denoiser, Leaf
from ..diffusion.evaluator import Evaluator
from ..diffusion.renoising import Renoise, RenoiseStep
from ..diffusion.token_noise import SeededTokenNoise
from ..diffusion.token_run import TokenRecord
from ..diffusion.tokens import Draw, Filter, corrupt
from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..models.paella.model import PaellaModel
from ..models.paella.spec import PaellaV1Spec
from .sampling import Segments, resumption, space_of
from .sockets import Condition
from .step_frames import StepFrames
from .token_sockets import Embedding, Tokens, TokenStart


def paella_leaf(
    model: PaellaModel, text: Embedding | None, image: Embedding | None, byt5: Condition | None = None
) -> Leaf:
    """A predictor under CLIP vectors; v1 takes one or none (zeros), v3 at least one, or ByT5's states."""
    for embedding in (text, image):
        if embedding is not None and embedding.clip != model.clip:
            raise GlidewireError(
                "the embedding is another CLIP's than the predictor was trained with",
                expected=model.clip,
                got=embedding.clip,
                hint="Embed with that CLIP, or name it in the predictor's loader if it was trained with this one.",
            )
    states = _byt5_states(model, byt5)
    if isinstance(model.network.spec, PaellaV1Spec):
        if text is not None and image is not None:
            raise GlidewireError(
                "Paella v1 takes one CLIP vector",
                expected="a text's or a picture's",
                got="both",
                hint="Interpolate between them first.",
            )
        one = text or image
        null = torch.zeros(1, model.network.spec.clip_width)
        return _leaf(model, {"clip": null if one is None else one.tensor})
    if text is None and image is None and not states:
        raise GlidewireError(
            "Paella v3 has nothing to attend to",
            expected="the embedding of a text or of a picture, or ByT5's states",
            got="nothing",
            hint="Its unconditional prediction is that of the empty text: embed one.",
        )
    given = {"clip": text, "clip_image": image}
    return _leaf(model, {**states, **{name: one.tensor for name, one in given.items() if one is not None}})


def _byt5_states(model: PaellaModel, byt5: Condition | None) -> Mapping[str, Tensor]:
    """What a predictor takes of a text as ByT5 reads it; raises GlidewireError for one that takes none or another."""
    if byt5 is None:
        return {}
    spec = model.network.spec
    states = byt5.tensors.get("byt5")
    if isinstance(spec, PaellaV1Spec) or states is None or states.shape[-1] != spec.byt5_width:
        raise GlidewireError(
            "the text does not fit the predictor",
            expected="no states: v1 reads CLIP alone" if isinstance(spec, PaellaV1Spec) else f"width {spec.byt5_width}",
            got="no states of ByT5" if states is None else f"states of width {states.shape[-1]}",
            hint="Encode it with the ByT5 text node.",
        )
    return {"byt5": states}


def _leaf(model: PaellaModel, conditioning: Mapping[str, Tensor]) -> Leaf:
    device = next(model.network.parameters()).device
    return Leaf(model.network, {name: value.to(device) for name, value in conditioning.items()})


def noise_start(denoiser: Denoiser, size: tuple[int, int, int], seed: int, first_item: int) -> TokenStart:
    """Uniform tokens of (batch, rows, columns)."""
    codes, codebook = codes_of(denoiser)
    noise = _noise((seed,) * size[0], first_item)
    return TokenStart(noise.start(size[1:], codes), codebook, noise.seeds, first_item)


def inpainting_start(denoiser: Denoiser, tokens: Tokens, mask: Tensor, seed: int, first_item: int) -> TokenStart:
    """Uniform tokens where a mask says so, and the known tokens elsewhere."""
    require_codebook(denoiser, tokens.codebook)
    batch, rows, columns = tokens.tensor.shape
    generate = cells(mask, (batch, rows, columns))
    noise = noise_start(denoiser, (batch, rows, columns), seed, first_item)
    pasted = renoising.paste(noise.tensor, tokens.tensor, generate)
    return TokenStart(pasted, tokens.codebook, noise.seeds, first_item, generate=generate)


def edited_start(denoiser: Denoiser, tokens: Tokens, share: float, seed: int, first_item: int) -> TokenStart:
    """Known tokens of which a share is replaced by uniform ones."""
    require_codebook(denoiser, tokens.codebook)
    batch, rows, columns = tokens.tensor.shape
    noise = noise_start(denoiser, (batch, rows, columns), seed, first_item)
    where = _noise(noise.seeds, first_item).uniform(0, tokens.tensor, "x_t")
    return TokenStart(
        corrupt(tokens.tensor, noise.tensor, share, where), tokens.codebook, noise.seeds, first_item, share
    )


def extended_start(
    denoiser: Denoiser, tokens: Tokens, sides: tuple[int, int, int, int], seed: int, first_item: int
) -> TokenStart:
    """Known tokens on a larger grid of noise: sides are left, right, above, below."""
    require_codebook(denoiser, tokens.codebook)
    known = functional.pad(tokens.tensor, sides)
    inside = functional.pad(torch.ones_like(tokens.tensor[:1], dtype=torch.bool), sides)
    batch, rows, columns = known.shape
    noise = noise_start(denoiser, (batch, rows, columns), seed, first_item)
    pasted = renoising.paste(noise.tensor, known, ~inside)
    return TokenStart(pasted, tokens.codebook, noise.seeds, first_item, generate=~inside)


def cells(mask: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """Which tokens a mask touches: those with a pixel of 1/2 or more in their square of the picture.

    Args:
        mask: "batch height width" in [0, 1], of the picture that the tokens are of, or of the grid itself.
        grid: batch, rows and columns of the tokens.

    Returns:
        bool "batch rows columns", or "1 rows columns" of a single mask.

    Raises:
        GlidewireError: A mask of another form than the grid, or of another batch.
    """
    batch, rows, columns = grid
    count, height, width = mask.shape
    factor = height // rows
    if (height, width) != (factor * rows, factor * columns) or not factor or count not in (1, batch):
        raise GlidewireError(
            "the mask does not fit the tokens",
            expected=f"1 or {batch} masks of a whole multiple of {rows} x {columns}",
            got=f"{count} of {height} x {width}",
            hint="Make the mask as large as the picture that was encoded.",
        )
    touched = functional.max_pool2d((mask >= 0.5).float()[:, None], factor)[:, 0]
    return touched.bool()


def cosine_steps_from(
    share: float, total: int, temperature: tuple[float, float], renoise_steps: int | None
) -> tuple[RenoiseStep, ...]:
    """Paella v1's steps from the one whose share of noise is nearest to a start's; every step for pure noise."""
    start = min(range(total + 1), key=lambda index: abs(renoising.cosine_share(index / max(total, 1)) - share))
    return renoising.cosine_steps(total, start=start, temperature=temperature, renoise_steps=renoise_steps)


@torch.no_grad()
def run(
    denoiser: Denoiser,
    steps: Sequence[RenoiseStep],
    start: TokenStart,
    renoise: Renoise,
    context: Context,
    *,
    keep: Filter | None = None,
    draw: Draw,
    evaluator: Evaluator | None = None,
) -> Tokens:
    """Walk the steps from a start, reporting each and storing segments in the context's memo.

    With an `evaluator` of the caller's, which has to see every step, none is taken from the memo.
    """
    require_codebook(denoiser, start.codebook)
    context.check_cancelled()

    frames = StepFrames(context.frames)
    resumed = resumption(steps[0].index if steps else 0)

    def report(record: TokenRecord) -> None:
        frames.tokens(record)
        index, total = record.step.index, record.step.total
        context.progress(index + 1, total, resumed(index, total))

    made = renoising.sample_renoising(
        denoiser,
        steps,
        start.tensor.to(context.policy.torch_device),
        _noise(start.seeds, start.first_item),
        renoise=renoise,
        generate=start.generate,
        keep=keep,
        draw=draw,
        on_step=report,
        trajectory=None if evaluator else Segments(context.memo),
        evaluator=evaluator or frames.evaluator,
        on_keys=frames.on_keys,
    )
    return Tokens(made.cpu(), start.codebook)


def _noise(seeds: tuple[int, ...], first_item: int) -> SeededTokenNoise:
    return SeededTokenNoise(seeds, first_item)


def codes_of(denoiser: Denoiser) -> tuple[int, str]:
    """The number of codes that a denoiser scores, and their codebook; raises GlidewireError for one without tokens."""
    network = denoiser
    while not isinstance(network, Leaf):
        network = next(iter(network.inputs.values()))
    if network.network.prediction != "logits":
        raise GlidewireError(
            "this denoiser has no tokens",
            expected="a denoiser that scores tokens",
            got=f"one that predicts {network.network.prediction}",
            hint="Use the noise start and the samplers of diffusion.",
        )
    return space_of(denoiser)


def require_codebook(denoiser: Denoiser, codebook: str) -> None:
    """Raise a GlidewireError for tokens of another codebook than a denoiser's."""
    _, expected = codes_of(denoiser)
    if codebook != expected:
        raise GlidewireError(
            "these are tokens of another codebook than the denoiser's",
            expected=expected,
            got=codebook,
            hint="Encode with the first stage that the predictor was trained with.",
        )
