"""Conversion: programs, wrapped files and pickled modules become safetensors, networks become diffusers' folders."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from full_disk import full_after
from glidewire.digests import file_digest
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import identify, load
from glidewire.models.conversion import SOURCE, module_to_safetensors, to_diffusers, to_safetensors
from glidewire.models.header import read_header
from safetensors.torch import load_file, save_file
from torch import nn

# What the published package looks like from outside: the names of its modules and of their parts, and attributes that
# are no tensors; the network itself is not needed to write a file of the same layout.
DALL_E = """
from collections import OrderedDict
import torch
from torch import nn

class Conv2d(nn.Module):
    def __init__(self, w, b):
        super().__init__()
        self.n_in, self.n_out, self.use_float16, self.device = w.shape[1], w.shape[0], True, torch.device("cpu")
        self.w, self.b = nn.Parameter(w, requires_grad=False), nn.Parameter(b, requires_grad=False)

class Half(nn.Module):
    def __init__(self, tensors):
        super().__init__()
        self.group_count, self.device, self.use_mixed_precision = 4, torch.device("cpu"), True
        for name in {key.rpartition(".")[0] for key in tensors}:
            *path, leaf = name.split(".")
            inside = self
            for part in path:
                if not hasattr(inside, part):
                    inside.add_module(part, nn.Sequential(OrderedDict([("relu", nn.ReLU())])))
                inside = getattr(inside, part)
            inside.add_module(leaf, Conv2d(tensors[name + ".w"], tensors[name + ".b"]))

class Encoder(Half):
    pass

class Decoder(Half):
    pass
"""
WRITE = """
import sys, torch, dall_e
from safetensors.torch import load_file
source, target, half, zipped = sys.argv[1:]
module = getattr(dall_e, half.capitalize())(load_file(source))
torch.save(module, target, _use_new_zipfile_serialization=zipped == "True")
"""


@pytest.mark.parametrize(("half", "zipped"), [("encoder", True), ("decoder", False)])
def test_dall_e_halves_make_the_round_trip(
    half: str, zipped: bool, parity: Callable[[str], Any], tmp_path: Path
) -> None:
    case = parity("dalle1_dvae")
    (tmp_path / "package" / "dall_e").mkdir(parents=True)
    (tmp_path / "package" / "dall_e" / "__init__.py").write_text(DALL_E)
    save_file(case.tensors(f"weights/{half}"), tmp_path / "weights")
    subprocess.run(
        [sys.executable, "-c", WRITE, str(tmp_path / "weights"), str(tmp_path / "half.pkl"), half, str(zipped)],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "package")},
        check=True,
    )
    with pytest.raises(GlidewireError, match=r"half\.pkl needs code to be run.*`glidewire models convert`"):
        identify(tmp_path / "half.pkl")
    count = module_to_safetensors(tmp_path / "half.pkl", tmp_path / "half.safetensors")
    converted, expected = load_file(tmp_path / "half.safetensors"), load_file(tmp_path / "weights")
    assert count == len(expected) and converted.keys() == expected.keys()
    assert all(torch.equal(converted[key], value) for key, value in expected.items())
    assert identify(tmp_path / "half.safetensors").component == half
    assert read_header(tmp_path / "half.safetensors").metadata[SOURCE] == file_digest(tmp_path / "half.pkl")
    assert "dall_e" not in sys.modules


class Runs(nn.Module):
    def __init__(self, mark: Path) -> None:
        super().__init__()
        self.layer, self.mark = nn.Linear(2, 2), mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def test_what_is_no_plain_module_is_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    torch.save(Runs(mark), tmp_path / "evil.pkl")
    with pytest.raises(GlidewireError, match=r"evil\.pkl is no plain module.*a call of .*system.*Do not trust"):
        module_to_safetensors(tmp_path / "evil.pkl", tmp_path / "m")
    torch.save(nn.ReLU(), tmp_path / "empty.pkl")
    with pytest.raises(GlidewireError, match=r"empty\.pkl holds a pickled object without tensors"):
        module_to_safetensors(tmp_path / "empty.pkl", tmp_path / "m")
    (tmp_path / "cut.pkl").write_bytes((tmp_path / "evil.pkl").read_bytes()[:300])
    with pytest.raises(GlidewireError, match=r"cut\.pkl is no pickled module"):
        module_to_safetensors(tmp_path / "cut.pkl", tmp_path / "m")
    assert not mark.exists() and not (tmp_path / "m").exists()


def test_wrapped_and_tied_tensors_keep_their_names(tmp_path: Path) -> None:
    tied = torch.randn(3, 2)
    torch.save({"state_dict": {"module.a.w": tied, "module.b.w": tied, "module.c": tied.t()}}, tmp_path / "m.ckpt")
    assert to_safetensors(tmp_path / "m.ckpt", tmp_path / "m.safetensors") == 3
    found = load_file(tmp_path / "m.safetensors")
    assert found.keys() == {"a.w", "b.w", "c"}
    assert torch.equal(found["a.w"], tied) and torch.equal(found["c"], tied.t())
    with pytest.raises(GlidewireError, match=r"m cannot be written; expected a folder that may be written to"):
        to_safetensors(tmp_path / "m.ckpt", tmp_path / "none" / "m")


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(200_000)}, tmp_path / "m")
    with full_after(500_000), pytest.raises(GlidewireError, match=r"n cannot be written; .*with room for it"):
        to_safetensors(tmp_path / "m", tmp_path / "n")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def stated(case: Any) -> dict[str, int]:
    config = case.config["unet_config"]
    heads = {name: config[name] for name in ("num_heads", "num_head_channels") if name in config}
    return {"norm_groups": case.config["norm_groups"], **heads}


@torch.no_grad()
def test_a_denoiser_loads_in_diffusers_own_class(parity: Callable[[str], Any], tmp_path: Path) -> None:
    from diffusers import UNet2DConditionModel

    case = parity("ldm_unet_crossattn")
    save_file(case.weights, tmp_path / "m")
    to_diffusers(identify(tmp_path / "m", component="denoiser", stated=stated(case)), tmp_path / "folder")
    unet, notes = UNet2DConditionModel.from_pretrained(tmp_path / "folder", output_loading_info=True)
    assert not notes["missing_keys"] and not notes["unexpected_keys"]
    inputs = case.inputs
    case.assert_close("eps", unet(inputs["x"], inputs["timesteps"], inputs["context"]).sample)
    again: Any = load(tmp_path / "folder")
    case.assert_close("eps", again(inputs["x"], inputs["timesteps"], {"context": inputs["context"]}))


@torch.no_grad()
@pytest.mark.parametrize("name", ["kl_f8", "vq_f4_noattn"])
def test_a_first_stage_loads_in_diffusers_own_class(name: str, parity: Callable[[str], Any], tmp_path: Path) -> None:
    from diffusers import AutoencoderKL, VQModel

    case = parity(name)
    save_file(case.weights, tmp_path / "m")
    identity = identify(tmp_path / "m", stated={"norm_groups": case.config["norm_groups"], "latent_scale": 0.5})
    to_diffusers(identity, tmp_path / "folder")
    theirs: Any = (AutoencoderKL if name.startswith("kl") else VQModel).from_pretrained(tmp_path / "folder")
    ours: Any = load(tmp_path / "folder")
    assert theirs.config.scaling_factor == ours.spec.latent_scale == 0.5
    latents = torch.randn(1, ours.spec.code_channels, 4, 4)
    expected = ours.autoencoder.decode(latents, force_not_quantize=True).sample if name.startswith("vq") else None
    picture = ours.decode(latents, quantise=False)
    if expected is None:
        expected = theirs.decode(latents).sample
    torch.testing.assert_close(picture, expected)


@torch.no_grad()
def test_an_upsampler_loads_in_diffusers_own_class(parity: Callable[[str], Any], tmp_path: Path) -> None:
    from diffusers import UNet2DModel

    case = parity("karlo_sr")
    torch.save({"state_dict": case.weights}, tmp_path / "sr.ckpt")
    identity = identify(tmp_path / "sr.ckpt", component="upsampler", stated=case.config["model"])
    to_diffusers(identity, tmp_path / "folder")
    unet: Any = UNet2DModel.from_pretrained(tmp_path / "folder")
    low_res = case.outputs["low_res"]
    case.assert_close(
        "first_steps", unet(torch.cat([case.inputs["x"], low_res], dim=1), case.inputs["timesteps"]).sample
    )


def test_what_diffusers_cannot_say_is_refused(parity: Callable[[str], Any], tmp_path: Path) -> None:
    with pytest.raises(GlidewireError, match=r"diffusers has no class for its dalle1 encoder; .*Convert it to safe"):
        to_diffusers(_dvae(parity, tmp_path), tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def _dvae(parity: Callable[[str], Any], folder: Path) -> Any:
    save_file(parity("dalle1_dvae").tensors("weights/encoder"), folder / "encoder")
    return identify(folder / "encoder")


@torch.no_grad()
def test_heads_that_no_configuration_tells_are_refused(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("ldm_unet_uncond")
    save_file(case.weights, tmp_path / "m")
    identity = identify(tmp_path / "m", component="denoiser", stated=stated(case))
    try:
        to_diffusers(identity, tmp_path / "folder")
    except GlidewireError as error:
        assert re.search(r"a configuration does not tell the (heads|scale) of .*attentions", str(error))
        return
    # Where one width of heads says it all, the folder computes the same.
    ours, theirs = load(tmp_path / "m", component="denoiser", stated=stated(case)), load(tmp_path / "folder")
    x, t = case.inputs["x"], case.inputs["timesteps"]
    torch.testing.assert_close(theirs(x, t, {}), ours(x, t, {}))


# --- in a process of its own ---------------------------------------------------------------------------------

CONFINED = """
import os, pickle, socket, subprocess, sys
from pathlib import Path
import torch
from glidewire.models.conversion import module_to_safetensors
from glidewire.models.isolation import confine
source, inside = Path(sys.argv[1]), Path(sys.argv[2])
module_to_safetensors(source, inside / "before")
confine(inside, largest=10**6)
told = []
def attempt(action):
    try:
        action()
    except PermissionError:
        told.append("refused")
    except OSError as error:
        told.append(type(error).__name__)
    else:
        told.append("done")
attempt(lambda: module_to_safetensors(source, inside / "after"))
attempt(lambda: socket.socket())
attempt(lambda: subprocess.run(["true"]))
attempt(lambda: os.system("true"))
attempt(lambda: pickle.loads(pickle.dumps(Path)))
attempt(lambda: (source.parent / "outside").write_text("x"))
attempt(lambda: (inside / ".." / "outside").write_text("x"))
attempt(lambda: source.unlink())
attempt(lambda: (inside / "after").rename(source.parent / "outside"))
attempt(lambda: torch.load(source, weights_only=False))
attempt(lambda: (inside / "large").write_bytes(bytes(2 * 10**6)))
print(*told)
"""


def test_a_confined_process_converts_and_does_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    torch.save(nn.Linear(2, 3), tmp_path / "m.pkl")
    done = subprocess.run(
        [sys.executable, "-c", CONFINED, str(tmp_path / "m.pkl"), str(tmp_path / "inside")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["done", *["refused"] * 9, "OSError"]
    assert (tmp_path / "m.pkl").exists() and not (tmp_path / "outside").exists()
    assert load_file(tmp_path / "inside" / "after").keys() == {"weight", "bias"}
