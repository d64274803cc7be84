"""Write docs/workflows.md, and run workflows for its pictures: `python -m glidewire.workflows.gallery [--all | name]`.

Without a name nothing is run: the page is written anew with the pictures that are there. `--all` runs every workflow
whose mini exists, with the numbers that it is shipped with; what is in the cache is not computed again.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from .make import FOLDER, WRITTEN, missing, runnable
from .page import Shipped
from .thumbnails import GALLERY as PICTURES
from .thumbnails import compressed, pictured

DOCS = FOLDER.parent / "docs"
MOST_BYTES = 150_000
_HEAD = """# Workflows

Every workflow that comes with the pack, with what it makes: `glidewire run NAME`, or open it in the editor's template
browser. All pictures are made by the shipped minis on a CPU. Written by
`python -m glidewire.workflows.gallery`: do not edit.

What the papers found, redone in miniature, is in [claims.md](claims.md).
"""


def save(picture: Image.Image, target: Path) -> None:
    """Write a WebP of at most `MOST_BYTES` bytes; one that is too large at any quality is made smaller."""
    fitting = compressed(picture, "WEBP", MOST_BYTES, method=6)
    if fitting is None:
        save(picture.reduce(2), target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(fitting)


def _tasks(workflows: Mapping[str, Shipped]) -> dict[str, Shipped]:
    """The workflows that show a system or a task; claims have a page of their own."""
    return {name: shipped for name, shipped in workflows.items() if "/" not in name}


def page() -> str:
    """The page: a section for each workflow, and what those wait for that are not shipped yet."""
    parts = [_HEAD]
    for name, shipped in _tasks(runnable()).items():
        parts.append(f"## {name}\n\n{shipped.note}\n")
        if (PICTURES / f"{name}.webp").is_file():
            parts.append(f"![What {name} makes](pictures/workflows/{name}.webp)\n")
    waiting = [f"| {name} | {', '.join(missing(one))} |" for name, one in _tasks(WRITTEN).items() if missing(one)]
    if waiting:
        parts.append(
            "## Written, and waiting for a mini\n\n| workflow | mini |\n|---|---|\n" + "\n".join(waiting) + "\n"
        )
    return "\n".join(parts)


def main(names: list[str]) -> None:
    """Run the workflows that are named, and write the page."""
    for name in _tasks(runnable()) if names == ["--all"] else names:
        with tempfile.TemporaryDirectory() as output:
            picture = pictured(FOLDER / f"{name}.json", Path(output))
        if picture is not None:
            save(picture, PICTURES / f"{name}.webp")
            print(f"{name}: {(PICTURES / f'{name}.webp').stat().st_size} bytes", flush=True)
    (DOCS / "workflows.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
