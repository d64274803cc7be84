from __future__ import annotations

import math

import pytest
import torch
from glidewire.diffusion.attention_maps import AttentionStore, LocalBlend, blended, word_maps, word_mask
from glidewire.diffusion.token_alignment import Tokenization, word_selection
from glidewire.errors import GlidewireError
from hypothesis import given
from hypothesis import strategies as st

MAPS = torch.rand(2, 3, 16, 8, generator=torch.Generator().manual_seed(0))
X = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
WORD = torch.zeros(2, 8).index_fill(1, torch.tensor([2]), 1.0)


# --- golden data ------------------------------------------------------------------------------------------------------


def selections(tokens: Tokenization, prompts: list[str], words: list[str]) -> torch.Tensor:
    return torch.stack([word_selection(tokens, *pair) for pair in zip(prompts, [[one] for one in words], strict=True)])


def test_local_blend_as_published(parity, golden_tokens) -> None:
    case = parity("prompt_to_prompt")
    told, tokens = case.config["blend"], golden_tokens(case)
    selected, subtracted = (selections(tokens, told["prompts"], told[each]) for each in ("words", "subtract_words"))
    layers = sorted(name for name in case.inputs if name.startswith("blend_map_"))
    maps = [case.inputs[name].unflatten(0, (len(told["prompts"]), told["heads"])) for name in layers]
    side = math.isqrt(maps[0].shape[2])
    x = case.inputs["blend_x"]
    null, less = told["null"], told["null_subtract"]
    blends = {
        "blend_stable": LocalBlend(selected, told["stable"]["threshold"]),
        "blend_null": LocalBlend(selected, null["th"][0], start=null["start_blend"]),
        "blend_null_subtract": LocalBlend(selected, less["th"][0], subtracted, less["th"][1], less["start_blend"]),
    }
    for name, blend in blends.items():
        mask = blend.mask(maps, (side, side), tuple(x.shape[2:]))
        # The stable form keeps no row for the source, on which the mask has no effect.
        case.assert_close(f"{name}/mask", mask[-len(case.outputs[f"{name}/mask"]) :].float())
        case.assert_close(f"{name}/x", blended(x, mask))
    expected = case.outputs["blend_null/active_per_call"]
    active = [blends["blend_null"].active(step, null["num_steps"]) for step in range(len(expected))]
    case.assert_close("blend_null/active_per_call", torch.tensor(active))


# --- the store --------------------------------------------------------------------------------------------------------


def test_the_store_sums_and_averages_and_stays_as_it_is() -> None:
    empty = AttentionStore()
    one = empty.with_step({"down": MAPS, "large": MAPS.repeat(1, 1, 100, 1)})
    two = one.with_step({"down": MAPS * 2})
    assert (empty.steps, one.steps, two.steps) == (0, 1, 2)
    assert list(one.sums) == ["down"], "maps above the limit are not kept"
    assert torch.equal(one.sums["down"], MAPS)
    assert torch.allclose(two.mean()["down"], MAPS * 1.5)
    assert empty.mean() == {}


def test_steps_of_other_layers() -> None:
    with pytest.raises(GlidewireError, match=r"expected layers \['down'\]; got layers \['up'\]"):
        AttentionStore().with_step({"down": MAPS}).with_step({"up": MAPS})
    with pytest.raises(GlidewireError, match=r"expected a layer of at most 4 pixels; got layers \[\]"):
        AttentionStore(largest=4).with_step({"down": MAPS})


# --- masks ------------------------------------------------------------------------------------------------------------


def test_a_words_picture_is_the_mean_over_layers_and_heads() -> None:
    picture = word_maps([MAPS, MAPS * 3], WORD, (2, 8))
    assert torch.allclose(picture, 2 * MAPS[..., 2].mean(1).reshape(2, 1, 2, 8))


@given(threshold=st.floats(0, 1))
def test_every_mask_holds_the_sources_and_shrinks_with_the_threshold(threshold: float) -> None:
    blend = LocalBlend(WORD, threshold)
    mask = blend.mask([MAPS], (4, 4), (8, 8))
    assert (mask | ~mask[:1]).all()
    assert (mask | ~LocalBlend(WORD, 1.0).mask([MAPS], (4, 4), (8, 8))).all()
    result = blended(X, mask)
    assert torch.equal(result[0], X[0])
    assert torch.equal(result[1], torch.where(mask[1], X[1], X[0]))


def test_subtracted_words_leave_the_mask() -> None:
    whole = LocalBlend(WORD, 0.0).mask([MAPS], (4, 4), (8, 8))
    less = LocalBlend(WORD, 0.0, WORD, 0.5).mask([MAPS], (4, 4), (8, 8))
    assert whole.all()
    assert torch.equal(less, ~word_mask(word_maps([MAPS], WORD, (4, 4)), (8, 8), 0.5, widen=False))
    assert less.any()


def test_a_word_that_no_pixel_looks_at_has_no_region() -> None:
    assert not LocalBlend(WORD).mask([MAPS * 0], (4, 4), (8, 8)).any()


@given(start=st.floats(0, 1), steps=st.integers(1, 20))
def test_a_blend_starts_once(start: float, steps: int) -> None:
    active = [LocalBlend(WORD, start=start).active(step, steps) for step in range(steps)]
    assert active == sorted(active)
    assert active.count(False) == min(int(start * steps), steps)


def test_maps_of_another_grid() -> None:
    with pytest.raises(GlidewireError, match=r"expected layers of 2 prompts, 9 pixels .* got \[\(2, 16, 8\)\]"):
        word_maps([MAPS], WORD, (3, 3))
    with pytest.raises(GlidewireError, match=r"do not fit the words and the grid.*; got no layer"):
        word_maps([], WORD, (3, 3))


@pytest.mark.parametrize("name", ["threshold", "subtracted_threshold", "start"])
def test_fractions_of_a_blend(name: str) -> None:
    with pytest.raises(GlidewireError, match=f"local blend: impossible {name}; expected 0 to 1; got 1.5"):
        LocalBlend(WORD, **{name: 1.5})
