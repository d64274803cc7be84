"""The recipe of mini GLIDE: text transformer and U-Net on the scene world, on two CPU cores or one GPU."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..diffusion import losses, schedules
from ..errors import GlidewireError
from ..models.glide import checkpoint
from ..models.glide.network import GlideTextToImage
from ..models.glide.spec import GlideSpec
from ..models.glide.tokenizer import GlideTokenizer
from . import evaluate, reading
from .pool import Pool, open_pool
from .scenes import caption, held_out_prompts, sample_scene
from .sheets import save_sheet

# Most of the arithmetic is at 16 pixels and below: 3.5 M parameters at 0.17 GMAC a picture.
MINI = GlideSpec(
    image_size=32,
    model_channels=16,
    channel_mult=(1, 2, 4, 8),
    num_res_blocks=1,
    num_head_channels=32,
    attention_resolutions=(8, 4),
    text_context=24,
    text_width=96,
    text_layers=3,
    text_heads=4,
    norm_groups=8,
)


@dataclass(frozen=True)
class Recipe:
    """Everything that the result depends on, besides the world and the network.

    Attributes:
        minutes: Time to train for; schedules are functions of the share of it that has passed.
        stages: (share of the time, side in pixels, pictures a step): coarse pictures first teach what words
            mean three times faster, as in progressive growing (Karras et al. 2018).
        reading_steps: Updates in which the text transformer alone learns to read; see `reading`.
        learning_rate: Of AdamW, constant until `decay_from` of the time, then a cosine down to 2 %.
        text_rate: The text transformer's learning rate over the U-Net's: it can read already.
        empty_captions: Share of captions replaced by nothing, for classifier-free guidance (Ho & Salimans 2022).
        snr_limits: Weight of an item's eps error is clamp(SNR, low, high) / SNR, 20 at most: less for details,
            as in Hang et al. 2023, and more where almost only the caption tells what to draw.
        ema: Decay of the moving average of the weights that is shipped.
        pool_size: Training scenes.
        seed: Of weights, batches, captions and noise.
    """

    minutes: float = 100.0
    stages: tuple[tuple[float, int, int], ...] = ((0.59, 16, 128), (0.41, 32, 64))
    reading_steps: int = 800
    learning_rate: float = 1e-3
    text_rate: float = 0.1
    warm_up_steps: int = 200
    decay_from: float = 0.55
    empty_captions: float = 0.12
    snr_limits: tuple[float, float] = (0.3, 5.0)
    ema: float = 0.999
    pool_size: int = 120_000
    seed: int = 0

    def stage(self, progress: float) -> tuple[int, int]:
        """Side in pixels and pictures a step, when `progress` (0 to 1) of the time has passed."""
        passed = 0.0
        for share, side, batch_size in self.stages:
            passed += share
            if progress < passed:
                return side, batch_size
        return self.stages[-1][1:]

    def rate(self, step: int, progress: float) -> float:
        """Learning rate at a step."""
        warm = min(1.0, (step + 1) / self.warm_up_steps)
        tail = max(0.0, (progress - self.decay_from) / (1 - self.decay_from))
        return self.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, tail))))


@dataclass(frozen=True)
class Batch:
    """Pictures "batch 3 height width" in [-1, 1], and their captions' tokens and mask "batch positions"."""

    pictures: Tensor
    tokens: Tensor
    mask: Tensor


def draw_batch(pool: Pool, tokenizer: GlideTokenizer, recipe: Recipe, step: int, progress: float) -> Batch:
    """The batch of a step: a function of the recipe's seed, the step and the stage alone."""
    side, size = recipe.stage(progress)
    rng = np.random.default_rng((recipe.seed, step, 1))
    chosen = rng.integers(len(pool), size=size)
    phrasings = rng.integers(2**31, size=size)
    empty = rng.random(size) < recipe.empty_captions
    texts = ["" if empty[i] else caption(pool.scenes[index], int(phrasings[i])).text for i, index in enumerate(chosen)]
    tokens, mask = tokenizer.encode_batch(texts, MINI.text_context)
    pictures = torch.from_numpy(pool.pictures[np.sort(chosen)][np.argsort(np.argsort(chosen))])
    pictures = pictures.permute(0, 3, 1, 2).float() / 127.5 - 1
    if pictures.shape[-1] != side:
        pictures = F.avg_pool2d(pictures, pictures.shape[-1] // side)
    return Batch(pictures.contiguous(), tokens, mask)


def loss_of(
    model: GlideTextToImage, batch: Batch, schedule: schedules.NoiseSchedule, recipe: Recipe, step: int
) -> dict[str, Tensor]:
    """Mean losses of a batch: the hybrid loss with the eps error weighted as `Recipe.snr_limits` says.

    Timesteps are stratified over the batch, which lowers the gradient's variance (Kingma et al. 2021, app. I.1).
    """
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
    x_0 = batch.pictures
    offset = torch.rand((), generator=generator)
    share = (torch.arange(len(x_0)) + offset) / len(x_0)
    timesteps = (share * len(schedule)).long().clamp(max=len(schedule) - 1)
    timesteps = timesteps[torch.randperm(len(x_0), generator=generator)].to(x_0.device)
    noise = torch.randn(x_0.shape, generator=generator).to(x_0.device)
    x_t = losses.q_sample(x_0, timesteps, noise, schedule)
    with torch.autocast(x_0.device.type, torch.bfloat16):
        output = model(x_t, timesteps, model.encode_text(batch.tokens, batch.mask))
    each = losses.hybrid_loss(output, x_0, x_t, noise, timesteps, schedule)
    alpha_bar = schedule.alpha_bar.float().to(x_0.device)[timesteps]
    snr = alpha_bar / (1 - alpha_bar)
    weight = (snr.clamp(*recipe.snr_limits) / snr).clamp(max=20.0)
    total = (weight * each["mse"] + (each["total"] - each["mse"])).mean()
    return {"total": total, "mse": each["mse"].mean(), "vlb": each["vlb"].mean()}


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
            state = torch.load(run.state_path, map_location=device, weights_only=True)
            run.model.load_state_dict(state["model"])
            run.ema.load_state_dict(state["ema"])
            run.optimizer.load_state_dict(state["optimizer"])
            run.step, run.seconds = state["step"], state["seconds"]
        else:
            reading.learn_to_read(model.text, tokenizer, steps=recipe.reading_steps, seed=recipe.seed)
            ema.load_state_dict(model.state_dict())
        return run

    @property
    def state_path(self) -> Path:
        """Where the state lies."""
        return self.folder / "state.pt"

    @property
    def progress(self) -> float:
        """Share of the recipe's time that has passed."""
        return min(1.0, self.seconds / (60 * self.recipe.minutes))

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

    def draw_sheet(self) -> None:
        """Draw twelve held-out prompts, two pictures each, under the averaged weights, as `sheet-STEP.png`."""
        texts = [prompt.text for prompt in held_out_prompts(12) for _ in range(2)]
        sampling, side = evaluate.Sampling("20", "ddim", batch=24), self.recipe.stage(self.progress)[0]
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


def caption_tokenizer() -> GlideTokenizer:
    """The small byte-level BPE of the caption grammar: every word of it becomes one token."""
    texts = (caption(sample_scene(seed), seed).text for seed in range(4000))
    return GlideTokenizer.train(texts, 512)


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
    minutes: Annotated[float, typer.Option(help="Time to train for.")] = Recipe.minutes,
    pool: Annotated[int, typer.Option(help="Number of training scenes.")] = Recipe.pool_size,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Of weights, batches, captions and noise.")] = 0,
) -> None:
    """Train mini GLIDE, or go on with the run in OUT."""
    torch.set_num_threads(threads)
    recipe = Recipe(minutes=minutes, pool_size=pool, seed=seed)
    scenes = open_pool(out / "pool", recipe.pool_size, MINI.image_size, workers=threads)
    train(Run.start(recipe, out, torch.device(device)), scenes)


if __name__ == "__main__":
    typer.run(main)
