"""The shipped workflows, written in Python: `python -m glidewire.workflows.make` writes the JSON files beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..graph_runtime import formats
from . import (
    adapter_pages,
    editing,
    glide_pages,
    guidance_pages,
    guiding_pages,
    imagen_pages,
    inpainting_pages,
    latent_pages,
    paella_pages,
    parts,
    unclip_pages,
    upsampling_pages,
)
from .claims import CLAIMS
from .page import Shipped, document

FOLDER = Path(__file__).resolve().parent
WEIGHTS = FOLDER.parent / "weights"

WRITTEN: Mapping[str, Shipped] = {
    **glide_pages.WORKFLOWS,
    **guiding_pages.WORKFLOWS,
    **guidance_pages.WORKFLOWS,
    **inpainting_pages.WORKFLOWS,
    **upsampling_pages.WORKFLOWS,
    **unclip_pages.WORKFLOWS,
    **paella_pages.WORKFLOWS,
    **latent_pages.WORKFLOWS,
    **editing.WORKFLOWS,
    **adapter_pages.WORKFLOWS,
    **imagen_pages.WORKFLOWS,
    **{f"claims/{name}": claim.shipped(name) for name, claim in CLAIMS.items()},
}
"""Every workflow that has its source here, also of systems whose mini is not there yet."""


def missing(shipped: Shipped) -> list[str]:
    """The minis that a workflow needs and that are not among the weights."""
    return [mini for mini in shipped.minis if not (WEIGHTS / parts.file(mini)).is_file()]


def runnable() -> dict[str, Shipped]:
    """The workflows that are shipped: those whose minis are all there."""
    return {name: shipped for name, shipped in WRITTEN.items() if not missing(shipped)}


def main() -> None:
    """Write every shipped workflow, and say which still wait for a mini."""
    for name, shipped in WRITTEN.items():
        if lacking := missing(shipped):
            print(f"{name}: waits for {', '.join(lacking)}")
            continue
        target = FOLDER / f"{name}.json"
        target.parent.mkdir(exist_ok=True)
        formats.write(target, document(name, shipped))
        print(f"{name}.json")


if __name__ == "__main__":
    main()
