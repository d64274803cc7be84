"""Strict loading: every tensor has its place and shape, or the error lists all that have not."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor, nn

from ..errors import GlidewireError
from .header import Header, open_tensors
from .key_map import KeyMap, published_shapes

# Comparing names is quadratic: with a wrong file there is nothing to suggest anyway.
_SUGGESTIONS = 40


class StrictLoadError(GlidewireError):
    """A checkpoint's tensors are not the ones that its network needs; carries the complete lists."""

    def __init__(
        self,
        where: str,
        missing: Collection[str],
        unexpected: Collection[str],
        misshaped: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]],
    ) -> None:
        self.missing, self.unexpected, self.misshaped = tuple(missing), tuple(unexpected), dict(misshaped)
        counts = f"{len(missing)} missing, {len(unexpected)} unexpected, {len(misshaped)} of another shape"
        lines = [f"{where} does not fit its network: {counts}"]
        if missing:
            lines += ["missing:", *_grouped(missing), *_suggestions(missing, unexpected)]
        if unexpected:
            lines += ["unexpected:", *_grouped(unexpected)]
        if misshaped:
            lines += ["of another shape:"]
            lines += [f"  {key}: expected {list(want)}, got {list(got)}" for key, (want, got) in misshaped.items()]
        super().__init__("\n".join(lines))


def load_strict(
    module: nn.Module,
    header: Header,
    key_map: KeyMap,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    ignored: Collection[str] = (),
    exact: Collection[str] = (),
) -> None:
    """Fill a module (usually built on the meta device) from a checkpoint, one tensor at a time.

    The module's parameters are replaced by frozen ones on `device`; at no time is more than one tensor held
    twice.

    Args:
        module: Its state dict's keys are the targets of `key_map`.
        header: The checkpoint.
        key_map: Published keys to the module's.
        device: Where the weights go.
        dtype: What floating-point weights become; None keeps each as it is stored.
        ignored: Beginnings of published keys that the network does not use (optimizer state, losses).
        exact: Beginnings of the module's keys that keep the dtype they are stored in.

    Raises:
        StrictLoadError: Any key is missing, unexpected or of another shape; the module is then unchanged.
        GlidewireError: The file changed since its header was read, or weights are NaN or infinite.
    """
    broken: list[str] = []
    overflown = False
    check_strict(header, published_shapes(module, key_map), ignored=ignored)
    # Parameters made in inference mode could never be used outside of it.
    with torch.inference_mode(False), torch.no_grad(), open_tensors(header) as read:
        for entry in key_map:
            parts = entry.load([read(source) for source in entry.sources])
            for name, part in zip(entry.targets, parts, strict=True):
                kind = dtype if part.is_floating_point() and not name.startswith(tuple(exact)) else None
                # A copy, since the file may be overwritten while it is mapped.
                value = part.to(device=device, dtype=kind or part.dtype, copy=True)
                is_weight = _assign(module, name, value.contiguous())
                if is_weight and not _is_finite(value):  # tables may be infinite: masks
                    broken.append(", ".join(entry.sources))
                    overflown |= _is_finite(part)
        carried = {name for entry in key_map for name in entry.targets}
        for name, value in module.named_buffers():
            # Tables that no file carries, such as causal masks.
            if name not in carried and not value.is_meta:
                _assign(module, name, value.to(device))
    if broken:
        raise _broken(header, broken, dtype if overflown else None)


def check_strict(header: Header, expected: Mapping[str, tuple[int, ...]], *, ignored: Collection[str] = ()) -> None:
    """Raise StrictLoadError unless a header has exactly the expected keys and shapes."""
    found = {key: shape for key, shape in header.shapes.items() if not key.startswith(tuple(ignored))}
    missing = [key for key in expected if key not in found]
    unexpected = [key for key in found if key not in expected]
    misshaped = {key: (shape, found[key]) for key, shape in expected.items() if key in found and found[key] != shape}
    if missing or unexpected or misshaped:
        raise StrictLoadError(header.name, missing, unexpected, misshaped)


def _is_finite(value: Tensor) -> bool:
    """Whether all numbers are finite: nearly always told by the sum, which is quick."""
    if not value.is_floating_point() or value.is_meta:
        return True
    value = value.float() if value.dtype.itemsize == 1 else value
    return bool(value.sum(dtype=torch.float32).isfinite()) or bool(value.isfinite().all())


def _broken(header: Header, keys: list[str], dtype: torch.dtype | None) -> GlidewireError:
    listed = "; ".join(keys[:6]) + (f" and {len(keys) - 6} more" if len(keys) > 6 else "")
    if dtype is not None:
        short = str(dtype).removeprefix("torch.")
        return GlidewireError(
            f"{header.name} holds weights that are too large for {short}",
            got=listed,
            hint="Use bfloat16 or float32.",
        )
    return GlidewireError(
        f"{header.name} holds weights that are NaN or infinite",
        expected="finite numbers",
        got=listed,
        hint="The training diverged or the file is damaged: take another checkpoint, or download it again.",
    )


def _assign(module: nn.Module, name: str, value: Tensor) -> bool:
    """Put a value into its place; returns whether that is a parameter's."""
    owner, _, leaf = name.rpartition(".")
    place = module.get_submodule(owner)
    is_parameter = isinstance(getattr(place, leaf), nn.Parameter)
    setattr(place, leaf, nn.Parameter(value, requires_grad=False) if is_parameter else value)
    return is_parameter


def _grouped(keys: Iterable[str]) -> list[str]:
    """One line a layer: `input_blocks.3.1.qkv: weight, bias`."""
    layers: defaultdict[str, list[str]] = defaultdict(list)
    for key in keys:
        layer, _, leaf = key.rpartition(".")
        layers[layer].append(leaf)
    return [
        f"  {layer}: {', '.join(leaves)}" if layer else f"  {', '.join(leaves)}" for layer, leaves in layers.items()
    ]


def _suggestions(missing: Collection[str], unexpected: Collection[str]) -> list[str]:
    """For each missing key, the unexpected key whose name is nearest."""
    lines: list[str] = []
    if max(len(missing), len(unexpected)) > _SUGGESTIONS:
        return lines
    for key in missing:
        nearest = difflib.get_close_matches(key, list(unexpected), n=1, cutoff=0.75)
        lines += [f"  {key}: did the file mean {nearest[0]}?"] if nearest else []
    return lines
