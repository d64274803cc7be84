"""Content digests of files, computed once per state of a file; and of networks, for cache keys."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import torch
from torch import nn

from ..errors import GlidewireError

_known: dict[tuple[str, int, int, int], str] = {}
_lock = threading.Lock()


def file_digest(path: str | Path) -> str:
    """sha256 of a file's content, as hexadecimal text.

    Remembered in this process by path, size, modification time in nanoseconds and inode: a file that changed
    in any of them is read again.

    Raises:
        GlidewireError: The file cannot be read.
    """
    path = Path(path)
    try:
        status = path.stat()
        key = (str(path.absolute()), status.st_size, status.st_mtime_ns, status.st_ino)
        with _lock:
            known = _known.get(key)
        if known is None:
            with path.open("rb") as file:
                known = hashlib.file_digest(file, "sha256").hexdigest()
            with _lock:
                _known[key] = known
    except OSError as error:
        raise GlidewireError(f"{path.name} cannot be read", got=f"{path}: {error.strerror}") from error
    return known


def network_digest(network: nn.Module, spec: object, content_digest: str | None) -> str:
    """Content identity of a network's weights and the precision that they are held in, for cache keys.

    Args:
        network: Its weights are read only where no loader told its digest.
        spec: Its hyper-parameters.
        content_digest: What a loader said of the file and the hyper-parameters.
    """
    if content_digest is not None:
        return f"{content_digest}:{str(next(network.parameters()).dtype).removeprefix('torch.')}"
    whole = hashlib.sha256(repr(spec).encode())
    for name, value in sorted(network.state_dict().items()):
        whole.update(f"{name}:{value.dtype}:{tuple(value.shape)}".encode())
        whole.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()
