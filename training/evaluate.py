"""The judge's table: how often a model shows every attribute of held-out prompts, at each guidance scale."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ..errors import GlidewireError
from ..models.checkpoint import file_digest, identify
from ..models.glide.network import GlideTextToImage
from ..models.glide.tokenizer import GlideTokenizer
from ..scenes import Caption, held_out_prompts
from ..scenes.judge import judge, score
from ..scenes.world import HELD_OUT_OBJECTS
from .commands import device_named, run_command
from .measures import measured
from .painters import Painter, Sampling, glide_painter, painter_of
from .sheets import save_sheet

KINDS = ("unseen object", "unseen arrangement", "unseen object in a pair")
ATTRIBUTES = ("objects", "shape", "colour", "size", "relation", "ground")


@dataclass(frozen=True)
class Row:
    """Figures at one guidance scale: shares of the pictures that are right.

    Attributes:
        scale: Of classifier-free guidance; 1 is unguided.
        pictures: How many were judged.
        everything: Share with every stated attribute right.
        attributes: Share right for each attribute, of the pictures whose prompts state it.
        groups: `everything` for each kind of prompt; see `kind`.
    """

    scale: float
    pictures: int
    everything: float
    attributes: dict[str, float]
    groups: dict[str, float]


def draw(
    network: GlideTextToImage,
    tokenizer: GlideTokenizer,
    prompts: Sequence[str],
    seeds: Sequence[int],
    scale: float,
    sampling: Sampling,
    *,
    side: int | None = None,
) -> NDArray[np.uint8]:
    """One picture of GLIDE's for each prompt and seed.

    Args:
        network: In evaluation mode.
        tokenizer: Its own.
        prompts: Captions.
        seeds: As many; picture i depends on prompts[i], seeds[i] and i alone.
        scale: Of classifier-free guidance; 1 is unguided.
        sampling: Steps and solver.
        side: Of the pictures, in pixels; by default the network's own.

    Returns:
        uint8 [count side side 3].
    """
    return paint_all(glide_painter(network, tokenizer, sampling, side=side), prompts, seeds, scale, sampling.batch)


def paint_all(
    paint: Painter, prompts: Sequence[str], seeds: Sequence[int], scale: float, batch: int
) -> NDArray[np.uint8]:
    """One picture for each prompt and seed, `batch` at a time."""
    parts = [
        paint(prompts[first : first + batch], seeds[first : first + batch], first, scale)
        for first in range(0, len(prompts), batch)
    ]
    return np.concatenate(parts)


def figures(pictures: NDArray[np.uint8], captions: Sequence[Caption], scale: float) -> Row:
    """The judge's figures for pictures [count height width 3] that should each show its caption."""
    right, stated, whole = Counter[str](), Counter[str](), dict[str, list[bool]]()
    for picture, caption in zip(pictures, captions, strict=True):
        scores = score(judge(picture), caption.statement)
        stated.update(scores.keys())
        right.update(name for name, holds in scores.items() if holds)
        whole.setdefault(kind(caption), []).append(all(scores.values()))
    groups = {name: sum(whole[name]) / len(whole[name]) for name in KINDS if name in whole}
    attributes = {name: right[name] / stated[name] for name in ATTRIBUTES if stated[name]}
    everything = sum(map(sum, whole.values())) / len(pictures)
    return Row(scale, len(pictures), everything, attributes, groups)


def kind(caption: Caption) -> str:
    """What makes a held-out prompt new: an unseen object, alone or in a pair, or an unseen pair of seen objects."""
    objects = caption.statement.objects
    unseen = any((described.colour, described.shape) in HELD_OUT_OBJECTS for described in objects)
    if not unseen:
        return "unseen arrangement"
    return "unseen object" if len(objects) == 1 else "unseen object in a pair"


def evaluate(
    paint: Painter,
    *,
    prompts: int,
    images: int,
    scales: Sequence[float],
    batch: int = Sampling.batch,
    sheet: Path | None = None,
) -> list[Row]:
    """Judge `images` pictures of each of `prompts` held-out prompts, at each guidance scale with the same noise.

    Args:
        paint: The system.
        prompts: Number of held-out prompts.
        images: Pictures of each; their seeds are 0 ... images - 1.
        scales: Guidance scales; 1 is unguided.
        batch: Pictures at a time.
        sheet: Where to write the first pictures of every scale as contact sheets, if anywhere.
    """
    captions = [caption for caption in held_out_prompts(prompts) for _ in range(images)]
    seeds = [seed for _ in range(prompts) for seed in range(images)]
    rows = []
    for scale in track(scales, description="Judging"):
        pictures = paint_all(paint, [caption.text for caption in captions], seeds, scale, batch)
        rows.append(figures(pictures, captions, scale))
        if sheet is not None:
            save_sheet(sheet.with_name(f"{sheet.stem}-scale-{scale:g}.png"), pictures[:96], columns=12)
    return rows


def table(rows: Sequence[Row]) -> Table:
    """The rows as a table for a terminal."""
    groups, names = list(rows[0].groups), list(rows[0].attributes)
    shown = Table("guidance", "everything", *groups, *names, title="Right, in %")
    for row in rows:
        values = [row.everything, *(row.groups[name] for name in groups), *(row.attributes[name] for name in names)]
        label = "unguided" if row.scale == 1 else f"{row.scale:g}"
        shown.add_row(label, *(f"{100 * value:.1f}" for value in values))
    return shown


def _scales(text: str) -> list[float]:
    try:
        return [float(scale) for scale in text.split(",")]
    except ValueError as error:
        raise GlidewireError("--scales", expected="numbers with commas between, such as 1,3", got=text) from error


def main(
    weights: Annotated[Path, typer.Argument(help="A mini of any system.")],
    beside: Annotated[Path | None, typer.Option(help="Folder of its system's other minis; by default its own.")] = None,
    prompts: Annotated[int, typer.Option(min=1, help="Number of held-out prompts.")] = 200,
    images: Annotated[int, typer.Option(min=1, help="Pictures of each prompt.")] = 4,
    scales: Annotated[str, typer.Option(help="Guidance scales; 1 is unguided.")] = "1,2,3,4,5",
    spacing: Annotated[str, typer.Option(help="Kept steps of the schedule.")] = Sampling.spacing,
    solver: Annotated[str, typer.Option(help="ancestral or ddim.")] = Sampling.solver,
    eta: Annotated[float, typer.Option(help="Share of fresh noise in each DDIM step.")] = Sampling.eta,
    out: Annotated[Path | None, typer.Option(help="Folder for the figures as JSON and contact sheets.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Judge a mini's pictures of held-out prompts; of an autoencoder or CLIP, measure `prompts` fresh scenes."""
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    chosen, sampling, where = _scales(scales), Sampling(spacing, solver, eta), device_named(device)
    measures = measured(weights, prompts, beside or weights.parent)
    if measures is not None:
        Console().print(*(f"{name}: {value:.4g}" for name, value in measures.items()), sep="\n")
        _write(out, {"weights": file_digest(weights), "scenes": prompts, "measures": measures})
        return
    paint = painter_of(weights, beside or weights.parent, sampling, where)
    sheet = out / "samples.png" if out else None
    rows = evaluate(paint, prompts=prompts, images=images, scales=chosen, batch=sampling.batch, sheet=sheet)
    Console().print(table(rows))
    found = {"weights": file_digest(weights), "sampling": asdict(sampling), "prompts": prompts, "images": images}
    if identify(weights).family == "paella":  # whose sampler has neither solver nor eta
        found["sampler"] = "Paella's"
    _write(out, {**found, "rows": [asdict(row) for row in rows]})


def _write(out: Path | None, found: Mapping[str, Any]) -> None:
    if out is not None:
        (out / "figures.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    run_command(main)
