"""What the editor learns of nodes: descriptions, help pages, extensions."""

from __future__ import annotations

from glidewire.graph_runtime.declaration import node
from glidewire.graph_runtime.registry import Registry
from glidewire.interfaces.help_pages import help_page
from glidewire.interfaces.server.node_routes import descriptions
from glidewire.interfaces.session import pack_registry


def test_every_node_is_described_and_one_alone_the_same(running, registry):
    found = running.get("/object_info").json
    assert set(found) == set(registry.ids())
    one = running.get("/object_info/GlidewireTinyNoise").json
    assert one == {"GlidewireTinyNoise": found["GlidewireTinyNoise"]}
    assert running.get("/object_info/none").json == {}


def test_files_are_listed_as_they_are_now(running, tmp_path):
    def offered() -> list[str]:
        return running.get("/object_info").json["GlidewireTinyRead"]["input"]["required"]["file"][0]

    assert offered() == []
    (tmp_path / "input" / "new.txt").write_text("x")
    assert offered() == ["new.txt"]


def test_a_former_id_is_there_for_old_workflows_but_not_offered(running):
    @node(category="tiny", aliases=("GlidewireTinyOld",))
    def tiny_renamed(value: int = 1) -> int:
        """Renamed."""
        return value

    found = descriptions(Registry([tiny_renamed.declaration]), running.server.session.folders)
    assert found["GlidewireTinyOld"]["deprecated"] is True and "deprecated" not in found["GlidewireTinyRenamed"]


def test_extensions_are_modules_that_are_there_with_the_right_type(running):
    listed = running.get("/extensions").json
    assert "/extensions/glidewire-server/serve.js" in listed
    for path in listed:
        reply = running.get(path)
        assert reply.status == 200 and reply.headers["Content-Type"].startswith("text/javascript"), path
    assert running.get("/extensions/glidewire/..%2Fpyproject.toml").status == 403
    assert running.get("/extensions/glidewire-server/none.js").status == 404


def test_help_pages_come_from_the_declarations(running):
    page = running.get("/extensions/glidewire/docs/GlidewireTinyNoise.md")
    text = page.body.decode()
    assert page.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert text.startswith("# ") and "| `count` |" in text and "1 to 64" in text and "GRAIN" in text
    assert running.get("/extensions/glidewire/docs/GlidewireTinyNoise/de.md").status == 404
    assert running.get("/extensions/glidewire/docs/None.md").status == 404


def test_every_node_of_the_pack_has_a_help_page_with_all_of_its_sockets():
    for declaration in pack_registry():
        page = help_page(declaration)
        for entry in (*declaration.inputs, *declaration.outputs):
            assert f"| `{entry.id}` |" in page, declaration.id
        lines = [line for line in page.splitlines() if line.startswith("| ")]
        assert {line.count("|") - line.count("\\|") for line in lines} <= {7, 5}, declaration.id
