"""Small pictures of what the shipped workflows make: `python -m glidewire.workflows.thumbnails [name ...]`.

The editor, here and in a node host, asks for `<name>.jpg` beside `<name>.json`.
"""

from __future__ import annotations

import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from ..graph_runtime.events import Finished
from ..interfaces.api import run
from ..interfaces.session import shipped_workflows

SIDE, MOST_BYTES = 400, 20_000
GALLERY = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "workflows"
_BACKGROUND = "#1b1b1f"


def thumbnail(picture: Image.Image) -> bytes:
    """A picture as a JPEG of at most `MOST_BYTES` bytes, `SIDE` pixels wide and high; what it lacks is dark.

    Small pictures are enlarged by whole pixels.
    """
    whole = SIDE // max(picture.size)
    grown = (
        picture.resize((picture.width * whole, picture.height * whole), Image.Resampling.NEAREST) if whole else picture
    )
    square = ImageOps.pad(grown.convert("RGB"), (SIDE, SIDE), color=_BACKGROUND)
    fitting = compressed(square, "JPEG", MOST_BYTES, optimize=True)
    assert fitting is not None  # at the lowest quality a picture of this size always fits
    return fitting


def compressed(picture: Image.Image, form: str, most_bytes: int, **options: Any) -> bytes | None:
    """A picture in the best quality at which it takes at most so many bytes; None if it does at none."""
    for quality in range(90, 0, -6):
        into = BytesIO()
        picture.save(into, form, quality=quality, **options)
        if into.tell() <= most_bytes:
            return into.getvalue()
    return None


def pictured(workflow: Path, output: Path) -> Image.Image | None:
    """Run a workflow and return the last picture that it saves, or None where it saves none.

    Args:
        workflow: The saved workflow.
        output: An empty folder for what it saves.

    Raises:
        GlidewireError: it cannot be run.
    """
    saved: list[Path] = []

    def hear(event: object) -> None:
        if isinstance(event, Finished):
            saved.extend(output / one["subfolder"] / one["filename"] for one in event.show.get("images", ()))

    run(workflow, on_event=hear, output=output)
    if not saved:
        return None
    with Image.open(saved[-1]) as picture:
        return picture.copy()


def main() -> None:
    """Keep a picture beside each workflow: what `gallery` shows of it, or, of those that are named, a fresh run's."""
    known, named = shipped_workflows(), sys.argv[1:]
    for name in named or known:
        shown = GALLERY / f"{name}.webp"
        with tempfile.TemporaryDirectory() as output:
            if named:
                picture = pictured(known[name], Path(output))
            else:
                picture = Image.open(shown) if shown.is_file() else None
        if picture is None:
            print(f"{name}: no picture")
            continue
        data = thumbnail(picture)
        known[name].with_suffix(".jpg").write_bytes(data)
        print(f"{name}.jpg: {len(data)} bytes")


if __name__ == "__main__":
    main()
