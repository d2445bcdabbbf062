"""Schedule → inbox, and back: a digest's event becomes a Due, its answer a turn.

APScheduler is the clock only. What is due goes into the inbox as an event named `name@minute`, so it is accepted once
whoever puts it there: two replicas, a restart at the very minute, a clock set back. What was missed while nobody ran is
made up once, its last time only, if that is not too old; the span still begins where the last digest ended.

Every digest has an offset of its own within the configured window, so that those of one minute start one after the
other. Its span ends at its minute all the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.adapter import Adapter, Limits
from bot.agenda import Agenda
from bot.clock import Clock
from bot.digests_config import DigestsConfig
from bot.dispatcher import Dispatcher
from bot.errors import BadSchedule, StoreFull
from bot.event import Conversation, Delivery, MessageEvent, Reply, ScheduledEvent, quote_key
from bot.message import Text
from bot.orders import zone
from bot.plan import plan
from bot.schedule import Schedule
from bot.store import Posted, Progress, QueuedEvent, Store, TurnRecord
from bot.subscription import Due, Subscription
from bot.turnstile import Turnstile

log = logging.getLogger(__name__)

#: What another replica or a clock that jumped has changed is seen this often (seconds), and a failure is tried again.
_LOOK_EVERY = 30.0
_AGAIN = 5.0
#: Seconds after its time a digest counts as late: so long is no queue, somebody was away.
_LATE = 120.0
_LONG_QUEUED = 3600.0
_DAY = 86_400.0
_EARLIER = 30 * _DAY
#: Ends the name of the event that tells somebody that their digest failed.
_FAILED = "!"


@dataclass(slots=True)
class Planned:
    """A digest and its next time after `fired_to`. offset: seconds after it at which it goes into the inbox."""

    subscription: Subscription
    schedule: Schedule
    offset: float
    fired_to: float
    next: datetime

    @property
    def fires_at(self) -> float:
        """Seconds since 1970."""
        return self.next.timestamp() + self.offset


class Digests:
    """`prepare`, then `run`; `answer` is the worker's. Raises ConfigError on a digest that can never come."""

    def __init__(
        self,
        store: Store,
        config: DigestsConfig,
        adapters: Mapping[str, Adapter],
        dispatcher: Dispatcher,
        clock: Clock,
    ) -> None:
        self._store = store
        self._config = config
        self._adapters = adapters
        self._dispatcher = dispatcher
        self._clock = clock
        self._agenda = Agenda(store.subscriptions, config, adapters)
        self.turnstile = Turnstile(config.parallel, clock)
        self._planned: dict[str, Planned] = {}
        self._loaded_at = float("-inf")
        self._owners: dict[str, Conversation | None] = {}

    # ----------------------------------------------------------------- firing

    @property
    def configured(self) -> tuple[Subscription, ...]:
        """Those of the configuration."""
        return self._agenda.configured

    async def prepare(self) -> None:
        """Know what is ordered, before messages are kept or forgotten for it."""
        await self._load()

    async def run(self) -> None:
        """Fire until cancelled; survives database errors."""
        from apscheduler.schedulers.asyncio import AsyncIOScheduler

        # It says at each look that it looks.
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        scheduler: Any = AsyncIOScheduler(timezone=UTC)
        changes = asyncio.create_task(self._watch_changes(scheduler))
        scheduler.start()
        try:
            self._wake(scheduler, 0.0)
            await changes
        finally:
            changes.cancel()
            scheduler.shutdown(wait=False)

    def _wake(self, scheduler: Any, seconds: float) -> None:
        when = datetime.fromtimestamp(datetime.now(UTC).timestamp() + seconds, UTC)
        scheduler.add_job(
            self._look_and_sleep, "date", [scheduler], run_date=when, id="look", replace_existing=True,
            misfire_grace_time=None, coalesce=True, max_instances=2,
        )  # fmt: skip

    async def _watch_changes(self, scheduler: Any) -> None:
        while True:
            await self._store.subscriptions.changed.wait()
            self._store.subscriptions.changed.clear()
            self._loaded_at = float("-inf")
            self._wake(scheduler, 0.0)

    async def _look_and_sleep(self, scheduler: Any) -> None:
        try:
            await self.look()
            changed = self._loaded_at == float("-inf")
            pause = (
                0.0
                if changed
                else self._clock.until(min((one.fires_at for one in self._planned.values()), default=float("inf")))
            )
        except Exception:
            log.exception("cannot look at the schedule; trying again")
            pause = _AGAIN
        self._wake(scheduler, min(pause, _LOOK_EVERY))

    async def look(self) -> None:
        """Put everything that is due into the inbox."""
        now = self._clock.now()
        if not 0 <= now - self._loaded_at < _LOOK_EVERY:
            await self._load()
        due = [one for one in self._planned.values() if one.fires_at <= now]
        await asyncio.gather(*(self._fire(one, now) for one in due))

    async def _fire(self, one: Planned, now: float) -> None:
        last = one.schedule.previous(datetime.fromtimestamp(now - one.offset + 1, UTC))
        name, at = one.subscription.name, last.timestamp()
        if now - at - one.offset <= self._config.grace:
            minute = last.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")
            event = ScheduledEvent(f"{name}@{minute}", one.subscription.conversation, name, int(at))
            try:
                await self._store.accept([event])
            except StoreFull as error:
                log.warning("%s cannot be accepted, trying again: %s", event.id, error)
                return
        else:
            log.warning("%s was missed at %s, too long ago to be made up", name, last)
        await self._store.subscriptions.fired(name, at)
        one.fired_to, one.next = at, one.schedule.next(last)

    async def _load(self) -> None:
        now = self._clock.now()
        wanted = await self._agenda.all(now)
        self._store.watch.replace([one for one, _ in wanted])
        owners = {_owner(one) for one, _ in wanted if one.owner}
        self._owners = {key: self._owners.get(key) for key in owners}
        known = await self._store.subscriptions.progress()
        planned = [await self._plan(one, begun, known.get(one.name), now) for one, begun in wanted]
        self._planned = {one.subscription.name: one for one in planned if one is not None}
        self._loaded_at = now

    async def _plan(
        self, subscription: Subscription, begun: float, known: Progress | None, now: float
    ) -> Planned | None:
        """begun: when it was ordered, seconds."""
        old = self._planned.get(subscription.name)
        if old and known and old.subscription == subscription and old.fired_to == known.fired_to <= now + _DAY:
            return old
        try:
            schedule = self._agenda.schedule(subscription)
        except BadSchedule as error:
            log.error("the schedule of %s cannot be read: %s", subscription.name, error)
            return None
        name, text = subscription.name, schedule.shown
        fired_to = known.fired_to if known else begun
        if known is None or known.schedule != text:
            fired_to = now if known else begun
            await self._store.subscriptions.begin(
                name, text, fired_to, self._agenda.before(subscription, begun + 0.001)
            )
        elif fired_to > now + _DAY:
            log.warning("%s had fired up to a time far ahead: the clock was wrong", name)
            fired_to = now
            await self._store.subscriptions.rewind(name, fired_to)
        upcoming = schedule.next(datetime.fromtimestamp(fired_to, UTC))
        return Planned(subscription, schedule, self._agenda.offset(name), fired_to, upcoming)

    # -------------------------------------------------------------- answering

    async def answer(self, queued: QueuedEvent, event: ScheduledEvent) -> TurnRecord:
        """What a scheduled event leaves. Raises EngineError."""
        if event.name.endswith(_FAILED):
            return self._record(queued, event, await self._regret(event))
        due = await self._due(queued, event)
        if due is None:
            return TurnRecord((queued.seq,))
        reply = await self._dispatcher.digest(due)
        return self._record(queued, event, reply, Posted(event.name, due.since, due.until))

    def _record(
        self, queued: QueuedEvent, event: ScheduledEvent, reply: Reply | None, posted: Posted | None = None
    ) -> TurnRecord:
        adapter = self._adapters.get(event.conversation.platform)
        limits = adapter.limits_for(event.conversation) if adapter else Limits()
        return TurnRecord((queued.seq,), deliveries=plan(reply, event, limits) if reply else (), digest=posted)

    async def _due(self, queued: QueuedEvent, event: ScheduledEvent) -> Due | None:
        """None where it was cancelled meanwhile."""
        subscription = await self._agenda.find(event.name)
        if subscription is None:
            return None
        known = (await self._store.subscriptions.progress()).get(event.name)
        until, now = float(event.timestamp), self._clock.now()
        since = known.posted_to if known else until
        if since >= until:
            # An old one, revived: its span has been posted with a later one.
            since = self._agenda.before(subscription, until)
        waited = queued.received_at - until - self._agenda.offset(event.name)
        late = waited > _LATE or now - queued.received_at > _LONG_QUEUED
        store = self._store
        return Due(
            subscription,
            since,
            until,
            late,
            seen=lambda: store.seen(subscription, since, until),
            earlier=lambda: store.seen(subscription, since - _EARLIER, since),
        )

    # ---------------------------------------------------------------- failing

    async def failed(self, event_id: str, error: str, *, lost: bool) -> None:
        """A digest was not written or not delivered: note it, and tell its owner where that is possible.

        lost: nothing of it was delivered, for certain.
        """
        name, _, minute = event_id.rpartition("@")
        if name.endswith(_FAILED):
            return
        at = datetime.strptime(minute, "%Y-%m-%dT%H:%M%z").timestamp()
        await self._store.subscriptions.failed(name, at, error, lost=lost)
        log.error("the digest %s failed: %s", event_id, error)
        subscription = await self._agenda.find(name)
        if subscription is None or not subscription.owner:
            return
        where = await self._store.subscriptions.private_chat(_owner(subscription))
        if where is not None and where != subscription.conversation:
            notice = ScheduledEvent(f"{name}{_FAILED}@{minute}", where, f"{name}{_FAILED}", int(at))
            try:
                await self._store.accept([notice])
            except StoreFull as full:
                log.warning("the owner of %s cannot be told: %s", name, full)

    async def undelivered(self, delivery: Delivery, state: str, error: str) -> None:
        """A message of a digest has ended as `dead` or `unknown`."""
        first = delivery.key.endswith("_0")
        await self.failed(delivery.digest, error, lost=first and state == "dead")

    async def _regret(self, event: ScheduledEvent) -> Reply | None:
        name = event.name.removesuffix(_FAILED)
        subscription = await self._agenda.find(name)
        known = (await self._store.subscriptions.progress()).get(name)
        if subscription is None or known is None or not known.error:
            return None
        at = datetime.fromtimestamp(event.timestamp, zone(subscription.timezone))
        return Reply(
            (Text(f"你订阅的“{subscription.title}”（{at:%Y-%m-%d %H:%M}）没有发出去：{known.error[:200]}"),),
            remember=False,
        )

    async def met(self, event: MessageEvent) -> None:
        """Where an owner can be told something: in private, once they have written there."""
        where = event.conversation
        if where.chat_type != "private":
            return
        key = _person(where.platform, where.account_id, event.sender.id)
        if key in self._owners and self._owners[key] != where:
            await self._store.subscriptions.meet(key, where)
            self._owners[key] = where


def _owner(subscription: Subscription) -> str:
    where = subscription.conversation
    return _person(where.platform, where.account_id, subscription.owner)


def _person(platform: str, account_id: str, user_id: str) -> str:
    return "/".join(quote_key(part) for part in (platform, account_id, user_id))
