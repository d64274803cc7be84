"""Prompt-to-prompt: a target prompt's attention maps made from the source's, in windows of the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..errors import GlidewireError
from .identity import tensors_digest
from .token_alignment import Refinement, Tokenization

Window = tuple[float, float]
"""From this fraction of the run, and up to that one."""


# --- cross-attention: one target's maps, "heads pixels positions" -----------------------------------------------------


def replaced(source: Tensor, mapper: Tensor) -> Tensor:
    """Word swap: A* = A_source M.

    Args:
        source: A_source, "... pixels positions".
        mapper: M, "positions positions", from `token_alignment.replacement`.

    Source: Hertz et al. 2022, section 3, word swap.
    """
    return source @ mapper.to(source)


def refined(source: Tensor, own: Tensor, refinement: Refinement) -> Tensor:
    """A new phrase: A*_j = A_source,m(j) where the source has token j, else the target's own A_j.

    Args:
        source: A_source, "... pixels positions".
        own: A, as the target's prompt makes it; shaped as the source.
        refinement: m and what it covers, from `token_alignment.refinement`.

    Source: Hertz et al. 2022, section 3, adding a new phrase.
    """
    positions, taken = (each.to(source.device) for each in refinement)
    return torch.where(taken, source[..., positions.clamp(min=0)], own)


def reweighted(maps: Tensor, factors: Tensor) -> Tensor:
    """Re-weighting: A* = c · A, without normalising again.

    Args:
        maps: A, "... pixels positions": the source's, or what another edit made of them.
        factors: c, "positions", from `token_alignment.equalizer`.

    Source: Hertz et al. 2022, section 3, attention re-weighting.
    """
    return maps * factors.to(maps)


def _count(fraction: float, steps: int) -> int:
    # The published rule rounds the float product down, so 0.29 of 100 is 28.
    return int(fraction * steps)


def require_window(name: str, window: Window) -> None:
    """Raise a GlidewireError unless a window starts and ends inside the run, in this order."""
    if not 0 <= window[0] <= window[1] <= 1:
        raise GlidewireError(
            f"prompt-to-prompt: impossible {name}", expected="0 <= start <= end <= 1 (fractions of the run)", got=window
        )


def word_windows(
    tokens: Tokenization, target: str, steps: int, window: Window, words: Mapping[str | int, Window] | None = None
) -> Tensor:
    """The steps in which each position of a target is edited: alpha is 1 inside its window and 0 outside.

    Args:
        tokens: The tokenizer.
        target: The target's prompt.
        steps: N of the run; a window [a, b) covers the rows int(a (N + 1)) up to int(b (N + 1)), as published.
        window: Of every position.
        words: Windows of single words instead; a later one wins.

    Returns:
        float32 "steps+1 positions".

    Raises:
        GlidewireError: An impossible window, or a word that is not in the prompt.

    Source: Hertz et al. 2022, section 3, word swap (tau), per word as in the published code.
    """
    alpha = torch.zeros(steps + 1, tokens.positions)
    windows: list[tuple[str, list[int], Window]] = [("window", list(range(tokens.positions)), window)]
    windows += [
        (f"window of {word!r}", tokens.word_positions(target, word), own) for word, own in (words or {}).items()
    ]
    for name, positions, (start, end) in windows:
        require_window(name, (start, end))
        inside = torch.zeros(steps + 1, 1)
        inside[_count(start, steps + 1) : _count(end, steps + 1)] = 1
        alpha[:, positions] = inside
    return alpha


@dataclass(frozen=True, eq=False)
class CrossEdit:
    """What happens to one target's cross-attention.

    Args:
        alpha: "steps+1 positions", from `word_windows`.
        mapper: M of a word swap, or
        refinement: of a new phrase; with neither the source's maps are taken as they are.
        factors: c of a re-weighting of what the above gives.

    Raises:
        GlidewireError: Two ways to align, or tensors for different numbers of positions.
    """

    alpha: Tensor
    mapper: Tensor | None = None
    refinement: Refinement | None = None
    factors: Tensor | None = None

    def __post_init__(self) -> None:
        if self.mapper is not None and self.refinement is not None:
            raise GlidewireError("prompt-to-prompt: replace and refine exclude each other", expected="one of the two")
        sizes = {name: each.shape[-1] for name, each in self._tensors().items()}
        if len(set(sizes.values())) > 1:
            raise GlidewireError(
                "prompt-to-prompt: the parts of an edit are for different texts",
                expected=f"{self.alpha.shape[-1]} positions",
                got=sizes,
            )

    def _tensors(self) -> dict[str, Tensor]:
        named = {"alpha": self.alpha, "mapper": self.mapper, "factors": self.factors}
        if self.refinement is not None:
            named |= {"positions": self.refinement.positions, "taken": self.refinement.taken}
        return {name: each for name, each in named.items() if each is not None}

    @cached_property
    def digest(self) -> str:
        """sha256 of all that decides the edit."""
        return tensors_digest(self._tensors())

    @cached_property
    def _keeps_source(self) -> bool:
        # A product with the identity is exact on a CPU, but not in every reduced precision of a GPU.
        return self.mapper is None or torch.equal(self.mapper, torch.eye(len(self.mapper)).to(self.mapper))

    def __call__(self, source: Tensor, own: Tensor, step: int) -> Tensor:
        """A = alpha A* + (1 - alpha) A_own.

        Args:
            source: The source's maps, "heads pixels positions".
            own: The target's, of the same shape; not changed.
            step: Steps before this one.

        Raises:
            GlidewireError: Maps over another text, or a step outside the run.
        """
        if source.shape != own.shape or own.shape[-1] != self.alpha.shape[-1]:
            raise GlidewireError(
                "prompt-to-prompt: maps do not belong to this edit",
                expected=f"source and target of one shape, with {self.alpha.shape[-1]} positions",
                got=f"{tuple(source.shape)} and {tuple(own.shape)}",
            )
        if not 0 <= step < len(self.alpha):
            raise GlidewireError(
                "prompt-to-prompt: a step outside the run", expected=f"0 to {len(self.alpha) - 1}", got=step
            )
        edited = source
        if self.refinement is not None:
            edited = refined(source, own, self.refinement)
        elif self.mapper is not None and not self._keeps_source:
            edited = replaced(source, self.mapper)
        if self.factors is not None:
            edited = reweighted(edited, self.factors)
        alpha = self.alpha[step].to(own)
        mixed = alpha * edited + (1 - alpha) * own
        return torch.where(alpha == 1, edited, mixed)


# --- self-attention ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SelfInjection:
    """When a target's self-attention is the source's: in steps int(N start) <= step < int(N end) of small maps.

    Args:
        window: Fractions of the run.
        steps: N of the run.
        largest: Pixels of the largest map that is copied: 16² in the paper's code, 32² in null-text inversion's.

    Raises:
        GlidewireError: An impossible window.

    Source: Hertz et al. 2022, section 3 and its published code.
    """

    window: Window
    steps: int
    largest: int = 16 * 16

    def __post_init__(self) -> None:
        require_window("window of self-attention", self.window)

    def active(self, pixels: int, step: int) -> bool:
        """Whether maps of this many pixels are copied in a step."""
        start, end = (_count(fraction, self.steps) for fraction in self.window)
        return pixels <= self.largest and start <= step < end

    def __call__(self, source: Tensor, own: Tensor, step: int) -> Tensor:
        """The source's maps "heads pixels keys" where it is active, else the target's own."""
        return source if self.active(own.shape[-2], step) else own


# --- all prompts of a batch -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class PromptToPrompt:
    """The edits of a batch whose first item is the source and whose others are its targets.

    Only maps of the conditional half belong here; an unconditional half is left alone.

    Args:
        targets: One edit per target.
        self_injection: Of self-attention, the same for all.
    """

    targets: Sequence[CrossEdit]
    self_injection: SelfInjection

    @property
    def digest(self) -> str:
        """Text that differs wherever an edit differs."""
        return " ".join([*(target.digest for target in self.targets), repr(self.self_injection)])

    def _apart(self, maps: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        if len(maps) != len(self.targets) + 1:
            raise GlidewireError(
                "prompt-to-prompt: the batch is not a source and its targets",
                expected=f"{len(self.targets) + 1} prompts",
                got=len(maps),
            )
        source, *own = maps.unbind()
        return source, tuple(own)

    def cross(self, maps: Tensor, step: int) -> Tensor:
        """Edited cross-attention "prompts heads pixels positions"; the source's is as it was.

        Raises:
            GlidewireError: Another number of prompts or positions.
        """
        source, own = self._apart(maps)
        edited = [edit(source, each, step) for edit, each in zip(self.targets, own, strict=True)]
        return torch.stack([source, *edited])

    def within(self, maps: Tensor, step: int) -> Tensor:
        """Edited self-attention "prompts heads pixels keys"; the source's is as it was.

        Raises:
            GlidewireError: Another number of prompts.
        """
        source, own = self._apart(maps)
        return torch.stack([source, *(self.self_injection(source, each, step) for each in own)])
