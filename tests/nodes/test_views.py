"""How values look: every type whose values can be seen has a view, and equal values look equal."""

from __future__ import annotations

from typing import Any

import glidewire.nodes.views  # noqa: F401 - registers the viewers
import torch
from glidewire.diffusion.guidance.scales import ScaleSchedule
from glidewire.diffusion.schedules import respace, squared_cosine
from glidewire.graph_runtime.views import Picture, Plot, Table, views_of
from glidewire.nodes import glimpses, guidance
from glidewire.nodes.sockets import PIXELS, Condition, Sample
from glidewire.nodes.token_sockets import Embedding, Tokens


def test_a_picture_is_seen_as_it_is() -> None:
    image = torch.zeros(2, 3, 4, 3)
    image[0, ..., 0] = 1
    (view,) = views_of(["IMAGE"], image)
    assert isinstance(view, Picture)
    assert view.pixels.shape == (3, 9, 3)
    assert view.pixels[0, 0].tolist() == [255, 0, 0]
    assert view.pixels[0, -1].tolist() == [0, 0, 0]


def test_a_large_picture_is_shrunk_and_a_mask_is_grey() -> None:
    (view,) = views_of(["IMAGE"], torch.ones(1, 512, 1024, 3))
    assert isinstance(view, Picture)
    assert view.pixels.shape == (128, 256, 3)
    (mask,) = views_of(["MASK"], torch.full((1, 2, 2), 0.5))
    assert isinstance(mask, Picture)
    assert mask.pixels.unique().tolist() == [128]


def test_latents_show_their_strongest_directions_whatever_their_order() -> None:
    torch.manual_seed(0)
    latents = torch.randn(2, 4, 8, 8) * torch.tensor([4.0, 2.0, 1.0, 0.1])[None, :, None, None]
    first, second = views_of(["SAMPLE"], Sample(latents, "kl-f8"))
    assert isinstance(first, Picture)
    assert isinstance(second, Picture)
    assert torch.equal(first.pixels, glimpses.principal(latents[:, [2, 0, 3, 1]]))
    (pixels,) = views_of(["SAMPLE"], Sample(torch.zeros(1, 3, 2, 2), PIXELS))
    assert isinstance(pixels, Picture)
    assert pixels.pixels.unique().tolist() == [128]


def test_tokens_are_a_map_in_which_equal_codes_look_equal() -> None:
    (view,) = views_of(["TOKENS"], Tokens(torch.tensor([[[1, 2], [2, 8191]]]), "vq"))
    assert isinstance(view, Picture)
    assert torch.equal(view.pixels[0, 1], view.pixels[1, 0])
    assert not torch.equal(view.pixels[0, 0], view.pixels[0, 1])
    assert len({tuple(colour) for colour in glimpses.of_tokens(torch.arange(64)[None, None])[0].tolist()}) > 60


def test_maps_are_heat_and_a_constant_map_is_cold() -> None:
    heat = glimpses.of_map(torch.tensor([[[0.0, 0.5, 1.0]]]))
    assert heat[0, 2].tolist() == [255, 255, 255]
    assert heat[0].sum(-1).tolist() == sorted(heat[0].sum(-1).tolist())
    assert glimpses.of_map(torch.full((1, 2, 2), 7.0)).unique(dim=0).shape[0] == 1


def test_a_condition_is_a_map_with_a_row_per_token() -> None:
    tensors = {"states": torch.rand(1, 24, 96), "mask": torch.ones(1, 24), "ids": torch.zeros(1, 24, 2).long()}
    (view,) = views_of(["CONDITION"], Condition(tensors))
    assert isinstance(view, Picture)
    assert view.title.startswith("states")
    assert view.pixels.shape == (24, 96, 3)


def test_schedules_and_embeddings_are_plotted() -> None:
    signal, ratio = views_of(["SCHEDULE"], respace(squared_cosine(), "10"))
    assert isinstance(signal, Plot)
    assert isinstance(ratio, Plot)
    times, kept = signal.lines["alpha_bar"]
    assert len(times) == len(kept) == 10
    assert list(kept) == sorted(kept, reverse=True)
    (scale,) = views_of(["SCALE_SCHEDULE"], ScaleSchedule(7.0, 1.0, "linear"))
    assert isinstance(scale, Plot)
    assert (scale.lines["scale"][1][0], scale.lines["scale"][1][-1]) == (7.0, 1.0)
    similar, components = views_of(["EMBEDDING"], Embedding(torch.eye(3), "ViT-L/14"))
    assert isinstance(similar, Table)
    assert isinstance(components, Plot)
    assert similar.rows[0] == ["0", 1.0, 0.0, 0.0]


def test_a_denoiser_is_read_as_the_expression_that_it_is(materials: Any) -> None:
    guided = guidance.classifier_free_guidance(materials.denoiser(), materials.denoiser(""), 4.0)
    (table,) = views_of(["DENOISER"], guided)
    assert isinstance(table, Table)
    assert [str(row[0]).strip().split(":")[0] for row in table.rows] == ["classifier_free", *guided.inputs]
    assert "scale 4" in str(table.rows[0][1])


def test_what_has_no_viewer_has_no_view() -> None:
    assert views_of(["GLIDE_MODEL", "*"], object()) == []
