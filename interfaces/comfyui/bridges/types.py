"""The host's own types of wire, under the names that it gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NewType

from ....graph_runtime.sockets import socket_type

HostModel = NewType("HostModel", object)
HostConditioning = NewType("HostConditioning", list[Any])
HostClip = NewType("HostClip", object)
HostClipVision = NewType("HostClipVision", object)
HostClipVisionOutput = NewType("HostClipVisionOutput", object)
HostVae = NewType("HostVae", object)
HostLatent = NewType("HostLatent", Mapping[str, Any])
HostGuider = NewType("HostGuider", object)
HostSampler = NewType("HostSampler", object)
HostSigmas = NewType("HostSigmas", object)
HostNoise = NewType("HostNoise", object)

socket_type("MODEL", HostModel, "ComfyUI's diffusion model.", handle=True)
socket_type(
    "CONDITIONING", HostConditioning, "ComfyUI's conditioning: encoded texts and what else steers.", handle=True
)
socket_type("CLIP", HostClip, "ComfyUI's text encoder.", handle=True)
socket_type("CLIP_VISION", HostClipVision, "ComfyUI's picture encoder.", handle=True)
socket_type("CLIP_VISION_OUTPUT", HostClipVisionOutput, "A picture as ComfyUI's picture encoder sees it.", handle=True)
socket_type("VAE", HostVae, "ComfyUI's autoencoder.", handle=True)
socket_type("LATENT", HostLatent, "ComfyUI's latents, not scaled.", handle=True)
socket_type("GUIDER", HostGuider, "What ComfyUI's custom samplers ask for predictions.", handle=True)
socket_type("SAMPLER", HostSampler, "How ComfyUI's custom samplers walk.", handle=True)
socket_type("SIGMAS", HostSigmas, "The noise levels that ComfyUI's custom samplers visit.", handle=True)
socket_type("NOISE", HostNoise, "Where ComfyUI's custom samplers take their noise from.", handle=True)
