"""ByT5's texts, which Paella's third generation attends to beside CLIP's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from ..graph_runtime.context import Context
from ..graph_runtime.declaration import INJECTED, node
from ..graph_runtime.sockets import Socket, socket_type
from ..graph_runtime.widgets import File, Text
from ..models.paella import byt5
from ..models.paella.byt5 import ByT5
from .paella import SUFFIXES
from .sockets import Condition

socket_type("BYT5", ByT5, "A ByT5 text encoder, which reads bytes.", handle=True)


def _dims(checkpoint: Path, **_: object) -> Mapping[str, int | str]:
    return {"byt5_width": byt5.identify_byt5(checkpoint).dims["text_width"]}


@node(category="paella", title="Load ByT5", static_dims=_dims)
def load_byt5(
    checkpoint: Annotated[str, File(folder="models", suffixes=SUFFIXES)],
    context: Context = INJECTED,
) -> Socket[ByT5, "byt5_width"]:
    """Load a ByT5 encoder (byt5-xl for the published Paella v3), strictly; it needs no vocabulary.

    Args:
        checkpoint: A file of a ByT5 or of its encoder alone, in transformers' layout.

    Returns: An encoder with states of "byt5_width".

    Raises: GlidewireError with the whole list of keys that do not fit, or for a T5 that does not read bytes.

    Source: Xue et al. 2021 (ByT5, 2105.13626); Rampas et al. 2023 (Paella, 2211.07292, second version), section 3.
    """
    path = context.folders.find("models", checkpoint)
    return byt5.load_byt5(path, device=context.policy.torch_device, dtype=context.policy.torch_dtype)


@node(category="paella", title="ByT5 text")
def byt5_text(
    encoder: Socket[ByT5, "byt5_width"],
    prompt: Annotated[str, Text(multiline=True)] = "",
    context: Context = INJECTED,
) -> Socket[Condition, "1 _ byt5_width"]:
    """Encode a prompt byte by byte; the empty prompt is the unconditional one.

    Args:
        encoder: ByT5.
        prompt: Any text; what goes beyond 768 bytes is dropped (with a warning).

    Returns: States "1 tokens byt5_width", one for each byte and one for the end.

    Source: Xue et al. 2021 (ByT5, 2105.13626), section 3.1.
    """
    states, dropped = encoder.encode_prompt(prompt)
    if dropped:
        context.warn(f"the prompt is longer than {byt5.POSITIONS - 1} bytes; dropped: {dropped!r}")
    return Condition({"byt5": states})
