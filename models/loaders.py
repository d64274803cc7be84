"""Which node loads what: said where somebody brings a file to the wrong one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .registry import Identity

LOADERS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("asyrp", "denoiser"): ("Load pixel denoiser",),
    ("asyrp", "direction"): ("Load h-space direction",),
    ("autoregressive_prior", "prior"): ("Load autoregressive prior",),
    ("clip", "clip"): ("Load CLIP", "Load image encoder"),
    ("clip", "image_encoder"): ("Load image encoder",),
    ("clip_text", "text_encoder"): ("Load CLIP text encoder",),
    ("controlnet", "control"): ("Load control network",),
    ("dalle2_pytorch", "prior"): ("Load LAION prior",),
    ("first_stage", "first_stage"): ("Load autoencoder", "Load token autoencoder"),
    ("glide", "text_to_image"): ("Load GLIDE",),
    ("imagen", "denoiser"): ("Load Imagen stage (IF)",),
    ("imagen", "text_encoder"): ("Load T5 text encoder",),
    ("ip_adapter", "adapter"): ("Load IP-Adapter",),
    ("ldm", "class_embedder"): ("Load class embedder",),
    ("ldm", "denoiser"): ("Load latent denoiser",),
    ("ldm", "segmentation_encoder"): ("Load segmentation encoder",),
    ("ldm", "text_encoder"): ("Load BERT text encoder",),
    ("noised_clip", "image_encoder"): ("Load noised CLIP",),
    ("noised_clip", "text_encoder"): ("Load noised CLIP",),
    ("paella", "first_stage"): ("Load token autoencoder",),
    ("paella", "token_denoiser"): ("Load Paella",),
    ("unclip", "decoder"): ("Load unCLIP decoder",),
    ("unclip", "prior"): ("Load unCLIP prior",),
    ("unclip", "upsampler"): ("Load unCLIP upsampler",),
}
"""Titles of loader nodes by family and component; a test holds them against what the nodes take."""


def where_to_load(found: Iterable[Identity]) -> str:
    """A sentence that names the nodes that load what a file holds."""
    titles = [title for one in found for title in LOADERS.get((one.family, one.component), ())]
    wired = "`glidewire models inspect` says what it can be wired to."
    return f"Load it with {' or '.join(repr(title) for title in dict.fromkeys(titles))}; {wired}" if titles else wired
