"""A view of a U-Net that makes the attention of target prompts from that of their source (prompt-to-prompt)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...diffusion.prompt_to_prompt import PromptToPrompt
from ...diffusion.schedules import NoiseSchedule
from ..additions import Attended, layers_at
from .called import Call, CalledView, check_positions, marked, step_of, with_maps
from .words import Looking


class Prompted(CalledView):
    """A denoiser under a source and its targets, whose attention is made from the source's.

    A leaf's conditioning has `<name>.rows` "batch 1" beside the denoiser's own: 0 for the source, 1 for its first
    target ...; -1 for rows that are left alone, as those of the empty text are. Predictions carry `words` as
    `ShownWords` does, of edited maps, where a local blend asks for them.

    Args:
        base: The denoiser, or a view of it.
        edit: The edits of all targets.
        schedule: What the sampler walks; edits depend on the step.
        selected: Words whose places are shown, "words prompts positions"; None for none.
        largest: Pixels of the largest maps that are shown.
        name: What its condition is called by.

    Raises:
        GlidewireError: The denoiser does not attend to a text: no layer would be edited.

    Source: Hertz et al. 2022 (prompt-to-prompt, 2208.01626), section 3.
    """

    def __init__(
        self,
        base: Any,
        edit: PromptToPrompt,
        schedule: NoiseSchedule,
        selected: Tensor | None = None,
        largest: int = 16 * 16,
        name: str = "prompt_to_prompt",
    ) -> None:
        super().__init__(base, name)
        self.edit, self.selected, self.largest = edit, selected, largest
        self.timesteps = tuple(float(timestep) for timestep in reversed(schedule.timesteps))
        self.layers = layers_at(self.unet, "all", ("cross", "joint"))
        """The layers of cross-attention that are edited, never none."""

    def identity(self) -> str:
        """Text of all that decides the edit."""
        selected = None if self.selected is None else (self.selected.tolist(), self.largest)
        return f"prompt to prompt {self.name} {self.edit.digest} {self.timesteps} {selected}"

    @property
    def rows(self) -> str:
        """The name of its condition."""
        return f"{self.name}.rows"

    def call(self, timesteps: Tensor, conditioning: Mapping[str, Tensor], size: tuple[int, int]) -> Call:
        """The edit of one step."""
        rows = marked(conditioning[self.rows], len(timesteps))
        return _Edit(self, step_of(self.timesteps, timesteps), rows, len(timesteps), size, {})


@dataclass
class _Edit(Call):
    view: Prompted
    step: int
    rows: Tensor
    count: int
    size: tuple[int, int]
    looking: dict[int, Looking]

    def replaced(self, attended: Attended) -> Tensor | None:
        if not len(self.rows):
            return None
        edit, step = self.view.edit, self.step
        maps = attended.maps(self.rows)
        if attended.kind == "self":
            return with_maps(attended, self.rows, edit.within(maps, step))
        check_positions("prompt-to-prompt", edit.targets[0].alpha.shape[-1], attended)
        words = edit.cross(maps[..., : attended.context], step)
        picture = maps[..., attended.context :]
        if picture.shape[-1]:
            picture = edit.within(picture, step)
        if self.view.selected is not None and words.shape[2] <= self.view.largest:
            self._look(words, attended)
        return with_maps(attended, self.rows, torch.cat([words, picture], dim=-1))

    def _look(self, words: Tensor, attended: Attended) -> None:
        """Each prompt's own words."""
        assert self.view.selected is not None
        for prompt in range(len(words)):
            selected = self.view.selected[:, prompt]
            row = self.rows[prompt : prompt + 1]
            if prompt not in self.looking:
                self.looking[prompt] = Looking(selected, self.view.layers, row, 1, self.size)
            self.looking[prompt].look(words[prompt : prompt + 1], attended)

    def seen(self) -> Mapping[str, Tensor]:
        if not self.looking:
            return {}
        sums = []
        for each in self.looking.values():
            finest = max(found.shape[-1] for found in each.found)
            sums.append(torch.stack([found for found in each.found if found.shape[-1] == finest]).mean(dim=0))
        seen = torch.cat(sums)
        return {"words": seen.new_zeros(self.count, *seen.shape[1:]).index_copy(0, self.rows, seen)}
