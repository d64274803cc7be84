"""One workflow through four doors, the command line, Python, a file's API form and the host's classes: one result."""

from __future__ import annotations

import json

import pytest
import torch
from glidewire import GlidewireError, Workflow, nodes
from glidewire.graph_runtime import codec
from glidewire.interfaces import api
from glidewire.interfaces.cli import app
from glidewire.interfaces.comfyui.projection import mappings
from glidewire.interfaces.session import pack_registry
from PIL import Image
from typer.testing import CliRunner


@pytest.fixture
def flow(tmp_path) -> tuple[Workflow, object]:
    Image.linear_gradient("L").resize((12, 8)).convert("RGB").save(tmp_path / "in.png")
    with Workflow("doors") as flow:
        loaded = nodes.load_image("in.png")
        larger = nodes.resize_image(loaded.image, width=20, height=16, method="bicubic")
        sample = nodes.image_to_sample(larger)
        shown = nodes.sample_to_image(sample)
        nodes.save_image(shown, prefix="door")
    return flow, shown


def test_the_same_graph_gives_the_same_digests_through_every_door(flow, tmp_path):
    flow, shown = flow
    saved, form = flow.save(tmp_path / "doors.json"), flow.save_api(tmp_path / "doors.api.json")
    python = flow.run(device="cpu", cache=None).digests
    from_file = api.run(saved, device="cpu", cache=None).digests
    from_form = api.run(json.loads(form.read_text()), device="cpu", cache=None).digests
    line = CliRunner().invoke(app, ["run", str(saved), "--device", "cpu", "--no-cache", "--json"])
    from_line = json.loads(line.stdout.splitlines()[-1])["digests"]
    picture = api.run(tmp_path / "output" / "door_00001.png", device="cpu", cache=None).digests
    assert python == from_file == from_form == from_line == picture and list(python) == ["5"]

    classes, _ = mappings(pack_registry())
    with torch.inference_mode():
        image, _ = classes["GlidewireLoadImage"]().run(file="in.png")
        (larger,) = classes["GlidewireResizeImage"]().run(image=image, width=20, height=16, method="bicubic")
        (sample,) = classes["GlidewireImageToSample"]().run(image=larger)
        (by_host,) = classes["GlidewireSampleToImage"]().run(sample=sample)
        classes["GlidewireSaveImage"]().run(image=by_host, prefix="door")
    assert codec.digest(by_host) == codec.digest(flow.fetch(shown, device="cpu"))
    pixels = {Image.open(path).tobytes() for path in (tmp_path / "output").glob("door_*.png")}
    assert len(list((tmp_path / "output").glob("door_*.png"))) == 6 and len(pixels) == 1


def test_saved_pictures_carry_the_workflow_unless_told_not_to(flow, tmp_path):
    flow, _ = flow
    flow.run(device="cpu")
    flow.run(device="cpu", metadata=False)
    with Image.open(tmp_path / "output" / "door_00001.png") as with_it:
        texts = dict(with_it.text)
    with Image.open(tmp_path / "output" / "door_00002.png") as without:
        assert not getattr(without, "text", {})
    assert json.loads(texts["prompt"])["2"]["inputs"]["width"] == 20
    assert len(json.loads(texts["workflow"])["nodes"]) == 5
    told = json.loads(texts["glidewire"])
    assert {"glidewire", "python", "torch", "diffusers", "device", "dtype"} <= set(told)
    assert str(tmp_path) not in "".join(texts.values())


def test_run_takes_changes_by_name_and_explains_what_it_cannot_take(flow, tmp_path):
    flow, _ = flow
    saved = flow.save(tmp_path / "doors.json")
    assert api.check(saved, device="cpu").ok and api.plan(saved, device="cpu").will_run
    api.run(saved, set={"width": 30, "prefix": "wide"}, device="cpu")
    with Image.open(tmp_path / "output" / "wide_00001.png") as wide:
        assert wide.size == (30, 16)
    with pytest.raises(GlidewireError, match="the workflow has no input widht"):
        api.run(saved, set={"widht": 30}, device="cpu")
    with pytest.raises(GlidewireError, match="no workflow nothing-of-the-kind; expected a file, or one of the shipped"):
        api.run("nothing-of-the-kind")
