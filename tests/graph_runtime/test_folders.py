from __future__ import annotations

from pathlib import Path

import pytest
from glidewire.errors import GlidewireError
from glidewire.graph_runtime import folders as module
from glidewire.graph_runtime.folders import Folders, near, user_path
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture
def house(tmp_path: Path) -> Path:
    for name in ("first/a.png", "first/deep/b.PNG", "first/notes.txt", "second/a.png", "second/c.png", "secret.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "first" / ".hidden").mkdir()
    (tmp_path / "first" / ".hidden" / "d.png").write_text("")
    return tmp_path


@pytest.fixture
def folders(house: Path) -> Folders:
    return Folders(input=(house / "first", house / "second"), output=house / "out")


def test_files_are_found_in_order(folders, house):
    assert folders.find("input", "a.png") == house / "first" / "a.png"
    assert folders.find("input", "c.png") == house / "second" / "c.png"
    assert folders.find("input", "deep/../deep/b.PNG") == house / "first" / "deep" / "b.PNG"


def test_a_missing_file_is_reported_with_near_names(folders, house):
    with pytest.raises(GlidewireError) as raised:
        folders.find("input", "d.png")
    assert str(raised.value) == (
        f"no file d.png in the input folders; expected a file inside {house / 'first'}, {house / 'second'}; got d.png. "
        "Did you mean c.png or a.png?"
    )
    with pytest.raises(GlidewireError) as raised:
        Folders().find("models", "qqq")
    assert str(raised.value) == (
        "no file qqq in the models folders; expected a file inside no folder at all; got qqq. "
        "Put it there, or start with --models naming its folder."
    )


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "deep/../../secret.png"])
def test_nothing_outside_is_read(folders, house, name):
    with pytest.raises(GlidewireError) as raised:
        folders.find("input", name)
    assert str(raised.value) == (
        f"{name} lies outside the input folders; expected a file inside {house / 'first'}, {house / 'second'}; "
        f"got {name}. Move it there, or start with --input naming its folder."
    )


def test_a_link_that_leads_outside_is_not_followed(folders, house):
    (house / "first" / "link.png").symlink_to(house / "secret.png")
    with pytest.raises(GlidewireError, match="lies outside the input folders"):
        folders.find("input", "link.png")


def test_a_file_that_the_user_named_himself_is_allowed(folders, house):
    allowed = Folders(input=folders.input, files=frozenset({house / "secret.png"}))
    assert allowed.find("input", str(house / "secret.png")) == house / "secret.png"
    with pytest.raises(GlidewireError, match="outside"):
        allowed.find("input", str(house / "other.png"))


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_names_that_are_none(folders, name):
    with pytest.raises(GlidewireError) as raised:
        folders.find("input", name)
    assert str(raised.value) == f"a file name is empty or holds a NUL; expected a file in input; got {name!r}"


def test_a_listing_is_sorted_and_leaves_hidden_files_out(folders):
    assert folders.listing("input") == ["a.png", "c.png", "deep/b.PNG", "notes.txt"]
    assert folders.listing("input", [".png"]) == ["a.png", "c.png", "deep/b.PNG"]
    assert folders.listing("models") == []


def test_a_listing_of_an_enormous_folder_is_what_lies_nearest_to_its_top(folders, house, monkeypatch):
    monkeypatch.setattr(module, "_MOST_ENTRIES", 4)  # first/ has four entries, its folders are not looked into any more
    assert folders.listing("input") == ["a.png", "c.png", "notes.txt"]


def test_a_listing_follows_no_linked_folder_and_survives_what_it_cannot_read(folders, house):
    (house / "first" / "round").symlink_to(house / "first")
    (house / "first" / "gone.png").symlink_to(house / "nowhere")
    (house / "first" / "loop.png").symlink_to("loop.png")
    assert folders.listing("input") == ["a.png", "c.png", "deep/b.PNG", "notes.txt"]


def test_destinations_lie_inside_the_output_folder(folders, house):
    assert folders.destination("deep/er/a.png") == house / "out" / "deep" / "er" / "a.png"
    assert (house / "out" / "deep" / "er").is_dir()
    for name in ("../a.png", "/tmp/a.png", "."):
        with pytest.raises(GlidewireError) as raised:
            folders.destination(name)
        assert str(raised.value) == (
            f"{name!r} leads outside the output folder; expected a name inside {house / 'out'}; got {name}"
        )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=20))
def test_any_name_is_found_inside_or_refused(folders, house, name):
    try:
        found = folders.find("input", name)
    except GlidewireError:
        return
    assert found.is_relative_to(house / "first") or found.is_relative_to(house / "second")


def test_near_names():
    assert near("heigth", ["height", "seed"]) == "Did you mean height?"
    assert near("q", ["height", "seed"]) is None


def test_names_that_no_file_system_takes_are_refused_in_words(folders, house):
    with pytest.raises(GlidewireError, match=r"a{80} cannot be looked up in the input folders; expected a file name"):
        folders.find("input", "a" * 5000)
    (house / "first" / "loop").symlink_to(house / "first" / "loop")
    with pytest.raises(GlidewireError, match="loop"):
        folders.find("input", "loop")


def test_a_file_named_by_the_user_is_found_without_any_folder(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    named = (tmp_path / "a.png").resolve()
    assert Folders(files=frozenset({named})).find("input", str(named)) == named
    with pytest.raises(GlidewireError, match="no folder at all"):
        Folders().find("input", str(named))


def test_a_destination_that_cannot_be_made_is_explained(folders, house):
    (house / "out").mkdir()
    (house / "out" / "taken").write_text("")
    for name in ("taken/picture.png", f"{'x' * 300}/picture.png"):
        with pytest.raises(GlidewireError, match=r"cannot be written into the output folder .* Give another"):
            folders.destination(name)


@pytest.mark.parametrize("name", ["x" * 5000, "~a_user_that_nobody_is/picture.png"])
def test_a_path_that_cannot_be_is_explained(name):
    with pytest.raises(GlidewireError) as raised:
        user_path(name, "the picture")
    assert str(raised.value).startswith(f"the picture {name[:80]}")
    assert len(str(raised.value)) < 200 and "cannot be looked up; expected a path; got " in str(raised.value)


def test_each_near_name_is_said_once():
    assert near("Nope", ["Noise", "Noise", "Note"]) == "Did you mean Note or Noise?"
