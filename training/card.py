"""The card that lies beside shipped weights: recipe, data, digest, and the judge's figures."""

from __future__ import annotations

import hashlib
import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from safetensors import safe_open

from ..errors import GlidewireError
from ..models.hyper_parameters import SPEC
from ..scenes.world import HELD_OUT_OBJECTS
from .commands import run_command
from .evaluate import ATTRIBUTES
from .introductions import INTRODUCTIONS, MEASURED, WORLD

_COLUMNS = 118


def card(weights: Path, figures: Path, command: str, notes: str = "") -> str:
    """The card's Markdown.

    Args:
        weights: The safetensors file, with the metadata that the recipe wrote.
        figures: `figures.json` of the evaluation of these weights, or of measures of them.
        command: The command that trained them.
        notes: Paragraphs about this run that no file knows.

    Raises:
        GlidewireError: when the figures are not an evaluation, or the weights carry no recipe.
    """
    with safe_open(weights, "pt") as file:
        metadata = dict(file.metadata() or {})
        count = sum(file.get_slice(key).get_shape() != [] and _size(file, key) for key in file.keys())  # noqa: SIM118
    try:
        found, recipe = json.loads(figures.read_text()), json.loads(metadata["glidewire.recipe"])
        tables = _judged(found) if "rows" in found else _measured(found, MEASURED.get(weights.stem))
    except (OSError, ValueError, KeyError) as error:
        raise GlidewireError(
            "card: recipe or figures are missing",
            expected="weights published by the recipe and figures.json of their evaluation",
            got=f"{type(error).__name__}: {error}",
        ) from error
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    return "\n".join(
        [
            f"# {weights.stem}\n",
            _wrapped(" ".join(filter(None, (INTRODUCTIONS.get(weights.stem), WORLD)))),
            "\n## File\n",
            f"- `{weights.name}`, {weights.stat().st_size / 1e6:.1f} MB, {count / 1e6:.2f} M parameters",
            f"- sha256 `{digest}`",
            *([f"- hyper-parameters: `{metadata[SPEC]}`"] if SPEC in metadata else []),
            "\n## Recipe\n",
            f"`{command}`\n",
            f"{metadata['glidewire.steps']} updates; moving average of the weights. Parameters:\n",
            *(f"- {name}: {value}" for name, value in recipe.items()),
            *(f"\n{_wrapped(paragraph)}" for paragraph in notes.split("\n\n") if paragraph),
            "\n## Data\n",
            _data(recipe["pool_size"]),
            "\n## Figures\n",
            *tables,
            "",
        ]
    )


def _data(pool_size: int) -> str:
    """What it was trained on."""
    if not pool_size:
        return "No pictures: those that the model draws under captions of the scene world (`scenes`)."
    excluded = ", ".join(sorted(f"{colour} {shape}" for colour, shape in HELD_OUT_OBJECTS))
    return (
        f"{pool_size:,} procedural scenes (`scenes`), captions drawn anew for every picture. "
        f"Never in training: {excluded}; and an eighth of all (colour, shape, relation, colour, shape)."
    )


def _wrapped(paragraph: str) -> str:
    return textwrap.fill(paragraph, _COLUMNS, break_on_hyphens=False)


def _judged(found: Mapping[str, Any]) -> list[str]:
    """What the judge found in pictures of held-out prompts."""
    sampling = found["sampling"]
    solver = f"DDIM (eta {sampling['eta']:g})" if sampling["solver"] == "ddim" else sampling["solver"]
    solver = found.get("sampler", solver)
    each = "one picture" if found["images"] == 1 else f"{found['images']} pictures"
    return [
        f"{found['prompts']} held-out prompts, {each} each, {sampling['spacing']} steps of "
        f"{solver} sampling; share of pictures in which the judge (`scenes/judge.py`) finds what "
        "the prompt states right, in %.\n",
        *_table(found["rows"]),
    ]


def _measured(found: Mapping[str, Any], about: str | None) -> list[str]:
    """What was measured, over fresh scenes if nothing else is said of it."""
    measures: Mapping[str, float] = found["measures"]
    retrieves = any("picture of a" in name or "caption of a" in name for name in measures)
    what = (
        "no two alike; share of those for which the nearest caption, or picture, is their own"
        if retrieves
        else "half of them of combinations that training never shows; share of pictures in which the judge "
        "(`scenes/judge.py`) still finds what is true of the scene after encoding and decoding"
    )
    values = {name: _with_unit(name, value) for name, value in measures.items()}
    return [
        _wrapped(f"{found['scenes']} {about or f'fresh scenes, {what}'}.") + "\n",
        "| what | found |\n|---|---|",
        *(f"| {name} | {value} |" for name, value in values.items()),
    ]


def _with_unit(name: str, value: float) -> str:
    if name in ("signal to noise", "known pixels", "small picture"):
        return f"{value:.1f} dB"
    plain = name == "edge" or name.startswith(("cosine", "correlation"))
    return f"{value:.3f}" if plain else f"{100 * value:.1f} %"


def _size(file: Any, key: str) -> int:
    size = 1
    for length in file.get_slice(key).get_shape():
        size *= length
    return size


def _table(rows: list[dict[str, Any]]) -> list[str]:
    groups = list(rows[0]["groups"])
    names = [name for name in ATTRIBUTES if name in rows[0]["attributes"]]
    lines = [
        f"| guidance | everything | {' | '.join((*groups, *names))} |",
        "|" + "---|" * (2 + len(groups) + len(names)),
    ]
    for row in rows:
        label = "unguided" if row["scale"] == 1 else f"{row['scale']:g}"
        values = [row["everything"], *(row["groups"][group] for group in groups)]
        values += [row["attributes"].get(name, 0.0) for name in names]
        lines.append(f"| {label} | {' | '.join(f'{100 * value:.1f}' for value in values)} |")
    return lines


def main(
    weights: Annotated[Path, typer.Argument(help="The safetensors file.")],
    figures: Annotated[Path, typer.Argument(help="figures.json of its evaluation.")],
    command: Annotated[str, typer.Option(help="The command that trained it.")],
    notes: Annotated[str, typer.Option(help="Paragraphs about this run.")] = "",
) -> None:
    """Write the card beside the weights."""
    weights.with_suffix(".md").write_text(card(weights, figures, command, notes))


if __name__ == "__main__":
    run_command(main)
