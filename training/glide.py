"""The recipe of mini GLIDE: text transformer and U-Net on the scene world, on two CPU cores or one GPU."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Annotated, Any

import torch
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..diffusion import schedules
from ..errors import GlidewireError
from ..models.glide import checkpoint
from ..models.glide.network import GlideTextToImage
from ..models.glide.tokenizer import GlideTokenizer
from ..scenes import held_out_prompts
from . import evaluate, reading
from .commands import device_named, run_command
from .pool import Pool, open_pool
from .recipe import MINI, Batch, Recipe, caption_tokenizer, draw_batch, loss_of
from .sheets import save_sheet


@dataclass
class Run:
    """A training run that can stop anywhere and go on from its last checkpoint."""

    recipe: Recipe
    folder: Path
    device: torch.device
    tokenizer: GlideTokenizer
    model: GlideTextToImage
    ema: GlideTextToImage
    optimizer: torch.optim.AdamW
    step: int = 0
    seconds: float = 0.0

    @classmethod
    def start(cls, recipe: Recipe, folder: Path, device: torch.device) -> Run:
        """A new run, or the one whose state lies in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer = caption_tokenizer()
        spec = replace(MINI, vocabulary_size=tokenizer.vocabulary_size)
        model = GlideTextToImage(spec).initialise(recipe.seed).to(device)
        reading.widen_embeddings(model.text)
        ema = GlideTextToImage(spec).to(device).requires_grad_(False)
        groups = [
            {"params": list(model.text.parameters()), "scale": recipe.text_rate},
            {"params": list(model.unet.parameters()), "scale": 1.0},
        ]
        optimizer = torch.optim.AdamW(groups, recipe.learning_rate, betas=(0.9, 0.99), fused=True)
        run = cls(recipe, folder, device, tokenizer, model, ema, optimizer)
        if run.state_path.is_file():
            run.restore()
        else:
            reading.learn_to_read(
                model.text, tokenizer, steps=recipe.reading_steps, seed=recipe.seed, tints=recipe.tints
            )
            ema.load_state_dict(model.state_dict())
        return run

    @property
    def state_path(self) -> Path:
        """Where the state lies."""
        return self.folder / "state.pt"

    @property
    def progress(self) -> float:
        """Share of the recipe's time that has passed."""
        return self.recipe.progress(self.step, self.seconds)

    def save(self) -> None:
        """Write the whole state, all or nothing."""
        state: dict[str, Any] = {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
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
            state = torch.load(self.state_path, map_location=self.device, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.ema.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]
        except (OSError, EOFError, RuntimeError, KeyError, ValueError, UnpicklingError) as error:
            raise GlidewireError(
                f"training state {self.state_path} cannot be taken up",
                got=type(error).__name__,
                hint="Remove it to start anew.",
            ) from error

    def draw_sheet(self) -> None:
        """Draw twelve held-out prompts, two pictures each, under the averaged weights, as `sheet-STEP.png`."""
        texts = [prompt.text for prompt in held_out_prompts(12) for _ in range(2)]
        sampling, side = evaluate.Sampling("20", batch=24), self.recipe.stage(self.progress)[0]
        self.ema.eval()
        pictures = evaluate.draw(self.ema, self.tokenizer, texts, range(24), 3.0, sampling, side=side)
        save_sheet(self.folder / f"sheet-{self.step:06d}.png", pictures, columns=8, enlarge=128 // side)

    def publish(self, path: Path) -> None:
        """Write the averaged weights in GLIDE's published layout, with spec and vocabulary, as float16."""
        metadata = {"glidewire.steps": str(self.step), "glidewire.recipe": json.dumps(asdict(self.recipe))}
        checkpoint.save(self.ema, path, merges=self.tokenizer, dtype=torch.float16, metadata=metadata)

    def take_step(self, pool: Pool, schedule: schedules.NoiseSchedule) -> dict[str, float]:
        """One update of the weights and of their moving average; returns what to log."""
        started = time.monotonic()
        batch = draw_batch(pool, self.tokenizer, self.recipe, self.step, self.progress)
        batch = Batch(*(value.to(self.device) for value in (batch.pictures, batch.tokens, batch.mask)))
        loss = loss_of(self.model, batch, schedule, self.recipe, self.step)
        loss["total"].backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        if not torch.isfinite(norm):
            raise GlidewireError(
                f"training diverged at step {self.step}", hint="Lower the learning rate and resume the run."
            )
        rate = self.recipe.rate(self.step, self.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        self.optimizer.step()
        self.optimizer.zero_grad()
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        ours: list[Tensor] = list(self.ema.parameters())
        theirs: list[Tensor] = list(self.model.parameters())
        torch._foreach_lerp_(ours, theirs, 1 - decay)
        self.step += 1
        self.seconds += time.monotonic() - started
        return {
            "pictures": len(batch.pictures),
            "norm": float(norm),
            "rate": rate,
            **{k: float(v.detach()) for k, v in loss.items()},
        }


@contextlib.contextmanager
def _fast_attention(device: torch.device) -> Iterator[None]:
    """On a CPU the plain formula is several times faster at these sizes than the fused kernel's backward pass."""
    with sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else contextlib.nullcontext():
        yield


def train(run: Run, pool: Pool, *, save_every: float = 300.0, log_every: int = 50) -> None:
    """Train until the recipe's time has passed, saving state and sample sheets and logging losses on the way."""
    schedule, saved = schedules.squared_cosine(), time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[loss]}"))
    sums: dict[str, float] = {}
    counted = 0
    with Progress(*columns) as bar, _fast_attention(run.device), (run.folder / "log.jsonl").open("a") as log:
        task = bar.add_task("Training", total=1.0, loss="")
        while run.progress < 1.0:
            for name, value in run.take_step(pool, schedule).items():
                sums[name] = sums.get(name, 0.0) + value
            counted += 1
            if run.step % log_every == 0:
                means = {name: round(value / counted, 6) for name, value in sums.items()}
                log.write(json.dumps({"step": run.step, "seconds": round(run.seconds, 1), **means}) + "\n")
                log.flush()
                bar.update(task, completed=run.progress, loss=f"step {run.step}  mse {means.get('mse', 0):.4f}")
                sums, counted = {}, 0
            if time.monotonic() - saved > save_every:
                run.save()
                run.draw_sheet()
                saved = time.monotonic()
    run.save()
    run.draw_sheet()
    run.publish(run.folder / "mini-glide-base.safetensors")


def main(
    out: Annotated[Path, typer.Option(help="Folder of the run: state, log, sheets, weights.")],
    minutes: Annotated[float, typer.Option(min=0.01, help="Time to train for.")] = Recipe.minutes,
    steps: Annotated[int, typer.Option(min=0, help="Updates to train for, instead of a time.")] = 0,
    pool: Annotated[int, typer.Option(min=1, help="Number of training scenes.")] = Recipe.pool_size,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Of weights, batches, captions and noise.")] = 0,
) -> None:
    """Train mini GLIDE, or go on with the run in OUT."""
    torch.set_num_threads(threads)
    recipe = Recipe(minutes=minutes, steps=steps, pool_size=pool, seed=seed)
    scenes = open_pool(out / "pool", recipe.pool_size, MINI.image_size, tints=recipe.tints, workers=threads)
    train(Run.start(recipe, out, device_named(device)), scenes)


if __name__ == "__main__":
    run_command(main)
