"""Leave an engine alone while it is down, and notice when it is back."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from bot.clock import Clock
from bot.config import BreakerConfig
from bot.errors import EngineError, EngineUnavailable

#: About how long a probe takes (seconds): those who come meanwhile look again after it.
_PROBE_TAKES = 1.5


class Breaker:
    """Opens after `failures` in a row, lets one probe through after `pause` seconds, closes on success.

    Only EngineUnavailable is a failure: an engine that refuses a request is up.
    """

    def __init__(self, config: BreakerConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._failures = 0
        self._opened: float | None = None
        self._probing = False

    @property
    def open(self) -> bool:
        """A request would be refused now."""
        return self._opened is not None and (self._probing or self._remaining() > 0)

    @contextmanager
    def watch(self) -> Generator[None]:
        """Around one request. Raises EngineUnavailable while open, with the seconds left as retry_after."""
        if self.open:
            message = "left alone after repeated failures"
            raise EngineUnavailable(message, retry_after=self._remaining(), asked=False)
        probe = self._probing = self._opened is not None
        try:
            yield
        except EngineUnavailable:
            self._failed(probe)
            raise
        except EngineError:
            self._close()
            raise
        else:
            self._close()
        finally:
            # A probe that was cancelled says nothing: the next request probes again.
            self._probing = self._probing and not probe

    def _remaining(self) -> float:
        if self._opened is None:
            return 0.0
        if self._probing:
            # Its answer is a moment away, and then the pause is over or begins anew.
            return self._clock.jitter(_PROBE_TAKES)
        return max(0.0, self._opened + self._config.pause - self._clock.monotonic())

    def _failed(self, probe: bool) -> None:
        self._failures += 1
        # Requests sent before it opened may fail long after; they must not lengthen the pause.
        if probe or (self._opened is None and self._failures >= self._config.failures):
            self._opened = self._clock.monotonic()

    def _close(self) -> None:
        self._failures = 0
        self._opened = None
