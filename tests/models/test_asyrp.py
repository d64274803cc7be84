"""Asyrp: pixel denoisers, both layouts of directions, tensors by timestep, and edits of the bottleneck."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.diffusion.denoiser import Leaf
from glidewire.diffusion.editing import asymmetric, boosted_ddim, edit_end
from glidewire.diffusion.evaluator import Evaluator
from glidewire.diffusion.samplers import StepRecord, invert, sample
from glidewire.diffusion.schedules import NoiseSchedule
from glidewire.errors import GlidewireError
from glidewire.models.asyrp.checkpoint import FAMILY
from glidewire.models.asyrp.directions import DeltaBlocks, DeltaTensors
from glidewire.models.asyrp.layout import diffusers_key_map
from glidewire.models.asyrp.network import PixelDenoiser
from glidewire.models.asyrp.spec import DeltaBlockSpec, DeltaTensorSpec, PixelUnetSpec
from glidewire.models.asyrp.view import BottleneckEdit
from glidewire.models.checkpoint import StrictLoadError, identify, load, save_published
from glidewire.models.key_map import published_shapes
from safetensors.torch import load_file, save_file

# What training leaves beside the directions in published files.
BESIDE = {"optimizer": {"state": {}, "param_groups": [{"lr": 0.5}]}, "scheduler": {"last_epoch": 1}}
TINY = PixelUnetSpec(model_channels=8, channel_mult=(1, 2), num_res_blocks=1, attention_levels=(1,), norm_groups=4)
Tensors = Mapping[str, torch.Tensor]


def load_directions(folder: Path, weights: Tensors, name: str = "f.pth", **stated: Any) -> DeltaBlocks:
    """Through a file as it was published: torch, under the key "0", beside an optimizer."""
    torch.save({"0": dict(weights), **BESIDE}, folder / name)
    model = load(folder / name, component="direction", stated=stated)
    assert isinstance(model, DeltaBlocks)
    return model


def load_case(case: Any, folder: Path, **stated: Any) -> tuple[PixelDenoiser, list[DeltaBlocks]]:
    """The denoiser of a case, and its directions, each from a file of its own."""
    groups = case.config["norm_groups"]
    directions: dict[str, dict[str, torch.Tensor]] = {}
    for key in [key for key in case.weights if key.startswith("layer_")]:
        name, _, rest = key.partition(".")
        directions.setdefault(name, {})[rest] = case.weights[key]
    unet = {key: value for key, value in case.weights.items() if not key.startswith("layer_")}
    save_file(unet, folder / "unet.safetensors")
    model = load(folder / "unet.safetensors", component="denoiser", stated={"norm_groups": groups, **stated})
    assert isinstance(model, PixelDenoiser)
    names = sorted(directions)
    return model, [load_directions(folder, directions[name], f"{name}.pth", norm_groups=groups) for name in names]


def without_time(direction: DeltaBlocks) -> DeltaBlocks:
    """The same direction without the time embedding."""
    again = DeltaBlocks(replace(direction.spec, ignore_timestep=True))
    again.load_state_dict(direction.state_dict())
    return again.requires_grad_(False)


def randomised(model: torch.nn.Module, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.1 * torch.randn(value.shape, generator=generator))
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("kind", ["ddpm", "guided"])
@torch.no_grad()
def test_directions_of_both_layouts(kind: str, parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("asyrp_delta_layouts")
    weights, groups = case.tensors(f"weights_{kind}"), case.config["norm_groups"]
    h, embedding = case.inputs["h"], case.inputs["temb"]
    for suffix, ignore in (("", False), ("_no_temb", True)):
        model = load_directions(tmp_path, weights, norm_groups=groups, ignore_timestep=ignore)
        case.assert_close(kind + suffix, model(h, embedding, torch.zeros(len(h)))[0])
    # The same without the number before its keys, as safetensors.
    save_file(weights, tmp_path / "f.safetensors")
    again = load(tmp_path / "f.safetensors", stated={"norm_groups": groups})
    case.assert_close(kind, again(h, embedding, torch.zeros(len(h)))[0])


@torch.no_grad()
def test_swapped_convolutions_show(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("asyrp_delta_layouts")
    weights = case.tensors("weights_ddpm")
    swapped = {"conv1.weight": weights["conv2.weight"], "conv2.weight": weights["conv1.weight"]}
    model = load_directions(tmp_path, {**weights, **swapped}, norm_groups=case.config["norm_groups"])
    with pytest.raises(AssertionError, match="error"):
        case.assert_close("ddpm", model(case.inputs["h"], case.inputs["temb"], torch.zeros(2))[0])


@torch.no_grad()
def test_published_files_load_strictly(parity: Callable[[str], Any]) -> None:
    case = parity("asyrp_delta_layouts")
    folder = case.path.parent.parent / "reference" / "asyrp"
    if not folder.is_dir():
        pytest.skip("the published directions do not lie beside the golden data")
    outputs = [name for name in case.outputs if name.startswith("published_")]
    for file in case.config["published_files"]:
        identity = identify(folder / file)
        assert identity.component == "direction" and not identity.assumed
        assert identity.dims["bottleneck"] == case.config["published_channels"]
        output = next(name for name in outputs if file.startswith(name.removeprefix("published_")))
        delta = load(folder / file)(case.inputs["h_512"], case.inputs["temb_512"], torch.zeros(1))[0]
        case.assert_close(output, delta)


def told_strengths(recipe: str, output: str) -> list[float]:
    """The numbers that the recipe's words give for an output: h's, then one a direction."""
    found = re.search(rf"{output}:[^:]*?\((-?\d[-\d., ]*)\)", recipe)
    assert found is not None, recipe
    return [float(number) for number in found[1].split(",")]


@torch.no_grad()
def test_ddpm_and_its_edits(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("asyrp_unet")
    model, directions = load_case(case, tmp_path)
    x, t, low = case.inputs["x"], case.inputs["t"], case.inputs["t_low"]
    encoded = model.way_down(x, t, {})
    case.assert_close("temb", encoded.embedding)
    case.assert_close("h", encoded.h)
    case.assert_close("eps", model(x, t, {}))
    case.assert_close("eps_low", model(x, low, {}))
    view = BottleneckEdit(model, directions)
    for output in ("eps_edit", "eps_edit_two", "eps_edit_scaled_h"):
        of_h, *strengths = told_strengths(case.recipe, output)
        missing = [0.0] * (view.count - len(strengths))
        case.assert_close(output, view(x, t, view.strengths([*strengths, *missing], of_h=of_h)))
    case.assert_close("delta_h", view.deltas(encoded.h, encoded.embedding, t)[0])
    timeless = BottleneckEdit(model, [without_time(directions[0])])
    case.assert_close(
        "eps_edit_ignore_timestep", timeless(x, t, timeless.strengths(told_strengths(case.recipe, "eps_edit")[1:]))
    )
    case.assert_close("delta_h_ignore_timestep", timeless.deltas(encoded.h, encoded.embedding, t)[0])
    case.assert_close("eps_edit_low", view(x, low, view.strengths()))


@torch.no_grad()
def test_guided_and_its_edit(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("asyrp_unet_guided")
    model, directions = load_case(case, tmp_path, num_head_channels=case.config["num_head_channels"])
    assert model.learned_variance
    x, t = case.inputs["x"], case.inputs["t"]
    for output in ("model_output", "model_output_plain"):
        case.assert_close(output, model(x, t, {}))
    encoded, view = model.way_down(x, t, {}), BottleneckEdit(model, directions)
    case.assert_close("h", encoded.h)
    case.assert_close("delta_h", view.deltas(encoded.h, encoded.embedding, t)[0])
    of_h, *strengths = case.config["hs_coeff"]
    case.assert_close("model_output_edit", view(x, t, view.strengths(strengths, of_h=of_h)))


@torch.no_grad()
def test_query_key_and_value_rows_in_another_order_show(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("asyrp_unet_guided")
    width = case.config["num_head_channels"]
    # Rows [head][part][channel] read as if they were [part][head][channel].
    weights = {
        key: value.unflatten(0, (3, -1, width)).transpose(0, 1).flatten(0, 2).contiguous() if ".qkv." in key else value
        for key, value in case.weights.items()
        if not key.startswith("layer_")
    }
    save_file(weights, tmp_path / "m")
    model = load(tmp_path / "m", stated={"norm_groups": case.config["norm_groups"], "num_head_channels": width})
    with pytest.raises(AssertionError, match="error"):
        case.assert_close("model_output", model(case.inputs["x"], case.inputs["t"], {}))


class InjectedNoise:
    """The golden data's noise, one tensor a step."""

    def __init__(self, noise: torch.Tensor) -> None:
        self.noise = noise

    def __call__(self, step: int, like: torch.Tensor, purpose: str = "step") -> torch.Tensor:
        return self.noise[step].to(like)

    def signature(self, step: int, purpose: str = "step") -> str:
        return f"injected {step}"


@torch.no_grad()
def test_trajectories(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("asyrp_trajectory")
    model, directions = load_case(case, tmp_path)
    inputs, stored = case.inputs, case.inputs["stored_steps"].tolist()
    alpha_bar = torch.cumprod(1 - inputs["betas"], dim=0).double()
    schedule = NoiseSchedule(tuple(inputs["seq"].tolist()), alpha_bar[inputs["seq"]])
    states: list[torch.Tensor] = []
    invert(Leaf(model), schedule, inputs["x0"], on_step=lambda record: states.append(record.x_next))
    case.assert_close("inversion", torch.stack(states))
    end = edit_end(schedule, case.config["t_edit"])
    for name, run in case.config["runs"].items():
        denoiser, evaluator = Leaf(model), Evaluator()
        if run["index"] is not None:
            of_h, *strengths = run["hs_coeff"]
            chosen = directions[: len(strengths)]
            if run.get("ignore_timestep"):
                chosen = [without_time(direction) for direction in chosen]
            view = BottleneckEdit(model, chosen)
            edited, plain = Leaf(view, view.strengths(strengths, of_h=of_h)), Leaf(view, view.strengths())
            denoiser = asymmetric(edited, plain, end=end)
        records: list[StepRecord] = []
        solver, noise = boosted_ddim(run["t_boost"]), InjectedNoise(inputs["noise"])
        final = sample(denoiser, schedule, inputs["x_T"], solver, noise, on_step=records.append, evaluator=evaluator)
        assert evaluator.forwards == len(schedule)
        case.assert_close(f"{name}/x", torch.stack([records[step].x_next for step in stored]))
        case.assert_close(f"{name}/x0_pred", torch.stack([records[step].x_0 for step in stored]))
        case.assert_close(f"{name}/final", final)


@torch.no_grad()
def test_an_edit_of_both_terms_shows(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("asyrp_trajectory")
    model, directions = load_case(case, tmp_path)
    alpha_bar = torch.cumprod(1 - case.inputs["betas"], dim=0).double()
    schedule = NoiseSchedule(tuple(case.inputs["seq"].tolist()), alpha_bar[case.inputs["seq"]])
    name, run = next((name, run) for name, run in case.config["runs"].items() if run["index"] is not None)
    of_h, *strengths = run["hs_coeff"]
    view = BottleneckEdit(model, directions[: len(strengths)])
    edited = Leaf(view, view.strengths(strengths, of_h=of_h))
    both = asymmetric(edited, edited, end=edit_end(schedule, case.config["t_edit"]))
    noise = InjectedNoise(case.inputs["noise"])
    final = sample(both, schedule, case.inputs["x_T"], boosted_ddim(run["t_boost"]), noise)
    with pytest.raises(AssertionError, match="error"):
        case.assert_close(f"{name}/final", final)


@torch.no_grad()
def test_an_edit_and_the_plain_prediction_share_the_way_down() -> None:
    model = randomised(PixelDenoiser(TINY))
    spec = DeltaBlockSpec(channels=16, embedding_width=32, norm_groups=4)
    view = BottleneckEdit(model, [randomised(DeltaBlocks(spec), 1)])
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([500, 500])
    rows: list[int] = []
    model.unet.mid_block.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    both = {"h.strengths": torch.cat([view.strengths(c)["h.strengths"].expand(2, -1) for c in ([0.7], ())])}
    together = view(torch.cat([x, x]), torch.cat([t, t]), both)
    assert rows == [2]
    torch.testing.assert_close(together[:2], view(x, t, view.strengths([0.7])))
    torch.testing.assert_close(together[2:], model(x, t, {}))
    assert not torch.allclose(together[:2], together[2:], atol=1e-3)
    # Other pictures, other ways down.
    rows.clear()
    apart = view(torch.cat([x, x + 1]), torch.cat([t, t]), both)
    assert rows == [4]
    torch.testing.assert_close(apart[2:], model(x + 1, t, {}))


@torch.no_grad()
def test_weights_of_half_precision_edit_too() -> None:
    model = randomised(PixelDenoiser(TINY))
    direction = randomised(DeltaBlocks(DeltaBlockSpec(channels=16, embedding_width=32, norm_groups=4)), 1)
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([500, 500])
    full = BottleneckEdit(model, [direction])(x, t, BottleneckEdit(model, [direction]).strengths([0.7]))
    view = BottleneckEdit(model.bfloat16(), [direction])
    half = view(x, t, view.strengths([0.7]))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("numbers", [str, int])
@torch.no_grad()
def test_tensors_by_timestep(numbers: Callable[[int], Any], tmp_path: Path) -> None:
    tensors = {t: torch.randn(1, 6, 2, 2) for t in (0, 512, 768, 999)}
    torch.save({numbers(t): value for t, value in tensors.items()} | {numbers(256): None}, tmp_path / "d.pth")
    identity = identify(tmp_path / "d.pth")
    assert (identity.variant, identity.spec.timesteps) == ("tensors", (0, 512, 768, 999))
    h, embedding, t = torch.zeros(3, 6, 2, 2), torch.zeros(3, 4), torch.tensor([999, 700.0, 0])
    deltas = load(tmp_path / "d.pth")(h, embedding, t)[0]
    assert torch.equal(deltas, torch.cat([tensors[999], tensors[768], tensors[512]]))
    mean = load(tmp_path / "d.pth", stated={"ignore_timestep": True})(h, embedding, t)[0]
    assert torch.equal(mean, tensors[0].expand(3, -1, -1, -1))
    with pytest.raises(GlidewireError, match=r"6 x 4 x 4; got 6 x 2 x 2"):
        load(tmp_path / "d.pth")(torch.zeros(1, 6, 4, 4), embedding[:1], t[:1])


def test_one_tensor_for_all_timesteps(tmp_path: Path) -> None:
    torch.save({"0": torch.ones(4, 2, 2), **BESIDE}, tmp_path / "d.pth")
    model = load(tmp_path / "d.pth")
    assert isinstance(model, DeltaTensors)
    assert torch.equal(
        model(torch.zeros(1, 4, 2, 2), torch.zeros(1, 1), torch.tensor([700]))[0], torch.ones(1, 4, 2, 2)
    )


@torch.no_grad()
def test_diffusers_folders_load(tmp_path: Path) -> None:
    model = randomised(PixelDenoiser(TINY))
    model.unet.save_pretrained(tmp_path)
    identity = identify(tmp_path)
    assert (identity.family, identity.variant, identity.layout, identity.spec.norm_groups) == (
        "asyrp", "ddpm", "diffusers", 4,
    )  # fmt: skip
    x, t = torch.randn(1, 3, 8, 8), torch.tensor([300])
    torch.testing.assert_close(load(tmp_path)(x, t, {}), model(x, t, {}))
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    former = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    tensors = load_file(weights)
    for present, name in former.items():
        tensors = {key.replace(present, name): value for key, value in tensors.items()}
    save_file(tensors, weights)
    torch.testing.assert_close(load(tmp_path)(x, t, {}), model(x, t, {}))
    save_published(model, diffusers_key_map(model.spec), tmp_path / "bare.safetensors", metadata={})
    # Without its configuration it could as well be a latent denoiser's.
    stated = {"num_heads": 2, "norm_groups": 4}
    assert identify(tmp_path / "bare.safetensors", stated=stated).family == "ldm"


@pytest.mark.parametrize("kind", ["ddpm", "guided"])
def test_full_size_shapes(kind: str) -> None:
    spec = PixelUnetSpec() if kind == "ddpm" else PixelUnetSpec(
        kind="guided", out_channels=6, num_res_blocks=1, num_head_channels=64
    )  # fmt: skip
    with torch.device("meta"):
        model = FAMILY.build(spec)
    shapes = published_shapes(model, FAMILY.key_map(spec))
    middle = "mid.block_1.conv1.weight" if kind == "ddpm" else "middle_block.0.in_layers.2.weight"
    assert shapes[middle] == (512, 512, 3, 3)
    # The published 256-pixel DDPM's size.
    assert kind == "guided" or sum(value.numel() for value in model.parameters()) == 113_673_219


def test_missing_tensors_are_listed(tmp_path: Path) -> None:
    model = randomised(PixelDenoiser(TINY))
    save_published(model, FAMILY.key_map(TINY), tmp_path / "m.safetensors", metadata={})
    tensors = load_file(tmp_path / "m.safetensors")
    tensors["mid.block_2.conv3.weight"] = tensors.pop("mid.block_2.conv2.weight")
    save_file(tensors, tmp_path / "m.safetensors")
    with pytest.raises(StrictLoadError, match=r"did the file mean mid\.block_2\.conv3\.weight"):
        load(tmp_path / "m.safetensors", stated={"norm_groups": 4})


def test_what_does_not_fit_is_told() -> None:
    model = PixelDenoiser(TINY)
    with pytest.raises(GlidewireError, match="at least one direction"):
        BottleneckEdit(model, [])
    with pytest.raises(GlidewireError, match=r"another bottleneck.*expected 16 channels; got 6"):
        BottleneckEdit(model, [DeltaTensors(DeltaTensorSpec(shape=(6, 2, 2)))])
    with pytest.raises(GlidewireError, match=r"another time embedding.*expected 32 channels; got 8"):
        BottleneckEdit(model, [DeltaBlocks(DeltaBlockSpec(channels=16, embedding_width=8, norm_groups=4))])
    view = BottleneckEdit(model, [DeltaBlocks(DeltaBlockSpec(channels=16, embedding_width=32, norm_groups=4))])
    with pytest.raises(GlidewireError, match="expected 1 numbers; got 2"):
        view.strengths([1.0, 2.0])
    with pytest.raises(GlidewireError, match=r"'h.strengths' does not fit; expected 1 x 2 numbers; got nothing"):
        view(torch.zeros(1, 3, 8, 8), torch.tensor([0]), {})
    with pytest.raises(GlidewireError, match=r"multiples of 2; got \(1, 3, 7, 8\)"):
        model(torch.zeros(1, 3, 7, 8), torch.tensor([0]), {})
    with pytest.raises(GlidewireError, match="norm_groups does not fit; expected a divisor of 30"):
        DeltaBlockSpec(channels=30)
    with pytest.raises(GlidewireError, match="ignore_timestep does not fit"):
        DeltaTensorSpec(timesteps=(5, 9), ignore_timestep=True)
