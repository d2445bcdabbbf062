"""Files that are either whole or absent, also after a power cut."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Generator
from concurrent.futures import Executor
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Make a folder that only this user can read, and its parents."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextlib.contextmanager
def temporary(folder: Path) -> Generator[tuple[int, Path]]:
    """An empty file, open for writing, that is gone afterwards unless it was placed."""
    descriptor, name = tempfile.mkstemp(dir=folder)
    try:
        yield descriptor, Path(name)
    finally:
        os.close(descriptor)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def write_all(descriptor: int, data: bytes) -> None:
    """Write everything. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class GroupSync:
    """Makes a folder durable for many at once: callers that wait together share one fsync."""

    def __init__(self, folder: Path, threads: Executor) -> None:
        self._folder = folder
        self._threads = threads
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Return after an fsync that began after this call. Raises OSError."""
        if self._next is None:
            self._next = asyncio.create_task(self._sync(self._running))
        await asyncio.shield(self._next)

    async def _sync(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        await asyncio.get_running_loop().run_in_executor(self._threads, sync_folder, self._folder)
