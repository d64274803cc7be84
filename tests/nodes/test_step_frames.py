"""What samplers leave of their steps: pictures, norms and what each combination changed, and only where wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from glidewire.diffusion import guidance as combine
from glidewire.diffusion import solvers
from glidewire.graph_runtime.context import Context
from glidewire.graph_runtime.frames import Frame, Frames
from glidewire.nodes import sampling


class Kept(Frames):
    """Frames in a dict, by the name of their step."""

    def __init__(self, frames: dict[str, Frame] | None = None) -> None:
        self.names: Sequence[str] = ()
        self.frames: dict[str, Frame] = {} if frames is None else frames

    @property
    def wanted(self) -> bool:
        return True

    def begin(self, names: Sequence[str]) -> None:
        self.names = names

    def keep(self, index: int, frame: Frame) -> None:
        self.frames[self.names[index]] = frame

    def facts(self) -> list[dict[str, float]]:
        return [dict(self.frames[name].facts) for name in self.names]


@pytest.fixture
def walk(materials: Any) -> Any:
    """Walks a schedule of ten steps under guidance of a scale, into frames."""

    def run(frames: Frames, scale: float = 3.0, **interval: float) -> torch.Tensor:
        guided = combine.classifier_free(materials.denoiser(), materials.denoiser(""), scale, **interval)
        context = Context(frames=frames)
        return sampling.run(guided, materials.schedule, materials.start(), solvers.ddim(0.0), context).tensor

    return run


def test_every_step_has_a_frame(walk: Any, materials: Any) -> None:
    kept = Kept()
    walk(kept)
    facts = kept.facts()
    assert [fact["step"] for fact in facts] == list(range(len(materials.schedule)))
    assert [fact["timestep"] for fact in facts] == list(reversed(materials.schedule.timesteps))
    assert all(fact["guidance: classifier_free"] > 0 for fact in facts)
    assert all({"rms of x_t", "rms of x_0", "rms of eps", "alpha_bar"} <= set(fact) for fact in facts)
    frame = kept.frames[kept.names[0]]
    assert set(frame.pictures) == {"x_t", "x_0"}
    assert frame.pictures["x_t"].dtype == torch.uint8


def test_the_norm_of_guidance_grows_with_its_scale(walk: Any) -> None:
    norms = []
    for scale in (2.0, 3.0):
        kept = Kept()
        walk(kept, scale)
        norms.append(kept.facts()[0]["guidance: classifier_free"])
    # (scale - 1) times the difference of the two predictions
    assert norms[1] == pytest.approx(2 * norms[0], rel=1e-4)


def test_a_step_without_guidance_has_no_norm_of_it(walk: Any) -> None:
    kept = Kept()
    walk(kept, end=0.5)
    guided = ["guidance: classifier_free" in fact for fact in kept.facts()]
    assert guided == sorted(guided, reverse=True)
    assert True in guided
    assert False in guided


def test_looking_changes_nothing(walk: Any) -> None:
    assert torch.equal(walk(Kept()), walk(Frames()))


def test_frames_of_shared_steps_are_shared(walk: Any) -> None:
    """A change that acts from a step on leaves the names of the steps before it as they were."""
    first, second = Kept(), Kept()
    walk(first, 3.0, end=1.0)
    walk(second, 3.0, end=0.5)
    half = len(first.names) // 2
    assert list(first.names[:half]) == list(second.names[:half])
    assert first.names[-1] != second.names[-1]
