"""Statistics of CLIP embeddings and Stable unCLIP's noise augmentation, as files and against diffusers' parts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import identify, load
from glidewire.models.unclip.embedding import EmbeddingStatistics, NoiseAugmentation, StatisticsSpec
from safetensors.torch import save_file

WIDTH = 6
MEAN, STD = torch.linspace(-1, 1, WIDTH), torch.linspace(0.5, 2, WIDTH)
DERIVED = ("betas", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
           "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod")  # fmt: skip


@pytest.fixture
def scheduler() -> DDPMScheduler:
    return DDPMScheduler(beta_schedule="squaredcos_cap_v2")


def test_a_pair_of_tensors_and_diffusers_folder_are_the_same_statistics(tmp_path: Path) -> None:
    torch.save((MEAN, STD), tmp_path / "stats.th")
    folder = tmp_path / "image_normalizer"
    folder.mkdir()
    save_file({"mean": MEAN[None], "std": STD[None]}, folder / "diffusion_pytorch_model.safetensors")
    (folder / "config.json").write_text(json.dumps({"embedding_dim": WIDTH}))
    for path in (tmp_path / "stats.th", folder):
        identity = identify(path)
        assert (identity.family, identity.component) == ("unclip", "statistics")
        assert identity.dims == {"embedding_width": WIDTH}
        statistics = load(path)
        assert isinstance(statistics, EmbeddingStatistics)
        assert torch.equal(statistics.mean, MEAN) and torch.equal(statistics.std, STD)
        z = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(statistics.normalise(z), (z - MEAN) / STD)
        torch.testing.assert_close(statistics.denormalise(statistics.normalise(z)), z)
        assert statistics.digest() != EmbeddingStatistics(StatisticsSpec(WIDTH)).digest()


def test_tensors_of_other_shapes_are_no_statistics(tmp_path: Path) -> None:
    other = ({"mean": MEAN, "std": STD}, {"mean": MEAN[None], "std": STD[None, 1:]})
    for tensors in other:
        save_file({name: value.clone() for name, value in tensors.items()}, tmp_path / "m")
        with pytest.raises(GlidewireError, match="no known family"):
            identify(tmp_path / "m")


def test_noise_augmentation_is_the_published_one(scheduler: DDPMScheduler) -> None:
    generator = torch.Generator().manual_seed(1)
    z, noise = torch.randn(3, WIDTH, generator=generator), torch.randn(3, WIDTH, generator=generator)
    level = torch.tensor([0, 500, 999])
    statistics = EmbeddingStatistics(StatisticsSpec(WIDTH))
    statistics.mean.data, statistics.std.data = MEAN, STD
    expected = scheduler.add_noise((z - MEAN) / STD, noise, level) * STD + MEAN
    sinusoid = get_timestep_embedding(level, WIDTH, flip_sin_to_cos=True, downscale_freq_shift=0)
    made = NoiseAugmentation.squared_cosine()(z, level, noise, statistics)
    torch.testing.assert_close(made, torch.cat([expected, sinusoid], dim=1), rtol=0, atol=2e-6)


@pytest.mark.parametrize("with_statistics", [False, True])
def test_the_part_of_a_stable_unclip_file_is_loaded_with_its_own_levels(
    with_statistics: bool, scheduler: DDPMScheduler, tmp_path: Path
) -> None:
    levels = scheduler.alphas_cumprod[:500].clone()
    tensors = {"alphas_cumprod": levels, **{name: torch.zeros(500) for name in DERIVED}}
    if with_statistics:
        tensors |= {"data_mean": MEAN[None], "data_std": STD[None]}
    save_file({f"noise_augmentor.{name}": value for name, value in tensors.items()}, tmp_path / "m")
    identity = identify(tmp_path / "m", component="noise_augmentation")
    assert identity.dims == {"levels": 500}
    augmentation = load(tmp_path / "m", component="noise_augmentation")
    assert isinstance(augmentation, NoiseAugmentation) and torch.equal(augmentation.alpha_bar, levels)
    assert (augmentation.statistics is not None) == with_statistics
    z = torch.ones(1, WIDTH)
    made = augmentation(z, torch.tensor([0]), torch.zeros(1, WIDTH))
    centre = MEAN if with_statistics else torch.zeros(WIDTH)
    torch.testing.assert_close(made[:, :WIDTH], levels[0].sqrt() * (z - centre) + centre)
    assert augmentation.digest() != NoiseAugmentation.squared_cosine().digest()


def test_impossible_levels_and_shapes_are_refused_by_name() -> None:
    augmentation = NoiseAugmentation.squared_cosine(10)
    z = torch.zeros(2, WIDTH)
    with pytest.raises(GlidewireError, match="no such noise level; expected 0 to 9; got 3 to 10"):
        augmentation(z, torch.tensor([3, 10]), z)
    with pytest.raises(GlidewireError, match=f"noise does not fit; expected 2 x {WIDTH}; got"):
        augmentation(z, torch.tensor([1, 2]), z[:1])
    with pytest.raises(GlidewireError, match="embedding does not fit; expected batch x 4; got"):
        augmentation(z, torch.tensor([1, 2]), z, EmbeddingStatistics(StatisticsSpec(4)))
    with pytest.raises(GlidewireError, match="width does not fit"):
        StatisticsSpec(0)
