"""Every family's parity test fails where its file is subtly wrong: swapped pairs, transposed squares, other row orders.

The mistakes are made in the golden weights, which keep their names and shapes, so that strict loading is content; then
the family's own parity test must not be.
"""

from __future__ import annotations

import importlib.util
import inspect
import random
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

pytestmark = pytest.mark.slow

# Its tiny networks have one channel in each group, whose normalisation takes away all that the time adds.
NO_TIME = r"^(?!.*(time_embed|emb_layers))"
# The parity tests of each family: module, test, golden case; and which of its weights the test's outputs depend on.
PARITY = [
    ("glide_checkpoint", "test_output_equals_the_published_implementation", "glide_base", ""),
    ("glide_checkpoint", "test_output_equals_the_published_implementation", "glide_upsample_inpaint", ""),
    ("noised_clip", "test_both_towers_and_their_gradient_equal_the_published_ones", "glide_noised_clip", ""),
    ("dalle2_pytorch", "test_output_equals_the_published_implementation", "dalle2_prior", ""),
    ("unclip_prior", "test_output_equals_the_published_implementation", "karlo_prior", ""),
    ("unclip_prior", "test_output_equals_the_published_implementation", "kandinsky22_prior", ""),
    ("unclip_decoder", "test_output_equals_the_published_implementation", "karlo_decoder", ""),
    ("unclip_decoder", "test_output_equals_the_published_implementation", "kandinsky21_decoder", ""),
    ("unclip_decoder", "test_output_equals_the_published_implementation", "kandinsky22_decoder", ""),
    ("unclip_upsampler", "test_output_equals_the_published_implementation", "karlo_sr", NO_TIME),
    ("paella", "test_parity", "paella_v1_unet", ""),
    ("paella", "test_parity", "paella_v3_unet", ""),
    ("paella", "test_parity", "paella_v3_vqgan", ""),
    ("paella", "test_every_golden_run_of_the_prior", "paella_prior", ""),
    ("first_stage", "test_kl_parity", "kl_f16", ""),
    ("first_stage", "test_vq_parity", "vq_f16", ""),
    ("first_stage", "test_gumbel_parity", "rudalle_gumbel_vq", ""),
    ("ldm_unet", "test_parity", "ldm_unet_crossattn", r"^model\.diffusion_model\."),
    ("ldm_unet", "test_parity", "ldm_unet_uncond", r"^model\.diffusion_model\."),
    # A class is one token of context, to which every query attends alike: queries and keys do not count.
    ("ldm_unet", "test_parity", "ldm_unet_class", r"^model\.diffusion_model\.(?!.*attn2\.to_[qk])"),
    ("ldm_unet", "test_parity", "ldm_unet_scale_shift", r"^model\.diffusion_model\."),
    ("ldm_condition", "test_bert_parity", "ldm_bert", ""),
    ("imagen", "test_first_stage", "if_stage1", ""),
    ("imagen", "test_second_stage", "if_stage2", ""),
    ("ip_adapter", "test_parity", "ip_adapter_base", ""),
    ("ip_adapter", "test_parity", "ip_adapter_plus", ""),
    ("ip_adapter", "test_parity", "ip_adapter_faceid", ""),
    ("controlnet", "test_residuals_parity", "controlnet_plain", r"^control_model\."),
    ("controlnet", "test_prompt_diffusion_parity", "prompt_diffusion", ""),
    ("asyrp", "test_ddpm_and_its_edits", "asyrp_unet", ""),
    ("asyrp", "test_guided_and_its_edit", "asyrp_unet_guided", ""),
    ("dalle1", "test_parity", "dalle1_dvae", ""),
]
# Layers whose rows are the query's, the key's and the value's, in an order that a flag of a loader may get wrong.
_FUSED = re.compile(r"(qkv|encoder_kv|to_kv|c_qkv|in_proj|in_proj_weight)(\.weight)?$")
_QUERY = re.compile(r"(\.|_)(to_q|q|q_proj)(\.|$)")
_ADDED_KEY = "to_k_ip"


# Tests that are given what was loaded: how their module loads it.
LOADERS: dict[str, Callable[[ModuleType, Any, Path], dict[str, Any]]] = {
    "glide_noised_clip": lambda module, case, folder: {"loaded": module.towers(case, case.config, folder)},
    "dalle2_prior": lambda module, case, folder: {"model": module.load_case(case, folder)},
}


class Mutated:
    """A golden case whose weights are others."""

    def __init__(self, case: Any, weights: dict[str, Tensor]) -> None:
        self._case, self.weights = case, weights

    def __getattr__(self, name: str) -> Any:
        return getattr(self._case, name)

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        if prefix == "weights":
            return self.weights
        start = prefix.removeprefix("weights/") + "/"
        if prefix.startswith("weights/"):
            return {key.removeprefix(start): value for key, value in self.weights.items() if key.startswith(start)}
        return self._case.tensors(prefix)


def square(value: Tensor) -> bool:
    """Whether a matrix, or a convolution of any width, has as many inputs as outputs."""
    return value.ndim >= 2 and value.shape[0] == value.shape[1] > 1 and value.numel() > 0


def transposed(weights: dict[str, Tensor], draw: random.Random) -> Iterator[tuple[str, dict[str, Tensor]]]:
    found = [key for key, value in weights.items() if square(value)]
    for key in draw.sample(found, len(found)):
        yield key, {key: weights[key].transpose(0, 1).contiguous()}


def swapped(weights: dict[str, Tensor], draw: random.Random) -> Iterator[tuple[str, dict[str, Tensor]]]:
    matrices = [key for key, value in weights.items() if value.ndim > 1]
    for key in draw.sample(matrices, len(matrices)):
        alike = [other for other in matrices if other != key and weights[other].shape == weights[key].shape]
        # Of neighbours, such as a block's two convolutions.
        near = [other for other in alike if other.rpartition(".")[0].count(".") == key.rpartition(".")[0].count(".")]
        if near:
            other = draw.choice(near)
            yield f"{key} and {other}", {key: weights[other].clone(), other: weights[key].clone()}


def rows(weights: dict[str, Tensor], draw: random.Random) -> Iterator[tuple[str, dict[str, Tensor]]]:
    for key in draw.sample(list(weights), len(weights)):
        value = weights[key]
        if _FUSED.search(key) and value.ndim > 1:
            parts = 2 if "kv" in key and "qkv" not in key else 3
            yield key, {key: value.roll(len(value) // parts, 0)}
        if _ADDED_KEY in key:
            other = key.replace(_ADDED_KEY, _ADDED_KEY.replace("k", "v"))
            yield f"{key} and {other}", {key: weights[other].clone(), other: value.clone()}
        if _QUERY.search(key) and value.ndim > 1:
            other = _QUERY.sub(lambda match: match[0].replace("q", "k", 1), key)
            if other in weights and weights[other].shape == value.shape:
                yield f"{key} and {other}", {key: weights[other].clone(), other: value.clone()}


MISTAKES: dict[str, Callable[..., Iterator[tuple[str, dict[str, Tensor]]]]] = {
    "transposed": transposed,
    "swapped": swapped,
    "rows": rows,
}


@cache
def sibling(name: str) -> ModuleType:
    path = Path(__file__).with_name(f"test_{name}.py")
    spec = importlib.util.spec_from_file_location(f"sibling_{name}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize(("module", "test", "name", "which"), PARITY, ids=[entry[2] for entry in PARITY])
def test_a_mistake_in_the_file_shows(
    module: str, test: str, name: str, which: str, mistake: str, parity: Callable[[str], Any], tmp_path: Path
) -> None:
    case = parity(name)
    candidates = {key: value for key, value in case.weights.items() if re.search(which, key)}
    assert candidates
    found = next(MISTAKES[mistake](candidates, random.Random(f"{name} {mistake}")), None)
    if found is None:
        pytest.skip(f"{name} has no weights for that mistake")
    what, change = found
    check = getattr(sibling(module), test)
    mutated = Mutated(case, {**case.weights, **change})
    arguments = {"name": name, "case": mutated, "parity": lambda _: mutated, "tmp_path": tmp_path}
    if loader := LOADERS.get(name):
        arguments |= loader(sibling(module), mutated, tmp_path)
    named = inspect.signature(check).parameters
    with torch.no_grad(), pytest.raises(AssertionError):
        check(**{key: value for key, value in arguments.items() if key in named})
        print(f"nobody noticed {what}")
