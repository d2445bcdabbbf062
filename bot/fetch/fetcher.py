"""Pictures from anywhere and calls of platforms' APIs, each with its own rules and its own connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection, Mapping
from io import BytesIO
from typing import Final
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from bot.config import MediaConfig
from bot.errors import FetchFailed, NetworkError
from bot.fetch.targets import Target, bad_url, check, forbidden_address, is_public
from bot.http import NO_HEADERS, HttpAnswer
from bot.media.refusals import refused

_REDIRECTS: Final = 3
_REDIRECT_STATUS: Final = {301, 302, 303, 307, 308}
_ANSWER_BYTES: Final = 1 << 20
_CHUNK: Final = 64 << 10
_PICTURE_CONNECTIONS: Final = 256
# The time limit of a whole picture is set around all its hops; a call has its own.
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None)
# A connection that cannot be made ends well before the whole, so that `sent_maybe` is never in doubt for it.
CALL_TIMEOUT: Final = aiohttp.ClientTimeout(total=15.0, connect=8.0)
# Compressed bodies could swell beyond the cap; pictures gain nothing by it.
_PLAIN_HEADERS: Final = {"Accept-Encoding": "identity", "User-Agent": "Kantu"}
_PICTURES: Final = "image/*, */*;q=0.1"


class ForbiddenAddress(OSError):
    """The name led to an address that must not be dialled."""


def guarded_socket(info: tuple[int, int, int, str, tuple[str | int, ...]]) -> socket.socket:
    """A socket for a public address. Called with the very address that is about to be dialled."""
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise ForbiddenAddress("forbidden address")
    return socket.socket(family, kind, protocol)


class Fetcher:
    """`bot.http.Http` over aiohttp. Connections are made when first needed, inside the running loop."""

    def __init__(
        self,
        config: MediaConfig,
        *,
        allow_private: Collection[str] = (),
        resolver: AbstractResolver | None = None,
    ) -> None:
        """allow_private: `host` or `host:port` beside the configured `allow_hosts`. resolver: for tests."""
        self._config = config
        self._trusted = frozenset(entry.lower() for entry in (*config.allow_hosts, *allow_private))
        self._resolver = resolver
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def picture(
        self, url: str, *, hosts: frozenset[str] | None = None, headers: Mapping[str, str] = NO_HEADERS
    ) -> bytes:
        """GET a picture of at most `max_bytes` within `fetch_timeout` seconds, all redirects included.

        hosts: the names that may be asked, also by redirects; `.example.com` means every name below it. headers: for
        the host of `url` alone: a redirect must not carry a token away. Raises
        FetchFailed (bad_url, forbidden_host, forbidden_address, too_many_redirects, bad_status, unreachable,
        tls, timeout) or BadPicture (too_many_bytes).
        """
        try:
            async with asyncio.timeout(self._config.fetch_timeout):
                return await self._follow(url, hosts, headers, _PICTURES, self._config.max_bytes)
        except _TooLong:
            raise refused("too_many_bytes", self._config) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _fetch_failed(error) from None

    async def document(self, url: str, accept: str, cap: int) -> bytes:
        """GET a text of at most `cap` bytes by the rules for pictures. accept: its media types. Raises FetchFailed."""
        try:
            async with asyncio.timeout(self._config.fetch_timeout):
                return await self._follow(url, None, NO_HEADERS, accept, cap)
        except _TooLong:
            raise FetchFailed("too_many_bytes", "这个网址的内容太大了。") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _fetch_failed(error) from None

    async def request(
        self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] = NO_HEADERS
    ) -> HttpAnswer:
        """Call an address of the operator's; not guarded, redirects not followed.

        The answer is at most 1 MiB. Raises NetworkError; `sent_maybe` is False only when no
        connection was made. The text of the error holds no URL: tokens travel in them.
        """
        try:
            return await self._call(method, url, body, headers, _ANSWER_BYTES, CALL_TIMEOUT)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, ValueError) as error:
            raise NetworkError(f"no connection: {type(error).__name__}") from None
        except (_TooLong, aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NetworkError(f"no answer: {type(error).__name__}", sent_maybe=True) from None

    async def media(self, url: str, *, headers: Mapping[str, str] = NO_HEADERS) -> HttpAnswer:
        """GET at most `max_bytes` from an address of the operator's; not guarded, redirects not followed.

        Raises FetchFailed (unreachable, tls, timeout, bad_url) or BadPicture (too_many_bytes).
        """
        timeout = aiohttp.ClientTimeout(total=self._config.fetch_timeout)
        try:
            return await self._call("GET", url, b"", headers, self._config.max_bytes, timeout)
        except _TooLong:
            raise refused("too_many_bytes", self._config) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _fetch_failed(error) from None
        except ValueError:
            raise bad_url() from None

    async def _call(
        self,
        method: str,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        cap: int,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109
    ) -> HttpAnswer:
        async with self._session("call").request(
            method,
            URL(url, encoded=url.isascii()),
            data=BytesIO(body) if body else None,
            headers=headers,
            allow_redirects=False,
            timeout=timeout,
        ) as response:
            named = {name.lower(): value for name, value in response.headers.items()}
            return HttpAnswer(response.status, await _read(response, cap), _retry_after(response), named)

    async def close(self) -> None:
        """Close all connections."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    async def _follow(
        self, url: str, hosts: frozenset[str] | None, headers: Mapping[str, str], accept: str, cap: int
    ) -> bytes:
        first = ""
        for _ in range(_REDIRECTS + 1):
            target = check(url, hosts=hosts, trusted=self._trusted)
            origin = str(target.url.origin())
            first = first or origin
            wanted = {**_PLAIN_HEADERS, "Accept": accept, **(headers if origin == first else NO_HEADERS)}
            body, location = await self._hop(target, wanted, cap)
            if location is None:
                return body
            url = urljoin(str(target.url), location)
        raise FetchFailed("too_many_redirects", "图片网址跳转次数太多，打不开。")

    async def _hop(self, target: Target, headers: Mapping[str, str], cap: int) -> tuple[bytes, str | None]:
        """One request: the body, or where to go instead."""
        session = self._session("trusted" if target.trusted else "guarded")
        async with session.get(target.url, allow_redirects=False, timeout=_NO_TIMEOUT, headers=headers) as response:
            if response.status in _REDIRECT_STATUS and "Location" in response.headers:
                return b"", response.headers["Location"]
            if not 200 <= response.status < 300:
                raise _bad_status(response.status)
            return await _read(response, cap), None

    def _session(self, kind: str) -> aiohttp.ClientSession:
        session = self._sessions.get(kind)
        if session is None:
            session = self._sessions[kind] = self._open(kind)
        return session

    def _open(self, kind: str) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0 if kind == "call" else _PICTURE_CONNECTIONS,
            resolver=self._resolver,
            socket_factory=guarded_socket if kind == "guarded" else None,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,  # a proxy would dial for us, past the guard
            auto_decompress=kind == "call",
        )


class _TooLong(Exception):
    """The body exceeds the cap."""


async def _read(response: aiohttp.ClientResponse, cap: int) -> bytes:
    """The body, never holding much more than `cap` bytes. Raises _TooLong."""
    if (response.content_length or 0) > cap:
        response.close()
        raise _TooLong
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > cap:
            response.close()
            raise _TooLong
    return bytes(body)


def _bad_status(status: int) -> FetchFailed:
    if status >= 500:
        sentence = "图片所在的网站暂时出错了，请稍后再试。"
    else:
        sentence = "图片取不到了，可能已经过期，请重新发一次。"
    return FetchFailed("bad_status", sentence, retry=status >= 500)


def _fetch_failed(error: Exception) -> FetchFailed:
    if isinstance(error, TimeoutError):
        return FetchFailed("timeout", "下载图片超时了，请稍后再试。", retry=True)
    if isinstance(error, aiohttp.ClientSSLError):
        return FetchFailed("tls", "图片所在网站的证书有问题，不能下载。")
    if _is_forbidden(error):
        return forbidden_address()
    return FetchFailed("unreachable", "暂时连不上图片所在的网站，请稍后再试。", retry=True)


def _is_forbidden(error: Exception) -> bool:
    """aiohttp wraps what the socket factory raises; several addresses of one name are joined in one text."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return isinstance(cause, ForbiddenAddress) or "forbidden address" in str(cause)


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Seconds of a Retry-After header; its date form is not used by the platforms we know."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdecimal() and len(value) <= 6 else None
