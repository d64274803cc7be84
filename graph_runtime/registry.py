"""The nodes that exist: found by id, by former id, or by Python name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator

from .declaration import NodeDeclaration, NodeFunction


class Registry:
    """A set of node declarations.

    Raises:
        ValueError: two nodes claim the same id, alias or name.
    """

    def __init__(self, declarations: Iterable[NodeDeclaration] = ()) -> None:
        self._by_id: dict[str, NodeDeclaration] = {}
        self._known: dict[str, NodeDeclaration] = {}
        for declaration in declarations:
            self.add(declaration)

    def add(self, declaration: NodeDeclaration) -> None:
        """Add one declaration under its id, aliases and name."""
        for name in (declaration.id, *declaration.aliases, declaration.name):
            if self._known.setdefault(name, declaration) is not declaration:
                raise ValueError(f"two nodes are called {name}")
        self._by_id[declaration.id] = declaration

    def get(self, name: str) -> NodeDeclaration | None:
        """The declaration with this id, former id or Python name, or None."""
        return self._known.get(name)

    def __iter__(self) -> Iterator[NodeDeclaration]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def ids(self) -> list[str]:
        """Every id, in order of registration."""
        return list(self._by_id)


def collect(package: str) -> Registry:
    """A registry of every `@node` function found in the modules of a package, in order of module and definition."""
    registry = Registry()
    root = importlib.import_module(package)
    for info in sorted(pkgutil.iter_modules(root.__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{package}.{info.name}")
        for value in vars(module).values():
            if isinstance(value, NodeFunction) and value.function.__module__ == module.__name__:
                registry.add(value.declaration)
    return registry
