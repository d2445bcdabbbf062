"""Where a picture may be fetched from: rules for addresses and for the spelling of URLs.

The address that is dialled is what counts (`Fetcher` checks it when the socket is made, which covers redirects
and names that resolve anew). The spelling is checked as well, so that a refusal is early and two parsers can
never read two different hosts from one URL.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from yarl import URL

from bot.errors import FetchFailed

# Python 3.11's `is_global` passes several of these: 192.0.0.192 and 168.63.129.16 answer with cloud credentials.
# https://www.iana.org/assignments/iana-ipv4-special-registry
_FORBIDDEN_V4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier NAT, and Alibaba Cloud's metadata at 100.100.100.200
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's platform address
        "169.254.0.0/16",  # link-local, and most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments, and Oracle Cloud's metadata
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# Only global unicast is public in IPv6; this leaves out ::/96, ::ffff:0:0/96, 64:ff9b::/96, 64:ff9b:1::/48,
# 5f00::/16, fc00::/7, fe80::/10 and ff00::/8, which reach an IPv4 address in disguise or something near.
# https://www.iana.org/assignments/iana-ipv6-special-registry
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_FORBIDDEN_V6: Final = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address inside
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)

# Groups: scheme, host, port, rest. Hosts are ASCII names or literals: full-width and circled digits turn into
# ordinary ones on the way to the resolver. No user info, no space, control character, backslash or lone surrogate.
_URL: Final = re.compile(
    r"(https?)://(\[[0-9a-f:.]{2,45}\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::(\d{1,5}))?([/?#][^\s\\\x00-\x20\x7f-\x9f\ud800-\udfff]*)?",
    re.IGNORECASE | re.ASCII,
)
_LONGEST: Final = 4096
_PORTS: Final = {80, 443}


@dataclass(frozen=True, slots=True)
class Target:
    """One address to ask. trusted: on the operator's list, so that it may be private, any port, plain http."""

    url: URL
    host: str
    trusted: bool


def is_public(address: str) -> bool:
    """Whether an IP address, as text, belongs to the public internet; False for anything that is no address."""
    try:
        number = ip_address(address)
    except ValueError:
        return False
    if isinstance(number, IPv4Address):
        return not any(number in network for network in _FORBIDDEN_V4)
    return number in _GLOBAL_V6 and not any(number in network for network in _FORBIDDEN_V6)


def check(text: str, *, hosts: frozenset[str] | None, trusted: Collection[str]) -> Target:
    """Read a URL. Raises FetchFailed: bad_url, forbidden_host, forbidden_address.

    hosts: names that are accepted; `.example.com` accepts every name below. None accepts any. trusted: the
    operator's `host` and `host:port` entries.
    """
    match = _URL.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        raise bad_url()
    scheme, host, port = match[1].lower(), match[2].lower(), match[3]
    url = _parse(f"{scheme}://{host}:{port}" if port else f"{scheme}://{host}", match[4] or "")
    number = _number(host)
    if number is None and url.raw_host != host:
        raise bad_url()
    if hosts is not None and not _listed(host, hosts):
        raise FetchFailed("forbidden_host", "这张图片不在聊天平台自己的服务器上，不能打开。")
    if host in trusted or f"{host}:{url.port}" in trusted:
        return Target(url, host, True)
    if url.port not in _PORTS or (number is not None and not is_public(str(number))):
        raise forbidden_address()
    return Target(url, host, False)


def bad_url() -> FetchFailed:
    """The error for an address that is malformed or oddly spelled."""
    return FetchFailed("bad_url", "图片的网址不正确，打不开。")


def forbidden_address() -> FetchFailed:
    """The error for an address that must not be reached; says nothing about what is there."""
    return FetchFailed("forbidden_address", "这个网址不允许访问。请直接发送图片。")


def _parse(origin: str, rest: str) -> URL:
    """Signed URLs must arrive as they were written, so nothing ASCII is quoted anew."""
    path = rest.partition("#")[0]
    try:
        url = URL(origin + (path if path.startswith("/") else f"/{path}"), encoded=path.isascii())
        usable = bool(url.host and url.port)
    except ValueError:  # a port out of range
        usable, url = False, URL()
    if not usable:
        raise bad_url()
    return url


def _number(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host literally is. Raises FetchFailed for 127.1, 0x7f.1, 2130706433 and their kind."""
    literal = host.removeprefix("[").removesuffix("]")
    # https://url.spec.whatwg.org/#ends-in-a-number-checker: such a name is an address or nothing
    if host == literal and not re.fullmatch(r"\d+|0x[0-9a-f]*", host.rpartition(".")[2]):
        return None
    try:
        return ip_address(literal)
    except ValueError:
        raise bad_url() from None


def _listed(host: str, hosts: frozenset[str]) -> bool:
    parents = [host[at:] for at, letter in enumerate(host) if letter == "."]
    return host in hosts or not hosts.isdisjoint(parents)
