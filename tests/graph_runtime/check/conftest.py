from __future__ import annotations

import json

import pytest
from check_nodes import (
    REGISTRY,
    graph,
)
from glidewire.graph_runtime.check import check
from glidewire.graph_runtime.folders import Folders


@pytest.fixture
def folders(tmp_path) -> Folders:
    for name, content in {
        "vit-l.json": {"width": 768, "clip": "ViT-L"},
        "vit-h.json": {"width": 1024, "clip": "ViT-H"},
        "prior.json": {"width": 768},
        "prior-512.json": {"width": 512},
    }.items():
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "broken.json").write_text("{")
    return Folders(models=(tmp_path,))


@pytest.fixture
def checked(folders):
    return lambda **nodes: check(graph(**nodes), REGISTRY, folders)
