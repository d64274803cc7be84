"""Content digests of networks, for cache keys."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


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
