"""The commands that look at what there is: `nodes`, `cache ...`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ..errors import GlidewireError
from ..graph_runtime.folders import near
from . import cli_options as options
from .cli_options import EXIT_CODES, stdout

cache_commands = typer.Typer(help="The disk cache: what it holds, whether it is sound, and making it smaller.")

_SIZES = ("bytes", "budget")
_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def nodes(
    name: Annotated[str | None, typer.Argument(help="One node, shown in full.", show_default=False)] = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """List the nodes, or show one in full: sockets, dims, ranges, documentation, source."""
    from .session import pack_registry
    from .tables import node_json, node_page, nodes_table

    registry = pack_registry()
    if name is None:
        if as_json:
            print(json.dumps([node_json(declaration) for declaration in registry], default=str))
        else:
            stdout.print(nodes_table(registry))
        return
    found = registry.get(name)
    if found is None:
        names = [text for declaration in registry for text in (declaration.name, declaration.id)]
        holding = [declaration.name for declaration in registry if name.casefold() in declaration.name.casefold()]
        meant = f"Did you mean {' or '.join(holding[:3])}?" if holding else near(name, names)
        raise GlidewireError(f"there is no node {name}", hint=meant or "`glidewire nodes` lists them all.")
    if as_json:
        print(json.dumps(node_json(found), default=str))
    else:
        stdout.print(node_page(found))


def parse_size(text: str) -> int:
    """ "500M", "2 GiB" or "1000000" as bytes; the units are powers of 1024.

    Raises:
        GlidewireError: it is no size.
    """
    cleaned = text.strip().lower().removesuffix("ib").removesuffix("b").strip()
    number, unit = (cleaned[:-1], cleaned[-1:]) if cleaned[-1:] in _UNITS else (cleaned, "")
    try:
        size = int(float(number) * _UNITS[unit])
    except (ValueError, OverflowError):
        size = -1
    if size < 0:
        raise GlidewireError("the budget is no size", expected="bytes, or a number with K, M, G or T", got=repr(text))
    return size


@cache_commands.command("stats", epilog=EXIT_CODES)
def stats(cache: options.CacheFolder = None, as_json: options.Json = False, debug: options.Debug = False) -> None:
    """How many entries, how many bytes, where."""
    from .surroundings import open_store

    _report(dict(open_store(cache).stats()), as_json=as_json)


@cache_commands.command("verify", epilog=EXIT_CODES)
def verify(cache: options.CacheFolder = None, as_json: options.Json = False, debug: options.Debug = False) -> None:
    """Read every entry; damaged ones are removed, and made again when they are needed."""
    from .surroundings import open_store

    _report(open_store(cache).verify(), as_json=as_json)


@cache_commands.command("prune", epilog=EXIT_CODES)
def prune(
    budget: Annotated[str, typer.Option("--budget", help="What may stay: 500M, 2G, or bytes.", show_default=False)],
    cache: options.CacheFolder = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Remove what is cheapest to make again for its size, until the rest fits the budget."""
    from .surroundings import open_store

    _report({"removed": open_store(cache).prune(parse_size(budget))}, as_json=as_json)


@cache_commands.command("clear", epilog=EXIT_CODES)
def clear(
    cache: options.CacheFolder = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Remove every entry."""
    from .surroundings import cache_folder, open_store

    if not yes and not typer.confirm(f"Remove every cached result in {cache_folder(cache)}?", err=True):
        raise typer.Exit(options.CANCELLED)
    _report({"removed": open_store(cache).clear()}, as_json=as_json)


def _report(facts: Mapping[str, Any], *, as_json: bool) -> None:
    from .tables import bytes_text

    if as_json:
        print(json.dumps(facts, default=str))
        return
    for name, value in facts.items():
        text = bytes_text(value) if name in _SIZES and isinstance(value, (int, float)) else value
        stdout.print(f"{name.replace('_', ' ')}: {text}", highlight=False, markup=False)
