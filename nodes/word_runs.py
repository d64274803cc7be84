"""How the nodes of words meet the views of attention: rows, edits, blends, and runs that gather maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..diffusion import guidance, samplers, solvers, token_alignment
from ..diffusion.denoiser import Denoiser, Leaf
from ..diffusion.noise import SeededNoise
from ..diffusion.prompt_to_prompt import CrossEdit, PromptToPrompt, SelfInjection, Window, word_windows
from ..diffusion.prompt_weights import require_weight
from ..diffusion.rewriting import with_leaves
from ..diffusion.samplers import StepRecord
from ..diffusion.schedules import NoiseSchedule
from ..diffusion.token_alignment import Tokenization
from ..errors import GlidewireError
from ..graph_runtime.context import Context
from ..models.view import free_name
from . import masking, prompt_texts
from .sampling import require_space, start_index
from .sockets import Start


@dataclass(frozen=True)
class EditSettings:
    """How a target is made from its source; see `nodes.prompt_editing.prompt_to_prompt`."""

    mode: str
    weights: Mapping[str | int, float]
    cross: Window
    within: Window
    words: Mapping[str | int, Window]


def word_weights(tokens: Tokenization, prompt: str, weights: str, region: Tensor | None, outside: float) -> Tensor:
    """The weight of each position in each place, "1 or batch, positions, height, width"; 1 x 1 without a region."""
    factors = prompt_texts.weights_of(weights)
    inside = token_alignment.equalizer(tokens, prompt, factors)[None, :, None, None]
    if region is None:
        return inside
    require_weight("what is outside of the region", outside)
    named = token_alignment.word_selection(tokens, prompt, list(factors))[None, :, None, None]
    beyond = torch.where(named > 0, torch.full_like(inside, outside), inside)
    return beyond + (inside - beyond) * masking.region(region, "the words'")


def _changed(
    denoiser: Denoiser, branches: Mapping[int, Leaf], make: Callable[[Any], Any], leaf_of: Callable[[Any, Leaf], Leaf]
) -> Denoiser:
    """An expression whose leaves of the branches' networks are those of one view for each network."""
    networks = {id(leaf.network): leaf.network for leaf in branches.values()}
    views = {identity: make(network) for identity, network in networks.items()}

    def changed(leaf: Leaf) -> Leaf:
        return leaf_of(views[id(leaf.network)], leaf) if id(leaf.network) in views else leaf

    return with_leaves(denoiser, changed)


def weighed(denoiser: Denoiser, branches: Mapping[int, Leaf], factors: Tensor) -> Denoiser:
    """The branches with words that are weighed; all others weigh 1."""
    from ..models.attention.words import WeighedWords

    def leaf_of(view: WeighedWords, leaf: Leaf) -> Leaf:
        weights = factors if id(leaf) in branches else torch.ones_like(factors)
        return Leaf(view, {**leaf.conditioning, view.weights: weights})

    def make(network: Any) -> WeighedWords:
        return WeighedWords(network, free_name(network, "words"))

    return _changed(denoiser, branches, make, leaf_of)


def shown(denoiser: Denoiser, branches: Mapping[int, Leaf], selected: Tensor, places: str) -> Denoiser:
    """The same expression, whose first branch shows where words act."""
    from ..models.attention.words import ShownWords

    first = next(iter(branches))

    def leaf_of(view: ShownWords, leaf: Leaf) -> Leaf:
        marked = torch.zeros(1, 1) if id(leaf) == first else -torch.ones(1, 1)
        return Leaf(view, {**leaf.conditioning, view.rows: marked})

    def make(network: Any) -> ShownWords:
        return ShownWords(network, selected, places, free_name(network, "shown_words"))

    return _changed(denoiser, branches, make, leaf_of)


@torch.no_grad()
def word_maps(
    denoiser: Denoiser, schedule: NoiseSchedule, start: Start, settings: tuple[int, bool], context: Context
) -> Tensor:
    """Where words act in a step of a run, or (-1) in the mean over its steps: "batch words rows columns".

    Settings are the step, and whether x_0 is clipped.
    """
    step, clip = settings
    require_space(denoiser, start.space)
    first = start_index(start, schedule)
    if not (step == -1 or first <= step < len(schedule)):
        raise GlidewireError(
            "the run has no such step", expected=f"{first} to {len(schedule) - 1}, or -1 for all", got=step
        )
    found: list[Tensor] = []

    def gather(record: StepRecord) -> None:
        context.progress(record.index + 1, record.total)
        if step in (-1, record.index):
            found.append(record.prediction.observed["words"].float().cpu())

    samplers.sample(
        denoiser,
        schedule,
        start.tensor.to(context.policy.torch_device),
        solvers.ddim(0.0, clip=clip),
        SeededNoise(start.seeds, start.first_item),
        start_index=first,
        stop_index=None if step == -1 else step + 1,
        on_step=gather,
    )
    return torch.stack(found).mean(dim=0)


def heat(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps "batch words rows columns" as pictures "batch*words height width 3": black, red, yellow, white."""
    flat = maps.flatten(0, 1)[:, None]
    low, high = flat.amin(dim=(-2, -1), keepdim=True), flat.amax(dim=(-2, -1), keepdim=True)
    level = F.interpolate((flat - low) / (high - low).clamp(min=1e-12), size, mode="bilinear")[:, 0]
    return torch.stack([(3 * level - shift).clamp(0, 1) for shift in range(3)], dim=-1)


def edit_of(tokens: Tokenization, source: str, target: str, steps: int, settings: EditSettings) -> PromptToPrompt:
    """The edit of one target; errors as its parts."""
    parts: dict[str, Any] = {}
    if settings.mode == "replace":
        parts["mapper"] = token_alignment.replacement(tokens, source, target)
    elif settings.mode == "refine":
        parts["refinement"] = token_alignment.refinement(tokens, source, target)
    if settings.weights:
        parts["factors"] = token_alignment.equalizer(tokens, target, settings.weights)
    alpha = word_windows(tokens, target, steps, settings.cross, settings.words)
    return PromptToPrompt([CrossEdit(alpha, **parts)], SelfInjection(settings.within, steps))


def blend_words(
    tokens: Tokenization, source: str, target: str, of_source: Sequence[str], of_target: Sequence[str]
) -> Tensor:
    """The positions of the words that a blend keeps to, "1 prompts positions"."""
    each = [
        token_alignment.word_selection(tokens, prompt, words)
        for prompt, words in ((source, of_source), (target, of_target))
    ]
    return torch.stack(each)[None]


def edited(
    denoiser: Denoiser,
    branches: Mapping[int, Leaf],
    texts: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
    edit: tuple[PromptToPrompt, NoiseSchedule, Tensor | None],
) -> Denoiser:
    """The expression over two items: branches under the source become source and target, whose maps are edited.

    Texts are the source and the target, as their encoder makes them.
    """
    from ..models.attention.prompt_to_prompt import Prompted

    pair = torch.tensor([[0.0], [1.0]])

    def leaf_of(view: Prompted, leaf: Leaf) -> Leaf:
        if id(leaf) not in branches:
            return Leaf(view, {**leaf.conditioning, view.rows: -torch.ones(1, 1)})
        both = {
            name: torch.cat([leaf.conditioning[name], value.to(leaf.conditioning[name])])
            for name, value in (prompt_texts.retold(leaf, *texts) or {}).items()
        }
        _require_one_item(both)
        return Leaf(view, {**leaf.conditioning, **both, view.rows: pair})

    def make(network: Any) -> Prompted:
        plan, schedule, selected = edit
        name = free_name(network, "prompt_to_prompt")
        return Prompted(network, plan, schedule, selected, name=name)

    return _changed(denoiser, branches, make, leaf_of)


def _require_one_item(pair: Mapping[str, Tensor]) -> None:
    """Raise a GlidewireError where a condition is not that of one source and one target."""
    for value in pair.values():
        if len(value) != 2:
            raise GlidewireError(
                "prompt-to-prompt edits one item",
                expected="a denoiser under one prompt (and one embedding)",
                got=f"{len(value) // 2} items",
                hint="Take the items of the batch one by one.",
            )


def kept_outside(denoiser: Denoiser, threshold: float, start: float) -> Denoiser:
    """The local blend of an edited expression."""
    return guidance.local_blend(denoiser, threshold, start=start)
