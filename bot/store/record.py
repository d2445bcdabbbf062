"""What a finished turn leaves, and what is on disk once it has."""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.event import Delivery, SessionChange
from bot.message import Image, Message
from bot.report import Report
from bot.store.rows import QueuedDelivery
from bot.store.subscriptions import Posted
from bot.subscription import Seen


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """What a finished turn leaves: `seqs` are the events it answered, the last one names it.

    question and answer go to the history of `session` (None: nothing is remembered); error marks the events
    dead instead of done; images are the pictures that were kept, with their numbers. seen: what is kept of it for
    digests, to be forgotten with the session. report: shown on its page from now on. digest: the span that it was of.
    """

    seqs: tuple[int, ...]
    session: str = ""
    question: Message | None = None
    answer: Message | None = None
    deliveries: tuple[Delivery, ...] = ()
    images: tuple[Image, ...] = ()
    change: SessionChange = field(default_factory=SessionChange)
    error: str = ""
    seen: tuple[Seen, ...] = ()
    report: Report | None = None
    digest: Posted | None = None

    @property
    def pictures(self) -> tuple[Image, ...]:
        """All kept pictures that it names, each once."""
        shown = [image for one in self.seen for image in one.message.images if image.sha256]
        return tuple({image.sha256: image for image in (*shown, *self.images)}.values())


@dataclass(frozen=True, slots=True)
class Completed:
    """A turn is on disk: its deliveries in order, and how much its lane still owes, these included.

    orphans: SHA-256 of pictures that were forgotten and that nobody else refers to.
    """

    deliveries: tuple[QueuedDelivery, ...]
    pending: int
    orphans: tuple[str, ...] = ()
