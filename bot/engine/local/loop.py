"""The engine's thread: takes requests in, steps as long as there is work, and survives whatever goes wrong."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as List

import torch

from bot.engine.local.cache import BlockCache
from bot.engine.local.runner import Runner
from bot.engine.local.sampler import NO_TOKEN, Sampler
from bot.engine.local.scheduler import Plan, Scheduler
from bot.engine.local.sequence import Finish, Row, Sequence
from bot.engine.local.turns import turns_of
from bot.errors import ContextTooLong, EngineUnavailable, RequestRejected

log = logging.getLogger(__name__)

#: Below so many blocks the cache is not shrunk any more: the request fails instead.
_FEWEST_BLOCKS = 64


class Loop(threading.Thread):
    """One thread per engine; engines of one device take turns."""

    def __init__(self, runner: Runner, cache: BlockCache, sampler: Sampler, *, most_running: int, chunk: int) -> None:
        super().__init__(name="engine-loop", daemon=True)
        self._runner = runner
        self._cache = cache
        self._sampler = sampler
        self.scheduler = Scheduler(cache, most_running, chunk)
        self._inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._turns = turns_of(runner.model.device)
        self._ending = threading.Lock()
        self.ended = False

    @property
    def capacity(self) -> int:
        """Tokens that the whole cache holds."""
        return self._cache.blocks * self._cache.block_size

    def submit(self, sequence: Sequence) -> None:
        """Queue a request, from any thread; one that comes after the end is cancelled at once."""
        with self._ending:
            if not self.ended:
                return self._inbox.put(lambda: self._add(sequence))
        self._end(sequence, "cancelled")

    def cancel(self, sequence: Sequence) -> None:
        """Nobody waits for it any more: its blocks are free at the next step."""
        sequence.cancelled = True
        self._inbox.put(lambda: None)

    def drop(self, salt: str) -> None:
        """Forget what is cached of one owner."""
        self._inbox.put(lambda: self._drop(salt))

    def stop(self) -> None:
        """End the thread; what is under way is given up."""
        self._inbox.put(None)

    def run(self) -> None:
        with self._turns.turn():
            self._guard(self._warm)
        while self.take(wait=True):
            self._guard(self._turn)
        with self._ending:
            self.ended = True
        while not self.take():
            pass
        for sequence in self._everybody():
            self._end(sequence, "cancelled")

    def _turn(self) -> None:
        with self._turns.turn():
            self.step()
            if self._runner.model.device.type == "cuda":
                # A piece of a prompt gives nothing to wait for, and would still be computed in the next one's turn.
                torch.cuda.current_stream().synchronize()

    def step(self) -> None:
        """One step for everybody."""
        self._end_cancelled()
        plan = self.scheduler.plan()
        if plan:
            error = self._attempt(plan)
            if error:
                self._recover(plan, error)

    def run_until_idle(self) -> None:
        """Without the thread: everything that was submitted, to its end."""
        while self.take() and self.busy:
            self.step()

    @property
    def busy(self) -> bool:
        """There is something to compute."""
        return bool(self.scheduler.running or self.scheduler.waiting)

    def take(self, *, wait: bool = False) -> bool:
        """Carry out commands that have come; waits for one where there is nothing else to do. False: stop."""
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

    def _attempt(self, plan: Plan) -> Exception | None:
        """Compute a plan and say what came out; an error changes nothing."""
        try:
            plan = self._runner.begin(plan)
            rows, logits = self._runner.run(plan)
            tokens = [] if logits is None else self._sampler.pick(logits, rows)
        except Exception as error:
            log.warning("a step with %d sequences failed", len(list(plan.apart())), exc_info=True)
            # Its traceback would keep the step's tensors alive.
            return error.with_traceback(None)
        self.scheduler.computed(plan)
        for sequence, said in _agreed(rows, tokens).items():
            self._say(sequence, said)
        return None

    def _recover(self, plan: Plan, error: Exception) -> None:
        """Out of device memory: with a smaller cache. Otherwise one by one, so that only the culprit fails."""
        if isinstance(error, torch.OutOfMemoryError) and self._shrink():
            return
        for sequence, part in plan.apart():
            failure = self._attempt(part)
            if failure:
                self._end(sequence, "failed", failure)

    def _shrink(self) -> bool:
        """Half the cache, and everything that was running once more; False where it is too small for that."""
        if self._cache.blocks < 2 * _FEWEST_BLOCKS:
            return False
        self.scheduler.restart()
        while not self._resize(self._cache.blocks // 2):
            if self._cache.blocks < 2 * _FEWEST_BLOCKS:
                raise EngineUnavailable("no device memory is left for the smallest cache")
        for sequence in self._everybody():
            self._fit(sequence)
        return True

    def _resize(self, blocks: int) -> bool:
        log.warning("out of device memory: the cache shrinks from %d to %d blocks", self._cache.blocks, blocks)
        self._cache.resize(blocks)
        try:
            self._runner.resize(blocks)
        except torch.OutOfMemoryError:
            return False
        return True

    def _warm(self) -> None:
        try:
            self._runner.warm()
        except torch.OutOfMemoryError:
            tight = True
        else:
            tight = False
        if tight and not self._shrink():
            raise EngineUnavailable("no device memory is left for the smallest cache")

    def _add(self, sequence: Sequence) -> None:
        self.scheduler.add(sequence)
        self._fit(sequence)

    def _fit(self, sequence: Sequence) -> None:
        """The cache holds a sequence to its end, or the end comes sooner."""
        sequence.most = min(sequence.most, self.capacity - len(sequence.prompt.ids))
        if sequence.most < 1:
            self._end(sequence, "failed", ContextTooLong(f"{len(sequence.prompt.ids)} of {self.capacity} tokens"))
        elif sequence.new_tokens >= sequence.most:
            self._end(sequence, "length")

    def _drop(self, salt: str) -> None:
        self.scheduler.drop(salt)
        self._runner.features.forget(salt)

    def _say(self, sequence: Sequence, tokens: Iterable[int]) -> None:
        for number, token in enumerate(tokens):
            # What stands before it was a guess, which the step has computed.
            sequence.computed += 1 if number else 0
            self._say_one(sequence, token)
            if sequence.finish:
                return

    def _say_one(self, sequence: Sequence, token: int) -> None:
        if token == NO_TOKEN:
            return self._end(sequence, "failed", RequestRejected("the model's scores are no numbers"))
        sequence.tokens.append(token)
        if token in self._runner.model.stop_ids:
            self._end(sequence, "stop")
            return
        self._emit(sequence)
        if sequence.error:
            self._end(sequence, "failed", sequence.error)
        elif sequence.text_stop or (sequence.priority == "report" and sequence.loops.add(token)):
            self._end(sequence, "stop")
        elif sequence.new_tokens >= sequence.most:
            self._end(sequence, "length")

    def _end(self, sequence: Sequence, why: Finish, error: Exception | None = None) -> None:
        self.scheduler.finish(sequence)
        sequence.finish, sequence.error = why, error
        self._emit(sequence)
        if sequence.error and why in ("stop", "length"):
            sequence.finish = "failed"
            self._emit(sequence)

    def _emit(self, sequence: Sequence) -> None:
        """Tell whoever asked; that they are gone is no reason to stop for others."""
        try:
            sequence.emit(sequence)
        except Exception as error:
            log.warning("an answer could not be handed over", exc_info=True)
            sequence.error = error.with_traceback(None)

    def _end_cancelled(self) -> None:
        for sequence in self._everybody():
            if sequence.cancelled:
                self._end(sequence, "cancelled")

    def _everybody(self) -> list[Sequence]:
        return [*self.scheduler.running, *self.scheduler.waiting]

    def _guard(self, work: Callable[[], None]) -> None:
        """Nothing ends the thread; where the fault is nobody's, all that is under way fails."""
        try:
            work()
        except Exception as error:
            log.exception("the engine failed")
            failure = error.with_traceback(None)
        else:
            return
        for sequence in self._everybody():
            self._end(sequence, "failed", failure)


def _agreed(rows: List[Row], tokens: List[int]) -> Mapping[Sequence, list[int]]:
    """What each sequence says: its next token, and those after it as long as the guesses before them were right."""
    said: dict[Sequence, list[int]] = {}
    for (sequence, place), token in zip(rows, tokens, strict=True):
        mine = said.setdefault(sequence, [])
        guessed = place - len(sequence.tokens) + 1
        if guessed <= 0 or (len(mine) == guessed and mine[-1] == sequence.draft[guessed - 1]):
            mine.append(token)
    for sequence, mine in said.items():
        if sequence.draft:
            sequence.lookup.judged(len(mine) - 1)
    return said
