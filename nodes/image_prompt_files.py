"""Image prompts and faces in files, and several prompts as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..models.header import open_tensors, read_header
from ..models.saving import save_tensors
from .adapter_sockets import ImagePrompt

_TOKENS, _ADAPTER = "tokens", "glidewire.adapter"


def write(prompt: ImagePrompt, prefix: str, context: Context) -> str:
    """Save a prompt under the next free number; returns the file's name in the output folder."""
    path = context.folders.next_destination(prefix, ".safetensors")
    save_tensors({_TOKENS: prompt.tensor.contiguous()}, path, metadata={_ADAPTER: prompt.adapter})
    return path.relative_to(context.folders.output.resolve()).as_posix()


def dims(file: Path, **_: object) -> Mapping[str, int | str]:
    """The dims of a prompt in a file, from its header alone."""
    header = read_header(_checked(file))
    batch, tokens, width = header.shapes[_TOKENS]
    return {"batch": batch, "tokens": tokens, "width": width, "adapter": header.metadata[_ADAPTER]}


def read(path: Path) -> ImagePrompt:
    """The prompt in a file."""
    header = read_header(_checked(path))
    with open_tensors(header) as tensor_of:
        return ImagePrompt(tensor_of(_TOKENS).float().clone(), header.metadata[_ADAPTER])


def _checked(path: Path) -> Path:
    header = read_header(path)
    if len(header.shapes.get(_TOKENS, ())) != 3 or _ADAPTER not in header.metadata:
        raise GlidewireError(
            f"{path.name} holds no image prompt",
            expected="a file of save image prompt",
            got=", ".join(sorted(header.shapes))[:200] or "no tensor",
        )
    return path


def read_faces(path: Path) -> Tensor:
    """The embeddings "faces width" in a file of one tensor."""
    header = read_header(path)
    names = list(header.shapes)
    if len(names) != 1 or len(header.shapes[names[0]]) not in (1, 2):
        raise GlidewireError(
            f"{path.name} holds no embeddings of faces",
            expected='one tensor "faces width"',
            got=", ".join(f"{name} {shape}" for name, shape in header.shapes.items())[:200] or "no tensor",
        )
    with open_tensors(header) as tensor_of:
        found = tensor_of(names[0]).float().clone()
    return found if found.ndim == 2 else found[None]


def joined(prompts: Sequence[ImagePrompt], weight: float | None) -> ImagePrompt:
    """Prompts of one adapter as one: side by side (no weight), or averaged with a weight of the first."""
    tensors = [prompt.tensor for prompt in prompts]
    for prompt in prompts[1:]:
        if prompt.adapter != prompts[0].adapter:
            raise GlidewireError(
                "the image prompts are of different adapters",
                expected=prompts[0].adapter,
                got=prompt.adapter,
                hint="Apply each adapter by itself.",
            )
    batches, counts = {len(each) for each in tensors} - {1}, {each.shape[1] for each in tensors}
    if len(batches) > 1 or (weight is not None and len(counts) > 1):
        raise GlidewireError(
            "the image prompts do not fit together",
            expected="one batch" if weight is None else "one batch, and equally many tokens",
            got=" and ".join(str(tuple(each.shape)) for each in tensors),
        )
    batch = max(batches, default=1)
    tensors = [each.expand(batch, -1, -1) for each in tensors]
    if weight is None:
        return ImagePrompt(torch.cat(tensors, dim=1), prompts[0].adapter)
    rest = torch.stack(tensors[1:]).mean(dim=0)
    return ImagePrompt(weight * tensors[0] + (1 - weight) * rest, prompts[0].adapter)
