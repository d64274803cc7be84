from __future__ import annotations

import math

import pytest
import torch
from glidewire.diffusion.editing_losses import asyrp_loss, contrastive_loss, directional_loss
from glidewire.errors import GlidewireError

X, Y, Z = torch.eye(3)[:, None]


def test_a_picture_that_moves_as_the_text_costs_nothing() -> None:
    assert directional_loss(X, Y, X, Y).item() == pytest.approx(0, abs=1e-6)
    assert directional_loss(X, Y, Y, X).item() == pytest.approx(2, abs=1e-6)
    assert directional_loss(X, Y, Z, X + Y).item() == pytest.approx(1, abs=1e-6)
    # Lengths do not matter.
    assert directional_loss(3 * X, 0.1 * Y, X, 7 * Y).item() == pytest.approx(0, abs=1e-6)


def test_gradients_are_finite_also_at_no_edit() -> None:
    for edited in (X.clone(), Y.clone()):
        edited.requires_grad_()
        directional_loss(X, edited, X, Y).sum().backward()
        assert edited.grad.isfinite().all()


def test_a_step_along_the_gradient_moves_towards_the_text() -> None:
    edited = (X + 0.1 * Z).requires_grad_()
    before = directional_loss(X, edited, X, Y)
    before.sum().backward()
    after = directional_loss(X, edited.detach() - 0.1 * edited.grad, X, Y)
    assert after < before


def test_the_wanted_text_is_told_from_all_others() -> None:
    texts, wanted = torch.cat([X, 2 * Y, Z]), torch.tensor([0, 1])
    found = contrastive_loss(torch.cat([5 * X, X]), texts, wanted, 3.0)
    others = math.exp(3) + 2
    assert found.tolist() == pytest.approx([math.log(others / math.exp(3)), math.log(others)])
    edited = (X + 0.1 * Y).requires_grad_()
    before = contrastive_loss(edited, texts, torch.tensor([1]), 3.0)
    before.sum().backward()
    assert contrastive_loss(edited.detach() - 0.1 * edited.grad, texts, torch.tensor([1]), 3.0) < before
    with pytest.raises(GlidewireError, match=r"contrastive loss: embeddings of different CLIPs.*got \[3, 2\]"):
        contrastive_loss(X, torch.ones(4, 2), torch.tensor([0]), 1.0)


def test_the_parts_of_the_loss() -> None:
    plain, edited = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.5)
    found = asyrp_loss(edited, plain, torch.tensor([0.0, 1.0]), 0.8)
    assert found["direction"].tolist() == pytest.approx([0, math.log(2)])
    assert found["kept"].tolist() == pytest.approx([0.4, 0.4])
    assert found["total"].tolist() == pytest.approx([1.2, 1.2 + math.log(2)])
    assert asyrp_loss(edited, plain, torch.tensor([2.0, 2.0]), 1.0)["total"].isfinite().all()
    plain.requires_grad_()
    assert not asyrp_loss(edited, plain, torch.zeros(2), 1.0)["total"].requires_grad


def test_what_does_not_fit() -> None:
    with pytest.raises(GlidewireError, match=r"embeddings of different CLIPs; expected one width; got \[3, 3, 3, 2\]"):
        directional_loss(X, Y, X, torch.ones(1, 2))
    with pytest.raises(GlidewireError, match="the texts are equal; expected a source and a target text that differ"):
        directional_loss(X, Y, X, 2 * X)
    with pytest.raises(GlidewireError, match="edited and the plain sample differ in shape"):
        asyrp_loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 8, 8), torch.zeros(1), 1.0)
