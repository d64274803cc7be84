"""diffusers' U-Nets in two halves: the way down with the middle, and the way up from what stands in the middle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from .additions import NOTHING, Additions


@dataclass(frozen=True, eq=False)
class Encoded:
    """What the way up needs of the way down.

    Attributes:
        h: The middle block's output, "batch channels height width".
        middle: What edits put in its place for the way up, shaped as it; None for none.
        embedding: The time embedding with all that is added to it, "batch embedding_width".
        skips: In the order of the way down, "batch channels height width" each.
        states: The context that attention sees, "batch positions width"; None without one.
    """

    h: Tensor
    embedding: Tensor
    skips: tuple[Tensor, ...]
    states: Tensor | None = None
    middle: Tensor | None = None

    @property
    def standing(self) -> Tensor:
        """What the way up begins with."""
        return self.h if self.middle is None else self.middle

    def rows(self, places: Tensor) -> Encoded:
        """Some rows of the batch, perhaps several times: int64 "rows" of places in it."""
        states, middle = (None if value is None else value[places] for value in (self.states, self.middle))
        skips = tuple(skip[places] for skip in self.skips)
        return Encoded(self.h[places], self.embedding[places], skips, states, middle)


class Halved(Protocol):
    """A `Network` whose U-Net runs in two halves; the whole is `way_up` of `way_down`."""

    @property
    def unet(self) -> Any:
        """diffusers' U-Net."""
        ...

    def way_down(
        self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor], additions: Additions = NOTHING
    ) -> Encoded:
        """The way down and the middle, in the dtype of the weights; arguments as of the network."""
        ...

    def way_up(
        self,
        encoded: Encoded,
        conditioning: Mapping[str, Tensor],
        additions: Additions = NOTHING,
        h: Tensor | None = None,
    ) -> Tensor:
        """The way up, in the dtype of the weights.

        Args:
            encoded: From `way_down`, perhaps other rows of it.
            conditioning: Of the same rows.
            additions: Whose attention terms are of the same rows; residuals belong to `way_down`.
            h: Stands in for the middle block's output, also where edits put something in its place; None keeps it.
        """
        ...


def bottleneck(unet: Any) -> tuple[int, int]:
    """Channels of the middle block's output, and width of the time embedding."""
    return unet.mid_block.resnets[-1].out_channels, unet.time_embedding.linear_2.out_features


def way_down(
    unet: Any,
    picture: Tensor,
    timesteps: Tensor,
    *,
    states: Tensor | None = None,
    class_labels: Tensor | None = None,
    attention: Mapping[str, Any] | None = None,
    residuals: tuple[Tensor, ...] = (),
) -> Encoded:
    """The way down and the middle of a U-Net.

    Args:
        unet: UNet2DModel or UNet2DConditionModel, with text projections, class and added embeddings as configured.
        picture: What its first convolution takes, in the dtype of the weights.
        timesteps: "batch".
        states: The context, "batch positions width".
        class_labels: What its class embedding takes.
        attention: Keyword arguments of every attention processor.
        residuals: Added to each skip, in the order of the way down, and to the middle; or none at all.
    """
    embedding = _embedding(unet, picture, timesteps, states, class_labels)
    if _takes_context(unet):
        states = unet.process_encoder_hidden_states(states, {})
    context = {"encoder_hidden_states": states, "cross_attention_kwargs": attention}
    h = unet.conv_in(picture)
    skips = [h]
    for block in unet.down_blocks:
        h, passed = block(hidden_states=h, temb=embedding, **(context if _attends(block) else {}))
        skips += passed
    h = unet.mid_block(h, embedding, **(context if _attends(unet.mid_block) else {}))
    if residuals:
        *added, middle = residuals
        skips = [skip + term for skip, term in zip(skips, added, strict=True)]
        h = h + middle
    return Encoded(h, embedding, tuple(skips), states)


def way_up(
    unet: Any, encoded: Encoded, *, h: Tensor | None = None, attention: Mapping[str, Any] | None = None
) -> Tensor:
    """The way up of a U-Net; arguments as of `Halved.way_up` and `way_down`."""
    h, skips = encoded.standing if h is None else h, encoded.skips
    context = {"encoder_hidden_states": encoded.states, "cross_attention_kwargs": attention}
    for block in unet.up_blocks:
        count = len(block.resnets)
        options = context if _attends(block) else {}
        h = block(hidden_states=h, temb=encoded.embedding, res_hidden_states_tuple=skips[-count:], **options)
        skips = skips[:-count]
    return unet.conv_out(unet.conv_act(unet.conv_norm_out(h)))


def _takes_context(unet: Any) -> bool:
    """Whether it is diffusers' UNet2DConditionModel; whoever only looks at files does not wait for diffusers."""
    return hasattr(unet, "process_encoder_hidden_states")


def _attends(block: Any) -> bool:
    return getattr(block, "has_cross_attention", False)


def _embedding(
    unet: Any, picture: Tensor, timesteps: Tensor, states: Tensor | None, class_labels: Tensor | None
) -> Tensor:
    """The time embedding, with the class's and what the context adds, activated where the U-Net does so once."""
    embedding = unet.time_embedding(unet.time_proj(timesteps).to(picture.dtype))
    if not _takes_context(unet):
        return embedding if class_labels is None else embedding + unet.class_embedding(class_labels)
    of_class = unet.get_class_embed(picture, class_labels)
    embedding = embedding if of_class is None else embedding + of_class
    added = unet.get_aug_embed(embedding, states, {})
    embedding = embedding if added is None else embedding + added
    return embedding if unet.time_embed_act is None else unet.time_embed_act(embedding)
