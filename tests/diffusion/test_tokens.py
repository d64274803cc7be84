from __future__ import annotations

import re

import pytest
import torch
from glidewire.diffusion import tokens
from glidewire.errors import GlidewireError


def test_every_golden_filter(parity) -> None:
    case = parity("paella_typical_filter")
    seen = 0
    for name in case.outputs:
        run, what = name.split("/")
        mass, least = re.fullmatch(r"mass([\d.]+)_min(\d+)", run).groups()
        filtered = tokens.typical_filter(case.inputs["logits"], float(mass), int(least))
        case.assert_close(name, filtered.isfinite() if what == "kept" else filtered)
        seen += 1
    assert seen >= len(case.config["masses"]) * len(case.config["typical_min_tokens"])


def test_the_golden_filter_is_not_nucleus_filtering(parity) -> None:
    case = parity("paella_typical_filter")
    logits = case.inputs["logits"]
    p, order = logits.softmax(-1).sort(descending=True)
    mass = case.config["masses"][2]
    nucleus = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, p.cumsum(-1) - p < mass)
    with pytest.raises(AssertionError, match="must be exact"):
        case.assert_close(f"mass{mass}_min1/kept", nucleus)


def test_filter_at_its_ends() -> None:
    logits = torch.randn(5, 30, generator=torch.Generator().manual_seed(0)).double()
    assert torch.equal(tokens.typical_filter(logits, 1.0), logits)
    assert (tokens.typical_filter(logits, 0.0).isfinite().sum(-1) == 1).all()
    assert (tokens.typical_filter(logits, 0.0, 99)).isfinite().all()
    again = tokens.typical_filter(tokens.typical_filter(logits, 0.5), 1.0)
    assert not again.isnan().any()
    for mass, least in ((-0.1, 1), (1.1, 1), (0.5, 0)):
        with pytest.raises(GlidewireError, match="typical_filter: impossible settings"):
            tokens.typical_filter(logits, mass, least)


def test_gumbel_draws_follow_the_distribution() -> None:
    logits = torch.tensor([0.1, 0.2, 0.7]).log().expand(40_000, 3)
    gumbel = -torch.log(-torch.log(torch.rand(logits.shape, generator=torch.Generator().manual_seed(1))))
    shares = tokens.gumbel_draw(logits, gumbel).bincount() / len(logits)
    torch.testing.assert_close(shares, torch.tensor([0.1, 0.2, 0.7]), atol=0.02, rtol=0)


def test_ways_to_draw() -> None:
    logits, gumbel = torch.tensor([[0.0, 3.0, 2.0, -9.0]]), torch.tensor([[0.0, 5.0, 0.0, 99.0]])
    assert tokens.gumbel_draw(logits, gumbel).item() == 3
    assert tokens.LIKELIEST.apply(logits, gumbel).item() == 1
    assert tokens.top_k_draw(logits, gumbel, 2).item() == 2
    codebook = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.6, 0.3]])
    assert tokens.mean_code(codebook).apply(logits, gumbel).item() == 3
    assert tokens.tempered(logits, 0.0).argmax().item() == 1
    assert torch.equal(tokens.tempered(logits, 0.5), 2 * logits)
    assert tokens.tempered(logits, 0.0).softmax(-1)[0, 1] == 1
    assert tokens.gumbel_draw(tokens.tempered(logits, 0.0), gumbel).item() == 1


def test_corruption_replaces_the_share() -> None:
    before, after = torch.zeros(1, 10_000).long(), torch.ones(1, 10_000).long()
    uniform = torch.rand(1, 10_000, generator=torch.Generator().manual_seed(2))
    assert tokens.corrupt(before, after, 0.0, uniform).sum() == 0
    assert tokens.corrupt(before, after, 1.0, uniform).sum() == 10_000
    assert tokens.corrupt(before, after, 0.3, uniform).float().mean().item() == pytest.approx(0.3, abs=0.02)


def test_rules_with_other_parameters_have_other_texts() -> None:
    codebooks = torch.zeros(2, 2), torch.ones(2, 2)
    rules = [tokens.typical(0.2), tokens.typical(0.3), tokens.typical(0.2, 2), tokens.GUMBEL, tokens.LIKELIEST]
    rules += map(tokens.mean_code, codebooks)
    assert len({rule.signature() for rule in rules}) == len(rules)
    assert tokens.typical(0.2).signature() == tokens.typical().signature()
