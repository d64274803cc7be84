"""A claim as a workflow: several ways over the same prompts and seeds, their metrics, and differences in pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar, cast

from ...interfaces.api import Workflow
from ...interfaces.placeholders import Output
from ...models.clip.model import ClipModel
from ...nodes import clip, figures, images, measures, scene_world, values
from ...nodes.sockets import Image
from ...nodes.token_sockets import Embedding
from .. import parts
from ..page import Page, Shipped
from ..parts import file

T = TypeVar("T")
Ruler = tuple[ClipModel, Embedding]
ITEMS, PICTURES, TABLE = "Number of items", "Pictures of each", "Table"
PARTS = "Pictures of each part"
"""Where distributions are compared: their parts take the place of items."""


@dataclass(frozen=True)
class Expected:
    """That a metric is larger for one way than for another."""

    metric: str
    more: str
    less: str

    @property
    def title(self) -> str:
        """The node that measures it."""
        return f"{self.metric}: {self.more} over {self.less}"


@dataclass(frozen=True)
class Claim:
    """What a paper found, and the workflow that looks for it here.

    Args:
        build: Writes the workflow into a study.
        statement: What was found.
        source: Paper and section.
        expected: Which way each metric should differ.
        minis: The checkpoints without which it cannot run.
        remark: How this differs from the paper's own experiment.
    """

    build: Callable[[Study], None]
    statement: str
    source: str
    expected: tuple[Expected, ...]
    minis: tuple[str, ...]
    remark: str = ""

    def shipped(self, name: str) -> Shipped:
        """The claim as a workflow."""
        directions = "\n".join(f"- {one.metric}: {one.more} > {one.less}" for one in self.expected)
        note = "\n\n".join(filter(None, (self.statement, f"{self.source}. Expected:", directions, self.remark)))
        return Shipped(lambda page: self._written(page, name), note, self.minis)

    def _written(self, page: Page, name: str) -> None:
        study = Study(page)
        self.build(study)
        study.finish(name, self.expected)


def metrics_of(claim: Claim) -> dict[str, dict[str, int]]:
    """Metric -> way -> which output of the node of both their names holds it."""
    with Workflow() as flow:
        study = Study(Page(flow))
        claim.build(study)
    outputs = cast(Mapping[str, Mapping[str, Output]], study.metrics)
    return {metric: {way: one.wire.output for way, one in ways.items()} for metric, ways in outputs.items()}


class Study:
    """A page on which ways are measured.

    Args:
        page: Where the workflow is written.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.metrics: dict[str, dict[str, list[float]]] = {}
        self.shown: dict[str, Image] = {}
        self.pictures = 1

    def titled(self, title: str, outputs: T) -> T:
        """Give the node that was just called a title."""
        return self.page.titled(title, outputs)

    def prompts(self, count: int = 24, pictures: int = 4) -> tuple[str, int]:
        """Held-out prompts, and a seed for each: what they are wired to runs once for each."""
        with self.page.group("Held-out prompts, each with a seed of its own"):
            number = self.titled(ITEMS, values.integer(count))
            prompts = self.titled("Prompts", scene_world.scene_prompts(number))
            seeds = self.titled("Seeds", values.seed_list(0, number))
            self.pictures = self.titled(PICTURES, values.integer(pictures))
        return cast(str, prompts), cast(int, seeds)

    def scenes(self, count: int = 24, first: int = 9000, side: int = 32) -> tuple[Image, str, int]:
        """Fresh scenes with captions and seeds: what they are wired to runs once for each."""
        with self.page.group("Fresh scenes with their captions"):
            number = self.titled(ITEMS, values.integer(count))
            seeds = cast(int, self.titled("Seeds", values.seed_list(first, number)))
            scene = self.titled("Scenes", scene_world.render_scene(seeds, side))
        return scene.image, scene.caption, seeds

    def part_size(self, size: int) -> int:
        """How many items make a part, whose distribution is compared with another's."""
        with self.page.group("Parts of equal size"):
            return self.titled(PARTS, values.integer(size))

    def ruler(self, prompt: str) -> Ruler:
        """The CLIP that metrics are taken with, and its embedding of every prompt."""
        with self.page.group("The ruler"):
            model = self.titled("CLIP as a ruler", clip.load_clip(file(parts.CLIP)))
            return model, self.titled("Texts for the ruler", clip.clip_text_embedding(model, prompt)).embedding

    def measure(self, way: str, metric: str, value: float, title: str = "") -> None:
        """Take note of a metric of a way, one number for each item."""
        self.titled(title or f"{way}: {metric}", value)
        self.metrics.setdefault(metric, {})[way] = cast(list[float], value)

    def judge(self, way: str, image: Image, prompt: str, ruler: Ruler | None = None) -> None:
        """Ask the judge, and with a ruler also CLIP: how well pictures fit their text, and how much they differ."""
        self.shown[way] = image
        with self.page.group(f"Metrics: {way}"):
            self.measure(way, "judge", scene_world.judge_scenes(image, prompt).right)
            if ruler is not None:
                embedding = self.titled(f"{way}: embeddings", clip.clip_image_embedding(ruler[0], image))
                self.measure(way, "CLIP score", measures.clip_score(embedding, ruler[1], 1.0))
                self.measure(way, "diversity", measures.diversity(embedding))

    def finish(self, name: str, expected: tuple[Expected, ...]) -> None:
        """Write the table of means, the differences in pairs, and a sheet of the first item's pictures."""
        ways = list(next(iter(self.metrics.values())))
        with self.page.group("Table of means"):
            labels = self.titled("Ways", values.text_list("\n".join(ways)))
            columns = [
                values.collect_numbers(*(values.mean(found[way]) for way in ways)) for found in self.metrics.values()
            ]
            heads = ", ".join(["way", *self.metrics])
            table = self.titled(TABLE, figures.table(columns[0], labels, *columns[1:], names=heads))
            self.titled("Show the table", values.show_text(table))
        with self.page.group("Differences in pairs, with their standard errors"):
            for one in expected:
                found = self.metrics[one.metric]
                self.titled(one.title, measures.paired_difference(found[one.more], found[one.less]))
        if self.shown:
            self._sheet(name)

    def _sheet(self, name: str) -> None:
        with self.page.group("Pictures of the first item"):
            firsts = [values.pick(cast(list[Image], image), 0) for image in self.shown.values()]
            every = self.titled("All", reduce(images.concatenate_images, firsts))
            large = self.titled("Enlarge", images.resize_image(every, 128, 128, "bicubic"))
            rows = "\n".join(self.shown)
            sheet = figures.labelled_grid(large, row_labels=rows, columns=self.pictures, letters=16)
            self.titled("Save", images.save_image(self.titled("Sheet", sheet), f"claims/{name}"))
