"""The autoencoders' recipes: files that the nodes' loaders read, a VQ model that begins as the KL model ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.first_stage.model import load_autoencoder
from glidewire.models.paella.token_autoencoder import load_token_autoencoder
from glidewire.training.autoencoder import (
    AutoencoderCourse,
    AutoencoderLesson,
    clusters,
    decoded,
    held_out_pictures,
    reconstruction_loss,
)
from glidewire.training.pool import Pool
from glidewire.training.run import Run, train

CPU = torch.device("cpu")


def test_a_kl_autoencoder_carries_its_space_and_its_scale(minis: Path, small_pool: Pool) -> None:
    found = load_autoencoder(minis / "mini-kl-f4.safetensors")
    assert found.space == "mini-kl-f4" and found.spec.norm_groups == 8 and found.spec.factor == 4
    pictures = torch.from_numpy(small_pool.pictures[:8].copy()).permute(0, 3, 1, 2).float() / 127.5 - 1
    # Latents as denoisers see them have a deviation near 1: that is what the scale is measured for.
    assert 0.6 < found.encode(pictures).std() < 1.6


def test_a_vq_autoencoder_carries_its_codebook(minis: Path) -> None:
    found = load_token_autoencoder(minis / "mini-vq-f4.safetensors")
    assert found.codebook == "mini-vq-f4"
    tokens = found.encode(torch.rand(2, 3, 32, 32))
    assert tokens.shape == (2, 8, 8) and found.decode(tokens).shape == (2, 3, 32, 32)


def test_a_vq_autoencoder_grows_out_of_a_kl_autoencoder(minis: Path, small_pool: Pool, tmp_path: Path) -> None:
    taught = load_autoencoder(minis / "mini-kl-f4.safetensors").network
    lesson = AutoencoderLesson(
        AutoencoderCourse(kind="vq", steps=1, batch_size=9), small_pool, CPU, minis / "mini-kl-f4.safetensors"
    )
    Run(lesson, tmp_path)
    picture = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        latents = lesson.network.encode(picture)
        assert torch.allclose(latents, taught.encode(picture), atol=1e-4)
        assert torch.allclose(
            lesson.network.decode(latents, quantise=False), taught.decode(taught.encode(picture)), atol=1e-3
        )
    # Its first codes are clusters of the latents of training pictures: each finds one nearer than their mean.
    latents = latents.movedim(1, -1).flatten(0, 2)
    nearest = torch.cdist(latents, lesson.network.codebook.detach()).min(dim=1).values
    assert nearest.mean() < 0.8 * (latents - latents.mean(dim=0)).norm(dim=1).mean()


def test_a_decoder_that_learns_more_keeps_the_latents(minis: Path, small_pool: Pool, tmp_path: Path) -> None:
    start = minis / "mini-kl-f4.safetensors"
    course = AutoencoderCourse(kind="kl", steps=1, batch_size=2, warm_up_steps=1)
    path = train(Run(AutoencoderLesson(course, small_pool, CPU, start), tmp_path))
    before, after = load_autoencoder(start), load_autoencoder(path)
    picture = torch.rand(1, 3, 32, 32)
    latents = before.encode(picture)
    assert torch.equal(after.encode(picture), latents) and after.spec == before.spec
    assert not torch.allclose(after.decode(latents), before.decode(latents), atol=1e-3)


def test_a_token_decoder_that_learns_more_keeps_the_tokens(minis: Path, small_pool: Pool, tmp_path: Path) -> None:
    start = minis / "mini-vq-f4.safetensors"
    course = AutoencoderCourse(kind="vq", steps=2, batch_size=2, warm_up_steps=1, revive_every=1)
    path = train(Run(AutoencoderLesson(course, small_pool, CPU, start), tmp_path))
    before, after = load_token_autoencoder(start), load_token_autoencoder(path)
    tokens = before.encode(torch.rand(1, 3, 32, 32))
    assert torch.equal(after.network.codebook, before.network.codebook)
    assert not torch.allclose(after.decode(tokens), before.decode(tokens), atol=1e-3)


def test_an_unknown_kind_is_refused(small_pool: Pool) -> None:
    with pytest.raises(GlidewireError, match=r"kind of autoencoder.*kl or vq.*gumbel"):
        AutoencoderLesson(AutoencoderCourse(kind="gumbel"), small_pool, CPU)  # pyrefly: ignore


def test_clusters_are_found_where_points_lie() -> None:
    generator = torch.Generator().manual_seed(0)
    places = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = places.repeat(50, 1) + 0.1 * torch.randn(150, 2, generator=generator)
    centres = clusters(points, 12, generator)
    assert torch.cdist(places, centres).min(dim=1).values.max() < 0.2
    assert clusters(points[:2], 5, generator).shape == (5, 2)


def test_codes_that_nothing_uses_are_revived(small_pool: Pool, tmp_path: Path) -> None:
    lesson = AutoencoderLesson(AutoencoderCourse(kind="vq", steps=4, batch_size=2, revive_every=2), small_pool, CPU)
    run = Run(lesson, tmp_path)
    with torch.no_grad():
        lesson.network.codebook[5:] = 1e6  # far from any latent
    run.take_step()
    assert (lesson.network.codebook.detach()[5:] > 1e5).all()
    run.take_step()
    assert (lesson.network.codebook.detach() < 1e5).all()


def test_the_loss_is_zero_for_equal_pictures_and_grows_with_edges() -> None:
    picture = torch.zeros(1, 3, 8, 8)
    assert reconstruction_loss(picture, picture, 0.5) == 0
    flat, striped = picture + 0.5, picture.clone()
    striped[..., ::2] = 0.5
    assert reconstruction_loss(flat, picture, 0.0) == pytest.approx(0.75)
    assert reconstruction_loss(flat, picture, 9.0) == pytest.approx(0.75)
    assert reconstruction_loss(striped, picture, 9.0) > 4


def test_decoded_pictures_are_bytes_of_the_same_size(minis: Path) -> None:
    network = load_autoencoder(minis / "mini-kl-f4.safetensors").network
    pictures = held_out_pictures(2, 32)
    found = decoded(network, pictures)
    assert found.shape == pictures.shape == (2, 32, 32, 3) and found.dtype == np.uint8
