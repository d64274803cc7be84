"""The inpainting recipe: it begins as the base model, sees what is known, and is measured by what it paints over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from glidewire.models.glide.model import GlideModel, load_model
from glidewire.scenes import render
from glidewire.scenes.judge import silhouettes
from glidewire.training.fresh import fresh_scenes
from glidewire.training.inpainting import Holes, InpaintingLesson, InpaintingRecipe, inpainting_model, known_pixels
from glidewire.training.measures import measured
from glidewire.training.pool import Pool
from glidewire.training.repainting import hole_of, repainted, repainting_tasks
from glidewire.training.run import Run, train

RECIPE = InpaintingRecipe(steps=2, stages=((1.0, 32, 3),), pool_size=12)


def test_it_begins_as_the_base_model(glide: GlideModel) -> None:
    model = inpainting_model(glide)
    x_t, timesteps = torch.randn(1, 3, 32, 32), torch.tensor([500])
    text, _ = glide.encode_prompt("a red cube")
    known = {"inpaint_image": torch.rand(1, 3, 32, 32), "inpaint_mask": torch.ones(1, 1, 32, 32)}
    expected = glide.network(x_t, timesteps, text)
    assert torch.allclose(model.network(x_t, timesteps, {**text, **known}), expected, atol=1e-5)


def test_a_hole_covers_the_solid_and_stays_inside() -> None:
    for scene in fresh_scenes(6):
        seen, covered = silhouettes(render(scene, 64)), np.zeros((128, 128), bool)
        for solid in scene.solids:
            covered[hole_of(solid, 128, margin=0.06)] = True
        assert seen.any() and not (seen & ~covered).any()


def test_masks_are_of_every_kind() -> None:
    masks = known_pixels(fresh_scenes(60), 32, Holes(0.1, 0.5), np.random.default_rng(0))
    shares = masks.flatten(1).mean(1)
    assert masks.shape == (60, 1, 32, 32) and set(masks.unique().tolist()) == {0.0, 1.0}
    assert (shares == 0).sum() in range(1, 20) and (shares > 0.5).any() and (shares < 1).all()


def test_it_trains_and_is_measured(glide: GlideModel, small_pool: Pool, tmp_path: Path) -> None:
    path = train(Run(InpaintingLesson(RECIPE, small_pool, glide, torch.device("cpu")), tmp_path))
    model = load_model(path)
    assert model.spec.variant == "inpaint" and model.tokenizer.merges == glide.tokenizer.merges
    assert model.network.unet.conv_in.weight[:, 3:].abs().max() > 0
    found = measured(path, 2, tmp_path)
    assert found is not None and {"everything", "known pixels"} <= found.keys() and abs(found["edge"]) < 1


def test_an_edge_is_measured_where_it_was_painted() -> None:
    def paint(texts: Any, pictures: Any, masks: Any, seeds: Any, first: int, scale: float) -> Any:
        """What is hidden turns black; nothing else changes."""
        return (pictures * masks.transpose(0, 2, 3, 1)).astype(np.uint8)

    def untouched(texts: Any, pictures: Any, masks: Any, seeds: Any, first: int, scale: float) -> Any:
        return pictures

    black, same = (repainted(one, 3, 32)["edge"] for one in (paint, untouched))
    assert black > 0.3 > 0.05 > abs(same)


def test_tasks_change_one_solid_and_hide_it() -> None:
    tasks = repainting_tasks(4, 32)
    assert tasks.pictures.shape == (4, 32, 32, 3) and tasks.masks.shape == (4, 1, 32, 32)
    for scene, caption, mask in zip(fresh_scenes(4), tasks.captions, tasks.masks, strict=True):
        pairs = zip(scene.solids, caption.statement.objects, strict=True)
        changed = [solid for solid, said in pairs if (solid.shape, solid.colour) != (said.shape, said.colour)]
        assert len(changed) == 1 and not mask[(0, *hole_of(changed[0], 32))].any() and mask.any()
