"""How many digests are written at once; the others come back later, the later the more of them wait."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from bot.clock import Clock

_FIRST_GUESS = 5.0
_LEAST, _MOST = 1.0, 60.0


class Turnstile:
    """One for a process. Nobody stands in line: a lane that is put off is let go, and asks again."""

    def __init__(self, width: int, clock: Clock) -> None:
        self._width = width
        self._clock = clock
        self._inside = 0
        self._waiting: set[str] = set()
        #: seconds that one takes, lately
        self._takes = _FIRST_GUESS

    @property
    def free(self) -> bool:
        """One more may be written now."""
        return self._inside < self._width

    @contextmanager
    def passing(self, lane: str) -> Generator[None]:
        """Taken at once: whoever saw that it is free and has not slept since may pass."""
        self._waiting.discard(lane)
        self._inside += 1
        started = self._clock.monotonic()
        try:
            yield
        finally:
            self._inside -= 1
            self._takes += (self._clock.monotonic() - started - self._takes) / 4

    def put_off(self, lane: str) -> float:
        """Seconds after which this lane is to ask again: about when half of those that wait are done."""
        self._waiting.add(lane)
        wait = self._takes * len(self._waiting) / (2 * self._width)
        return self._clock.jitter(min(max(wait, _LEAST), _MOST))
