"""The engine's thread: takes requests in, steps as long as there is work, and survives whatever goes wrong."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

import torch

from bot.engine.local.cache import BlockCache
from bot.engine.local.runner import Runner
from bot.engine.local.sampler import Sampler
from bot.engine.local.scheduler import Scheduler
from bot.engine.local.sequence import Finish, Sequence

log = logging.getLogger(__name__)

#: Below so many blocks the cache is not shrunk any more: the request fails instead.
_FEWEST_BLOCKS = 64


class Loop(threading.Thread):
    """One thread per engine; the device belongs to it alone."""

    def __init__(self, runner: Runner, cache: BlockCache, sampler: Sampler, *, most_running: int, chunk: int) -> None:
        super().__init__(name="engine-loop", daemon=True)
        self._runner = runner
        self._cache = cache
        self._sampler = sampler
        self.scheduler = Scheduler(cache, most_running, chunk)
        self._inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def submit(self, sequence: Sequence) -> None:
        """Queue a request, from any thread."""
        self._inbox.put(lambda: self.scheduler.add(sequence))

    def cancel(self, sequence: Sequence) -> None:
        """Nobody waits for it any more: its blocks are free at the next step."""
        sequence.cancelled = True
        self._inbox.put(lambda: None)

    def drop(self, salt: str) -> None:
        """Forget what is cached of one owner."""
        self._inbox.put(lambda: self._cache.drop(salt))

    def stop(self) -> None:
        """End the thread; what is under way is given up."""
        self._inbox.put(None)

    def run(self) -> None:
        while self._take(wait=True):
            try:
                self.step()
            except torch.OutOfMemoryError as error:
                self._shrink(error)
            except Exception as error:
                log.exception("a step failed")
                for sequence in list(self.scheduler.running):
                    self._end(sequence, "failed", error)
        for sequence in [*self.scheduler.running, *self.scheduler.waiting]:
            self._end(sequence, "cancelled")

    def step(self) -> None:
        """One step for everybody."""
        self._drop_cancelled()
        plan = self.scheduler.plan()
        if not plan:
            return
        ready, logits = self._runner.run(plan)
        self.scheduler.computed(plan)
        if logits is not None:
            for sequence, token in zip(ready, self._sampler.pick(logits, ready), strict=True):
                self._say(sequence, token)

    def run_until_idle(self) -> None:
        """Without the thread: everything that was submitted, to its end."""
        while self._take(wait=False) and self.busy:
            self.step()

    @property
    def busy(self) -> bool:
        """There is something to compute."""
        return bool(self.scheduler.running or self.scheduler.waiting)

    def _take(self, *, wait: bool) -> bool:
        """Commands that have come; waits for one where there is nothing else to do. False: stop."""
        wait = wait and not self.busy
        while True:
            try:
                command = self._inbox.get(block=wait)
            except queue.Empty:
                return True
            if command is None:
                return False
            command()
            wait = False

    def _say(self, sequence: Sequence, token: int) -> None:
        sequence.tokens.append(token)
        if token in self._runner.model.stop_ids:
            self._end(sequence, "stop")
        elif sequence.new_tokens >= sequence.most:
            self._end(sequence, "length")
        else:
            sequence.emit(sequence)
            if sequence.text_stop:
                self._end(sequence, "stop")

    def _end(self, sequence: Sequence, why: Finish, error: Exception | None = None) -> None:
        self.scheduler.finish(sequence)
        sequence.finish, sequence.error = why, error
        sequence.emit(sequence)

    def _drop_cancelled(self) -> None:
        for sequence in [*self.scheduler.running, *self.scheduler.waiting]:
            if sequence.cancelled:
                self._end(sequence, "cancelled")

    def _shrink(self, error: Exception) -> None:
        """Out of device memory: a smaller cache, and everything that was running once more."""
        blocks = self._cache.blocks // 2
        if blocks < _FEWEST_BLOCKS:
            for sequence in list(self.scheduler.running):
                self._end(sequence, "failed", error)
            return
        log.warning("out of device memory: the cache shrinks from %d to %d blocks", self._cache.blocks, blocks)
        self.scheduler.restart()
        self._cache.resize(blocks)
        self._runner.resize(blocks)
