"""Views that need to know the step of a run, or that show what they see: one object for each evaluation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from torch import Tensor

from ...diffusion.denoiser import Observed
from ...errors import GlidewireError
from ..additions import NOTHING, Additions, Attended, AttentionAddition
from ..halves import Encoded
from ..view import UnetView


class Call(AttentionAddition):
    """What a view does to attention in one evaluation, and what it has seen when that is over."""

    def seen(self) -> Mapping[str, Tensor]:
        """Named tensors, batch first, which predictions carry."""
        return {}


class CalledView(UnetView):
    """A view whose attention changes from step to step; other views lie below it, none above it."""

    @abstractmethod
    def call(self, timesteps: Tensor, conditioning: Mapping[str, Tensor], size: tuple[int, int]) -> Call:
        """What is done in one evaluation.

        Args:
            timesteps: "batch".
            conditioning: Prepared, of all rows.
            size: Height and width of x_t.
        """

    def __call__(
        self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor], additions: Additions = NOTHING
    ) -> Tensor | Observed:  # pyrefly: ignore
        """One batched evaluation; see the denoiser's own."""
        call = self.call(timesteps, conditioning, (x_t.shape[-2], x_t.shape[-1]))
        output = self.base(x_t, timesteps, conditioning, Additions((call,)) + additions)
        before: Mapping[str, Tensor] = {}
        if isinstance(output, Observed):
            output, before = output.output, output.seen
        seen = {**before, **call.seen()}
        return Observed(output, seen) if seen else output

    def way_down(
        self, x_t: Tensor, timesteps: Tensor, conditioning: Mapping[str, Tensor], additions: Additions = NOTHING
    ) -> Encoded:
        """Not there: what is done depends on the whole evaluation.

        Raises:
            GlidewireError: Always.
        """
        raise GlidewireError(
            f"nothing can be built on {type(self).__name__}",
            expected="edits of words as the last thing that is done to a denoiser",
            got="another edit of its inside after it",
            hint="Apply the other edit first.",
        )


def text_maps(attended: Attended, rows: Tensor) -> Tensor:
    """How much positions look at the context, of some rows: "rows heads positions context"."""
    return attended.maps(rows)[..., : attended.context]


def with_maps(attended: Attended, rows: Tensor, maps: Tensor) -> Tensor:
    """What is found where some rows "rows" have other maps "rows heads positions keys"; the others are as they were."""
    return attended.found.index_copy(0, rows, (maps @ attended.value[rows]).to(attended.found))


def marked(rows: Tensor, count: int) -> Tensor:
    """Places of the rows that are marked by 0 or more, of a condition "1 or batch, 1", int64."""
    return (rows.expand(count, 1)[:, 0] >= 0).nonzero().flatten()


def check_positions(what: str, expected: int, attended: Attended) -> None:
    """Raise a GlidewireError where a text is not the one that attention sees."""
    if attended.context != expected:
        raise GlidewireError(
            f"{what}: the text is not what this denoiser attends to",
            expected=f"{attended.context} positions",
            got=f"{expected} positions of the text encoder",
            hint="Take the text encoder that the denoiser's condition comes from.",
        )


def step_of(timesteps: tuple[float, ...], at: Tensor) -> int:
    """Steps before the one at a timestep, in a run over timesteps (noisiest first).

    Raises:
        GlidewireError: The run does not visit it.
    """
    found = float(at.flatten()[0])
    if found not in timesteps:
        raise GlidewireError(
            "an edit of words does not know this timestep",
            expected=f"one of the {len(timesteps)} timesteps of its schedule",
            got=found,
            hint="Wire the schedule that the sampler walks into the edit.",
        )
    return timesteps.index(found)
