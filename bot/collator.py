"""A burst of pictures and text becomes one turn, per sender.

Pure: queued events in, a turn or a waiting time out. Nothing waits in memory; a waiting lane is released on
disk and woken by the next event or by time, so a crash during the wait loses nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from bot.event import MessageEvent, ScheduledEvent
from bot.message import Message, Part
from bot.store import QueuedEvent

#: Words that point at a picture just about to be sent.
_ABOUT_PICTURE = re.compile(r"这张|这个图|这图|这几张|图里|图中|图上|截图|照片|看图|看下图|看看图|下面的?图")

_NUDGE = re.compile(r"\W*|[1１]|继续|接着|好的?|嗯+|在吗|在|ok|OK|答案|结果")
#: Seconds after the last picture of an album in which its next one may come.
_ALBUM_WAIT = 1.0


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


def collate(
    queued: Sequence[QueuedEvent], now: float, pictures_wait: float, questions_wait: float = 0.0
) -> Turn | Wait:
    """The oldest sender's next turn from a lane's unfinished events (at least one), oldest first.

    Pictures without a word wait up to `pictures_wait` seconds after the last of them for their question; a question
    about a picture that came without one waits `questions_wait` seconds for it. Only one sender's events are
    joined, even where others spoke in between.
    """
    first = queued[0].event
    if isinstance(first, ScheduledEvent):
        return Turn((queued[0],), first)
    mine = [one for one in queued if isinstance(one.event, MessageEvent) and one.event.sender.id == first.sender.id]
    taken, wait = _burst(mine, pictures_wait, questions_wait)
    since = now - taken[-1].received_at
    # A stamp in the future is a clock set back: do not wait for it. What failed before has waited.
    if 0 <= since < wait and not any(one.attempts for one in taken):
        return Wait(wait - since)
    return _join(taken)


def is_nudge(event: MessageEvent | ScheduledEvent) -> bool:
    """Says nothing but that its sender waits for what was promised."""
    if not isinstance(event, MessageEvent) or event.message.images:
        return False
    return _NUDGE.fullmatch(event.message.text.strip()) is not None


def _burst(
    mine: Sequence[QueuedEvent], pictures_wait: float, questions_wait: float
) -> tuple[Sequence[QueuedEvent], float]:
    """What one sender said together, and how long after its last message more may come."""
    album = mine[0].event.album if isinstance(mine[0].event, MessageEvent) else ""
    if album:
        return _album(mine, album, pictures_wait)
    if _wants_picture(mine[0].event):
        pictures = list(takewhile(lambda one: _only_pictures(one.event), mine[1:]))
        return [mine[0], *pictures], questions_wait
    pictures = list(takewhile(lambda one: _only_pictures(one.event), mine))
    if len(pictures) == len(mine):
        return pictures, pictures_wait
    return mine[: len(pictures) + 1], 0.0


def _album(mine: Sequence[QueuedEvent], album: str, pictures_wait: float) -> tuple[Sequence[QueuedEvent], float]:
    """Pictures sent together, any of which may carry the text; without one they wait like other pictures."""
    together = list(takewhile(lambda one: isinstance(one.event, MessageEvent) and one.event.album == album, mine))
    if any(isinstance(one.event, MessageEvent) and one.event.message.text.strip() for one in together):
        return together, _ALBUM_WAIT
    following = mine[len(together) : len(together) + 1]
    asked = [one for one in following if isinstance(one.event, MessageEvent) and not one.event.message.images]
    return [*together, *asked], 0.0 if following else pictures_wait


def _wants_picture(event: MessageEvent | ScheduledEvent) -> bool:
    """A question about a picture that is not there."""
    if not isinstance(event, MessageEvent) or event.message.images:
        return False
    return _ABOUT_PICTURE.search(event.message.text) is not None


def _only_pictures(event: MessageEvent | ScheduledEvent) -> bool:
    return isinstance(event, MessageEvent) and bool(event.message.images) and not event.message.text.strip()


def _join(taken: Sequence[QueuedEvent]) -> Turn:
    events = [one.event for one in taken if isinstance(one.event, MessageEvent)]
    if len(events) == 1:
        return Turn(tuple(taken), events[0])
    parts: list[Part] = [part for event in events for part in event.message.parts]
    joined = replace(events[-1], message=Message("user", tuple(parts)), to_me=any(event.to_me for event in events))
    return Turn(tuple(taken), joined)
