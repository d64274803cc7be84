"""The T5 encoder with the tokenizer that belongs to it, and the stages of a cascade, from local files."""

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
from .spec import ImagenSpec
from .tokenizer import FILES, TOKENIZER, T5Tokenizer

if TYPE_CHECKING:
    from .network import ImagenDenoiser
    from .text import T5Text


@dataclass(frozen=True)
class T5TextEncoder(Handle):
    """A T5 encoder with its tokenizer.

    Attributes:
        network: Frozen, in evaluation mode.
        tokenizer: The vocabulary that the network was trained with.
    """

    network: T5Text
    tokenizer: T5Tokenizer

    @torch.no_grad()
    def encode_prompt(self, prompt: str) -> tuple[dict[str, Tensor], str]:
        """Encode one prompt; the empty one is the unconditional prompt.

        Args:
            prompt: Any text.

        Returns:
            `text_states` "1 positions width", of padding too; and the end of the prompt that did not fit, empty
            if all of it did.

        Source: Saharia et al. 2022, section 2.1; positions as in DeepFloyd IF.
        """
        encoded = self.tokenizer.encode(prompt, self.network.spec.positions)
        device = next(self.network.parameters()).device
        states = self.network(encoded.tokens[None].to(device), encoded.mask[None].to(device))
        return {"text_states": states}, encoded.dropped


def identify_t5(path: str | Path) -> Identity:
    """The T5 encoder in a file; errors as `identify`."""
    return identify(path, component="text_encoder", family="imagen")


def load_t5(
    path: str | Path,
    vocabulary: str | Path | None = None,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> T5TextEncoder:
    """Load a T5 encoder with its tokenizer, strictly.

    Args:
        path: A file, its folder, or a pipeline's folder.
        vocabulary: `tokenizer.json`, `spiece.model` or the folder of one; None takes what the file carries, or else
            looks in the encoder's folder, and in `tokenizer` inside of it or beside it.
        device: Where the weights go.
        dtype: What floating-point weights become; None keeps each as it is stored.

    Raises:
        GlidewireError: As `models.checkpoint.load`; or there is no tokenizer, or it has more tokens than the
            encoder has embeddings.
    """
    identity = identify_t5(path)
    carried = identity.header.metadata.get(TOKENIZER) if vocabulary is None else None
    if carried is not None:
        words = T5Tokenizer(carried.encode(), f"tokenizer in {identity.header.name}")
    else:
        words = T5Tokenizer.read(vocabulary if vocabulary is not None else _folder_of_tokenizer(Path(path)))
    size = identity.dims["vocabulary"]
    if words.vocabulary_size > size:
        raise GlidewireError(
            f"{identity.header.name}: the tokenizer does not fit its token embedding",
            expected=f"at most {size} tokens",
            got=words.vocabulary_size,
            hint="Give the tokenizer that belongs to this encoder.",
        )
    return T5TextEncoder(cast("T5Text", load_identified(identity, device=device, dtype=dtype)), words)


def _folder_of_tokenizer(path: Path) -> Path:
    """Where published folders hold the tokenizer of an encoder: with it, or in a folder of its own."""
    folder = path if path.is_dir() else path.parent
    places = (folder, folder / "tokenizer", folder.parent / "tokenizer")
    return next((place for place in places if any((place / name).is_file() for name in FILES)), folder)


@dataclass(frozen=True)
class ImagenModel(Handle):
    """One stage of a cascade of pixel diffusion models.

    Attributes:
        network: Frozen, in evaluation mode.
    """

    network: ImagenDenoiser

    @property
    def spec(self) -> ImagenSpec:
        """The stage's hyper-parameters."""
        return self.network.spec


def identify_stage(path: str | Path) -> Identity:
    """The stage in a file; raises GlidewireError as `identify`, or if it is another family's."""
    identity = identify(path, component="denoiser")
    if identity.family != "imagen":
        raise GlidewireError(f"{identity.header.name} is no stage of IF", expected="imagen", got=identity.family)
    return identity


def load_stage(
    path: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = torch.float32
) -> ImagenModel:
    """Load a stage, strictly; errors as `identify_stage` and `models.checkpoint.load`."""
    return ImagenModel(cast("ImagenDenoiser", load_identified(identify_stage(path), device=device, dtype=dtype)))
