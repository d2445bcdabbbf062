"""Reading `multipart/form-data` (RFC 7578) with limits on size, time and number of parts."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from aiohttp import BodyPartReader, web
from aiohttp.multipart import MultipartReader

from bot.errors import Rejected, RequestError
from bot.question import MAX_PICTURES
from bot.web.infer_request import FILE_FIELDS, check_field

_CHUNK: Final = 64 << 10
_MAX_PARTS: Final = MAX_PICTURES + 16
_PLAIN: Final = {"", "binary", "8bit", "7bit"}


@dataclass(slots=True)
class Upload:
    """The form so far. left: bytes that may still come."""

    left: int
    files: list[bytes] = field(default_factory=list[bytes])
    fields: dict[str, str] = field(default_factory=dict[str, str])


async def read_upload(http: web.Request, limit: int, seconds: float) -> Upload:
    """The whole form, its parts at most `limit` bytes together. Raises RequestError (400, 408, 413)."""
    if (http.content_length or 0) > limit:
        raise Rejected("too_large", 413)
    upload = Upload(limit)
    try:
        async with asyncio.timeout(seconds):
            await _read_parts(await http.multipart(), upload)
    except TimeoutError:
        raise Rejected("too_slow", 408) from None
    except (RequestError, ConnectionError):
        raise
    except Exception as error:
        # aiohttp reports a broken form by assertions, ValueErrors and several classes of its own.
        raise Rejected("malformed", 400) from error
    return upload


async def _read_parts(reader: MultipartReader, upload: Upload) -> None:
    parts = 0
    while (part := await reader.next()) is not None:
        parts += 1
        if parts > _MAX_PARTS:
            raise RequestError("too_many_fields", f"表单最多 {_MAX_PARTS} 项。")
        if not isinstance(part, BodyPartReader) or not part.name:
            raise Rejected("malformed", 400)
        check_field(part.name)
        _keep(upload, part, part.name, await _read_part(part, upload))


async def _read_part(part: BodyPartReader, upload: Upload) -> bytes:
    if part.headers.get("Content-Transfer-Encoding", "").lower() not in _PLAIN or "Content-Encoding" in part.headers:
        raise Rejected("malformed", 400)  # RFC 7578, section 4.7: not used over HTTP
    data = bytearray()
    while not part.at_eof():
        chunk = await part.read_chunk(_CHUNK)
        upload.left -= len(chunk)
        if upload.left < 0:
            raise Rejected("too_large", 413)
        data += chunk
    return bytes(data)


def _keep(upload: Upload, part: BodyPartReader, name: str, data: bytes) -> None:
    if name in FILE_FIELDS:
        # Browsers send one empty, nameless file for a chooser that was left alone.
        if data or part.filename:
            upload.files.append(data)
    elif name in upload.fields:
        raise RequestError("bad_value", f"{name} 只能写一次。")
    else:
        upload.fields[name] = data.decode("utf-8")
