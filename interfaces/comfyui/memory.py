"""Networks in the host's memory management: on the device while a node needs them, the host's to move otherwise."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import nn

from . import host

_DEEPEST = 12
_IN_USE: ContextVar[tuple[Any, ...]] = ContextVar("glidewire_patchers_in_use", default=())
_PATCHER = "_glidewire_host_patcher"


def networks_in(value: Any) -> list[nn.Module]:
    """Every network that a value holds, each once: in handles, expressions, lists and views."""
    return [part for part in _walk(value) if isinstance(part, nn.Module)]


def of_this_process(value: Any) -> bool:
    """Whether a value holds something that no other process could find again: one of the host's own models."""
    return any(getattr(part, "of_this_process", False) for part in _walk(value))


def _walk(value: Any) -> Iterator[Any]:
    seen: set[int] = set()
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        current, depth = waiting.pop()
        if id(current) in seen or depth > _DEEPEST or isinstance(current, torch.Tensor | str | int | float | None):
            continue
        seen.add(id(current))
        yield current
        if not isinstance(current, nn.Module):
            waiting += [(part, depth + 1) for part in _parts(current)]


def _parts(value: Any) -> Sequence[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, list | tuple):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, entry.name) for entry in fields(value)]
    # Views of a network keep it as an attribute; what is not ours is not looked into.
    ours = type(value).__module__.startswith(__name__.partition(".interfaces.")[0] + ".")
    return list(vars(value).values()) if ours and hasattr(value, "__dict__") else []


@contextmanager
def loaded(values: Any) -> Iterator[None]:
    """Have the networks in some values on the host's device meanwhile; nothing outside of a host."""
    patchers = tuple(patcher for network in networks_in(values) if (patcher := _patcher(network)) is not None)
    token = _IN_USE.set((*_IN_USE.get(), *patchers))
    try:
        reload()
        yield
    finally:
        _IN_USE.reset(token)


def reload(*more: Any) -> None:
    """Load what the running node needs, and `more` of the host's own models; again where the host moved it away."""
    management, wanted = host.module("comfy.model_management"), [*more, *_IN_USE.get()]
    if management is not None and wanted:
        management.load_models_gpu(wanted)


def _patcher(network: nn.Module) -> Any:
    """The host's handle on one of our networks, made once for each; None for a network without weights."""
    management, patching = host.module("comfy.model_management"), host.module("comfy.model_patcher")
    if management is None or not hasattr(patching, "ModelPatcher") or next(network.parameters(), None) is None:
        return None
    if _PATCHER not in vars(network):
        # Kept by the network itself, so that the host forgets both together.
        made = network_patcher(network, management.get_torch_device(), management.unet_offload_device())
        vars(network)[_PATCHER] = made
    return vars(network)[_PATCHER]


def network_patcher(network: nn.Module, device: Any, offload_device: Any) -> Any:
    """The host's handle on a network of ours, which it moves as a whole."""
    return _patcher_class()(network, device, offload_device)


@functools.cache
def _patcher_class() -> type:
    base: Any = host.require("comfy.model_patcher").ModelPatcher

    class NetworkPatcher(base):
        """A network that the host moves as a whole.

        The host moves parts of its own networks, which fetch weights as they go; ours do not. And it moves them
        under inference mode, which would leave weights that no gradient passes through.
        """

        def patch_model(self, *args: Any, **options: Any) -> Any:
            with torch.inference_mode(False), torch.no_grad():
                return super().patch_model(*args, **options)

        def unpatch_model(self, *args: Any, **options: Any) -> Any:
            with torch.inference_mode(False), torch.no_grad():
                return super().unpatch_model(*args, **options)

        def partially_load(self, device_to: Any, *args: Any, **options: Any) -> int:
            if self.loaded_size() and self.current_loaded_device() == device_to:
                return 0
            self.patch_model(device_to)
            return self.loaded_size()

        def partially_unload(self, device_to: Any, *args: Any, **options: Any) -> int:
            held = self.loaded_size()
            self.unpatch_model(device_to)
            return held

    return NetworkPatcher
