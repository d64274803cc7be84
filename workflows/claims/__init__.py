"""What the papers found, redone in miniature: `python -m glidewire.workflows.claims` runs them and writes the table."""

from __future__ import annotations

from collections.abc import Mapping

from . import cascades, coverage, edits, guiding, inpainting, latents, pixels, priors
from .study import Claim

CLAIMS: Mapping[str, Claim] = {
    **pixels.CLAIMS,
    **coverage.CLAIMS,
    **inpainting.CLAIMS,
    **priors.CLAIMS,
    **latents.CLAIMS,
    **guiding.CLAIMS,
    **cascades.CLAIMS,
    **edits.CLAIMS,
}
