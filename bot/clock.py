"""One clock and one seed, so that tests need no sleeping."""

import random
import time


class Clock:
    """Wall time, monotonic time and jitter. Tests pass a subclass that stands still."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        return time.monotonic()

    def until(self, moment: float) -> float:
        """Seconds to sleep until `now` is at a moment; 0 when it is past."""
        return max(0.0, moment - self.now())

    def jitter(self, seconds: float) -> float:
        """`seconds`, spread evenly over 50 % to 150 %: retries of many must not meet."""
        return seconds * (0.5 + self._random.random())
