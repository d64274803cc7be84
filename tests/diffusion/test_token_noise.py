from __future__ import annotations

import pytest
import torch
from glidewire.diffusion.token_noise import FixedTokenNoise, SeededTokenNoise, gumbel_of
from glidewire.errors import GlidewireError


def test_an_item_has_its_own_noise_whatever_the_batch() -> None:
    whole, part = SeededTokenNoise((3, 4, 5)), SeededTokenNoise((5,), first_item=2)
    like = torch.empty(3, 4, 6)
    assert torch.equal(whole.gumbel(1, like)[2:], part.gumbel(1, like[2:]))
    assert torch.equal(whole.uniform(1, like)[2:], part.uniform(1, like[2:]))
    assert torch.equal(whole.tokens(1, like, 50)[2:], part.tokens(1, like[2:], 50))
    assert torch.equal(whole.start((4, 6), 50)[2:], part.start((4, 6), 50))


def test_steps_and_purposes_differ() -> None:
    noise, like = SeededTokenNoise((0,)), torch.empty(1, 64)
    drawn = [noise.uniform(0, like), noise.uniform(1, like), noise.uniform(0, like, "other")]
    assert not any(torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])


def test_distributions() -> None:
    noise, like = SeededTokenNoise((0,)), torch.empty(1, 20_000)
    uniform, gumbel = noise.uniform(0, like), noise.gumbel(0, like)
    assert uniform.min() >= 0 and uniform.max() < 1
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.02)
    assert gumbel.mean().item() == pytest.approx(0.5772, abs=0.05)
    tokens = noise.tokens(0, like, 7)
    assert tokens.dtype == torch.int64 and set(tokens.flatten().tolist()) == set(range(7))


def test_gumbel_of_the_ends_is_no_nan() -> None:
    ends = torch.tensor([0.0, 1 - 2**-24])
    assert not gumbel_of(ends).isnan().any()
    assert gumbel_of(ends, 1e-20).isfinite().all()


def test_equal_texts_are_equal_noise() -> None:
    assert SeededTokenNoise((3,)).signature(1) == SeededTokenNoise((3,)).signature(1)
    texts = {
        SeededTokenNoise((3,)).signature(1),
        SeededTokenNoise((3,)).signature(2),
        SeededTokenNoise((4,)).signature(1),
    }
    assert len(texts) == 3
    zeros, ones = torch.zeros(2), torch.ones(2)
    fixed = FixedTokenNoise({"token": [zeros, ones]}, {"where": [zeros]})
    assert fixed.signature(0) != fixed.signature(1)
    assert fixed.signature(0) == FixedTokenNoise({"token": [zeros]}, {"where": [zeros]}).signature(0)


def test_errors() -> None:
    with pytest.raises(GlidewireError, match=r"one seed is needed.*a batch of 1.*a batch of 2"):
        SeededTokenNoise((0,)).uniform(0, torch.empty(2, 3))
    fixed = FixedTokenNoise({"token": [torch.zeros(6)]})
    assert fixed.gumbel(0, torch.empty(2, 3)).shape == (2, 3)
    with pytest.raises(GlidewireError, match="'token' of step 0: wrong shape"):
        fixed.gumbel(0, torch.empty(2, 4))
    with pytest.raises(GlidewireError, match="'where': none given for this step"):
        fixed.uniform(0, torch.empty(2, 3))
