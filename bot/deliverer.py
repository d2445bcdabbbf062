"""From a reply to messages on a platform: planned by `Limits`, sent once, retried where that is safe."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bot.adapter import Adapter
from bot.clock import Clock
from bot.config import WorkerConfig
from bot.errors import ActionFailed, NetworkError
from bot.event import Delivery, MessageEvent, Reply, ScheduledEvent
from bot.message import Message, Text
from bot.redact import redact
from bot.store import Claim, QueuedDelivery, Store

log = logging.getLogger(__name__)


def plan(
    reply: Reply, event: MessageEvent | ScheduledEvent, text_length: int, suffix: str = ""
) -> tuple[Delivery, ...]:
    """The deliveries of a reply, each at most `text_length` characters; `suffix` keeps an apology's keys apart."""
    text = reply.text + (f"\n\n{reply.footer}" if reply.footer else "")
    stem = _key(event, suffix)
    return tuple(
        Delivery(
            key=f"{stem}_{number}",
            conversation=event.conversation,
            parts=(Text(piece),),
            reply_to=event.message_id if isinstance(event, MessageEvent) else "",
            quote=reply.quote and number == 0,
            platform_data=event.platform_data if isinstance(event, MessageEvent) else {},
        )
        for number, piece in enumerate(split(text, text_length))
    )


def _key(event: MessageEvent | ScheduledEvent, suffix: str) -> str:
    # A hash, not a row number: a new database must not repeat the keys of an old one.
    seed = "\n".join((event.conversation.key, event.id, suffix))
    return "msg_" + hashlib.sha256(seed.encode()).hexdigest()[:32]


def split(text: str, length: int) -> list[str]:
    """Cut at paragraphs, else lines, else sentences, else anywhere; no piece is longer than `length` characters."""
    pieces: list[str] = []
    rest = text.strip()
    while len(rest) > length:
        cut = _cut(rest, length)
        pieces.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    if rest:
        pieces.append(rest)
    return pieces


def _cut(text: str, length: int) -> int:
    window = text[:length]
    for mark in ("\n\n", "\n", "。", "！", "？", "；", "，", " "):
        at = window.rfind(mark)
        # A tiny first piece reads worse than a cut at a lesser mark.
        if at >= length // 3:
            return at + len(mark)
    return length


@dataclass(frozen=True, slots=True)
class Later:
    """Not now: the lane is to be looked at again in `seconds`; waiting: or as soon as something arrives."""

    seconds: float
    waiting: bool = False


class Deliverer:
    """Sends a lane's deliveries; its caller holds the lane."""

    def __init__(
        self,
        store: Store,
        adapters: Mapping[str, Adapter],
        config: WorkerConfig,
        clock: Clock,
        *,
        redacted: bool = False,
    ) -> None:
        """redacted: private numbers are masked in what is kept of a sent delivery."""
        self._store = store
        self._redacted = redacted
        self._adapters = adapters
        self._config = config
        self._clock = clock

    async def deliver(self, claim: Claim, queued: QueuedDelivery, *, fresh: bool) -> Later | int:
        """Send one delivery; how much the lane still owes afterwards, or when to try again.

        fresh: this worker marked it `sending` itself. Otherwise `sending` means that a crash left it in doubt.
        Raises LeaseLost.
        """
        adapter = self._adapters.get(queued.delivery.conversation.platform)
        if adapter is None:
            return await self._finish(claim, queued, "dead", "the adapter is no longer configured")
        if queued.state == "sending" and not fresh and not self._may_repeat(adapter):
            return await self._finish(claim, queued, "unknown", "sent or not before a crash: not repeated")
        if queued.state != "sending":
            await self._store.start_delivery(claim, queued.id)
        try:
            sent = await adapter.send(queued.delivery)
        except NetworkError as error:
            return await self._failed(claim, queued, adapter, error)
        except ActionFailed as error:
            return await self._finish(claim, queued, "dead", f"{error.code} {error}".strip())
        kept = _masked(queued.delivery) if self._redacted else None
        return await self._store.finish_delivery(claim, queued.id, "sent", platform_message_id=sent, kept=kept)

    def _may_repeat(self, adapter: Adapter) -> bool:
        return adapter.limits.idempotent_send or self._config.resend_unknown

    async def _failed(self, claim: Claim, queued: QueuedDelivery, adapter: Adapter, error: NetworkError) -> Later | int:
        if error.sent_maybe and not self._may_repeat(adapter):
            return await self._finish(claim, queued, "unknown", str(error))
        if queued.attempts + 1 >= self._config.attempts:
            return await self._finish(claim, queued, "dead", str(error))
        await self._store.retry_delivery(claim, queued.id, str(error))
        return Later(backoff(self._config, self._clock, queued.attempts, error.retry_after))

    async def _finish(self, claim: Claim, queued: QueuedDelivery, state: str, error: str) -> int:
        log.warning("delivery %s of %s is %s: %s", queued.id, claim.lane, state, error)
        return await self._store.finish_delivery(claim, queued.id, state, error=error)


def _masked(delivery: Delivery) -> Delivery:
    return replace(delivery, parts=Message("assistant", delivery.parts).map_text(redact).parts)


def backoff(config: WorkerConfig, clock: Clock, attempts: int, asked: float | None = None) -> float:
    """Seconds before try number `attempts` + 2: doubled each time, jittered, on top of what the server asked for.

    On top: all who were told the same time must not come back at the same moment.
    """
    grown = min(config.retry_max, config.retry_base * 2**attempts)
    return (asked or 0.0) + clock.jitter(grown)
