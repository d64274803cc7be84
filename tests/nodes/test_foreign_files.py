"""Every loader, given every kind of file: it takes its own, and says of each other one what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.widgets import File
from glidewire.interfaces.session import pack_registry
from safetensors.torch import save_file
from tiny_checkpoints import TINY, tensors_of

_T5 = {"t5"}
_VQ = {"vq", "gumbel", "paella vqgan", "paella vqgan, diffusers"}
_PRIORS = {"karlo prior", "karlo prior, diffusers"}
# The kinds that a loader takes without another word; where it wants one more (the name of a space), the stated ones.
TAKES: dict[str, set[str]] = {
    "load_autoencoder": {"kl", "kl, diffusers", "vq"},
    "load_pixel_denoiser": {"ddpm", "guided"},
    "load_h_direction": {"directions", "directions for each step"},
    "load_byt5": set(),
    "load_clip": {"clip", "clip, transformers"},
    "load_control_network": {"controlnet", "controlnet, diffusers", "prompt diffusion"},
    "load_glide": {kind for kind, tiny in TINY.items() if tiny.family == "glide"},
    "load_ip_adapter": {kind for kind, tiny in TINY.items() if tiny.family == "ip_adapter"},
    "load_image_encoder": {"clip", "clip, transformers", "clip image"},
    "load_t5_text_encoder": _T5,
    "load_imagen_stage": {kind for kind in TINY if kind.startswith("if stage")},
    "load_clip_text_encoder": {"clip text", "clip text, transformers"},
    "load_bert_text_encoder": {"bert"},
    "load_class_embedder": {"class embedder"},
    "load_latent_denoiser": {kind for kind in TINY if kind.startswith("latent denoiser")},
    "load_box_encoder": set(),
    "load_segmentation_encoder": {"segmentation"},
    "load_noised_clip": {"glide clip image"},
    "load_autoregressive_prior": {"autoregressive prior"},
    "load_laion_prior": {"laion prior"},
    "load_paella": {"paella v1", "paella v3"},
    "load_token_autoencoder": _VQ,
    "load_unclip_prior": _PRIORS,
    "load_unclip_decoder": {kind for kind, tiny in TINY.items() if tiny.component == "decoder"} - {"dall-e decoder"},
    "load_unclip_upsampler": {"karlo upsampler"},
}
# What a user says where neither the file nor its name does.
STATED = {"space": "a space", "clip": "a CLIP", "codebook": "a codebook", "activation": "gelu"}
LOADERS = {
    declaration.name: declaration
    for declaration in pack_registry()
    if any(isinstance(given.widget, File) and given.widget.folder == "models" for given in declaration.inputs)
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of each kind, named by it."""
    folder = tmp_path_factory.mktemp("kinds")
    for kind, tiny in TINY.items():
        save_file(tensors_of(kind), folder / f"{kind}.safetensors", metadata=tiny.metadata)
    return {kind: folder / f"{kind}.safetensors" for kind in TINY}


def test_every_loader_is_tried() -> None:
    assert set(LOADERS) == set(TAKES)


@pytest.mark.parametrize("loader", TAKES)
def test_a_loader_takes_its_own_files_and_names_others(loader: str, files: dict[str, Path]) -> None:
    declaration = LOADERS[loader]
    assert declaration.static_dims is not None
    inputs = {given.id for given in declaration.inputs}
    taken = set()
    for kind, path in files.items():
        given: dict[str, Any] = {name: text for name, text in STATED.items() if name in inputs}
        if loader == "load_noised_clip":
            given |= {"image_encoder": path, "text_encoder": files["glide clip text"]}
        else:
            given["checkpoint"] = path
        try:
            declaration.static_dims(**given)
            taken.add(kind)
        except GlidewireError as problem:
            assert path.name in str(problem), f"{loader} does not say which file it refuses: {problem}"
    assert taken == TAKES[loader]
