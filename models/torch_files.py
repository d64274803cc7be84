"""torch's files as trees of tensors: no code is run, whether they are state dicts or TorchScript programs."""

from __future__ import annotations

import pickle
import re
import zipfile
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from ..errors import GlidewireError
from .torch_archive import is_torchscript, is_zipped, read_archive, zip_entries
from .torch_pickle import ArchiveError, NeedsCodeError

_CHECKPOINTS = (".ckpt", ".pt", ".pth", ".bin", ".safetensors")


class NeedsCodeToReadError(GlidewireError):
    """A pickle would have to be run."""


def read_tree(path: Path, *, device: str) -> Any:
    """A torch file's tree of tensors; nothing but tensors and plain containers is ever constructed.

    Args:
        path: The file.
        device: "meta" for shapes and dtypes alone; "cpu" for the values, mapped where the file is a zip.

    Raises:
        GlidewireError: The file is damaged, truncated, or needs code to be run to be read.
    """
    zipped = is_zipped(path)
    if zipped:
        _refuse_parcel(path)
    try:
        if zipped and is_torchscript(zip_entries(path)):
            archive = read_archive(path)
            return archive.meta() if device == "meta" else archive.mapped()
        # torch would take the ending .safetensors at its word; a file object has no name to go by.
        if path.suffix == ".safetensors":
            with path.open("rb") as file:
                return torch.load(file, map_location=device, weights_only=True)
        # Only the zipped form can be mapped instead of read.
        return torch.load(path, map_location=device, weights_only=True, mmap=zipped)
    except NeedsCodeError as error:
        raise _needs_code(path, error.name, error) from error
    except ArchiveError as error:
        raise damaged(path, error) from error
    except pickle.UnpicklingError as error:
        found = re.search(r"(?:GLOBAL|global|class)\s+`?([\w.]+)", str(error))
        raise (_needs_code(path, found.group(1), error) if found else damaged(path, error)) from error
    except Exception as error:  # torch raises RuntimeError, EOFError, ValueError, KeyError... on damaged files
        raise damaged(path, error) from error


def _refuse_parcel(path: Path) -> None:
    """Raise a GlidewireError for a zip that somebody packed a checkpoint into, as latent diffusion's are published."""
    with suppress(zipfile.BadZipFile, OSError, ValueError, NotImplementedError), zipfile.ZipFile(path) as parcel:
        names = parcel.namelist()
        if inside := [name for name in names if PurePosixPath(name).suffix in _CHECKPOINTS]:
            raise GlidewireError(
                f"checkpoint {path.name} is an archive with a checkpoint inside",
                expected="the checkpoint",
                got=", ".join(name[:80] for name in names[:6]),
                hint=f"Unpack {inside[0][:80]}, and name that.",
            )


def _needs_code(path: Path, name: str, error: Exception) -> GlidewireError:
    return NeedsCodeToReadError(
        f"checkpoint {path.name} needs code to be run to be read, which is never done",
        expected="tensors only",
        got=f"an object of {name}",
        hint="Of a pickled module, `glidewire models convert` takes the tensors out without running it; of anything "
        "else, save the state dict as safetensors where you trust the file.",
    )


def damaged(path: Path, error: Exception) -> GlidewireError:
    """The error that says a file is damaged, with the first line of what its reader says."""
    detail = str(error).strip().splitlines()
    return GlidewireError(
        f"checkpoint {path.name} is damaged or truncated",
        got=f"{path.stat().st_size} bytes; {detail[0][:200] if detail else type(error).__name__}",
        hint="Download it again.",
    )
