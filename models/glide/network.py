"""GLIDE's network: its text transformer beside diffusers' U-Net with added text keys and values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import GlidewireError
from ..additions import NOTHING, Additions
from ..halves import Encoded
from ..text_image_unet import projected_text, text_image_unet, unet_way_down, unet_way_up
from ..unet_denoiser import UnetDenoiser
from .spec import GlideSpec
from .text import TextTransformer


def build_unet(spec: GlideSpec, *, dropout: float = 0.0) -> Any:
    """The U-Net of a spec."""
    return text_image_unet(
        in_channels=spec.in_channels,
        out_channels=spec.out_channels,
        widths=spec.widths,
        attention_levels=spec.attention_levels,
        num_res_blocks=spec.num_res_blocks,
        num_head_channels=spec.num_head_channels,
        norm_groups=spec.norm_groups,
        text_width=spec.text_width,
        dropout=dropout,
    )


class GlideTextToImage(UnetDenoiser):
    """GLIDE (Nichol et al. 2021): eps and variance of x_t given a caption, at any of its four variants.

    A `Network` for the guidance expression. Its conditioning is a mapping of batch-first tensors:
    `text_embedding` "batch 4*model_channels" and `text_states` "batch positions width" from `encode_text`;
    for upsamplers `low_res` "batch 3 h w" in [-1, 1], at any size; for inpainting `inpaint_image`
    "batch 3 height width" in [-1, 1] and `inpaint_mask` "batch 1 height width", 1 = known, both or neither.

    Args:
        spec: Hyper-parameters.
        dropout: Rate inside residual blocks, for training.
    """

    prediction: Literal["eps", "x_0", "v"] = "eps"
    channels, space = 3, "pixels"

    def __init__(self, spec: GlideSpec, *, dropout: float = 0.0) -> None:
        super().__init__(spec)
        self.text = TextTransformer(spec)
        self.unet = build_unet(spec, dropout=dropout)

    @property
    def learned_variance(self) -> bool:
        """Whether the last three output channels are learned-range variance."""
        return self.spec.out_channels == 6

    def encode_text(self, tokens: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Encode captions.

        Args:
            tokens: Ids, "batch positions" long, exactly `text_context` positions.
            mask: True for tokens, False for padding, "batch positions" bool.

        Returns:
            `text_embedding` "batch 4*model_channels" and `text_states` "batch positions width".

        Raises:
            GlidewireError: Another number of positions, or an id outside the vocabulary.
        """
        if tokens.ndim != 2 or tokens.shape != mask.shape or tokens.shape[1] != self.spec.text_context:
            raise GlidewireError(
                "GLIDE text: tokens and mask have the wrong shape",
                expected=f"batch x {self.spec.text_context} positions",
                got=f"tokens {tuple(tokens.shape)}, mask {tuple(mask.shape)}",
            )
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.spec.vocabulary_size:
            raise GlidewireError(
                "GLIDE text: a token id lies outside the model's vocabulary",
                expected=f"0 to {self.spec.vocabulary_size - 1}",
                got=f"{int(tokens.min())} to {int(tokens.max())}",
                hint="Tokenize with the vocabulary that belongs to this checkpoint.",
            )
        embedding, states = self.text(tokens, mask)
        return {"text_embedding": embedding, "text_states": states}

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Conditioning with every layer's text keys and values projected, once per sampling run."""
        return {**conditioning, **projected_text(self.unet, conditioning["text_states"])}

    def way_down(
        self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor], additions: Additions = NOTHING
    ) -> Encoded:
        """The way down and the middle; see `halves.Halved`, the rest as `forward`."""
        multiple = self.spec.size_multiple
        if x_t.shape[-2] % multiple or x_t.shape[-1] % multiple:
            raise GlidewireError(
                "GLIDE: the picture's sides do not fit the network",
                expected=f"multiples of {multiple}",
                got=f"{x_t.shape[-2]} x {x_t.shape[-1]}",
            )
        picture = torch.cat([x_t, *self._pictures(x_t, conditioning)], dim=1)
        added, states = conditioning["text_embedding"], conditioning["text_states"]
        added = added.to(self.unet.conv_in.weight.dtype)
        return unet_way_down(self.unet, picture, timesteps, conditioning, additions, added=added, states=states)

    def way_up(
        self,
        encoded: Encoded,
        conditioning: Mapping[str, Tensor],
        additions: Additions = NOTHING,
        h: Tensor | None = None,
    ) -> Tensor:
        """The way up; see `halves.Halved`."""
        return unet_way_up(self.unet, encoded, conditioning, additions, h)

    def _pictures(self, x_t: Tensor, conditioning: Mapping[str, Tensor]) -> list[Tensor]:
        """What stands beside x_t in the first convolution, in the published order."""
        beside: list[Tensor] = []
        if self.spec.takes_known_pixels:
            mask, known = conditioning.get("inpaint_mask"), conditioning.get("inpaint_image")
            if (mask is None) != (known is None):
                raise GlidewireError("GLIDE inpainting needs inpaint_image and inpaint_mask together, or neither")
            if mask is None or known is None:
                beside.append(torch.zeros_like(x_t[:, :1]).expand(-1, 4, -1, -1))
            else:
                _require_size(known, x_t, "picture")
                _require_size(mask, x_t, "mask")
                beside += [known * mask, mask]
        if self.spec.takes_low_resolution:
            if "low_res" not in conditioning:
                raise GlidewireError(
                    "GLIDE upsampler: conditioning `low_res` is missing", expected="a low-resolution picture"
                )
            low = conditioning["low_res"]
            beside.append(F.interpolate(low, x_t.shape[-2:], mode="bilinear", align_corners=False))
        return beside

    @torch.no_grad()
    def initialise(self, seed: int) -> Self:
        """Fresh weights for training, the same for the same seed.

        Linear and convolution weights are N(0, 1/fan_in); embeddings N(0, 0.02^2) and N(0, 0.01^2); the last
        layer of every residual branch and of the network is zero, so that each block starts as the identity
        (Dhariwal & Nichol 2021, appendix).
        """
        generator = torch.Generator().manual_seed(seed)

        def fill(parameter: Tensor, std: float) -> None:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)

        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                fill(module.weight, 1 / math.sqrt(module.weight[0].numel()))
                if module.bias is not None:
                    module.bias.zero_()
        fill(self.text.token_embedding.weight, 0.02)
        fill(self.text.positional_embedding, 0.01)
        fill(self.text.padding_embedding, 0.01)
        for name, module in self.named_modules():
            if name == "unet.conv_out" or (name.startswith("unet.") and name.endswith((".conv2", ".to_out.0"))):
                module.weight.zero_()  # pyrefly: ignore
        return self


def _require_size(beside: Tensor, x_t: Tensor, name: str) -> None:
    if beside.shape[-2:] != x_t.shape[-2:]:
        raise GlidewireError(
            f"GLIDE inpainting: the known {name} has another size than the sample",
            expected=f"{x_t.shape[-2]} x {x_t.shape[-1]}",
            got=f"{beside.shape[-2]} x {beside.shape[-1]}",
            hint="Resize it, or start from noise of its size.",
        )
