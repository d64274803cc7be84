"""How unCLIP's nodes meet its networks: conditions of one CLIP, runs of the prior with progress."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..diffusion import samplers, solvers
from ..diffusion.denoiser import Denoiser, Leaf
from ..diffusion.noise import SeededNoise
from ..diffusion.samplers import StepRecord
from ..diffusion.schedules import NoiseSchedule
from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..models.unclip.model import DecoderModel, PriorModel
from .clip_sockets import ClipText
from .sampling import space_of
from .token_sockets import Embedding


def require_clip(what: str, given: str, expected: str) -> None:
    """Raise a GlidewireError where a condition is in another CLIP's space than a network's."""
    if given != expected:
        raise GlidewireError(
            f"{what} is another CLIP's than the network was trained with",
            expected=expected,
            got=given,
            hint="Encode with that CLIP, or name it in the loader if the network was trained with this one.",
        )


def require_embeddings(denoiser: Denoiser, width: int, clip: str) -> None:
    """Raise a GlidewireError for a denoiser that is not of a prior's embeddings."""
    found, space = space_of(denoiser)
    if (found, space) != (width, clip):
        raise GlidewireError(
            "the denoiser is not of this prior's embeddings",
            expected=f"{clip}, width {width}",
            got=f"{space}, width {found}",
        )


def text_condition(text: ClipText, clip: str, network: nn.Module) -> Mapping[str, Tensor]:
    """What a prior takes of a text, on the network's device."""
    require_clip("the text", text.clip, clip)
    device = next(network.parameters()).device
    found = {"text_embedding": text.embedding, "text_states": text.tensor, "text_mask": text.mask}
    return {name: value.to(device) for name, value in found.items()}


@torch.no_grad()
def decoder_leaf(model: DecoderModel, image: Embedding | None, text: ClipText | None) -> Leaf:
    """A decoder under an embedding and a caption."""
    network, spec = model.network, model.network.spec
    if spec.takes_known_pixels:
        raise GlidewireError(
            "this decoder was trained for inpainting", expected="a decoder of whole pictures", got=spec.system
        )
    if (text is not None) != spec.takes_text:
        raise GlidewireError(
            "the condition does not fit the decoder",
            expected="a text (the empty one, if there is none to say)" if spec.takes_text else "no text",
            got="no text" if text is None else "a text",
        )
    given: Mapping[str, Tensor] = {} if text is None else text_condition(text, model.clip, network)
    vectors = None
    if image is not None:
        require_clip("the embedding", image.clip, model.clip)
        vectors = image.tensor.to(next(network.parameters()).device)
        # One caption stands for a whole batch of embeddings.
        given = {name: value.expand(len(vectors), *value.shape[1:]) for name, value in given.items()}
    return Leaf(network, network.encode(vectors, **given))


@torch.no_grad()
def run(
    model: PriorModel,
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    counts: tuple[int, int],
    seed: int,
    context: Context,
) -> Embedding:
    """Walk a schedule over embeddings; counts are how many to make, and the number of the first."""
    require_embeddings(denoiser, model.network.channels, model.clip)
    context.check_cancelled()

    def report(record: StepRecord) -> None:
        context.progress(record.index + 1, record.total)

    noise = SeededNoise((seed,) * counts[0], counts[1])
    x_T = noise.draw((model.network.channels,), purpose="x_T").to(context.policy.torch_device)
    solver = solvers.ancestral(clip=model.network.spec.x_0_bound)
    x_0 = samplers.sample(denoiser, schedule, x_T, solver, noise, on_step=report)
    return Embedding(model.picture_embedding(x_0).float().cpu(), model.clip)
