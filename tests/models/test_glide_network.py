"""GLIDE's network as a `Network`: what matters and what must not matter to its output."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.glide.network import GlideTextToImage
from glidewire.models.glide.spec import GlideSpec


@pytest.fixture(scope="module")
def x_t() -> torch.Tensor:
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def conditioning(model: GlideTextToImage) -> dict[str, torch.Tensor]:
    tokens = torch.tensor([[5, 6, 7, 8, 9, 9, 9, 9], [0] * 8])
    mask = torch.tensor([[True] * 4 + [False] * 4, [False] * 8])
    return model.encode_text(tokens, mask)


TIMESTEPS = torch.tensor([7, 913])


def test_prepared_text_gives_the_same_output(model: GlideTextToImage, x_t, conditioning) -> None:
    plain = model(x_t, TIMESTEPS, conditioning)
    assert plain.shape == (2, 6, 16, 16) and plain.std() > 0.1
    prepared = model.prepare(conditioning)
    assert all(value.shape[0] == 2 for value in prepared.values())
    torch.testing.assert_close(model(x_t, TIMESTEPS, prepared), plain, rtol=0, atol=1e-5)
    # Prepared, the text states themselves are not projected again: they no longer matter.
    blind = {**prepared, "text_states": torch.zeros_like(prepared["text_states"])}
    assert torch.equal(model(x_t, TIMESTEPS, blind), model(x_t, TIMESTEPS, prepared))


@pytest.mark.parametrize("name", ["text_embedding", "text_states"])
def test_text_reaches_the_picture_by_both_ways(model: GlideTextToImage, x_t, conditioning, name: str) -> None:
    changed = {**conditioning, name: conditioning[name].flip(0)}
    assert (model(x_t, TIMESTEPS, changed) - model(x_t, TIMESTEPS, conditioning)).abs().max() > 1e-2


def test_rows_do_not_see_each_other(model: GlideTextToImage, x_t, conditioning) -> None:
    together = model(x_t, TIMESTEPS, conditioning)
    alone = model(x_t[1:], TIMESTEPS[1:], {name: value[1:] for name, value in conditioning.items()})
    torch.testing.assert_close(alone, together[1:], rtol=0, atol=1e-5)


def test_ids_under_the_mask_never_matter(model: GlideTextToImage) -> None:
    mask = torch.tensor([[True, True] + [False] * 6])
    one = model.encode_text(torch.tensor([[5, 6, 0, 0, 0, 0, 0, 0]]), mask)
    two = model.encode_text(torch.tensor([[5, 6, 9, 8, 7, 6, 5, 4]]), mask)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_inputs_are_left_as_they_were(model: GlideTextToImage, x_t, conditioning) -> None:
    before = x_t.clone(), {name: value.clone() for name, value in conditioning.items()}
    model(x_t, TIMESTEPS, model.prepare(conditioning))
    assert torch.equal(x_t, before[0])
    assert all(torch.equal(conditioning[name], value) for name, value in before[1].items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights_take_and_give_float32(
    make_model: Callable[..., GlideTextToImage], spec: GlideSpec, x_t, conditioning, dtype: torch.dtype
) -> None:
    half = make_model(spec).to(dtype)
    output = half(x_t, TIMESTEPS, half.prepare(conditioning))
    assert output.dtype == torch.float32
    full = make_model(spec)(x_t, TIMESTEPS, conditioning)
    assert (output - full).abs().max() < 0.1 * full.abs().max()
    assert half.encode_text(torch.zeros(1, 8, dtype=torch.long), torch.ones(1, 8, dtype=torch.bool))


def test_errors_name_what_does_not_fit(model: GlideTextToImage, conditioning) -> None:
    with pytest.raises(GlidewireError, match="sides do not fit the network; expected multiples of 2; got 16 x 15"):
        model(torch.zeros(2, 3, 16, 15), TIMESTEPS, conditioning)
    mask = torch.ones(1, 8, dtype=torch.bool)
    with pytest.raises(GlidewireError, match=r"wrong shape; expected batch x 8 positions; got tokens \(1, 7\)"):
        model.encode_text(torch.zeros(1, 7, dtype=torch.long), mask[:, :7])
    with pytest.raises(GlidewireError, match="outside the model's vocabulary; expected 0 to"):
        model.encode_text(torch.full((1, 8), 10_000), mask)


def test_variants_ask_for_their_pictures(
    make_model: Callable[..., GlideTextToImage], make_spec: Callable[..., GlideSpec], x_t, conditioning
) -> None:
    upsampler = make_model(make_spec("upsample"))
    with pytest.raises(GlidewireError, match="`low_res` is missing"):
        upsampler(x_t, TIMESTEPS, conditioning)
    painter = make_model(make_spec("inpaint"))
    known = {"inpaint_image": x_t, "inpaint_mask": torch.ones(2, 1, 16, 16)}
    with pytest.raises(GlidewireError, match="inpaint_image and inpaint_mask together"):
        painter(x_t, TIMESTEPS, {**conditioning, "inpaint_image": x_t})
    # Pixels that are not known never reach the network.
    hidden = {**conditioning, "inpaint_mask": torch.zeros(2, 1, 16, 16)}
    one = painter(x_t, TIMESTEPS, {**hidden, "inpaint_image": x_t})
    two = painter(x_t, TIMESTEPS, {**hidden, "inpaint_image": -x_t})
    assert torch.equal(one, two) and torch.equal(one, painter(x_t, TIMESTEPS, conditioning))
    assert not torch.equal(one, painter(x_t, TIMESTEPS, {**conditioning, **known}))


def test_digest_is_the_content_of_the_weights(make_model: Callable[..., GlideTextToImage], spec: GlideSpec) -> None:
    assert make_model(spec).digest() == make_model(spec).digest() != make_model(spec, seed=1).digest()
    changed = make_model(spec)
    changed.unet.conv_out.bias[0] += 1e-3
    assert changed.digest() != make_model(spec).digest() != make_model(spec).half().digest()


def test_initialised_weights_are_seeded_start_at_zero_and_learn(spec: GlideSpec, x_t) -> None:
    model, again = GlideTextToImage(spec).initialise(3), GlideTextToImage(spec).initialise(3)
    assert model.digest() == again.digest() != GlideTextToImage(spec).initialise(4).digest()
    tokens, mask = torch.zeros(2, 8, dtype=torch.long), torch.ones(2, 8, dtype=torch.bool)
    assert model(x_t, TIMESTEPS, model.encode_text(tokens, mask)).abs().max() == 0
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(8):
        loss = (model(x_t, TIMESTEPS, model.encode_text(tokens, mask))[:, :3] - x_t).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    # The zero layers let gradients through to everything behind them after the first steps.
    assert all(p.grad is not None and p.grad.abs().max() > 0 for n, p in model.named_parameters() if "emb" not in n)
