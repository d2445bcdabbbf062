"""The media folder.

    ab/abcdef….jpg|png   a picture that was checked and encoded anew, by the SHA-256 of the bytes received
    incoming/abcdef…     bytes that came inside a webhook, unchecked, until their event is worked on
    tmp/                 files being written

A file has its final name only when it is whole and on disk. Disk and decoders run in threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from bot.clock import Clock
from bot.config import MediaConfig
from bot.errors import MediaError
from bot.media import disk
from bot.media.pool import DecoderPool
from bot.media.refusals import refused
from bot.media.sniff import UNSUPPORTED, kept_size, picture_format
from bot.message import Image

T = TypeVar("T")

_DISK_THREADS: Final = 8
#: Seconds in which an event whose bytes were put aside is certainly on disk.
_JUST_NOW: Final = 30.0
_ENDINGS: Final = {".jpg": "image/jpeg", ".png": "image/png"}
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class MediaStore:
    """Checks pictures and keeps them. One per process; several processes may share the folder."""

    def __init__(self, folder: Path, config: MediaConfig, *, clock: Clock | None = None) -> None:
        """Makes the folder if it is absent; starts nothing."""
        self._folder = folder
        self._config = config
        self._clock = clock or Clock()
        for name in ("", "incoming", "tmp"):
            disk.make_folder(folder / name)
        disk.sync_folder(folder)
        self._pool = DecoderPool(config)
        self._disk = ThreadPoolExecutor(_DISK_THREADS, "media-disk")
        self._decoding = ThreadPoolExecutor(config.decode_processes, "media-decode")
        self._incoming = disk.GroupSync(folder / "incoming", self._disk)
        self._keeping: dict[str, asyncio.Task[Image]] = {}

    async def keep(self, data: bytes, *, source: str = "") -> Image:
        """Check a picture and keep a clean copy; bytes that were kept before are not decoded again.

        Returns the reference, with the type and size of the copy. Raises BadPicture with a code of
        `refusals.SENTENCES`, MediaError("decoder_unavailable"), OSError when the disk is full.
        """
        if not data:
            raise refused("empty", self._config)
        if len(data) > self._config.max_bytes:
            raise refused("too_many_bytes", self._config)
        sha256 = await self._in_thread(_sha256, data)
        image = await self.find(sha256) or await self._keep_once(sha256, data)
        return Image(source, sha256, image.mime_type, image.width, image.height)

    async def find(self, sha256: str) -> Image | None:
        """The reference of a kept picture, its source empty; None when it is not kept."""
        return await self._in_thread(self._find, sha256)

    async def load(self, sha256: str) -> bytes:
        """The clean copy. Raises MediaError("absent")."""
        return await self._in_thread(lambda: _read(self.path(sha256)))

    def path(self, sha256: str) -> Path:
        """Where the clean copy lies; looks at the disk. Raises MediaError("absent")."""
        for ending in _ENDINGS:
            path = self._kept(sha256, ending)
            if path.is_file():
                return path
        raise _absent()

    async def delete(self, sha256: str) -> None:
        """Forget a picture: the clean copy and the bytes received. Absent ones are no error."""
        await self._in_thread(self._delete, sha256)

    async def stash(self, data: bytes) -> str:
        """Put bytes aside, unchecked; on disk when this returns. Returns their SHA-256. Raises OSError."""
        sha256 = await self._in_thread(self._write_stash, data)
        await self._incoming.wait()
        return sha256

    async def unstash(self, sha256: str) -> bytes:
        """Bytes put aside. Raises MediaError("absent"); a twin's may have been dropped: see `find` first."""
        return await self._in_thread(lambda: _read(self._stashed(sha256)))

    async def drop_stash(self, sha256: str) -> None:
        """Remove bytes put aside, unless somebody put them aside again just now. Absent ones are no error."""
        await self._in_thread(self._drop_stash, sha256)

    async def stashed(self, older_than: float) -> list[str]:
        """SHA-256 of what was put aside more than `older_than` seconds ago, to be dropped where nobody waits for it."""
        return await self._in_thread(self._stashed_before, self._clock.now() - older_than)

    async def sweep(self, older_than: float) -> int:
        """Remove what was put aside or left half-written more than `older_than` seconds ago; returns how many."""
        return await self._in_thread(self._sweep, self._clock.now() - older_than)

    async def close(self) -> None:
        """End the decoders and threads; pictures being decoded fail."""
        self._decoding.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._pool.close)
        await asyncio.gather(*self._keeping.values(), return_exceptions=True)
        await asyncio.to_thread(self._decoding.shutdown)
        await asyncio.to_thread(self._disk.shutdown)

    async def _in_thread(self, job: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, job, *args)

    async def _keep_once(self, sha256: str, data: bytes) -> Image:
        """Join whoever decodes the same bytes already; a waiter that gives up disturbs no other."""
        task = self._keeping.get(sha256)
        if task is None:
            loop = asyncio.get_running_loop()
            job = loop.run_in_executor(self._decoding, self._decode, sha256, data)
            task = self._keeping[sha256] = asyncio.ensure_future(_result(job))
            task.add_done_callback(lambda done: self._kept_or_not(sha256, done))
        return await asyncio.shield(task)

    def _kept_or_not(self, sha256: str, task: asyncio.Task[Image]) -> None:
        del self._keeping[sha256]
        if not task.cancelled():
            task.exception()  # seen, even if every waiter has gone

    def _decode(self, sha256: str, data: bytes) -> Image:
        kind = picture_format(data)
        if kind is None:
            raise refused("not_a_picture", self._config)
        if kind == UNSUPPORTED:
            raise refused("unsupported_format", self._config)
        with disk.temporary(self._folder / "tmp") as (target, name):
            decoded = self._pool.decode(data, kind, target)
            ending = next(end for end, mime_type in _ENDINGS.items() if mime_type == decoded.mime_type)
            self._place(target, name, self._kept(sha256, ending))
        return Image("", sha256, decoded.mime_type, decoded.width, decoded.height)

    def _place(self, target: int, name: Path, path: Path) -> None:
        """Give a written file its final name, durably."""
        os.fsync(target)
        disk.make_folder(path.parent)
        name.replace(path)
        disk.sync_folder(path.parent)
        disk.sync_folder(self._folder)

    def _find(self, sha256: str) -> Image | None:
        try:
            path = self.path(sha256)
            with path.open("rb") as file:
                size = kept_size(file.read(1024))
        except (MediaError, FileNotFoundError):
            return None
        return Image("", sha256, _ENDINGS[path.suffix], *size) if size else None

    def _delete(self, sha256: str) -> None:
        for ending in _ENDINGS:
            self._kept(sha256, ending).unlink(missing_ok=True)
        self._drop_stash(sha256)

    def _drop_stash(self, sha256: str) -> None:
        # A twin may have been put aside a moment ago, its event not yet on disk: nobody can tell that it is needed.
        path = self._stashed(sha256)
        with contextlib.suppress(FileNotFoundError):
            if _changed(path) < self._clock.now() - _JUST_NOW:
                path.unlink(missing_ok=True)

    def _stashed_before(self, before: float) -> list[str]:
        return [path.name for path in (self._folder / "incoming").iterdir() if _changed(path) < before]

    def _write_stash(self, data: bytes) -> str:
        sha256 = _sha256(data)
        path = self._stashed(sha256)
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)  # the same bytes again: young again, so that sweep leaves them
            return sha256
        with disk.temporary(self._folder / "tmp") as (target, name):
            disk.write_all(target, data)
            os.fsync(target)
            name.replace(path)
        return sha256

    def _sweep(self, before: float) -> int:
        stale = [
            path
            for folder in ("incoming", "tmp")
            for path in (self._folder / folder).iterdir()
            if _changed(path) < before
        ]
        for path in stale:
            path.unlink(missing_ok=True)
        return len(stale)

    def _kept(self, sha256: str, ending: str) -> Path:
        return self._folder / _checked(sha256)[:2] / f"{sha256}{ending}"

    def _stashed(self, sha256: str) -> Path:
        return self._folder / "incoming" / _checked(sha256)


async def _result(job: asyncio.Future[Image]) -> Image:
    return await job


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _checked(sha256: str) -> str:
    """The name itself, once it is sure to be a hash and no path."""
    if not _SHA256.fullmatch(sha256):
        raise _absent()
    return sha256


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise _absent() from None


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _absent() -> MediaError:
    return MediaError("absent", "这张图片已经不在了，请重新发一次。")
