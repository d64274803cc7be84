"""Run claims and write docs/claims.json and docs/claims.md: `python -m glidewire.workflows.claims [NAME ...]`."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from ...errors import GlidewireError
from ...graph_runtime import formats
from ...interfaces.api import Workflow
from ...training.commands import run_command
from ..gallery import save
from ..make import missing
from ..thumbnails import pictured
from . import CLAIMS
from .findings import Finding, measured, page
from .study import ITEMS, PICTURES, metrics_of

DOCS = Path(__file__).resolve().parents[2] / "docs"


def opened(name: str, items: int = 0, pictures: int = 0) -> Workflow:
    """A claim's workflow, at another size if one is given."""
    if name not in CLAIMS:
        raise GlidewireError(f"there is no claim {name}", expected=", ".join(CLAIMS), got=name)
    flow = Workflow.load(f"claims/{name}")
    titles = {call.title for call in flow.graph.calls.values()}
    for title, number in ((ITEMS, items), (PICTURES, pictures)):
        if number and title in titles:
            flow.set(**{f"{title}.value": number})
    return flow


def read(docs: Path) -> dict[str, Finding]:
    """The findings that were written."""
    kept = docs / "claims.json"
    known = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    return {name: Finding.from_json(one) for name, one in known.items() if name in CLAIMS}


def write(docs: Path, findings: dict[str, Finding]) -> None:
    """Write findings and the page."""
    ordered = {name: findings[name].as_json() for name in CLAIMS if name in findings}
    (docs / "claims.json").write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    shown = [path.stem for path in (docs / "pictures" / "claims").glob("*.webp")]
    (docs / "claims.md").write_text(page(CLAIMS, findings, shown), encoding="utf-8")


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Which claims; all whose minis exist if none.")] = None,
    items: Annotated[int, typer.Option(help="Prompts or scenes; 0 for as many as the workflow has.")] = 0,
    pictures: Annotated[int, typer.Option(help="Pictures of each; 0 for as many as the workflow has.")] = 0,
    docs: Annotated[Path, typer.Option(help="Where claims.json and claims.md are.")] = DOCS,
    page_only: Annotated[bool, typer.Option("--page-only", help="Write the page anew, run nothing.")] = False,
) -> None:
    """Run claims at full size, and keep what they measured."""
    chosen = names or [name for name, claim in CLAIMS.items() if not missing(claim.shipped(name))]
    for name in () if page_only else chosen:
        began = time.monotonic()
        flow = opened(name, items, pictures)
        finding = measured(flow, CLAIMS[name], metrics_of(CLAIMS[name]))
        with tempfile.TemporaryDirectory() as folder:
            document = Path(folder) / f"{name}.json"
            formats.write(document, formats.to_saved(flow.graph, flow.registry))
            sheet = pictured(document, Path(folder) / "output")
        if sheet is not None:
            save(sheet, docs / "pictures" / "claims" / f"{name}.webp")
        write(docs, {**read(docs), name: finding})
        print(f"{name}: {finding.verdict}, {time.monotonic() - began:.0f} s", flush=True)
    write(docs, read(docs))


if __name__ == "__main__":
    run_command(main)
