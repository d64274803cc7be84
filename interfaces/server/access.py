"""Who may talk to the server: names it answers to, origins it trusts, and the token for any but this machine."""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from .replies import Refused

COOKIE: Final = "glidewire_token"
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_LOOPBACK_NAMES: Final = ("localhost",)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.casefold() in _LOOPBACK_NAMES


@dataclass(frozen=True)
class Access:
    """What a request must carry to be answered.

    Args:
        host: The address that the server is bound to.
        token: Required of everybody, if there is one.
        hosts: Further names that the server answers to.
        origins: Further origins ("https://editor.example") whose pages may talk to it.
    """

    host: str = "127.0.0.1"
    token: str | None = None
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()

    def check(self, request: web.Request) -> None:
        """Let a request pass.

        Raises:
            Refused: its Host is none of ours, its page is a stranger's, or it lacks the token.
        """
        host = self._host(request)
        self._origin(request, host)
        self._token(request)

    def _host(self, request: web.Request) -> str:
        """The Host header: a page of a name that an attacker points at this machine keeps that name here."""
        named = request.headers.getall("Host", [])
        try:
            split = urlsplit(f"//{named[0]}") if len(named) == 1 else None
            name = (split.hostname or "") if split and split.username is None and not split.path else ""
            _ = split and split.port
        except ValueError:
            name = ""
        if not self._answers_to(name):
            raise Refused(
                403,
                "the server does not answer to this name",
                expected=f"{self.host}, localhost or a name given with --allow-host",
                got=", ".join(named)[:100] or "no Host header",
                kind="forbidden_host",
            )
        return named[0].casefold()

    def _answers_to(self, name: str) -> bool:
        name = name.casefold()
        if name in self.hosts or name == self.host.strip("[]").casefold() or is_loopback(name):
            return bool(name)
        if is_loopback(self.host):
            return False
        try:  # an address is no name that somebody could point elsewhere
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _origin(self, request: web.Request, host: str) -> None:
        """The page that a request comes from: ours, or none (a program); never another site's."""
        origin = request.headers.get("Origin")
        socket = request.headers.get("Upgrade", "").casefold() == "websocket"
        changes = request.method not in _SAFE or socket
        if origin is not None and origin not in self.origins:
            ours = origin.casefold() in (f"http://{host}", f"https://{host}")
            if not ours and (origin != "null" or changes):
                raise self._stranger(origin)
        site = request.headers.get("Sec-Fetch-Site", "none")
        opened = request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"
        if (
            site == "cross-site"
            and origin not in self.origins
            and not (opened and not request.path.startswith("/api/"))
        ):
            raise self._stranger(f"another site ({origin or 'unnamed'})")

    @staticmethod
    def _stranger(origin: str) -> Refused:
        return Refused(
            403,
            "pages of other sites may not talk to this server",
            expected="a page of this server, or an origin given with --allow-origin",
            got=origin[:100],
            kind="forbidden_origin",
        )

    def _token(self, request: web.Request) -> None:
        if self.token is None or self.has_token(request):
            return
        raise Refused(
            401,
            "this server wants its access token",
            expected="the address with ?token=... that the server printed, or a header Authorization: Bearer ...",
            kind="token_required",
        )

    def has_token(self, request: web.Request) -> bool:
        """Whether a request carries the token: in its cookie or in its Authorization header."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        offered = [request.cookies.get(COOKIE, ""), given.strip() if scheme.casefold() == "bearer" else ""]
        return any(self.is_token(text) for text in offered)

    def is_token(self, text: str) -> bool:
        """Whether a text is the token; takes as long whatever the text is."""
        return self.token is not None and hmac.compare_digest(text.encode(), self.token.encode())
