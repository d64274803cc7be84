"""Guidance by attention made worse: on every U-Net, in one forward, and nothing where it should be nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from glidewire.diffusion import guidance
from glidewire.diffusion.denoiser import Denoiser, Leaf
from glidewire.diffusion.evaluator import Evaluator, evaluate
from glidewire.diffusion.prediction import Step
from glidewire.diffusion.schedules import respace, squared_cosine
from glidewire.errors import GlidewireError
from glidewire.models.additions import Additions, Attended, AttentionAddition, attention_kinds, attention_places
from glidewire.models.attention.degraded import Degraded, degrading
from glidewire.models.attention.perturbed import Perturbed, gaussian_blur, perturbing
from glidewire.models.attention.worse import worsened

SCHEDULE = squared_cosine(8)
STEP = Step.of(SCHEDULE, 3)


def noise(channels: int, batch: int = 2, side: int = 16) -> torch.Tensor:
    return torch.randn(batch, channels, side, side, generator=torch.Generator().manual_seed(0))


def made(leaf: Leaf, kind: str) -> Any:
    if kind == "degraded":
        return degrading(leaf, SCHEDULE, 1.0, 1.0)
    return perturbing(leaf, kind, "middle", 1.0 if kind == "smooth" else math.inf)


def parts(leaves: list[Leaf], kind: str) -> tuple[Denoiser, Leaf, Leaf]:
    return worsened(made(leaves[0], kind), guidance.classifier_free(*leaves, 3.0), leaves[0])


@pytest.mark.parametrize("kind", ["identity", "skip", "smooth", "degraded"])
@torch.no_grad()
def test_guidance_and_the_worse_version_share_a_forward(attending_unet: Any, kind: str) -> None:
    network, condition = attending_unet
    leaves = [Leaf(network, condition(seed)) for seed in (1, 2)]
    x_t, evaluator = noise(network.channels), Evaluator()
    guided, c, w = parts(leaves, kind)
    found = evaluator(guidance.perturbed(guided, c, w, 2.0), x_t, STEP)
    assert (evaluator.forwards, evaluator.rows) == (1, 6)
    plain = evaluate(guidance.classifier_free(*leaves, 3.0), x_t, STEP)
    torch.testing.assert_close(evaluate(guided, x_t, STEP).value, plain.value, atol=1e-4, rtol=1e-4)
    worse = evaluate(w, x_t, STEP).value
    assert not torch.allclose(worse, evaluate(leaves[0], x_t, STEP).value, atol=1e-4)
    expected = plain.value + 2 * (evaluate(leaves[0], x_t, STEP).value - worse)
    torch.testing.assert_close(found.value, expected, atol=1e-4, rtol=1e-4)
    if network.learned_variance:
        torch.testing.assert_close(found.variance, plain.variance, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["identity", "degraded"])
@torch.no_grad()
def test_what_combines_the_conditional_again_outside_has_it_from_the_same_forward(
    attending_unet: Any, kind: str
) -> None:
    network, condition = attending_unet
    leaves = [Leaf(network, condition(seed)) for seed in (1, 2)]
    x_t, evaluator = noise(network.channels), Evaluator()
    nested = guidance.rescale(guidance.perturbed(*parts(leaves, kind), 2.0), leaves[0], 0.7)
    found = evaluator(nested, x_t, STEP)
    assert (evaluator.forwards, evaluator.rows) == (1, 6)
    strong = evaluate(guidance.perturbed(*parts(leaves, kind), 2.0), x_t, STEP)
    plain = evaluate(leaves[0], x_t, STEP)
    deviations = [each.value.flatten(1).std(1)[:, None, None, None] for each in (plain, strong)]
    expected = strong.value * (0.3 + 0.7 * deviations[0] / deviations[1])
    torch.testing.assert_close(found.value, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_views_of_views_answer_for_all_that_they_are_views_of(unet_of: Callable[[str], Any]) -> None:
    network, condition = unet_of("latent")
    leaf, x_t, evaluator = Leaf(network, condition(1)), noise(4), Evaluator()
    inner = perturbing(leaf, "identity", "middle")
    outer = perturbing(inner.leaf(leaf, worse=False), "skip", "middle")
    resting = outer.leaf(inner.leaf(leaf, worse=False), worse=False)
    sum_of_all = guidance.composable([leaf, inner.leaf(leaf, worse=False)], resting, [2.0, 1.0])
    found = evaluator(sum_of_all, x_t, STEP)
    assert (evaluator.forwards, evaluator.rows) == (1, 2)
    torch.testing.assert_close(found.value, evaluate(leaf, x_t, STEP).value)


@pytest.mark.parametrize("kind", ["identity", "skip", "smooth", "degraded"])
@torch.no_grad()
def test_rows_that_are_not_marked_are_the_denoisers_bit_for_bit(attending_unet: Any, kind: str) -> None:
    network, condition = attending_unet
    leaf, x_t = Leaf(network, condition(1)), noise(network.channels)
    view = made(leaf, kind)
    same = evaluate(view.leaf(leaf, worse=False), x_t, STEP)
    assert torch.equal(same.value, evaluate(leaf, x_t, STEP).value)
    assert guidance.perturbed(leaf, leaf, view.leaf(leaf, worse=True), 0.0) is leaf
    inside = guidance.perturbed(leaf, leaf, view.leaf(leaf, worse=True), 3.0, 0.5, 0.5)
    assert torch.equal(evaluate(inside, x_t, STEP).value, same.value)


@torch.no_grad()
def test_without_mixing_each_position_finds_itself(unet_of: Callable[[str], Any]) -> None:
    network, condition = unet_of("latent")

    class Alone(AttentionAddition):
        def replaced(self, attended: Attended) -> torch.Tensor | None:
            if attended.kind != "self":
                return None
            maps = torch.eye(attended.query.shape[2]).expand_as(attended.maps())
            return maps @ attended.value

    x, t = noise(4), torch.tensor([3, 700])
    prepared = network.prepare(condition(1))
    view = Perturbed(network, "identity", "all")
    worse = view(x, t, {**prepared, view.rows: torch.ones(2, 1)})
    torch.testing.assert_close(worse, network(x, t, prepared, Additions((Alone(),))), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_narrow_blur_changes_nothing_and_the_widest_takes_the_mean(unet_of: Callable[[str], Any]) -> None:
    network, condition = unet_of("glide")
    leaf, x_t = Leaf(network, condition(1)), noise(3)

    def worse(sigma: float) -> torch.Tensor:
        view = perturbing(leaf, "smooth", "middle, down 1", sigma)
        return evaluate(view.leaf(leaf, worse=True), x_t, STEP).value

    plain = evaluate(leaf, x_t, STEP).value
    torch.testing.assert_close(worse(0.05), plain, atol=1e-4, rtol=1e-4)
    mean = worse(math.inf)
    distances = [(worse(sigma) - mean).abs().mean() for sigma in (0.05, 1.0, 500.0)]
    assert distances[0] > distances[1] > distances[2]


def test_a_blur_keeps_the_mean_of_what_is_even() -> None:
    even = torch.full((1, 2, 5, 7), 3.0)
    torch.testing.assert_close(gaussian_blur(even, 2.0), even)
    spot = torch.zeros(1, 1, 9, 9)
    spot[..., 4, 4] = 1
    blurred = gaussian_blur(spot, 1.0)
    torch.testing.assert_close(blurred, blurred.mT)
    torch.testing.assert_close(blurred[0, 0, 4, 4], torch.tensor(0.1592), atol=1e-3, rtol=0)


@torch.no_grad()
def test_nothing_is_degraded_where_nothing_stands_out(unet_of: Callable[[str], Any]) -> None:
    network, condition = unet_of("latent")
    leaf, x_t = Leaf(network, condition(1)), noise(4)
    plain = evaluate(leaf, x_t, STEP).value
    for threshold, same in ((1e6, True), (0.0, False)):
        view = degrading(leaf, SCHEDULE, 1.0, threshold)
        found = evaluate(view.leaf(leaf, worse=True), x_t, STEP).value
        assert torch.allclose(found, plain, atol=1e-3) == same
    other = degrading(leaf, respace(squared_cosine(1000), "7"), 1.0, 1.0)
    with pytest.raises(GlidewireError, match=r"does not know the noise.*expected one of the schedule's 7 timesteps"):
        evaluate(other.leaf(leaf, worse=True), x_t, STEP)


@torch.no_grad()
def test_plain_and_degraded_rows_share_the_first_evaluation(unet_of: Callable[[str], Any]) -> None:
    network, condition = unet_of("latent")
    leaves = [Leaf(network, condition(seed)) for seed in (1, 2)]
    rows: list[int] = []
    network.unet.mid_block.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    evaluate(guidance.perturbed(*parts(leaves, "degraded"), 1.0), noise(4), STEP)
    assert rows == [4, 2]


def test_layers_are_named_by_their_places(attending_unet: Any) -> None:
    network, _ = attending_unet
    places, kinds = attention_places(network.unet), attention_kinds(network.unet)
    assert places.keys() == kinds.keys() and "middle" in places.values()
    assert set(kinds.values()) <= {"self", "cross", "joint"}


def test_digests_tell_what_is_done(unet_of: Callable[[str], Any]) -> None:
    network, _ = unet_of("latent")
    views = [
        Perturbed(network),
        Perturbed(network, "skip"),
        Perturbed(network, "smooth", sigma=1.0),
        Perturbed(network, places="all"),
        Perturbed(network, name="other"),
        Degraded(network, SCHEDULE),
        Degraded(network, SCHEDULE, threshold=2.0),
        Degraded(network, squared_cosine(9)),
    ]
    assert len({network.digest(), *(view.digest() for view in views)}) == len(views) + 1
    assert Perturbed(network).digest() == views[0].digest()


def test_what_does_not_fit_is_told(unet_of: Callable[[str], Any]) -> None:
    toy_network: Any = object()
    network, condition = unet_of("latent")
    leaf = Leaf(network, condition(1))
    for call, message in (
        (lambda: perturbing(leaf, "identity", "down 7"), r"no attention of this kind at 'down 7'; expected some of"),
        (lambda: perturbing(leaf, "identity", ""), r"no attention of this kind at ''; expected some of.*got nothing"),
        (lambda: perturbing(leaf, "smooth", "middle", 0.0), "impossible sigma; expected a number above 0; got 0"),
        (lambda: degrading(leaf, SCHEDULE, -1.0, 1.0), "impossible sigma"),
        (lambda: perturbing(Leaf(toy_network), "skip", "all"), "attention cannot be perturbed; expected a U-Net"),
        (lambda: degrading(Leaf(toy_network), SCHEDULE, 1.0, 1.0), "attention cannot be looked at; expected a U-Net"),
        (lambda: Perturbed(Perturbed(network)), "two views of one denoiser are called 'perturbed'"),
    ):
        with pytest.raises(GlidewireError, match=message):
            call()
    again = perturbing(Perturbed(network).leaf(leaf, worse=False), "skip", "middle")
    assert again.name == "perturbed_2"
