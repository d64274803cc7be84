"""ByT5, which Paella's third generation reads its texts with: bytes as tokens, so that no vocabulary is needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from ...errors import GlidewireError
from ..checkpoint import identify, load_identified
from ..handle import Handle
from ..registry import Identity

if TYPE_CHECKING:
    from ..imagen.text import T5Text

POSITIONS = 768
"""Most tokens of a text, as Paella was published with."""
_END, _FIRST_BYTE, _LEAST_VOCABULARY = 1, 3, 259
# Ids of ByT5's vocabulary end with those that stood for gaps in its own training.
_MOST_VOCABULARY = 384


def byte_tokens(text: str, positions: int = POSITIONS) -> tuple[Tensor, str]:
    """The bytes of a text (UTF-8) plus 3, and the end.

    Args:
        text: Any text; the empty one is the end alone.
        positions: Most tokens.

    Returns:
        "tokens" int64, not padded; and the end of the text that did not fit (cut before a whole character).

    Raises:
        GlidewireError: Text that is not valid Unicode.

    Source: Xue et al. 2021 (ByT5, 2105.13626), section 3.1.
    """
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise GlidewireError("the prompt is not valid Unicode", expected="a text", got=str(error)) from None
    kept = content[: positions - 1].decode(errors="ignore")
    tokens = [byte + _FIRST_BYTE for byte in kept.encode()] + [_END]
    return torch.tensor(tokens), text[len(kept) :]


@dataclass(frozen=True)
class ByT5(Handle):
    """A ByT5 encoder.

    Attributes:
        network: Frozen, in evaluation mode.
    """

    network: T5Text

    @property
    def width(self) -> int:
        """Width of the states."""
        return self.network.spec.width

    @torch.no_grad()
    def encode_prompt(self, prompt: str) -> tuple[Tensor, str]:
        """States "1 tokens width" of a prompt, float32 on the CPU, and the end that did not fit; see `byte_tokens`."""
        tokens, dropped = byte_tokens(prompt)
        ids = tokens[None].to(next(self.network.parameters()).device)
        return self.network(ids, torch.ones_like(ids, dtype=torch.bool)).float().cpu(), dropped


def identify_byt5(path: str | Path) -> Identity:
    """The ByT5 encoder in a file, told from its header.

    Raises:
        GlidewireError: As `identify`, or the file's text encoder reads something else than bytes.
    """
    identity = identify(path, component="text_encoder", family="imagen")
    rows = identity.dims.get("vocabulary", 0)
    if identity.variant != "T5" or not _LEAST_VOCABULARY <= rows <= _MOST_VOCABULARY:
        raise GlidewireError(
            f"{identity.header.name} is no ByT5",
            expected=f"a T5 encoder with {_LEAST_VOCABULARY} to {_MOST_VOCABULARY} tokens, one for each byte",
            got=f"{identity.variant} with {rows}",
        )
    return identity


def load_byt5(
    path: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32
) -> ByT5:
    """Load a ByT5 encoder, strictly; errors as `identify_byt5` and `models.checkpoint.load`."""
    return ByT5(cast("T5Text", load_identified(identify_byt5(path), device=device, dtype=dtype)))
