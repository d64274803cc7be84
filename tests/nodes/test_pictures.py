"""Picture files of every awkward kind come in right or are refused in words; batches go out whole."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from glidewire.errors import GlidewireError
from glidewire.graph_runtime.context import Context
from glidewire.graph_runtime.folders import Folders
from glidewire.nodes import images, pictures
from glidewire.nodes.sockets import Image, Sample
from PIL import Image as Pillow


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(folders=Folders(input=(tmp_path,), output=tmp_path / "output"))


def load(context: Context, name: str) -> images.LoadedImage:
    loaded = images.load_image(name, context=context)
    dims = pictures.file_dims(context.folders.find("input", name))
    assert (dims["height"], dims["width"]) == tuple(loaded.image.shape[1:3]), "the header promises another size"
    return loaded


def test_colours_and_transparency(context: Context, tmp_path: Path) -> None:
    Pillow.fromarray(np.array([[[255, 0, 51, 255], [0, 255, 0, 0]]], np.uint8)).save(tmp_path / "a.png")
    loaded = load(context, "a.png")
    assert torch.allclose(loaded.image[0, 0, 0], torch.tensor([1.0, 0.0, 0.2]))
    assert loaded.mask.tolist() == [[[0.0, 1.0]]]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "CMYK", "I;16", "F"])
def test_every_mode_becomes_three_channels_in_range(context: Context, tmp_path: Path, mode: str) -> None:
    name = "a.tif" if mode in ("CMYK", "I;16", "F") else "a.png"
    Pillow.new(mode, (5, 3)).save(tmp_path / name)
    image = load(context, name).image
    assert tuple(image.shape) == (1, 3, 5, 3) and image.dtype == torch.float32
    assert image.min() >= 0 and image.max() <= 1


def test_sixteen_bits_are_kept(context: Context, tmp_path: Path) -> None:
    Pillow.fromarray(np.array([[0, 257, 65535, 32768]], np.uint16)).save(tmp_path / "deep.png")
    image = load(context, "deep.png").image
    assert torch.allclose(image[0, 0, :, 0], torch.tensor([0.0, 257 / 65535, 1.0, 32768 / 65535]))


def test_pictures_are_turned_upright(context: Context, tmp_path: Path) -> None:
    picture = Pillow.new("RGB", (4, 2))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert tuple(load(context, "turned.jpg").image.shape[1:3]) == (4, 2)


def test_an_animation_gives_its_first_frame_and_a_warning(context: Context, tmp_path: Path) -> None:
    frames = [Pillow.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    said: list[str] = []
    image = images.load_image("a.gif", context=Context(folders=context.folders, on_warning=said.append)).image
    assert image[0, 0, 0].tolist() == [1, 0, 0]
    assert said == ["a.gif is animated: only its first frame is used"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "a.png is not a readable picture; expected a PNG, JPEG, WebP, GIF, BMP or TIFF"),
        (b"not a picture at all", "a.png is not a readable picture; expected a PNG"),
    ],
)
def test_what_is_no_picture_is_refused(context: Context, tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(GlidewireError) as caught:
        images.load_image("a.png", context=context)
    assert words in str(caught.value)


def test_a_truncated_picture_is_refused(context: Context, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Pillow.fromarray(noise).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(GlidewireError, match=r"a\.png is damaged; expected a whole picture; got .*Save it again\."):
        images.load_image("a.png", context=context)


def test_an_enormous_picture_is_refused_before_it_is_decoded(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Pillow.new("RGB", (64, 64)).save(tmp_path / "a.png")
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(GlidewireError, match=r"a\.png is enormous; expected at most 1000 pixels.*Shrink it"):
        images.load_image("a.png", context=context)


def test_saving_takes_the_next_number_and_carries_the_workflow(context: Context, tmp_path: Path) -> None:
    document = json.dumps({"nodes": []})
    context = Context(folders=context.folders, provenance={"workflow": document})
    images.save_image(Image(torch.rand(2, 4, 4, 3)), "deep/a", context=context)
    images.save_image(Image(torch.full((1, 4, 4, 3), 2.0)), "deep/a", context=context)
    saved = sorted((tmp_path / "output" / "deep").iterdir())
    assert [path.name for path in saved] == ["a_00001.png", "a_00002.png", "a_00003.png"]
    assert context.shown["images"][2] == {"filename": "a_00003.png", "subfolder": "deep", "type": "output"}
    with Pillow.open(saved[2]) as picture:
        assert picture.text["workflow"] == document and picture.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("prefix", ["../out", "/etc/out", "a/../../out", "nul\0"])
def test_saving_stays_in_the_output_folder(context: Context, tmp_path: Path, prefix: str) -> None:
    with pytest.raises(GlidewireError, match="leads outside the output folder"):
        images.save_image(Image(torch.rand(1, 4, 4, 3)), prefix, context=context)
    assert not list(tmp_path.rglob("*.png"))


def test_not_a_number_is_never_saved(context: Context, tmp_path: Path) -> None:
    with pytest.raises(GlidewireError, match="the picture holds NaN or infinity"):
        images.save_image(Image(torch.full((1, 4, 4, 3), torch.nan)), context=context)
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.parametrize("method", ["lanczos", "bicubic", "bilinear", "area", "nearest"])
def test_resizing_keeps_a_flat_picture_flat(method: str) -> None:
    flat = Image(torch.full((2, 8, 6, 3), 0.25))
    resized = images.resize_image(flat, width=15, height=4, method=method)
    assert tuple(resized.shape) == (2, 4, 15, 3)
    assert torch.allclose(resized, torch.full_like(resized, 0.25), atol=1e-6)


def test_a_grid_places_pictures_row_by_row() -> None:
    batch = Image(torch.arange(3.0).view(3, 1, 1, 1).expand(3, 2, 2, 3) / 4)
    sheet = images.image_grid(batch, columns=2, gap=1)
    assert tuple(sheet.shape) == (1, 5, 5, 3)
    assert [sheet[0, y, x, 0].item() for y, x in ((0, 0), (0, 3), (3, 0), (3, 3))] == [0.0, 0.25, 0.5, 1.0]
    assert sheet[0, 2].eq(1).all(), "the gap is white"


def test_batches_join_in_order_and_refuse_other_sizes() -> None:
    one, two = Image(torch.zeros(1, 2, 2, 3)), Image(torch.ones(2, 2, 2, 3))
    assert images.concatenate_images(one, two).mean((1, 2, 3)).tolist() == [0, 1, 1]
    assert images.batch_images([two, one]).mean((1, 2, 3)).tolist() == [1, 1, 0]
    with pytest.raises(GlidewireError, match=r"the pictures differ in size; expected one size; got 2 x 2, 3 x 2"):
        images.batch_images([one, Image(torch.zeros(1, 2, 3, 3))])


def test_pixel_space_is_there_and_back() -> None:
    image = Image(torch.rand(2, 4, 6, 3))
    sample = images.image_to_sample(image)
    assert tuple(sample.tensor.shape) == (2, 3, 4, 6) and sample.tensor.min() >= -1
    assert torch.allclose(images.sample_to_image(sample), image, atol=1e-6)
    with pytest.raises(GlidewireError, match="the sample is no picture yet; expected pixels; got kl-f8"):
        images.sample_to_image(Sample(sample.tensor, "kl-f8"))


def test_two_who_save_at_once_lose_no_picture(context: Context) -> None:
    batches = [torch.full((8, 2, 2, 3), level) for level in (0.0, 1.0)]
    with ThreadPoolExecutor(2) as pool:
        saved = list(pool.map(lambda batch: pictures.save_batch(batch, "both", context), batches))
    names = [entry["filename"] for entries in saved for entry in entries]
    assert sorted(names) == sorted({path.name for path in context.folders.output.iterdir()}) and len(names) == 16
    for level, entries in zip((0, 255), saved, strict=True):
        for entry in entries:
            assert Pillow.open(context.folders.output / entry["filename"]).getpixel((0, 0)) == (level,) * 3
