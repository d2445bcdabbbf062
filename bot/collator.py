"""A burst of pictures and text becomes one turn, per sender.

Pure: queued events in, a turn or a waiting time out. Nothing waits in memory; a waiting lane is released on
disk and woken by the next event or by time, so a crash during the wait loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.event import MessageEvent, ScheduledEvent
from bot.message import Message, Part
from bot.store import QueuedEvent


@dataclass(frozen=True, slots=True)
class Turn:
    """Events answered together: `event` is their union, ids and reply data of the last one."""

    queued: tuple[QueuedEvent, ...]
    event: MessageEvent | ScheduledEvent

    @property
    def seqs(self) -> tuple[int, ...]:
        return tuple(one.seq for one in self.queued)

    @property
    def received_at(self) -> float:
        """When the first of them was accepted (seconds)."""
        return self.queued[0].received_at

    @property
    def attempts(self) -> int:
        """Failed tries so far."""
        return max(one.attempts for one in self.queued)


@dataclass(frozen=True, slots=True)
class Wait:
    """Come back in `seconds`, or when something new arrives."""

    seconds: float


def collate(queued: Sequence[QueuedEvent], now: float, window: float) -> Turn | Wait:
    """The oldest sender's next turn from a lane's unfinished events (at least one), oldest first.

    Pictures without a word wait up to `window` seconds after the last of them for their question. Only one
    sender's events are joined, even where others spoke in between.
    """
    first = queued[0].event
    if isinstance(first, ScheduledEvent):
        return Turn((queued[0],), first)
    mine = [one for one in queued if isinstance(one.event, MessageEvent) and one.event.sender.id == first.sender.id]
    taken: list[QueuedEvent] = []
    for one in mine:
        taken.append(one)
        if not _only_pictures(one.event):
            return _join(taken)
    since = now - taken[-1].received_at
    # A stamp in the future is a clock set back: do not wait for it.
    if 0 <= since < window and not any(one.attempts for one in taken):
        return Wait(window - since)
    return _join(taken)


def _only_pictures(event: MessageEvent | ScheduledEvent) -> bool:
    return isinstance(event, MessageEvent) and bool(event.message.images) and not event.message.text.strip()


def _join(taken: Sequence[QueuedEvent]) -> Turn:
    events = [one.event for one in taken if isinstance(one.event, MessageEvent)]
    if len(events) == 1:
        return Turn(tuple(taken), events[0])
    parts: list[Part] = [part for event in events for part in event.message.parts]
    joined = replace(events[-1], message=Message("user", tuple(parts)), to_me=any(event.to_me for event in events))
    return Turn(tuple(taken), joined)
