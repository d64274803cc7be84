"""Run inside of a real ComfyUI: its code and our bridges on tiny models; prints one JSON line of figures.

python real_host.py <folder of ComfyUI> <folder of the pack>
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from typing import Any

COMFYUI, PACK = sys.argv[1:]
os.chdir(COMFYUI)
sys.path.insert(0, COMFYUI)
sys.argv = ["main.py", "--cpu"]

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()

import comfy.latent_formats  # noqa: E402
import comfy.model_base  # noqa: E402
import comfy.model_management  # noqa: E402
import comfy.model_patcher  # noqa: E402
import comfy.sample  # noqa: E402
import comfy.samplers  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.supported_models_base  # noqa: E402
import comfyui_version  # noqa: E402
import torch  # noqa: E402
from comfy_extras.nodes_custom_sampler import SamplerCustomAdvanced  # noqa: E402

torch.set_num_threads(1)
WIDTH, SIDE, STEPS = 16, 8, 6


def load_pack() -> Any:
    """The pack as the host loads it: by path, under a name made of the path."""
    name = PACK.replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, f"{PACK}/__init__.py", submodule_search_locations=[PACK])
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def randomise(network: torch.nn.Module) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn(weight.shape) * 0.1)


class TinyFormat(comfy.latent_formats.SD15):
    """Stable Diffusion 1's latents."""


def tiny_model(kind: comfy.model_base.ModelType) -> comfy.model_patcher.ModelPatcher:
    """A MODEL of the host's own U-Net with a few thousand random weights."""
    unet = {
        "image_size": 8, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1, 1],
        "channel_mult": [1, 2], "transformer_depth": [1, 1], "transformer_depth_output": [1, 1, 1, 1],
        "transformer_depth_middle": 1, "context_dim": WIDTH, "num_heads": 2, "num_head_channels": -1,
        "use_spatial_transformer": True, "legacy": False, "use_linear_in_transformer": False,
        "adm_in_channels": None, "dtype": torch.float32,
    }  # fmt: skip
    configuration = comfy.supported_models_base.BASE(unet)
    configuration.unet_config = unet
    configuration.latent_format = TinyFormat()
    cpu = torch.device("cpu")
    model = comfy.model_base.BaseModel(configuration, model_type=kind, device=cpu)
    randomise(model.diffusion_model)
    return comfy.model_patcher.ModelPatcher(model.eval(), load_device=cpu, offload_device=cpu)


def conditioning(seed: int, **options: Any) -> list[Any]:
    return [[torch.randn(1, 3, WIDTH, generator=torch.Generator().manual_seed(seed)), options]]


def run(name: str, **inputs: Any) -> Any:
    return CLASSES[name]().run(**inputs)


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).abs().max() / b.abs().max()).item()


PACKAGE = load_pack()
CLASSES = PACKAGE.NODE_CLASS_MAPPINGS
FIGURES: dict[str, Any] = {"version": comfyui_version.__version__, "bridges": sum("Host" in name for name in CLASSES)}


def host_model_by_our_sampler(kind: comfy.model_base.ModelType, positive: Any, negative: Any) -> float:
    """The host's Euler sampler with its CFG, and our DDIM sampler with ours, over one model and schedule."""
    model = tiny_model(kind)
    sampling = model.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(sampling, "simple", STEPS)
    noise = CLASSES["GlidewireNoiseForHost"]().run(seed=5)[0]
    latent = {"samples": torch.zeros(2, 4, SIDE, SIDE)}
    euler = comfy.samplers.sampler_object("euler")
    theirs = comfy.sample.sample_custom(
        model, noise.generate_noise(latent), 3.0, euler, sigmas, positive, negative, latent["samples"], seed=5,
        disable_pbar=True,
    )  # fmt: skip
    wanted, _ = run("GlidewireHostDenoiser", model=model, conditioning=positive)
    unwanted, _ = run("GlidewireHostDenoiser", model=model, conditioning=negative)
    (guided,) = run("GlidewireClassifierFreeGuidance", conditional=wanted, unconditional=unwanted, scale=3.0)
    (schedule,) = run("GlidewireHostSchedule", model=model, sigmas=sigmas)
    (start,) = run("GlidewireNoiseStart", denoiser=guided, width=SIDE, height=SIDE, batch=2, seed=5)
    (sample,) = run("GlidewireDdimSampler", denoiser=guided, schedule=schedule, start=start, eta=0.0, clip=False)
    (ours,) = run("GlidewireLatentForHost", sample=sample, model=model)
    return difference(ours["samples"], theirs)


def our_denoiser_by_the_hosts_sampler() -> dict[str, float]:
    """Our DDIM sampler, and the host's Euler sampler over the same expression as a GUIDER."""
    model = tiny_model(comfy.model_base.ModelType.EPS)
    wanted, trained = run("GlidewireHostDenoiser", model=model, conditioning=conditioning(1))
    unwanted, _ = run("GlidewireHostDenoiser", model=model, conditioning=conditioning(2))
    (guided,) = run("GlidewireClassifierFreeGuidance", conditional=wanted, unconditional=unwanted, scale=3.0)
    (schedule,) = run("GlidewireRespace", schedule=trained, spacing=str(STEPS))
    (start,) = run("GlidewireNoiseStart", denoiser=guided, width=SIDE, height=SIDE, batch=2, seed=7)
    (sample,) = run("GlidewireDdimSampler", denoiser=guided, schedule=schedule, start=start, eta=0.0, clip=False)
    (ours,) = run("GlidewireLatentForHost", sample=sample)
    _, guider, _ = run("GlidewireDenoiserForHost", denoiser=guided, schedule=trained)
    (sigmas,) = run("GlidewireSigmasForHost", schedule=schedule)
    (noise,) = run("GlidewireNoiseForHost", seed=7)
    latent = {"samples": torch.zeros(2, 4, SIDE, SIDE)}
    found = {}
    for name, sampler in {
        "euler": comfy.samplers.sampler_object("euler"),
        "our solver": run("GlidewireSolverForHost", solver="ddim", eta=0.0, clip=False)[0],
    }.items():
        sampled, _ = (
            SamplerCustomAdvanced().execute(noise, guider, sampler, sigmas, latent)
            if hasattr(SamplerCustomAdvanced, "execute")
            else SamplerCustomAdvanced().sample(noise, guider, sampler, sigmas, latent)
        )
        found[name] = difference(sampled["samples"], ours["samples"])
    return found


def gradients_through_the_hosts_network() -> float:
    """How far the gradient of |x_0|^2 is from differences, through weights made in inference mode."""
    model = tiny_model(comfy.model_base.ModelType.EPS)
    (denoiser, _) = run("GlidewireHostDenoiser", model=model, conditioning=conditioning(1))
    network, condition = denoiser.network, denoiser.conditioning
    with torch.inference_mode(False), torch.enable_grad():
        x_t = torch.randn(1, 4, SIDE, SIDE).requires_grad_()
        prepared = network.prepare(condition)

        def energy(x: torch.Tensor) -> torch.Tensor:
            return network(x, torch.tensor([500]), prepared).square().sum()

        energy(x_t).backward()
        along = torch.randn(x_t.shape)
        with torch.no_grad():
            measured = (energy(x_t + 1e-2 * along) - energy(x_t - 1e-2 * along)) / 2e-2
        return abs(((x_t.grad * along).sum() - measured) / measured).item()


def an_area_acts() -> float:
    """A condition for the left half alone: what the right half of the answer shows of it."""
    model = tiny_model(comfy.model_base.ModelType.EPS)
    half = conditioning(1, area=(SIDE, SIDE // 2, 0, 0), strength=1.0)
    both = [*half, *conditioning(2, area=(SIDE, SIDE // 2, 0, SIDE // 2), strength=1.0)]
    left, _ = run("GlidewireHostDenoiser", model=model, conditioning=both)
    x_t = torch.randn(1, 4, SIDE, SIDE)
    network = left.network
    answer = network(x_t, torch.tensor([500]), network.prepare(left.conditioning))
    other, _ = run("GlidewireHostDenoiser", model=model, conditioning=conditioning(2))
    whole = network(x_t, torch.tensor([500]), network.prepare(other.conditioning))
    return difference(answer, whole)


def latents_cross_the_wall() -> dict[str, float]:
    """The host's VAE as an autoencoder of ours and back: pictures and scaled latents, both ways."""
    parts = {"ch": 32, "ch_mult": [1, 1, 1, 1], "num_res_blocks": 1, "attn_resolutions": [], "in_channels": 3,
             "out_ch": 3, "resolution": 64, "z_channels": 4, "double_z": True, "dropout": 0.0}  # fmt: skip
    made = comfy.sd.VAE(sd={"none": torch.zeros(1)}, config={"params": {"ddconfig": parts, "embed_dim": 4}})
    randomise(made.first_stage_model)
    model = tiny_model(comfy.model_base.ModelType.EPS)
    (autoencoder,) = run("GlidewireHostAutoencoder", vae=made, model=model)
    picture = torch.rand(1, 64, 48, 3)
    raw = made.encode(picture)
    (sample,) = run("GlidewireEncodeLatents", autoencoder=autoencoder, image=picture, draw="mode")
    (shown,) = run("GlidewireDecodeLatents", autoencoder=autoencoder, sample=sample)
    (again,) = run("GlidewireVaeForHost", autoencoder=autoencoder)
    (back,) = run("GlidewireLatentForHost", sample=sample)
    (there,) = run("GlidewireHostSample", latent={"samples": raw}, model=model)
    return {
        "encoded": difference(sample.tensor, raw * 0.18215),
        "decoded": difference(shown, made.decode(raw)),
        "VAE again": difference(again.encode(picture), raw) + difference(again.decode(raw), shown),
        "latent": difference(back["samples"], raw) + difference(there.tensor, sample.tensor),
        "spaces": float(sample.space == there.space == "kl-f8"),
    }


def memory_is_the_hosts() -> dict[str, bool]:
    """A network of ours among the host's loaded models; taken away and brought back."""
    memory = sys.modules[f"{PACKAGE.__name__}.interfaces.comfyui.memory"]
    with torch.inference_mode(False):  # as our loaders do
        network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.GroupNorm(2, 4))
    loaded = comfy.model_management.current_loaded_models
    with torch.inference_mode(False), memory.loaded({"network": [network]}):
        known = any(each.model.model is network for each in loaded if each.model is not None)
        counted = next(each for each in loaded if each.model.model is network).model_loaded_memory() > 0
    comfy.model_management.unload_all_models()
    gone = not any(each.model.model is network for each in loaded if each.model is not None)
    with torch.inference_mode(False), memory.loaded(network):
        back = any(each.model.model is network for each in loaded if each.model is not None)
    weights = list(network.parameters())
    return {"known": known, "counted": counted, "unloaded": gone, "loaded again": back,
            "differentiable": not any(weight.is_inference() for weight in weights)}  # fmt: skip


with torch.inference_mode():
    FIGURES.update(latents_cross_the_wall())
    FIGURES.update(memory_is_the_hosts())
    kinds = comfy.model_base.ModelType
    for kind in (kinds.EPS, kinds.V_PREDICTION, kinds.EDM, kinds.FLOW):
        FIGURES[kind.name] = host_model_by_our_sampler(kind, conditioning(1), conditioning(2))
    FIGURES.update(our_denoiser_by_the_hosts_sampler())
    FIGURES["gradients"] = gradients_through_the_hosts_network()
    FIGURES["area"] = an_area_acts()
print(json.dumps(FIGURES))
