"""What is kept of messages for digests: of those that were answered, and of those that were only overheard."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bot.adapter import Adapter
from bot.clock import Clock
from bot.collator import Turn
from bot.event import MessageEvent, Reply, Sender
from bot.intake import Intake
from bot.message import Image, Message
from bot.redact import redact
from bot.store import QueuedEvent, Store
from bot.store.seen import of_event
from bot.subscription import Seen

log = logging.getLogger(__name__)

_BOT = Sender("", "看图", is_bot=True)
#: A command says nothing about what the people talked about.
_COMMAND = "指令"


class Witness:
    """Says what the store is to keep; nothing of conversations without a digest."""

    def __init__(
        self, store: Store, intake: Intake, adapters: Mapping[str, Adapter], clock: Clock, *, redacted: bool = False
    ) -> None:
        self._store = store
        self._intake = intake
        self._adapters = adapters
        self._clock = clock
        self._redacted = store.watch.redacted = redacted

    async def overheard(self, queued: Sequence[QueuedEvent]) -> tuple[Seen, ...]:
        """Of messages that get no answer, with their pictures."""
        kept: list[Seen] = []
        for one in queued:
            if isinstance(one.event, MessageEvent) and self._store.watch.covers(one.event):
                kept.append(self._kept(of_event(await self._with_pictures(one.event), one.received_at)))
        return tuple(kept)

    def answered(self, turn: Turn, event: MessageEvent, reply: Reply | None) -> tuple[Seen, ...]:
        """Of a turn: the messages as they came, with the pictures that `event`, their union, has; and the answer."""
        forgotten = reply is not None and reply.change.forget == "everything"
        if forgotten or _command(reply) or not self._store.watch.covers(event):
            return ()
        asked = _asked(turn, event)
        return tuple(map(self._kept, [*asked, *([self._answer(event, reply)] if reply and reply.parts else [])]))

    def _answer(self, event: MessageEvent, reply: Reply) -> Seen:
        said = Message("assistant", reply.parts)
        return Seen(self._clock.now(), event.conversation, _BOT, said, handover=reply.handover, asker=event.sender)

    async def _with_pictures(self, event: MessageEvent) -> MessageEvent:
        if not event.message.images:
            return event
        try:
            fetched, _, _ = await self._intake.fetch(event, self._adapters, event.session())
        except Exception as error:
            # Nobody waits for these pictures: the message is kept without them.
            log.info("pictures of an overheard message are left out: %s", type(error).__name__)
            return event
        return fetched

    def _kept(self, one: Seen) -> Seen:
        message = _without_numbers(one.message)
        return replace(one, message=message.map_text(redact) if self._redacted else message)


def _command(reply: Reply | None) -> bool:
    return reply is not None and reply.reason == _COMMAND and not (reply.remember or reply.handover)


def _asked(turn: Turn, event: MessageEvent) -> list[Seen]:
    """One message is kept as it was completed (its quotes fetched), several as they came."""
    arrived = [(one.event, one.received_at) for one in turn.queued if isinstance(one.event, MessageEvent)]
    if len(arrived) == 1:
        return [of_event(event, arrived[0][1])]
    kept = {image.source: image for image in event.message.images if image.sha256}
    return [of_event(_mapped(one, kept), at) for one, at in arrived]


def _mapped(event: MessageEvent, kept: Mapping[str, Image]) -> MessageEvent:
    swapped = {image: kept.get(image.source) for image in event.message.images}
    return replace(event, message=event.message.map_images(swapped))


def _without_numbers(message: Message) -> Message:
    """The numbers are a session's own; pictures that were not fetched stay as a mark."""
    return message.map_images({image: replace(image, index=0) for image in message.images})
