"""A tiny checkpoint of every kind that the pack reads, in the layout that it was published in, with random weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from glidewire.models.asyrp.spec import DeltaBlockSpec, DeltaTensorSpec, PixelUnetSpec
from glidewire.models.autoregressive_prior.spec import AutoregressivePriorSpec
from glidewire.models.clip.spec import ClipImageSpec, ClipSpec
from glidewire.models.clip_text.spec import ClipTextSpec
from glidewire.models.controlnet.spec import ControlNetSpec
from glidewire.models.dalle1.spec import DvaeSpec
from glidewire.models.dalle2_pytorch.spec import DiffusionPriorSpec
from glidewire.models.first_stage.spec import FirstStageSpec
from glidewire.models.glide.spec import GlideSpec
from glidewire.models.hyper_parameters import SPEC
from glidewire.models.imagen.spec import ImagenSpec
from glidewire.models.imagen.t5 import T5Spec
from glidewire.models.ip_adapter.spec import IpAdapterSpec
from glidewire.models.key_map import published_state_dict
from glidewire.models.ldm.bert import BertSpec
from glidewire.models.ldm.condition import ClassEmbedderSpec, RescalerSpec
from glidewire.models.ldm.spec import UnetSpec
from glidewire.models.noised_clip.spec import NoisedImageSpec, NoisedTextSpec
from glidewire.models.paella.spec import PaellaV1Spec, PaellaV3Spec, VqganSpec
from glidewire.models.paella.spec import PriorSpec as PaellaPriorSpec
from glidewire.models.registry import families
from glidewire.models.unclip.embedding import StatisticsSpec
from glidewire.models.unclip.spec import DecoderSpec, PriorSpec, UpsamplerSpec
from torch import Tensor


@dataclass(frozen=True)
class Tiny:
    """One kind of checkpoint.

    Attributes:
        family: Whose it is.
        component: Which part.
        spec: Hyper-parameters, nearly all of them small.
        layout: Under which of the family's sets of names.
        prefix: What stands before its keys inside of a larger file.
    """

    family: str
    component: str
    spec: Any
    layout: str = "published"
    prefix: str = ""

    @property
    def metadata(self) -> dict[str, str]:
        """What a safetensors file of it carries: its hyper-parameters, as one of ours."""
        return {SPEC: json.dumps({"family": self.family, **self.stated})}

    @property
    def stated(self) -> dict[str, Any]:
        """The same, as a user states it beside a file that cannot carry it."""
        return dict(families()[self.family].carries(self.spec))


_GLIDE = {
    "image_size": 16, "model_channels": 16, "channel_mult": (1, 2), "num_res_blocks": 1, "num_head_channels": 16,
    "attention_resolutions": (8,), "text_context": 8, "text_width": 16, "text_layers": 1, "text_heads": 2,
    "vocabulary_size": 300, "norm_groups": 8,
}  # fmt: skip
_UNET = {"model_channels": 8, "channel_mult": (1, 2), "attention_levels": (0,), "norm_groups": 4}
_CONTEXT = {**_UNET, "context_width": 6, "num_heads": 2}
_ALONE = {**_UNET, "context_width": 0, "num_heads": 0, "num_head_channels": 4}
_DECODER = {
    "model_channels": 8, "channel_mult": (1, 2), "num_res_blocks": 1, "attention_levels": (1,), "num_head_channels": 8,
    "context_width": 6, "image_tokens": 2, "embedding_width": 5, "text_width": 5, "pooled_width": 5, "norm_groups": 4,
}  # fmt: skip
_KANDINSKY_2_2 = {
    **_DECODER, "system": "kandinsky-2.2", "in_channels": 4, "out_channels": 8, "text_width": 0, "pooled_width": 0,
}  # fmt: skip
_STAGE = {
    "model_channels": 32, "channel_mult": (1, 2), "attention_levels": (1,), "num_head_channels": 16, "text_width": 40,
    "context_width": 32, "time_width": 64, "pool_heads": 4, "norm_groups": 8,
}  # fmt: skip
_STAGE_II = {**_STAGE, "upsampler": True, "in_channels": 6, "self_attention": False, "residual_scale": 1 / 0.7071}
_FIRST_STAGE = {"channels": 16, "channel_mult": (1, 2), "num_res_blocks": 1, "norm_groups": 8}
_PIXELS = {"model_channels": 8, "channel_mult": (1, 2), "num_res_blocks": 1, "attention_levels": (1,), "norm_groups": 4}
_CONTROL = {**_CONTEXT, "num_res_blocks": 1}
_IMAGE, _TEXT = ClipImageSpec(8, 4, 64, 2, 1, 128, False, 12), ClipTextSpec(30, 7, 64, 2, 1, 128, False, 12, 0, 0)
_RESAMPLER = {"hidden_width": 16, "depth": 1, "inner_width": 64}
_PRIOR = PriorSpec(32, 1, 4, text_context=8, text_width=12, embedding_width=8, carries_statistics=True)
_DENOISER = "model.diffusion_model."

TINY: Mapping[str, Tiny] = {
    **{
        f"glide {variant}": Tiny("glide", "text_to_image", GlideSpec(variant=variant, **_GLIDE))
        for variant in ("base", "inpaint", "upsample", "upsample-inpaint")
    },
    "glide clip image": Tiny("noised_clip", "image_encoder", NoisedImageSpec(8, 4, 64, 2, 1, 128, 12, 10)),
    "glide clip text": Tiny("noised_clip", "text_encoder", NoisedTextSpec(7, 30, 64, 2, 1, 128, 12)),
    "karlo prior": Tiny("unclip", "prior", _PRIOR),
    "karlo prior, diffusers": Tiny("unclip", "prior", _PRIOR, "diffusers"),
    "karlo decoder": Tiny("unclip", "decoder", DecoderSpec(**_DECODER)),
    "karlo decoder, diffusers": Tiny("unclip", "decoder", DecoderSpec(**_DECODER), "diffusers"),
    "kandinsky 2.1 decoder": Tiny(
        "unclip", "decoder", DecoderSpec(**{**_DECODER, "system": "kandinsky-2.1", "in_channels": 4, "out_channels": 8})
    ),
    "kandinsky 2.2 decoder": Tiny("unclip", "decoder", DecoderSpec(**_KANDINSKY_2_2), "diffusers"),
    "karlo upsampler": Tiny(
        "unclip", "upsampler", UpsamplerSpec(model_channels=8, channel_mult=(1, 2), num_res_blocks=1, norm_groups=4)
    ),
    "karlo statistics": Tiny("unclip", "statistics", StatisticsSpec(8)),
    "laion prior": Tiny("dalle2_pytorch", "prior", DiffusionPriorSpec(16, 2, 2, 8, 32, 5, 10, 32, 8)),
    "autoregressive prior": Tiny(
        "autoregressive_prior", "prior", AutoregressivePriorSpec(8, 5, 12, 4, 3, 6, 32, 2, 2, 64)
    ),
    "paella v1": Tiny("paella", "token_denoiser", PaellaV1Spec(32, 16, 8, 8, (1, 2), (2, 1))),
    "paella v3": Tiny(
        "paella", "token_denoiser",
        PaellaV3Spec(32, 8, 8, 8, 12, (16, 32), (0, 4), (1, 2), ("CT", "CTA"), 8, 12, 2),
    ),
    "paella vqgan": Tiny("paella", "first_stage", VqganSpec(2, 3, 16, 4, 64, 0.5)),
    "paella vqgan, diffusers": Tiny("paella", "first_stage", VqganSpec(2, 3, 16, 4, 64, 0.5), "diffusers"),
    "paella prior": Tiny("paella", "prior", PaellaPriorSpec(12, 16, 8, 2)),
    "kl": Tiny("first_stage", "first_stage", FirstStageSpec(**_FIRST_STAGE)),
    "kl, diffusers": Tiny("first_stage", "first_stage", FirstStageSpec(**_FIRST_STAGE), "diffusers"),
    "vq": Tiny("first_stage", "first_stage", FirstStageSpec(kind="vq", codes=16, **_FIRST_STAGE)),
    "gumbel": Tiny("first_stage", "first_stage", FirstStageSpec(kind="gumbel", codes=16, **_FIRST_STAGE)),
    **{
        f"latent denoiser, {channels} channels": Tiny(
            "ldm", "denoiser", UnetSpec(in_channels=channels, **_CONTEXT), prefix=_DENOISER
        )
        for channels in (4, 5, 8, 9)
    },
    "latent denoiser, 7 channels": Tiny(
        "ldm", "denoiser", UnetSpec(in_channels=7, out_channels=3, **_ALONE), prefix=_DENOISER
    ),
    "latent denoiser, diffusers": Tiny("ldm", "denoiser", UnetSpec(**_CONTEXT), "diffusers"),
    "bert": Tiny("ldm", "text_encoder", BertSpec(50, 7, 8, 3, 2, 12)),
    "class embedder": Tiny("ldm", "class_embedder", ClassEmbedderSpec(5, 8), prefix="cond_stage_model."),
    "segmentation": Tiny("ldm", "segmentation_encoder", RescalerSpec(8, 3), prefix="cond_stage_model."),
    "controlnet": Tiny("controlnet", "control", ControlNetSpec(**_CONTROL), prefix="control_model."),
    "controlnet, diffusers": Tiny("controlnet", "control", ControlNetSpec(**_CONTROL), "diffusers"),
    "prompt diffusion": Tiny(
        "controlnet", "control", ControlNetSpec(hint_channels=6, query_channels=3, **_CONTROL), prefix="control_model."
    ),
    "if stage I": Tiny("imagen", "denoiser", ImagenSpec(num_res_blocks=(2, 1), **_STAGE)),
    "if stage I, diffusers": Tiny("imagen", "denoiser", ImagenSpec(num_res_blocks=(2, 1), **_STAGE), "diffusers"),
    "if stage II": Tiny("imagen", "denoiser", ImagenSpec(num_res_blocks=(1, 2), **_STAGE_II)),
    "if stage II, diffusers": Tiny("imagen", "denoiser", ImagenSpec(num_res_blocks=(1, 2), **_STAGE_II), "diffusers"),
    "t5": Tiny("imagen", "text_encoder", T5Spec(40, 12, 2, 2, 4, 20, True, 8)),
    "ip-adapter": Tiny("ip_adapter", "adapter", IpAdapterSpec("base", 2, 5, 0, 6, (8, 8, 8, 16))),
    "ip-adapter plus": Tiny("ip_adapter", "adapter", IpAdapterSpec("plus", 2, 5, 0, 16, (8, 8), **_RESAMPLER)),
    "ip-adapter full-face": Tiny("ip_adapter", "adapter", IpAdapterSpec("full", 0, 5, 0, 6, (8, 8))),
    "ip-adapter faceid": Tiny("ip_adapter", "adapter", IpAdapterSpec("face", 2, 0, 7, 6, (8, 8), lora_rank=2)),
    "ip-adapter faceid plus v2": Tiny(
        "ip_adapter", "adapter",
        IpAdapterSpec("face_plus", 2, 5, 7, 16, (8, 8), **_RESAMPLER, lora_rank=2, shortcut=True),
    ),
    "clip": Tiny("clip", "clip", ClipSpec(_IMAGE, _TEXT)),
    "clip, transformers": Tiny("clip", "clip", ClipSpec(_IMAGE, _TEXT), "transformers"),
    "clip image": Tiny("clip", "image_encoder", _IMAGE),
    "clip text": Tiny("clip_text", "text_encoder", _TEXT),
    "clip text, transformers": Tiny("clip_text", "text_encoder", _TEXT, "transformers"),
    "ddpm": Tiny("asyrp", "denoiser", PixelUnetSpec(**_PIXELS)),
    "guided": Tiny("asyrp", "denoiser", PixelUnetSpec("guided", out_channels=6, num_head_channels=4, **_PIXELS)),
    "directions": Tiny("asyrp", "direction", DeltaBlockSpec("guided", 2, 32, 48, norm_groups=8)),
    "directions for each step": Tiny("asyrp", "direction", DeltaTensorSpec((0, 512, 999), (6, 2, 2))),
    "dall-e encoder": Tiny("dalle1", "encoder", DvaeSpec("encoder", 3, 16, 8, (8, 16), 1)),
    "dall-e decoder": Tiny("dalle1", "decoder", DvaeSpec("decoder", 6, 16, 8, (16, 8), 1)),
}  # fmt: skip


@cache
def _tensors(name: str) -> dict[str, Tensor]:
    tiny = TINY[name]
    room = families()[tiny.family]
    network = room.build(tiny.spec)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    made = published_state_dict(network, room.layouts.get(tiny.layout, room.key_map)(tiny.spec))
    return {tiny.prefix + key: value.detach().contiguous().clone() for key, value in made.items()}


def tensors_of(name: str) -> dict[str, Tensor]:
    """The tensors of one kind by their published keys; the mapping is the caller's, the tensors are everybody's."""
    return dict(_tensors(name))
