"""The recipe of mini Asyrp: a direction f_t in mini GLIDE's bottleneck that changes one attribute of what is drawn."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from ..diffusion import samplers, schedules, solvers
from ..diffusion.denoiser import Denoiser, Leaf
from ..diffusion.editing import edit_end
from ..diffusion.editing_losses import asyrp_loss, contrastive_loss, directional_loss
from ..diffusion.evaluator import Evaluator
from ..diffusion.noise import SeededNoise
from ..diffusion.prediction import Step
from ..diffusion.samplers import StepRecord
from ..errors import GlidewireError
from ..models import halves
from ..models.asyrp import edit, layout
from ..models.asyrp.directions import DeltaBlocks
from ..models.asyrp.spec import DeltaBlockSpec
from ..models.checkpoint import save_published
from ..models.clip.model import ClipModel, load_clip
from ..models.glide.model import GlideModel, load_model
from ..models.hyper_parameters import SPEC, to_json
from ..scenes import Described, Statement, sample_scene, worded
from ..scenes.world import COLOURS, GROUNDS, SHAPES, SIZES
from . import batches
from .commands import Options, recipe_command, run_command
from .painters import to_bytes
from .run import Course, Lesson

# What a direction changes, and the words between which CLIP tells what a picture shows.
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {"colour": tuple(COLOURS), "size": SIZES, "shape": SHAPES}
CHANGED: Mapping[str, str] = {"blue": "colour", "large": "size", "sphere": "shape"}


@dataclass(frozen=True)
class AsyrpCourse(Course):
    """The numbers of a direction's recipe; pictures are drawn by the model itself, so that there is no pool.

    Attributes:
        direction: What pictures become.
        run_steps: DDIM steps of a run.
        start: The first part of a run that is left as it is, because it shows nothing yet that a word could change.
        t_edit: The last timestep that is edited.
        keep: Weight of staying near the picture as it was, in L1; see `editing_losses.asyrp_loss`.
        contrast: Weight of CLIP's telling what the picture shall show from all other statements of one solid. The
            published loss alone turns solids blue by dissolving them, as nothing else is nearer to any word.

    Raises:
        GlidewireError: There is no such direction.
    """

    minutes: float = 8.0
    batch_size: int = 16
    learning_rate: float = 4e-3
    warm_up_steps: int = 20
    ema: float = 0.99
    tints: float = 0.0
    direction: str = "blue"
    run_steps: int = 20
    start: float = 0.15
    t_edit: int = 200
    keep: float = 3.0
    contrast: float = 1.0

    def __post_init__(self) -> None:
        if self.direction not in CHANGED:
            raise GlidewireError("direction", expected=" or ".join(CHANGED), got=self.direction)


@dataclass(frozen=True)
class Walk:
    """Pictures that are being drawn twice, as they are and edited.

    Attributes:
        leaf: The denoiser under prompts that leave out what is edited.
        shown: Which of all statements of one solid the plain pictures show, by CLIP, "batch".
        wanted: Which of them they shall show, "batch".
        plain: The clean sample that each step of the plain run predicted, "batch 3 height width".
        x_t: Where the edited run is.
        index: Its next step.
    """

    leaf: Leaf
    shown: Tensor
    wanted: Tensor
    plain: Sequence[Tensor]
    x_t: Tensor
    index: int


def statements() -> list[Statement]:
    """Every statement of one solid on a ground."""
    said = itertools.product(SHAPES, COLOURS, SIZES, GROUNDS)
    return [Statement((Described(shape, colour, size),), None, ground) for shape, colour, size, ground in said]


def silent(attribute: str, rng: np.random.Generator) -> Statement:
    """One solid of the scene world on its ground, without the attribute that an edit changes."""
    while True:
        scene = sample_scene(int(rng.integers(2**31)))
        if len(scene.solids) == 1:
            solid = scene.solids[0]
            whole = Described(solid.shape, solid.colour, solid.size)
            return changed(Statement((whole,), None, scene.ground), attribute)


def changed(statement: Statement, attribute: str, value: str | None = None) -> Statement:
    """A statement of one solid with another value of an attribute, or silent of it."""
    change: dict[str, Any] = {attribute: value}
    return replace(statement, objects=(replace(statement.objects[0], **change),))


class AsyrpLesson(Lesson):
    """f_t learns to move predicted clean samples as a word moves CLIP's embedding of the caption.

    Runs are walked as they are sampled later: each update is one step of an edited run, which the next update goes
    on with (Kwon et al. 2023, section 4 and appendix). A run that is taken up begins a new walk.

    Args:
        course: The recipe's numbers.
        glide: The model that is edited; it stays as it is.
        clip: What says where to.
        device: To train on.
    """

    def __init__(self, course: AsyrpCourse, glide: GlideModel, clip: ClipModel, device: torch.device) -> None:
        self.course, self.glide, self.clip, self.device = course, glide, clip, device
        self.numbers = course
        self.name = f"mini-asyrp-{course.direction}"
        self.attribute = CHANGED[course.direction]
        channels, width = halves.bottleneck(glide.network.unet)
        torch.manual_seed(course.seed)
        self.blocks = DeltaBlocks(DeltaBlockSpec(channels=channels, embedding_width=width, norm_groups=8)).to(device)
        self.model = self.blocks
        full = schedules.SCHEDULES[glide.spec.schedule]()
        self.schedule = schedules.respace(full, str(course.run_steps))
        self.walk: Walk | None = None
        self.statements = {statement: index for index, statement in enumerate(statements())}
        texts = [worded(one).text for one in self.statements]
        self.said = F.normalize(batches.clip_texts(clip, texts)["text_embedding"], dim=-1)

    @property
    def edited_steps(self) -> range:
        """The steps of a run that are edited, by their index."""
        total = len(self.schedule)
        return range(math.ceil(self.numbers.start * total), round(edit_end(self.schedule, self.numbers.t_edit) * total))

    def losses(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """CLIP's directional and contrastive losses of a step's edited clean sample, and its distance to the plain."""
        walk = self.walk or self._begin(step)
        clip, now = self.clip.network, Step.of(self.schedule, walk.index)
        prediction = Evaluator()(self.edited(walk.leaf, self.blocks, 1.0), walk.x_t, now)
        x_next, x_0 = solvers.ddim_step(walk.x_t, prediction, now)
        plain = walk.plain[walk.index]
        with torch.no_grad():
            before = clip.encode_image(plain)
        after, source, target = clip.encode_image(x_0), self.said[walk.shown], self.said[walk.wanted]
        moved = directional_loss(before, after, source, target)
        cosine = float(F.cosine_similarity(source, target).mean())
        parts = asyrp_loss(x_0, plain, moved, cosine, keep=self.numbers.keep)
        parts["contrast"] = contrastive_loss(after, self.said, walk.wanted, float(clip.logit_scale.exp()))
        parts["total"] = parts["total"] + self.numbers.contrast * parts["contrast"]
        following = replace(walk, x_t=x_next.detach(), index=walk.index + 1)
        self.walk = following if following.index in self.edited_steps else None
        return {name: value.mean() for name, value in parts.items()}

    @torch.no_grad()
    def _begin(self, step: int) -> Walk:
        """Draw pictures as they are, and see which do not yet show what they shall."""
        rng, count = self.course.choices(step), self.course.batch_size
        values, clip, side = ATTRIBUTES[self.attribute], self.clip.network, self.glide.spec.image_size
        target = values.index(self.numbers.direction)
        while True:
            stated = [silent(self.attribute, rng) for _ in range(count)]
            noise = SeededNoise(tuple(map(int, rng.integers(2**31, size=count))))
            leaf = self.leaf([worded(one).text for one in stated])
            run: list[StepRecord] = []
            x_T = noise.draw((3, side, side)).to(self.device)
            samplers.sample(leaf, self.schedule, x_T, solvers.ddim(0.0), on_step=run.append)
            could = [[self.statements[changed(one, self.attribute, value)] for value in values] for one in stated]
            choices = torch.tensor(could, device=self.device)
            pictures = F.normalize(clip.encode_image(run[-1].x_0), dim=-1)
            shown = (self.said[choices] @ pictures[..., None])[..., 0].argmax(dim=1)
            rows = (shown != target).nonzero()[:, 0]
            if len(rows):
                break
        kept = Leaf(leaf.network, {name: value[rows] for name, value in leaf.conditioning.items()})
        first = self.edited_steps[0]
        plain = [record.x_0[rows] for record in run]
        return Walk(kept, choices[rows, shown[rows]], choices[rows, target], plain, run[first].x_t[rows], first)

    def edited(self, leaf: Leaf, blocks: Any, strength: float) -> Denoiser:
        """The denoiser with the direction added."""
        directions = edit.WeightedDirections(((blocks, (1.0,)),), (self.name,))
        return edit.edited(leaf, directions, self.schedule, strength, 0, self.numbers.t_edit, self.numbers.start)

    @torch.no_grad()
    def leaf(self, prompts: Sequence[str]) -> Leaf:
        """The denoiser that is edited under a prompt for each picture."""
        network = self.glide.network
        encoded = self.glide.tokenizer.encode_batch(prompts, network.spec.text_context)
        return Leaf(network, network.encode_text(*(part.to(self.device) for part in encoded)))

    @torch.no_grad()
    def sheet(self, averaged: nn.Module) -> NDArray[np.uint8]:
        """Eight pictures as they are, and under strengths of a half, 1 and 1.5."""
        rng = np.random.default_rng(0)
        leaf = self.leaf([worded(silent(self.attribute, rng)).text for _ in range(8)])
        side = self.glide.spec.image_size
        x_T = SeededNoise(tuple(range(8))).draw((3, side, side)).to(self.device)
        rows = [
            to_bytes(samplers.sample(self.edited(leaf, averaged, strength), self.schedule, x_T, solvers.ddim(0.0)))
            for strength in (0.0, 0.5, 1.0, 1.5)
        ]
        return np.concatenate(rows)

    def publish(self, averaged: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the published layout."""
        blocks: Any = averaged
        strings = {**metadata, SPEC: to_json("asyrp", blocks.spec)}
        save_published(blocks, layout.delta_block_key_map(blocks.spec), path, metadata=strings, dtype=torch.float16)


def recipe(
    options: Options,
    glide: Annotated[Path, typer.Option(help="The model to edit: mini GLIDE.")],
    clip: Annotated[Path, typer.Option(help="Mini CLIP.")],
    direction: Annotated[str, typer.Option(help=f"What pictures become: {', '.join(CHANGED)}.")] = "blue",
    begin: Annotated[float, typer.Option(help="First share of a run that is left as it is.")] = AsyrpCourse.start,
    t_edit: Annotated[int, typer.Option(min=0, help="The last timestep that is edited.")] = AsyrpCourse.t_edit,
    keep: Annotated[float, typer.Option(min=0, help="Weight of keeping the rest.")] = AsyrpCourse.keep,
    contrast: Annotated[float, typer.Option(min=0, help="Weight of telling statements apart.")] = AsyrpCourse.contrast,
) -> AsyrpLesson:
    """Train a direction of mini Asyrp, or go on with the run in OUT."""
    weights = {"keep": keep, "contrast": contrast}
    own: dict[str, Any] = {"direction": direction, "start": begin, "t_edit": t_edit, **weights}
    course = replace(options.course(AsyrpCourse), pool_size=0, **own)
    where = options.where
    return AsyrpLesson(course, load_model(glide, device=where), load_clip(clip, device=where), where)


if __name__ == "__main__":
    run_command(recipe_command(recipe, AsyrpCourse))
