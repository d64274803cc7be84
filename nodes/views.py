"""How the values of the pack's sockets look when somebody inspects them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..diffusion.denoiser import Combination, Denoiser
from ..diffusion.guidance.scales import ScaleSchedule, scale_at
from ..diffusion.prediction import Progress
from ..diffusion.schedules import NoiseSchedule
from ..graph_runtime.views import Picture, Plot, Table, View, viewer
from . import glimpses
from .sockets import PIXELS, Condition, Sample, Start
from .token_sockets import Embedding, Tokens, TokenStart

_POINTS = 100


@viewer("IMAGE")
def _image(value: Tensor) -> Iterator[View]:
    yield Picture("picture", glimpses.beside(value[: glimpses.ITEMS, ..., :3].detach().float().cpu()))


@viewer("MASK")
def _mask(value: Tensor) -> Iterator[View]:
    grey = value[: glimpses.ITEMS].detach().float().cpu()
    yield Picture("mask", glimpses.beside(grey[..., None].expand(*grey.shape, 3)))


@viewer("SAMPLE", "START")
def _sample(value: Sample | Start) -> Iterator[View]:
    if value.space == PIXELS and value.tensor.shape[1] == 3:
        yield Picture("pixels", glimpses.of_batch(value.tensor, PIXELS))
        return
    yield Picture("the strongest three directions as colours", glimpses.principal(value.tensor))
    channels = value.tensor[0, :4].detach().float()
    yield Picture(f"channels 1 to {len(channels)} of the first item", glimpses.of_map(channels))


@viewer("TOKENS", "TOKEN_START")
def _tokens(value: Tokens | TokenStart) -> Iterator[View]:
    yield Picture("codes as colours", glimpses.of_tokens(value.tensor))


@viewer("CONDITION")
def _condition(value: Condition) -> Iterator[View]:
    for name, tensor in value.tensors.items():
        if tensor.ndim == 3 and tensor.is_floating_point():
            yield Picture(f"{name}: a row per token", glimpses.of_map(tensor[:1]))


@viewer("EMBEDDING")
def _embedding(value: Embedding) -> Iterator[View]:
    rows = value.tensor.detach().float().cpu()
    normed = torch.nn.functional.normalize(rows, dim=-1)[:8]
    cosines = (normed @ normed.T).tolist()
    if len(cosines) > 1:
        columns = ["cosine", *(str(index) for index in range(len(cosines)))]
        yield Table("similarity of the items", columns, [[str(i), *row] for i, row in enumerate(cosines)])
    widths = list(range(rows.shape[1]))
    yield Plot("components", "component", {f"item {i}": (widths, row.tolist()) for i, row in enumerate(rows[:2])})


@viewer("SCHEDULE")
def _schedule(value: NoiseSchedule) -> Iterator[View]:
    times = [float(time) for time in value.timesteps]
    yield Plot("signal left", "timestep", {"alpha_bar": (times, value.alpha_bar.tolist())})
    snr = (value.alpha_bar / (1 - value.alpha_bar)).clamp(1e-12, 1e12).log().tolist()
    yield Plot("log signal-to-noise ratio", "timestep", {"log SNR": (times, snr)})


@viewer("SCALE_SCHEDULE")
def _scale_schedule(value: ScaleSchedule) -> Iterator[View]:
    parts = list(range(_POINTS))
    scales = [scale_at(value, Progress(index, _POINTS, 0)) for index in parts]
    yield Plot("scale", "share of the run", {"scale": ([index / (_POINTS - 1) for index in parts], scales)})


@viewer("DENOISER")
def _denoiser(value: Denoiser) -> Iterator[View]:
    yield Table("expression", ["what", "with"], list(_expression(value, "", "")))


def _expression(node: Denoiser, name: str, indent: str) -> Iterator[tuple[str, str]]:
    label = f"{indent}{name}: " if name else indent
    if not isinstance(node, Combination):
        held = ", ".join(f"{key} {'×'.join(map(str, one.shape))}" for key, one in node.conditioning.items())
        yield label + type(node.network).__name__, held or "no condition"
        return
    shown = {key: f"{number:.4g}" if isinstance(number, float) else number for key, number in node.parameters.items()}
    told = [f"{key} {text if len(str(text)) < 24 else str(text)[:8] + '…'}" for key, text in shown.items()]
    if (node.start, node.end) != (0.0, 1.0):
        told.append(f"active from {node.start:.4g} to {node.end:.4g}")
    yield label + node.name, ", ".join(told)
    for key, child in node.inputs.items():
        yield from _expression(child, key, indent + "    ")
