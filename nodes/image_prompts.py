"""IP-Adapter: pictures as prompts, with weights by layer, regions, negatives, and prompts kept in files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from ..diffusion.denoiser import Denoiser
from ..diffusion.rewriting import within
from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket
from ..graph_runtime.widgets import Choice, File, Slider, Text
from ..models.clip import image_encoder
from ..models.clip.image_encoder import ImageEncoder
from ..models.ip_adapter import model as adapters
from ..models.ip_adapter.apply import prompted
from ..models.ip_adapter.model import AdapterModel, Combine, Scaling
from ..models.ip_adapter.presets import PRESETS, written_scales
from . import image_prompt_files, inpainting, masking
from .adapter_sockets import ImagePrompt
from .autoencoders import SUFFIXES
from .guidance import Fraction, interval
from .sockets import Image, Mask

Checkpoint = Annotated[str, File(folder="models", suffixes=SUFFIXES)]
Weight = Annotated[float, Slider(min=-2.0, max=2.0, step=0.05)]


def _adapter_dims(checkpoint: Path, **_: object) -> Mapping[str, int | str]:
    identity = adapters.identify_adapter(checkpoint)
    spec = identity.spec
    seen = {"embedding" if spec.kind == "base" else "states": spec.image_width} if spec.image_width else {}
    return {
        "width": spec.context_width,
        "context_width": str(spec.context_width),
        "adapter": identity.header.path.name,
        **seen,
    }


def _encoder_dims(checkpoint: Path, activation: str = "stored", **_: object) -> Mapping[str, int | str]:
    spec = image_encoder.image_spec(image_encoder.identify_image_encoder(checkpoint, _stated(activation)))
    return {"embedding": spec.projection, "states": spec.width}


def _stated(activation: str) -> str:
    return "" if activation == "stored" else activation


@node(category="image prompts", title="Load IP-Adapter", static_dims=_adapter_dims)
def load_ip_adapter(
    checkpoint: Checkpoint,
    faceid_plus_version: Literal["stored", "1", "2"] = "stored",
    context: Context = INJECTED,
) -> Socket[AdapterModel, "embedding states width @context_width @adapter"]:
    """Load an image-prompt adapter, strictly: plain, plus, full, of faces (FaceID, portrait, plus 1 and 2).

    Args:
        checkpoint: A published file, .bin or .safetensors.
        faceid_plus_version: FaceID-plus was published in two versions whose tensors are alike; others ignore it.

    Returns: An adapter of tokens of "width" for encoders with embeddings of "embedding" or states of "states".

    Raises: GlidewireError with the whole list of keys that do not fit, or for a file that is no adapter.

    Source: Ye et al. 2023 (IP-Adapter, 2308.06721), section 3.2.
    """
    path = context.folders.find("models", checkpoint)
    device, dtype = context.policy.torch_device, context.policy.torch_dtype
    shortcut = None if faceid_plus_version == "stored" else faceid_plus_version == "2"
    return adapters.load_adapter(path, shortcut=shortcut, device=device, dtype=dtype)


@node(category="image prompts", static_dims=_encoder_dims)
def load_image_encoder(
    checkpoint: Checkpoint,
    activation: Literal["stored", "quick_gelu", "gelu"] = "stored",
    context: Context = INJECTED,
) -> Socket[ImageEncoder, "embedding states"]:
    """Load CLIP's image tower, strictly: from a file of its own, or out of a whole CLIP.

    Args:
        checkpoint: A file in OpenAI's, open_clip's or transformers' layout.
        activation: Of the perceptrons, see load CLIP.

    Returns: An encoder with embeddings of "embedding" and states of "states".

    Raises: GlidewireError with the whole list of keys that do not fit.

    Source: Radford et al. 2021 (CLIP, 2103.00020), section 2.4.
    """
    path = context.folders.find("models", checkpoint)
    device, dtype = context.policy.torch_device, context.policy.torch_dtype
    return image_encoder.load_image_encoder(path, activation=_stated(activation), device=device, dtype=dtype)


class EncodedPictures(NamedTuple):
    """Pictures as a prompt, and the prompt that stands for no picture."""

    prompt: Socket[ImagePrompt, "_ tokens width @adapter"]
    unconditional: Socket[ImagePrompt, "1 tokens width @adapter"]


@node(category="image prompts")
def encode_image_prompt(
    adapter: Socket[AdapterModel, "embedding states width @context_width @adapter"],
    encoder: Socket[ImageEncoder, "embedding states"],
    image: Socket[Image, "_ _ _ 3"],
    combine: Combine = "each",
) -> EncodedPictures:
    """Turn pictures into an image prompt, by their middle squares.

    A negative picture is one that is encoded in the same way and applied where unconditional would be.

    Args:
        adapter: The adapter that the prompt is for.
        encoder: The image encoder that the adapter was trained with.
        image: "batch height width 3" in [0, 1], of any size.
        combine: Of several: each makes an item of a batch; concatenate shows all of them to every item; average and
            average directions (people call it norm average) make one of all; subtract takes the mean of the others
            from the first; add is the sum of all.

    Returns: prompt, "batch tokens width"; unconditional, "1 tokens width", what the adapter was trained to see as no
        picture.

    Raises: GlidewireError for another encoder than the adapter's, naming both files and widths, or for an adapter
        of faces.

    Source: Ye et al. 2023 (IP-Adapter), section 3.2.
    """
    tokens, none = adapter.tokens(encoder, inpainting.to_pixels(image), combine=combine)
    return EncodedPictures(ImagePrompt(tokens, adapter.file), ImagePrompt(none, adapter.file))


@node(category="image prompts")
def encode_face_prompt(
    adapter: Socket[AdapterModel, "embedding states width @context_width @adapter"],
    face: Annotated[str, File(folder="input", suffixes=(".safetensors",))],
    encoder: Socket[ImageEncoder, "embedding states"] | None = None,
    image: Socket[Image, "_ _ _ 3"] | None = None,
    combine: Combine = "average directions",
    structure: Annotated[float, Slider(min=0.0, max=2.0, step=0.05)] = 1.0,
    context: Context = INJECTED,
) -> EncodedPictures:
    """Turn a face's embedding into an image prompt, for adapters of faces.

    Args:
        adapter: FaceID, its portrait form, or FaceID-plus.
        face: A file with a tensor of embeddings "faces width" (or one "width") of unit length, as a face recogniser
            gives them (ArcFace: 512 wide).
        encoder: With FaceID-plus: the image encoder that it was trained with.
        image: With FaceID-plus: the face cut out, "batch height width 3" in [0, 1], one for each embedding.
        combine: Of several faces, see encode image prompt.
        structure: With FaceID-plus version 2: how much of the picture is kept beside the face's identity.

    Returns: prompt, "batch tokens width"; unconditional, "1 tokens width".

    Raises: GlidewireError for another width or length, or where FaceID-plus has no picture.

    Source: Ye et al. 2023 (IP-Adapter) and its released FaceID models.
    """
    vectors = image_prompt_files.read_faces(context.folders.find("input", face))
    pictures = None if image is None else inpainting.to_pixels(image)
    tokens, none = adapter.tokens(encoder, pictures, vectors, combine, structure)
    return EncodedPictures(ImagePrompt(tokens, adapter.file), ImagePrompt(none, adapter.file))


def _weights_are_read(by_layer: str) -> None:
    written_scales(by_layer)


@node(category="image prompts", title="Apply IP-Adapter", version=2, validate=(interval, _weights_are_read))
def apply_ip_adapter(
    denoiser: Socket[Denoiser, "channels @space @sides @context_width"],
    adapter: Socket[AdapterModel, "_ _ width @context_width @adapter"],
    prompt: Socket[ImagePrompt, "_ _ width @adapter"],
    scale: Weight = 1.0,
    layers: Annotated[str, Choice(options=PRESETS)] = "linear",
    by_layer: Annotated[str, Text()] = "",
    start: Fraction = 0.0,
    end: Fraction = 1.0,
    region: Socket[Mask, "_ _ _"] | None = None,
    scaling: Scaling = "V only",
) -> Socket[Denoiser, "channels @space"]:
    """Let a denoiser attend to pictures beside its text: attention(q, text) + scale · attention(q, image tokens).

    Apply it to the conditional with the prompt and to the unconditional with the unconditional prompt (or a negative
    picture), then guide: both share one forward. Apply it again for another adapter or another region.

    Args:
        denoiser: A text-conditional latent denoiser on "channels @space", or guidance of some.
        adapter: The adapter that the prompt was encoded for.
        prompt: "1 or batch, tokens, width".
        scale: Weight of the picture against the text; 0 changes nothing, bit for bit.
        layers: Which layers look at the picture, as people know them: linear is all alike; ease in and out change
            over the layers; input, middle and output are parts; style or composition alone (as IPAdapter plus has
            them, or as InstantStyle does). For a precise style apply it to the conditional, and composition with the
            same picture to the unconditional.
        by_layer: Instead of that, weights by the layers' published numbers, such as "1: 0.5, 15: 1".
        start, end: The part of the sampling steps, from 0 to 1, in which the picture is seen.
        region: Where it is seen, "batch height width" from 0 to 1: of x_t's size, or a whole multiple of that.
        scaling: What the scale multiplies: what is found (V only, as published), or keys and values, or keys and the
            mean of the values; a C penalty makes it smaller in narrow layers, by their channels over 1280.

    Returns: The denoiser with the image prompt, on the same "channels @space".

    Raises: GlidewireError for a prompt of another adapter, an adapter of another denoiser, a scale of more than 2
        either way, or (when run) a region of another size.

    Source: Ye et al. 2023 (IP-Adapter), eq. 5.
    """
    if prompt.adapter != adapter.file:
        raise GlidewireError(
            "the image prompt was encoded for another adapter",
            expected=adapter.file,
            got=prompt.adapter,
            hint="Encode the picture with this adapter.",
        )
    mask = None if region is None else masking.region(region, "the image prompt's")
    inside = prompted(denoiser, adapter, prompt.tensor, scale, layers, by_layer, mask, scaling)
    return within(inside, denoiser, start, end)


@node(category="image prompts")
def join_image_prompts(
    first: Socket[ImagePrompt, "_ _ width @adapter"],
    second: Socket[ImagePrompt, "_ _ width @adapter"],
    third: Socket[ImagePrompt, "_ _ width @adapter"] | None = None,
    how: Literal["concatenate", "average"] = "concatenate",
    weight: Annotated[float, Slider(min=0.0, max=1.0, step=0.01)] = 0.5,
) -> Socket[ImagePrompt, "_ _ width @adapter"]:
    """Show a denoiser several image prompts at once: all of their tokens, or a mixture of them.

    Args:
        first, second: Prompts of one adapter, "batch tokens width".
        third: One more, "batch tokens width", if wired.
        how: concatenate puts tokens beside each other; average mixes prompts of equally many tokens.
        weight: Of the first in an average; the others share the rest evenly.

    Returns: One prompt, "batch tokens width".

    Raises: GlidewireError for prompts of different adapters, batches or numbers of tokens.

    Source: none (utility).
    """
    prompts = [prompt for prompt in (first, second, third) if prompt is not None]
    return image_prompt_files.joined(prompts, None if how == "concatenate" else weight)


@node(category="image prompts", effect=True)
def save_image_prompt(
    prompt: Socket[ImagePrompt, "_ tokens width @adapter"],
    prefix: Annotated[str, Text(cosmetic=True)] = "image-prompt",
    context: Context = INJECTED,
) -> None:
    """Save an image prompt, to be used without its picture and its image encoder.

    Args:
        prompt: "batch tokens width".
        prefix: The file is called `<prefix>_00001.safetensors`, with the next free number, in the output folder.

    Raises: GlidewireError where the prefix leads out of the output folder or the file cannot be written.

    Source: none (utility).
    """
    context.show(text=[image_prompt_files.write(prompt, prefix, context)])


@node(category="image prompts", static_dims=image_prompt_files.dims)
def load_image_prompt(
    file: Annotated[str, File(folder="input", suffixes=(".safetensors",))],
    context: Context = INJECTED,
) -> Socket[ImagePrompt, "batch tokens width @adapter"]:
    """Load an image prompt that was saved.

    Args:
        file: A file of save image prompt, in the input folder.

    Returns: The prompt, "batch tokens width".

    Raises: GlidewireError for a file that holds none.

    Source: none (utility).
    """
    return image_prompt_files.read(context.folders.find("input", file))
