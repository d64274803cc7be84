"""Writing tensors as safetensors: the file appears whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import GlidewireError
from .header import Header


def stored_tensors(header: Header) -> dict[str, Tensor]:
    """Every tensor of a safetensors file under the name that it has there: the way back from `save_tensors`.

    Raises:
        GlidewireError: The file is of another form.
    """
    if header.format != "safetensors":
        raise GlidewireError(
            f"{header.name} is of another form",
            expected="a safetensors file",
            got=f"a {header.format} file",
            hint="`glidewire models convert` makes one.",
        )
    return load_file(header.path)


def save_tensors(tensors: Mapping[str, Tensor], path: Path, *, metadata: Mapping[str, str]) -> None:
    """Write tensors under their names; an existing file is replaced at the end.

    Args:
        tensors: Any strides and devices; none may share its bytes with another.
        path: Where to.
        metadata: Strings that the file carries.

    Raises:
        GlidewireError: The folder cannot be written to, or is full.
    """
    partial = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        partial = Path(name)
        save_file({key: value.contiguous() for key, value in tensors.items()}, partial, metadata=dict(metadata))
        partial.chmod(0o644)
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise GlidewireError(
            f"checkpoint {path.name} cannot be written",
            expected="a folder that may be written to, with room for it",
            got=f"{path.parent}: {reason[:200]}",
        ) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
