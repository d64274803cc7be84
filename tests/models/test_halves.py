"""Every U-Net runs in two halves, and its bottleneck can be edited on one way down, under guidance and views too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from glidewire.diffusion import guidance
from glidewire.diffusion.denoiser import Leaf
from glidewire.diffusion.editing import asymmetric
from glidewire.diffusion.evaluator import Evaluator, evaluate
from glidewire.diffusion.prediction import Step
from glidewire.diffusion.schedules import squared_cosine
from glidewire.errors import GlidewireError
from glidewire.models import halves
from glidewire.models.asyrp.directions import DeltaBlocks
from glidewire.models.asyrp.spec import DeltaBlockSpec
from glidewire.models.asyrp.view import BottleneckEdit
from glidewire.models.controlnet.network import ControlNet
from glidewire.models.controlnet.spec import ControlNetSpec
from glidewire.models.controlnet.view import Controlled
from glidewire.models.ip_adapter.network import IpAdapter
from glidewire.models.ip_adapter.spec import IpAdapterSpec
from glidewire.models.ip_adapter.view import ImagePrompted
from glidewire.models.ldm.network import LatentDenoiser
from glidewire.models.ldm.spec import UnetSpec

STEP = Step.of(squared_cosine(8), 3)
SIZES: dict[str, Any] = {
    "model_channels": 8, "channel_mult": (1, 2), "num_res_blocks": 1, "attention_levels": (0,), "context_width": 6,
    "num_heads": 2, "norm_groups": 4,
}  # fmt: skip


def tensor(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def randomised(network: Any, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.parameters():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.2 + (value.ndim == 1))
    return network.eval().requires_grad_(False)


def edited(network: Any) -> BottleneckEdit:
    channels, width = halves.bottleneck(network.unet)
    return BottleneckEdit(
        network, [randomised(DeltaBlocks(DeltaBlockSpec("ddpm", 1, channels, width, norm_groups=4)), 7)]
    )


@torch.no_grad()
def test_two_halves_are_the_whole(any_unet: Any) -> None:
    network, condition = any_unet
    x, t = tensor(2, network.channels, 16, 16), torch.tensor([3, 700])
    prepared = network.prepare({name: torch.cat([value] * 2) for name, value in condition(1).items()})
    encoded = network.way_down(x, t, prepared)
    whole = network(x, t, prepared)
    assert torch.equal(network.way_up(encoded, prepared), whole)
    assert encoded.h.shape[1] == halves.bottleneck(network.unet)[0]
    assert encoded.embedding.shape == (2, halves.bottleneck(network.unet)[1])
    # And what a header tells of it.
    assert halves.bottleneck(network.unet) == (network.spec.bottleneck, network.spec.time_width)
    moved = network.way_up(encoded, prepared, h=encoded.h + 1)
    assert not torch.allclose(moved, whole, atol=1e-3)
    # Rows of a prediction are rows of its halves.
    swapped = {name: value.flip(0) for name, value in prepared.items()}
    again = network.way_up(encoded.rows(torch.tensor([1, 0])), swapped)
    torch.testing.assert_close(again.flip(0), whole, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_an_asymmetric_edit_takes_one_way_down_on_every_u_net(any_unet: Any) -> None:
    network, condition = any_unet
    view = edited(network)
    rows: list[int] = []
    hook = network.unet.mid_block.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    x_t = tensor(2, network.channels, 16, 16)
    leaves = [Leaf(view, {**condition(1), **view.strengths(c)}) for c in ([0.7], ())]
    evaluator = Evaluator()
    found = evaluator(asymmetric(*leaves), x_t, STEP)
    hook.remove()
    assert evaluator.forwards == 1 and rows == [2]
    plain = evaluate(Leaf(network, condition(1)), x_t, STEP)
    torch.testing.assert_close(found.renoise_eps, plain.eps(x_t, STEP), atol=1e-4, rtol=1e-4)
    alone = evaluate(leaves[0], x_t, STEP)
    torch.testing.assert_close(found.value, alone.value, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found.value, plain.value, atol=1e-2)


@torch.no_grad()
def test_under_guidance_each_condition_has_a_way_down_of_its_own(unet_of: Callable[[str], Any]) -> None:
    network, condition = unet_of("glide")
    view = edited(network)
    rows: list[int] = []
    network.unet.mid_block.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    x_t = tensor(1, 3, 16, 16)
    pairs = [[Leaf(view, {**condition(seed), **view.strengths(c)}) for seed in (1, 2)] for c in ([0.7], ())]
    found = evaluate(asymmetric(*(guidance.classifier_free(*pair, 3.0) for pair in pairs)), x_t, STEP)
    assert rows == [2]
    expected = [
        view(x_t, torch.tensor([STEP.timestep]), view.prepare(leaf.conditioning)).chunk(2, 1)[0] for leaf in pairs[0]
    ]
    torch.testing.assert_close(found.value, expected[1] + 3 * (expected[0] - expected[1]), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_an_edit_of_an_edited_denoiser_adds_up_and_takes_one_way_down(any_unet: Any) -> None:
    network, condition = any_unet
    first = edited(network)
    second = BottleneckEdit(first, first.directions, name="again")
    x, t = tensor(2, network.channels, 16, 16), torch.tensor([3, 700])
    both = {name: torch.cat([value] * 2) for name, value in condition(1).items()}
    rows: list[int] = []
    hook = network.unet.mid_block.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))

    def found(one: float, two: float) -> torch.Tensor:
        return second(x, t, {**both, **first.strengths([one]), **second.strengths([two])})

    expected = first(x, t, {**both, **first.strengths([0.7])})
    for one, two in ((0.5, 0.2), (0.0, 0.7), (0.7, 0.0)):
        torch.testing.assert_close(found(one, two), expected, atol=1e-4, rtol=1e-4)
    hook.remove()
    assert rows == [2] * 4
    # Leaves that differ in either strength, or in both, share one row of the way down.
    rows.clear()
    hook = network.unet.mid_block.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    strengths = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))
    plain, *others = (
        Leaf(second, {**condition(1), **first.strengths([a]), **second.strengths([b])}) for a, b in strengths
    )
    evaluate(guidance.composable(others, plain, [1.0, 1.0, 1.0]), x[:1], STEP)
    hook.remove()
    assert rows == [1]


@torch.no_grad()
def test_views_of_a_denoiser_are_edited_too() -> None:
    denoiser, control = randomised(LatentDenoiser(UnetSpec(**SIZES))), randomised(ControlNet(ControlNetSpec(**SIZES)))
    adapter = randomised(
        IpAdapter(replace(IpAdapterSpec(), image_width=5, context_width=6, channels=(8, 8, 8, 16), tokens=2))
    )
    below = Controlled(ImagePrompted(denoiser, adapter), control)
    condition = {
        "context": tensor(1, 3, 6), "image_prompt.tokens": tensor(1, 2, 6), "control.hint": torch.zeros(1, 3, 32, 32)
    }  # fmt: skip
    x, t = tensor(1, 4, 4, 4), torch.tensor([5])
    view = edited(below)
    same = view(x, t, view.prepare({**condition, **view.strengths()}))
    torch.testing.assert_close(same, below(x, t, condition))
    strong = {**condition, **view.strengths([20.0])}
    moved = view(x, t, view.prepare(strong))
    assert not torch.allclose(moved, same, atol=1e-3)
    # In whichever order: an edit beneath other views is the same edit.
    direction = view.directions
    between = Controlled(BottleneckEdit(ImagePrompted(denoiser, adapter), direction), control)
    beneath = Controlled(ImagePrompted(BottleneckEdit(denoiser, direction), adapter), control)
    for other in (between, beneath):
        torch.testing.assert_close(other(x, t, other.prepare(strong)), moved)
    wrong = DeltaBlocks(DeltaBlockSpec("ddpm", 1, 8, 32, norm_groups=4))
    with pytest.raises(GlidewireError, match=r"another bottleneck.*expected 16 channels; got 8\. Take directions"):
        BottleneckEdit(below, [wrong])
