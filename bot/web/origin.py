"""Which site a browser's request comes from, and to which name it was sent."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_DEFAULT_PORTS: Final = (":80", ":443")


def is_loopback(host: str) -> bool:
    """Whether listening on this address reaches this machine only; False for "" (all addresses)."""
    try:
        return ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def host_allowed(http: web.Request, names: Collection[str]) -> bool:
    """Whether the one Host header names one of `names`, with any port unless the entry has its own.

    A page that was rebound to this machine by DNS still sends its own name here.
    """
    given = http.headers.getall("Host", [])
    if len(given) != 1:
        return False
    host = given[0].lower()
    return host in names or _without_port(host) in names


def same_origin(http: web.Request, *, required: bool = False, names: Collection[str] = ()) -> bool:
    """Whether Origin and Sec-Fetch-Site, where present, say that our own page asks. required: Origin must be there.

    A proxy may have taken TLS off, so the scheme is not compared; the SameSite cookie keeps http and https apart.
    names: more hosts that the service is known by, where a proxy rewrites Host.
    """
    if http.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        return False
    origin = http.headers.get("Origin")
    if origin is None:
        return not required
    host = _origin_host(origin)
    return host is not None and (host == _plain(http.headers.get("Host", "")) or _without_port(host) in names)


def is_https(http: web.Request) -> bool:
    """Whether the browser speaks TLS, to us or to the proxy before us: its own Origin tells."""
    return http.scheme == "https" or http.headers.get("Origin", "").startswith("https://")


def _origin_host(origin: str) -> str | None:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return _plain(parts.netloc) if parts.scheme in {"http", "https"} and parts.netloc else None


def _plain(host: str) -> str:
    """Lower case, without a port that goes without saying."""
    host = host.lower()
    for port in _DEFAULT_PORTS:
        host = host.removesuffix(port)
    return host


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and (port.isdigit() or not port) and not name.endswith(":") else host
