"""The command `serve`: the editor in a browser, over the same check, plan and run."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Annotated

import typer

from ..errors import GlidewireError
from . import cli_options as options
from .cli_options import stderr


def serve(
    host: Annotated[str, typer.Option("--host", help="The address to listen on; others want a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")] = 8188,
    token: Annotated[
        str | None,
        typer.Option("--token", envvar="GLIDEWIRE_TOKEN", help="The access token; made up for any but this machine."),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", help="A further name the server answers to.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option("--allow-origin", help="A further origin whose pages may talk to it.")
    ] = None,
    user: Annotated[
        Path | None, typer.Option("--user", help="The folder of saved workflows and settings.", show_default=False)
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the browser.")] = False,
    output: options.Output = Path("output"),
    models: options.Models = None,
    inputs: Annotated[
        list[Path] | None,
        typer.Option("--input", help="A folder of pictures; uploads go into the first (input).", show_default=False),
    ] = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    threads: options.Threads = None,
    cache: options.CacheFolder = None,
    no_cache: options.NoCache = False,
    debug: options.Debug = False,
) -> None:
    """Open the editor in a browser: the official ComfyUI frontend over this runtime, private to this machine."""
    try:
        import aiohttp  # noqa: F401 - the extra is there
    except ImportError:
        raise GlidewireError(
            "the server needs aiohttp", expected="the extra serve", hint="pip install 'glidewire[serve]'"
        ) from None
    from .server import frontend
    from .server.access import Access, is_loopback
    from .server.application import make_application, open_server
    from .server.application import serve as run_server

    if not inputs:
        Path("input").mkdir(exist_ok=True)
    session = options.open_session(
        models=models,
        inputs=inputs or [Path("input")],
        output=output,
        device=device,
        dtype=dtype,
        threads=threads,
        cache=cache,
        no_cache=no_cache,
    )
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    access = Access(host, token, frozenset(map(str.casefold, allow_host or ())), frozenset(allow_origin or ()))
    server = open_server(session, user=user, access=access)
    version = frontend.frontend_version()
    notice = (
        frontend.version_notice(version) if version else "the editor is not installed: pip install 'glidewire[serve]'"
    )
    if notice:
        stderr.print(f"note: {notice}", style="yellow", markup=False, highlight=False)

    def ready(chosen: int) -> None:
        address = _address(host, chosen, token)
        stderr.print(f"glidewire serves at {address}", highlight=False, markup=False, soft_wrap=True)
        if open_browser:
            typer.launch(address)

    asyncio.run(run_server(make_application(server), host, port, ready))


def _address(host: str, port: int, token: str | None) -> str:
    shown = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
