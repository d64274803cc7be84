"""Workflows travel in pictures the way the node host writes and reads them."""

from __future__ import annotations

import json
import struct
import zlib

import pytest
from glidewire.errors import GlidewireError
from glidewire.graph_runtime import formats
from glidewire.graph_runtime.formats.picture import embed, read_texts
from PIL import Image, PngImagePlugin

SAVED = {"nodes": [{"id": 1, "type": "GlidewireDig", "widgets_values": ["saved", 0.5, "wet", False]}], "links": []}
PROMPT = {"1": {"class_type": "GlidewireDig", "inputs": {"name": "prompt"}}}
TEXTS = {"workflow": json.dumps(SAVED), "prompt": json.dumps(PROMPT)}


def png(path, *, chunk="tEXt"):
    """A PNG as some other program would write it."""
    info = PngImagePlugin.PngInfo()
    for key, text in TEXTS.items():
        if chunk == "iTXt":
            info.add_itxt(key, text, zip=True)
        else:
            info.add_text(key, text, zip=chunk == "zTXt")
    Image.new("RGB", (2, 2)).save(path, pnginfo=info)
    return path


@pytest.mark.parametrize("chunk", ["tEXt", "zTXt", "iTXt"])
def test_every_text_chunk_is_read(tmp_path, chunk, registry):
    assert formats.read(png(tmp_path / "a.png", chunk=chunk), registry).calls["1"].inputs["name"] == "saved"


def test_text_behind_the_pixels_is_read(tmp_path, registry):
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    body = b"tEXtprompt\0" + TEXTS["prompt"].encode()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    end = data.index(b"IEND") - 4
    assert formats.read(data[:end] + chunk + data[end:], registry).calls["1"].inputs == {"name": "prompt"}


def test_webp_as_the_host_writes_it(tmp_path, registry):
    exif = Image.Exif()
    exif[0x0110] = "prompt:" + TEXTS["prompt"]
    exif[0x010F] = "workflow:" + TEXTS["workflow"]
    Image.new("RGB", (2, 2)).save(tmp_path / "a.webp", exif=exif)
    assert formats.read(tmp_path / "a.webp", registry).calls["1"].inputs["name"] == "saved"
    embed(Image.new("RGB", (2, 2)), tmp_path / "b.webp", TEXTS)
    with Image.open(tmp_path / "b.webp") as image:
        assert dict(image.getexif()) == dict(exif)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_opening_takes_the_workflow_and_running_the_prompt(tmp_path, suffix, registry):
    path = tmp_path / f"a{suffix}"
    embed(Image.new("RGB", (2, 2), "red"), path, {**TEXTS, "glidewire": "ü 🎨"})
    assert read_texts(path.read_bytes()) == {**TEXTS, "glidewire": "ü 🎨"}
    opened, run = formats.read(path, registry), formats.read(path, registry, which="prompt")
    assert opened.calls["1"].inputs["name"] == "saved"
    assert run.calls["1"].inputs == {"name": "prompt"}
    assert opened.document == run.document == SAVED
    with Image.open(path) as image:
        assert image.convert("RGB").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_stripped_pictures_carry_nothing(tmp_path, suffix, registry):
    image = Image.open(png(tmp_path / "source.png"))
    path = tmp_path / f"a{suffix}"
    embed(image, path, TEXTS, strip=True)
    assert read_texts(path.read_bytes()) == {}
    with pytest.raises(GlidewireError) as raised:
        formats.read(path, registry)
    assert str(raised.value) == (
        f'{path} carries no workflow; expected a text called "workflow" or "prompt"; got no text. '
        "Pictures lose it when they are edited, converted or sent by some chat programs."
    )


def test_a_picture_cut_short(tmp_path, registry):
    data = png(tmp_path / "a.png").read_bytes()
    with pytest.raises(GlidewireError, match="cannot be read as a picture; expected a whole PNG or WebP; got"):
        formats.read(data[:40], registry)


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch, registry):
    Image.new("L", (100, 100)).save(tmp_path / "a.png")
    for limit in (9000, 4000):  # where Pillow warns, and where it raises
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(GlidewireError, match=f"a.png has too many pixels; expected at most {limit}"):
            formats.read(tmp_path / "a.png", registry)


def test_a_workflow_that_is_no_json_says_where_it_stood(tmp_path, registry):
    embed(Image.new("RGB", (2, 2)), tmp_path / "a.png", {"workflow": "{"})
    with pytest.raises(GlidewireError, match=r"workflow in .*a.png is not JSON"):
        formats.read(tmp_path / "a.png", registry)


def test_writing_is_all_or_nothing(tmp_path):
    path = tmp_path / "a.png"
    embed(Image.new("RGB", (2, 2)), path, {})
    before = path.read_bytes()
    with pytest.raises(GlidewireError, match=r"a picture cannot be written in this format; expected .png or .webp"):
        embed(Image.new("RGB", (2, 2)), tmp_path / "a.tiff", {})
    with pytest.raises(GlidewireError, match="a picture of mode F cannot be written; expected RGB, RGBA or L"):
        embed(Image.new("F", (2, 2)), path, {})
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]
