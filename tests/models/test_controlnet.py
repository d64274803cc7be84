"""ControlNet and Prompt Diffusion against the golden data, in both layouts, and as views of a frozen denoiser."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import StrictLoadError, identify, load, save_published
from glidewire.models.controlnet.checkpoint import FAMILY, diffusers_key_map, key_map
from glidewire.models.controlnet.network import ControlNet
from glidewire.models.controlnet.spec import PUBLISHED, ControlNetSpec
from glidewire.models.controlnet.view import Controlled, guess_strengths
from glidewire.models.header import Header
from glidewire.models.key_map import published_shapes
from glidewire.models.ldm.network import LatentDenoiser
from glidewire.models.ldm.spec import UnetSpec
from safetensors.torch import save_file
from torch import Tensor

PLAIN, PROMPT_DIFFUSION = "controlnet_plain", "prompt_diffusion"
CONTROL, QUERY = "control_model.", "control_model.input_cond_block."

# Parameters of the released networks.
PARAMETERS = {"controlnet-sd1": 361_279_120, "prompt-diffusion": 362_366_032}

TINY = ControlNetSpec(
    model_channels=8, channel_mult=(1, 2), num_res_blocks=1, attention_levels=(0,), context_width=6, num_heads=2,
    norm_groups=4,
)  # fmt: skip


def stated(case: Any) -> dict[str, int]:
    return {"norm_groups": case.config["norm_groups"], "num_heads": case.config["control_stage_config"]["num_heads"]}


def load_parts(
    case: Any, folder: Path, weights: Mapping[str, Tensor] | None = None, parts: tuple[str, ...] = ("control",)
) -> list[Any]:
    save_file(dict(weights or case.weights), folder / "m.safetensors")
    return [load(folder / "m.safetensors", component=part, stated=stated(case)) for part in parts]


def hints(case: Any, control: ControlNet) -> dict[str, Tensor]:
    return {name: case.inputs[name] for name, _ in control.spec.hints}


def residuals(case: Any, control: ControlNet) -> tuple[Tensor, ...]:
    inputs = case.inputs
    features = control.encode(hints(case, control))
    return control(inputs["x"], inputs["timesteps"], inputs["context"], features)


def randomised(module: torch.nn.Module, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.parameters():
            value.add_(0.05 * torch.randn(value.shape, generator=generator))
    return module.eval().requires_grad_(False)


def tiny_denoiser(**changes: Any) -> LatentDenoiser:
    names = ("model_channels", "channel_mult", "num_res_blocks", "attention_levels", "context_width", "num_heads")
    spec = UnetSpec(**{name: getattr(TINY, name) for name in names}, norm_groups=4)
    return randomised(LatentDenoiser(replace(spec, **changes)))


@pytest.mark.parametrize("name", [PLAIN, PROMPT_DIFFUSION])
@torch.no_grad()
def test_residuals_parity(name: str, parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity(name)
    (control,) = load_parts(case, tmp_path)
    found = residuals(case, control)
    assert len(found) == control.spec.residual_count == sum("residual_" in output for output in case.outputs)
    for index, residual in enumerate(found):
        case.assert_close(f"residual_{index:02}", residual)


@torch.no_grad()
def test_prompt_diffusion_parity(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity(PROMPT_DIFFUSION)
    denoiser, control = load_parts(case, tmp_path, parts=("denoiser", "control"))
    inputs, count = case.inputs, control.spec.residual_count
    for output, name in (("pair_hint", "example_pair"), ("query_hint", "query")):
        case.assert_close(output, control.hint_encoders[name](inputs[name]))
    conditioning = {"context": inputs["context"], **{f"control.{k}": v for k, v in hints(case, control).items()}}

    def eps(strength: Any = 1.0, **changes: Tensor) -> Tensor:
        view = Controlled(denoiser, control, strength=strength)
        return view(inputs["x"], inputs["timesteps"], view.prepare({**conditioning, **changes}))

    case.assert_close("eps", eps())
    case.assert_close("eps_no_control", eps(0))
    case.assert_close("eps_guess_scales", eps(guess_strengths(count)))
    case.assert_close("eps_only_mid_control", eps([0.0] * (count - 1) + [1.0]))
    case.assert_close("eps_pair_zero", eps(**{"control.example_pair": torch.zeros_like(inputs["example_pair"])}))
    case.assert_close("eps_negative", eps(context=inputs["context_negative"]))
    strengths = [output for output in case.outputs if output.startswith("eps_strength_")]
    assert strengths
    for output in strengths:
        case.assert_close(output, eps(float(output.removeprefix("eps_strength_"))))


@torch.no_grad()
def test_unprepared_conditions_and_no_strength(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity(PROMPT_DIFFUSION)
    denoiser, control = load_parts(case, tmp_path, parts=("denoiser", "control"))
    x, t, context = case.inputs["x"], case.inputs["timesteps"], {"context": case.inputs["context"]}
    before = denoiser(x, t, context)
    conditioning = {**context, **{f"control.{k}": v for k, v in hints(case, control).items()}}
    case.assert_close("eps", Controlled(denoiser, control)(x, t, conditioning))
    assert torch.equal(Controlled(denoiser, control, strength=0)(x, t, context), before)
    assert torch.equal(denoiser(x, t, context), before)


def test_the_whole_checkpoint_is_asked_for(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity(PROMPT_DIFFUSION)
    save_file(case.weights, tmp_path / "whole")
    save_file({key: value for key, value in case.weights.items() if key.startswith(CONTROL)}, tmp_path / "control")
    whole = identify(tmp_path / "whole", component="control", stated=stated(case))
    alone = identify(tmp_path / "control", stated=stated(case))
    assert (whole.family, whole.spec.hints) == ("controlnet", alone.spec.hints)
    assert whole.remarks == ()
    assert "trained its denoiser's decoder too, and this file has no denoiser" in alone.remarks[0]


def test_a_query_encoder_that_was_dropped_is_named(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity(PROMPT_DIFFUSION)
    query = [key for key in case.weights if key.startswith(QUERY)]
    assert len(query) == 16
    with pytest.raises(GlidewireError, match="not that of queries; expected the 16 tensors under input_cond_block"):
        load_parts(case, tmp_path, {key: value for key, value in case.weights.items() if key not in query})
    with pytest.raises(StrictLoadError, match=r"input_cond_block\.14: bias$") as error:
        load_parts(case, tmp_path, {key: value for key, value in case.weights.items() if key != f"{QUERY}14.bias"})
    assert len(error.value.missing) == 1


@pytest.mark.parametrize("pair", [("zero_convs.1.0.", "zero_convs.2.0."), ("attn2.to_k.", "attn2.to_v.")])
@torch.no_grad()
def test_a_swapped_pair_shows(pair: tuple[str, str], parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity(PLAIN)
    one, two = pair
    weights = {
        key.replace(one, two) if one in key else key.replace(two, one): value for key, value in case.weights.items()
    }
    (control,) = load_parts(case, tmp_path, weights)
    found = residuals(case, control)
    with pytest.raises(AssertionError, match="error"):
        for index, residual in enumerate(found):
            case.assert_close(f"residual_{index:02}", residual)


def test_a_picture_in_another_range_is_refused(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity(PLAIN)
    (control,) = load_parts(case, tmp_path)
    with pytest.raises(GlidewireError, match="'hint' leaves its range; expected 0 to 1; got -"):
        control.encode({"hint": 2 * case.inputs["hint"] - 1})


@pytest.mark.parametrize("name", PARAMETERS)
def test_full_size_is_the_published_file(name: str) -> None:
    with torch.device("meta"):
        shapes = published_shapes(ControlNet(PUBLISHED[name]), key_map(PUBLISHED[name]))
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) == PARAMETERS[name]
    assert sum("input_cond_block" in key for key in shapes) == (16 if name == "prompt-diffusion" else 0)


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("layout", ["published", "diffusers"])
def test_every_published_shape_is_recognised(name: str, layout: str) -> None:
    spec = PUBLISHED[name]
    with torch.device("meta"):
        shapes = published_shapes(
            ControlNet(spec), {"published": key_map, "diffusers": diffusers_key_map}[layout](spec)
        )
    header = Header(Path("m"), "safetensors", shapes, {}, locations={key: (key,) for key in shapes})
    identity = FAMILY.recognise(header, {"pooled": spec.pooled})
    assert (identity.spec, identity.variant, identity.assumed, identity.layout) == (spec, name, (), layout)


@torch.no_grad()
def test_a_folder_of_diffusers_is_the_same_network(tmp_path: Path) -> None:
    theirs = ControlNetModel(
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        block_out_channels=TINY.widths,
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=6,
        attention_head_dim=2,
        global_pool_conditions=True,
    )
    randomised(theirs).save_pretrained(tmp_path / "controlnet")
    identity = identify(tmp_path / "controlnet")
    assert identity.spec == replace(TINY, pooled=True)
    assert identity.assumed == ()
    ours = load(tmp_path / "controlnet")
    x, t, context, hint = (
        torch.randn(2, 4, 4, 6),
        torch.tensor([3, 700]),
        torch.randn(2, 5, 6),
        torch.rand(2, 3, 32, 48),
    )
    skips, middle = theirs(x, t, context, hint, return_dict=False)
    for one, two in zip(ours(x, t, context, ours.encode({"hint": hint})), (*skips, middle), strict=True):
        torch.testing.assert_close(one, two.mean(dim=(2, 3), keepdim=True))


@torch.no_grad()
def test_two_control_networks_add_up() -> None:
    denoiser, control = tiny_denoiser(), randomised(ControlNet(TINY), 1)
    x, t, hint = torch.randn(1, 4, 4, 4), torch.tensor([5]), torch.rand(1, 3, 32, 32)
    conditioning = {"context": torch.randn(1, 3, 6), "control.hint": hint, "second.hint": hint}
    twice = Controlled(Controlled(denoiser, control, strength=0.25), control, strength=0.25, name="second")
    once = Controlled(denoiser, control, strength=0.5)
    torch.testing.assert_close(twice(x, t, conditioning), once(x, t, conditioning))
    assert not torch.allclose(once(x, t, conditioning), denoiser(x, t, conditioning))
    assert len({view.digest() for view in (denoiser, once, twice, Controlled(denoiser, control))}) == 4


@pytest.mark.parametrize("widths", [(16, 32, 96, 256), (4, 8), (6,)])
@torch.no_grad()
def test_both_layouts_hold_the_same_network(tmp_path: Path, widths: tuple[int, ...]) -> None:
    spec = replace(TINY, hint_channels=6, query_channels=3, hint_widths=widths)
    control = randomised(ControlNet(spec))
    for layout in (key_map, diffusers_key_map):
        save_published(control, layout(spec), tmp_path / "m", metadata={})
        again = load(tmp_path / "m", stated={"num_heads": 2, "norm_groups": 4})
        assert again.spec == spec
        assert all(torch.equal(value, again.state_dict()[key]) for key, value in control.state_dict().items())


@torch.no_grad()
def test_a_hint_is_as_many_times_larger_as_its_encoder_halves_it() -> None:
    for widths, factor in (((4,), 1), ((4, 8, 8), 4)):
        control = randomised(ControlNet(replace(TINY, hint_widths=widths)))
        assert control.spec.hint_factor == factor
        assert control.encode({"hint": torch.rand(1, 3, 4 * factor, 8 * factor)}).shape == (1, 8, 4, 8)


def test_names_and_numbers_of_bad_input() -> None:
    denoiser, control = tiny_denoiser(), randomised(ControlNet(TINY))
    pair = randomised(ControlNet(replace(TINY, hint_channels=6, query_channels=3)))
    hint, context = torch.rand(1, 3, 32, 32), torch.zeros(1, 3, 6)
    x, t = torch.zeros(1, 4, 4, 8), torch.tensor([1])
    conditioning = {"context": context, "control.hint": hint}
    for call, message in (
        (lambda: control.encode({}), "'hint' does not fit; expected batch x 3 channels x sides that.* 8; got nothing"),
        (lambda: control.encode({"hint": hint[..., :-1]}), r"multiples of 8; got \(1, 3, 32, 31\)"),
        (lambda: pair.encode({"example_pair": hint.repeat(1, 2, 1, 1)}), "'query' does not fit"),
        (
            lambda: pair.encode({"example_pair": hint.repeat(1, 2, 1, 1), "query": hint[..., :16]}),
            re.escape("differ in their batch or sides; expected the same for all; got example_pair (1, 6, 32, 32)"),
        ),
        (lambda: Controlled(denoiser, control)(x, t, conditioning), r"expected batch x 4 x 4 x 4; got \(1, 4, 4, 8\)"),
        (
            lambda: Controlled(denoiser, control, name="edges")(x, t, conditioning),
            "'edges.hint' is missing; expected batch x 3 channels x sides 8 times.*got context, control.hint",
        ),
        (lambda: Controlled(denoiser, control, strength=[1.0]), "one strength for each residual.*expected 5; got 1"),
        (lambda: Controlled(tiny_denoiser(context_width=8), control), "context_width is not.*expected 8; got 6"),
        (lambda: Controlled(Controlled(denoiser, control), control), "two views of one denoiser are called 'control'"),
    ):
        with pytest.raises(GlidewireError, match=message):
            call()
    for changes, message in (
        ({"context_width": 0}, "context_width does not fit; expected a positive number; got 0"),
        ({"hint_channels": 0}, "hint_channels does not fit; expected a positive number; got 0"),
        ({"hint_widths": ()}, r"hint_widths does not fit; expected positive numbers; got \(\)"),
    ):
        with pytest.raises(GlidewireError, match=message):
            replace(TINY, **changes)
