from __future__ import annotations

import pytest
import torch
from glidewire.diffusion import guidance, schedules
from glidewire.diffusion.denoiser import Combination, Leaf, active, nodes, signature
from glidewire.diffusion.evaluator import Evaluator, evaluate
from glidewire.diffusion.prediction import Step
from glidewire.errors import GlidewireError

SCHEDULE = schedules.squared_cosine(10)
STEP = Step.of(SCHEDULE, 4)
X_T = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))


def text(*values: float) -> dict[str, torch.Tensor]:
    return {"text": torch.tensor([values], dtype=torch.float32)}


def first(inputs, x_t, step):
    return next(iter(inputs.values()))


def test_one_forward_per_network_and_equal_leaves_once(toy) -> None:
    network, other = toy(), toy(seed=1)
    a, a_again, b = (Leaf(network, text(1, 0, 0)), Leaf(network, text(1, 0, 0)), Leaf(network, text(0, 1, 0)))
    inner = guidance.classifier_free(a, b, 2.0)
    outer = guidance.classifier_free(guidance.classifier_free(a_again, Leaf(other, text(1, 0, 0)), 3.0), inner, 2.0)
    evaluator = Evaluator()
    evaluator(outer, X_T, STEP)
    assert evaluator.forwards == 2
    assert network.batches == [6]
    assert other.batches == [3]
    assert evaluator.rows == 9


def test_a_condition_is_prepared_once_per_run(toy) -> None:
    network = toy()
    guided = guidance.classifier_free(Leaf(network, text(1, 0, 0)), Leaf(network, text(0, 0, 0)), 2.0)
    evaluator = Evaluator()
    for index in range(10):
        evaluator(guided, X_T, Step.of(SCHEDULE, index))
    assert network.prepared == 2
    assert evaluator.forwards == 10


def test_batched_and_separate_evaluations_agree(toy) -> None:
    network = toy()
    a, b = Leaf(network, text(1, 0, 0)), Leaf(network, {"text": torch.eye(3)})
    one, other = evaluate(a, X_T, STEP), evaluate(b, X_T, STEP)
    expected = other.value + 2.5 * (one.value - other.value)
    assert torch.allclose(evaluate(guidance.classifier_free(a, b, 2.5), X_T, STEP).value, expected, atol=1e-6)
    for item in range(3):
        alone = evaluate(Leaf(network, {"text": torch.eye(3)[item : item + 1]}), X_T[item : item + 1], STEP)
        assert torch.allclose(alone.value[0], other.value[item], atol=1e-6)


def test_conditions_of_other_shapes_get_their_own_forward(toy) -> None:
    class LongText(toy):
        def prepare(self, conditioning):
            return super().prepare({"text": conditioning["text"].reshape(len(conditioning["text"]), -1, 3).sum(1)}) | {
                "raw": conditioning["text"]
            }

    network = LongText()
    short, long = Leaf(network, text(1, 0, 0)), Leaf(network, text(1, 0, 0, 0, 0, 0))
    evaluator = Evaluator()
    guided = evaluator(guidance.classifier_free(short, long, 3.0), X_T, STEP)
    assert evaluator.forwards == 2
    assert torch.allclose(guided.value, evaluate(short, X_T, STEP).value, atol=1e-6)


def test_predictions_without_variance_channels(toy) -> None:
    prediction = evaluate(Leaf(toy("v", learned_variance=False), text(0, 0, 0)), X_T, STEP)
    assert prediction.kind == "v"
    assert prediction.variance is None
    assert prediction.value.shape == X_T.shape


def test_a_shared_expression_is_computed_once_even_when_its_tree_is_huge(toy) -> None:
    calls = []
    denoiser = Leaf(toy(), text(1, 0, 0))
    for level in range(40):

        def combine(inputs, x_t, step, level=level):
            calls.append(level)
            return inputs["a"]

        denoiser = Combination(combine, {"a": denoiser, "b": denoiser}, f"level{level}")
    evaluate(denoiser, X_T, STEP)
    assert calls == [*range(40)]
    assert len(signature(denoiser, 0, 10)) <= 1100


def test_intervals_pass_through_to_the_fallback(toy) -> None:
    network = toy()
    a, b = Leaf(network, text(1, 0, 0)), Leaf(network, text(0, 1, 0))
    guided = Combination(first, {"a": a, "b": b}, "pick", start=0.2, end=0.5, fallback="b")
    assert [active(guided, index, 10) is guided for index in range(10)] == [False] * 2 + [True] * 3 + [False] * 5
    assert active(guided, 0, 10) is b
    evaluator = Evaluator()
    evaluator(guided, X_T, Step.of(SCHEDULE, 0))
    assert evaluator.rows == 3
    assert [*nodes(guided, 0, 10)] == [b]


def test_intervals_meet_without_gap_or_overlap() -> None:
    for total in (3, 7, 10, 27, 100):
        for cut in range(total + 1):
            leaf = Leaf(None)  # pyrefly: ignore
            early = Combination(first, {"a": leaf}, "early", end=cut / total)
            late = Combination(first, {"a": leaf}, "late", start=cut / total)
            for index in range(total):
                assert early.active(index, total) != late.active(index, total)
    tenths = Combination(first, {"a": leaf}, "tenths", start=0.1 + 0.2)
    assert tenths.active(3, 10)


def test_signature_names_what_is_active_and_only_that(toy) -> None:
    network, twin, other = toy(), toy(), toy(seed=1)
    a, b = Leaf(network, text(1, 0, 0)), Leaf(network, text(0, 1, 0))
    guided = guidance.classifier_free(a, b, 3.0)
    same = guidance.classifier_free(Leaf(twin, text(1, 0, 0)), Leaf(twin, text(0, 1, 0)), 3.0)
    assert signature(guided, 0, 10) == signature(same, 5, 20)
    different = [
        guidance.classifier_free(a, b, 3.0000001),
        guidance.classifier_free(b, a, 3.0),
        guidance.classifier_free(Leaf(other, text(1, 0, 0)), b, 3.0),
        guidance.classifier_free(Leaf(network, text(1, 0, 1e-7)), b, 3.0),
        a,
    ]
    assert len({signature(denoiser, 0, 10) for denoiser in (guided, *different)}) == 6
    early = guidance.classifier_free(a, b, 3.0, end=0.5)
    assert signature(early, 4, 10) == signature(guided, 4, 10)
    assert signature(early, 5, 10) == signature(a, 5, 10)


def test_a_combiner_that_looks_at_progress_has_another_signature_each_step(toy) -> None:
    leaf = Leaf(toy(), text(1, 0, 0))
    looks = Combination(first, {"a": leaf}, "looks")
    blind = Combination(first, {"a": leaf}, "blind", reads_progress=False)
    assert signature(looks, 1, 10) not in (signature(looks, 2, 10), signature(looks, 1, 11))
    assert signature(blind, 1, 10) == signature(blind, 2, 11)


def test_parameters_of_other_types_differ(toy) -> None:
    leaf = Leaf(toy(), text(1, 0, 0))
    values = (1, 1.0, True, "1")
    texts = {signature(Combination(first, {"a": leaf}, "n", {"p": value}), 0, 1) for value in values}
    assert len(texts) == len(values)


@pytest.mark.parametrize("shape", [(2, 3), ()])
def test_a_condition_for_another_batch_is_named(toy, shape: tuple[int, ...]) -> None:
    with pytest.raises(GlidewireError, match=r"Condition 'text' does not fit the batch; expected .* 1 or 3"):
        evaluate(Leaf(toy(), {"text": torch.zeros(shape)}), X_T, STEP)


def test_an_output_that_does_not_fit_is_named(toy) -> None:
    network = toy()
    network.learned_variance = False
    with pytest.raises(GlidewireError, match=r"ToyNetwork: its output .*\[3, 2, 4, 4\]; got \[3, 4, 4, 4\]"):
        evaluate(Leaf(network, text(0, 0, 0)), X_T, STEP)


def test_impossible_combinations_are_explained(toy) -> None:
    leaf = Leaf(toy(), text(0, 0, 0))
    with pytest.raises(GlidewireError, match="mix: needs at least one"):
        Combination(first, {}, "mix")
    with pytest.raises(GlidewireError, match=r"mix: the fallback .* expected a; got b"):
        Combination(first, {"a": leaf}, "mix", fallback="b")
    for start, end in ((0.6, 0.5), (-0.1, 1.0), (0.0, 1.1)):
        with pytest.raises(GlidewireError, match="mix: impossible interval"):
            Combination(first, {"a": leaf}, "mix", start=start, end=end)
