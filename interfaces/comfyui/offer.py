"""What the host gets when it loads the pack: the nodes, a folder of models, our store behind its cache."""

from __future__ import annotations

import functools

from ...graph_runtime.registry import Registry, collect
from .. import sources
from ..session import pack_registry
from ..surroundings import PACKAGE
from . import host
from .cache import offer_store
from .projection import mappings
from .routes import offer_routes

BRIDGES = f"{PACKAGE}.interfaces.comfyui.bridges"


@functools.cache
def host_registry() -> Registry:
    """The pack's nodes, and inside of ComfyUI those that stand between its types and ours."""
    registry = Registry(pack_registry())
    if host.module("comfy.samplers") is not None:
        for declaration in collect(BRIDGES):
            registry.add(declaration)
    return registry


def offer() -> tuple[dict[str, type], dict[str, str]]:
    """NODE_CLASS_MAPPINGS and NODE_DISPLAY_NAME_MAPPINGS; the host is told of the rest on the way."""
    sources.remember("ComfyUI")
    host.offer_own_folder()
    offer_store()
    offer_routes(host_registry())
    return mappings(host_registry())
