"""The recipe of Prompt Diffusion: what tasks are, a network that begins as nothing, and a file that controls."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from glidewire.models.controlnet.model import load_control
from glidewire.models.controlnet.view import Controlled
from glidewire.training import batches
from glidewire.training.frozen import Frozen
from glidewire.training.pool import Pool
from glidewire.training.prompt_diffusion import (
    HELD_OUT,
    MAPS,
    PromptDiffusionCourse,
    PromptDiffusionLesson,
    begun,
    hint,
    task,
)
from glidewire.training.run import Run, train

CPU = torch.device("cpu")
WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


@pytest.fixture(scope="module")
def frozen() -> Frozen:
    return Frozen.load(*(WEIGHTS / f"{name}.safetensors" for name in ("mini-ldm", "mini-kl-f4", "mini-clip")), CPU)


def test_a_task_is_a_map_and_its_way(small_pool: Pool) -> None:
    pictures = batches.pictures(small_pool, torch.arange(3).numpy())
    given, made = task(pictures, ["negative", "negative", "grey"], [True, False, False])
    assert torch.equal(given[0], -pictures[0]) and torch.equal(made[0], pictures[0])
    assert torch.equal(given[1:], pictures[1:]) and torch.equal(made[1], -pictures[1])
    assert torch.equal(made[2][0], made[2][1]) and not set(HELD_OUT) & set(MAPS)


@pytest.mark.parametrize("name", [*MAPS, *HELD_OUT])
def test_maps_are_pictures_in_range_that_differ_from_theirs(name: str, small_pool: Pool) -> None:
    pictures = batches.pictures(small_pool, torch.arange(12).numpy())
    mapped = {**MAPS, **HELD_OUT}[name](pictures)
    assert mapped.shape == pictures.shape and -1 <= mapped.min() < mapped.max() <= 1
    assert (mapped - pictures).abs().mean() > 0.05
    if name == "segmentation":
        solid = (mapped[:, 0] > 0).float().mean((1, 2))
        assert ((solid > 0.02) & (solid < 0.4)).all()


def test_it_begins_as_a_copy_that_adds_nothing(frozen: Frozen) -> None:
    control, network = begun(frozen), frozen.denoiser.network
    copied = control.encoder.state_dict()["mid_block.resnets.0.conv1.weight"]
    assert torch.equal(copied, network.unet.state_dict()["mid_block.resnets.0.conv1.weight"])
    view, x_t, context = Controlled(network, control), torch.randn(1, 4, 8, 8), torch.randn(1, 24, 96)
    hints = {
        "control.example_pair": hint(torch.rand(1, 6, 32, 32), x_t),
        "control.query": hint(torch.rand(1, 3, 32, 32), x_t),
    }
    with torch.no_grad():
        plain = network(x_t, torch.tensor([500]), {"context": context})
        assert torch.equal(view(x_t, torch.tensor([500]), view.prepare({"context": context, **hints})), plain)


def test_only_the_control_network_is_trained_and_its_file_is_prompt_diffusions(
    frozen: Frozen, small_pool: Pool, tmp_path: Path
) -> None:
    before = {name: value.clone() for name, value in frozen.denoiser.network.state_dict().items()}
    lesson = PromptDiffusionLesson(PromptDiffusionCourse(steps=2, batch_size=2, pool_size=12), small_pool, frozen, CPU)
    path = train(Run(lesson, tmp_path))
    for name, value in frozen.denoiser.network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert [name for name, _ in load_control(path).spec.hints] == ["example_pair", "query"]
