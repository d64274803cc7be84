"""One training run of any recipe: updates, moving average, log, loss plot, sample sheets, and its state on disk."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..errors import GlidewireError
from ..models.checkpoint import load
from .plots import save_loss_plot
from .sheets import save_sheet


@dataclass(frozen=True)
class Course:
    """What the recipes of all minis say: how long, how fast, and from which seed.

    Attributes:
        minutes: Time to train for; schedules are functions of the share of it that has passed.
        steps: Updates to train for, if not by time: the result is then a function of the recipe alone.
        batch_size: Items of an update.
        learning_rate: Of AdamW, constant until `decay_from` of the time, then a cosine down to 2 %.
        warm_up_steps: Updates over which the learning rate grows to its value.
        decay_from: Share of the time after which it falls.
        weight_decay: Of AdamW.
        ema: Decay of the moving average of the weights that is shipped.
        tints: Chance that a solid has a colour between the six that prompts name. With six alone, a network learns
            that yellow cylinders do not exist, and no caption or guidance talks it out of that.
        pool_size: Training scenes.
        seed: Of weights, batches, captions and noise.
    """

    minutes: float = 10.0
    steps: int = 0
    batch_size: int = 64
    learning_rate: float = 1e-3
    warm_up_steps: int = 100
    decay_from: float = 0.6
    weight_decay: float = 0.01
    ema: float = 0.999
    tints: float = 0.4
    pool_size: int = 120_000
    seed: int = 0

    def progress(self, step: int, seconds: float) -> float:
        """Share of the training, 0 to 1, that is done after `step` updates in so many seconds."""
        return min(1.0, step / self.steps if self.steps else seconds / (60 * self.minutes))

    def rate(self, step: int, progress: float) -> float:
        """Learning rate at a step."""
        warm = min(1.0, (step + 1) / self.warm_up_steps)
        tail = max(0.0, (progress - self.decay_from) / (1 - self.decay_from))
        return self.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, tail))))

    def generator(self, step: int) -> torch.Generator:
        """The noise of a step: a function of the seed and the step alone."""
        return torch.Generator().manual_seed(self.seed * 1_000_003 + step)

    def choices(self, step: int) -> np.random.Generator:
        """The data of a step: a function of the seed and the step alone."""
        return np.random.default_rng((self.seed, step, 1))


class Lesson(ABC):
    """What is trained and how it is graded: a recipe is one of these.

    Attributes:
        name: Of the weights' file, without its suffix.
        course: The recipe's numbers.
        model: Every parameter that is trained, on the device.
    """

    name: str
    course: Course
    model: nn.Module

    @abstractmethod
    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """The mean losses of a step's batch; "total" is what is minimised."""

    @abstractmethod
    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        """Write averaged weights in their published layout."""

    def prepare(self) -> None:
        """What happens once before the first step, such as learning to read or warm starts."""
        return

    def begin_with(self, path: Path) -> None:
        """Take up published weights.

        Raises:
            GlidewireError: when they are another network's, or as `models.checkpoint.load`.
        """
        found = load(path, dtype=None).state_dict()
        ours = self.model.state_dict()
        if {name: value.shape for name, value in found.items()} != {name: value.shape for name, value in ours.items()}:
            raise GlidewireError(f"weights {path.name} are another network's than {self.name}'s")
        self.model.load_state_dict(found)

    def groups(self) -> list[dict[str, Any]]:
        """The parameters that are trained, each group with its learning rate's "scale" over the course's."""
        return [{"params": [weight for weight in self.model.parameters() if weight.requires_grad], "scale": 1.0}]

    def after_step(self, step: int) -> None:
        """What happens after each update, such as the revival of codes that nothing uses."""
        return

    def sheet(self, averaged: nn.Module) -> NDArray[np.uint8] | None:
        """Sample pictures, uint8 [count height width 3], in rows of eight; None where there is nothing to see."""
        return None


class Run:
    """A training run that can stop anywhere and go on from its last state.

    Args:
        lesson: What is trained.
        folder: Where state, log, sheets and weights lie; made if missing. A state that lies there is taken up.
        start: Published weights that a new run begins with, such as those that an earlier, shorter one made.
    """

    def __init__(self, lesson: Lesson, folder: Path, *, start: Path | None = None) -> None:
        self.lesson, self.folder, self.course = lesson, folder, lesson.course
        folder.mkdir(parents=True, exist_ok=True)
        self.step, self.seconds = 0, 0.0
        if not self.state_path.is_file():
            lesson.prepare()
            if start is not None:
                lesson.begin_with(start)
        self.averaged: nn.Module = copy.deepcopy(lesson.model).requires_grad_(False).eval()
        decay, rate = self.course.weight_decay, self.course.learning_rate
        self.optimizer = torch.optim.AdamW(lesson.groups(), rate, betas=(0.9, 0.99), weight_decay=decay, fused=True)
        if self.state_path.is_file():
            self.restore()

    @property
    def state_path(self) -> Path:
        """Where the state lies."""
        return self.folder / "state.pt"

    @property
    def log_path(self) -> Path:
        """Where the losses are logged, one JSON object a line."""
        return self.folder / "log.jsonl"

    @property
    def weights_path(self) -> Path:
        """Where the averaged weights are published."""
        return self.folder / f"{self.lesson.name}.safetensors"

    @property
    def progress(self) -> float:
        """Share of the recipe's time that has passed."""
        return self.course.progress(self.step, self.seconds)

    def save(self) -> None:
        """Write the whole state, all or nothing."""
        state: dict[str, Any] = {
            "model": self.lesson.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        unfinished = self.state_path.with_suffix(".partial")
        torch.save(state, unfinished)
        unfinished.replace(self.state_path)

    def restore(self) -> None:
        """Take up the state that lies in the folder.

        Raises:
            GlidewireError: when it is damaged or another recipe's.
        """
        try:
            state = torch.load(self.state_path, weights_only=True, map_location=self._device())
            self.lesson.model.load_state_dict(state["model"])
            self.averaged.load_state_dict(state["averaged"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]
        except (OSError, EOFError, RuntimeError, KeyError, ValueError, UnpicklingError) as error:
            raise GlidewireError(
                f"training state {self.state_path} cannot be taken up",
                got=type(error).__name__,
                hint="Remove it to start anew.",
            ) from error

    def take_step(self) -> dict[str, float]:
        """One update of the weights and of their moving average; returns what to log.

        Raises:
            GlidewireError: when the loss or its gradient is no longer finite.
        """
        started, course = time.monotonic(), self.course
        losses = self.lesson.losses(self.step, self.progress)
        losses["total"].backward()
        norm = torch.nn.utils.clip_grad_norm_(self.lesson.model.parameters(), 1.0)
        if not torch.isfinite(norm):
            raise GlidewireError(
                f"training diverged at step {self.step}", hint="Lower the learning rate and resume the run."
            )
        rate = course.rate(self.step, self.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.lesson.after_step(self.step)
        self._average()
        self.step += 1
        self.seconds += time.monotonic() - started
        return {"norm": float(norm), "rate": rate, **{name: float(value.detach()) for name, value in losses.items()}}

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.course.ema, (1 + self.step) / (10 + self.step))
        ours: list[Tensor] = list(self.averaged.parameters())
        theirs: list[Tensor] = list(self.lesson.model.parameters())
        torch._foreach_lerp_(ours, theirs, 1 - decay)
        for mine, its in zip(self.averaged.buffers(), self.lesson.model.buffers(), strict=True):
            mine.copy_(its)

    def report(self) -> None:
        """Draw a sample sheet under the averaged weights, as `sheet-STEP.png`, and the loss plot."""
        pictures = self.lesson.sheet(self.averaged)
        if pictures is not None:
            save_sheet(self.folder / f"sheet-{self.step:06d}.png", pictures, columns=8)
        save_loss_plot(self.log_path, self.folder / "loss.svg", title=self.lesson.name)

    def publish(self) -> Path:
        """Write the averaged weights with the recipe that made them; returns where they lie."""
        metadata = {"glidewire.steps": str(self.step), "glidewire.recipe": json.dumps(asdict(self.course))}
        self.lesson.publish(self.averaged, self.weights_path, metadata)
        return self.weights_path

    def _device(self) -> torch.device:
        return next(self.lesson.model.parameters()).device


@contextlib.contextmanager
def fast_attention(device: torch.device) -> Iterator[None]:
    """On a CPU the plain formula is several times faster at these sizes than the fused kernel's backward pass."""
    with sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else contextlib.nullcontext():
        yield


def train(run: Run, *, save_every: float = 240.0, log_every: int = 50) -> Path:
    """Train until the recipe's time has passed; save state and sheets, log losses and publish the weights.

    Args:
        run: New or taken up.
        save_every: Seconds between states and sheets.
        log_every: Updates whose mean losses are one line of the log.

    Returns:
        Where the weights lie.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[loss]}"))
    sums: dict[str, float] = {}
    counted, saved = 0, time.monotonic()
    with Progress(*columns) as bar, fast_attention(run._device()), run.log_path.open("a") as log:
        task = bar.add_task(f"Training {run.lesson.name}", total=1.0, loss="")
        while run.progress < 1.0:
            for name, value in run.take_step().items():
                sums[name] = sums.get(name, 0.0) + value
            counted += 1
            if run.step % log_every == 0 or run.progress >= 1.0:
                means = {name: round(value / counted, 6) for name, value in sums.items()}
                log.write(json.dumps({"step": run.step, "seconds": round(run.seconds, 1), **means}) + "\n")
                log.flush()
                bar.update(task, completed=run.progress, loss=f"step {run.step}  loss {means['total']:.4f}")
                sums, counted = {}, 0
            if time.monotonic() - saved > save_every:
                run.save()
                run.report()
                saved = time.monotonic()
        run.save()
        run.report()
    return run.publish()
