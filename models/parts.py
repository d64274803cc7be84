"""Checkpoints that hold several models, under prefixes or in folders: each as a header of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import GlidewireError
from .folder import components, is_pipeline, read_folder, read_json
from .former_names import with_present_names
from .header import Header, open_tensors, read_header
from .strict import StrictLoadError

# Prefixes of the models inside a latent diffusion checkpoint (Rombach et al. 2022), its descendants, and Karlo's
# super-resolution; and what errors call them.
PREFIXES: Mapping[str, str] = {
    "model.diffusion_model.": "denoiser",
    "diffusion_model.": "denoiser",
    "first_stage_model.": "first stage",
    "cond_stage_model.": "condition",
    "control_model.": "control",
    "embedder.": "image embedder",
    "noise_augmentor.": "noise augmentation",
    "depth_model.": "depth",
    "model_first_steps.": "first steps",
    "model_last_step.": "last step",
}
# Folders of a pipeline that hold one network between them: their tensors become one header, under these prefixes.
JOINED: Mapping[str, tuple[str, ...]] = {"decoder": ("decoder", "text_proj")}
# The moving average lies under the raw weights' names without their dots.
AVERAGE = "model_ema."
# What training leaves beside the weights.
LEFTOVERS = (
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod",
    "posterior_variance", "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2",
    "lvlb_weights", "logvar", "scale_factor", "global_step", "ddim_sigmas", "ddim_alphas", "ddim_alphas_prev",
    "ddim_sqrt_one_minus_alphas", "cond_ids",
)  # fmt: skip
# Beginnings of the same: schedules of the noise that is added to a condition.
IGNORED = ("low_scale_model.",)
# Where an LDM says by which factor its latents were scaled, if it measured it.
SCALE = "scale_factor"


def read_parts(path: str | Path, *, averaged: bool | None = None) -> tuple[Header, ...]:
    """Read a checkpoint's header as one header per model that it holds, with keys relative to the model.

    Args:
        path: A file; a folder with `config.json`; or a folder of such folders.
        averaged: Whether to take the moving average of the weights; None takes it if it is there.

    Raises:
        GlidewireError: As `read_header`; there is no average or only a part of it; or, as StrictLoadError, a
            file that holds models under known prefixes has tensors beside them.
    """
    return tuple(with_present_names(header) for header in _parts(Path(path), averaged))


def _parts(path: Path, averaged: bool | None) -> tuple[Header, ...]:
    if path.is_dir() and is_pipeline(path):
        return _pipeline(path)
    if path.is_dir():
        return (read_folder(path),)
    header = read_header(path)
    found = _prefixed(header)
    if averaged and "denoiser" not in found:
        raise GlidewireError(f"{header.name} holds no moving average of its weights")
    if not found:
        return (header,)
    header = _with_scale(header)
    parts = {part: header.view(names, part=part) for part, names in found.items()}
    if "denoiser" in found and averaged is not False:
        average = _average(header, found["denoiser"], wanted=bool(averaged))
        parts["denoiser"] = average or parts["denoiser"]
    return _beside_each_other(parts.values())


def _pipeline(folder: Path) -> tuple[Header, ...]:
    """The models of a pipeline's folder, each with the configuration of their scheduler under `scheduler`."""
    beside = folder / "scheduler" / "scheduler_config.json"
    scheduler = {"scheduler": read_json(beside)} if beside.is_file() else {}
    headers = {inside.name: read_folder(inside) for inside in components(folder)}
    for name, folders in JOINED.items():
        if headers.keys() >= set(folders) and len({headers[inside].format for inside in folders}) == 1:
            headers[name] = _joined([(inside, headers.pop(inside)) for inside in folders])
    parts = tuple(replace(header, part=name, config={**header.config, **scheduler}) for name, header in headers.items())
    if not parts:
        raise GlidewireError(f"checkpoint {folder.name} is a pipeline's folder without weights")
    return _beside_each_other(parts)


def _beside_each_other(parts: Iterable[Header]) -> tuple[Header, ...]:
    parts = tuple(parts)
    return tuple(replace(one, beside=tuple(other.part for other in parts if other is not one)) for one in parts)


def _joined(folders: Sequence[tuple[str, Header]]) -> Header:
    """The tensors of several folders under their names as prefixes, with the first one's configuration."""

    def together(tables: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
        return {f"{name}.{key}": value for name, table in tables for key, value in table.items()}

    return replace(
        folders[0][1],
        shapes=together((name, header.shapes) for name, header in folders),
        dtypes=together((name, header.dtypes) for name, header in folders),
        locations=together((name, header.locations) for name, header in folders),
        files=together((name, header.files) for name, header in folders),
    )


def _prefixed(header: Header) -> dict[str, dict[str, str]]:
    """For each model inside, the file's key of each tensor by its own."""
    found: dict[str, dict[str, str]] = {}
    beside: list[str] = []
    for key in header.shapes:
        prefix = next((prefix for prefix in PREFIXES if key.startswith(prefix)), None)
        if prefix is not None:
            found.setdefault(PREFIXES[prefix], {})[key.removeprefix(prefix)] = key
        elif key not in LEFTOVERS and not key.startswith((AVERAGE, *IGNORED)):
            beside.append(key)
    found = {part: found[part] for part in dict.fromkeys(PREFIXES.values()) if part in found}
    if found and beside:
        raise StrictLoadError(f"{header.name}, which holds {', '.join(found)},", (), beside, {})
    return found


def _average(header: Header, denoiser: Mapping[str, str], *, wanted: bool) -> Header | None:
    """The moving average of the denoiser's weights under their own names."""
    places = {name: AVERAGE + f"diffusion_model.{name}".replace(".", "") for name in denoiser}
    absent = [place for place in places.values() if place not in header.shapes]
    if len(absent) == len(places) and not wanted:
        return None
    if absent:
        raise GlidewireError(
            f"{header.name} holds only a part of the moving average of its weights",
            expected=f"{len(places)} tensors",
            got=f"{len(places) - len(absent)}, without {absent[0]}",
            hint="Take the raw weights with `averaged=False`, or download the file again.",
        )
    return header.view(places, part="denoiser, averaged")


def _with_scale(header: Header) -> Header:
    """The header with the factor of its latents among its strings, if the file measured one."""
    if SCALE not in header.shapes:
        return header
    with open_tensors(header) as read:
        return replace(header, metadata={**header.metadata, SCALE: repr(read(SCALE).item())})
