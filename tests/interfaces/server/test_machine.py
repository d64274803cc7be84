"""What the editor asks about the machine."""

from __future__ import annotations

import json


def test_the_machine_and_its_versions(running):
    found = running.get("/system_stats").json
    assert found["system"]["comfyui_version"].startswith("glidewire ")
    assert "--disable-api-nodes" in found["system"]["argv"]  # else the editor asks an outside service for news
    assert found["devices"][0]["type"] == "cpu" and found["devices"][0]["vram_total"] >= 0


def test_the_editor_shows_our_sentences_in_every_language(running):
    for texts in running.get("/i18n").json.values():
        assert texts["errorCatalog"]["validationErrors"]["return_type_mismatch"]["detailsWithTypes"] == "{rawDetails}"


def test_locales_of_the_pack_are_merged(running, tmp_path, monkeypatch):
    folder = tmp_path / "locales" / "de"
    folder.mkdir(parents=True)
    (folder / "main.json").write_text(json.dumps({"hello": "Hallo"}))
    (folder / "nodeDefs.json").write_text(json.dumps({"Node": {"display_name": "Knoten"}}))
    monkeypatch.setattr("glidewire.interfaces.server.machine.ROOT", tmp_path)
    found = running.get("/i18n").json["de"]
    assert found == {"hello": "Hallo", "nodeDefs": {"Node": {"display_name": "Knoten"}}}


def test_pictures_of_a_folder_are_listed_newest_first(running, tmp_path):
    import os

    for age, name in enumerate(("new.png", "old.png", ".hidden")):
        (tmp_path / "output" / name).write_text("x")
        os.utime(tmp_path / "output" / name, (1000 - age, 1000 - age))
    assert running.get("/internal/files/output").json == ["new.png [output]", "old.png [output]"]
    assert running.get("/internal/files/models").status == 400


def test_the_editor_keeps_its_own_way_of_searching_templates(running):
    assert running.get("/templates/fuse_options.json").json is None
