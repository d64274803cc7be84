"""A declaration as the host describes it: every widget, section and flag."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import pytest
from glidewire.graph_runtime.context import Context
from glidewire.graph_runtime.declaration import INJECTED, node
from glidewire.graph_runtime.folders import Folders
from glidewire.graph_runtime.host_schema import Catalogue, object_info
from glidewire.graph_runtime.registry import Registry
from glidewire.graph_runtime.sockets import Socket, socket_type
from glidewire.graph_runtime.widgets import Choice, File, Number, Seed, Slider, Text, Toggle, Wired

T = TypeVar("T")


class Loaf:
    """Something to send along a wire."""


socket_type("SCHEMA_LOAF", Loaf, "A loaf, for tests of the schema.")


class Pair(NamedTuple):
    whole: Socket[Loaf, "batch 3"]
    slices: list[Socket[Loaf, "..."]]


@node(
    category="bakery/oven", title="Bake bread", aliases=["FormerlyBake"], lazy=list, lazy_inputs=["spare"], effect=True
)
def bake(
    dough: Socket[Loaf, "batch width"],
    mixed: Socket[Loaf | int, "..."],
    anything: T,
    parts: list[Socket[Loaf, "..."]],
    weights: list[float],
    steps: Annotated[int, Number(min=1, max=9, step=2)],
    seed: Annotated[int, Seed()] = 0,
    heat: Annotated[float, Slider(min=0.0, max=1.0, step=0.1, label="How hot")] = 0.5,
    kind: Literal["rye", "wheat"] = "rye",
    shape: Annotated[str, Choice(options=lambda: ["round", "long"])] = "round",
    text: Annotated[str, Text(multiline=True)] = "a",
    crust: Annotated[bool, Toggle(on="hard", off="soft")] = True,
    picture: Annotated[str, File(suffixes=(".png",), upload=True)] = "none.png",
    spare: Socket[Loaf, "..."] | None = None,
    note: str | None = None,
    size: Annotated[int, Wired()] = 1,
    context: Context = INJECTED,
) -> Pair:
    """Bake a loaf.

    It rises.

    Args:
        dough: What goes in.
    """
    raise NotImplementedError


@pytest.fixture
def info(tmp_path) -> dict[str, Any]:
    (tmp_path / "b.png").touch()
    (tmp_path / "a.txt").touch()
    return object_info(bake.declaration, Folders(input=(tmp_path,)))


def test_required_inputs_are_sockets_and_everything_with_a_widget(info):
    assert info["input"]["required"] == {
        "dough": ["SCHEMA_LOAF", {"tooltip": "What goes in.", "glidewire_dims": "batch width"}],
        "mixed": ["SCHEMA_LOAF,INT", {"forceInput": True}],
        "anything": ["*"],
        "parts": ["SCHEMA_LOAF"],
        "weights": ["FLOAT", {"forceInput": True}],
        "steps": ["INT", {"min": 1, "max": 9, "step": 2, "glidewire_blank": True}],
        "seed": ["INT", {"min": 0, "max": 2**53 - 1, "control_after_generate": True, "default": 0}],
        "heat": [
            "FLOAT",
            {
                "min": 0.0,
                "max": 1.0,
                "step": 0.1,
                "display": "slider",
                "round": False,
                "default": 0.5,
                "display_name": "How hot",
            },
        ],
        "kind": [["rye", "wheat"], {"default": "rye"}],
        "shape": [["round", "long"], {"default": "round"}],
        "text": ["STRING", {"multiline": True, "default": "a"}],
        "crust": ["BOOLEAN", {"label_on": "hard", "label_off": "soft", "default": True}],
        "picture": [["b.png"], {"image_upload": True, "default": "none.png"}],
    }


def test_optional_inputs_are_those_that_may_stay_unwired(info):
    assert info["input"]["optional"] == {
        "spare": ["SCHEMA_LOAF", {"lazy": True}],
        "note": ["STRING", {"multiline": False, "glidewire_blank": True}],
        "size": ["INT", {"forceInput": True}],
    }
    assert info["input_order"] == {section: list(entries) for section, entries in info["input"].items()}


def test_outputs_and_names(info):
    assert {key: info[key] for key in info if key not in ("input", "input_order")} == {
        "is_input_list": True,
        "output": ["SCHEMA_LOAF", "SCHEMA_LOAF"],
        "output_is_list": [False, True],
        "output_name": ["whole", "slices"],
        "output_tooltips": ["", ""],
        "glidewire_output_dims": ["batch 3", "..."],
        "name": "GlidewireBake",
        "display_name": "Bake bread",
        "description": "Bake a loaf.\n\nIt rises.",
        "python_module": "custom_nodes.glidewire",
        "category": "bakery/oven",
        "output_node": True,
        "search_aliases": ["bake", "FormerlyBake"],
    }


def test_a_catalogue_knows_former_ids_too():
    catalogue = Catalogue(Registry([bake.declaration]))
    assert list(catalogue) == ["GlidewireBake"]
    assert catalogue["FormerlyBake"]["name"] == "GlidewireBake"
    assert "Elsewhere" not in catalogue
