"""Checkpoints of unCLIP: recognised by their tensors, in both layouts, and mapped to our networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from ...errors import GlidewireError
from ..adm_inference import told_by_shapes
from ..header import Header
from ..hyper_parameters import carried
from ..key_map import KeyMap
from ..registry import PUBLISHED, Family, Identity
from . import layout as names
from .embedding import NoiseAugmentationSpec, StatisticsSpec
from .inference import Shapes, infer_spec
from .spec import BEHIND_TEXT, DECODERS, PRIORS, UPSAMPLERS, DecoderSpec, PriorSpec, UpsamplerSpec

# What a prior has and no other network, by layout.
_PRIOR_MARKS = {
    PUBLISHED: ("prd_emb", "clip_img_proj.weight", "transformer.resblocks.0.attn.c_qkv.weight"),
    "diffusers": ("prd_embedding", "proj_to_clip_embeddings.weight", "transformer_blocks.0.attn1.to_q.weight"),
}
# The file's names of what tells a prior's sizes, by layout.
_PRIOR_SIZES = {
    PUBLISHED: ("text_enc_proj.weight", "clip_img_proj.weight", "transformer.resblocks."),
    "diffusers": ("encoder_hidden_states_proj.weight", "proj_in.weight", "transformer_blocks."),
}
# What a decoder has and no other network, by system and layout.
_DECODER_MARKS = {
    ("karlo", PUBLISHED): ("cf_param", "clip_tok_proj.weight", "input_blocks.0.0.weight"),
    ("karlo", "diffusers"): ("text_proj.clip_extra_context_tokens_proj.weight", "decoder.conv_in.weight"),
    ("kandinsky-2.1", PUBLISHED): ("clip_to_seq.weight", "input_blocks.0.0.weight"),
    ("kandinsky-2.1", "diffusers"): ("encoder_hid_proj.text_proj.weight", "encoder_hid_proj.image_embeds.weight"),
    ("kandinsky-2.2", "diffusers"): ("encoder_hid_proj.norm.weight", "encoder_hid_proj.image_embeds.weight"),
}
# One half of Karlo's decoder in diffusers' layout.
_HALVES = {
    "text projection without its decoder": ("clip_extra_context_tokens_proj.weight",),
    "decoder without its text projection": ("conv_in.weight", "mid_block.attentions.0.add_k_proj.weight"),
}
_LAST_STEP = ("last step", "super_res_last")
# Tables that a noise schedule's owner writes beside alpha_bar, and that follow from it.
_DERIVED = (
    "betas", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod",
)  # fmt: skip


def _has(shapes: Shapes, marks: tuple[str, ...]) -> bool:
    return all(mark in shapes for mark in marks)


def recognise_prior(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of a diffusion prior; None if the tensors are not one's."""
    shapes = header.shapes
    layout = next((name for name, marks in _PRIOR_MARKS.items() if _has(shapes, marks)), None)
    if layout is None:
        return None
    text, picture, blocks = _PRIOR_SIZES[layout]
    try:
        told = {
            "width": shapes[picture][0],
            "layers": len({key.removeprefix(blocks).split(".")[0] for key in shapes if key.startswith(blocks)}),
            "text_context": shapes["positional_embedding"][1] - BEHIND_TEXT,
            "text_width": shapes[text][1],
            "embedding_width": shapes[picture][1],
            "carries_statistics": "clip_mean" in shapes,
        }
    except (KeyError, IndexError) as error:
        raise GlidewireError(f"{header.name} is not a whole diffusion prior: {error} is missing") from error
    stated = {**carried(PriorSpec, header.metadata, family="unclip", where=header.name), **stated}
    variant, spec, assumed = infer_spec(PRIORS, told, stated, config=header.config, where=header.name)
    dims = {
        "embedding_width": spec.embedding_width,
        "text_width": spec.text_width,
        "text_context": spec.text_context,
    }
    return Identity("unclip", "prior", variant, spec, dims, header, assumed, layout)


def recognise_decoder(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of a decoder; None if the tensors are not one's.

    Raises:
        GlidewireError: It is only one half of Karlo's.
    """
    shapes = header.shapes
    found = next((key for key, marks in _DECODER_MARKS.items() if _has(shapes, marks)), None)
    if found is None:
        _refuse_halves(header)
        return None
    system, layout = found
    prefix = names.KARLO_UNET if found == ("karlo", "diffusers") else ""
    unet = {key.removeprefix(prefix): shape for key, shape in shapes.items() if key.startswith(prefix)}
    told = {"system": system, **told_by_shapes(unet, where=header.name), **_told_condition(header, system, layout)}
    stated = {**carried(DecoderSpec, header.metadata, family="unclip", where=header.name), **stated}
    variant, spec, assumed = infer_spec(DECODERS, told, stated, config=header.config, where=header.name)
    dims = {
        "channels": spec.channels,
        "context_width": spec.context_width,
        "embedding_width": spec.embedding_width,
        "text_width": spec.text_width,
        "pooled_width": spec.pooled_width,
    }
    return Identity("unclip", "decoder", variant, spec, dims, header, assumed, layout)


def _told_condition(header: Header, system: str, layout: str) -> dict[str, int]:
    """Widths of what a decoder is given, from the layers that take it."""
    layers = names.condition_layers(system, layout)

    def shape(layer: str) -> tuple[int, ...]:
        return header.shapes[f"{layers[layer]}.weight"]

    try:
        out, embedding_width = shape("image_to_tokens")
        takes_text = "text_to_context" in layers
        context_width = shape("text_to_context" if takes_text else "token_norm")[0]
        return {
            "context_width": context_width,
            "image_tokens": out // context_width,
            "embedding_width": embedding_width,
            "text_width": shape("text_to_context")[1] if takes_text else 0,
            "pooled_width": shape("text_to_time")[1] if takes_text else 0,
        }
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise GlidewireError(f"{header.name} is not a whole {system} decoder: {error} is missing") from error


def _refuse_halves(header: Header) -> None:
    """Raise GlidewireError if a header holds one of the two folders that are Karlo's decoder together."""
    beside = any(key.startswith(("encoder_hid_proj.", "add_embedding.")) for key in header.shapes)
    for name, marks in _HALVES.items():
        if _has(header.shapes, marks) and not beside:
            raise GlidewireError(
                f"{header.name} is a Karlo {name}",
                expected="both",
                hint="Name the folder above, with `model_index.json` and the folders `decoder` and `text_proj`.",
            )


def recognise_upsampler(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of one of Karlo's super-resolution networks; None if the tensors are not one's."""
    shapes = header.shapes
    layout = PUBLISHED if "input_blocks.0.0.weight" in shapes else "diffusers"
    first, last, middle = {
        PUBLISHED: ("input_blocks.0.0.weight", "out.2.weight", "middle_block.1.in_layers.0.weight"),
        "diffusers": ("conv_in.weight", "conv_out.weight", "mid_block.resnets.1.norm1.weight"),
    }[layout]
    if not _has(shapes, (first, last, middle)) or shapes[first][1:2] != tuple(2 * out for out in shapes[last][:1]):
        return None
    if any(".attentions." in key or ".qkv." in key for key in shapes):
        return None
    told = told_by_shapes(shapes, where=header.name)
    del told["attention_levels"]
    stated = {**carried(UpsamplerSpec, header.metadata, family="unclip", where=header.name), **stated}
    variant, spec, assumed = infer_spec(UPSAMPLERS, told, stated, config=header.config, where=header.name)
    component = "upsampler_last_step" if header.part in _LAST_STEP else "upsampler"
    return Identity("unclip", component, variant, spec, {"channels": spec.out_channels}, header, assumed, layout)


def recognise_statistics(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of the statistics of embeddings; None if the tensors are not theirs."""
    layout = {frozenset(("0", "1")): PUBLISHED, frozenset(("mean", "std")): "diffusers"}.get(frozenset(header.shapes))
    if layout is None:
        return None
    width = max(size for shape in header.shapes.values() for size in (*shape, 0))
    row = (width,) if layout == PUBLISHED else (1, width)
    if not width or any(shape != row for shape in header.shapes.values()):
        return None
    dims = {"embedding_width": width}
    return Identity("unclip", "statistics", "embeddings", StatisticsSpec(width), dims, header, (), layout)


def recognise_augmentation(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of Stable unCLIP's noise augmentation, a part of its file; None if the tensors are not its."""
    levels = header.shapes.get("alphas_cumprod", ())
    if header.part != "noise augmentation" or len(levels) != 1:
        return None
    spec = NoiseAugmentationSpec(levels[0], max(header.shapes.get("data_mean", ()), default=0))
    kept = header.view({key: key for key in header.shapes if key not in _DERIVED})
    return Identity("unclip", "noise_augmentation", "stable-unclip", spec, {"levels": levels[0]}, kept)


_KEY_MAPS: Mapping[type, Callable[[Any, str], KeyMap]] = {
    PriorSpec: names.prior_key_map,
    DecoderSpec: names.decoder_key_map,
    UpsamplerSpec: names.upsampler_key_map,
    StatisticsSpec: names.statistics_key_map,
    NoiseAugmentationSpec: names.augmentation_key_map,
}
_RECOGNISED = (
    recognise_prior, recognise_decoder, recognise_upsampler, recognise_statistics, recognise_augmentation,
)  # fmt: skip


def recognise(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of any unCLIP component; None if the tensors are none's.

    Raises:
        GlidewireError: They are, but what is stated or configured contradicts them.
    """
    return next((found for one in _RECOGNISED if (found := one(header, stated)) is not None), None)


def build(spec: Any) -> nn.Module:
    """The network of a spec, on the current default device."""
    # Imported here, so that a file is identified without the libraries that compute.
    from .decoder import Decoder
    from .embedding import EmbeddingStatistics, NoiseAugmentation
    from .prior import Prior
    from .upsampler import Upsampler

    networks: Mapping[type, Callable[[Any], nn.Module]] = {
        PriorSpec: Prior,
        DecoderSpec: Decoder,
        UpsamplerSpec: Upsampler,
        StatisticsSpec: EmbeddingStatistics,
        NoiseAugmentationSpec: NoiseAugmentation,
    }
    return networks[type(spec)](spec)


def key_map(spec: Any, layout: str = PUBLISHED) -> KeyMap:
    """A layout's names and the network's."""
    return _KEY_MAPS[type(spec)](spec, layout)


FAMILY = Family("unclip", recognise, build, key_map, layouts={"diffusers": partial(key_map, layout="diffusers")})
