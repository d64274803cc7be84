"""Asyrp as nodes: on every kind of U-Net, late edits that resume, strengths, tables, mean directions, bad input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from checked import problems
from glidewire.diffusion import samplers, solvers
from glidewire.diffusion.evaluator import Evaluator, evaluate
from glidewire.diffusion.prediction import Step
from glidewire.diffusion.trajectory import MemoryTrajectory
from glidewire.errors import GlidewireError
from glidewire.graph_runtime import events, execute
from glidewire.graph_runtime.cache import Cache
from glidewire.graph_runtime.context import Policy
from glidewire.graph_runtime.graph import Graph, NodeCall, Wire
from glidewire.graph_runtime.registry import collect
from glidewire.models import halves
from glidewire.models.asyrp import checkpoint as asyrp_checkpoint
from glidewire.models.asyrp.edit import load_directions
from glidewire.models.asyrp.spec import DeltaBlockSpec, DeltaTensorSpec
from glidewire.nodes import bottleneck, control, guidance_attention, image_prompts
from glidewire.nodes.bottleneck import edit_h_space
from glidewire.nodes.guidance import cfg_plus_plus_guidance, classifier_free_guidance


def edited(materials: Any, denoiser: Any, **changes: Any) -> Any:
    settings = {"direction": materials.direction(), "schedule": materials.schedule, "strength": 5.0, "t_edit": 0}
    return edit_h_space(denoiser, **{**settings, **changes})


def run(materials: Any, denoiser: Any, **options: Any) -> torch.Tensor:
    return samplers.sample(denoiser, materials.schedule, materials.pixels(), solvers.ddim(0.0, clip=False), **options)


def test_an_edit_takes_one_forward_and_moves_the_sample(materials: Any) -> None:
    plain, evaluator = materials.denoiser(), Evaluator()
    moved = run(materials, edited(materials, plain), evaluator=evaluator)
    assert evaluator.forwards == len(materials.schedule)
    assert not torch.allclose(moved, run(materials, plain), atol=1e-4)
    assert edited(materials, plain, strength=0.0) is plain
    opposite = run(materials, edited(materials, plain, strength=-5.0))
    assert not torch.allclose(opposite, moved, atol=1e-4)


def test_under_guidance_all_branches_are_edited(materials: Any) -> None:
    guided = classifier_free_guidance(materials.denoiser(), materials.denoiser(""), 3.0)
    evaluator = Evaluator()
    evaluator(edited(materials, guided), materials.pixels(), Step.of(materials.schedule, 0))
    assert (evaluator.forwards, evaluator.rows) == (1, 4)


def test_a_late_edit_resumes_from_the_run_without_it(materials: Any) -> None:
    plain, store, seen = materials.denoiser(), MemoryTrajectory(), []
    run(materials, plain, trajectory=store, store_every=1)
    late = edited(materials, plain, start=0.5)
    resumed = run(materials, late, trajectory=store, store_every=1, on_step=lambda record: seen.append(record.index))
    assert seen == [2, 3]
    assert torch.equal(resumed, run(materials, late))
    # And one that ends early is the plain denoiser from there on.
    step = Step.of(materials.schedule, 3)
    early = edited(materials, plain, t_edit=materials.schedule.timesteps[-2])
    found, expected = (evaluate(each, materials.pixels(), step) for each in (early, plain))
    assert torch.equal(found.value, expected.value) and found.renoise_eps is None


def test_a_run_tells_which_steps_of_a_late_edit_were_stored(materials: Any) -> None:
    def calls(sampled: Wire, **edit: float) -> list[NodeCall]:
        wires = {"denoiser": Wire("d", 0), "direction": Wire("h", 0), "schedule": Wire("s", 0)}
        return [
            NodeCall("m", "GlidewireLoadGlide", {"checkpoint": materials.checkpoint}),
            NodeCall("t", "GlidewireGlideTextEncoder", {"model": Wire("m", 0), "prompt": "a red cube"}),
            NodeCall("d", "GlidewireGlideDenoiser", {"model": Wire("m", 0), "text": Wire("t", 0)}),
            NodeCall("s", "GlidewireRespace", {"schedule": Wire("m", 1), "spacing": "20"}),
            NodeCall("n", "GlidewireNoiseStart", {"denoiser": Wire("d", 0), "width": 16, "height": 16}),
            NodeCall("h", "GlidewireLoadHDirection", {"checkpoint": materials.direction_file()}),
            NodeCall("e", "GlidewireEditHSpace", {**wires, "t_edit": 0, **edit}),
            NodeCall(
                "x", "GlidewireDdimSampler", {"denoiser": sampled, "schedule": Wire("s", 0), "start": Wire("n", 0)}
            ),
        ]

    cache, told = Cache(), []

    def run_of(sampled: Wire, cache: Cache, **edit: float) -> torch.Tensor:
        told.clear()
        result = execute.run(
            Graph(calls(sampled, **edit)),
            collect("glidewire.nodes"),
            cache,
            folders=materials.context.folders,
            policy=Policy(),
            targets=["x"],
            on_event=lambda event: told.append(event) if isinstance(event, events.Progress) else None,
        )
        assert result.ok
        return result.outputs["x"][0].tensor

    plain, edited = Wire("d", 0), Wire("e", 0)
    run_of(plain, cache)
    assert [event.done for event in told] == list(range(1, 21))
    resumed = run_of(edited, cache, start=0.5)
    assert [(event.done, event.text) for event in told] == [
        (done, "resumed after step 10 of 20") for done in range(11, 21)
    ]
    # A stronger edit of the same steps finds them again; one that begins earlier walks on from where it begins.
    run_of(edited, cache, start=0.5, strength=2.0)
    assert [event.done for event in told] == list(range(11, 21))
    run_of(edited, cache, start=0.7)
    assert [event.done for event in told] == list(range(11, 21)), "stored are every tenth, and where guidance changes"
    assert torch.equal(resumed, run_of(edited, Cache(), start=0.5))
    assert not torch.equal(resumed, run_of(plain, Cache()))


def test_only_the_predicted_sample_is_edited(materials: Any) -> None:
    plain, step = materials.denoiser(), Step.of(materials.schedule, 1)
    x_t = materials.pixels()
    asymmetric, symmetric = (evaluate(edited(materials, plain, asymmetric=yes), x_t, step) for yes in (True, False))
    torch.testing.assert_close(asymmetric.value, symmetric.value)
    torch.testing.assert_close(asymmetric.renoise_eps, evaluate(plain, x_t, step).value, atol=1e-5, rtol=1e-5)
    assert symmetric.renoise_eps is None


def test_edits_of_edits_add_up_and_step_along_the_plain_noise(materials: Any) -> None:
    plain, schedule = materials.denoiser(), materials.schedule
    early = edited(materials, plain, trained_steps=0, t_edit=schedule.timesteps[2])
    later = edited(materials, early, trained_steps=0, t_edit=schedule.timesteps[1], strength=2.0)
    found = [
        [evaluate(each, materials.pixels(), Step.of(schedule, index)) for each in (plain, early, later)]
        for index in (1, 2, 3)
    ]
    # Where both edit, both move the prediction, and neither what is stepped along.
    assert not torch.allclose(found[0][2].value, found[0][1].value, atol=1e-3)
    for one in found[0][1:]:
        torch.testing.assert_close(one.renoise_eps, found[0][0].eps(materials.pixels(), Step.of(schedule, 1)))
    # Then the second alone, then none.
    assert torch.equal(found[1][1].value, found[1][0].value)
    assert not torch.allclose(found[1][2].value, found[1][1].value, atol=1e-3)
    assert torch.equal(found[2][2].value, found[2][0].value) and found[2][2].renoise_eps is None
    back = edited(materials, edited(materials, plain), strength=-5.0)
    torch.testing.assert_close(run(materials, back), run(materials, plain), atol=1e-3, rtol=1e-3)


def test_an_edit_steps_along_what_its_guidance_steps_along(materials: Any) -> None:
    guided = cfg_plus_plus_guidance(materials.denoiser(), materials.denoiser(""), 0.6)
    step = Step.of(materials.schedule, 1)
    found, unconditional = (
        evaluate(each, materials.pixels(), step) for each in (edited(materials, guided), materials.denoiser(""))
    )
    torch.testing.assert_close(found.renoise_eps, unconditional.eps(materials.pixels(), step), atol=1e-5, rtol=1e-5)


def test_adapters_and_attention_come_before_an_edit_or_after_it(materials: Any) -> None:
    spec = DeltaBlockSpec(channels=32, embedding_width=128)
    direction = load_directions(materials.folder / materials.saved("latent_f_t.safetensors", asyrp_checkpoint, spec))
    step, x_t = Step.of(materials.schedule, 1), materials.latents().tensor

    def edit(denoiser: Any) -> Any:
        return edited(materials, denoiser, direction=direction)

    def prompted(denoiser: Any) -> Any:
        return image_prompts.apply_ip_adapter(denoiser, materials.ip_adapter, materials.image_prompt())

    def controlled(denoiser: Any) -> Any:
        return control.apply_control_net(denoiser, materials.control(), materials.picture(1, 64, 64))

    def perturbed(denoiser: Any) -> Any:
        return guidance_attention.perturbed_attention_guidance(denoiser, 2.0, "all")

    plain = materials.latent_denoiser()
    for wrap in (prompted, controlled, perturbed):
        before, after, without = (
            evaluate(each, x_t, step) for each in (edit(wrap(plain)), wrap(edit(plain)), wrap(plain))
        )
        torch.testing.assert_close(after.value, before.value, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(after.value, without.value, atol=1e-3)


def test_strengths_follow_steps_and_numbers(materials: Any) -> None:
    one = materials.direction()
    both = bottleneck.add_h_directions(one, one, first_scale=1.0, second_scale=-0.5)
    assert both.scales == (1.0, -0.5) and bottleneck.add_h_directions(both, None, one).scales == (1.0, -0.5, 1.0)
    leaf = edited(materials, materials.denoiser(), direction=both, strength=2.0, trained_steps=40)
    c = leaf.inputs["edited"].conditioning["h.strengths"][0]
    expected = torch.tensor([1.0, 2.0 * 10 / 2**0.5, -1.0 * 10 / 2**0.5])  # 40 trained steps, 4 of this run
    torch.testing.assert_close(c, expected)
    as_they_are = edited(materials, materials.denoiser(), direction=one, strength=2.0, trained_steps=0)
    assert as_they_are.inputs["edited"].conditioning["h.strengths"].tolist() == [[1.0, 2.0]]


def test_latent_and_pixel_models_are_edited_too(materials: Any) -> None:
    def direction(width: int) -> Any:
        spec = DeltaBlockSpec(channels=32, embedding_width=width)
        name = materials.saved(f"direction_{width}.safetensors", asyrp_checkpoint, spec)
        return load_directions(materials.folder / name)

    latent = materials.latent_denoiser()
    step = Step.of(materials.schedule, 1)
    x_t = materials.latents().tensor
    moved = evaluate(edited(materials, latent, direction=direction(128)), x_t, step).value
    assert not torch.allclose(moved, evaluate(latent, x_t, step).value, atol=1e-4)
    pixel, schedule = bottleneck.load_pixel_denoiser(materials.pixel_file, context=materials.context)
    assert len(schedule) == 1000
    moved = evaluate(edited(materials, pixel, direction=direction(128)), materials.pixels(), step).value
    assert not torch.allclose(moved, evaluate(pixel, materials.pixels(), step).value, atol=1e-4)


def test_a_mean_direction_stands_for_f_t(materials: Any) -> None:
    walk = {"denoiser": materials.denoiser(), "schedule": materials.schedule, "start": materials.start(1)}
    settings = {"direction": materials.direction(), "strength": 2.0, "t_edit": 0, "clip": False}
    mean = bottleneck.mean_h_direction(**walk, **settings, context=materials.context)
    assert mean.parts[0][0].spec.timesteps == tuple(sorted(materials.schedule.timesteps))
    # Of one picture, the mean is what f_t added to it: the same edit again.
    options = {"strength": 2.0, "trained_steps": 0, "t_edit": 0}
    again, expected = (
        run(materials, edited(materials, materials.denoiser(), **{**options, "direction": each}))
        for each in (mean, materials.direction())
    )
    torch.testing.assert_close(again, expected, atol=1e-5, rtol=1e-5)
    everywhere = bottleneck.mean_h_direction(**walk, **settings, of_all_timesteps=True, context=materials.context)
    assert everywhere.parts[0][0].spec.timesteps == (0,)
    assert run(materials, edited(materials, materials.denoiser(), direction=everywhere)).isfinite().all()
    with pytest.raises(GlidewireError, match="a mean direction needs an edit; expected a strength other than 0"):
        bottleneck.mean_h_direction(**walk, **{**settings, "strength": 0.0}, context=materials.context)
    with pytest.raises(GlidewireError, match="no step of the run was edited"):
        bottleneck.mean_h_direction(**walk, **{**settings, "t_edit": 900}, context=materials.context)


def test_a_mean_direction_is_saved_and_loaded(materials: Any) -> None:
    context = materials.context
    walk = {"denoiser": materials.denoiser(), "schedule": materials.schedule, "start": materials.start(1)}
    for whole in (False, True):
        mean = bottleneck.mean_h_direction(
            **walk, direction=materials.direction(), t_edit=0, of_all_timesteps=whole, context=context
        )
        halved = bottleneck.add_h_directions(mean, first_scale=0.5)
        bottleneck.save_h_direction(halved, f"kept/mean-{whole}", context=context)
        bottleneck.save_h_direction(halved, f"kept/mean-{whole}", context=context)
        first, second = sorted((context.folders.output / "kept").glob(f"mean-{whole}_*.safetensors"))
        assert second.name == f"mean-{whole}_00002.safetensors" and first.read_bytes() == second.read_bytes()
        again = load_directions(first)
        assert again.parts[0][0].spec == mean.parts[0][0].spec
        expected, found = (
            run(materials, edited(materials, materials.denoiser(), direction=each)) for each in (halved, again)
        )
        assert torch.equal(found, expected) and not torch.equal(found, run(materials, materials.denoiser()))


def test_what_is_no_mean_direction_cannot_be_saved(materials: Any) -> None:
    both = bottleneck.add_h_directions(materials.mean_direction(), materials.mean_direction())
    for direction, named in ((materials.direction(), "tiny_direction_32_1"), (both, "mean and mean")):
        problem = (
            f"only one direction of tensors by timestep can be saved; expected a mean direction; got {named}.*mean h"
        )
        with pytest.raises(GlidewireError, match=problem):
            bottleneck.save_h_direction(direction, "never", context=materials.context)
    assert not list(materials.context.folders.output.glob("never*"))


def test_timesteps_follow_the_published_rules(materials: Any) -> None:
    tables = {"predicted": "300 0.2\n500, 0.28\n700: 0.5", "noised": "100 0.9\n\n200 1.3"}
    assert bottleneck.edit_timesteps(**tables, cosine=0.8) == (500, 200)
    assert bottleneck.edit_timesteps(**tables, cosine=1.0) == (700, 200)
    alike = bottleneck.edit_timesteps(**tables, source=materials.embedding(), target=materials.embedding())
    assert alike == (700, 200)
    for changes, message in (
        ({"predicted": "300 0.2"}, "no distance reaches the threshold; expected 0.297 or more"),
        ({"noised": "100"}, "a table of distances cannot be read; expected lines such as \"500 0.31\"; got '100'"),
        ({"source": materials.embedding()}, "the similarity of texts needs both; expected source and target"),
    ):
        with pytest.raises(GlidewireError, match=message):
            bottleneck.edit_timesteps(**{**tables, **changes})


def told(materials: Any, direction: str, *calls: NodeCall) -> list[str]:
    """What check says of an edit of what node d gives, by a direction of that file."""
    loaded = NodeCall("h", "GlidewireLoadHDirection", {"checkpoint": direction}, "Direction")
    edit = NodeCall("e", "GlidewireEditHSpace", {"denoiser": Wire("d", 0), "direction": Wire("h", 0)}, "Edit")
    found = problems(materials, *calls, loaded, edit)
    assert not [problem for problem in found if problem.kind == "bad_file"]
    return [str(problem) for problem in found if problem.kind == "wrong_dims"]


def test_a_direction_of_another_u_net_is_refused_before_any_weight_is_read(materials: Any) -> None:
    glide = (
        NodeCall("m", "GlidewireLoadGlide", {"checkpoint": materials.checkpoint}, "Load GLIDE"),
        NodeCall("t", "GlidewireGlideTextEncoder", {"model": Wire("m", 0)}),
        NodeCall("l", "GlidewireGlideDenoiser", {"model": Wire("m", 0), "text": Wire("t", 0)}),
        # Nodes on the way do not know of bottlenecks, and hand on what they are told.
        NodeCall("d", "GlidewireClassifierFreeGuidance", {"conditional": Wire("l", 0), "unconditional": Wire("l", 0)}),
    )
    assert told(materials, materials.direction_file(), *glide) == []
    wide = materials.direction_file(channels=64)
    assert told(materials, wide, *glide) == [
        "node e (Edit), input direction: output h_direction of node h (Direction) does not fit: "
        "@bottleneck is 64 there and 32 here; "
        'expected "@bottleneck=32 @time_width=64", where node m (Load GLIDE) states bottleneck 32 (tiny.safetensors); '
        f'got "@bottleneck=64 @time_width=64", where node h (Direction) states bottleneck 64 ({wide}). '
        "No node turns one into the other: wire parts that belong together."
    ]


@pytest.mark.parametrize("family", ["latent", "unclip", "imagen", "pixel"])
def test_every_u_net_tells_its_bottleneck_from_its_header(materials: Any, family: str) -> None:
    def loaded(kind: str, checkpoint: str, **more: str) -> NodeCall:
        return NodeCall("m", f"GlidewireLoad{kind}", {"checkpoint": checkpoint, **more})

    def from_model(kind: str, **more: Wire) -> NodeCall:
        return NodeCall("d", f"Glidewire{kind}Denoiser", {"model": Wire("m", 0), **more})

    network, calls, clash = {
        "latent": (
            lambda: materials.latent_model().network,
            lambda: (loaded("LatentDenoiser", materials.latent_file()), from_model("Latent")),
            "@time_width is 64 there and 128 here",
        ),
        "unclip": (
            lambda: materials.unclip_decoder.network,
            lambda: (
                loaded("UnclipDecoder", materials.unclip_file(materials.unclip_decoder.network), clip="tiny CLIP"),
                from_model("UnclipDecoder"),
            ),
            "@bottleneck is 32 there and 64 here; @time_width is 64 there and 128 here",
        ),
        "imagen": (
            lambda: materials.imagen().network,
            lambda: (loaded("ImagenStage", materials.imagen_file()), from_model("Imagen", text=Wire("x", 0))),
            "@bottleneck is 32 there and 64 here; @time_width is 64 there and 32 here",
        ),
        "pixel": (
            lambda: bottleneck.load_pixel_denoiser(materials.pixel_file, context=materials.context).denoiser.network,
            lambda: (replace(loaded("PixelDenoiser", materials.pixel_file), id="d"),),
            "@time_width is 64 there and 128 here",
        ),
    }[family]
    (problem,) = told(materials, materials.direction_file(), *calls())
    assert clash in problem
    channels, width = halves.bottleneck(network().unet)
    spec = DeltaBlockSpec(channels=channels, embedding_width=width)
    fitting = materials.saved(f"fits_{family}.safetensors", asyrp_checkpoint, spec)
    assert told(materials, fitting, *calls()) == []


def test_tensors_by_timestep_fit_whatever_time_embedding(materials: Any) -> None:
    tensors = materials.saved("tensors.safetensors", asyrp_checkpoint, DeltaTensorSpec((0,), (32, 8, 8)))
    load = NodeCall("d", "GlidewireLoadPixelDenoiser", {"checkpoint": materials.pixel_file})
    assert told(materials, tensors, load) == []
    narrow = materials.saved("narrow.safetensors", asyrp_checkpoint, DeltaTensorSpec((0,), (16, 8, 8)))
    (problem,) = told(materials, narrow, load)
    assert "@bottleneck is 16 there and 32 here" in problem and "narrow.safetensors" in problem


def test_directions_that_do_not_fit_are_refused_by_name(materials: Any) -> None:
    denoiser = materials.denoiser()
    with pytest.raises(GlidewireError) as caught:
        edited(materials, denoiser, direction=materials.direction(channels=64))
    assert str(caught.value) == (
        "direction 1 is of another bottleneck than the denoiser's (tiny_direction_64_1.safetensors); "
        "expected 32 channels; got 64. Take directions that were trained for this denoiser."
    )
    with pytest.raises(GlidewireError, match=r"the edit ends before it starts; expected a start of at most 0\.5"):
        edited(materials, denoiser, t_edit=materials.schedule.timesteps[2], start=0.9)
    with pytest.raises(GlidewireError, match="no bottleneck that can be edited; expected a U-Net"):
        edited(materials, materials.prior_denoiser())
    name = materials.direction_file(directions=2)
    assert load_directions(materials.folder / name, 1).scales == (0.0, 1.0)
    with pytest.raises(GlidewireError, match="has no direction 2; expected 0 to 1; got 2"):
        load_directions(materials.folder / name, 2)
    with pytest.raises(GlidewireError, match=r"computes its direction anew.*Take the mean of its directions"):
        bottleneck.load_h_direction(name, of_all_timesteps=True, context=materials.context)
