"""The template browser: the shipped workflows, each with a picture."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from PIL import Image, ImageDraw

from ..session import shipped_workflows
from .replies import Refused, as_json
from .static_files import static

PACK: Final = "glidewire"
FIRST: Final = "text-to-image"
"""What a new user finds in the editor."""

_SIZE: Final = (400, 300)


async def list_templates(request: web.Request) -> web.Response:
    """GET /workflow_templates: the names of the shipped workflows, the first one first."""
    names = sorted(shipped_workflows(), key=lambda name: (name != FIRST, "/" in name, name))
    return as_json({PACK: names})


async def get_template(request: web.Request) -> web.StreamResponse:
    """GET /workflow_templates/glidewire/<name>.json, or its picture under .jpg."""
    path = Path(request.match_info["name"])
    workflow = shipped_workflows().get(path.with_suffix("").as_posix())
    if workflow is None or path.suffix not in (".json", ".jpg"):
        raise Refused(404, "there is no such workflow", expected="one of /workflow_templates", kind="not_found")
    if path.suffix == ".json":
        return static(workflow)
    picture = workflow.with_suffix(".jpg")
    return static(picture) if picture.is_file() else web.Response(body=drawing(workflow), content_type="image/jpeg")


def drawing(workflow: Path) -> bytes:
    """A small drawing of a workflow's boxes and wires, for one that has no picture of its own yet; JPEG."""
    document = json.loads(workflow.read_text(encoding="utf-8"))
    boxes = {node["id"]: (*_pair(node["pos"]), *_pair(node["size"])) for node in document["nodes"]}
    left, top = (min((box[axis] for box in boxes.values()), default=0) for axis in (0, 1))
    right, bottom = (max((box[axis] + box[axis + 2] for box in boxes.values()), default=1) for axis in (0, 1))
    scale = min((_SIZE[0] - 20) / max(right - left, 1), (_SIZE[1] - 20) / max(bottom - top, 1))

    def at(x: float, y: float) -> tuple[float, float]:
        return 10 + (x - left) * scale, 10 + (y - top) * scale

    image = Image.new("RGB", _SIZE, "#1b1b1f")
    pen = ImageDraw.Draw(image)
    for link in document["links"]:
        if isinstance(link, list) and link[1] in boxes and link[3] in boxes:
            (x, y, width, _), (to_x, to_y, _, _) = boxes[link[1]], boxes[link[3]]
            pen.line([at(x + width, y + 20), at(to_x, to_y + 20)], fill="#7f9fb0", width=1)
    for x, y, width, height in boxes.values():
        pen.rectangle([at(x, y), at(x + width, y + height)], fill="#34343c", outline="#62626e")
    into = BytesIO()
    image.save(into, "JPEG", quality=88)
    return into.getvalue()


def _pair(value: Any) -> tuple[float, float]:
    """A position or size: a list, or an object with the keys "0" and "1"."""
    return (value[0], value[1]) if isinstance(value, list) else (value["0"], value["1"])


ROUTES = [
    web.get("/workflow_templates", list_templates),
    web.get(f"/workflow_templates/{PACK}/{{name:.+}}", get_template),
]
