"""A run of any recipe: it logs, stops, goes on as if it had not stopped, and says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.training.run import Course, Lesson, Run, train
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

COURSE = Course(steps=6, learning_rate=0.1, warm_up_steps=2, batch_size=4, weight_decay=0.0)


class Line(Lesson):
    """y = 2 x + 1, learnt by one linear layer."""

    name = "line"

    def __init__(self, course: Course = COURSE) -> None:
        self.course = course
        torch.manual_seed(course.seed)
        self.model: nn.Linear = nn.Linear(1, 1)
        self.prepared, self.seen = 0, [0]

    def prepare(self) -> None:
        self.prepared += 1

    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        x = torch.randn(self.course.batch_size, 1, generator=self.course.generator(step))
        return {"total": (self.model(x) - 2 * x - 1).square().mean()}

    def after_step(self, step: int) -> None:
        self.seen.append(step)

    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        save_file(averaged.state_dict(), path, dict(metadata))


def test_a_run_logs_plots_and_publishes_its_recipe(tmp_path: Path) -> None:
    run = Run(Line(), tmp_path)
    path = train(run, log_every=2)
    lines = [json.loads(line) for line in run.log_path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert lines[-1]["total"] < lines[0]["total"]
    assert "<polyline" in (tmp_path / "loss.svg").read_text()
    with safe_open(path, "pt") as file:
        assert file.metadata()["glidewire.steps"] == "6"
        assert json.loads(file.metadata()["glidewire.recipe"])["learning_rate"] == 0.1
        assert torch.equal(file.get_tensor("weight"), run.averaged.state_dict()["weight"])


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not(tmp_path: Path) -> None:
    whole = Run(Line(), tmp_path / "whole")
    for _ in range(6):
        whole.take_step()
    for _ in range(2):
        part = Run(Line(), tmp_path / "parts")
        for _ in range(3):
            part.take_step()
        part.save()
    assert part.step == 6 and part.progress == 1.0
    for name, weight in whole.averaged.state_dict().items():
        assert torch.equal(weight, part.averaged.state_dict()[name]), name


def test_only_a_new_run_is_prepared_and_every_update_is_told(tmp_path: Path) -> None:
    first = Line()
    run = Run(first, tmp_path)
    run.take_step()
    run.save()
    again = Line()
    Run(again, tmp_path).take_step()
    assert (first.prepared, again.prepared) == (1, 0)
    assert (first.seen, again.seen) == ([0, 0], [0, 1])


def test_the_average_follows_the_weights_slowly(tmp_path: Path) -> None:
    run = Run(Line(replace(COURSE, ema=0.5)), tmp_path)
    before = run.averaged.state_dict()["weight"].clone()
    run.take_step()
    after = run.lesson.model.state_dict()["weight"]
    assert torch.allclose(run.averaged.state_dict()["weight"], before.lerp(after, 0.9))
    assert run.course.generator(1).initial_seed() != run.course.generator(2).initial_seed()


def test_the_rate_warms_up_stays_and_falls() -> None:
    rates = [COURSE.rate(step, progress) for step, progress in ((0, 0.0), (2, 0.3), (5, 1.0))]
    assert rates == pytest.approx([0.05, 0.1, 0.002])


def test_time_counts_where_no_steps_are_given() -> None:
    course = replace(COURSE, steps=0, minutes=2.0)
    assert course.progress(10_000, 60.0) == 0.5 and course.progress(1, 600.0) == 1.0


def test_a_run_that_diverges_says_so(tmp_path: Path) -> None:
    run = Run(Line(), tmp_path)
    with torch.no_grad():
        run.lesson.model.get_parameter("weight").fill_(float("nan"))
    with pytest.raises(GlidewireError, match=r"diverged at step 0.*Lower the learning rate"):
        run.take_step()


@pytest.mark.parametrize("content", [b"", b"not a state"])
def test_a_damaged_state_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(GlidewireError, match=r"training state .*state\.pt cannot be taken up.*Remove it"):
        Run(Line(), tmp_path)
