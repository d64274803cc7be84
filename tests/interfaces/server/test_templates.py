"""The template browser: our workflows, each with a picture."""

from __future__ import annotations

import json
from io import BytesIO

from glidewire.interfaces.server.templates import drawing
from glidewire.interfaces.session import shipped_workflows
from PIL import Image


def test_every_shipped_workflow_is_a_template_with_a_picture(running):
    names = running.get("/api/workflow_templates").json["glidewire"]
    assert set(names) == set(shipped_workflows()) and names[0] == "text-to-image"
    for name in names:
        reply = running.get(f"/api/workflow_templates/glidewire/{name}.json")
        assert reply.json == json.loads(shipped_workflows()[name].read_text())
        picture = running.get(f"/workflow_templates/glidewire/{name}.jpg")
        assert picture.headers["Content-Type"] == "image/jpeg" and Image.open(BytesIO(picture.body)).format == "JPEG"


def test_what_is_no_template_is_not_there(running):
    for name in ("none.json", "text-to-image.py", "..%2Fmake.py", "%2e%2e/%2e%2e/pyproject.json", "text-to-image"):
        assert running.get(f"/workflow_templates/glidewire/{name}").status == 404


def test_a_drawing_shows_boxes_of_either_form(tmp_path):
    nodes = [
        {"id": 1, "pos": [0, 0], "size": [100, 50]},
        {"id": 2, "pos": {"0": 300, "1": 10}, "size": {"0": 80, "1": 40}},
    ]
    path = tmp_path / "flow.json"
    path.write_text(json.dumps({"nodes": nodes, "links": [[1, 1, 0, 2, 0, "X"], {"id": 2}, [3, 9, 0, 1, 0, "X"]]}))
    image = Image.open(BytesIO(drawing(path)))
    assert image.size == (400, 300) and len(image.getcolors(100_000)) > 3
    path.write_text('{"nodes": [], "links": []}')
    assert Image.open(BytesIO(drawing(path))).size == (400, 300)
