"""Words as nodes: weights on states and in attention, regions, maps, prompt-to-prompt, and what does not fit."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from glidewire.diffusion import samplers, solvers
from glidewire.diffusion.denoiser import Leaf
from glidewire.diffusion.evaluator import Evaluator, evaluate
from glidewire.diffusion.prediction import Step
from glidewire.errors import GlidewireError
from glidewire.interfaces.api import Workflow
from glidewire.models.unclip import checkpoint as unclip_checkpoint
from glidewire.models.unclip.model import DecoderModel
from glidewire.nodes import imagen, latent_conditions, prompt_editing, prompt_texts, unclip
from glidewire.nodes.guidance import classifier_free_guidance
from glidewire.nodes.prompt_editing import prompt_to_prompt, weigh_words
from glidewire.nodes.sockets import PIXELS, Sample, Start
from node_materials import CLIP, randomised

PROMPT = "a red cube"


def guided(materials: Any, scale: float = 3.0) -> Any:
    c = materials.latent_denoiser()
    u = Leaf(c.network, latent_conditions.encode_prompt(materials.text_encoder, "").tensors)
    return classifier_free_guidance(c, u, scale)


def edited(materials: Any, denoiser: Any = None, **changes: Any) -> Any:
    settings = {"encoder": materials.text_encoder, "schedule": materials.schedule, "source": PROMPT, "target": PROMPT}
    return prompt_to_prompt(denoiser or guided(materials), **{**settings, **changes})


def start(materials: Any, count: int = 2) -> torch.Tensor:
    latents = materials.latents()
    one = Start(latents.tensor, latents.space, seeds=(3,))
    return prompt_editing.repeat_start(one, count).tensor


def run(materials: Any, denoiser: Any, x_T: torch.Tensor | None = None, **options: Any) -> torch.Tensor:
    x_T = start(materials) if x_T is None else x_T
    return samplers.sample(denoiser, materials.schedule, x_T, solvers.ddim(0.0, clip=False), **options)


# --- prompt-to-prompt -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["replace", "refine", "keep"])
def test_equal_prompts_give_the_source_bit_for_bit(materials: Any, mode: str) -> None:
    evaluator = Evaluator()
    source, target = run(materials, edited(materials, mode=mode), evaluator=evaluator)
    assert torch.equal(source, target)
    assert evaluator.forwards == len(materials.schedule)
    plain = run(materials, guided(materials), start(materials, 1))
    torch.testing.assert_close(source, plain[0], atol=1e-4, rtol=1e-4)


def test_a_target_differs_and_the_source_does_not_know_of_it(materials: Any) -> None:
    source, target = run(materials, edited(materials, target="a blue cube"))
    same, _ = run(materials, edited(materials))
    assert torch.equal(source, same)
    assert not torch.allclose(source, target, atol=1e-3)
    # Without any window the target is what its own prompt makes.
    closed = {"cross_end": 0.0, "self_end": 0.0}
    _, free = run(materials, edited(materials, target="a blue cube", **closed))
    blue = classifier_free_guidance(materials.latent_denoiser("a blue cube"), materials.latent_denoiser(""), 3.0)
    torch.testing.assert_close(free, run(materials, blue, start(materials, 1))[0], atol=1e-4, rtol=1e-4)
    assert (target - source).norm() < (free - source).norm()


def test_weights_and_glide_and_no_guidance_work_too(materials: Any) -> None:
    _, plain = run(materials, edited(materials, mode="keep"))
    _, louder = run(materials, edited(materials, mode="keep", weights="red: 4"))
    assert not torch.allclose(plain, louder, atol=1e-4)
    x_T = materials.pixels().expand(2, -1, -1, -1)
    for target, equal in ((PROMPT, True), ("a blue cube", False)):
        denoiser = edited(materials, materials.denoiser(PROMPT), encoder=materials.glide, target=target)
        source, other = run(materials, denoiser, x_T)
        assert torch.equal(source, other) == equal


def test_single_words_have_windows_of_their_own(materials: Any) -> None:
    def target(**windows: Any) -> torch.Tensor:
        return run(materials, edited(materials, target="a blue cube", mode="keep", self_end=0.0, **windows))[1]

    whole = target(cross_end=0.5)
    assert not torch.equal(target(cross_end=0.0, word_windows="cube: .5"), target(cross_end=0.0))
    assert torch.equal(target(cross_end=0.5, word_windows="blue: 0.5"), whole)
    assert not torch.equal(target(cross_end=0.5, word_windows="blue: 0"), whole)
    assert not torch.equal(target(cross_end=0.5, word_windows="blue: 0.25-0.5"), whole)
    for text, message in (
        ("red: 0.5", "a word to edit is not in the prompt"),
        ("blue: 0.5-0.2", "impossible window of 'blue'"),
        ("blue: nan", "impossible window of 'blue'"),
        ("blue", "windows cannot be read; expected such as \"cone: 0.2, red: 0.1-0.5\"; got 'blue'"),
    ):
        with pytest.raises(GlidewireError, match=message):
            target(word_windows=text)


def test_a_local_blend_keeps_the_source_outside_of_the_words(materials: Any) -> None:
    words = {"blend_source": "red", "blend_target": "blue", "blend_start": 0.0}
    everywhere, nowhere = (
        run(materials, edited(materials, target="a blue cube", blend_threshold=threshold, **words))
        for threshold in (0.0, 1.0)
    )
    assert torch.equal(nowhere[0], nowhere[1])
    _, free = run(materials, edited(materials, target="a blue cube"))
    torch.testing.assert_close(everywhere[1], free, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(everywhere[0], everywhere[1], atol=1e-3)
    late = run(materials, edited(materials, target="a blue cube", **{**words, "blend_start": 1.0}))
    assert torch.equal(late[1], free)


def test_the_number_of_edited_layers_is_never_zero(materials: Any) -> None:
    denoiser = edited(materials)
    view = denoiser.inputs["conditional"].network
    assert len(view.layers) == 4
    none = materials.latent_model(context_width=0)
    text = {"context": materials.latent_text().tensors["context"]}
    with pytest.raises(GlidewireError, match="no attention of this kind at 'all'"):
        edited(materials, Leaf(none.network, text))


def test_what_cannot_be_edited_is_told(materials: Any) -> None:
    for changes, message in (
        ({"target": "a blue cube on top"}, r"differ in their number of words.*Use refine for words that are added"),
        ({"weights": "sphere: 2"}, r"a word to edit is not in the prompt; expected one of \['a', 'red', 'cube'\]"),
        ({"weights": "red"}, "words with weights cannot be read; expected such as \"red: 1.5, cube: 0.5\"; got 'red'"),
        ({"source": "a green cube"}, "no branch of the denoiser is under this prompt"),
        ({"blend_source": "red"}, "a local blend needs words of both prompts"),
        ({"blend_source": "sphere", "blend_target": "red"}, "a word to edit is not in the prompt"),
        ({"cross_start": 0.9, "cross_end": 0.1}, "impossible window"),
        ({"blend_source": "red", "blend_target": "red", "blend_threshold": 2.0}, "impossible threshold"),
        ({"denoiser": materials.denoiser()}, "no branch of the denoiser is under this prompt"),
    ):
        denoiser = changes.pop("denoiser", None)
        with pytest.raises(GlidewireError, match=message):
            edited(materials, denoiser, **changes)
    for count in (1, 3):
        with pytest.raises(GlidewireError, match=rf"not fit the batch.*1 or {count}; got .*repeat start makes"):
            run(materials, edited(materials), start(materials, count))
    with pytest.raises(GlidewireError, match=r"does not know this timestep.*Wire the schedule"):
        evaluate(edited(materials), start(materials), Step(0, 4, 12345, 0.5, 0.6, 0.4, 0.1, 0.0, 0.5, 0.5))


# --- every system whose U-Net attends to a text -----------------------------------------------------------------------


def _of_imagen(materials: Any, upsampler: bool) -> tuple[Any, Any, torch.Tensor]:
    text = imagen.t5_text(materials.t5, PROMPT)
    if upsampler:
        small = Sample(materials.pixels(1, 8), PIXELS)
        denoiser = imagen.imagen_upsampler_denoiser(materials.imagen(True), text, small, 16, 16)
        return materials.t5, denoiser, materials.pixels()
    return materials.t5, imagen.imagen_denoiser(materials.imagen(), text), materials.pixels()


def _of_unclip(materials: Any, system: str) -> tuple[Any, Any, torch.Tensor]:
    spec = replace(materials.unclip_decoder.network.spec, system=system)
    if system != "karlo":
        spec = replace(spec, in_channels=4, out_channels=8)
    model = DecoderModel(randomised(unclip_checkpoint.build(spec)), CLIP)
    denoiser = unclip.unclip_decoder_denoiser(model, materials.embedding(), materials.clip_text(PROMPT))
    x_T = torch.randn(1, model.network.channels, 16, 16, generator=torch.Generator().manual_seed(0))
    return materials.clip, denoiser, x_T


SYSTEMS = {
    "glide": lambda m: (m.glide, m.denoiser(PROMPT), m.pixels()),
    "glide upsampler": lambda m: (m.glide, m.upsampler(), m.pixels()),
    "latent diffusion": lambda m: (m.text_encoder, m.latent_denoiser(), m.latents().tensor),
    "imagen": lambda m: _of_imagen(m, upsampler=False),
    "imagen upsampler": lambda m: _of_imagen(m, upsampler=True),
    "karlo": lambda m: _of_unclip(m, "karlo"),
    "kandinsky 2.1": lambda m: _of_unclip(m, "kandinsky-2.1"),
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_words_are_edited_weighed_and_shown_in(materials: Any, system: str) -> None:
    encoder, denoiser, x_T = SYSTEMS[system](materials)
    plain, twice = run(materials, denoiser, x_T)[0], x_T.expand(2, -1, -1, -1)
    same, other, free = (
        run(materials, edited(materials, denoiser, encoder=encoder, target=target, **windows), twice)
        for target, windows in ((PROMPT, {}), ("r red cube", {}), ("r red cube", {"cross_end": 0.0, "self_end": 0.0}))
    )
    assert torch.equal(same[0], same[1])
    torch.testing.assert_close(same[0], plain, atol=1e-4, rtol=1e-4)
    assert torch.equal(other[0], same[0]) and float((other[1] - other[0]).abs().max()) > 1e-5
    assert float((other[1] - free[1]).abs().max()) > 1e-5
    weighed = weigh_words(denoiser, encoder, PROMPT, "red: 9")
    assert not torch.allclose(run(materials, weighed, x_T)[0], plain, atol=1e-5)
    begun = Start(x_T, denoiser.network.space, seeds=(0,))
    maps = prompt_editing.show_words(denoiser, encoder, materials.schedule, begun, PROMPT, "red", width=16, height=16)
    assert maps.shape == (1, 16, 16, 3) and maps.std() > 0


def test_an_edited_decoder_is_under_the_other_text(materials: Any) -> None:
    for system in ("karlo", "kandinsky 2.1"):
        encoder, denoiser, x_T = SYSTEMS[system](materials)
        closed = {"cross_end": 0.0, "self_end": 0.0, "encoder": encoder, "target": "a blue cube"}
        _, free = run(materials, edited(materials, denoiser, **closed), x_T.expand(2, -1, -1, -1))
        model = DecoderModel(denoiser.network, CLIP)
        blue = unclip.unclip_decoder_denoiser(model, materials.embedding(), materials.clip_text("a blue cube"))
        torch.testing.assert_close(free, run(materials, blue, x_T)[0], atol=1e-4, rtol=1e-4)


def test_a_decoder_under_several_embeddings_is_weighed_but_not_edited(materials: Any) -> None:
    several = unclip.unclip_decoder_denoiser(materials.unclip_decoder, materials.embedding(3), materials.clip_text())
    x_T = materials.pixels(3)
    weighed = weigh_words(several, materials.clip, PROMPT, "red: 9")
    assert not torch.allclose(run(materials, weighed, x_T), run(materials, several, x_T), atol=1e-5)
    with pytest.raises(GlidewireError, match=r"edits one item; expected a denoiser under one prompt.*got 3 items"):
        edited(materials, several, encoder=materials.clip)


def test_networks_without_attention_to_words_are_refused(materials: Any) -> None:
    for denoiser in (materials.prior_denoiser(PROMPT), materials.token_denoiser()):
        with pytest.raises(GlidewireError, match="no attention to words that can be reached; expected a U-Net that at"):
            edited(materials, denoiser, encoder=materials.clip)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "a cone"}, r"expected 8 words as in the source; got 2 words\. Use refine"),
        (
            {"weights": "sheep: 2"},
            r"a word to edit is not in the prompt; expected one of \['a', 'green', 'cube',",
        ),
        ({"weights": "cube"}, "words with weights cannot be read"),
        (
            {"weights": "cube: nan"},
            "weight of 'cube' is out of range; expected a number from -20 to 20; got nan",
        ),
        (
            {"weights": "cube: 21"},
            "weight of 'cube' is out of range; expected a number from -20 to 20; got 21",
        ),
        ({"cross_start": 0.9}, "impossible window of cross-attention"),
        ({"word_windows": "cone: 0.2"}, "a word to edit is not in the prompt.*got 'cone'"),
        ({"word_windows": "cube: 0.2-2"}, "impossible window of 'cube'"),
        ({"self_start": 0.9}, "impossible window of self-attention"),
        ({"blend_source": "cone"}, "a local blend needs words of both prompts"),
        (
            {"blend_source": "cone", "blend_target": "cone"},
            "a word to edit is not in the prompt.*got 'cone'",
        ),
        ({"blend_threshold": 1.5}, "out of range"),
    ],
)
def test_check_refuses_an_edit_before_anything_is_loaded(changes: dict[str, Any], message: str) -> None:
    flow = Workflow.load("prompt-to-prompt")
    assert not flow.check().problems
    for name, changed in changes.items():
        flow.set(**{"Target prompt: replace.value" if name == "target" else f"Edit: replace.{name}": changed})
    (problem,) = [problem for problem in flow.check().problems if problem.title == "Edit: replace"]
    assert re.search(message, str(problem)), problem


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"GlidewireWeighWords.weights": "green: 0"}, "a word to edit is not in the prompt.*got 'green'"),
        ({"GlidewireWeighWords.weights": "blue: inf"}, "the weight of 'blue' is out of range"),
        ({"As comfy reads it.prompt": "a (cube:1e9)"}, r"the weight of 'cube' is out of range.*got 1000000000\.0"),
        ({"As comfy reads it.prompt": "a (cube:nan)"}, "the weight of 'cube' is out of range.*got nan"),
    ],
)
def test_check_refuses_weights_before_anything_is_loaded(changes: dict[str, Any], message: str) -> None:
    flow = Workflow.load("prompt-weights")
    assert not flow.check().problems
    flow.set(**changes)
    (problem,) = flow.check().problems
    assert re.search(message, str(problem)), problem


# --- words weighed ----------------------------------------------------------------------------------------------------


def value(materials: Any, denoiser: Any) -> torch.Tensor:
    return evaluate(denoiser, materials.latents().tensor, Step.of(materials.schedule, 1)).value


def test_weights_of_1_change_nothing_and_others_only_their_branch(materials: Any) -> None:
    plain = guided(materials)
    arguments = {"encoder": materials.text_encoder, "prompt": PROMPT}
    same = weigh_words(plain, **arguments, weights="red: 1")
    assert torch.equal(value(materials, same), value(materials, plain))
    louder = weigh_words(plain, **arguments, weights="red: 3")
    assert not torch.allclose(value(materials, louder), value(materials, plain), atol=1e-4)
    evaluator = Evaluator()
    evaluator(louder, materials.latents().tensor, Step.of(materials.schedule, 1))
    assert evaluator.forwards == 1
    unconditional = louder.inputs["unconditional"]
    assert torch.equal(value(materials, unconditional), value(materials, materials.latent_denoiser("")))


def test_a_word_is_kept_to_a_region(materials: Any) -> None:
    plain, arguments = materials.latent_denoiser(), {"encoder": materials.text_encoder, "prompt": PROMPT}
    whole = weigh_words(plain, **arguments, weights="red: 2")
    for region, outside, expected in (
        (torch.ones(1, 8, 8), 0.0, whole),
        (torch.zeros(1, 16, 16), 1.0, plain),
        (materials.mask(8, 8), 2.0, whole),
    ):
        found = weigh_words(plain, **arguments, weights="red: 2", region=region, outside=outside)
        torch.testing.assert_close(value(materials, found), value(materials, expected), atol=1e-5, rtol=1e-5)
    halved = weigh_words(plain, **arguments, weights="red: 2", region=materials.mask(8, 8), outside=0.0)
    assert not torch.allclose(value(materials, halved), value(materials, whole), atol=1e-5)
    wrong = weigh_words(plain, **arguments, weights="red: 2", region=torch.ones(1, 12, 8))
    with pytest.raises(GlidewireError, match=r"the words' region does not fit.*expected a mask of 8 x 8.*got 12 x 8"):
        value(materials, wrong)
    with pytest.raises(GlidewireError, match="a word to edit is not in the prompt"):
        weigh_words(plain, **arguments, weights="sphere: 2")
    with pytest.raises(GlidewireError, match=r"no attention to words that can be reached.*got Prior"):
        weigh_words(materials.prior_denoiser(), **arguments, weights="red: 2")
    for value_of_region, told in ((7.0, "got 7 in 64 of 64 places"), (float("nan"), "got nan in 64")):
        with pytest.raises(GlidewireError, match=f"the words' region has values that are no shares.*{told}"):
            weigh_words(plain, **arguments, weights="red: 2", region=torch.full((1, 8, 8), value_of_region))
    with pytest.raises(GlidewireError, match="'what is outside of the region' is out of range"):
        weigh_words(plain, **arguments, weights="red: 2", region=torch.ones(1, 8, 8), outside=float("nan"))


def test_a_text_of_other_positions_is_refused(materials: Any) -> None:
    denoiser = materials.latent_denoiser()
    twice = Leaf(denoiser.network, {"context": torch.cat([denoiser.conditioning["context"]] * 2, dim=1)})
    assert prompt_texts.under(denoiser, materials.text_encoder, PROMPT)
    with pytest.raises(GlidewireError, match="no branch of the denoiser is under this prompt"):
        weigh_words(twice, materials.text_encoder, PROMPT, "red: 2")


# --- words shown ------------------------------------------------------------------------------------------------------


def test_maps_of_words_are_pictures_of_each_step_or_their_mean(materials: Any) -> None:
    latents = materials.latents()
    arguments = {
        "denoiser": guided(materials), "encoder": materials.text_encoder, "schedule": materials.schedule,
        "start": Start(latents.tensor, latents.space, seeds=(3,)), "prompt": PROMPT, "words": "red, a red cube",
        "width": 24, "height": 16,
    }  # fmt: skip
    mean = prompt_editing.show_words(**arguments)
    assert mean.shape == (2, 16, 24, 3) and 0 <= float(mean.min()) < float(mean.max()) <= 1
    steps = [prompt_editing.show_words(**arguments, step=step) for step in (0, 3)]
    assert not torch.allclose(steps[0], steps[1], atol=1e-3)
    middle = prompt_editing.show_words(**arguments, places="middle")
    assert not torch.allclose(mean, middle, atol=1e-3)
    for changes, message in (
        ({"step": 4}, "the run has no such step; expected 0 to 3, or -1 for all; got 4"),
        ({"words": "sphere"}, "a word to edit is not in the prompt"),
        ({"words": " , "}, "no word is named"),
        ({"places": "down 9"}, "no attention of this kind at 'down 9'"),
    ):
        with pytest.raises(GlidewireError, match=message):
            prompt_editing.show_words(**{**arguments, **changes})


# --- prompts with weights ---------------------------------------------------------------------------------------------


def test_prompts_without_weights_are_as_they_are(materials: Any) -> None:
    plain = latent_conditions.encode_prompt(materials.text_encoder, PROMPT).tensors["context"]
    for interpretation in ("comfy", "a1111", "a1111_no_norm", "drop"):
        found = prompt_editing.weighted_prompt(materials.text_encoder, PROMPT, interpretation).tensors["context"]
        assert torch.equal(found, plain)
        weighed = prompt_editing.weighted_prompt(materials.text_encoder, "a (red:1.5) cube", interpretation)
        assert torch.equal(weighed.tensors["context"], plain) == (interpretation == "drop")


def test_a_word_of_weight_0_is_dropped_only_by_drop(materials: Any) -> None:
    without = latent_conditions.encode_prompt(materials.text_encoder, "a  cube").tensors["context"]
    dropped, comfy = (
        prompt_editing.weighted_prompt(materials.text_encoder, "a (red:0.0) cube", interpretation).tensors["context"]
        for interpretation in ("drop", "comfy")
    )
    assert torch.equal(dropped, without) and not torch.allclose(comfy, without, atol=1e-3)


def test_square_brackets_are_a1111s_and_long_prompts_are_chunks(materials: Any) -> None:
    encoder = materials.text_encoder
    states = {
        syntax: prompt_editing.weighted_prompt(encoder, "a [red] cube", "comfy", syntax).tensors["context"]
        for syntax in ("comfy", "a1111")
    }
    assert states["comfy"].shape != states["a1111"].shape or not torch.equal(*states.values())
    long = prompt_editing.weighted_prompt(encoder, "a red cube and a blue sphere and a cone").tensors["context"]
    assert long.shape == (1, 16, 8)
    denoiser = Leaf(materials.latent_model().network, {"context": long})
    assert value(materials, denoiser).isfinite().all()
    bert = latent_conditions.load_bert_text_encoder(**materials.bert_files, context=materials.context)
    with pytest.raises(GlidewireError, match="prompt weights need CLIP's text encoder"):
        prompt_editing.weighted_prompt(bert, PROMPT)


def test_every_encoder_tells_its_words(materials: Any) -> None:
    bert = latent_conditions.load_bert_text_encoder(**materials.bert_files, context=materials.context)
    for encoder, first in ((materials.text_encoder, 1), (bert, 1), (materials.glide, 0)):
        tokens = prompt_texts.tokenization(encoder)
        assert tokens.word_positions(PROMPT, "a") == [first]
        assert tokens.word_spans(PROMPT)[-1].stop <= tokens.positions
