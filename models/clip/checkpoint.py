"""CLIP's checkpoints: OpenAI's, open_clip's (LAION) and transformers' layouts, whole or the image tower alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from ...errors import GlidewireError
from ..clip_text import checkpoint as clip_text
from ..clip_text.spec import ClipTextSpec
from ..header import Header
from ..hyper_parameters import SPEC, json_object
from ..key_map import Entry, KeyMap, Merge, renamed, transposed, unprefixed
from ..registry import Family, Identity
from .spec import ClipImageSpec, ClipSpec, infer_image_spec, infer_text, stated_values

_VISUAL, _VISION = "visual.", "vision_model."
# Some of an image tower's keys in each layout; ResNets share the first.
_IMAGE_MARKS = {
    "published": ("visual.conv1.weight", "visual.class_embedding", "visual.proj"),
    "transformers": ("vision_model.embeddings.patch_embedding.weight", "visual_projection.weight"),
}
_TEXT_MARKS = ("transformer.resblocks.0.attn.in_proj_weight", "text_model.encoder.layers.0.self_attn.q_proj.weight")
# Only OpenAI's own state dicts carry these.
_OPENAI = ("input_resolution", "context_length", "vocab_size")
# No weights: counters and buffers that some versions wrote.
_LEFTOVERS = (
    *_OPENAI,
    "attn_mask",
    "text_model.embeddings.position_ids",
    "vision_model.embeddings.position_ids",
)
# Image towers of open_clip that are no plain vision transformers, by keys that only they have.
_OTHERS = {
    "visual.layer1.0.conv1.weight": "a ResNet",
    "visual.trunk.": "a network of timm's",
    "text.transformer.": "a text tower of another kind",
    "visual.attn_pool.": "attention pooling",
}
# What files of an image tower alone still keep of the text tower, whose blocks they have not.
_OF_TEXT = ("transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_", "logit_scale")
_BLOCK = {
    "layer_norm1": "ln_1",
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def transformers_image_key_map(spec: ClipImageSpec) -> KeyMap:
    """transformers' layout of an image tower and `ClipImage`'s."""
    embeddings, visual = f"{_VISION}embeddings.", _VISUAL
    entries: list[Entry | Merge] = [
        Entry(f"{embeddings}class_embedding", (f"{visual}class_embedding",)),
        Entry(f"{embeddings}patch_embedding.weight", (f"{visual}conv1.weight",)),
        Entry(f"{embeddings}position_embedding.weight", (f"{visual}positional_embedding",)),
        *renamed(f"{_VISION}pre_layrnorm", f"{visual}ln_pre"),
        *renamed(f"{_VISION}post_layernorm", f"{visual}ln_post"),
        transposed("visual_projection.weight", f"{visual}proj"),
    ]
    for index in range(spec.layers):
        source, target = f"{_VISION}encoder.layers.{index}", f"{visual}transformer.resblocks.{index}"
        for theirs, ours in _BLOCK.items():
            entries += renamed(f"{source}.{theirs}", f"{target}.{ours}")
        for leaf in ("weight", "bias"):
            parts = tuple(f"{source}.self_attn.{part}_proj.{leaf}" for part in "qkv")
            entries.append(Merge(parts, f"{target}.attn.in_proj_{leaf}"))
    return tuple(entries)


def transformers_key_map(spec: ClipSpec | ClipImageSpec) -> KeyMap:
    """transformers' layout and ours."""
    if isinstance(spec, ClipImageSpec):
        return transformers_image_key_map(spec)

    def text_name(name: str) -> str:
        return name if name.startswith("text_projection.") else f"text_model.{name}"

    return (
        *_moved(transformers_image_key_map(spec.image), str, "image."),
        *_moved(clip_text.transformers_key_map(spec.text), text_name, "text."),
        Entry("logit_scale", ("logit_scale",)),
    )


def key_map(spec: ClipSpec | ClipImageSpec) -> KeyMap:
    """OpenAI's and open_clip's layout and ours."""
    if isinstance(spec, ClipImageSpec):
        return unprefixed(transformers_image_key_map(spec), "")
    return (
        *_moved(key_map(spec.image), str, "image."),
        *_moved(clip_text.key_map(spec.text), str, "text."),
        Entry("logit_scale", ("logit_scale",)),
    )


def _moved(entries: KeyMap, source: Callable[[str], str], target: str) -> Iterable[Entry | Merge]:
    """The key map of a part inside a whole: published names through `source`, the module's behind `target`."""
    for entry in entries:
        if isinstance(entry, Entry):
            yield replace(entry, source=source(entry.source), targets=tuple(target + name for name in entry.targets))
        else:
            yield replace(entry, sources=tuple(map(source, entry.sources)), target=target + entry.target)


def recognise(header: Header, stated: Mapping[str, Any]) -> Identity | None:
    """Identity of a CLIP model or of its image tower; None if the tensors are neither's.

    The activation is told by the configuration beside the weights, or by OpenAI's counters in its own files.
    Else open_clip's layout is taken as LAION's, with GELU, and transformers' as OpenAI's for the sizes that
    OpenAI published, with QuickGELU; `assumed` then names `quick_gelu`.

    Raises:
        GlidewireError: It is one, but of a kind that has no network here, or contradicts what is stated.
    """
    names = {key.removeprefix("model."): key for key in header.shapes}
    _refuse_others(names, header.name)
    layout = next((layout for layout, marks in _IMAGE_MARKS.items() if all(mark in names for mark in marks)), None)
    if layout is None:
        return None
    known = _configured(header.config, header.name)
    known |= {"quick_gelu": True} if all(name in names for name in _OPENAI) else {}
    known |= _carried(header)
    known |= stated_values(stated, where=f"{header.name}: stated hyper-parameters")
    whole = any(mark in names for mark in _TEXT_MARKS)
    left_out = () if whole else _OF_TEXT
    kept = {name: key for name, key in names.items() if name not in _LEFTOVERS and not name.startswith(left_out)}
    bare = header.view(kept)
    shapes = bare.shapes if layout == "published" else _open_clip_shapes(bare.shapes)
    variant, image, assumed = _image(shapes, known, layout, header.name)
    dims = {"image_size": image.image_size, "channels": 3, "embedding_width": image.projection}
    if not whole:
        return Identity("clip", "image_encoder", variant, image, dims, bare, assumed, layout)
    spec = ClipSpec(image, _text(shapes, image, known, header.name))
    dims |= {"text_context": spec.text.positions, "text_width": spec.text.width}
    return Identity("clip", "clip", variant, spec, dims, bare, assumed, layout)


def _carried(header: Header) -> dict[str, Any]:
    """What a file of ours carries of what shapes do not tell."""
    values = json_object(header.metadata, family="clip", where=header.name)
    return stated_values(values, where=f"{header.name}: {SPEC}")


def _refuse_others(names: Iterable[str], where: str) -> None:
    """Raise a GlidewireError for a CLIP whose towers are of a kind that has no network here."""
    if "logit_scale" not in names or not any(name.startswith(_VISUAL) for name in names):
        return
    kind = next((kind for start, kind in _OTHERS.items() if any(name.startswith(start) for name in names)), None)
    if kind is not None:
        raise GlidewireError(
            f"{where} is a CLIP with {kind}",
            expected="a vision transformer and CLIP's own text transformer",
            hint="Take a ViT model of OpenAI's or LAION's.",
        )


def _text(
    shapes: Mapping[str, tuple[int, ...]], image: ClipImageSpec, known: Mapping[str, Any], where: str
) -> ClipTextSpec:
    given: dict[str, Any] = {"quick_gelu": image.quick_gelu}
    if "text_heads" in known:
        given["heads"] = known["text_heads"]
    text = {key: shape for key, shape in shapes.items() if not key.startswith(_VISUAL)}
    return infer_text(text, given, where=where)


def _image(
    shapes: Mapping[str, tuple[int, ...]], known: Mapping[str, Any], layout: str, where: str
) -> tuple[str, ClipImageSpec, tuple[str, ...]]:
    shapes = {key.removeprefix(_VISUAL): shape for key, shape in shapes.items() if key.startswith(_VISUAL)}
    given = {"heads": known["image_heads"]} if "image_heads" in known else {}
    if "quick_gelu" in known:
        given["quick_gelu"] = known["quick_gelu"]
    variant, spec, assumed = infer_image_spec(shapes, given, where=where)
    assumed = tuple(name for name in assumed if name not in given)
    # Sizes that only LAION published need no guess; of the others, files of open_clip's layout are LAION's.
    if "quick_gelu" not in given and (spec.quick_gelu or variant == "ViT"):
        spec = replace(spec, quick_gelu=layout == "transformers")
        assumed += ("quick_gelu",)
    return variant, spec, assumed


def _configured(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What the configuration beside transformers' weights tells.

    Raises:
        GlidewireError: It describes a network that is computed otherwise.
    """
    vision = config.get("vision_config", config if "patch_size" in config else {})
    text = config.get("text_config", {})
    told: dict[str, Any] = {}
    for name, part in (("image_heads", vision), ("text_heads", text)):
        if isinstance(part.get("num_attention_heads"), int):
            told[name] = part["num_attention_heads"]
    activation = vision.get("hidden_act")
    if activation in ("quick_gelu", "gelu"):
        told["quick_gelu"] = activation == "quick_gelu"
    same = text.get("hidden_act", activation) == activation
    if activation not in (None, "quick_gelu", "gelu") or (text and vision and not same):
        raise GlidewireError(
            f"{where} has an activation that no CLIP has",
            expected="quick_gelu or gelu, in both towers",
            got=f"{activation} and {text.get('hidden_act')}",
        )
    epsilons = {part.get("layer_norm_eps", 1e-5) for part in (vision, text)}
    if epsilons != {1e-5}:
        raise GlidewireError(f"{where} has a layer norm that no CLIP has", expected="eps 1e-5", got=sorted(epsilons))
    return told


def _open_clip_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The shapes that tell a spec, by open_clip's names."""
    told: dict[str, tuple[int, ...]] = {}
    names = {
        "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
        "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
        "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
    }
    towers = {f"{_VISION}encoder.layers.": _VISUAL, "text_model.encoder.layers.": ""}
    for key, shape in shapes.items():
        if key in names:
            told[names[key]] = shape
        for start, tower in towers.items():
            if key.startswith(start) and key.endswith(".mlp.fc1.weight"):
                told[f"{tower}transformer.resblocks.{key.removeprefix(start).replace('fc1', 'c_fc')}"] = shape
    for theirs, ours in (("visual_projection.weight", "visual.proj"), ("text_projection.weight", "text_projection")):
        if theirs in shapes:
            told[ours] = shapes[theirs][::-1]
    return told


def build(spec: ClipSpec | ClipImageSpec) -> nn.Module:
    """The network of a spec."""
    # Imported here, so that a file is identified without the libraries that compute.
    from .network import Clip, ClipImage

    return Clip(spec) if isinstance(spec, ClipSpec) else ClipImage(spec)


def carries(spec: ClipSpec | ClipImageSpec) -> dict[str, Any]:
    """What shapes do not tell of both towers, or of one."""
    image = spec.image if isinstance(spec, ClipSpec) else spec
    heads = {"text_heads": spec.text.heads} if isinstance(spec, ClipSpec) else {}
    return {"image_heads": image.heads, **heads, "quick_gelu": image.quick_gelu}


FAMILY = Family("clip", recognise, build, key_map, layouts={"transformers": transformers_key_map}, carries=carries)
