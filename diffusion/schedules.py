"""Noise schedules in float64, and the exact lists of kept timesteps that published samplers name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..errors import GlidewireError


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """The signal left at each kept timestep: q(x_t | x_0) = N(sqrt(alpha_bar) x_0, (1 - alpha_bar) I).

    Source: Ho et al. 2020, eq. 4. Index 0 has the least noise; a sampler walks the indices downwards.
    Everything else is derived from `alpha_bar`, so a shortened schedule is simply one with fewer entries.

    Args:
        timesteps: Original ids (int) or times (float), increasing: what the network was trained with and is given.
        alpha_bar: [steps] float64, never increasing, in [0, 1].
        clean_alpha_bar: Signal that the last step of a sampler arrives at.

    Raises:
        GlidewireError: If the two do not fit together or alpha_bar is not a schedule.
    """

    timesteps: tuple[float, ...]
    alpha_bar: Tensor
    clean_alpha_bar: float = 1.0

    def __post_init__(self) -> None:
        if self.alpha_bar.ndim != 1 or len(self.timesteps) != self.alpha_bar.shape[0] or not self.timesteps:
            raise GlidewireError(
                "Noise schedule: timesteps and alpha_bar do not fit together",
                expected="one alpha_bar for each of one or more timesteps",
                got=f"{len(self.timesteps)} timesteps and alpha_bar of shape {list(self.alpha_bar.shape)}",
            )
        if any(b <= a for a, b in zip(self.timesteps, self.timesteps[1:], strict=False)):
            raise GlidewireError("Noise schedule: timesteps must increase", got=list(self.timesteps))
        alpha_bar = self.alpha_bar.detach().to("cpu", torch.float64, copy=True)
        inside = bool(((alpha_bar >= 0) & (alpha_bar <= 1)).all())
        if not inside or bool((alpha_bar.diff() > 0).any()):
            raise GlidewireError(
                "Noise schedule: alpha_bar is not a schedule",
                expected="numbers in [0, 1] that never increase with the timestep",
                got=f"a range of {alpha_bar.min().item():.4g} to {alpha_bar.max().item():.4g}",
            )
        if not alpha_bar[0] <= self.clean_alpha_bar <= 1:
            raise GlidewireError(
                "Noise schedule: impossible clean_alpha_bar",
                expected=f"{alpha_bar[0].item():.4g} to 1",
                got=self.clean_alpha_bar,
            )
        object.__setattr__(self, "alpha_bar", alpha_bar)

    def __len__(self) -> int:
        return len(self.timesteps)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NoiseSchedule) and self.signature() == other.signature()

    def __hash__(self) -> int:
        return hash(self.signature())

    def signature(self) -> str:
        """Exact text of the schedule ("id:alpha_bar" in hexadecimal floats): equal text, equal schedule."""
        return self._signature

    @cached_property
    def _signature(self) -> str:
        entries = zip(self.timesteps, self.alpha_bar.tolist(), strict=True)
        clean = "" if self.clean_alpha_bar == 1 else f"clean:{float.hex(self.clean_alpha_bar)},"
        return clean + ",".join(f"{timestep}:{float.hex(value)}" for timestep, value in entries)

    @cached_property
    def alpha_bar_previous(self) -> Tensor:
        """alpha_bar of the next cleaner kept step; clean_alpha_bar before the first. [steps] float64."""
        return torch.cat([self.alpha_bar.new_tensor([self.clean_alpha_bar]), self.alpha_bar[:-1]])

    @cached_property
    def betas(self) -> Tensor:
        """beta_i = 1 - alpha_bar_i / alpha_bar_{i-1} over the *kept* steps. [steps] float64.

        Source: Nichol & Dhariwal 2021, eq. 19 (Improved DDPM, section 4).
        """
        return 1 - self.alpha_bar / self.alpha_bar_previous

    @cached_property
    def posterior_variance(self) -> Tensor:
        """beta~ = beta (1 - alpha_bar_previous) / (1 - alpha_bar). [steps] float64.

        Source: Ho et al. 2020, eq. 7.
        """
        return self.betas * (1 - self.alpha_bar_previous) / (1 - self.alpha_bar)

    @cached_property
    def posterior_log_variance_clipped(self) -> Tensor:
        """log beta~, where the first entry (log 0) repeats the second. [steps] float64.

        A schedule of one step has no second entry and takes log beta.
        """
        first = self.posterior_variance[1] if len(self) > 1 else self.betas[0]
        return torch.cat([first[None], self.posterior_variance[1:]]).log()

    @cached_property
    def posterior_mean_x_0(self) -> Tensor:
        """Coefficient of x_0 in the posterior mean. [steps] float64. Source: Ho et al. 2020, eq. 7."""
        return self.betas * self.alpha_bar_previous.sqrt() / (1 - self.alpha_bar)

    @cached_property
    def posterior_mean_x_t(self) -> Tensor:
        """Coefficient of x_t in the posterior mean. [steps] float64. Source: Ho et al. 2020, eq. 7."""
        return (1 - self.alpha_bar_previous) * (1 - self.betas).sqrt() / (1 - self.alpha_bar)


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise GlidewireError("Noise schedule: too few steps", expected="at least 1", got=steps)


def _from_betas(betas: Tensor) -> NoiseSchedule:
    if not bool(((betas > 0) & (betas <= 1)).all()):
        raise GlidewireError(
            f"Noise schedule of {len(betas)} steps: a beta leaves its range",
            expected="0 < beta <= 1",
            got=f"{betas.min().item():.4g} to {betas.max().item():.4g}",
            hint="Use more steps, or a smaller last beta.",
        )
    return NoiseSchedule(tuple(range(len(betas))), torch.cumprod(1 - betas, dim=0))


def squared_cosine(steps: int = 1000) -> NoiseSchedule:
    """The squared-cosine schedule: alpha_bar(t) = cos^2((t + 0.008) / 1.008 · pi / 2), betas capped at 0.999.

    Args:
        steps: Number of timesteps over t in [0, 1].

    Raises:
        GlidewireError: If `steps` is below 1.

    Source: Nichol & Dhariwal 2021, eq. 17 ("squaredcos_cap_v2").
    """
    _check_steps(steps)

    def signal(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - signal((i + 1) / steps) / signal(i / steps), 0.999) for i in range(steps)]
    return _from_betas(torch.tensor(betas, dtype=torch.float64))


def linear(steps: int = 1000, start: float = 1e-4, end: float = 0.02) -> NoiseSchedule:
    """Betas evenly spaced from `start` to `end`, both scaled by 1000 / steps.

    Args:
        steps: Number of timesteps.
        start: First beta of a 1000-step schedule.
        end: Last beta of a 1000-step schedule.

    Raises:
        GlidewireError: If `steps` is below 1 or a beta leaves (0, 1].

    Source: Ho et al. 2020, section 4; the scaling is Dhariwal & Nichol's.
    """
    _check_steps(steps)
    scale = 1000 / steps
    return _from_betas(torch.linspace(scale * start, scale * end, steps, dtype=torch.float64))


def scaled_linear(steps: int = 1000, start: float = 0.00085, end: float = 0.012) -> NoiseSchedule:
    """Betas whose square roots are evenly spaced: beta_i = linspace(sqrt(start), sqrt(end))_i^2.

    Args:
        steps: Number of timesteps.
        start: First beta.
        end: Last beta.

    Raises:
        GlidewireError: If `steps` is below 1 or a beta leaves (0, 1].

    Source: Rombach et al. 2022 (latent diffusion's published configurations).
    """
    _check_steps(steps)
    return _from_betas(torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2)


SCHEDULES: Mapping[str, Callable[..., NoiseSchedule]] = {
    "squaredcos_cap_v2": squared_cosine,
    "linear": linear,
    "scaled_linear": scaled_linear,
}
"""Schedules by the names that published configurations use."""


_LATENT = ("uniform", "quad")


def respace(schedule: NoiseSchedule, spacing: str) -> NoiseSchedule:
    """Keep some of a schedule's timesteps, with the exact index list that the published name stands for.

    Args:
        schedule: The schedule the network was trained with.
        spacing: "" keeps all; "100" keeps that many, evenly; "10,10,3,2,2" divides the schedule into as many
            sections and keeps that many of each; "fast27" is "10,10,3,2,2" with the last index 999 replaced
            by 997 (GLIDE's upsampler); "ddim50" takes the one integer stride that keeps exactly 50.

    Returns:
        A schedule of the kept entries; betas follow from the kept alpha_bar.

    Raises:
        GlidewireError: If the spacing cannot be read or asks for more steps than there are.

    Source: Nichol & Dhariwal 2021, section 4; Song et al. 2021 (DDIM), appendix D.2, for integer strides and squares.
    """
    kept = kept_indices(len(schedule), spacing)
    timesteps = tuple(schedule.timesteps[i] for i in kept)
    latent = spacing.strip().startswith(_LATENT)
    clean = float(schedule.alpha_bar[0]) if latent else schedule.clean_alpha_bar
    return NoiseSchedule(timesteps, schedule.alpha_bar[list(kept)], clean)


def kept_indices(steps: int, spacing: str) -> tuple[int, ...]:
    """The increasing indices in range(steps) that a spacing keeps; grammar and errors as in `respace`."""
    text = spacing.strip()
    if text == "":
        return tuple(range(steps))
    if text == "fast27":
        kept = kept_indices(steps, "10,10,3,2,2")
        if steps - 3 in kept:
            raise _unreadable(spacing, f"a schedule long enough to drop its last step for {steps - 3}", steps)
        return tuple(sorted({*kept[:-1], steps - 3}))
    if text.startswith("ddim"):
        return _integer_stride(steps, spacing, text.removeprefix("ddim"))
    if text.startswith(_LATENT):
        return _latent(steps, spacing, text)
    counts = [_count(part, spacing) for part in text.split(",")]
    return _sections(steps, counts, spacing)


def require_spacing(spacing: str, steps: int | None = None) -> None:
    """Raise the GlidewireError that `respace` would, as far as it can be told.

    Args:
        spacing: As in `respace`.
        steps: The number of timesteps, where it is known.
    """
    if steps is not None:
        kept_indices(steps, spacing)
    elif (text := spacing.strip()) not in ("", "fast27"):
        name = next((name for name in ("ddim", *_LATENT) if text.startswith(name)), "")
        for part in [text.removeprefix(name)] if name else text.split(","):
            _count(part, spacing)


def _integer_stride(steps: int, spacing: str, wanted: str) -> tuple[int, ...]:
    count = _count(wanted, spacing)
    for stride in range(1, steps + 1):
        kept = range(0, steps, stride)
        if len(kept) == count:
            return tuple(kept)
    raise _unreadable(spacing, f"a count that an integer stride over {steps} steps can give", count)


def _latent(steps: int, spacing: str, text: str) -> tuple[int, ...]:
    """Latent diffusion's lists, all one above an even grid or squares; a timestep that repeats is kept once."""
    name = next(name for name in _LATENT if text.startswith(name))
    count = _count(text.removeprefix(name), spacing)
    if count > steps:
        raise _unreadable(spacing, f"at most {steps}", count)
    if name == "uniform":
        kept = [index + 1 for index in range(0, steps, steps // count)]
    else:
        roots = torch.linspace(0, math.sqrt(steps * 0.8), count, dtype=torch.float64)
        kept = [int(root**2) + 1 for root in roots.tolist()]
    if kept[-1] >= steps:
        raise _unreadable(spacing, f"a count whose last timestep is below {steps}", count)
    return tuple(dict.fromkeys(kept))


def _sections(steps: int, counts: list[int], spacing: str) -> tuple[int, ...]:
    """Evenly spaced indices, first and last included, in each of len(counts) nearly equal sections."""
    base, longer = divmod(steps, len(counts))
    kept: list[int] = []
    start = 0
    for section, count in enumerate(counts):
        size = base + (section < longer)
        if count > size:
            raise _unreadable(spacing, f"at most {size} in section {section + 1} of {steps} steps", count)
        stride = (size - 1) / (count - 1) if count > 1 else 1.0
        position = 0.0
        for _ in range(count):
            # Accumulated floats and round-half-even: the published lists depend on both.
            kept.append(start + round(position))
            position += stride
        start += size
    return tuple(kept)


def _count(part: str, spacing: str) -> int:
    digits = part.strip()
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 9 and int(digits) > 0):
        raise _unreadable(spacing, "positive whole numbers", part)
    return int(digits)


def _unreadable(spacing: str, expected: str, got: object) -> GlidewireError:
    return GlidewireError(
        f"Respacing {spacing!r}: impossible",
        expected=expected,
        got=got,
        hint='Write "100", "10,10,3,2,2", "fast27", "ddim50", "uniform50" or "quad50".',
    )
