"""Messages to a platform: at its pace and within its windows, sent once, retried where that is safe."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from bot.adapter import Adapter, Limits, Window
from bot.clock import Clock
from bot.config import WorkerConfig
from bot.errors import ActionFailed, NetworkError, WindowClosed
from bot.event import Delivery, MessageEvent
from bot.live import LiveDraft
from bot.message import Message
from bot.pace import Pace
from bot.redact import redact
from bot.store import Claim, QueuedDelivery, Store

log = logging.getLogger(__name__)

#: Seconds that are waited for the platform's pace with the lane held; longer ones with the lane let go.
_PATIENCE = 5.0
#: A parked delivery is looked at when its reader writes, and this often (seconds), to notice that it is too old.
_LOOK_AGAIN = 600.0
_PARKED_FOR = 48 * 3600.0


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
        pace: Pace,
        *,
        redacted: bool = False,
        digest_failed: Callable[[Delivery, str, str], Awaitable[None]] | None = None,
    ) -> None:
        """redacted: private numbers are masked in what is kept of a sent delivery.

        digest_failed: told of each delivery of a digest that ends otherwise: its state (`unknown`, `dead`) and why.
        """
        self._digest_failed = digest_failed
        self._store = store
        self._redacted = redacted
        self._adapters = adapters
        self._config = config
        self._clock = clock
        self._pace = pace
        # What waits for its reader to write: delivery id -> the newest message that was of no help.
        self._parked: dict[int, str] = {}

    async def deliver(
        self,
        claim: Claim,
        queued: QueuedDelivery,
        *,
        fresh: bool,
        live: LiveDraft | None = None,
        newest: MessageEvent | None = None,
    ) -> Later | int:
        """Send one delivery; how much the lane still owes afterwards, or when to try again.

        fresh: this worker marked it `sending` itself. Otherwise `sending` means that a crash left it in doubt.
        live: what shows the answer already, and becomes it. newest: the last message of the conversation, which may
        be answered where the delivery's own may not any more. Raises LeaseLost.
        """
        adapter = self._adapters.get(queued.delivery.conversation.platform)
        if adapter is None:
            return await self._finish(claim, queued, "dead", "the adapter is no longer configured")
        limits = adapter.limits_for(queued.delivery.conversation)
        if queued.state == "sending" and not fresh and not self._may_repeat(limits):
            return await self._finish(claim, queued, "unknown", "sent or not before a crash: not repeated")
        if self._parked.get(queued.id) == (newest.message_id if newest else ""):
            return await self._park(claim, queued, newest, "nothing new was written")
        delay = self._pace.book(adapter.name, claim.lane, limits, _PATIENCE)
        if delay > _PATIENCE:
            return await self._put_back(claim, queued, "too fast for the platform", Later(delay))
        await asyncio.sleep(delay)
        if queued.state != "sending":
            await self._store.start_delivery(claim, queued.id)
        closed = "the window for answers is closed"
        for delivery in self._ways(adapter, limits, queued.delivery, newest):
            try:
                sent = await _send(adapter, delivery, live)
            except NetworkError as error:
                return await self._failed(claim, queued, limits, error)
            except WindowClosed as error:
                closed = _words(error)
                continue
            except ActionFailed as error:
                return await self._finish(claim, queued, "dead", _words(error))
            return await self._sent(claim, queued, delivery, sent)
        return await self._park(claim, queued, newest, closed)

    def _ways(
        self, adapter: Adapter, limits: Limits, delivery: Delivery, newest: MessageEvent | None
    ) -> Iterator[Delivery]:
        """As an answer to its question, else to the newest message, else unasked: what the platform allows."""
        ways = [delivery] if delivery.reply_to or limits.window is None else []
        if newest is not None and newest.message_id != delivery.reply_to:
            ways.append(_answering(delivery, newest))
        yield from (way for way in ways if self._is_open(adapter, limits.window, way))
        if limits.active and limits.window is not None:
            yield replace(delivery, reply_to="", quote=False)

    def _is_open(self, adapter: Adapter, window: Window | None, delivery: Delivery) -> bool:
        if window is None:
            return True
        fresh = self._clock.now() - delivery.asked_at <= window.seconds
        return fresh and self._pace.answers_left(adapter.name, delivery.reply_to, window)

    def _may_repeat(self, limits: Limits) -> bool:
        return limits.idempotent_send or self._config.resend_unknown

    async def _sent(self, claim: Claim, queued: QueuedDelivery, delivery: Delivery, sent: str) -> int:
        self._parked.pop(queued.id, None)
        if delivery.reply_to:
            self._pace.count_answer(delivery.conversation.platform, delivery.reply_to)
        kept = _masked(queued.delivery) if self._redacted else None
        return await self._store.finish_delivery(claim, queued.id, "sent", platform_message_id=sent, kept=kept)

    async def _failed(self, claim: Claim, queued: QueuedDelivery, limits: Limits, error: NetworkError) -> Later | int:
        if error.sent_maybe and not self._may_repeat(limits):
            return await self._finish(claim, queued, "unknown", str(error))
        if queued.attempts + 1 >= self._config.attempts:
            return await self._finish(claim, queued, "dead", str(error))
        await self._store.retry_delivery(claim, queued.id, str(error))
        return Later(backoff(self._config, self._clock, queued.attempts, error.retry_after))

    async def _park(self, claim: Claim, queued: QueuedDelivery, newest: MessageEvent | None, why: str) -> Later | int:
        """Keep it until its reader writes again; what nobody asks for in two days is dead."""
        if self._clock.now() - queued.created_at > _PARKED_FOR:
            return await self._finish(claim, queued, "dead", f"nothing was written for two days: {why}")
        self._parked[queued.id] = newest.message_id if newest else ""
        return await self._put_back(claim, queued, why, Later(_LOOK_AGAIN, waiting=True))

    async def _put_back(self, claim: Claim, queued: QueuedDelivery, why: str, later: Later) -> Later:
        await self._store.hold_delivery(claim, queued.id, why)
        return later

    async def _finish(self, claim: Claim, queued: QueuedDelivery, state: str, error: str) -> int:
        self._parked.pop(queued.id, None)
        log.warning("delivery %s of %s is %s: %s", queued.id, claim.lane, state, error)
        if queued.delivery.digest and self._digest_failed is not None:
            await self._digest_failed(queued.delivery, state, error)
        return await self._store.finish_delivery(claim, queued.id, state, error=error)


async def _send(adapter: Adapter, delivery: Delivery, live: LiveDraft | None) -> str:
    """Into what shows the answer already, else as a message of its own."""
    if live is not None:
        try:
            shown = await live.finish(delivery)
        except (ActionFailed, WindowClosed) as error:
            log.info("%s: the shown answer cannot be finished, sending it anew: %s", adapter.name, error)
            shown = None
        if shown is not None:
            return shown
    return await adapter.send(delivery)


def _answering(delivery: Delivery, event: MessageEvent) -> Delivery:
    """The same text, as an answer to another message."""
    return replace(
        delivery,
        reply_to=event.message_id,
        quote=False,
        platform_data=event.platform_data,
        asked_at=event.timestamp,
    )


def _words(error: ActionFailed | WindowClosed) -> str:
    return f"{error.code} {error}".strip()


def _masked(delivery: Delivery) -> Delivery:
    return replace(delivery, parts=Message("assistant", delivery.parts).map_text(redact).parts)


def backoff(config: WorkerConfig, clock: Clock, attempts: int, asked: float | None = None) -> float:
    """Seconds before try number `attempts` + 2: doubled each time, jittered, on top of what the server asked for.

    On top: all who were told the same time must not come back at the same moment.
    """
    grown = min(config.retry_max, config.retry_base * 2**attempts)
    return (asked or 0.0) + clock.jitter(grown)
