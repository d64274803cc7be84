"""What a claim's workflow measured, the verdict on it, and the page that tells both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...interfaces.api import Workflow
from ...metrics.comparisons import paired_difference
from .study import PICTURES, Claim, Expected

ERRORS = 2.0
"""A difference counts where it is larger than so many of its standard errors."""

_HEAD = """# Claims

What the papers found, redone in miniature with the shipped minis. Each claim is a workflow in `workflows/claims/`, with
its metrics as nodes: open it, change a number, run it again. Written from the runs' own output by
`python -m glidewire.workflows.claims`: do not edit.

All ways of a claim draw from the same prompts, seeds and noise, so that differences are taken in pairs: the mean over
items and its standard error. A direction *holds* where the difference is larger than two standard errors, is
*reversed* where it is so the other way round, and is *undecided* in between. The judge (`scenes/judge.py`) is classical
image analysis: its figure is the share of pictures in which everything the prompt states is right.

These are toy models of a toy world on a handful of pictures. They show that the machinery can ask such questions, and
what it answers here; they confirm or refute no paper.
"""


@dataclass(frozen=True)
class Difference:
    """A difference of two ways in a metric: its mean over items, and its standard error."""

    expected: Expected
    mean: float
    standard_error: float

    @property
    def verdict(self) -> str:
        """holds, reversed, or undecided."""
        if abs(self.mean) <= ERRORS * self.standard_error or self.mean == 0:
            return "undecided"
        return "holds" if self.mean > 0 else "reversed"


@dataclass(frozen=True)
class Finding:
    """What a run of a claim's workflow gave.

    Args:
        items: How many prompts or scenes.
        pictures: How many pictures of each, for each way.
        means: Metric -> way -> mean over the items.
        differences: What was expected, measured.
    """

    items: int
    pictures: int
    means: Mapping[str, Mapping[str, float]]
    differences: tuple[Difference, ...]

    @property
    def verdict(self) -> str:
        """holds, does not hold, holds in part, or not shown."""
        found = {difference.verdict for difference in self.differences}
        if found == {"holds"}:
            return "holds"
        if "holds" in found:
            return "holds in part"
        return "does not hold" if "reversed" in found else "not shown"

    def as_json(self) -> dict[str, Any]:
        """Plain JSON."""
        differences = [
            {
                "metric": one.expected.metric, "more": one.expected.more, "less": one.expected.less,
                "mean": one.mean, "standard_error": one.standard_error,
            }
            for one in self.differences
        ]  # fmt: skip
        return {"items": self.items, "pictures": self.pictures, "means": self.means, "differences": differences}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Finding:
        """Read back what `as_json` wrote."""
        differences = tuple(
            Difference(Expected(one["metric"], one["more"], one["less"]), one["mean"], one["standard_error"])
            for one in found["differences"]
        )
        return cls(found["items"], found["pictures"], found["means"], differences)


def numbers(flow: Workflow, metrics: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, list[float]]]:
    """Run what the metrics need: metric -> way -> one number for each item."""
    asked: dict[tuple[str, str], Any] = {}
    for metric, ways in metrics.items():
        for way, output in ways.items():
            node = flow.node(f"{way}: {metric}")
            asked[metric, way] = node[output] if isinstance(node, tuple) else node
    results = flow.run(*asked.values())
    return {metric: {way: list(results[asked[metric, way]]) for way in ways} for metric, ways in metrics.items()}


def measured(flow: Workflow, claim: Claim, metrics: Mapping[str, Mapping[str, int]]) -> Finding:
    """Run a claim's workflow and measure every difference that is expected."""
    found = numbers(flow, metrics)
    differences = tuple(
        Difference(one, *paired_difference(found[one.metric][one.more], found[one.metric][one.less]))
        for one in claim.expected
    )
    means = {metric: {way: sum(values) / len(values) for way, values in ways.items()} for metric, ways in found.items()}
    items = len(next(iter(next(iter(found.values())).values())))
    return Finding(items, _pictures(flow), means, differences)


def _pictures(flow: Workflow) -> int:
    for call in flow.graph.calls.values():
        if call.title == PICTURES:
            return int(call.inputs["value"])
    return 1


def page(claims: Mapping[str, Claim], findings: Mapping[str, Finding], pictures: Iterable[str] = ()) -> str:
    """The page of all claims: a table of verdicts, and a section for each with its figures."""
    rows = ["| claim | expected, and measured | items | verdict |", "|---|---|---:|---|"]
    sections = []
    for name, claim in claims.items():
        finding = findings.get(name)
        if finding is None:
            continue
        told = "<br>".join(map(_told, finding.differences))
        size = f"{finding.items}" if finding.pictures == 1 else f"{finding.items} × {finding.pictures}"
        rows.append(f"| [{name}](#{name}) | {told} | {size} | **{finding.verdict}** |")
        sections.append(_section(name, claim, finding, name in set(pictures)))
    return "\n".join([_HEAD, *rows, "", *sections])


def _told(one: Difference) -> str:
    more, less = one.expected.more, one.expected.less
    return f"{one.expected.metric}: {more} > {less}: {one.mean:+.3g} ± {one.standard_error:.1g}, {one.verdict}"


def _section(name: str, claim: Claim, finding: Finding, has_picture: bool) -> str:
    metrics = list(finding.means)
    ways = list(finding.means[metrics[0]])
    lines = [f"| way | {' | '.join(metrics)} |", f"|---|{'---:|' * len(metrics)}"]
    lines += [f"| {way} | {' | '.join(f'{finding.means[metric][way]:.3g}' for metric in metrics)} |" for way in ways]
    parts = [f"## {name}", f"{claim.statement} *({claim.source})*", claim.remark, "\n".join(lines)]
    if has_picture:
        parts.append(f"![The pictures of the first item, one row for each way](pictures/claims/{name}.webp)")
    return "\n\n".join(filter(None, parts)) + "\n"
