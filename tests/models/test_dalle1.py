"""DALL-E's discrete autoencoder against the golden data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.checkpoint import StrictLoadError, identify, load
from glidewire.models.dalle1.checkpoint import key_map
from glidewire.models.dalle1.network import DvaeHalf, map_pixels, unmap_pixels
from glidewire.models.dalle1.spec import PUBLISHED, DvaeSpec
from glidewire.models.key_map import published_shapes
from safetensors.torch import save_file


def halves(case: Any, folder: Path) -> tuple[DvaeHalf, DvaeHalf]:
    for half in PUBLISHED:
        save_file(case.tensors(f"weights/{half}"), folder / half)
    return load(folder / "encoder"), load(folder / "decoder")


@torch.no_grad()
def test_parity(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("dalle1_dvae")
    encoder, decoder = halves(case, tmp_path)
    mapped = map_pixels(case.inputs["pixels"])
    case.assert_close("mapped", mapped)
    logits = encoder(mapped)
    case.assert_close("logits", logits)
    tokens = encoder.encode(case.inputs["pixels"])
    case.assert_close("token_ids", tokens)
    case.assert_close("reconstruction", decoder.decode(tokens))
    one_hot = torch.nn.functional.one_hot(tokens, decoder.spec.codes).movedim(-1, 1).float()
    statistics = decoder(one_hot)
    case.assert_close("decoder_stats", statistics)
    case.assert_close("reconstruction", unmap_pixels(statistics))
    temperature = float(re.search(r"logits/([\d.]+)", case.recipe).group(1))
    case.assert_close("decoder_stats_soft", decoder((logits / temperature).softmax(dim=1)))


@torch.no_grad()
def test_swapped_layers_show(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("dalle1_dvae")
    names = {".conv_2.": ".conv_3.", ".conv_3.": ".conv_2."}
    swap = lambda key: next((key.replace(a, b) for a, b in names.items() if a in key), key)  # noqa: E731
    save_file({swap(key): value for key, value in case.tensors("weights/encoder").items()}, tmp_path / "m")
    with pytest.raises(AssertionError, match="error"):
        case.assert_close("logits", load(tmp_path / "m")(map_pixels(case.inputs["pixels"])))


@pytest.mark.parametrize("half", PUBLISHED)
def test_full_size_has_the_published_keys(half: str, parity: Callable[[str], Any]) -> None:
    keys = json.loads(parity("dalle1_dvae").metadata["keys_full_model"])
    expected = {key.removeprefix(f"{half}/"): tuple(shape) for key, shape in keys.items() if key.startswith(half)}
    with torch.device("meta"):
        assert published_shapes(DvaeHalf(PUBLISHED[half]), key_map(PUBLISHED[half])) == expected


def test_misuse_is_named(parity: Callable[[str], Any], tmp_path: Path) -> None:
    case = parity("dalle1_dvae")
    encoder, decoder = halves(case, tmp_path)
    codes, multiple = decoder.spec.codes, encoder.spec.factor
    with pytest.raises(GlidewireError, match="this is the encoder of DALL-E's autoencoder; expected its decoder"):
        encoder.decode(torch.zeros(1, 1, 1, dtype=torch.long))
    with pytest.raises(GlidewireError, match=f"expected 0 to {codes - 1}; got 0 to {codes}"):
        decoder.decode(torch.tensor([[[0, codes]]]))
    with pytest.raises(GlidewireError, match=f"sides that are multiples of {multiple}"):
        encoder.encode(torch.zeros(1, 3, multiple + 1, multiple))
    identity = identify(tmp_path / "decoder")
    assert (identity.family, identity.component, identity.dims["codes"]) == ("dalle1", "decoder", codes)
    with pytest.raises(GlidewireError, match="contradicts the stated codes"):
        identify(tmp_path / "decoder", stated={"codes": codes + 1})
    with pytest.raises(GlidewireError, match="widths does not fit; expected multiples of 4"):
        DvaeSpec(widths=(6,))
    weights = case.tensors("weights/decoder")
    del weights["blocks.output.conv.b"]
    save_file(weights, tmp_path / "m")
    with pytest.raises(StrictLoadError, match=r"blocks\.output\.conv: b"):
        load(tmp_path / "m")
