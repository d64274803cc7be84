"""The decoder: embeddings to a picture, with the U-Net of GLIDE (Ramesh et al. 2022, section 2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..additions import NOTHING, Additions
from ..halves import Encoded
from ..text_image_unet import projected_text, text_image_unet, unet_way_down, unet_way_up
from ..unet_denoiser import UnetDenoiser
from .condition import CONDITIONS
from .shapes import check_sides, required
from .spec import DecoderSpec


class Decoder(UnetDenoiser):
    """eps and variance of x_t given a picture's embedding and, but for Kandinsky 2.2, a caption.

    x_t are pixels for Karlo, latents for Kandinsky. A `Network` for the guidance expression. Its conditioning is
    a mapping of batch-first tensors: `context`, `time_addition` and perhaps `text_mask` from `encode`; for
    inpainting `inpaint_image` "batch channels height width" and `inpaint_mask` "batch 1 height width", 1 = known.

    Args:
        spec: Hyper-parameters.
    """

    prediction: Literal["eps", "x_0", "v"] = "eps"
    learned_variance = True

    def __init__(self, spec: DecoderSpec) -> None:
        super().__init__(spec)
        self.space = "pixels"  # set by a loader: what x_t is
        self.condition: Any = CONDITIONS[spec.system](spec)
        self.unet = text_image_unet(
            in_channels=spec.in_channels,
            out_channels=spec.out_channels,
            widths=spec.widths,
            attention_levels=spec.attends,
            num_res_blocks=spec.num_res_blocks,
            num_head_channels=spec.num_head_channels,
            norm_groups=spec.norm_groups,
            text_width=spec.context_width,
        )

    @property
    def channels(self) -> int:
        """Channels of x_t."""
        return self.spec.channels

    def encode(
        self,
        image_embedding: Tensor | None,
        text_embedding: Tensor | None = None,
        text_states: Tensor | None = None,
        text_mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Encode a condition.

        Args:
            image_embedding: The picture's CLIP embedding, not normalised, "batch embedding_width". Unconditional
                is None for Karlo (it learned one), and the embedding of an all-zero picture for Kandinsky.
            text_embedding: The caption's, "batch pooled_width"; Kandinsky 2.2 takes no text.
            text_states: "batch positions text_width".
            text_mask: True for tokens, "batch positions" bool; None hides nothing. Kandinsky hides nothing.

        Returns:
            `context` "batch positions context_width", `time_addition` "batch time_width" and, if there is a mask,
            `text_mask` over the context.

        Raises:
            GlidewireError: Something is missing or does not fit.
        """
        spec = self.spec
        dtype = self.unet.conv_in.weight.dtype
        if not spec.takes_text:
            image = required(image_embedding, "image_embedding", "batch", spec.embedding_width)
            context, addition = self.condition(image.to(dtype))
            return {"context": context, "time_addition": addition}
        text = required(text_embedding, "text_embedding", "batch", spec.pooled_width)
        states = required(text_states, "text_states", text.shape[0], "positions", spec.text_width)
        if image_embedding is None and spec.system == "karlo":
            image_embedding = self.condition.no_image.expand(text.shape[0], -1)
        image = required(image_embedding, "image_embedding", text.shape[0], spec.embedding_width)
        context, addition = self.condition(image.to(dtype), text.to(dtype), states.to(dtype))
        encoded = {"context": context, "time_addition": addition}
        if text_mask is not None and spec.system == "karlo":
            mask = required(text_mask, "text_mask", *states.shape[:2])
            # The picture's own tokens are always seen.
            encoded["text_mask"] = F.pad(mask.bool(), (spec.image_tokens, 0), value=True)
        return encoded

    @property
    def before_text(self) -> int:  # pyrefly: ignore
        """Positions of the context that stand in front of a text's: the picture's tokens."""
        return self.spec.image_tokens

    @torch.no_grad()
    def retold(
        self, conditioning: Mapping[str, Tensor], before: Mapping[str, Tensor], after: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor] | None:
        """See `UnetDenoiser.retold`; the picture's share of the context and of the addition stays."""
        context, addition = conditioning.get("context"), conditioning.get("time_addition")
        if context is None or addition is None or not self.spec.takes_text or "text_embedding" not in before:
            return None
        (old, old_addition), (new, new_addition) = (self._text(text) for text in (before, after))
        own = context[:, self.before_text :]
        # A product of one row may differ in its last bits from that of several.
        if own.shape[1:] != old.shape[1:] or not torch.allclose(own, old.to(own).expand_as(own), rtol=1e-4, atol=1e-5):
            return None
        positions = torch.cat([context[:, : self.before_text], new.to(own).expand_as(own)], dim=1)
        found = {"context": positions, "time_addition": addition + (new_addition - old_addition).to(addition)}
        if "text_mask" in conditioning:
            mask = F.pad(after["text_mask"].bool(), (self.before_text, 0), value=True)
            found["text_mask"] = mask.to(context.device).expand(len(context), -1)
        return found

    def _text(self, text: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        weight = self.unet.conv_in.weight
        return self.condition.text(text["text_embedding"].to(weight), text["text_states"].to(weight))

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Conditioning with every layer's keys and values of the context projected, once per sampling run."""
        context = required(conditioning.get("context"), "context", "batch", "positions", self.spec.context_width)
        return {**conditioning, **projected_text(self.unet, context)}

    def way_down(
        self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor], additions: Additions = NOTHING
    ) -> Encoded:
        """The way down and the middle; see `halves.Halved`, the rest as `forward`."""
        spec = self.spec
        check_sides(x_t, spec.channels, spec.size_multiple)
        context = required(conditioning.get("context"), "context", "batch", "positions", spec.context_width)
        addition = required(conditioning.get("time_addition"), "time_addition", "batch", spec.time_width)
        picture = torch.cat([x_t, *self._known(x_t, conditioning)], dim=1)
        added, mask = addition.to(self.unet.conv_in.weight.dtype), conditioning.get("text_mask")
        return unet_way_down(
            self.unet, picture, timesteps, conditioning, additions, added=added, states=context, mask=mask
        )

    def way_up(
        self,
        encoded: Encoded,
        conditioning: Mapping[str, Tensor],
        additions: Additions = NOTHING,
        h: Tensor | None = None,
    ) -> Tensor:
        """The way up; see `halves.Halved`."""
        return unet_way_up(self.unet, encoded, conditioning, additions, h, conditioning.get("text_mask"))

    def _known(self, x_t: Tensor, conditioning: Mapping[str, Tensor]) -> list[Tensor]:
        """What stands beside x_t in the first convolution: the known part, and where it is."""
        if not self.spec.takes_known_pixels:
            return []
        size = x_t.shape[2:]
        known = required(conditioning.get("inpaint_image"), "inpaint_image", "batch", self.spec.channels, *size)
        mask = required(conditioning.get("inpaint_mask"), "inpaint_mask", "batch", 1, *size)
        return [known * mask, mask]
