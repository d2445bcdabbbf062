"""How fast a platform may be written to: sliding windows per account and per conversation, and passive windows."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence

from bot.adapter import Limits, Rate, Window
from bot.clock import Clock

#: Conversations and questions remembered at once; the oldest are forgotten (the platform still has its own count).
_REMEMBERED = 20_000


class Pace:
    """One for all adapters of a service; names keep them apart."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._times: OrderedDict[tuple[str, Rate], deque[float]] = OrderedDict()
        self._answers: OrderedDict[tuple[str, str], int] = OrderedDict()

    def book(self, adapter: str, conversation: str, limits: Limits, patience: float) -> float:
        """Seconds to wait before one more message may go. Up to `patience` it is booked, else asked for again later."""
        now = self._clock.monotonic()
        windows = list(self._windows(adapter, conversation, limits))
        full = (times[0] + rate.seconds for times, rate in windows if len(times) == rate.count)
        slot = max(full, default=now)
        delay = max(slot - now, 0.0)
        if delay <= patience:
            for times, _ in windows:
                times.append(now + delay)
        return delay

    def answers_left(self, adapter: str, question: str, window: Window) -> bool:
        """Whether a question may get one more answer, as far as we have counted."""
        return not window.messages or self._answers.get((adapter, question), 0) < window.messages

    def count_answer(self, adapter: str, question: str) -> None:
        """A question got an answer."""
        key = (adapter, question)
        self._answers[key] = self._answers.get(key, 0) + 1
        self._answers.move_to_end(key)
        _forget(self._answers)

    def _windows(self, adapter: str, conversation: str, limits: Limits) -> Iterable[tuple[deque[float], Rate]]:
        for name, rates in ((adapter, limits.app_rates), (conversation, limits.chat_rates)):
            yield from ((self._window(name, rate), rate) for rate in _distinct(rates))

    def _window(self, name: str, rate: Rate) -> deque[float]:
        # The last so many: when the first of them is old enough, one more may go.
        times = self._times.setdefault((name, rate), deque(maxlen=rate.count))
        self._times.move_to_end((name, rate))
        _forget(self._times)
        return times


def _distinct(rates: Sequence[Rate]) -> Sequence[Rate]:
    return tuple(dict.fromkeys(rates))


def _forget(kept: OrderedDict[tuple[str, Rate], deque[float]] | OrderedDict[tuple[str, str], int]) -> None:
    if len(kept) > _REMEMBERED:
        kept.popitem(last=False)
