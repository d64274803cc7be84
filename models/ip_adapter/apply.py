"""Image prompts on guidance expressions: every leaf that attends to a context is seen through an adapter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ...diffusion.denoiser import Denoiser, Leaf
from ...diffusion.rewriting import leaves, with_leaves
from ...errors import GlidewireError
from ..additions import attention_kinds, attention_places
from ..view import free_name
from .model import AdapterModel, Scaling
from .presets import layer_scales, require_scale, written_scales

if TYPE_CHECKING:
    from .view import ImagePrompted


def prompted(
    denoiser: Denoiser,
    adapter: AdapterModel,
    tokens: Tensor,
    scale: float,
    preset: str = "linear",
    by_layer: str = "",
    mask: Tensor | None = None,
    scaling: Scaling = "V only",
) -> Denoiser:
    """A guidance expression all of whose latent leaves have an image prompt.

    Args:
        denoiser: A latent denoiser under a text, or guidance of some; it stays as it is.
        adapter: The adapter that made the tokens.
        tokens: "1 or batch, tokens, width".
        scale: Weight of the image prompt; 0 gives back the expression itself.
        preset: Which layers; see `presets.PRESETS`.
        by_layer: Weights by a layer's number instead, as `presets.written_scales` reads them.
        mask: How much the tokens count in each place, "1 or batch, 1, height, width".
        scaling: What the scale multiplies; see `model.Scaling`.

    Raises:
        GlidewireError: The denoiser is of another kind than the adapter's, the scale is out of range, or as
            `ImagePrompted` and the presets.
    """
    require_scale("the scale of an image prompt", scale)
    if scale == 0 and not adapter.spec.lora_rank:
        return denoiser
    views: dict[int, ImagePrompted] = {}

    def changed(leaf: Leaf) -> Leaf:
        network: Any = leaf.network
        if id(network) not in views:
            views[id(network)] = _view(network, adapter, scale, preset, by_layer, scaling)
        view = views[id(network)]
        added = {f"{view.name}.tokens": tokens}
        if mask is not None:
            added[f"{view.name}.mask"] = mask
        return Leaf(view, {**leaf.conditioning, **added})

    for leaf in leaves(denoiser):
        if not hasattr(leaf.network, "unet"):
            raise GlidewireError(
                "an image prompt needs a latent denoiser",
                expected="a text-conditional latent denoiser, such as Stable Diffusion",
                got=type(leaf.network).__name__,
            )
    return with_leaves(denoiser, changed)


def _view(
    network: Any, adapter: AdapterModel, scale: float, preset: str, by_layer: str, scaling: Scaling
) -> ImagePrompted:
    from .view import ImagePrompted

    scales: Mapping[int, float]
    if by_layer.strip():
        scales = {number: scale * weight for number, weight in written_scales(by_layer).items()}
    else:
        kinds = attention_kinds(network.unet)
        places = {number: place for number, place in attention_places(network.unet).items() if kinds[number] == "cross"}
        scales = layer_scales(places, preset, scale)
    name = free_name(network, "image_prompt")
    return ImagePrompted(network, adapter.network, scale=scales, low_rank_scale=scale, scaling=scaling, name=name)
