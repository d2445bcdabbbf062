"""The worker processes that run OCR: started at the first picture, replaced when they die.

OCR holds the interpreter for seconds and may be killed for memory; neither may touch the event loop.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from bot.engine.reader import ocr
from bot.engine.reader.page import Page
from bot.errors import EngineUnavailable, RequestRejected

T = TypeVar("T")


class OcrPool:
    """processes: workers; the machine's cores are shared out among them as onnxruntime threads."""

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self._executor: ProcessPoolExecutor | None = None

    async def read(self, data: bytes) -> Page:
        """Read one encoded picture; a picture that kills its worker is tried once more.

        Raises RequestRejected for bytes that are not a picture, EngineUnavailable when the workers fail.
        """
        return await self.run(ocr.read, data)

    async def run(self, job: Callable[..., T], *arguments: Any) -> T:
        """Do a job in a worker. Raises as `read` does."""
        for _ in range(2):
            executor = self._start()
            try:
                return await asyncio.get_running_loop().run_in_executor(executor, job, *arguments)
            except ocr.Unreadable as error:
                raise RequestRejected(f"无法解码图片：{error}") from error
            except BrokenProcessPool:
                self._drop(executor)
            except Exception as error:
                raise EngineUnavailable(f"OCR failed: {error!r}") from error
        raise EngineUnavailable("the OCR worker died twice on one picture")

    def _start(self) -> ProcessPoolExecutor:
        if self._executor is None:
            threads = max(1, min(4, (os.cpu_count() or 1) // self.processes))
            # spawn: a fork would copy the event loop's threads and locks
            spawn = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self.processes, spawn, ocr.start, (threads,))
        return self._executor

    def _drop(self, broken: ProcessPoolExecutor) -> None:
        """Forget a pool that lost a worker; requests that shared it find the new one."""
        if self._executor is broken:
            self._executor = None
        broken.shutdown(wait=False, cancel_futures=True)

    async def close(self) -> None:
        """End the workers; pictures being read are finished first."""
        executor, self._executor = self._executor, None
        if executor is not None:
            await asyncio.to_thread(executor.shutdown, wait=True, cancel_futures=True)
