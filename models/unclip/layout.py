"""Published names of unCLIP models' tensors, and diffusers', as key maps onto our networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from ..adm import ENDS, residual_entries, unet_key_map, unet_modules
from ..key_map import Entry, KeyMap, head_major, renamed, unprefixed
from .embedding import NoiseAugmentationSpec, StatisticsSpec
from .spec import DecoderSpec, PriorSpec, UpsamplerSpec

UNET, TRANSFORMER = "unet.", "transformer."

# Karlo's layers of the prior, which Kandinsky 2.1 took over, and diffusers' names of them.
_PRIOR = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "text_enc_proj": "encoder_hidden_states_proj",
    "text_emb_proj": "embedding_proj",
    "clip_img_proj": "proj_in",
    "final_ln": "norm_out",
    "out_proj": "proj_to_clip_embeddings",
}
_PRIOR_BLOCK = {
    "attn.c_proj": "attn1.to_out.0",
    "ln_1": "norm1",
    "ln_2": "norm3",
    "mlp.c_fc": "ff.net.0.proj",
    "mlp.c_proj": "ff.net.2",
}
# Layers of our condition, by system and layout; U-Nets have prefixes of their own.
_CONDITION: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("karlo", "published"): {
        "clip_tok_proj": "image_to_tokens",
        "clip_emb": "image_to_time",
        "text_feat_proj": "text_to_time",
        "text_seq_proj.0": "text_to_context",
        "text_seq_proj.1": "context_norm",
    },
    ("karlo", "diffusers"): {
        "text_proj.clip_extra_context_tokens_proj": "image_to_tokens",
        "text_proj.clip_image_embeddings_project_to_time_embeddings": "image_to_time",
        "text_proj.embedding_proj": "text_to_time",
        "text_proj.encoder_hidden_states_proj": "text_to_context",
        "text_proj.text_encoder_hidden_states_norm": "context_norm",
    },
    ("kandinsky-2.1", "published"): {
        "clip_to_seq": "image_to_tokens",
        "img_layer": "image_to_time",
        "proj_n": "text_to_time",
        "ln_model_n": "time_norm",
        "to_model_dim_n": "text_to_context",
    },
    ("kandinsky-2.1", "diffusers"): {
        "encoder_hid_proj.image_embeds": "image_to_tokens",
        "add_embedding.image_proj": "image_to_time",
        "add_embedding.text_proj": "text_to_time",
        "add_embedding.text_norm": "time_norm",
        "encoder_hid_proj.text_proj": "text_to_context",
    },
    ("kandinsky-2.2", "diffusers"): {
        "encoder_hid_proj.image_embeds": "image_to_tokens",
        "encoder_hid_proj.norm": "token_norm",
        "add_embedding.image_proj": "image_to_time",
        "add_embedding.image_norm": "time_norm",
    },
}
_NO_IMAGE = {
    "published": "cf_param",
    "diffusers": "text_proj.learned_classifier_free_guidance_embeddings",
}
# Karlo's U-Net is a folder beside its text projection in diffusers' layout.
KARLO_UNET = "decoder."


def condition_layers(system: str, layout: str) -> dict[str, str]:
    """The file's name of each layer of a decoder's condition, by ours; empty if there is no such layout."""
    return {ours: theirs for theirs, ours in _CONDITION.get((system, layout), {}).items()}


def _squeezed(source: str, target: str) -> Entry:
    """A vector that the file holds as one row."""

    def split(value: Tensor) -> tuple[Tensor, ...]:
        return (value.squeeze(0),)

    return Entry(source, (target,), split, lambda values: values[0][None])


def _prior_layers(spec: PriorSpec) -> Iterator[Entry]:
    for theirs, ours in (("positional_embedding", "positional_embedding"), ("prd_emb", "prd_embedding")):
        yield Entry(theirs, (TRANSFORMER + ours,))
    for theirs, ours in _PRIOR.items():
        yield from renamed(theirs, TRANSFORMER + ours)
    for layer in range(spec.layers):
        source, target = f"transformer.resblocks.{layer}", f"{TRANSFORMER}transformer_blocks.{layer}"
        parts = [f"{target}.attn1.to_{part}" for part in "qkv"]
        yield from head_major(f"{source}.attn.c_qkv", parts, spec.width // spec.heads, sides=0)
        for theirs, ours in _PRIOR_BLOCK.items():
            yield from renamed(f"{source}.{theirs}", f"{target}.{ours}")


def prior_key_map(spec: PriorSpec, layout: str) -> KeyMap:
    """A layout of the prior and `Prior`'s; statistics lie beside the transformer in diffusers' alone."""
    entries = tuple(_prior_layers(spec))
    if layout == "diffusers":
        entries = unprefixed(entries, TRANSFORMER)
    if spec.carries_statistics:
        entries += (_squeezed("clip_mean", "statistics.mean"), _squeezed("clip_std", "statistics.std"))
    return entries


def decoder_key_map(spec: DecoderSpec, layout: str) -> KeyMap:
    """A layout of the decoder and `Decoder`'s; Kandinsky 2.2 was published in diffusers' alone."""
    layout = "diffusers" if spec.system == "kandinsky-2.2" else layout
    entries = unet_key_map(spec.widths, spec.attends, spec.num_res_blocks, spec.num_head_channels, prefix=UNET)
    if layout == "diffusers":
        prefix = KARLO_UNET if spec.system == "karlo" else ""
        entries = tuple(Entry(f"{prefix}{entry.source}", entry.targets) for entry in _plain(unprefixed(entries, UNET)))
    for source, target in _CONDITION[spec.system, layout].items():
        entries += renamed(source, f"condition.{target}")
    if spec.system == "karlo":
        entries += (Entry(_NO_IMAGE[layout], ("condition.no_image",)),)
    return entries


def _plain(key_map: KeyMap) -> Iterator[Entry]:
    for entry in key_map:
        assert isinstance(entry, Entry)
        yield entry


def upsampler_key_map(spec: UpsamplerSpec, layout: str) -> KeyMap:
    """A layout of one of Karlo's super-resolution networks and `Upsampler`'s."""
    entries: list[Entry] = []
    for source, target in ENDS.items():
        entries += renamed(source, UNET + target)
    nowhere = (False,) * len(spec.widths)
    for source, target, kind in unet_modules(spec.widths, nowhere, spec.num_res_blocks, middle_attends=False):
        entries += residual_entries(source, UNET + target, skip=kind == "residual with skip")
    return unprefixed(tuple(entries), UNET) if layout == "diffusers" else tuple(entries)


def statistics_key_map(spec: StatisticsSpec, layout: str) -> KeyMap:
    """A layout of the statistics and `EmbeddingStatistics`': a pair (mean, std), or diffusers' rows."""
    if layout == "diffusers":
        return _squeezed("mean", "mean"), _squeezed("std", "std")
    return Entry("0", ("mean",)), Entry("1", ("std",))


def augmentation_key_map(spec: NoiseAugmentationSpec, layout: str) -> KeyMap:
    """The published layout and `NoiseAugmentation`'s; diffusers has no file of it."""
    levels = (Entry("alphas_cumprod", ("alpha_bar",)),)
    if not spec.width:
        return levels
    return (*levels, _squeezed("data_mean", "statistics.mean"), _squeezed("data_std", "statistics.std"))
