"""Autoencoders as nodes: posteriors drawn by seed and item, spaces by name, and what does not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import save_published
from glidewire.models.first_stage.checkpoint import build, key_map
from glidewire.models.first_stage.model import identify_autoencoder, space_of
from glidewire.models.first_stage.spec import PUBLISHED, FirstStageSpec
from glidewire.nodes import autoencoders
from glidewire.nodes.sockets import Sample


def test_a_posterior_is_drawn_by_seed_and_item(materials: Any) -> None:
    autoencoder, image = materials.autoencoder, materials.picture(3)
    batch = autoencoders.encode_latents(autoencoder, image, "sample", seed=5)
    alone = autoencoders.encode_latents(autoencoder, image[2:], "sample", seed=5, first_item=2)
    assert torch.allclose(batch.tensor[2:], alone.tensor, atol=1e-4)
    other = autoencoders.encode_latents(autoencoder, image[2:], "sample", seed=6, first_item=2)
    assert not torch.allclose(other.tensor, alone.tensor, atol=0.1)
    mode = autoencoders.encode_latents(autoencoder, image, "mode", seed=5)
    mean, log_variance = autoencoder.network.posterior(image.movedim(-1, 1) * 2 - 1)
    assert torch.allclose(mode.tensor, mean, atol=1e-5)
    assert ((batch.tensor - mean).abs() < 6 * torch.exp(0.5 * log_variance)).all()


def test_latents_carry_the_scale_that_denoisers_know(materials: Any) -> None:
    spec = FirstStageSpec(channels=32, channel_mult=(1, 1), num_res_blocks=1, latent_scale=0.25)
    scaled = replace(materials.autoencoder, network=build(spec))
    scaled.network.load_state_dict(materials.autoencoder.network.state_dict())
    image = materials.picture(1)
    plain, quarter = (autoencoders.encode_latents(one, image, "mode") for one in (materials.autoencoder, scaled))
    assert torch.allclose(quarter.tensor, plain.tensor * 0.25)
    shown = [autoencoders.decode_latents(*pair) for pair in ((materials.autoencoder, plain), (scaled, quarter))]
    assert torch.allclose(*shown, atol=1e-5)
    assert 0 <= shown[0].min() <= shown[0].max() <= 1


def test_a_vq_autoencoder_encodes_before_and_decodes_after_its_codes(materials: Any) -> None:
    spec = FirstStageSpec(kind="vq", channels=32, channel_mult=(1, 1), num_res_blocks=1, codes=7, latent_scale=1.0)
    save_published(build(spec), key_map(spec), materials.folder / "vq.safetensors", metadata={})
    autoencoder = autoencoders.load_autoencoder("vq.safetensors", "codes", context=materials.context)
    latents = autoencoders.encode_latents(autoencoder, materials.picture(1), "sample", seed=1)
    assert torch.equal(latents.tensor, autoencoders.encode_latents(autoencoder, materials.picture(1), "mode").tensor)
    network = autoencoder.network
    snapped = network.embed(network.tokens(latents.tensor))
    assert not torch.allclose(snapped, latents.tensor, atol=0.01)
    shown = [autoencoders.decode_latents(autoencoder, Sample(x, "codes")) for x in (latents.tensor, snapped)]
    assert torch.allclose(*shown, atol=1e-5)


def test_a_space_is_called_by_its_published_name_its_file_or_the_user(materials: Any) -> None:
    found = identify_autoencoder(materials.folder / materials.autoencoder_file)
    assert space_of(found) == "tiny latents" and space_of(found, "mine") == "mine"
    silent = replace(found, header=replace(found.header, metadata={}))
    shape, digest = space_of(silent).split()
    assert shape == "kl-f2" and len(digest) == 8
    published = replace(silent, variant="kl-f8", spec=PUBLISHED["kl-f8"])
    assert space_of(published) == "kl-f8"
    assert space_of(replace(published, spec=FirstStageSpec(latent_scale=0.5))) == "kl-f8 x 0.5"


def test_what_has_tokens_instead_of_latents_is_refused(materials: Any) -> None:
    spec = FirstStageSpec(kind="gumbel", channels=32, channel_mult=(1, 1), num_res_blocks=1, codes=7)
    save_published(build(spec), key_map(spec), materials.folder / "gumbel.safetensors", metadata={})
    with pytest.raises(GlidewireError, match="expected a KL or VQ autoencoder; got a Gumbel autoencoder"):
        autoencoders.load_autoencoder("gumbel.safetensors", context=materials.context)


def test_another_kind_of_file_is_refused(materials: Any) -> None:
    with pytest.raises(GlidewireError, match="holds glide text_to_image; expected a component 'first_stage'"):
        autoencoders.load_autoencoder(materials.checkpoint, context=materials.context)


def test_sides_that_the_factor_does_not_divide_are_refused(materials: Any) -> None:
    for draw in ("sample", "mode"):
        with pytest.raises(GlidewireError, match="3 channels x sides that are multiples of 2; got"):
            autoencoders.encode_latents(materials.autoencoder, materials.picture(1, 15, 16), draw)


def test_latents_of_another_space_are_refused(materials: Any) -> None:
    elsewhere = Sample(materials.latents().tensor, "vq-f4")
    with pytest.raises(GlidewireError) as caught:
        autoencoders.decode_latents(materials.autoencoder, elsewhere)
    assert "latents of another autoencoder; expected tiny latents; got vq-f4" in str(caught.value)
