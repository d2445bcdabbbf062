"""Inbox → handler → outbox → platform.

One task per claimed conversation, up to `concurrency` at once; a task sends what is owed, then answers one turn.
A model call holds no transaction and no thread. Whatever a task was doing when it dies is done again by the next
claim: nothing lives in memory only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Literal

from bot.adapter import Adapter, Limits
from bot.clock import Clock
from bot.collator import Turn, Wait, collate, is_nudge
from bot.config import WorkerConfig
from bot.deliverer import Deliverer, Later, backoff
from bot.digests import Digests
from bot.dispatcher import Dispatcher
from bot.drafts import Draft
from bot.errors import ContextTooLong, EngineUnavailable, LeaseLost, RequestRejected
from bot.event import Delivery, MessageEvent, Reply, ScheduledEvent
from bot.intake import Intake
from bot.limits import Limiter
from bot.live import LiveDraft
from bot.message import Image, Message, Text
from bot.pace import Pace
from bot.plan import plan
from bot.redact import redact
from bot.report import Report
from bot.store import Claim, QueuedEvent, Store, TurnRecord
from bot.witness import Witness

log = logging.getLogger(__name__)

_TOO_LONG = "这个问题连同图片和上文太长了，模型装不下。请少发几张图片，或新开一个话题再问。"
_REFUSED = "模型拒绝了这个请求，请换个问法；如果一直这样，请联系管理员检查模型配置。"
_DEAD = "抱歉，这条消息多次尝试后仍没能回答，已转给管理员。请稍后再发一次。"
_CLAIM_AT_ONCE = 256
#: While webhooks flood in, only so many conversations are taken up a _FLOOD_PAUSE (seconds): acknowledging is a
#: tenth of the work of answering, and its deadline is the nearer one.
_FLOOD_CLAIMS = 4
_FLOOD_PAUSE = 0.1
#: An event of another process, or a lease that ran out, is noticed this often at the latest (seconds).
_POLL = 2.0


class Worker:
    """Claims and answers until stopped."""

    def __init__(
        self,
        store: Store,
        adapters: Mapping[str, Adapter],
        intake: Intake,
        dispatcher: Dispatcher,
        config: WorkerConfig,
        clock: Clock,
        *,
        shared_sessions: bool = False,
        limiter: Limiter | None = None,
        redacted: bool = False,
        digests: Digests | None = None,
    ) -> None:
        self._store = store
        self._adapters = adapters
        self._intake = intake
        self._dispatcher = dispatcher
        self._config = config
        self._clock = clock
        self._shared = shared_sessions
        self._limiter = limiter
        self._redacted = redacted
        self._witness = Witness(store, intake, adapters, clock, redacted=redacted)
        self._pace = Pace(clock)
        self._digests = digests
        failed = digests and digests.undelivered
        self._deliverer = Deliverer(store, adapters, config, clock, self._pace, redacted=redacted, digest_failed=failed)
        self._running: dict[asyncio.Task[None], Claim] = {}
        self._stopping = False

    async def run(self) -> None:
        """Claim and answer until `stop`; survives database errors."""
        renewal = asyncio.create_task(self._renew_forever())
        try:
            while not self._stopping:
                try:
                    claimed = await self._claim()
                except Exception:
                    log.exception("cannot claim; trying again")
                    claimed = 0
                if not claimed:
                    await self._idle()
        finally:
            renewal.cancel()

    async def stop(self, seconds: float) -> None:
        """Claim nothing more, give running turns `seconds`, hand the rest back."""
        self._stopping = True
        self._store.wake.set()
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        tasks = list(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def running(self) -> int:
        """Conversations being answered now."""
        return len(self._running)

    async def _claim(self) -> int:
        self._store.wake.clear()
        free = min(self._config.concurrency - len(self._running), await self._share())
        if free <= 0:
            return 0
        horizon = max(2 * self._config.lease, 4 * self._config.retry_max)
        claims = await self._store.claim(free, self._config.lease, horizon)
        for claim in claims:
            task = asyncio.create_task(self._work(claim))
            self._running[task] = claim
            task.add_done_callback(self._done)
        return len(claims)

    async def _share(self) -> int:
        """How many conversations to claim now: few while many webhooks wait, since platforms wait only seconds."""
        if not self._store.flooded:
            return _CLAIM_AT_ONCE
        await asyncio.sleep(_FLOOD_PAUSE)
        return _FLOOD_CLAIMS

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        if len(self._running) + 1 >= self._config.concurrency:
            self._store.wake.set()

    async def _idle(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._store.wake.wait(), _POLL)

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(self._config.lease / 3)
            try:
                await self._store.renew(self._running.values(), self._config.lease)
            except Exception:
                log.exception("cannot renew leases")

    async def _work(self, claim: Claim) -> None:
        """Everything one claim holds; ends with the lane let go."""
        try:
            outcome = await self._lane(claim)
            if isinstance(outcome, Later):
                await self._store.release(claim, delay=outcome.seconds, waiting=outcome.waiting)
            elif outcome:
                await self._store.release(claim)
            # A lane that owes nothing needs no release: the next event makes it claimable.
        except LeaseLost:
            log.warning("lost the lease of %s; its new holder goes on", claim.lane)
        except asyncio.CancelledError:
            await asyncio.shield(self._store.release(claim))
            raise
        except Exception:
            log.exception("an error in %s; trying again later", claim.lane)
            await self._store.release(claim, delay=backoff(self._config, self._clock, 0))

    async def _lane(self, claim: Claim) -> Later | int:
        """Send what is owed, then answer one turn; what the lane owes at the end, or when to look at it again.

        One turn only: what arrived while it was answered may belong to the next one, and only a new claim sees it.
        """
        owed: Later | int = 1
        for queued in claim.deliveries:
            owed = await self._deliverer.deliver(claim, queued, fresh=False, newest=_newest(claim))
            if isinstance(owed, Later):
                return owed
        if not claim.events or self._stopping:
            return owed
        if claim.deliveries and is_nudge(claim.events[0].event):
            # 「继续」 has got what it was written for.
            return await self._pass_over(claim, claim.events[0])
        settings, events = self._config, self._unhindered(claim)
        if not events:
            return Later(self._digests.turnstile.put_off(claim.lane) if self._digests else 0.0, waiting=True)
        turn = collate(events, self._clock.now(), settings.collect_pictures, settings.collect_questions)
        if isinstance(turn, Wait):
            return Later(turn.seconds, waiting=True)
        return await self._turn(claim, turn)

    def _unhindered(self, claim: Claim) -> Sequence[QueuedEvent]:
        """What may be taken up now. Questions go before a digest that has to wait, each kind in its own order."""
        digests = self._digests
        if digests is None or digests.turnstile.free or isinstance(claim.events[0].event, MessageEvent):
            return claim.events
        return [one for one in claim.events if isinstance(one.event, MessageEvent)]

    async def _turn(self, claim: Claim, turn: Turn) -> Later | int:
        """Answer one turn and deliver."""
        if isinstance(turn.event, ScheduledEvent):
            return await self._digest(claim, turn, turn.event)
        if self._digests is not None:
            await self._digests.met(turn.event)
        # What nobody takes is ended without fetching its pictures.
        if not self._dispatcher.accepts(turn.event):
            return await self._pass_over(claim, *turn.queued)
        live = self._live(turn.event)
        try:
            return await self._answer(claim, turn, turn.event, live)
        finally:
            if live is not None:
                await live.close()

    async def _digest(self, claim: Claim, turn: Turn, event: ScheduledEvent) -> Later | int:
        if self._digests is None:
            return await self._pass_over(claim, *turn.queued)
        try:
            with self._digests.turnstile.passing(claim.lane):
                record = await self._digests.answer(turn.queued[0], event)
        except EngineUnavailable as error:
            return await self._away(claim, turn, error)
        except (ContextTooLong, RequestRejected) as error:
            return await self._dead(claim, turn, str(error))
        except Exception as error:
            log.exception("the digest %s failed", event.id)
            return await self._again(claim, turn, f"{type(error).__name__}: {error}", None)
        return await self._finish(claim, record)

    async def _pass_over(self, claim: Claim, *queued: QueuedEvent) -> int:
        """End events that get no answer."""
        first = queued[0].event
        session = self._session(first) if isinstance(first, MessageEvent) else ""
        seen = await self._witness.overheard(queued)
        done = await self._store.complete(claim, TurnRecord(tuple(one.seq for one in queued), session, seen=seen))
        for one in queued:
            await self._tell(one.event, "unanswered")
        return done.pending

    async def _answer(self, claim: Claim, turn: Turn, event: MessageEvent, live: LiveDraft | None) -> Later | int:
        images: tuple[Image, ...] = ()
        for queued in turn.queued[:-1]:
            await self._tell(queued.event, "joined")
        try:
            refused = await self._refused(event)
            if refused is not None:
                return await self._finish(claim, self._record(turn, event, (), refused if refused.parts else None))
            if live is not None:
                live.start()
            event, images, missing = await self._intake.fetch(event, self._adapters, self._session(event))
            reply = await self._reply(claim, turn, event, missing, live)
        except EngineUnavailable as error:
            return await self._away(claim, turn, error)
        except ContextTooLong:
            reply = Reply((Text(_TOO_LONG),))
        except RequestRejected as error:
            log.error("the model refused a request: %s", error)
            reply = Reply((Text(_REFUSED),))
        except Exception as error:
            log.exception("a turn failed in %s", claim.lane)
            return await self._again(claim, turn, f"{type(error).__name__}: {error}", None)
        return await self._finish(claim, self._record(turn, event, images, reply), live)

    def _live(self, event: MessageEvent) -> LiveDraft | None:
        """What shows the answer while it is written; nothing where the message is not for the bot."""
        adapter = self._adapters.get(event.conversation.platform)
        if adapter is None or not event.to_me:
            return None
        return LiveDraft(adapter, event, self._pace, self._clock)

    async def _tell(self, event: MessageEvent | ScheduledEvent, what: Literal["joined", "unanswered"]) -> None:
        """No answer of its own comes for this event; somebody may be waiting for one. Best effort."""
        adapter = self._adapters.get(event.conversation.platform)
        if adapter is None or not isinstance(event, MessageEvent):
            return
        try:
            await (adapter.joined(event) if what == "joined" else adapter.unanswered(event))
        except Exception as error:
            log.info("%s: %s cannot be told: %s", adapter.name, what, type(error).__name__)

    async def _refused(self, event: MessageEvent) -> Reply | None:
        """What to say to somebody who may not ask now: a reply without parts is silence; None: welcome."""
        if self._limiter is None:
            return None
        verdict = await self._limiter.admit(event)
        if verdict.allowed and event.message.images:
            verdict = await self._limiter.charge(event, "picture", len(event.message.images))
        if verdict.allowed:
            return None
        log.info("%s is not answered: %s", event.conversation.key, verdict.reason)
        return Reply((Text(verdict.say),) if verdict.say else (), remember=False)

    async def _reply(
        self, claim: Claim, turn: Turn, event: MessageEvent, missing: tuple[str, ...], live: LiveDraft | None
    ) -> Reply | None:
        async def notify(text: str) -> None:
            if live is not None and live.watched:
                # Shown where the answer will stand, and costs none of the messages that the platform allows.
                await live.update(text)
                return
            limits = self._limits(event)
            if limits.window is not None and limits.window.messages == 1:
                # The one message that the platform takes is the answer's.
                return
            (notice,) = plan(Reply((Text(text),)), event, limits, "notice")
            queued = await self._store.add_notice(claim, turn.seqs[-1], notice)
            if queued is not None:
                await self._deliverer.deliver(claim, queued, fresh=True)

        session = self._session(event)
        memory = await self._store.recall(session, self._config.history_turns)
        draft: Draft | None = live
        return await self._dispatcher.answer(
            event, session=session, memory=memory, draft=draft, missing=missing, notify=notify
        )

    def _record(self, turn: Turn, event: MessageEvent, images: tuple[Image, ...], reply: Reply | None) -> TurnRecord:
        seen = self._witness.answered(turn, event, reply)
        if reply is None:
            return TurnRecord(turn.seqs, session=self._session(event), seen=seen)
        return TurnRecord(
            turn.seqs,
            session=self._session(event),
            question=self._kept(event.message) if reply.remember else None,
            answer=self._kept(Message("assistant", reply.parts)) if reply.remember else None,
            deliveries=plan(reply, event, self._limits(event)),
            images=images,
            change=reply.change,
            seen=seen,
            report=self._published(reply),
        )

    def _published(self, reply: Reply) -> Report | None:
        """As its page shows it: masked like the history."""
        return reply.published.map_text(redact) if reply.published and self._redacted else reply.published

    def _kept(self, message: Message) -> Message:
        """As it goes to the history: with private numbers masked where that is wished."""
        return message.map_text(redact) if self._redacted else message

    def _session(self, event: MessageEvent) -> str:
        return event.session(shared=self._shared)

    def _limits(self, event: MessageEvent) -> Limits:
        adapter = self._adapters.get(event.conversation.platform)
        return adapter.limits_for(event.conversation) if adapter else Limits()

    async def _away(self, claim: Claim, turn: Turn, error: EngineUnavailable) -> Later | int:
        if not error.asked and self._clock.now() - turn.received_at < self._config.give_up_after:
            # The engine is being left alone: that is not this message's fault, and no try of it.
            return Later(backoff(self._config, self._clock, 0, error.retry_after))
        return await self._again(claim, turn, str(error), error.retry_after)

    async def _again(self, claim: Claim, turn: Turn, error: str, asked: float | None) -> Later | int:
        """Count a failed try; after the last one the turn is dead and its sender told so."""
        if turn.attempts + 1 < self._config.attempts:
            await self._store.retry_event(claim, turn.seqs, error)
            return Later(backoff(self._config, self._clock, turn.attempts, asked))
        return await self._dead(claim, turn, error)

    async def _dead(self, claim: Claim, turn: Turn, error: str) -> Later | int:
        """No more tries."""
        log.error("turn %s of %s is dead: %s", turn.seqs, claim.lane, error)
        apology: tuple[Delivery, ...] = ()
        if isinstance(turn.event, MessageEvent) and turn.event.to_me:
            apology = plan(Reply((Text(_DEAD),)), turn.event, self._limits(turn.event), f"dead {claim.fence}")
        if isinstance(turn.event, ScheduledEvent) and self._digests is not None:
            await self._digests.failed(turn.event.id, error, lost=False)
        return await self._finish(claim, TurnRecord(turn.seqs, deliveries=apology, error=error))

    async def _finish(self, claim: Claim, record: TurnRecord, live: LiveDraft | None = None) -> Later | int:
        done = await self._store.complete(claim, record)
        if record.change.forget == "everything":
            self._dispatcher.forget(record.session)
        await self._intake.tidy(record.images, done.orphans)
        newest = _newest(claim)
        if not done.deliveries:
            for queued in claim.events:
                if queued.seq in record.seqs:
                    await self._tell(queued.event, "unanswered")
        owed: Later | int = done.pending
        for number, one in enumerate(done.deliveries):
            first = number == 0
            owed = await self._deliverer.deliver(claim, one, fresh=first, live=live if first else None, newest=newest)
            if isinstance(owed, Later):
                break
        return owed


def _newest(claim: Claim) -> MessageEvent | None:
    """The last message of the conversation that this claim has seen."""
    newest = claim.events[-1].event if claim.events else None
    return newest if isinstance(newest, MessageEvent) else None
