"""Names that clients send stay inside their folder, whatever they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from glidewire.interfaces.server import containment
from glidewire.interfaces.server.replies import Refused
from hypothesis import given
from hypothesis import strategies as st

BAD = [
    "", ".", "..", "../x", "a/../../x", "/etc/passwd", "//x", "a//b", "a/./b", "C:/x", "C:x", "a\\..\\b", "\\\\host\\x",
    "x\0.png", "x\n.png", ".hidden", "a/.git/config", "con", "NUL.txt", "a/com1.png", "x.", "x ", "a?b", "a*b", "x:y",
    "a" * 201, "/".join(["aaaa"] * 300), "\ud800.png", "a\u202eb.png",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_names_that_could_lead_elsewhere_are_refused(tmp_path, name):
    for use in (lambda: containment.inside(tmp_path, name), lambda: containment.find((tmp_path,), name)):
        with pytest.raises(Refused, match="no name for a file here") as caught:
            use()
        assert caught.value.status == 403


@pytest.mark.parametrize("name", ["a.png", "ünïcode/文件.png", "a b (1).json", "a" * 200, "a..b.png", "deep/er/x.txt"])
def test_ordinary_names_of_any_script_are_taken(tmp_path, name):
    path = containment.inside(tmp_path, name)
    assert path == tmp_path.resolve() / name


@given(st.text(max_size=60))
def test_whatever_is_taken_is_inside(name):
    root = Path.cwd()
    try:
        path = containment.inside(root, name)
    except Refused:
        return
    assert path.is_relative_to(root.resolve()) and path != root.resolve()


def test_links_that_lead_out_are_refused_and_links_inside_are_followed(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret.png").write_text("secret")
    (root / "own.png").write_text("own")
    (root / "file.png").symlink_to(outside / "secret.png")
    (root / "folder").symlink_to(outside)
    (root / "alias.png").symlink_to(root / "own.png")
    (root / "circle.png").symlink_to(root / "circle.png")
    for name in ("file.png", "folder/secret.png", "circle.png"):
        with pytest.raises(Refused):
            containment.find((root,), name)
    assert containment.find((root,), "alias.png").read_text() == "own"


def test_several_folders_are_searched_in_turn(tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    for folder in (first, second):
        folder.mkdir()
    (second / "x.png").write_text("2")
    assert containment.find((first, second), "x.png").read_text() == "2"
    (first / "x.png").write_text("1")
    assert containment.find((first, second), "x.png").read_text() == "1"
    with pytest.raises(Refused) as caught:
        containment.find((first, second), "y.png")
    assert caught.value.status == 404
