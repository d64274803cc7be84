"""What the editor asks about the machine and the house, and things that it asks for and that are not here."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any, Final

import torch
from aiohttp import web

from ..surroundings import ROOT
from ..version import versions
from .editor_socket import FEATURES
from .replies import as_json
from .state import SERVER
from .submission import editor_texts

_LANGUAGES: Final = ("ar", "en", "es", "fa", "fr", "ja", "ko", "pt-BR", "ru", "tr", "zh", "zh-TW")
"""Those that the editor speaks."""


async def show_users(request: web.Request) -> web.Response:
    """GET /users: one user, whose things are kept on the server."""
    return as_json({"storage": "server", "migrated": True})


async def show_system(request: web.Request) -> web.Response:
    """GET /system_stats: the machine, the versions, the devices."""
    server = request.app[SERVER]
    known = versions()
    total, free = _memory()
    system = {
        "os": sys.platform,
        "ram_total": total,
        "ram_free": free,
        "comfyui_version": f"glidewire {known['glidewire']}",
        "python_version": platform.python_version(),
        "pytorch_version": known["torch"],
        "embedded_python": False,
        # The editor reads this as the host's command line: without it, it asks an outside service for news.
        "argv": ["glidewire", "--disable-api-nodes"],
    }
    return as_json({"system": system, "devices": [_device(server.session.policy.device, total, free)]})


def _device(name: str, total: int, free: int) -> dict[str, Any]:
    kind, title = name.partition(":")[0], "processor"
    if kind == "cuda":
        title = torch.cuda.get_device_name(name)
        free, total = torch.cuda.mem_get_info(name)
    device = {"name": f"{name} {title}", "type": kind, "index": 0 if kind != "cpu" else None}
    return {**device, "vram_total": total, "vram_free": free, "torch_vram_total": total, "torch_vram_free": free}


def _memory() -> tuple[int, int]:
    """Bytes of memory in all and free; 0 where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0, 0
    facts = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
    return facts.get("MemTotal", 0), facts.get("MemAvailable", 0)


async def show_features(request: web.Request) -> web.Response:
    """GET /features: what the editor may count on."""
    return as_json(FEATURES)


async def show_locales(request: web.Request) -> web.Response:
    """GET /i18n: our texts in other languages, {language: {"nodeDefs": ..., ...}}."""
    found: dict[str, Any] = {language: editor_texts() for language in _LANGUAGES}
    for path in sorted((ROOT / "locales").glob("*/*.json")):
        texts = json.loads(path.read_text(encoding="utf-8"))
        language = found.setdefault(path.parent.name, {})
        language.update(texts if path.stem == "main" else {path.stem: texts})
    return as_json(found)


async def show_folders(request: web.Request) -> web.Response:
    """GET /internal/files/{kind}: the pictures in a folder, the newest first."""
    from .files import folders_of

    kind = request.match_info["kind"]
    paths = [path for root in folders_of(request.app[SERVER], kind) for path in root.glob("*") if path.is_file()]
    paths.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return as_json([f"{path.name} [{kind}]" for path in paths[:1_000] if not path.name.startswith(".")])


async def nothing(request: web.Request) -> web.Response:
    """What there is none of: an empty object."""
    return as_json({})


async def none(request: web.Request) -> web.Response:
    """What there is none of: an empty list."""
    return as_json([])


async def unknown(request: web.Request) -> web.Response:
    """What the editor has its own idea of: null."""
    return as_json(None)


async def show_logs(request: web.Request) -> web.Response:
    """GET /internal/logs/raw: the server's messages stay in its terminal."""
    return as_json({"entries": [], "size": {"cols": 80, "rows": 24}})


ROUTES = [
    web.get("/users", show_users),
    web.get("/system_stats", show_system),
    web.get("/features", show_features),
    web.get("/i18n", show_locales),
    web.get("/internal/files/{kind}", show_folders),
    web.get("/internal/logs", show_logs),
    web.get("/internal/logs/raw", show_logs),
    web.patch("/internal/logs/subscribe", nothing),
    web.get("/internal/folder_paths", nothing),
    web.get("/global_subgraphs", nothing),
    web.get("/node_replacements", nothing),
    web.get("/experiment/models", none),
    web.get("/models", none),
    web.get("/embeddings", none),
    web.get("/templates/index.json", none),
    web.get("/templates/index_logo.json", nothing),
    web.get("/templates/fuse_options.json", unknown),
]
