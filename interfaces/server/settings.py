"""The editor's settings: the user's own over our defaults, in one file that no other endpoint reaches."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from ...errors import GlidewireError
from ...graph_runtime.atomic import replacing
from ...graph_runtime.formats.json_text import dump, parse
from .replies import Refused, as_json, read_json, read_object
from .state import SERVER, Server

DEFAULTS: Final[dict[str, Any]] = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Notification.ShowVersionUpdates": False,
    "Comfy.VersionCompatibility.DisableWarnings": True,
    "Comfy.Workflow.ShowMissingModelsWarning": False,
    "Comfy.RightSidePanel.ShowErrorsTab": True,
    "Comfy.ErrorSystem.ShowMissingModels": False,
    "Comfy.NodeBadge.NodeSourceBadgeMode": "None",
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
    "LiteGraph.Canvas.MinFontSizeForLOD": 4,  # whole workflows are read, too: no text is left out above 29 %
    "Comfy.Workflow.WorkflowTabsPosition": "Topbar",
}
"""What a user who has chosen nothing gets: nothing asks an outside service, nothing offers what is not here."""

_LONGEST: Final = 2**20
_MOST: Final = 5_000
_LOCK: Final = threading.Lock()


def _path(server: Server) -> Path:
    return server.user / "settings.json"


def load(path: Path) -> dict[str, Any]:
    """The user's settings; a damaged file counts as none and is kept aside."""
    try:
        found = parse(path.read_bytes(), "the settings").value
        return found if isinstance(found, dict) else {}
    except FileNotFoundError:
        return {}
    except (GlidewireError, OSError):
        path.replace(path.with_suffix(".damaged.json"))
        return {}


def save(path: Path, changes: dict[str, Any]) -> None:
    """Change some settings.

    Raises:
        Refused: too many, too long, or the disk does not take them.
    """
    with _LOCK:
        merged = {**load(path), **changes}
        text = json.dumps(merged, indent=1)
        if len(merged) > _MOST or len(text) > _LONGEST:
            raise Refused(413, "the settings are too long", expected=f"at most {_LONGEST} bytes", kind="too_long")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
        except GlidewireError as problem:
            raise Refused(507, "the settings cannot be saved", got=problem.got, hint="Make room on the disk.") from None


async def show_settings(request: web.Request) -> web.Response:
    """GET /settings."""
    return as_json({**DEFAULTS, **load(_path(request.app[SERVER]))})


async def show_setting(request: web.Request) -> web.Response:
    """GET /settings/{id}: null where it is unknown."""
    found = {**DEFAULTS, **load(_path(request.app[SERVER]))}
    return as_json(found.get(request.match_info["id"]))


async def change_settings(request: web.Request) -> web.Response:
    """POST /settings {id: value, ...}."""
    save(_path(request.app[SERVER]), await read_object(request, _LONGEST))
    return as_json({})


async def change_setting(request: web.Request) -> web.Response:
    """POST /settings/{id}, the value as the body."""
    value = await read_json(request, _LONGEST)
    dump(value)
    save(_path(request.app[SERVER]), {request.match_info["id"][:200]: value})
    return as_json({})


ROUTES = [
    web.get("/settings", show_settings),
    web.get("/settings/{id}", show_setting),
    web.post("/settings", change_settings),
    web.post("/settings/{id}", change_setting),
]
