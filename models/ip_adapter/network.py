"""The adapter: what makes image tokens, and what the attention layers of a denoiser add for them."""

from __future__ import annotations

import torch
from diffusers.models.embeddings import (
    ImageProjection,
    IPAdapterFaceIDImageProjection,
    IPAdapterFullImageProjection,
    IPAdapterPlusImageProjection,
    IPAdapterPlusImageProjectionBlock,
)
from torch import Tensor, nn

from ...errors import GlidewireError
from ..digest import network_digest
from .spec import HEAD_WIDTH, PARTS, IpAdapterSpec

# Hidden width of a face's projection over its embedding's.
_FACE_FACTOR = 2
_FEED_FORWARD_FACTOR = 4
# How far a face's embedding may be from unit length.
_LENGTH_MARGIN = 0.05


class FaceResampler(nn.Module):
    """Tokens of a face that attend to a picture encoder's states (IP-Adapter-FaceID-Plus)."""

    def __init__(self, spec: IpAdapterSpec) -> None:
        super().__init__()
        self.shortcut = spec.shortcut
        self.face = IPAdapterFaceIDImageProjection(spec.face_width, spec.context_width, _FACE_FACTOR, spec.tokens)
        self.proj_in = nn.Linear(spec.image_width, spec.hidden_width)
        self.layers = nn.ModuleList(
            IPAdapterPlusImageProjectionBlock(
                spec.hidden_width, HEAD_WIDTH, spec.inner_width // HEAD_WIDTH, _FEED_FORWARD_FACTOR
            )
            for _ in range(spec.depth)
        )
        self.proj_out = nn.Linear(spec.hidden_width, spec.context_width)
        self.norm_out = nn.LayerNorm(spec.context_width)

    def forward(self, face: Tensor, image: Tensor, structure: float) -> Tensor:
        """Tokens "batch tokens context_width"; with the shortcut, the face's plus `structure` times the others."""
        tokens = self.face(face)
        states, resampled = self.proj_in(image), tokens
        for layer in self.layers:
            resampled = layer(states, resampled, resampled)
        resampled = self.norm_out(self.proj_out(resampled))
        return tokens + structure * resampled if self.shortcut else resampled


class LowRank(nn.Module):
    """up(down(x)), which is added to a projection (Hu et al. 2021)."""

    def __init__(self, channels_in: int, channels_out: int, rank: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(channels_in, rank, bias=False), nn.Linear(rank, channels_out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Channels in to channels out, the last dimension."""
        return self.up(self.down(x))


class AdaptedLayer(nn.Module):
    """What one attention layer of the denoiser adds: keys and values of image tokens, and low-rank terms."""

    def __init__(self, spec: IpAdapterSpec, channels: int, *, attends_to_context: bool) -> None:
        super().__init__()
        width = spec.context_width if attends_to_context else channels
        if attends_to_context:
            self.to_k_ip, self.to_v_ip = (nn.Linear(spec.context_width, channels, bias=False) for _ in range(2))
        for part in PARTS if spec.lora_rank else ():
            sides = (width if part in ("k", "v") else channels, channels)
            self.add_module(f"to_{part}_lora", LowRank(*sides, spec.lora_rank))

    def project(self, tokens: Tensor) -> Tensor:
        """Keys and values of image tokens: "batch tokens 2*channels"."""
        return torch.cat([self.to_k_ip(tokens), self.to_v_ip(tokens)], dim=-1)

    def low_rank(self, parts: tuple[str, ...], states: Tensor) -> Tensor:
        """Low-rank terms of some projections of the same states, one after another in the channels."""
        return torch.cat([self.get_submodule(f"to_{part}_lora")(states) for part in parts], dim=-1)


class IpAdapter(nn.Module):
    """An image-prompt adapter; `view.ImagePrompted` applies it to a denoiser (Ye et al. 2023).

    Args:
        spec: Hyper-parameters.
    """

    def __init__(self, spec: IpAdapterSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader
        self.projection = build_projection(spec)
        # Attention layers are numbered down, up, middle, and take turns: to the picture itself, to the context.
        self.layers = nn.ModuleDict()
        for index, channels in enumerate(spec.channels):
            if spec.lora_rank:
                self.layers[str(2 * index)] = AdaptedLayer(spec, channels, attends_to_context=False)
            self.layers[str(2 * index + 1)] = AdaptedLayer(spec, channels, attends_to_context=True)

    def forward(self, *, image: Tensor | None = None, face: Tensor | None = None, structure: float = 1.0) -> Tensor:
        """Image tokens of a picture, of a face, or of both.

        For guidance, the unconditional tokens are made of zeros in place of the embeddings of a picture ("base")
        and of a face, and of the encoder's states of an all-zero normalised picture elsewhere.

        Args:
            image: The picture encoder's embedding "batch image_width" ("base"), or its last but one hidden states
                "batch positions image_width".
            face: A face's embedding "batch face_width", of unit length.
            structure: Weight of what the resampler adds to the face's tokens; only with `spec.shortcut`.

        Returns:
            Tokens "batch tokens context_width".

        Raises:
            GlidewireError: A picture or a face is missing, not taken, or of another shape, or a face's embedding
                is not of unit length.
        """
        spec = self.spec
        dtype = next(self.parameters()).dtype
        states = "batch image_width" if spec.kind == "base" else "batch positions image_width"
        given = [
            _checked("picture", image, states if spec.image_width else "", spec.image_width),
            _checked("face", face, "batch face_width" if spec.of_faces else "", spec.face_width),
        ]
        picture, face = (None if value is None else value.to(dtype) for value in given)
        if face is not None:
            _check_length(face)
        if spec.kind == "face_plus":
            return self.projection(face, picture, structure)
        return self.projection(picture if face is None else face)

    def digest(self) -> str:
        """Content identity of the weights and the precision they are held in, for cache keys."""
        return network_digest(self, self.spec, self.content_digest)


def build_projection(spec: IpAdapterSpec) -> nn.Module:
    """What makes image tokens: diffusers' projections, or our resampler of faces."""
    width = spec.context_width
    if spec.kind == "plus":
        heads = spec.inner_width // HEAD_WIDTH
        return IPAdapterPlusImageProjection(
            spec.image_width, width, spec.hidden_width, spec.depth, HEAD_WIDTH, heads, spec.tokens, _FEED_FORWARD_FACTOR
        )
    if spec.kind == "full":
        return IPAdapterFullImageProjection(spec.image_width, width)
    if spec.kind == "face":
        return IPAdapterFaceIDImageProjection(spec.face_width, width, _FACE_FACTOR, spec.tokens)
    if spec.kind == "face_plus":
        return FaceResampler(spec)
    return ImageProjection(spec.image_width, width, spec.tokens)


def _checked(what: str, value: Tensor | None, shape: str, width: int) -> Tensor | None:
    """The embedding, if the shape (empty where none is taken) fits."""
    if value is None and not shape:
        return None
    if value is None or not shape or value.ndim != len(shape.split()) or value.shape[-1] != width:
        raise GlidewireError(
            f"the adapter's {what} embedding does not fit",
            expected=f"{shape}, which is {width}" if shape else "none: this adapter takes no such embedding",
            got="nothing" if value is None else tuple(value.shape),
        )
    return value


def _check_length(face: Tensor) -> None:
    lengths = face.float().norm(dim=-1)
    wrong = lengths[((lengths - 1).abs() > _LENGTH_MARGIN) & (lengths > 0)]
    if wrong.numel():
        raise GlidewireError(
            "a face's embedding is not of unit length",
            expected="length 1, or 0 for no face",
            got=f"{float(wrong[0]):.4g}",
            hint="Divide it by its length.",
        )
