from __future__ import annotations

import re

import pytest
import torch
from glidewire.diffusion import guidance, halton, token_noise
from glidewire.diffusion.denoiser import Leaf
from glidewire.diffusion.identity import tensor_digest
from glidewire.diffusion.token_run import TokenRecord
from glidewire.errors import GlidewireError
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor


class GivenLogits:
    """A network that says at step k what it was given for step k, "batch codes height width"."""

    prediction, learned_variance = "logits", False

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits

    def digest(self) -> str:
        return tensor_digest(self.logits)

    def prepare(self, conditioning):
        return conditioning

    def __call__(self, x_t: Tensor, timesteps: Tensor, conditioning) -> Tensor:
        logits = self.logits[len(self.logits) - 1 - int(timesteps[0])]
        return logits.transpose(1, 2).unflatten(2, x_t.shape[1:])


def flat_order(side: int) -> Tensor:
    return halton.halton_order(side, side) @ torch.tensor([side, 1])


def test_every_golden_order(parity) -> None:
    case = parity("halton_order")
    seen = 0
    for name in case.outputs:
        if found := re.fullmatch(r"order_(\d+)", name):
            case.assert_close(name, halton.halton_order(int(found[1]), int(found[1])))
            seen += 1
        if found := re.fullmatch(r"cumulative_count_(\d+)_(\d+)", name):
            counts = [step.decided(int(found[1]) ** 2) for step in halton.halton_steps(int(found[2]))]
            case.assert_close(name, torch.tensor(counts))
            seen += 1
    assert seen


def test_every_golden_run(parity) -> None:
    case = parity("halton_order")
    side, config = case.config["grid"], case.config
    for name, run in config["runs"].items():
        run = {**config["defaults"], **run}
        steps = halton.halton_steps(
            config["steps"],
            inverse_temperature=(run["sm_temp_min"], run["sm_temp_max"]),
            power=run["temp_pow"],
            warmup=run["temp_warmup"],
        )
        cond, uncond = (Leaf(GivenLogits(case.inputs[f"logits_{kind}"])) for kind in ("cond", "uncond"))
        order = flat_order(side)
        if run["randomize"]:
            order = torch.stack([order.roll(int(roll)) for roll in case.inputs["roll"]])
        batch = case.inputs["uniform"].shape[1]
        gumbels = {"token": list(token_noise.gumbel_of(case.inputs["uniform"]))}
        records: list[TokenRecord] = []
        result = halton.sample_in_order(
            guidance.classifier_free(cond, uncond, 1 + run["w"]),
            steps,
            torch.full((batch, side, side), config["mask_value"]),
            order,
            token_noise.FixedTokenNoise(gumbels),
            top_k=max(run["top_k"], 0),
            on_step=records.append,
        )
        case.assert_close(f"{name}/predicted", torch.stack([record.drawn for record in records]))
        case.assert_close(f"{name}/mask", torch.stack([record.accepted for record in records]))
        case.assert_close(f"{name}/final", result)


@given(st.integers(1, 12), st.integers(1, 12))
def test_an_order_visits_every_position_once(rows: int, columns: int) -> None:
    order = halton.halton_order(rows, columns)
    assert sorted(map(tuple, order.tolist())) == [(i, j) for i in range(rows) for j in range(columns)]


def test_radical_inverse() -> None:
    assert [halton.radical_inverse(n, 2) for n in (1, 2, 3, 6)] == [(1, 2), (1, 4), (3, 4), (3, 8)]
    assert halton.radical_inverse(5, 3) == (7, 9)


@given(st.integers(1, 40), st.integers(1, 200))
def test_every_run_decides_every_position(total: int, count: int) -> None:
    counts = [step.decided(count) for step in halton.halton_steps(total)]
    assert counts == sorted(counts) and counts[-1] == count


def test_errors() -> None:
    leaf, noise = Leaf(GivenLogits(torch.zeros(1, 1, 4, 3))), token_noise.SeededTokenNoise((0,))
    start = torch.zeros(1, 2, 2).long()
    with pytest.raises(GlidewireError, match="each of 4 positions once"):
        halton.sample_in_order(leaf, halton.halton_steps(1), start, torch.tensor([0, 1, 2, 2]), noise)
    with pytest.raises(GlidewireError, match="temperatures above 0"):
        halton.halton_steps(4, inverse_temperature=(0.0, 1.0))
    with pytest.raises(GlidewireError, match="has rows and columns"):
        halton.halton_order(0, 3)
