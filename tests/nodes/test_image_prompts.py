"""IP-Adapter as nodes: nothing at scale 0, layers, regions, negatives, several pictures, files, bad input."""

from __future__ import annotations

import copy
import itertools
from typing import Any, get_args

import pytest
import torch
from checked import problems
from glidewire.diffusion.evaluator import Evaluator, evaluate
from glidewire.diffusion.prediction import Step
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.graph import NodeCall, Wire
from glidewire.models.additions import attention_kinds, attention_places
from glidewire.models.ip_adapter import checkpoint as ip_adapter_checkpoint
from glidewire.models.ip_adapter.model import AdapterModel, Scaling
from glidewire.models.ip_adapter.presets import PRESETS, layer_scales, written_scales
from glidewire.models.ip_adapter.spec import IpAdapterSpec
from glidewire.nodes import image_prompts, samplers
from glidewire.nodes.guidance import classifier_free_guidance
from glidewire.nodes.image_prompts import apply_ip_adapter, encode_image_prompt
from node_materials import randomised


def value(materials: Any, denoiser: Any, x_t: torch.Tensor | None = None) -> torch.Tensor:
    x_t = materials.latents().tensor if x_t is None else x_t
    return evaluate(denoiser, x_t, Step.of(materials.schedule, 1)).value


def test_scale_0_is_the_denoiser_and_more_is_more_of_the_picture(materials: Any) -> None:
    denoiser, prompt = materials.latent_denoiser(), materials.image_prompt()
    assert apply_ip_adapter(denoiser, materials.ip_adapter, prompt, scale=0.0) is denoiser
    plain = value(materials, denoiser)
    moved = [
        (value(materials, apply_ip_adapter(denoiser, materials.ip_adapter, prompt, scale)) - plain).norm()
        for scale in (0.25, 0.5, 1.0)
    ]
    assert 0 < moved[0] < moved[1] < moved[2]
    faces = apply_ip_adapter(
        denoiser,
        materials.face_adapter,
        image_prompts.encode_face_prompt(materials.face_adapter, materials.face_file, context=materials.context).prompt,
        scale=0.0,
    )
    assert torch.equal(value(materials, faces), plain)


def test_a_picture_and_a_negative_one_share_a_forward_under_guidance(materials: Any) -> None:
    encoded = encode_image_prompt(materials.ip_adapter, materials.image_encoder, materials.picture(1))
    conditional = apply_ip_adapter(materials.latent_denoiser(), materials.ip_adapter, encoded.prompt)
    for other in (encoded.unconditional, materials.image_prompt(9)):
        unconditional = apply_ip_adapter(materials.latent_denoiser(""), materials.ip_adapter, other)
        evaluator = Evaluator()
        guided = classifier_free_guidance(conditional, unconditional, 3.0)
        evaluator(guided, materials.latents().tensor, Step.of(materials.schedule, 1))
        assert (evaluator.forwards, evaluator.rows) == (1, 2)
    start = samplers.noise_start(guided, 8, 8, batch=2)
    assert samplers.ddim_sampler(guided, materials.schedule, start, clip=False).tensor.isfinite().all()


def test_applied_after_guidance_both_branches_see_the_picture(materials: Any) -> None:
    pair = materials.latent_denoiser(), materials.latent_denoiser("")
    one = apply_ip_adapter(classifier_free_guidance(*pair, 3.0), materials.ip_adapter, materials.image_prompt())
    each = [apply_ip_adapter(leaf, materials.ip_adapter, materials.image_prompt()) for leaf in pair]
    assert torch.equal(value(materials, one), value(materials, classifier_free_guidance(*each, 3.0)))


def test_a_region_keeps_the_rest_and_two_regions_make_the_whole(materials: Any) -> None:
    adapter, prompt, denoiser = materials.ip_adapter, materials.image_prompt(), materials.latent_denoiser()
    right, everywhere = materials.mask(8, 8), torch.ones(1, 16, 16)
    whole = value(materials, apply_ip_adapter(denoiser, adapter, prompt))
    torch.testing.assert_close(value(materials, apply_ip_adapter(denoiser, adapter, prompt, region=everywhere)), whole)
    nowhere = apply_ip_adapter(denoiser, adapter, prompt, region=torch.zeros(1, 8, 8))
    torch.testing.assert_close(value(materials, nowhere), value(materials, denoiser))
    both = apply_ip_adapter(
        apply_ip_adapter(denoiser, adapter, prompt, region=right), adapter, prompt, region=1 - right
    )
    torch.testing.assert_close(value(materials, both), whole, atol=1e-4, rtol=1e-4)
    wrong = apply_ip_adapter(denoiser, adapter, prompt, region=torch.ones(1, 12, 8))
    with pytest.raises(GlidewireError, match=r"region does not fit.*expected a mask of 8 x 8.*got 12 x 8\. Resize"):
        value(materials, wrong)
    with pytest.raises(GlidewireError, match=r"region has values that are no shares; expected .* got -1 in 64 of 64"):
        apply_ip_adapter(denoiser, adapter, prompt, region=-torch.ones(1, 8, 8))


def test_a_scale_multiplies_what_people_know_it_to_multiply(materials: Any) -> None:
    denoiser, adapter, prompt = materials.latent_denoiser(), materials.ip_adapter, materials.image_prompt()

    def drawn(scaling: Any, scale: float) -> torch.Tensor:
        return value(materials, apply_ip_adapter(denoiser, adapter, prompt, scale, scaling=scaling))

    whole = drawn("V only", 1.0)
    torch.testing.assert_close(drawn("K+V", 1.0), whole)
    half = AdapterModel(copy.deepcopy(adapter.network), adapter.file)
    for layer in half.network.layers.values():
        for projection in (layer.to_k_ip, layer.to_v_ip):
            projection.weight.mul_(0.5)
    torch.testing.assert_close(drawn("K+V", 0.5), value(materials, apply_ip_adapter(denoiser, half, prompt, 1.0)))
    # One token is found whatever its key is, and is the mean of all.
    one = type(prompt)(prompt.tensor[:, :1], prompt.adapter)
    alone = {
        scaling: value(materials, apply_ip_adapter(denoiser, adapter, one, 0.5, scaling=scaling))
        for scaling in get_args(Scaling)
    }
    torch.testing.assert_close(alone["K+V"], alone["V only"])
    torch.testing.assert_close(alone["K+mean(V) w/ C penalty"], alone["K+V w/ C penalty"])
    # All layers here are 32 channels wide.
    smaller = value(materials, apply_ip_adapter(denoiser, adapter, one, 0.5 * 32 / 1280))
    torch.testing.assert_close(alone["K+V w/ C penalty"], smaller)
    several = [drawn(scaling, 0.5) for scaling in get_args(Scaling)]
    assert all(not torch.equal(first, second) for first, second in itertools.combinations(several, 2))
    for scaling in get_args(Scaling):
        assert apply_ip_adapter(denoiser, adapter, prompt, 0.0, scaling=scaling) is denoiser


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), -2.1, 1e9])
def test_a_scale_out_of_range_is_told(materials: Any, scale: float) -> None:
    with pytest.raises(GlidewireError, match=f"image prompt is out of range; expected -2 to 2; got {scale}"):
        apply_ip_adapter(materials.latent_denoiser(), materials.ip_adapter, materials.image_prompt(), scale)


def test_a_picture_is_seen_in_an_interval_of_the_steps(materials: Any) -> None:
    denoiser = materials.latent_denoiser()
    late = apply_ip_adapter(denoiser, materials.ip_adapter, materials.image_prompt(), start=0.5)
    always = apply_ip_adapter(denoiser, materials.ip_adapter, materials.image_prompt())
    for index, expected in ((0, denoiser), (3, always)):
        step = Step.of(materials.schedule, index)
        x_t = materials.latents().tensor
        assert torch.equal(evaluate(late, x_t, step).value, evaluate(expected, x_t, step).value)


def test_several_pictures_become_prompts_in_named_ways(materials: Any) -> None:
    adapter, encoder, pictures = materials.ip_adapter, materials.image_encoder, materials.picture(2)

    def encoded(combine: Any, image: torch.Tensor = pictures) -> Any:
        return encode_image_prompt(adapter, encoder, image, combine)

    each = encoded("each").prompt.tensor
    assert each.shape == (2, 2, 8)
    joined = encoded("concatenate")
    assert torch.equal(joined.prompt.tensor, each.flatten(0, 1)[None])
    assert joined.unconditional.tensor.shape == joined.prompt.tensor.shape
    for combine in ("average", "average directions", "subtract", "add"):
        assert encoded(combine).prompt.tensor.shape == (1, 2, 8)
        twice = encoded(combine, pictures[:1].expand(2, -1, -1, -1)).prompt.tensor
        if combine.startswith("average"):
            torch.testing.assert_close(twice, each[:1])
    # Embeddings are combined, not their tokens.
    vectors = encoder.embedding(pictures.movedim(-1, 1) * 2 - 1)
    torch.testing.assert_close(encoded("add").prompt.tensor, adapter.network(image=vectors.sum(0, keepdim=True)))
    less = adapter.network(image=vectors[:1] - vectors[1:])
    torch.testing.assert_close(encoded("subtract").prompt.tensor, less)
    with pytest.raises(GlidewireError, match="no such way to combine pictures; expected each or concatenate"):
        encoded("multiply")


def test_prompts_are_joined_saved_and_loaded(materials: Any) -> None:
    context, first, second = materials.context, materials.image_prompt(), materials.image_prompt(6)
    side_by_side = image_prompts.join_image_prompts(first, second)
    assert side_by_side.tensor.shape == (1, 4, 8)
    mixed = image_prompts.join_image_prompts(first, second, how="average", weight=0.25)
    torch.testing.assert_close(mixed.tensor, 0.25 * first.tensor + 0.75 * second.tensor)
    image_prompts.save_image_prompt(mixed, "kept/mixed", context=context)
    (name,) = context.shown["text"]
    assert name == "kept/mixed_00001.safetensors"
    (materials.folder / "again.safetensors").write_bytes((context.folders.output / name).read_bytes())
    loaded = image_prompts.load_image_prompt("again.safetensors", context=context)
    assert torch.equal(loaded.tensor, mixed.tensor) and loaded.adapter == first.adapter
    with pytest.raises(GlidewireError, match=r"face.safetensors holds no image prompt; expected a file of save image"):
        image_prompts.load_image_prompt(materials.face_file, context=context)
    other = type(first)(first.tensor, "another.bin")
    with pytest.raises(GlidewireError, match=r"different adapters; expected tiny_ip_adapter.*; got another.bin"):
        image_prompts.join_image_prompts(first, other)
    with pytest.raises(GlidewireError, match=r"do not fit together; expected one batch, and equally many tokens"):
        image_prompts.join_image_prompts(first, side_by_side, how="average")
    with pytest.raises(GlidewireError, match=r"encoded for another adapter; expected tiny_ip_adapter.*got another.bin"):
        apply_ip_adapter(materials.latent_denoiser(), materials.ip_adapter, other)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_weigh_every_layer_of_any_network(materials: Any, preset: str) -> None:
    unet = materials.latent_model().network.unet
    kinds = attention_kinds(unet)
    places = {number: place for number, place in attention_places(unet).items() if kinds[number] == "cross"}
    scales = layer_scales(places, preset, 2.0)
    assert scales.keys() == places.keys() and max(scales.values()) > 0
    assert all(0 <= scale <= 2 for scale in scales.values())


# As Stable Diffusion 1's: published numbers run down, up, middle; it evaluates down, middle, up.
_LEVELS = [
    *(f"down {level}" for level in (0, 0, 1, 1, 2, 2)),
    *(f"up {level}" for level in (1, 1, 1, 2, 2, 2, 3, 3, 3)),
    "middle",
]
_PLACES = {2 * index + 1: level for index, level in enumerate(_LEVELS)}
_EVALUATED = [1, 3, 5, 7, 9, 11, 31, 13, 15, 17, 19, 21, 23, 25, 27, 29]


@pytest.mark.parametrize(
    ("preset", "weights"),
    [
        ("linear", dict.fromkeys(range(16), 1.0)),
        ("style transfer", dict.fromkeys((*range(4), *range(9, 16)), 1.0)),
        ("composition", {4: 0.25, 5: 1.0}),
        ("strong style transfer", dict.fromkeys((*range(4), *range(6, 16)), 1.0)),
        ("style and composition", dict.fromkeys((*range(4), 5, *range(9, 16)), 1.0) | {4: 0.25}),
        ("weak input", dict.fromkeys(range(6), 0.2) | dict.fromkeys(range(6, 16), 1.0)),
        ("weak middle", dict.fromkeys(range(16), 1.0) | {6: 0.2}),
        ("weak output", dict.fromkeys(range(7), 1.0) | dict.fromkeys(range(7, 16), 0.2)),
        ("strong middle", dict.fromkeys(range(16), 0.2) | {6: 1.0}),
        ("ease in", {place: 1 - 0.95 * place / 16 for place in range(16)}),
        ("ease out", {place: 0.05 + 0.95 * place / 16 for place in range(16)}),
        ("ease in-out", {place: 1 - 0.95 * abs(place - 8) / 8 for place in range(16)}),
        ("reverse in-out", {place: 0.05 + 0.95 * abs(place - 8) / 8 for place in range(16)}),
        ("InstantStyle", dict.fromkeys((7, 8, 9), 1.0)),
        ("InstantStyle layout", dict.fromkeys((4, 5), 1.0)),
    ],
)
def test_presets_are_what_people_know_them_as(preset: str, weights: dict[int, float]) -> None:
    found = layer_scales(_PLACES, preset, 0.5)
    assert list(found) == sorted(_EVALUATED)
    wanted = {number: 0.5 * weights.get(place, 0.0) for place, number in enumerate(_EVALUATED)}
    assert found == pytest.approx(wanted)


def test_a_preset_that_nobody_knows() -> None:
    with pytest.raises(GlidewireError, match="no such weights of layers; expected linear or ease in"):
        layer_scales(_PLACES, "loud", 1.0)


def test_weights_are_written_by_layer(materials: Any) -> None:
    assert written_scales("1: 0.5, 15=1;3:-.25\n") == {1: 0.5, 15: 1.0, 3: -0.25}
    with pytest.raises(GlidewireError, match=r"cannot be read; expected such as \"1: 0.5, 15: 1\"; got ' 3'"):
        written_scales("1: 2, 3")
    with pytest.raises(GlidewireError, match=r"the weight of layer 15 is out of range; expected -2 to 2; got 200\.0"):
        written_scales("1: -2, 15: 200")
    denoiser, prompt = materials.latent_denoiser(), materials.image_prompt()
    by_hand = apply_ip_adapter(denoiser, materials.ip_adapter, prompt, by_layer="1: 1, 3: 1, 5: 1, 7: 1")
    assert torch.equal(
        value(materials, by_hand), value(materials, apply_ip_adapter(denoiser, materials.ip_adapter, prompt))
    )
    with pytest.raises(GlidewireError, match="the adapter has no layer 2; expected odd numbers up to 7"):
        apply_ip_adapter(denoiser, materials.ip_adapter, prompt, by_layer="2: 1")


def test_an_encoder_of_another_width_is_refused_with_both_files_and_widths(materials: Any) -> None:
    adapter = AdapterModel(
        randomised(
            ip_adapter_checkpoint.build(IpAdapterSpec(tokens=2, image_width=1024, context_width=8, channels=(32,) * 4))
        ),
        "ip-adapter_sd15.bin",
    )
    with pytest.raises(GlidewireError) as caught:
        encode_image_prompt(adapter, materials.image_encoder, materials.picture(1))
    assert str(caught.value) == (
        "adapter ip-adapter_sd15.bin was trained with another image encoder than clip.safetensors; "
        "expected embeddings of width 1024, for ip-adapter_sd15.bin; got embeddings of width 8 from clip.safetensors. "
        "Load CLIP ViT-H/14, as published with ip-adapter_sd15."
    )
    with pytest.raises(GlidewireError, match=r"picture embedding does not fit.*takes no such embedding"):
        encode_image_prompt(materials.face_adapter, materials.image_encoder, materials.picture(1))
    with pytest.raises(GlidewireError, match=r"needs a latent denoiser|needs a denoiser with a context"):
        apply_ip_adapter(materials.denoiser(), materials.ip_adapter, materials.image_prompt())


def test_an_adapter_of_another_denoiser_is_caught_on_the_wire(materials: Any) -> None:
    def told(denoiser: str) -> list[str]:
        calls = (
            NodeCall("m", "GlidewireLoadLatentDenoiser", {"checkpoint": denoiser}, "Load"),
            NodeCall("d", "GlidewireLatentDenoiser", {"model": Wire("m", 0)}),
            NodeCall("a", "GlidewireLoadIpAdapter", {"checkpoint": materials.ip_adapter_file}, "Adapter"),
            NodeCall("i", "GlidewireLoadImagePrompt", {"file": materials.image_prompt_file}),
            NodeCall(
                "p", "GlidewireApplyIpAdapter",
                {"denoiser": Wire("d", 0), "adapter": Wire("a", 0), "prompt": Wire("i", 0)}, "Apply",
            ),
        )  # fmt: skip
        return [str(problem) for problem in problems(materials, *calls) if problem.node == "p"]

    assert told(materials.latent_file()) == []
    other = materials.latent_file(context_width=16)
    (problem,) = told(other)
    assert "node p (Apply), input adapter: output ip_adapter of node a (Adapter) does not fit" in problem
    assert f"node m (Load) states context_width 16 ({other})" in problem
    assert f"node a (Adapter) states context_width 8 ({materials.ip_adapter_file})" in problem


def test_a_prompt_of_another_adapter_is_caught_on_the_wire(materials: Any) -> None:
    again = materials.saved(
        "again.safetensors",
        ip_adapter_checkpoint,
        IpAdapterSpec(tokens=2, image_width=8, context_width=8, channels=(32,) * 4),
    )

    def told(adapter: str, by_layer: str = "") -> list[str]:
        calls = (
            NodeCall("m", "GlidewireLoadLatentDenoiser", {"checkpoint": materials.latent_file()}),
            NodeCall("d", "GlidewireLatentDenoiser", {"model": Wire("m", 0)}),
            NodeCall("a", "GlidewireLoadIpAdapter", {"checkpoint": adapter}),
            NodeCall("i", "GlidewireLoadImagePrompt", {"file": materials.image_prompt_file}),
            NodeCall(
                "p", "GlidewireApplyIpAdapter",
                {"denoiser": Wire("d", 0), "adapter": Wire("a", 0), "prompt": Wire("i", 0), "by_layer": by_layer},
            ),
        )  # fmt: skip
        return [str(problem) for problem in problems(materials, *calls) if problem.node == "p"]

    assert told(materials.ip_adapter_file) == []
    (problem,) = told(again)
    assert "again.safetensors" in problem and materials.ip_adapter_file in problem
    (problem,) = told(materials.ip_adapter_file, "1: 200")
    assert "by_layer" in problem and "the weight of layer 1 is out of range" in problem


def test_an_encoder_of_another_width_is_caught_on_the_wire(materials: Any) -> None:
    spec = IpAdapterSpec(tokens=2, image_width=1024, context_width=8, channels=(32,) * 4)
    wide = materials.saved("wide.safetensors", ip_adapter_checkpoint, spec)

    def told(adapter: str) -> Any:
        calls = (
            NodeCall("a", "GlidewireLoadIpAdapter", {"checkpoint": adapter}),
            NodeCall("e", "GlidewireLoadImageEncoder", {"checkpoint": materials.clip_file, "activation": "gelu"}),
            NodeCall("i", "GlidewireLoadImage", {"file": materials.picture_file}),
            NodeCall(
                "p", "GlidewireEncodeImagePrompt",
                {"adapter": Wire("a", 0), "encoder": Wire("e", 0), "image": Wire("i", 0)},
            ),
            NodeCall("s", "GlidewireSaveImagePrompt", {"prompt": Wire("p", 0)}),
        )  # fmt: skip
        return problems(materials, *calls)

    assert told(materials.ip_adapter_file) == ()
    (problem,) = told(wide)
    assert problem.node == "p" and "states embedding 1024 (wide.safetensors)" in str(problem)
    assert f"states embedding 8 ({materials.clip_file})" in str(problem)
