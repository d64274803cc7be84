"""A MODEL of the host as a network of ours: whatever the host can sample, a leaf of a guidance expression."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ....diffusion.denoiser import Leaf
from ....diffusion.prediction import Kind
from ....errors import GlidewireError
from ....models.first_stage.spec import PUBLISHED
from .. import host, memory
from . import noise_levels
from .identity import conditioning_digest, model_token
from .noise_levels import ModelSampling

CONDITION = "comfyui_conditioning"
_NETWORKS: weakref.WeakKeyDictionary[Any, HostNetwork] = weakref.WeakKeyDictionary()


class _Held:
    """A CONDITIONING, kept for as long as some leaf names it by its digest."""

    def __init__(self, conditioning: list[Any]) -> None:
        self.conditioning = conditioning


class HostNetwork:
    """A MODEL as the network of leaves; the host's own code computes it, batches it and moves its weights.

    A condition is a CONDITIONING, passed as its digest: areas, masks, ControlNets and scheduled LoRAs in it work as in
    the host's own samplers. Patches of the host that replace its guidance do not act: guidance is ours here.

    Attributes:
        channels: Of a latent.
        space: Whose latents these are.
    """

    prediction: Kind = "x_0"
    learned_variance = False
    of_this_process = True

    def __init__(self, patcher: Any) -> None:
        self._patcher = weakref.ref(patcher)
        latent_format = patcher.get_model_object("latent_format")
        self.channels: int = latent_format.latent_channels
        self.space = space_of(latent_format)
        self._held: weakref.WeakValueDictionary[str, _Held] = weakref.WeakValueDictionary()
        self._session: _Session | None = None
        self._token = model_token(patcher)

    @property
    def patcher(self) -> Any:
        """The MODEL."""
        found = self._patcher()
        if found is None:
            raise GlidewireError("ComfyUI has forgotten this model", hint="Run the workflow again.")
        return found

    @property
    def sampling(self) -> ModelSampling:
        """The host's noise levels for this model."""
        return self.patcher.get_model_object("model_sampling")

    def leaf(self, conditioning: list[Any]) -> Leaf:
        """The model under a condition."""
        digest = conditioning_digest(conditioning)
        held = self._held.setdefault(digest, _Held(conditioning))
        named = torch.tensor(list(bytes.fromhex(digest)), dtype=torch.uint8)[None]
        made = Leaf(self, {CONDITION: named})
        # Views and rewritten expressions keep a leaf's tensors: the conditioning lives as long as this one does.
        named.held, made.conditioning[CONDITION].patcher = held, self.patcher  # type: ignore[attr-defined]
        return made

    def digest(self) -> str:
        """Identity in this process: the host does not know the content of its models' files."""
        return self._token

    def prepare(self, conditioning: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Nothing is computed here; where the result is forgotten, the run is over and the host may clean up."""
        prepared = conditioning[CONDITION].clone()
        weakref.finalize(prepared, self.close)
        return {CONDITION: prepared}

    def __call__(self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        """The host's clean sample for x_t "batch ...", timesteps "batch" (numbers of levels, or levels)."""
        sigma = self._sigmas(timesteps)
        state = x_t * noise_levels.scale(self.sampling, sigma[:1]).item()
        digests, rows = _runs(conditioning[CONDITION])
        shares = state.split(rows)
        gradients = torch.is_grad_enabled() and x_t.requires_grad
        # The host computes in inference mode, and keeps weights and conditions that only allow that.
        with torch.inference_mode(not gradients):
            session = self._open(shares[0], gradients)
            if all(torch.equal(share, shares[0]) for share in shares[1:]):
                answers = session.denoise(digests, shares[0], sigma[: rows[0]])
            else:
                pairs = zip(digests, shares, rows, strict=True)
                answers = [session.denoise([digest], share, sigma[:count])[0] for digest, share, count in pairs]
        return torch.cat([answer.clone() if answer.is_inference() else answer for answer in answers])

    def close(self) -> None:
        """End the sampling run with the host, if one is open."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _sigmas(self, timesteps: Tensor) -> Tensor:
        if timesteps.is_floating_point():
            return timesteps.float()
        return self.sampling.sigmas.to(timesteps.device)[timesteps].float()

    def _open(self, state: Tensor, gradients: bool) -> _Session:
        if self._session is None or not self._session.fits(state, gradients):
            self.close()
            self._session = _Session(self, state, gradients)
        return self._session

    def conditioning(self, digest: str) -> list[Any]:
        """The CONDITIONING with a digest."""
        held = self._held.get(digest)
        if held is None:
            raise GlidewireError("a condition of ComfyUI's was forgotten", hint="Run the workflow again.")
        return held.conditioning


class _Session:
    """A sampling run with the host: the model loaded and patched, conditions prepared for a size."""

    def __init__(self, network: HostNetwork, state: Tensor, gradients: bool) -> None:
        self._samplers, self._helpers = host.require("comfy.samplers"), host.require("comfy.sampler_helpers")
        self._network, self.patcher, self._gradients = network, network.patcher, gradients
        self._shape, self._device = state.shape, state.device
        self._options = host.require("comfy.model_patcher").create_model_options_clone(self.patcher.model_options)
        self._conditions: dict[str, list[Any]] = {}
        self._models: list[Any] = []
        self._converted: dict[str, list[Any]] = {}
        self._inner: Any = None

    def fits(self, state: Tensor, gradients: bool) -> bool:
        """Whether this run goes on with this state."""
        return (self._shape, self._device, self._gradients) == (state.shape, state.device, gradients)

    def denoise(self, digests: list[str], state: Tensor, sigma: Tensor) -> list[Tensor]:
        """The clean sample of one state under each of some conditions."""
        for digest in digests:
            if digest not in self._conditions:
                self._conditions[digest] = self._prepared(digest, state)
        conditions = [self._conditions[digest] for digest in digests]
        return self._samplers.calc_cond_batch(self._inner, conditions, state, sigma, self._options)

    def _prepared(self, digest: str, state: Tensor) -> list[Any]:
        """A condition made ready as the host's own guider does it."""
        conditioning = self._network.conditioning(digest)
        conds = {"positive": self._helpers.convert_cond(_usable(conditioning, self._gradients))}
        self._samplers.preprocess_conds_hooks(conds)
        self._helpers.prepare_model_patcher(self.patcher, conds, self._options)
        self._samplers.filter_registered_hooks_on_conds(conds, self._options)
        self._inner, conds, models = self._helpers.prepare_sampling(self.patcher, self._shape, conds, self._options)
        memory.reload(self.patcher)
        self._models += models
        self._converted[digest] = conds["positive"]
        levels = self._network.sampling.sigmas.to(state)
        self._options["transformer_options"]["sample_sigmas"] = torch.cat([levels.flip(0), levels.new_zeros(1)])
        self._samplers.cast_to_load_options(self._options, device=self._device, dtype=self.patcher.model_dtype())
        if self._gradients:
            _allow_gradients(self._inner)
        self.patcher.pre_run()
        empty = torch.zeros_like(state)
        made = self._samplers.process_conds(self._inner, state, conds, self._device, latent_image=empty, seed=0)
        return made["positive"]

    def close(self) -> None:
        """Let the host clean up as after a run of its own."""
        self._samplers.cast_to_load_options(self._options, device=self.patcher.offload_device)
        self.patcher.restore_hook_patches()
        self.patcher.cleanup()
        self._helpers.cleanup_models(self._converted, self._models)


def network_of(patcher: Any) -> HostNetwork:
    """The one network of a MODEL, so that its leaves share a forward.

    Raises:
        GlidewireError: It is no MODEL that can be sampled.
    """
    if not hasattr(patcher, "get_model_object"):
        raise GlidewireError("this is no model that ComfyUI samples", expected="a MODEL", got=type(patcher).__name__)
    if patcher not in _NETWORKS:
        _NETWORKS[patcher] = HostNetwork(patcher)
    return _NETWORKS[patcher]


def space_of(latent_format: Any) -> str:
    """What we call the space of a latent format: ours by its own name, published ones by their channels and scale."""
    own = getattr(latent_format, "glidewire_space", "")
    if own:
        return own
    channels, factor = latent_format.latent_channels, getattr(latent_format, "scale_factor", None)
    plain = not hasattr(latent_format, "latents_mean") and not getattr(latent_format, "shift_factor", None)
    for name, spec in PUBLISHED.items():
        if name == "kl-f8" and plain and (spec.code_channels, spec.latent_scale) == (channels, factor):
            return name
    return f"ComfyUI {type(latent_format).__name__}"


def _runs(named: Tensor) -> tuple[list[str], list[int]]:
    """The digests in "rows 32", one for each stretch of equal rows, and the lengths of these."""
    digests: list[str] = []
    rows: list[int] = []
    for row in named.tolist():
        digest = bytes(row).hex()
        if digests and digests[-1] == digest:
            rows[-1] += 1
        else:
            digests.append(digest)
            rows.append(1)
    return digests, rows


def _usable(value: Any, gradients: bool) -> Any:
    """A conditioning whose tensors may stand in a graph of gradients."""
    if isinstance(value, Tensor):
        return value.clone() if gradients and value.is_inference() else value
    if isinstance(value, list | tuple):
        return type(value)(_usable(item, gradients) for item in value)
    if type(value) is dict:
        return {key: _usable(item, gradients) for key, item in value.items()}
    return value


def _allow_gradients(model: torch.nn.Module) -> None:
    """Replace weights made in inference mode by equal ones that gradients pass through."""
    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False):
            if weight.is_inference():
                setattr(module, name, torch.nn.Parameter(weight.detach().clone(), requires_grad=False))
        for name, value in module.named_buffers(recurse=False):
            if value.is_inference():
                setattr(module, name, value.clone())
