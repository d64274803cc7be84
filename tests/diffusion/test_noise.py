from __future__ import annotations

import pytest
import torch
from glidewire.diffusion.noise import FixedNoise, SeededNoise, item_noise
from glidewire.errors import GlidewireError
from hypothesis import given
from hypothesis import strategies as st

ADDRESS = st.tuples(st.integers(-(2**70), 2**70), st.integers(0, 99), st.integers(0, 999), st.text(max_size=5))


@given(one=ADDRESS, other=ADDRESS)
def test_noise_is_a_function_of_its_address(one: tuple, other: tuple) -> None:
    first = item_noise((8,), *one)
    assert torch.equal(first, item_noise((8,), *one))
    assert torch.equal(first, item_noise((8,), *other)) == (one == other)


def test_all_bits_of_the_seed_count() -> None:
    streams = [item_noise((4,), 5 + 2**bit, 0, 0) for bit in range(3, 100)]
    assert len({tuple(stream.tolist()) for stream in streams}) == len(streams)


@given(count=st.integers(1, 5), step=st.integers(0, 50))
def test_an_item_can_be_made_again_alone(count: int, step: int) -> None:
    like = torch.empty(count, 2, 3)
    batch = SeededNoise((7,) * count)(step, like)
    for item in range(count):
        alone = SeededNoise((7,), first_item=item)(step, like[:1])
        assert torch.equal(batch[item], alone[0])


def test_items_steps_and_purposes_are_independent_and_standard_normal() -> None:
    noise = SeededNoise(tuple(range(64)))
    like = torch.empty(64, 3, 8, 8)
    drawn = torch.stack([noise(0, like), noise(1, like), noise(0, like, "sdedit"), noise.draw((3, 8, 8))])
    flat = drawn.flatten(0, 1).flatten(1)
    correlation = torch.corrcoef(flat).fill_diagonal_(0)
    assert correlation.abs().max() < 0.45
    assert abs(drawn.mean().item()) < 0.02
    assert abs(drawn.std().item() - 1) < 0.02


def test_noise_takes_the_dtype_of_what_it_is_added_to() -> None:
    single = SeededNoise((1,))(0, torch.empty(1, 5))
    double = SeededNoise((1,))(0, torch.empty(1, 5, dtype=torch.float64))
    assert torch.equal(single.double(), double)


def test_signatures_tell_noises_apart() -> None:
    same, other = SeededNoise((1, 2)), SeededNoise((1, 2), first_item=1)
    assert same.signature(3) == SeededNoise((1, 2)).signature(3)
    signatures = [same.signature(3), same.signature(4), same.signature(3, "x"), other.signature(3)]
    fixed = FixedNoise([torch.zeros(1), torch.ones(1)])
    signatures += [fixed.signature(0), fixed.signature(1), fixed.signature(2)]
    assert len(set(signatures)) == len(signatures)


def test_every_item_needs_a_seed() -> None:
    with pytest.raises(GlidewireError, match="expected a batch of 2; got a batch of 3"):
        SeededNoise((1, 2))(0, torch.empty(3, 4))


def test_given_noise_must_be_there_and_fit() -> None:
    noise = FixedNoise([torch.zeros(2, 3)])
    with pytest.raises(GlidewireError, match="none given for this step; expected 1 steps; got 1"):
        noise(1, torch.empty(2, 3))
    with pytest.raises(GlidewireError, match=r"step 0: wrong shape; expected \[2, 4\]; got \[2, 3\]"):
        noise(0, torch.empty(2, 4))
