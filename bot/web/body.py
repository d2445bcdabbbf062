"""Reading request bodies with a size and a time limit."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from bot.errors import Rejected

#: Holds the few places for bodies of more than _BIG bytes, or of a length that was not declared.
BIG_BODIES: Final = web.AppKey("big_bodies", asyncio.Semaphore)
BIG_AT_ONCE: Final = 6
_BIG: Final = 1 << 20


async def read_body(http: web.Request, limit: int, seconds: float) -> bytes:
    """The whole body, at most `limit` bytes after decompression, within `seconds`.

    Raises Rejected: too_large (413), too_slow (408), malformed (400, the body's own coding is broken).
    """
    length = http.content_length
    if length is not None and length > limit:
        raise _too_large(limit)
    if length is not None and http.content.is_eof():
        # It came with the head, as small ones do: nothing to wait for.
        return _whole(http, limit)
    try:
        async with asyncio.timeout(seconds):
            if length is not None and length <= _BIG:
                return await _read(http, limit)
            # Strangers can send big bodies as well: they must not fill the memory together.
            async with http.app[BIG_BODIES]:
                return await _read(http, limit)
    except TimeoutError:
        raise Rejected("too_slow", 408, "the body did not arrive in time") from None
    except (Rejected, ConnectionError):
        raise
    except Exception as error:
        # aiohttp reports a broken gzip or chunk coding in several of its own classes.
        raise Rejected("malformed", 400, f"the body cannot be read: {type(error).__name__}") from error


def _whole(http: web.Request, limit: int) -> bytes:
    body = http.content.read_nowait()
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> Rejected:
    return Rejected("too_large", 413, f"the body is larger than {limit} bytes")


async def _read(http: web.Request, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in http.content.iter_any():
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        pieces.append(piece)
    return b"".join(pieces)
