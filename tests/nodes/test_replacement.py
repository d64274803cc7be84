"""RePaint as a node: what is kept, progress over all visits, masks that do not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import CancelledError, CancelToken, Context
from glidewire.nodes import replacement
from glidewire.nodes.sockets import Sample

QUIET = Context()


def test_what_is_kept_is_the_sample_and_resampling_changes_the_rest(materials: Any) -> None:
    sample, mask = materials.sample(1), materials.mask()
    made = [
        replacement.repaint_sampler(
            materials.denoiser(), materials.schedule, materials.start(2), sample, mask, again, 1, context=QUIET
        ).tensor
        for again in (1, 3)
    ]
    for one in made:
        torch.testing.assert_close(one[..., :8], sample.tensor[..., :8].expand(2, -1, -1, -1))
        assert not torch.equal(one[..., 8:], sample.tensor[..., 8:].expand(2, -1, -1, -1))
    assert not torch.equal(made[0], made[1])


def test_progress_counts_every_visit_and_a_run_can_be_cancelled(materials: Any) -> None:
    told: list[tuple[int, int]] = []
    inputs = (materials.denoiser(), materials.schedule, materials.start(), materials.sample(), materials.mask(), 2, 1)
    context = Context(on_progress=lambda done, total, text, preview: told.append((done, total)))
    replacement.repaint_sampler(*inputs, context=context)
    assert told[-1][0] == told[-1][1] == len(told) > len(materials.schedule)
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        replacement.repaint_sampler(*inputs, context=Context(cancel=token))


def test_what_does_not_fit_is_refused(materials: Any) -> None:
    common = (materials.denoiser(), materials.schedule, materials.start())
    sample, mask = materials.sample(), materials.mask()
    with pytest.raises(GlidewireError, match="the mask does not fit the sample"):
        replacement.repaint_sampler(*common, sample, mask[:, 1:], context=QUIET)
    with pytest.raises(GlidewireError, match="another space than the denoiser; expected pixels; got latents"):
        replacement.repaint_sampler(*common, replace(sample, space="latents"), mask, context=QUIET)
    with pytest.raises(GlidewireError, match="not as many known samples as starts; expected 1 or 1; got 2"):
        replacement.repaint_sampler(*common, Sample(sample.tensor.repeat(2, 1, 1, 1)), mask, context=QUIET)
