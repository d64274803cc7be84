"""Noised CLIP's towers on open_clip's transformers, and the gradient of their similarity that guides a sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from open_clip.transformer import TextTransformer, VisionTransformer
from torch import Tensor, nn

from ...diffusion.identity import call_text, tensor_digest
from ...diffusion.prediction import Prediction, Step
from ...errors import GlidewireError
from ..digest import network_digest
from .spec import LOGIT_SCALE, NoisedImageSpec, NoisedTextSpec

# Mean and deviation of each channel in 0 ... 255, as published (of CLIP's training pictures).
MEAN = (122.77093945, 116.74601272, 104.09373519)
DEVIATION = (68.50053285, 66.63215831, 70.32316309)


class NoisedImageEncoder(nn.Module):
    """A picture at any timestep to its embedding: a ViT whose class token is row t of a table.

    GELU is the exact one, and keys have no bias (Nichol et al. 2021, sec. 2.3; the released model).
    """

    def __init__(self, spec: NoisedImageSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader
        self.time_embedding = nn.Embedding(spec.timesteps, spec.width)
        self.tower = VisionTransformer(
            image_size=spec.image_size,
            patch_size=spec.patch_size,
            width=spec.width,
            layers=spec.layers,
            heads=spec.heads,
            mlp_ratio=(spec.mlp_width + 0.5) / spec.width,  # truncated there
            output_dim=spec.embedding_width,
        )
        del self.tower.class_embedding

    def features(self, x_t: Tensor, timesteps: Tensor) -> Tensor:
        """What stands in the class token after the last block, before norm and projection.

        Args:
            x_t: Noised pictures "batch 3 height width" on the scale of [-1, 1], of the tower's own size.
            timesteps: Original ids "batch", 0 ... timesteps - 1.

        Returns:
            "batch width".

        Raises:
            GlidewireError: Another size, or an id that the table has no row for.
        """
        side = self.spec.image_size
        if x_t.ndim != 4 or tuple(x_t.shape[1:]) != (3, side, side):
            raise GlidewireError(
                "noised CLIP: the picture does not fit the image tower",
                expected=f"batch x 3 x {side} x {side}",
                got=" x ".join(map(str, x_t.shape)),
            )
        low, high = (int(timesteps.min()), int(timesteps.max())) if timesteps.numel() else (0, 0)
        if not 0 <= low <= high < self.spec.timesteps:
            raise GlidewireError(
                "noised CLIP: there is no such timestep",
                expected=f"0 to {self.spec.timesteps - 1}",
                got=f"{low} to {high}",
            )
        weight = self.tower.conv1.weight
        mean, deviation = (
            torch.tensor(values, dtype=x_t.dtype, device=x_t.device)[:, None, None] for values in (MEAN, DEVIATION)
        )
        pixels = ((x_t + 1) * 127.5 - mean) / deviation
        patches = self.tower.conv1(pixels.to(weight.dtype)).flatten(2).transpose(1, 2)
        h = torch.cat([self.time_embedding(timesteps)[:, None], patches], dim=1) + self.tower.positional_embedding
        return self.tower.transformer(self.tower.ln_pre(h))[:, 0]

    def forward(self, x_t: Tensor, timesteps: Tensor) -> Tensor:
        """Embeddings "batch embedding_width", not normalised; arguments and errors as `features`."""
        return self.tower.ln_post(self.features(x_t, timesteps)) @ self.tower.proj

    def digest(self) -> str:
        """Content identity of the weights and their precision."""
        return network_digest(self, self.spec, self.content_digest)


class NoisedTextEncoder(nn.Module):
    """A text to its embedding: a causal transformer, read at the end token."""

    def __init__(self, spec: NoisedTextSpec) -> None:
        super().__init__()
        self.spec = spec
        self.content_digest: str | None = None  # set by a loader
        self.tower = TextTransformer(
            context_length=spec.context,
            vocab_size=spec.vocabulary_size,
            width=spec.width,
            heads=spec.heads,
            layers=spec.layers,
            mlp_ratio=(spec.mlp_width + 0.5) / spec.width,
            output_dim=spec.embedding_width,
        )
        # Made anew where it is used: a buffer that no file holds would stay empty when the rest is loaded.
        self.tower.attn_mask = None

    def features(self, tokens: Tensor) -> Tensor:
        """What stands at the end token after the last block, before norm and projection.

        Args:
            tokens: Ids "batch context"; the end token is each row's largest.

        Returns:
            "batch width".

        Raises:
            GlidewireError: Another number of positions, or an id outside the vocabulary.
        """
        if tokens.ndim != 2 or tokens.shape[1] != self.spec.context:
            raise GlidewireError(
                "noised CLIP: the tokens do not fit the text tower",
                expected=f"batch x {self.spec.context} positions",
                got=" x ".join(map(str, tokens.shape)),
            )
        low, high = (int(tokens.min()), int(tokens.max())) if tokens.numel() else (0, 0)
        if not 0 <= low <= high < self.spec.vocabulary_size:
            raise GlidewireError(
                "noised CLIP: a token id lies outside the vocabulary",
                expected=f"0 to {self.spec.vocabulary_size - 1}",
                got=f"{low} to {high}",
            )
        h = self.tower.token_embedding(tokens) + self.tower.positional_embedding
        causal = torch.full((h.shape[1], h.shape[1]), float("-inf"), dtype=h.dtype, device=h.device).triu(1)
        h = self.tower.transformer(h, attn_mask=causal)
        return h[torch.arange(len(h), device=h.device), tokens.argmax(dim=-1)]

    def forward(self, tokens: Tensor) -> Tensor:
        """Embeddings "batch embedding_width", not normalised; arguments and errors as `features`."""
        return self.tower.ln_final(self.features(tokens)) @ self.tower.text_projection

    def digest(self) -> str:
        """Content identity of the weights and their precision."""
        return network_digest(self, self.spec, self.content_digest)


def log_probability_gradient(
    encoder: NoisedImageEncoder,
    x_t: Tensor,
    timesteps: Tensor,
    text_embedding: Tensor,
    logit_scale: float = LOGIT_SCALE,
) -> Tensor:
    """grad_{x_t} of logit_scale · cos(z_image(x_t, t), z_text), of each row by itself.

    Args:
        encoder: The image tower; its weights need no gradient.
        x_t: "batch 3 height width" on the scale of [-1, 1]; may come from inference mode.
        timesteps: Original ids "batch".
        text_embedding: z_text "batch width" or "1 width", normalised or not.
        logit_scale: Inverse temperature.

    Returns:
        Shaped as x_t, float32 at least, without a graph.

    Raises:
        GlidewireError: The widths of the embeddings differ, or as `NoisedImageEncoder.features`.

    Source: GLIDE (Nichol et al. 2022), eq. 8.
    """
    width = encoder.spec.embedding_width
    if text_embedding.ndim != 2 or text_embedding.shape[-1] != width:
        raise GlidewireError(
            "noised CLIP: the text's embedding does not fit the image tower",
            expected=f"batch x {width}",
            got=" x ".join(map(str, text_embedding.shape)),
            hint="Take the text tower that was trained with this image tower.",
        )
    # Samplers compute without gradients, perhaps in inference mode, whose tensors can never have any: hence copies.
    with torch.inference_mode(False), torch.enable_grad():
        x_t = x_t.detach().clone()
        x_t = (x_t if x_t.dtype == torch.float64 else x_t.float()).requires_grad_()
        text = F.normalize(text_embedding.detach().clone().to(x_t), dim=-1)
        image = F.normalize(encoder(x_t, timesteps.clone()).to(x_t.dtype), dim=-1)
        (gradient,) = torch.autograd.grad(logit_scale * (image * text).sum(), x_t)
    return gradient


@dataclass(frozen=True, eq=False)
class NoisedClipGradient:
    """A `LogGradient` for `diffusion.guidance.gradient_guidance`: towards what a text describes.

    Args:
        encoder: The image tower.
        text_embedding: z_text "batch width" or "1 width".
        logit_scale: Inverse temperature.
    """

    encoder: NoisedImageEncoder = field(repr=False)
    text_embedding: Tensor = field(repr=False)
    logit_scale: float = LOGIT_SCALE

    def digest(self) -> str:
        """Identity of all that decides the gradient."""
        parameters = {
            "encoder": self.encoder.digest(),
            "text": tensor_digest(self.text_embedding),
            "logit_scale": float(self.logit_scale),
        }
        return call_text("noised_clip", parameters)

    def __call__(self, x_t: Tensor, step: Step) -> Tensor:
        """The gradient at x_t; see `log_probability_gradient`."""
        text = self.text_embedding.to(x_t.device)
        return log_probability_gradient(self.encoder, x_t, self._timesteps(x_t, step), text, self.logit_scale)

    def measure(self, made: Prediction, x_t: Tensor, step: Step) -> Mapping[str, Tensor]:
        """cos(z_image(x_t, t), z_text), "batch", by the name "CLIP score"."""
        image = self.encoder(x_t.float(), self._timesteps(x_t, step))
        return {"CLIP score": F.cosine_similarity(image, self.text_embedding.to(image), dim=-1)}

    def _timesteps(self, x_t: Tensor, step: Step) -> Tensor:
        return torch.full((x_t.shape[0],), round(step.timestep), dtype=torch.long, device=x_t.device)


def require_class(count: int, label: int) -> None:
    """Raise a GlidewireError unless there are two classes or more, and `label` is the number of one, from 0."""
    if count < 2 or not 0 <= label < count:
        raise GlidewireError(
            "classifier guidance: impossible class",
            expected="two classes or more, and the number of one of them, from 0",
            got=f"{count} classes, class {label}",
        )


@dataclass(frozen=True, eq=False)
class NoisedClipClassifier:
    """A `LogGradient` of a classifier of x_t that is made of texts: log softmax_k(s cos(z_image(x_t, t), z_k)).

    Args:
        encoder: The image tower.
        text_embeddings: z_k, "classes width".
        label: k of the class that is wanted.
        logit_scale: s, the inverse temperature.

    Raises:
        GlidewireError: There is no such class, or only one.

    Source: Dhariwal & Nichol 2021 (2105.05233), section 4; classes as texts: Radford et al. 2021 (CLIP), section 3.1.
    """

    encoder: NoisedImageEncoder = field(repr=False)
    text_embeddings: Tensor = field(repr=False)
    label: int
    logit_scale: float = LOGIT_SCALE

    def __post_init__(self) -> None:
        require_class(len(self.text_embeddings), self.label)

    def digest(self) -> str:
        """Identity of all that decides the gradient."""
        parameters = {
            "encoder": self.encoder.digest(),
            "texts": tensor_digest(self.text_embeddings),
            "label": self.label,
            "logit_scale": float(self.logit_scale),
        }
        return call_text("noised_clip_classifier", parameters)

    def __call__(self, x_t: Tensor, step: Step) -> Tensor:
        """The gradient at x_t, shaped as it, without a graph."""
        with torch.inference_mode(False), torch.enable_grad():
            x = x_t.detach().clone()
            x = (x if x.dtype == torch.float64 else x.float()).requires_grad_()
            texts = F.normalize(self.text_embeddings.detach().clone().to(x), dim=-1)
            timesteps = torch.full((len(x),), round(step.timestep), dtype=torch.long, device=x.device)
            image = F.normalize(self.encoder(x, timesteps).to(x.dtype), dim=-1)
            log_probability = (self.logit_scale * image @ texts.mT).log_softmax(dim=-1)[:, self.label]
            (gradient,) = torch.autograd.grad(log_probability.sum(), x)
        return gradient
