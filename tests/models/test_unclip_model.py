"""Priors as a workflow loads them: the statistics of embeddings in a file beside the prior, and their mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.unclip.model import load_prior


def statistics(folder: Path, width: int) -> Path:
    torch.save((torch.linspace(-1, 1, width), torch.full((width,), 2.0)), folder / f"stats-{width}.th")
    return folder / f"stats-{width}.th"


def published(parity: Callable[[str], Any], folder: Path) -> tuple[Any, Path]:
    """A prior in Karlo's own layout, which never carries its statistics."""
    case = parity("karlo_prior")
    torch.save({"state_dict": case.weights}, folder / "prior.ckpt")
    return case, folder / "prior.ckpt"


def test_a_prior_without_statistics_asks_for_them(parity: Callable[[str], Any], tmp_path: Path) -> None:
    _, path = published(parity, tmp_path)
    with pytest.raises(
        GlidewireError, match=r"prior\.ckpt does not carry the statistics of embeddings; .*Name the file of statistics"
    ):
        load_prior(path, clip="mini")


def test_statistics_of_a_file_beside_it_are_the_ones_used(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case, path = published(parity, tmp_path)
    width = case.inputs["x"].shape[1]
    model = load_prior(path, statistics(tmp_path, width), clip="mini")
    z = torch.zeros(1, width)
    assert model.statistics is not None
    torch.testing.assert_close(model.statistics.denormalise(z)[0], torch.linspace(-1, 1, width))
    assert model.network.space == "mini"


def test_statistics_of_other_embeddings_are_refused(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case, path = published(parity, tmp_path)
    width = case.inputs["x"].shape[1]
    with pytest.raises(
        GlidewireError,
        match=rf"statistics are of other embeddings than the prior's; expected width {width}; got width {width + 1}",
    ):
        load_prior(path, statistics(tmp_path, width + 1), clip="mini")


def test_files_that_are_no_statistics_are_named(parity: Callable[[str], Any], tmp_path: Path) -> None:
    _, path = published(parity, tmp_path)
    with pytest.raises(GlidewireError, match=r"prior\.ckpt holds unclip prior; expected a component 'statistics'"):
        load_prior(path, path, clip="mini")
    with pytest.raises(GlidewireError, match=r"absent\.th does not exist"):
        load_prior(path, tmp_path / "absent.th", clip="mini")
    torch.save((torch.zeros(3), torch.zeros(4)), tmp_path / "uneven.th")
    with pytest.raises(GlidewireError, match=r"uneven\.th belongs to no known family"):
        load_prior(path, tmp_path / "uneven.th", clip="mini")


def test_a_decoder_is_no_prior_and_an_unpublished_prior_needs_the_name_of_its_clip(
    parity: Callable[[str], Any], tmp_path: Path
) -> None:
    case = parity("karlo_decoder")
    torch.save({"state_dict": case.weights}, tmp_path / "decoder.ckpt")
    with pytest.raises(GlidewireError, match="prior"):
        load_prior(tmp_path / "decoder.ckpt", clip="mini")
    _, path = published(parity, tmp_path)
    with pytest.raises(GlidewireError, match=r"does not tell which CLIP's embeddings.*Write a name into clip"):
        load_prior(path)
