"""One thread owns the writing connection and commits whole batches (group commit).

Everything that waits when the thread is free goes into one transaction, so that the cost of one fsync is shared
and a busy service commits rarely. A caller's future is done only after the commit. When a batch fails, each of
its operations is tried again in a transaction of its own, so that one bad operation harms no neighbour.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

A = TypeVar("A")
R = TypeVar("R")
#: Does several operations of one kind at once; one result per argument, in order.
Operation = Callable[[Connection, Sequence[A]], Sequence[R]]
_Item = tuple[Operation[Any, Any], Any, "asyncio.Future[Any]"]


class Writer(threading.Thread):
    """Runs operations in batches of at most `batch`, each batch in one transaction."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop, batch: int = 512) -> None:
        super().__init__(name="store-writer", daemon=True)
        self._engine = engine
        self._loop = loop
        self._batch = batch
        self._queue: queue.SimpleQueue[list[_Item] | None] = queue.SimpleQueue()
        self._collected: list[_Item] = []
        self.start()

    def submit(self, operation: Operation[A, R], argument: A) -> asyncio.Future[R]:
        """Queue an operation; the future is done after its commit, or has the operation's exception."""
        future: asyncio.Future[R] = self._loop.create_future()
        if not self._collected:
            self._loop.call_soon(self._hand_over, 0)
        self._collected.append((operation, argument, future))
        return future

    def _hand_over(self, before: int) -> None:
        """Once the loop has gone round without finding more: requests that are ready together share one commit."""
        found = len(self._collected)
        if before < found < self._batch:
            self._loop.call_soon(self._hand_over, found)
            return
        self._queue.put(self._collected)
        self._collected = []

    def stop(self) -> None:
        """Finish what was handed over and end the thread (blocks)."""
        self._queue.put(None)
        self.join()

    def run(self) -> None:
        while True:
            items, last = self._take()
            if items:
                results = self._commit(items)
                self._loop.call_soon_threadsafe(_tell, items, results)
            if last:
                return

    def _take(self) -> tuple[list[_Item], bool]:
        """What waits, up to about `batch` operations, and whether it was the last."""
        taken = self._queue.get()
        items: list[_Item] = []
        while taken is not None:
            items.extend(taken)
            if len(items) >= self._batch:
                return items, False
            try:
                taken = self._queue.get_nowait()
            except queue.Empty:
                return items, False
        return items, True

    def _commit(self, items: list[_Item]) -> list[Any]:
        try:
            return self._transaction(items)
        except Exception as error:
            if len(items) == 1:
                return [error]
        # Not worth guessing which one failed: all again, alone.
        return [self._commit([item])[0] for item in items]

    def _transaction(self, items: list[_Item]) -> list[Any]:
        groups: dict[Operation[Any, Any], list[int]] = {}
        for position, (operation, _, _) in enumerate(items):
            groups.setdefault(operation, []).append(position)
        results: list[Any] = [None] * len(items)
        with self._engine.begin() as connection:
            for operation, positions in groups.items():
                found = operation(connection, [items[position][1] for position in positions])
                for position, result in zip(positions, found, strict=True):
                    results[position] = result
        return results


def _tell(items: list[_Item], results: list[Any]) -> None:
    for (_, _, future), result in zip(items, results, strict=True):
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
