"""The scene world as nodes: what is rendered is judged right, held-out prompts are those of the minis' cards."""

from __future__ import annotations

import sys

import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.nodes.scene_world import (
    covered_share,
    judge_scenes,
    layout_overlap,
    render_scene,
    scene_map,
    scene_prompts,
)
from glidewire.nodes.sockets import Image
from glidewire.scenes import held_out_prompts


def test_a_rendered_scene_shows_its_caption_and_not_another() -> None:
    scenes = [render_scene(seed, 48, held_out=True) for seed in range(6)]
    right = [judge_scenes(scene.image, scene.caption) for scene in scenes]
    assert sum(found.right for found in right) >= 5
    both = judge_scenes(Image(torch.cat([scenes[0].image, torch.ones_like(scenes[0].image)])), scenes[0].caption)
    assert both.right <= 0.5
    assert both.report.splitlines()[1].startswith("1: wrong: objects")


def test_prompts_are_those_that_minis_are_judged_with() -> None:
    assert scene_prompts(5) == [prompt.text for prompt in held_out_prompts(200)][:5]
    assert scene_prompts(5, seed=1) != scene_prompts(5)


def test_a_layout_is_where_solids_stand_whatever_they_look_like() -> None:
    pictures = [render_scene(seed, 48).image for seed in range(3)]
    empty = Image(torch.full_like(pictures[0], 0.9))
    assert layout_overlap(pictures[0], pictures[0]) == 1 and layout_overlap(empty, empty) == 1
    assert layout_overlap(pictures[0], empty) == 0
    recoloured = Image(pictures[0].roll(1, -1))  # red becomes green, green blue
    assert layout_overlap(pictures[0], recoloured) > 0.7
    apart = layout_overlap(pictures[0], pictures[1])
    assert layout_overlap(pictures[1], pictures[0]) == apart < 0.5
    both = [Image(torch.cat([pictures[0], one])) for one in (pictures[0], empty)]
    assert layout_overlap(*both) == 0.5
    with pytest.raises(GlidewireError, match=r"differ in number or size.*\(2, 48, 48, 3\).*\(1, 48"):
        layout_overlap(both[0], empty)


def test_larger_solids_cover_more() -> None:
    picture = torch.full((1, 48, 48, 3), 0.9)
    assert covered_share(Image(picture)) == 0
    shares = []
    for side in (12, 24):
        square = picture.clone()
        square[:, 8 : 8 + side, 8 : 8 + side] = torch.tensor([0.8, 0.1, 0.1])
        shares.append(covered_share(Image(square)))
        # A silhouette's edge lies where colour begins, which blur puts up to half a pixel outside.
        assert side**2 <= shares[-1] * 48**2 <= (side + 1) ** 2
    assert covered_share(Image(torch.cat([picture, square]))) == pytest.approx(shares[1] / 2)


def test_bad_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = render_scene(1, 32).image
    with pytest.raises(GlidewireError, match="is not a sentence of the scene grammar"):
        judge_scenes(picture, "a horse on the moon")
    with pytest.raises(GlidewireError, match=r"picture to judge; expected uint8 .side side 3., at least 16 pixels"):
        judge_scenes(Image(picture[:, :8, :8]), "a red cube")
    monkeypatch.setitem(sys.modules, "glidewire.scenes.judge", None)
    with pytest.raises(GlidewireError, match=r"the judge needs scipy.*pip install"):
        judge_scenes(picture, "a red cube")


def test_maps_are_pictures_in_colours_of_scenes() -> None:
    picture = render_scene(4, 32).image
    segmented, edges = (scene_map(picture, kind) for kind in ("segmentation", "edges"))
    assert segmented.shape == edges.shape == picture.shape
    assert len(segmented.reshape(-1, 3).unique(dim=0)) == 2 and len(edges.reshape(-1, 3).unique(dim=0)) > 2
    torch.testing.assert_close(scene_map(scene_map(picture, "exchange"), "exchange"), picture)
    torch.testing.assert_close(scene_map(picture, "negative").mean(-1), picture.mean(-1), atol=0.05, rtol=0)
