"""The autoregressive prior: codes, causality, cache, guidance, and the similarity's code, on tiny real models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from glidewire.diffusion.token_noise import SeededTokenNoise
from glidewire.diffusion.tokens import LIKELIEST, typical
from glidewire.errors import GlidewireError
from glidewire.models.autoregressive_prior import checkpoint as prior_checkpoint
from glidewire.models.autoregressive_prior.network import AutoregressivePrior, Codec, similarity
from glidewire.models.autoregressive_prior.sampling import sample_codes, sample_embedding, upper_dot_code
from glidewire.models.autoregressive_prior.spec import AutoregressivePriorSpec
from glidewire.models.checkpoint import StrictLoadError, identify, load
from safetensors.torch import load_file, save_file

TINY = AutoregressivePriorSpec(
    embedding_width=8,
    kept=5,
    buckets=12,
    dot_buckets=4,
    text_positions=3,
    text_width=6,
    width=32,
    layers=2,
    heads=2,
    mlp_width=64,
)


def pairs(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures that are near their texts, some nearer than others."""
    generator = torch.Generator().manual_seed(seed)
    text = F.normalize(torch.randn(count, TINY.embedding_width, generator=generator), dim=-1)
    noise = torch.randn(count, TINY.embedding_width, generator=generator) / TINY.embedding_width**0.5
    strength = torch.rand(count, 1, generator=generator) * 2
    return F.normalize(text + strength * noise, dim=-1), text


def randomised(spec: AutoregressivePriorSpec = TINY) -> AutoregressivePrior:
    model = AutoregressivePrior(spec)
    model.codec.fit(*pairs(200))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.named_parameters():
            centre = 1.0 if value.ndim == 1 and name.endswith("weight") else 0.0
            value.copy_(centre + 0.3 * torch.randn(value.shape, generator=generator))
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def model() -> AutoregressivePrior:
    return randomised()


@pytest.fixture(scope="module")
def text() -> tuple[torch.Tensor, torch.Tensor]:
    states = torch.randn(2, 2, TINY.text_width, generator=torch.Generator().manual_seed(3))
    return pairs(2, seed=5)[1], states


@pytest.fixture(scope="module")
def codes() -> torch.Tensor:
    return torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])


def test_a_future_change_changes_nothing_before_it(model, text, codes) -> None:
    given = model.conditioning(*text)
    logits = model(codes, given)
    assert logits.shape == (2, TINY.kept, TINY.buckets)
    for place in range(TINY.kept):
        changed = codes.clone()
        changed[:, place] = (changed[:, place] + 1) % TINY.buckets
        other = model(changed, given)
        assert torch.equal(other[:, : place + 1], logits[:, : place + 1])
        if place < TINY.kept - 1:
            assert ((other - logits)[:, place + 1 :].abs().amax(dim=-1) > 1e-4).all()


def test_cached_steps_equal_the_whole_pass(model, text, codes) -> None:
    given = model.conditioning(*text, torch.tensor([1, 3]))
    whole = model(codes, given)
    logits, cache = model.start(given)
    one_by_one = [logits]
    for place in range(TINY.kept - 1):
        logits, cache = model.step(codes[:, place], cache)
        one_by_one.append(logits)
    assert cache.filled == cache.keys.shape[3] == TINY.prefix + TINY.kept - 1
    torch.testing.assert_close(torch.stack(one_by_one, dim=1), whole, rtol=0, atol=1e-5)


def test_a_cache_that_is_read_at_the_wrong_place_would_be_caught(model, text, codes) -> None:
    given = model.conditioning(*text)
    _, cache = model.start(given)
    logits, _ = model.step(codes[:, 0], replace(cache, filled=cache.filled - 1))
    assert (logits - model(codes, given)[:, 1]).abs().max() > 1e-2


@pytest.mark.parametrize("change", ["text_embedding", "text_states", "dot_code", "text_dropped"])
def test_every_part_of_the_text_reaches_every_code(change: str, model, text, codes) -> None:
    given = model.conditioning(*text, torch.tensor([1, 3]))
    other = dict(given)
    if change == "text_dropped":
        other[change] = ~given[change]
    else:
        other[change] = given[change].flip(0)
    difference = (model(codes, other) - model(codes, given)).abs().amax(dim=-1)
    assert (difference > 1e-4).all()


def test_rows_do_not_see_each_other_and_dropped_text_is_not_seen(model, text, codes) -> None:
    together = model(codes, model.conditioning(*text))
    alone = model(codes[1:], model.conditioning(text[0][1:], text[1][1:]))
    torch.testing.assert_close(alone, together[1:], rtol=0, atol=1e-5)
    one = model(codes, model.conditioning(*text, torch.tensor([0, 1]), dropped=True))
    two = model(codes, model.conditioning(-text[0], None, dropped=True))
    assert torch.equal(one, two)


def test_padding_is_what_is_not_there(model, text, codes) -> None:
    padded = F.pad(text[1], (0, 0, 0, 1))
    assert torch.equal(model(codes, model.conditioning(*text)), model(codes, model.conditioning(text[0], padded)))


def test_an_embedding_comes_back_from_its_codes() -> None:
    spec = replace(TINY, kept=8, buckets=256)
    images, texts = pairs(300)
    codec = Codec(spec).fit(images, texts)
    codes = codec.encode(images)
    assert codes.shape == (300, 8) and codes.min() >= 0 and codes.max() == 255
    assert (codec.decode(codes) - images).abs().max() < 0.02
    # The first coordinates tell the most.
    assert codec.components.explained == pytest.approx(1)
    assert (codec.eigenvalues.diff() <= 0).all()
    fuller = torch.bincount(codec.dot_code(images, texts), minlength=spec.dot_buckets)
    assert (fuller == 300 // spec.dot_buckets).all()
    nearest, farthest = similarity(images, texts).argmax(), similarity(images, texts).argmin()
    dots = codec.dot_code(images, texts)
    assert (dots[farthest], dots[nearest]) == (0, spec.dot_buckets - 1)


def test_sampling_is_seeded_by_item_and_guided(model, text) -> None:
    both, second = SeededTokenNoise((7, 8)), SeededTokenNoise((8,), first_item=1)
    together = sample_embedding(model, *text, both)
    assert torch.equal(together, sample_embedding(model, *text, both))
    alone = sample_embedding(model, text[0][1:], text[1][1:], second)
    torch.testing.assert_close(alone, together[1:])
    assert not torch.equal(together, sample_embedding(model, *text, SeededTokenNoise((9, 8))))
    seen: list[tuple[int, int]] = []
    strong = sample_embedding(
        model, *text, both, guidance_scale=6.0, on_code=lambda done, total: seen.append((done, total))
    )
    assert seen == [(done + 1, TINY.kept) for done in range(TINY.kept)]
    assert not torch.equal(strong, together)


def test_the_likeliest_codes_are_the_whole_passes(model, text) -> None:
    given = model.conditioning(*text, torch.tensor([1, 3]))
    dropped = model.conditioning(*text, dropped=True)
    noise = SeededTokenNoise((0, 0))
    codes = sample_codes(model, given, noise, unconditional=dropped, guidance_scale=2.5, draw=LIKELIEST)
    c, u = model(codes, given), model(codes, dropped)
    assert torch.equal((u + 2.5 * (c - u)).argmax(dim=-1), codes)
    # What may not be drawn is not drawn, and almost no temperature leaves the likeliest.
    filtered = sample_codes(model, given, noise, keep=typical(0.0))
    cold = sample_codes(model, given, noise, temperature=1e-6)
    assert torch.equal(cold, sample_codes(model, given, noise, draw=LIKELIEST))
    assert filtered.shape == cold.shape


def test_similarities_come_from_the_upper_half(model) -> None:
    like = torch.zeros(64, 1)
    drawn = upper_dot_code(model, like, SeededTokenNoise(tuple(range(64))))
    assert set(drawn.tolist()) == set(range(TINY.dot_buckets // 2, TINY.dot_buckets))


def test_a_trained_prior_obeys_the_code_of_the_similarity() -> None:
    """The purpose of the token: a higher code gives pictures nearer to the text (Ramesh et al. 2022, sec. 2.2)."""
    images, texts = pairs(512)
    model = AutoregressivePrior(replace(TINY, kept=6, layers=1)).initialise(0)
    model.codec.fit(images, texts)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 3e-3)
    dropped = torch.rand(len(images), generator=torch.Generator().manual_seed(0)) < 0.1
    first = last = 0.0
    for step in range(80):
        rows = torch.randint(len(images), (128,), generator=torch.Generator().manual_seed(step))
        loss = model.loss(images[rows], texts[rows], None, dropped[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = (loss.item() if step == 0 else first), loss.item()
    assert last < 0.9 * first
    model.eval()
    noise = SeededTokenNoise(tuple(range(200)))
    means = []
    for dot in (0, TINY.dot_buckets - 1):
        code = torch.full((200,), dot)
        found = sample_embedding(model, texts[:200], None, noise, dot_code=code)
        means.append(similarity(found, texts[:200]).mean().item())
    assert means[1] > means[0] + 0.05


def test_what_is_saved_is_loaded_again(model, text, codes, tmp_path: Path) -> None:
    prior_checkpoint.save(model, tmp_path / "m", metadata={"card": "tiny"})
    identity = identify(tmp_path / "m")
    assert (identity.family, identity.component, identity.spec) == ("autoregressive_prior", "prior", TINY)
    assert identity.assumed == () and identity.header.metadata["card"] == "tiny"
    again = load(tmp_path / "m")
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())
    assert torch.equal(again(codes, again.conditioning(*text)), model(codes, model.conditioning(*text)))
    # The transformer's precision is chosen; the codec's is its own.
    half = load(tmp_path / "m", dtype=torch.bfloat16)
    assert half.norm.weight.dtype == torch.bfloat16 and half.codec.basis.dtype == torch.float64
    images, _ = pairs(20)
    assert torch.equal(half.codec.encode(images), model.codec.encode(images))
    assert sample_embedding(half, *text, SeededTokenNoise((1, 2))).dtype == torch.float32
    assert len({model.digest(), again.digest(), half.digest()}) == 3


def test_files_and_inputs_that_do_not_fit(model, text, codes, tmp_path: Path) -> None:
    prior_checkpoint.save(model, tmp_path / "m")
    tensors = load_file(tmp_path / "m")
    save_file(tensors, tmp_path / "bare")
    assert identify(tmp_path / "bare").assumed == ("heads",)
    with pytest.raises(GlidewireError, match="contradicts the stated kept; expected 5, from its tensors; got 4"):
        identify(tmp_path / "m", stated={"kept": 4})
    with pytest.raises(GlidewireError, match="heads does not fit; expected a divisor of 32; got 5"):
        identify(tmp_path / "m", stated={"heads": 5})
    save_file(tensors, tmp_path / "m", metadata={prior_checkpoint.SPEC: '{"family": "glide"}'})
    with pytest.raises(GlidewireError, match="is another family's"):
        identify(tmp_path / "m")
    save_file(tensors, tmp_path / "m", metadata={prior_checkpoint.SPEC: "{"})
    with pytest.raises(GlidewireError, match=r"glidewire\.spec is not JSON"):
        identify(tmp_path / "m")
    del tensors["norm.bias"]
    save_file(tensors, tmp_path / "m")
    with pytest.raises(StrictLoadError) as error:
        load(tmp_path / "m")
    assert error.value.missing == ("norm.bias",)
    with pytest.raises(GlidewireError, match=r"the codes do not fit the model; expected batch x 5, 0 to 11; got 2 x 4"):
        model(codes[:, 1:], model.conditioning(*text))
    with pytest.raises(GlidewireError, match="the codes do not fit the model"):
        model(codes + 20, model.conditioning(*text))
    with pytest.raises(
        GlidewireError, match="the text does not fit the model; expected batch x 8 and batch x at most 3"
    ):
        model.conditioning(text[0], torch.zeros(2, 4, TINY.text_width))
    with pytest.raises(GlidewireError, match="no such code of the similarity; expected 0 to 3"):
        model.conditioning(text[0], None, torch.tensor([0, 9]))
    given, noise = model.conditioning(*text), SeededTokenNoise((1, 2))
    with pytest.raises(GlidewireError, match="impossible temperature; expected above 0; got 0"):
        sample_codes(model, given, noise, temperature=0)
    with pytest.raises(GlidewireError, match="guidance needs the unconditional branch; got 2"):
        sample_codes(model, given, noise, guidance_scale=2)
    for change in ({"kept": 9}, {"dot_buckets": 1}, {"layers": 0}):
        with pytest.raises(GlidewireError, match=f"{next(iter(change))} does not fit"):
            replace(TINY, **change)


def test_the_papers_size() -> None:
    with torch.device("meta"):
        model = AutoregressivePrior(AutoregressivePriorSpec())
    assert 0.75e9 < sum(value.numel() for value in model.parameters()) < 0.9e9
