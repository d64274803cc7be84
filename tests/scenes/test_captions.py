"""The grammar: what is said is true of the scene, and words can be read back."""

from __future__ import annotations

import hashlib

import pytest
from glidewire.errors import GlidewireError
from glidewire.scenes import Described, Statement, caption, held_out_prompts, parse, sample_scene, worded
from glidewire.scenes.world import HELD_OUT_OBJECTS
from hypothesis import given
from hypothesis import strategies as st

SEEDS = st.integers(0, 10**6)


@given(SEEDS, SEEDS, st.booleans())
def test_every_caption_is_true_and_can_be_read_back(scene_seed: int, seed: int, complete: bool) -> None:
    scene = sample_scene(scene_seed)
    said = caption(scene, seed, complete=complete)
    assert parse(said.text) == said.statement
    objects = said.statement.objects
    assert said.statement.ground in (None, scene.ground)
    assert said.statement.relation in (None, scene.axis)
    for described in objects:
        assert any(
            described.shape in (None, s.shape)
            and described.colour in (None, s.colour)
            and described.size in (None, s.size)
            for s in scene.solids
        )
    if said.statement.relation:
        for described, solid in zip(objects, scene.solids, strict=True):
            assert described.colour in (None, solid.colour) and described.shape in (None, solid.shape)


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        ("a small red cube", Statement((Described("cube", "red", "small"),))),
        (
            "a picture of a blue cone below a thing on a rose floor",
            Statement((Described(), Described("cone", "blue")), "above", "rose"),
        ),
        (
            "A green sphere  to the right of a large cube",
            Statement((Described("cube", None, "large"), Described("sphere", "green")), "left of"),
        ),
        ("a cube and a cone", Statement((Described("cube"), Described("cone")))),
    ],
)
def test_sentences_mean_what_they_say(text: str, statement: Statement) -> None:
    assert parse(text) == statement


@given(SEEDS, SEEDS)
def test_the_plainest_sentence_states_the_same(scene_seed: int, seed: int) -> None:
    statement = caption(sample_scene(scene_seed), seed).statement
    plain = worded(statement)
    assert plain.statement == statement == parse(plain.text)


@given(st.text(max_size=60))
def test_other_text_is_refused_by_name(text: str) -> None:
    try:
        parse(text)
    except GlidewireError as error:
        assert repr(text) in str(error) and "Shapes: sphere" in str(error)


def test_captions_sometimes_leave_things_out_and_complete_ones_do_not() -> None:
    scene = next(sample_scene(seed) for seed in range(99) if sample_scene(seed).axis)
    said = [caption(scene, seed).statement for seed in range(200)]
    assert {statement.relation for statement in said} == {None, scene.axis}
    assert {statement.objects[0].size for statement in said} > {None}
    assert any(solid.colour is None for statement in said for solid in statement.objects)
    complete = [caption(scene, seed, complete=True).statement for seed in range(200)]
    assert all(s.relation and all(o.colour and o.shape for o in s.objects) for s in complete)


def test_held_out_prompts_are_different_and_never_name_a_training_combination() -> None:
    prompts = held_out_prompts(100)
    assert len({prompt.text for prompt in prompts}) == 100
    assert prompts[:20] == held_out_prompts(20)
    assert prompts[:20] != held_out_prompts(20, seed=1)
    named = {
        (c.statement.objects[0].colour, c.statement.objects[0].shape) for c in prompts if len(c.statement.objects) == 1
    }
    assert named and named <= HELD_OUT_OBJECTS


def test_the_judged_prompts_are_always_the_same() -> None:
    texts = "\n".join(prompt.text for prompt in held_out_prompts(200))
    assert hashlib.sha256(texts.encode()).hexdigest() == (
        "157427c115c79dc57063a2b1916a256b73e00d0df2fe4c3dbdb53541fe38532b"
    )


def test_silent_captions_leave_out_shapes_and_colours() -> None:
    scene = next(sample_scene(seed) for seed in range(99) if sample_scene(seed).axis)
    said = [caption(scene, seed, silence=0.5).statement.objects[0] for seed in range(200)]
    assert 60 < sum(one.shape is None for one in said) < 140
    assert any(one.colour is None for one in said)
    assert not any(one.colour is None and one.shape is None for one in said)
