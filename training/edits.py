"""How well edits and adapters do what they were trained for, as the judge sees it: no graph, no cache."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..diffusion import samplers, solvers
from ..diffusion.denoiser import Denoiser, Leaf
from ..diffusion.noise import SeededNoise
from ..diffusion.samplers import OnStep, StepRecord
from ..models.asyrp import edit
from ..models.checkpoint import identify
from ..models.clip.model import load_clip
from ..models.glide.model import load_model
from ..scenes import Statement, worded
from ..scenes.judge import Reading, judge, score
from .asyrp import CHANGED, AsyrpCourse, AsyrpLesson, changed, silent
from .batches import clip_texts
from .painters import to_bytes, to_pixels

# Beyond the seeds of any recipe.
_SEED = 10_000_000
_BATCH = 50
_NEAR = 0.1  # of the side
_STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Sources:
    """Pictures that a direction is asked to edit.

    Attributes:
        stated: What each prompt says, which is silent of what is edited.
        noise: Where they begin, x_T, "count 3 side side".
        pictures: uint8 [count side side 3].
    """

    stated: Sequence[Statement]
    noise: Tensor
    pictures: NDArray[np.uint8]


class DirectionMeasures:
    """A direction over the model and by the numbers that it was trained with.

    Args:
        weights: The direction's file.
        beside: The folder of mini GLIDE and mini CLIP.
        count: Pictures to draw; those that are not as their prompt says, or show already what they shall, are left
            out.
    """

    def __init__(self, weights: Path, beside: Path, count: int) -> None:
        recipe = json.loads(identify(weights, component="direction").header.metadata["glidewire.recipe"])
        glide, clip = load_model(beside / "mini-glide-base.safetensors"), load_clip(beside / "mini-clip.safetensors")
        self.lesson = AsyrpLesson(AsyrpCourse(**recipe), glide, clip, torch.device("cpu"))
        self.directions = edit.load_directions(weights)
        self.attribute, self.wanted = CHANGED[recipe["direction"]], recipe["direction"]
        self.sources = self._sources(count)

    def drawn(
        self, sources: Sources, change: Callable[[Leaf], Denoiser], on_step: OnStep | None = None
    ) -> NDArray[np.uint8]:
        """The pictures of the sources' noise and prompts under a changed denoiser."""
        found = []
        for first in range(0, len(sources.stated), _BATCH):
            leaf = self.lesson.leaf([worded(one).text for one in sources.stated[first : first + _BATCH]])
            x_T = sources.noise[first : first + _BATCH]
            x_0 = samplers.sample(change(leaf), self.lesson.schedule, x_T, solvers.ddim(0.0), on_step=on_step)
            found.append(to_bytes(x_0))
        return np.concatenate(found)

    def _sources(self, count: int) -> Sources:
        side = self.lesson.glide.spec.image_size
        rng = np.random.default_rng(_SEED)
        stated = [silent(self.attribute, rng) for _ in range(count)]
        x_T = SeededNoise(tuple(range(_SEED, _SEED + count))).draw((3, side, side))
        every = Sources(stated, x_T, np.zeros(0, np.uint8))
        pictures = self.drawn(every, lambda leaf: leaf)
        rows = [
            row
            for row, (picture, one) in enumerate(zip(pictures, stated, strict=True))
            if _shows(reading := judge(picture), one) and getattr(reading.solids[0], self.attribute) != self.wanted
        ]
        return Sources([stated[row] for row in rows], x_T[rows], pictures[rows])

    def change(
        self,
        strength: float = 1.0,
        *,
        by: edit.WeightedDirections | None = None,
        asymmetric: bool = True,
        shows: bool = False,
    ) -> Callable[[Leaf], Denoiser]:
        """The edit at a strength, by the direction or by another."""
        numbers, schedule, directions = self.lesson.numbers, self.lesson.schedule, by or self.directions

        def changed_leaf(leaf: Leaf) -> Denoiser:
            of_run = (strength, 0, numbers.t_edit, numbers.start)
            return edit.edited(leaf, directions, schedule, *of_run, asymmetric, shows)

        return changed_leaf

    def share(self, pictures: NDArray[np.uint8]) -> float:
        """The share of edited pictures that show what they shall and all else that the prompt says."""
        wanted = [changed(one, self.attribute, self.wanted) for one in self.sources.stated]
        return float(np.mean([_shows(judge(picture), one) for picture, one in zip(pictures, wanted, strict=True)]))

    def stayed(self, pictures: NDArray[np.uint8]) -> float:
        """The share of edited pictures whose solid stands within a tenth of the side of where it stood."""
        pairs = zip(map(judge, self.sources.pictures), map(judge, pictures), strict=True)
        return float(np.mean([_in_place(before, after) for before, after in pairs]))

    @torch.no_grad()
    def moved(self, pictures: NDArray[np.uint8]) -> float:
        """How far pictures moved along the text's direction in CLIP's space, on average."""
        clip = self.lesson.clip
        texts = [
            clip_texts(clip, [worded(changed(one, self.attribute, value)).text for one in self.sources.stated])
            for value in (None, self.wanted)
        ]
        source, target = (F.normalize(text["text_embedding"], dim=1) for text in texts)
        before, after = (
            F.normalize(clip.encode_picture(to_pixels(one)), dim=1) for one in (self.sources.pictures, pictures)
        )
        return float(((after - before) * F.normalize(target - source, dim=1)).sum(1).mean())

    def mean(self, *, of_all_timesteps: bool) -> edit.WeightedDirections:
        """The mean of what the direction adds, over the sources, at each timestep or over these too."""
        found: dict[int, list[Tensor]] = {}

        def gather(record: StepRecord) -> None:
            if "delta_h" in record.prediction.observed:
                found.setdefault(int(record.timestep), []).append(record.prediction.observed["delta_h"])

        self.drawn(self.sources, self.change(shows=True), gather)
        deltas = {timestep: torch.cat(parts) for timestep, parts in found.items()}
        return edit.mean_directions(deltas, "mean", of_all_timesteps=of_all_timesteps)

    def figures(self) -> dict[str, float]:
        """Shares of pictures, and how straight the way is on which strength moves them."""
        by_strength = {strength: self.drawn(self.sources, self.change(strength)) for strength in _STRENGTHS}
        way = np.corrcoef(_STRENGTHS, [self.moved(pictures) for pictures in by_strength.values()])[0, 1]
        ways = {
            "both terms edited alike (symmetric), at strength 1": self.change(asymmetric=False),
            "by the mean direction of each timestep": self.change(by=self.mean(of_all_timesteps=False)),
            "by one direction for all timesteps": self.change(by=self.mean(of_all_timesteps=True)),
        }
        return {
            **{f"at strength {strength:g}": self.share(pictures) for strength, pictures in by_strength.items()},
            **{name: self.share(self.drawn(self.sources, change)) for name, change in ways.items()},
            "one solid, where it stood, at strength 1": self.stayed(by_strength[1.0]),
            "correlation of strength (0 to 1) with the way in CLIP's space": float(way),
        }


def _in_place(before: Reading, after: Reading) -> bool:
    if not len(before.solids) == len(after.solids) == 1:
        return False
    (was,), (now,) = before.solids, after.solids
    return math.hypot(now.x - was.x, now.y - was.y) < 2 * _NEAR  # places reach from -1 to 1


def _shows(reading: Reading, stated: Statement) -> bool:
    return all(score(reading, stated).values())
