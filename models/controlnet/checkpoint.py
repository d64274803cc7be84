"""Checkpoints of control networks: recognised by their tensors, in both layouts, and mapped to our network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ...errors import GlidewireError
from .. import hyper_parameters
from ..header import Header
from ..key_map import Entry, KeyMap, renamed
from ..ldm import layout
from ..ldm.checkpoint import as_published, carried_values
from ..ldm.spec import stated_values
from ..registry import Family, Identity
from .spec import ControlNetSpec, infer_spec, told_by_encoder

# Names of the encoders of hints, the first's and the query's.
_HINTS = ("input_hint_block", "input_cond_block")
_DIFFUSERS_HINTS = ("controlnet_cond_embedding", "controlnet_query_cond_embedding")
_RGB = "controlnet_conditioning_channel_order"
_PAIR = 6
# Parts of a file that hold the denoiser.
_DENOISERS = ("denoiser", "unet")
_WITHOUT_DENOISER = (
    "Prompt Diffusion trained its denoiser's decoder too, and this file has no denoiser: "
    "with another one it is not the published model."
)


def key_map(spec: ControlNetSpec) -> KeyMap:
    """The published layout and `ControlNet`'s."""
    entries: list[Entry] = list(layout.encoder_key_map(spec, "encoder."))
    for index in range(spec.residual_count - 1):
        entries += renamed(f"zero_convs.{index}.0", f"encoder.controlnet_down_blocks.{index}")
    entries += renamed("middle_block_out.0", "encoder.controlnet_mid_block")
    # Published convolutions and activations take turns in one sequence.
    layers = _hint_layers(len(spec.hint_widths))
    for source, (name, _) in zip(_HINTS, spec.hints, strict=False):
        for index, layer in enumerate(layers):
            entries += renamed(f"{source}.{2 * index}", f"hint_encoders.{name}.{layer}")
    return tuple(entries)


def diffusers_key_map(spec: ControlNetSpec) -> KeyMap:
    """diffusers' layout, in which Prompt Diffusion was converted too, and `ControlNet`'s."""
    places = {f"hint_encoders.{name}": place for (name, _), place in zip(spec.hints, _DIFFUSERS_HINTS, strict=False)}
    targets = [target for entry in key_map(spec) for target in entry.targets]

    def source(target: str) -> str:
        for ours, theirs in places.items():
            if target.startswith(f"{ours}."):
                return theirs + target.removeprefix(ours)
        return target.removeprefix("encoder.")

    return tuple(Entry(source(target), (target,)) for target in dict.fromkeys(targets))


def recognise(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of a control network; None if the tensors are not one's.

    Raises:
        GlidewireError: It is one, but what is stated or configured contradicts its tensors.
    """
    if f"{_HINTS[0]}.0.weight" in header.shapes:
        names, hints, shapes = "published", [f"{hint}.0" for hint in _HINTS], layout.telling_shapes(header.shapes)
    elif f"{_DIFFUSERS_HINTS[0]}.conv_in.weight" in header.shapes:
        names, hints, shapes = "diffusers", [f"{hint}.conv_in" for hint in _DIFFUSERS_HINTS], header.shapes
    else:
        return None
    if not as_published(header.config) or header.config.get(_RGB) not in (None, "rgb"):
        return None
    channels = [header.shapes.get(f"{hint}.weight", (0, 0))[1] for hint in hints]
    where = header.name
    if channels == [_PAIR, 0]:
        raise GlidewireError(
            f"{where} has Prompt Diffusion's encoder of example pairs, but not that of queries",
            expected=f"the 16 tensors under {hints[1].partition('.')[0]}",
            got="none of them",
            hint="Converters for ControlNet drop them: take the published file.",
        )
    told = told_by_encoder(shapes, channels, _hint_widths(header.shapes, names), where=where)
    carried = hyper_parameters.carried(ControlNetSpec, header.metadata, family="controlnet", where=where)
    carried |= _carried(header, told)
    given = stated_values(stated, where=f"{where}: stated hyper-parameters", spec=ControlNetSpec)
    if "num_heads" in given:
        carried = {name: value for name, value in carried.items() if not name.startswith("num_head")}
    variant, spec, assumed = infer_spec(told, stated={**carried, **given}, where=where)
    dims = {"latent_channels": spec.in_channels, "context_width": spec.context_width}
    alone = spec.query_channels and not any(part.startswith(_DENOISERS) for part in header.beside)
    remarks = (_WITHOUT_DENOISER,) if alone else ()
    return Identity("controlnet", "control", variant, spec, dims, header, assumed, names, remarks)


def _hint_layers(levels: int) -> tuple[str, ...]:
    """An encoder of hints: two convolutions for each level, the second of which makes the next one."""
    return ("conv_in", *(f"blocks.{index}" for index in range(2 * levels - 2)), "conv_out")


def _hint_widths(shapes: Mapping[str, tuple[int, ...]], names: str) -> tuple[int, ...]:
    """Channels of the levels of the first hint's encoder."""
    prefix = _HINTS[0] if names == "published" else _DIFFUSERS_HINTS[0]
    count = sum(key.startswith(f"{prefix}.") and key.endswith(".weight") for key in shapes)
    layers = [f"{2 * index}" for index in range(count)] if names == "published" else _hint_layers(count // 2)
    return tuple(shapes.get(f"{prefix}.{layer}.weight", (0,))[0] for layer in layers[: count - 1 : 2])


def _carried(header: Header, told: Mapping[str, Any]) -> dict[str, Any]:
    """Hyper-parameters that a folder's configuration tells."""
    carried = carried_values(header, told)
    if isinstance(header.config.get("global_pool_conditions"), bool):
        carried["pooled"] = header.config["global_pool_conditions"]
    return {name: value for name, value in carried.items() if name not in ("prediction", "size")}


def build(spec: ControlNetSpec) -> nn.Module:
    """The network of a spec."""
    # Imported here, so that a file is identified without the libraries that compute.
    from .network import ControlNet

    return ControlNet(spec)


FAMILY = Family("controlnet", recognise, build, key_map, layouts={"diffusers": diffusers_key_map})
