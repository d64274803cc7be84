from __future__ import annotations

import sys
from types import ModuleType

import pytest
from glidewire.graph_runtime.declaration import NodeFunction, node
from glidewire.graph_runtime.registry import Registry, collect


@node(category="test", aliases=["OldTwice"])
def twice(value: int = 1) -> int:
    """Twice a number."""
    return 2 * value


@node(category="test")
def thrice(value: int = 1) -> int:
    """Thrice a number."""
    return 3 * value


def test_a_node_is_found_by_id_alias_and_name():
    registry = Registry([twice.declaration, thrice.declaration])
    for name in ("GlidewireTwice", "OldTwice", "twice"):
        assert registry.get(name) is twice.declaration
    assert registry.get("Twice") is None
    assert registry.ids() == ["GlidewireTwice", "GlidewireThrice"]
    assert len(registry) == 2
    assert list(registry) == [twice.declaration, thrice.declaration]


def test_two_nodes_may_not_share_a_name():
    @node(category="test", id="OldTwice")
    def other() -> int:
        """Another."""
        return 0

    with pytest.raises(ValueError, match="two nodes are called OldTwice"):
        Registry([twice.declaration, other.declaration])


def test_a_package_is_collected_module_by_module_each_node_where_it_is_defined(tmp_path, monkeypatch):
    package = tmp_path / "collected_nodes"
    package.mkdir()
    (package / "__init__.py").write_text("")
    head = "from glidewire.graph_runtime.declaration import node\n"
    one = '@node(category="x")\ndef {0}() -> int:\n    """It."""\n    return 1\n'
    (package / "b_second.py").write_text(head + "from .a_first import alpha\n" + one.format("gamma"))
    (package / "a_first.py").write_text(head + one.format("beta") + one.format("alpha"))
    monkeypatch.syspath_prepend(tmp_path)
    assert [entry.name for entry in collect("collected_nodes")] == ["beta", "alpha", "gamma"]
    assert isinstance(sys.modules["collected_nodes"], ModuleType)
    assert isinstance(sys.modules["collected_nodes.a_first"].alpha, NodeFunction)
