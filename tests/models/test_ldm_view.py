"""Views of one denoiser on each other, and in other precisions than the denoiser's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.models.additions import NOTHING, Additions
from glidewire.models.controlnet.network import ControlNet
from glidewire.models.controlnet.spec import ControlNetSpec
from glidewire.models.controlnet.view import Controlled
from glidewire.models.ip_adapter.network import IpAdapter
from glidewire.models.ip_adapter.spec import PUBLISHED, IpAdapterSpec
from glidewire.models.ip_adapter.view import ImagePrompted
from glidewire.models.ldm.network import LatentDenoiser
from glidewire.models.ldm.spec import UnetSpec

SIZES: dict[str, Any] = {
    "model_channels": 8, "channel_mult": (1, 2), "num_res_blocks": 1, "attention_levels": (0,), "context_width": 6,
    "num_heads": 2, "norm_groups": 4,
}  # fmt: skip
FACE = replace(
    IpAdapterSpec(), kind="face", image_width=0, face_width=5, context_width=6, channels=(8, 8, 8, 16), lora_rank=2
)


@pytest.fixture(scope="module")
def networks() -> tuple[LatentDenoiser, ControlNet, IpAdapter]:
    generator = torch.Generator().manual_seed(0)
    found = LatentDenoiser(UnetSpec(**SIZES)), ControlNet(ControlNetSpec(**SIZES)), IpAdapter(FACE)
    for module in found:
        for value in module.eval().requires_grad_(False).parameters():
            value.add_(0.1 * torch.randn(value.shape, generator=generator))
    return found


@pytest.fixture(scope="module")
def run() -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    shapes = {"context": (2, 3, 6), "control.hint": (2, 3, 32, 32), "image_prompt.tokens": (2, 4, 6)}
    conditioning = {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}
    return torch.randn(2, 4, 4, 4, generator=generator), torch.tensor([3, 700]), conditioning


@torch.no_grad()
def test_views_stack_in_any_order(networks: Any, run: Any) -> None:
    denoiser, control, adapter = networks
    one = Controlled(ImagePrompted(denoiser, adapter), control)
    two = ImagePrompted(Controlled(denoiser, control), adapter)
    torch.testing.assert_close(one(*run), two(*run))
    assert one.denoiser is two.denoiser is denoiser
    assert one.prediction == denoiser.prediction and not one.learned_variance
    alone = [view(*run) for view in (denoiser, one.base, two.base)]
    assert not any(torch.allclose(one(*run), other) for other in alone)


@torch.no_grad()
def test_what_the_denoiser_prepared_is_prepared_anew(networks: Any, run: Any) -> None:
    denoiser, control, adapter = networks
    x, t, conditioning = run
    view = Controlled(ImagePrompted(denoiser, adapter), control)
    expected = view(x, t, view.prepare(conditioning))
    for given in (conditioning, denoiser.prepare(conditioning), view.base.prepare(conditioning)):
        assert torch.equal(view(x, t, given), expected)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_parts_may_be_held_in_less_precision(networks: Any, run: Any, precision: torch.dtype) -> None:
    denoiser, control, adapter = networks
    exact = Controlled(ImagePrompted(denoiser, adapter), control)(*run)
    small = ControlNet(control.spec), IpAdapter(adapter.spec)
    for module, of in zip(small, (control, adapter), strict=True):
        module.load_state_dict(of.state_dict())
        module.to(precision).eval()
    view = Controlled(ImagePrompted(denoiser, small[1]), small[0])
    assert view(*run).dtype == exact.dtype
    torch.testing.assert_close(view(*run), exact, atol=0.1, rtol=0.1)
    assert view.digest() != Controlled(ImagePrompted(denoiser, adapter), control).digest()


def test_published_adapters_fit_stable_diffusion() -> None:
    with torch.device("meta"):
        denoiser, control = LatentDenoiser(UnetSpec()), ControlNet(ControlNetSpec())
        adapters = [IpAdapter(spec) for spec in (IpAdapterSpec(), PUBLISHED["ip-adapter-faceid-plusv2"])]
    for adapter in adapters:
        assert Controlled(ImagePrompted(denoiser, adapter), control).denoiser is denoiser


def test_residuals_of_other_denoisers_do_not_add_up() -> None:
    residuals = (torch.zeros(1), torch.ones(1))
    assert (NOTHING + Additions(residuals=residuals)).residuals == residuals
    assert (Additions(residuals=residuals) + NOTHING).residuals == residuals
    with pytest.raises(ValueError, match="shorter"):
        Additions(residuals=residuals) + Additions(residuals=residuals[:1])


def test_views_need_a_context(networks: Any) -> None:
    denoiser = LatentDenoiser(UnetSpec(**{**SIZES, "context_width": 0}))
    with pytest.raises(GlidewireError, match="Controlled needs a denoiser with a context; expected a text-cond"):
        Controlled(denoiser, networks[1])
