"""What is posted when, and what a digest sums up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from bot.event import Conversation, Sender
from bot.message import Image, Message

Kind = Literal["group", "support", "feeds", "prompt"]


@dataclass(frozen=True, slots=True)
class Subscription:
    """A digest that somebody ordered, or the configuration did.

    name: part of its events' ids, never used again for another. conversation: where it is posted. owner: a sender's
    id, empty for the configuration. schedule: as `bot.schedule.Schedule.text` writes it. sources: of `group`, keys of
    conversations (empty: the one it is posted to); of `support`, patterns as in `access` (empty: all); of `feeds`,
    addresses. prompt and pictures: of `prompt`. silent: nothing is posted where there is nothing to say.
    """

    name: str
    conversation: Conversation
    kind: Kind
    title: str
    schedule: str
    timezone: str
    owner: str = ""
    sources: tuple[str, ...] = ()
    prompt: str = ""
    pictures: tuple[Image, ...] = ()
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """A message that the bot saw, or its answer (sender.is_bot).

    at: when it came, or was answered; seconds since 1970. asker: of an answer, who was answered. turn: a question and
    its answer share it; 0 while it is unanswered. link: to the message, where the platform has such. handover: a
    person was asked to take over.
    """

    at: float
    conversation: Conversation
    sender: Sender
    message: Message
    to_me: bool = False
    handover: bool = False
    link: str = ""
    asker: Sender | None = None
    turn: int = 0


async def _nothing() -> list[Seen]:
    """Where nothing was kept."""
    return []


@dataclass(frozen=True, slots=True)
class Due:
    """A digest to be written now: of what came from `since` on, before `until` (seconds since 1970).

    late: it was missed while the bot was down and is made up. seen: what came in that span, oldest first. earlier:
    what came from the same sources in the weeks before, as far as it is kept.
    """

    subscription: Subscription
    since: float
    until: float
    late: bool
    seen: Callable[[], Awaitable[list[Seen]]]
    earlier: Callable[[], Awaitable[list[Seen]]] = field(default=_nothing)
