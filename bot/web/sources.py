"""Where the pictures of an API call are: in the call, on the web, or on the server's disk."""

from __future__ import annotations

import asyncio
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.errors import BadPicture, RequestError
from bot.fetch import Fetcher
from bot.media import safe_image_path

# https://www.rfc-editor.org/rfc/rfc2397, with `;base64` required
_DATA_URL: Final = re.compile(r"data:[^,]{0,200}?;base64,", re.IGNORECASE)
_WEB_URL: Final = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WebUrl:
    """To be fetched, guarded."""

    url: str


@dataclass(frozen=True, slots=True)
class DiskPath:
    """To be read below the folders that the operator opened."""

    path: str


Source = bytes | WebUrl | DiskPath


def from_text(text: str, where: str) -> Source:
    """A data: URL, an http(s) URL or base64, told apart by how it begins. Raises RequestError."""
    return WebUrl(text) if _WEB_URL.match(text) else from_base64(text, where)


def from_url(text: str, where: str) -> Source:
    """An http(s) URL or a data: URL; other schemes are left to the fetcher's refusal. Raises RequestError."""
    return from_base64(text, where) if text[:5].lower() == "data:" else WebUrl(text)


def from_base64(text: str, where: str) -> bytes:
    """RFC 4648 section 4, padded and without white space; may be a data: URL. Raises RequestError."""
    header = _DATA_URL.match(text)
    try:
        data = binascii.a2b_base64(text[header.end() :] if header else text, strict_mode=True)
    except ValueError:  # not ASCII, or not base64
        data = b""
    if not data:
        raise RequestError("bad_base64", f"{where} 不是有效的 base64 图片数据。")
    return data


class SourceReader:
    """Turns sources into bytes. limit: the largest file that is read from disk."""

    def __init__(self, fetcher: Fetcher, image_roots: Sequence[str], limit: int) -> None:
        self._fetcher = fetcher
        self._roots = [Path(root).expanduser() for root in image_roots]
        self._limit = limit

    async def read(self, source: Source) -> bytes:
        """The bytes, unchecked. Raises RequestError, BadPicture, FetchFailed."""
        match source:
            case WebUrl(url):
                return await self._fetcher.picture(url)
            case DiskPath(path):
                return await self._read_disk(path)
            case bytes():
                return source

    async def _read_disk(self, path: str) -> bytes:
        if not self._roots:
            raise RequestError(
                "image_path_disabled",
                "没有开放 image_path：请管理员在配置 server.image_roots 里写上允许的文件夹。",
                403,
            )
        return await asyncio.to_thread(self._read_file, path)

    def _read_file(self, given: str) -> bytes:
        path = safe_image_path(self._roots, given)
        try:
            with path.open("rb") as file:
                data = file.read(self._limit + 1)
        except OSError:
            raise BadPicture("forbidden_path", "不能读取这个路径的图片。") from None
        if len(data) > self._limit:
            raise BadPicture("too_many_bytes", "图片文件太大了。请压缩后再发。")
        return data
