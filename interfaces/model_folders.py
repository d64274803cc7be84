"""Where checkpoints lie on this machine: the user's own folder, a node host's folders, the hub's cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import platformdirs

_HOST_CONFIG = "extra_model_paths.yaml"


def own_folder() -> Path:
    """The folder that `glidewire models pull` fills where no other is named; it may not be there yet."""
    return platformdirs.user_data_path("glidewire") / "models"


def existing(folder: Path) -> tuple[Path, ...]:
    """The folder, if it is there."""
    return (folder,) if folder.is_dir() else ()


def hub_cache() -> Path:
    """The hub's cache: $HF_HUB_CACHE, else inside $HF_HOME, else in the user's cache folder."""
    named = os.environ.get("HF_HUB_CACHE")
    home = os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface"
    return Path(named).expanduser() if named else Path(home).expanduser() / "hub"


def host_folders(pack: Path) -> tuple[Path, ...]:
    """The folders of models of the node host around the pack, or of the one at $COMFYUI_PATH; those that exist.

    Args:
        pack: The folder of the pack: in a host it lies in `custom_nodes`.
    """
    named = os.environ.get("COMFYUI_PATH")
    host = Path(named).expanduser() if named else pack.parent.parent if pack.parent.name == "custom_nodes" else None
    if host is None:
        return ()
    found = dict.fromkeys(path.resolve() for path in (host / "models", *_configured(host)) if path.is_dir())
    # A folder inside another is found there.
    return tuple(path for path in found if not any(path != other and path.is_relative_to(other) for other in found))


def _configured(host: Path) -> Iterator[Path]:
    """What the host's own list of further folders names; a list that cannot be read names none."""
    try:
        import yaml
    except ImportError:
        return
    try:
        sections = yaml.safe_load((host / _HOST_CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return
    for section in sections.values() if isinstance(sections, dict) else ():
        if not isinstance(section, dict):
            continue
        base = Path(str(section.get("base_path") or host)).expanduser()
        for kind, lines in section.items():
            if kind not in ("base_path", "is_default", "custom_nodes"):
                yield from ((host / base / line.strip()) for line in str(lines).splitlines() if line.strip())
