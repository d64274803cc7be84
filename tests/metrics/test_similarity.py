"""CLIP score, retrieval and ranking on vectors whose answer is known."""

from __future__ import annotations

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.metrics.similarity import clip_score, ranked, retrieval_accuracy


def test_the_score_is_a_cut_and_weighted_cosine() -> None:
    image = torch.tensor([[2.0, 0.0], [1.0, 1.0], [-1.0, 0.0]])
    text = torch.tensor([[3.0, 0.0]])
    assert clip_score(image, text).tolist() == pytest.approx([2.5, 2.5 / 2**0.5, 0])
    assert clip_score(image, text, 1.0)[0].item() == 1


def test_retrieval_counts_how_often_the_own_text_is_nearest() -> None:
    image = torch.eye(4)
    assert retrieval_accuracy(image, image) == 1
    mixed_up = image[[1, 0, 2, 3]]
    assert retrieval_accuracy(image, mixed_up) == 0.5
    assert retrieval_accuracy(image, mixed_up, among=4) == 1


def test_pictures_are_ranked_best_first_and_equal_ones_stay_in_order() -> None:
    image = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 0.0], [1.0, 1.0]])
    order, cosines = ranked(image, torch.tensor([[1.0, 0.0]]))
    assert order.tolist() == [1, 2, 3, 0]
    assert cosines.tolist() == pytest.approx([1, 1, 2**-0.5, 0])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(GlidewireError, match=r"do not fit together.*got 3 x 4 and 2 x 4"):
        clip_score(torch.ones(3, 4), torch.ones(2, 4))
    with pytest.raises(GlidewireError, match="every picture needs its own text"):
        retrieval_accuracy(torch.ones(3, 4), torch.ones(1, 4))
    with pytest.raises(GlidewireError, match="ranked for one text; expected 1 text; got 2"):
        ranked(torch.ones(2, 4), torch.ones(2, 4))
