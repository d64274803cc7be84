"""Paella's components: the token predictor, its first stage, its denoiser and its samplers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import torch

from ..diffusion import renoising, tokens
from ..diffusion.denoiser import Denoiser
from ..diffusion.token_noise import SeededTokenNoise
from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import File, Number, Seed, Slider, Text
from ..models.paella import model as predictor
from ..models.paella import token_autoencoder as stage
from ..models.paella.model import PaellaModel
from ..models.paella.token_autoencoder import TokenAutoencoder
from . import token_sampling
from .sockets import Condition, Image, Mask
from .token_sockets import Embedding, Tokens, TokenStart

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
Checkpoint = Annotated[str, File(folder="models", suffixes=SUFFIXES)]
Temperature = Annotated[float, Slider(min=0.0, max=4.0, step=0.05)]
Steps = Annotated[int, Number(min=1, max=1000)]
RenoiseSteps = Annotated[int, Number(min=-1, max=1000)]


def _predictor_dims(checkpoint: Path, codebook: str = "", clip: str = "", **_: object) -> Mapping[str, int | str]:
    identity = predictor.identify_predictor(checkpoint)
    named, named_clip = predictor.named_spaces(identity, codebook, clip)
    dims = {"codes": identity.dims["codes"], "width": identity.dims["clip_width"]}
    return {**dims, "codebook": named, "clip": named_clip}


@node(category="paella", title="Load Paella", static_dims=_predictor_dims)
def load_paella(
    checkpoint: Checkpoint,
    codebook: Annotated[str, Text()] = "",
    clip: Annotated[str, Text()] = "",
    context: Context = INJECTED,
) -> Socket[PaellaModel, "codes width @codebook @clip"]:
    """Load a token predictor of Paella's first or third generation, strictly.

    Args:
        checkpoint: A published file, or one in its layout.
        codebook: Which first stage's tokens it predicts, where neither the file nor its published form tells:
            the same text as the first stage's. The published ones are ruDALL-E f8 (v1) and f4 (v3).
        clip: Which CLIP's vectors it takes. The published v1 takes ViT-g/14's of texts (the fine-tuned file
            ViT-H/14's of pictures, which its tensors do not tell), v3 ViT-H/14's.

    Returns: The predictor of "codes" under vectors of "width".

    Raises: GlidewireError with the whole list of keys that do not fit, or where nothing tells codebook or CLIP.

    Source: Rampas et al. 2022 (Paella, 2211.07292), section 3; v3: its version of 2023.
    """
    path = context.folders.find("models", checkpoint)
    device, dtype = context.policy.torch_device, context.policy.torch_dtype
    return predictor.load_predictor(path, codebook=codebook, clip=clip, device=device, dtype=dtype)


def _stage_dims(checkpoint: Path, codebook: str = "", **_: object) -> Mapping[str, int | str]:
    identity = stage.identify_token_autoencoder(checkpoint)
    return {"codes": identity.spec.codes, "codebook": stage.codebook_of(identity, codebook)}


@node(category="paella", static_dims=_stage_dims)
def load_token_autoencoder(
    checkpoint: Checkpoint,
    codebook: Annotated[str, Text()] = "",
    context: Context = INJECTED,
) -> Socket[TokenAutoencoder, "codes @codebook"]:
    """Load a first stage with a codebook, strictly: Paella's f4, ruDALL-E f8, or a VQ one of latent diffusion.

    Args:
        checkpoint: A file in the published layout.
        codebook: What its tokens are called, where the file does not tell and no published first stage has its
            shape: the same text as the predictor's.

    Returns: The first stage of "codes".

    Raises: GlidewireError with the whole list of keys that do not fit, or for a KL autoencoder.

    Source: van den Oord et al. 2017 (1711.00937); Rampas et al. 2022, section 3.
    """
    path = context.folders.find("models", checkpoint)
    device, dtype = context.policy.torch_device, context.policy.torch_dtype
    return stage.load_token_autoencoder(path, codebook=codebook, device=device, dtype=dtype)


@node(category="paella")
def encode_tokens(
    autoencoder: Socket[TokenAutoencoder, "codes @codebook"],
    image: Socket[Image, "batch height width 3"],
    draw: Literal["mode", "sample"] = "mode",
    seed: Annotated[int, Seed()] = 0,
    first_item: Annotated[int, Number(min=0, max=1_000_000)] = 0,
) -> Socket[Tokens, "batch _ _ @codebook"]:
    """Encode pictures to tokens: the nearest code of each latent, or a Gumbel autoencoder's likeliest one.

    Args:
        autoencoder: The first stage.
        image: "batch height width 3" in [0, 1]; sides that the first stage's factor divides.
        draw: mode takes the likeliest code; sample draws one from a Gumbel autoencoder's scores, as ruDALL-E's
            released code does. A first stage that takes the nearest code has no choice.
        seed: The seed of every item's draw.
        first_item: The number of the first item, see noise_start.

    Returns: Tokens "batch height/factor width/factor".

    Raises: GlidewireError for a side that the factor does not divide.

    Source: van den Oord et al. 2017, equation 1; Jang et al. 2017 (1611.01144), equation 1.
    """
    gumbel = None
    if draw == "sample" and autoencoder.draws:
        batch, height, width, _ = image.shape
        factor = autoencoder.spec.factor
        like = torch.empty(batch, autoencoder.spec.codes, height // factor, width // factor)
        gumbel = SeededTokenNoise((seed,) * batch, first_item).gumbel(0, like, "encode")
    return Tokens(autoencoder.encode(image.movedim(-1, 1), gumbel), autoencoder.codebook)


@node(category="paella")
def decode_tokens(
    autoencoder: Socket[TokenAutoencoder, "codes @codebook"],
    tokens: Socket[Tokens, "batch _ _ @codebook"],
) -> Socket[Image, "batch _ _ 3"]:
    """Decode tokens to pictures.

    Args:
        autoencoder: The first stage whose codes the tokens name.
        tokens: "batch rows columns".

    Returns: Pictures "batch rows*factor columns*factor 3" in [0, 1], clipped.

    Raises: GlidewireError for tokens of another codebook, or an id without a code.

    Source: van den Oord et al. 2017, section 3.
    """
    if tokens.codebook != autoencoder.codebook:
        raise GlidewireError(
            "these are tokens of another codebook",
            expected=autoencoder.codebook,
            got=tokens.codebook,
            hint="Decode them with the first stage that they were made for.",
        )
    return Image(autoencoder.decode(tokens.tensor).clamp(0, 1).movedim(1, -1).contiguous())


@node(category="paella", title="Paella denoiser")
def paella_denoiser(
    model: Socket[PaellaModel, "codes width @codebook @clip"],
    text: Socket[Embedding, "_ width @clip"] | None = None,
    image: Socket[Embedding, "_ width @clip"] | None = None,
    byt5: Socket[Condition, "_ _ _"] | None = None,
) -> Socket[Denoiser, "codes @codebook"]:
    """Paella's scores of every code at every position under CLIP vectors, as a leaf of a guidance expression.

    Guidance works on the scores: wire two of these into classifier free guidance. Published scales are 4 to 6
    for v1, against the empty condition (nothing wired), and 8 for v3, against the embedding of the empty text.

    Args:
        model: The predictor.
        text: The embedding of a text, "batch width", of the CLIP that the predictor was trained with.
        image: The embedding of a picture, "batch width": in the place of the text for v1, beside it for v3.
        byt5: The text as ByT5 reads it, "batch tokens width", for v3, which was trained with it.

    Returns: A denoiser of "codes @codebook".

    Raises: GlidewireError for an embedding of another CLIP, for two (or ByT5's states) in v1, for nothing in v3.

    Source: Rampas et al. 2022 (Paella), section 3; guidance on logits: Tang et al. 2022 (2205.16007).
    """
    return token_sampling.paella_leaf(model, text, image, byt5)


@node(category="paella")
def token_noise_start(
    denoiser: Socket[Denoiser, "_ @codebook"],
    columns: Annotated[int, Number(min=1, max=1024)] = 32,
    rows: Annotated[int, Number(min=1, max=1024)] = 32,
    batch: Annotated[int, Number(min=1, max=1024)] = 1,
    seed: Annotated[int, Seed()] = 0,
    first_item: Annotated[int, Number(min=0, max=1_000_000)] = 0,
) -> Socket[TokenStart, "batch rows columns @codebook"]:
    """Start from pure noise: every token uniform among the codes, a function of (seed, item) alone.

    Args:
        denoiser: What will denoise it: gives the codes.
        columns, rows: Size of the grid; a multiple of 4 (v1) or 8 (v3). One token is 8 (v1) or 4 (v3) pixels wide.
        batch: How many to make at once.
        seed: The seed of every item.
        first_item: The number of the first item, see noise_start.

    Returns: Tokens "batch rows columns".

    Raises: GlidewireError for a denoiser that has no tokens.

    Source: Rampas et al. 2022 (Paella), section 3.
    """
    return token_sampling.noise_start(denoiser, (batch, rows, columns), seed, first_item)


@node(category="paella")
def token_inpainting_start(
    denoiser: Socket[Denoiser, "_ @codebook"],
    tokens: Socket[Tokens, "batch rows columns @codebook"],
    mask: Socket[Mask, "_ _ _"],
    seed: Annotated[int, Seed()] = 0,
    first_item: Annotated[int, Number(min=0, max=1_000_000)] = 0,
) -> Socket[TokenStart, "batch rows columns @codebook"]:
    """Make a part of a picture anew: noise where the mask is 1, the known tokens elsewhere, in every step.

    Args:
        denoiser: What will denoise it.
        tokens: The picture, "batch rows columns".
        mask: "batch height width" of the encoded picture's size: a token is made anew where any of its pixels
            is 1/2 or more.
        seed: The seed of every item.
        first_item: The number of the first item, see noise_start.

    Returns: Tokens "batch rows columns", and where they are made.

    Raises: GlidewireError for a mask of another form, or tokens of another codebook.

    Source: Rampas et al. 2022 (Paella), section 4.
    """
    return token_sampling.inpainting_start(denoiser, tokens, mask, seed, first_item)


@node(category="paella")
def token_outpainting_start(
    denoiser: Socket[Denoiser, "_ @codebook"],
    tokens: Socket[Tokens, "batch _ _ @codebook"],
    left: Annotated[int, Number(min=0, max=1024)] = 0,
    right: Annotated[int, Number(min=0, max=1024)] = 16,
    above: Annotated[int, Number(min=0, max=1024)] = 0,
    below: Annotated[int, Number(min=0, max=1024)] = 0,
    seed: Annotated[int, Seed()] = 0,
    first_item: Annotated[int, Number(min=0, max=1_000_000)] = 0,
) -> Socket[TokenStart, "batch _ _ @codebook"]:
    """Continue a picture beyond its borders: its tokens stay, and noise surrounds them.

    Args:
        denoiser: What will denoise it.
        tokens: The picture, "batch rows columns".
        left, right, above, below: Columns and rows of new tokens.
        seed: The seed of every item.
        first_item: The number of the first item, see noise_start.

    Returns: Tokens "batch above+rows+below left+columns+right", and where they are made.

    Raises: GlidewireError for tokens of another codebook.

    Source: Rampas et al. 2022 (Paella), section 4.
    """
    return token_sampling.extended_start(denoiser, tokens, (left, right, above, below), seed, first_item)


@node(category="paella")
def token_edit_start(
    denoiser: Socket[Denoiser, "_ @codebook"],
    tokens: Socket[Tokens, "batch rows columns @codebook"],
    share: Annotated[float, Slider(min=0.0, max=1.0, step=0.001)] = 0.866,
    seed: Annotated[int, Seed()] = 0,
    first_item: Annotated[int, Number(min=0, max=1_000_000)] = 0,
) -> Socket[TokenStart, "batch rows columns @codebook"]:
    """Start from a picture of which a share of the tokens is noise, to keep its structure (structural editing).

    Args:
        denoiser: What will denoise it.
        tokens: The picture, "batch rows columns".
        share: How much becomes noise. v1 was published with step 8 of 24: cos(pi/2 · 8/24) = 0.866; a sampler
            leaves out the steps that are noisier than that.
        seed: The seed of every item.
        first_item: The number of the first item, see noise_start.

    Returns: Tokens "batch rows columns".

    Raises: GlidewireError for tokens of another codebook.

    Source: Rampas et al. 2022 (Paella), section 4.
    """
    return token_sampling.edited_start(denoiser, tokens, share, seed, first_item)


@node(category="paella", title="Paella sampler (v1)")
def paella_sampler(
    denoiser: Socket[Denoiser, "_ @codebook"],
    start: Socket[TokenStart, "batch rows columns @codebook"],
    steps: Steps = 12,
    renoise: Literal["start", "previous", "fresh"] = "start",
    renoise_steps: RenoiseSteps = -1,
    first_temperature: Temperature = 1.0,
    last_temperature: Temperature = 1.0,
    typical_mass: Annotated[float, Slider(min=0.0, max=1.0, step=0.01)] = 0.2,
    typical_min_tokens: Annotated[int, Number(min=1, max=65536)] = 1,
    context: Context = INJECTED,
) -> Socket[Tokens, "batch rows columns @codebook"]:
    """Sample as Paella's first generation: draw all tokens, then renoise a share cos(pi r / 2), r = i / steps.

    The defaults are those published with v1; guidance comes from the denoiser (4 to 6).

    Args:
        denoiser: What scores the codes.
        start: Tokens "batch rows columns", partly noise, and the seeds of the noise to come.
        steps: Steps of a whole run; a start with less noise leaves out the first ones.
        renoise: What a renoised token becomes: the start's noise, its token before the step, or new noise. For
            structural editing, previous was published.
        renoise_steps: After how many of the steps noise is added; -1 is after all but the last (11 of 12, as
            published). Interpolations were published with 11 of 20.
        first_temperature, last_temperature: What scores are divided by at the first and at the last step, with
            a straight line between; 0 takes the likeliest code.
        typical_mass: Locally typical sampling: only the most typical codes that hold this probability may be
            drawn; 1 is off.
        typical_min_tokens: How many codes are kept in any case.

    Returns: Tokens "batch rows columns".

    Raises: GlidewireError where scores are no numbers, naming the step; and where more steps renoise than there are.

    Source: Rampas et al. 2022 (Paella, 2211.07292), section 3 and algorithm 1; Meister et al. 2022 (2202.00666).
    """
    temperatures = (first_temperature, last_temperature)
    walked = token_sampling.cosine_steps_from(start.share, steps, temperatures, _renoised(renoise_steps))
    keep = tokens.typical(typical_mass, typical_min_tokens) if typical_mass < 1 else None
    return token_sampling.run(denoiser, walked, start, renoise, context, keep=keep, draw=tokens.GUMBEL)


@node(category="paella", title="Paella sampler (v3)")
def paella_linear_sampler(
    denoiser: Socket[Denoiser, "_ @codebook"],
    start: Socket[TokenStart, "batch rows columns @codebook"],
    steps: Steps = 12,
    renoise: Literal["start", "previous", "fresh"] = "start",
    renoise_steps: RenoiseSteps = -1,
    first_temperature: Temperature = 1.0,
    last_temperature: Temperature = 0.2,
    draw: Literal["multinomial", "argmax"] = "multinomial",
    typical_mass: Annotated[float, Slider(min=0.0, max=1.0, step=0.01)] = 1.0,
    context: Context = INJECTED,
) -> Socket[Tokens, "batch rows columns @codebook"]:
    """Sample as Paella's third generation: draw all tokens, then renoise a share t, falling evenly to 0.

    The defaults are those published with v3: no typical filter, temperatures falling from 1 to 0.2, and guidance
    of 8 from the denoiser. Its demonstration took 32 steps, 26 of which renoise, temperatures 1.2 to 0.2, and
    guidance in the first 20 steps (end 0.625).

    Args:
        denoiser: What scores the codes.
        start: Tokens "batch rows columns", partly noise, and the seeds of the noise to come.
        steps: Steps from the start's share of noise down to none.
        renoise: What a renoised token becomes: the start's noise, its token before the step, or new noise.
        renoise_steps: After how many of the steps noise is added; -1 is after all but the last.
        first_temperature, last_temperature: What scores are divided by at the first and at the last step, with
            a straight line between; 0 takes the likeliest code.
        draw: multinomial draws from the scores; argmax takes the likeliest code.
        typical_mass: Locally typical sampling as in the first generation; 1 is off, as published.

    Returns: Tokens "batch rows columns".

    Raises: GlidewireError where scores are no numbers, naming the step; and where more steps renoise than there are.

    Source: Rampas et al. 2023 (2211.07292, second version), section 3.
    """
    temperatures = (first_temperature, last_temperature)
    walked = renoising.linear_steps(
        steps, noisiest=start.share, temperature=temperatures, renoise_steps=_renoised(renoise_steps)
    )
    keep = tokens.typical(typical_mass) if typical_mass < 1 else None
    chosen = tokens.GUMBEL if draw == "multinomial" else tokens.LIKELIEST
    return token_sampling.run(denoiser, walked, start, renoise, context, keep=keep, draw=chosen)


def _renoised(steps: int) -> int | None:
    return None if steps < 0 else steps
