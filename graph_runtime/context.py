"""What a node may ask of whoever runs it: progress, cancel, device policy, folders, and a cache inside the node."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from ..errors import GlidewireError
from .folders import Folders
from .frames import Frames

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")


class CancelledError(GlidewireError):
    """The user cancelled the run."""

    def __init__(self) -> None:
        super().__init__("cancelled")


class CancelToken:
    """A flag that any thread may set; whoever works polls it."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the run to stop at its next step."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether the run was asked to stop."""
        return self._event.is_set()


@dataclass(frozen=True)
class Policy:
    """On which device and in which number type nodes compute; part of every cache key.

    Args:
        device: "cpu", "cuda", "cuda:1", "mps".
        dtype: "float32", "bfloat16" or "float16": the type of network weights and activations.
        deterministic: Ask torch for deterministic kernels.
    """

    device: str = "cpu"
    dtype: str = "float32"
    deterministic: bool = False

    @property
    def torch_device(self) -> torch.device:
        """The device as torch knows it."""
        return torch.device(self.device)

    @property
    def torch_dtype(self) -> torch.dtype:
        """The number type as torch knows it."""
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[self.dtype]


class Memo:
    """The cache as a node sees it: tensors under keys of the node's own making. This one forgets everything."""

    def recall(self, key: str) -> Mapping[str, torch.Tensor] | None:
        """What was stored under `key`, or None."""
        return None

    def store(self, key: str, value: Mapping[str, torch.Tensor], seconds: float) -> None:
        """Keep tensors under `key`; `seconds` is what it cost to make them."""


@dataclass(frozen=True)
class Context:
    """Handed to a node that has a `context` parameter; nothing else is ambient.

    Args:
        policy: Device and number type.
        folders: Where files may be read and written.
        memo: The cache inside the node (sampler segments).
        frames: Where a node of many steps leaves what each of them looked like.
        cancel: Polled by `check_cancelled`.
        on_progress: (done, total, text, preview) -> None.
        on_warning: message -> None.
        provenance: What a saved picture carries: "workflow", "prompt" (API form), "glidewire" (versions, digests).
        shown: What this node wants shown in the editor; see events.Finished.
    """

    policy: Policy = field(default_factory=Policy)
    folders: Folders = field(default_factory=Folders)
    memo: Memo = field(default_factory=Memo)
    cancel: CancelToken = field(default_factory=CancelToken)
    on_progress: Callable[[int, int, str, Image | None], None] = lambda done, total, text, preview: None
    on_warning: Callable[[str], None] = lambda message: None
    provenance: Mapping[str, str] = field(default_factory=dict)
    shown: dict[str, Any] = field(default_factory=dict)
    wants_previews: bool = False
    frames: Frames = field(default_factory=Frames)

    def check_cancelled(self) -> None:
        """Raise CancelledError if the user cancelled."""
        if self.cancel.cancelled:
            raise CancelledError

    def progress(self, done: int, total: int, text: str = "", preview: Callable[[], Image] | None = None) -> None:
        """Report `done` of `total`; `preview` is only called where somebody looks. Raises if cancelled."""
        self.check_cancelled()
        self.on_progress(done, total, text, preview() if preview and self.wants_previews else None)

    def warn(self, message: str) -> None:
        """Tell the user something without stopping."""
        self.on_warning(message)

    def show(self, **entries: Any) -> None:
        """Add to what the editor shows on this node: images=[...], text=[...]."""
        for key, values in entries.items():
            self.shown.setdefault(key, []).extend(values)
