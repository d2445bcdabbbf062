"""Store: what webhooks and workers call.

Life of an event: `accept` (on disk, duplicates dropped, its lane woken) → `claim` (a worker holds the lane) →
`complete` (history, deliveries and the end of the event in one transaction) → `start_delivery`,
`finish_delivery` for each → `release`. Every write of a holder carries the lane's fence; a holder that lost
its lease gets LeaseLost and changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Executable
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from bot.clock import Clock
from bot.config import StoreConfig
from bot.errors import LeaseLost, StoreFull
from bot.event import Delivery, Event
from bot.store import letters, queries, rows, seen, sessions
from bot.store import statements as sql
from bot.store.database import DiskGuard, open_database
from bot.store.inbox import Batch, Claim, ClaimRequest, Inbox
from bot.store.record import Completed, TurnRecord
from bot.store.reports import Reports
from bot.store.rows import QueuedDelivery
from bot.store.sessions import Memory
from bot.store.subscriptions import Subscriptions, posted
from bot.store.usage import Usage
from bot.store.writer import Writer
from bot.subscription import Seen, Subscription

T = TypeVar("T")
_NO_CURSORS: Mapping[str, str] = {}

#: So many webhooks waiting at once are a flood; it is over when there were fewer for so many seconds.
_FLOOD = 8
_FLOOD_LASTS = 0.05


@dataclass(frozen=True, slots=True)
class _Change:
    """A holder's write: the lane's pending count changes `by`, then the statement runs."""

    claim: Claim
    by: int
    statement: Executable
    values: dict[str, Any]


class Store:
    """All methods but `open` are coroutines; each write is one operation of a group commit."""

    def __init__(self, engine: Engine, config: StoreConfig, clock: Clock, guard: DiskGuard) -> None:
        self._engine = engine
        self._config = config
        self._clock = clock
        self._guard = guard
        self._upserts = sql.upserts(engine.dialect.name)
        self._writer = Writer(engine, asyncio.get_running_loop())
        self._inbox = Inbox(self._upserts, config, clock)
        self.usage = Usage(self._write, self._read, self._upserts.insert, clock)
        self.reports = Reports(self._write, self._read, self._upserts.insert, clock)
        self.subscriptions = Subscriptions(self._write, self._read, self._upserts.insert, clock)
        self._reading = engine.execution_options(reading=True)
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="store-reader")
        #: which messages are kept for digests
        self.watch = seen.Watch()
        #: set whenever a lane may have become claimable
        self.wake = asyncio.Event()
        self._accepting = 0
        self._flooded_at = float("-inf")

    @staticmethod
    async def open(config: StoreConfig, data_dir: Path, clock: Clock, *, owner: bool = True) -> Store:
        """Open the database, make its tables if need be, and free the lanes a dead process held.

        owner: the one process that works on a SQLite file; others may look and revive dead letters.
        Raises ConfigError when it cannot be opened or has an owner already.
        """
        engine, guard = await asyncio.to_thread(open_database, config, data_dir, owner=owner)
        store = Store(engine, config, clock, guard)
        if engine.dialect.name == "sqlite" and owner:
            await store._write(queries.free_lanes, clock.now())
        return store

    async def close(self) -> None:
        """Finish queued writes and close the database."""
        await asyncio.to_thread(self._writer.stop)
        self._readers.shutdown()
        await asyncio.to_thread(self._engine.dispose)
        self._guard.close()

    # ------------------------------------------------------------------ inbox

    async def accept(self, events: Sequence[Event], *, cursors: Mapping[str, str] = _NO_CURSORS) -> None:
        """Put events on disk; those that were there already are dropped. Raises StoreFull, keeping none of them.

        cursors: kept in the same transaction, so that what was read and how far cannot disagree.
        """
        if not self._guard.has_room():
            raise StoreFull("the disk is nearly full")
        now = self._clock.now()
        self._accepting += 1
        if self._accepting >= _FLOOD:
            self._flooded_at = self._clock.monotonic()
        try:
            batch = Batch([rows.event_row(one, now) for one in events], rows.cursor_rows(cursors))
            await self._write(self._inbox.accept, batch)
        except SQLAlchemyError as error:
            raise StoreFull(f"cannot write: {type(error).__name__}") from error
        finally:
            self._accepting -= 1
        self.wake.set()

    @property
    def flooded(self) -> bool:
        """Many webhooks wait for their commit, or did a moment ago: one commit answers them all at once."""
        return self._clock.monotonic() - self._flooded_at < _FLOOD_LASTS

    async def claim(self, limit: int, lease: float, horizon: float = 86_400.0) -> list[Claim]:
        """Hold up to `limit` ready lanes for `lease` seconds, those that waited longest first.

        horizon: seconds; nobody waits longer than this on purpose, so a later stamp is a clock set back.
        """
        claims, more = await self._write(self._inbox.claim, ClaimRequest(limit, lease, horizon))
        if more:
            self.wake.set()
        return claims

    async def renew(self, claims: Iterable[Claim], lease: float) -> None:
        """Hold lanes for another `lease` seconds; those lost already stay lost."""
        until = self._clock.now() + lease
        held = [{"k": claim.lane, "f": claim.fence, "until": until} for claim in claims]
        if held:
            await self._write(self._renew, held)

    def _renew(self, connection: Connection, batches: Sequence[list[dict[str, Any]]]) -> list[None]:
        connection.execute(sql.RENEW_LANE, [one for batch in batches for one in batch])
        return [None] * len(batches)

    async def release(self, claim: Claim, *, delay: float = 0.0, waiting: bool = False) -> None:
        """Let go of a lane; it may be claimed again after `delay` seconds, or, when `waiting`, at the next event.

        The next event may be there already, unseen by this claim.
        """
        ready_at = self._clock.now() + delay
        pending, ready_at = await self._write(self._release, (claim, ready_at, waiting))
        if pending:
            # Another process may come first; then this wakes for nothing.
            asyncio.get_running_loop().call_later(max(0.0, ready_at - self._clock.now()), self.wake.set)

    def _release(
        self, connection: Connection, arguments: Sequence[tuple[Claim, float, bool]]
    ) -> list[tuple[int, float]]:
        released: list[tuple[int, float]] = []
        for claim, wanted, waiting in arguments:
            ready_at = self._clock.now() if waiting and self._has_news(connection, claim) else wanted
            values = {"k": claim.lane, "f": claim.fence, "until": ready_at, "wait": int(waiting)}
            # A lane that was lost meanwhile is its new holder's business.
            released.append((connection.execute(sql.RELEASE_LANE, values).scalar() or 0, ready_at))
        return released

    def _has_news(self, connection: Connection, claim: Claim) -> bool:
        newest = connection.execute(sql.NEWEST_EVENT, {"k": claim.lane}).scalar() or 0
        return newest > (claim.events[-1].seq if claim.events else 0)

    async def complete(self, claim: Claim, record: TurnRecord) -> Completed:
        """End a turn: history, deliveries and events in one transaction. Raises LeaseLost.

        The first delivery is already `sending`, since its holder sends it next: one commit less per answer.
        """
        return await self._write(self._complete, (claim, record))

    def _complete(
        self, connection: Connection, arguments: Sequence[tuple[Claim, TurnRecord]]
    ) -> list[Completed | LeaseLost]:
        return [self._complete_once(connection, claim, record) for claim, record in arguments]

    def _complete_once(self, connection: Connection, claim: Claim, record: TurnRecord) -> Completed | LeaseLost:
        pending = _change_pending(connection, claim, len(record.deliveries) - len(record.seqs))
        if pending is None:
            return LeaseLost(claim.lane)
        now, last = self._clock.now(), record.seqs[-1]
        connection.execute(
            sql.DEAD_EVENTS if record.error else sql.DONE_EVENTS,
            {"seqs": list(record.seqs), "now": now, "e": record.error or None},
        )
        orphans: list[str] = []
        if record.session:
            sessions.add_pictures(connection, record.session, record.images, last, now)
            orphans = sessions.apply(connection, self._upserts.insert, record.session, record.change, now)
            if record.report is not None:
                self.reports.publish(connection, record.session, record.report)
        seen.add(connection, record.session, last, record.seen)
        if record.digest is not None:
            posted(connection, record.digest)
        said = [record.question, record.answer]
        turns = [rows.turn_row(record.session, last, n, message, now) for n, message in enumerate(said) if message]
        if turns:
            connection.execute(sql.ADD_TURN, turns)
        if record.pictures:
            connection.execute(self._upserts.add_media, [rows.media_row(image, now) for image in record.pictures])
        return Completed(_queue_deliveries(connection, last, record.deliveries, now), pending, tuple(orphans))

    async def retry_event(self, claim: Claim, seqs: Sequence[int], error: str) -> None:
        """Count one more failed try of events whose turn will be taken up again. Raises LeaseLost."""
        await self._write(_change, _Change(claim, 0, sql.RETRY_EVENTS, {"seqs": list(seqs), "e": error}))

    # ----------------------------------------------------------------- outbox

    async def add_notice(self, claim: Claim, seq: int, delivery: Delivery) -> QueuedDelivery | None:
        """Queue a delivery before the turn of event `seq` ends, marked `sending`; None if its key exists already.

        Raises LeaseLost.
        """
        return await self._write(self._add_notice, (claim, seq, delivery))

    def _add_notice(
        self, connection: Connection, arguments: Sequence[tuple[Claim, int, Delivery]]
    ) -> list[QueuedDelivery | LeaseLost | None]:
        results: list[QueuedDelivery | LeaseLost | None] = []
        for claim, seq, delivery in arguments:
            now = self._clock.now()
            row = rows.delivery_row(delivery, seq, "sending", now)
            known = connection.execute(sql.KNOWN_DELIVERY, {"key": delivery.key}).first()
            if known is not None:
                results.append(None)
            elif _change_pending(connection, claim, 1) is None:
                results.append(LeaseLost(claim.lane))
            else:
                id = connection.execute(sql.ADD_DELIVERY, [row]).scalar_one()
                results.append(QueuedDelivery(id, "sending", 0, delivery, now))
        return results

    async def start_delivery(self, claim: Claim, id: int) -> None:
        """Say on disk that it is about to be sent. Raises LeaseLost."""
        await self._write(_change, _Change(claim, 0, sql.START_DELIVERY, {"i": id}))

    async def finish_delivery(
        self,
        claim: Claim,
        id: int,
        state: str,
        *,
        platform_message_id: str = "",
        error: str = "",
        kept: Delivery | None = None,
    ) -> int:
        """Record the end: `sent`, `unknown` or `dead`; returns what the lane still owes. Raises LeaseLost.

        kept: what stays on disk instead of the delivery.
        """
        values = {
            "i": id,
            "s": state,
            "now": self._clock.now(),
            "p": platform_message_id or None,
            "e": error or None,
            "b": None if kept is None else rows.body_of(kept),
        }
        return await self._write(_change, _Change(claim, -1, sql.FINISH_DELIVERY, values))

    async def retry_delivery(self, claim: Claim, id: int, error: str) -> None:
        """Count a failed try; it was certainly not sent. Raises LeaseLost."""
        await self._write(_change, _Change(claim, 0, sql.RETRY_DELIVERY, {"i": id, "e": error}))

    async def hold_delivery(self, claim: Claim, id: int, why: str) -> None:
        """Put one back that was not tried: it is certainly not sent, and this counts as no try. Raises LeaseLost."""
        await self._write(_change, _Change(claim, 0, sql.HOLD_DELIVERY, {"i": id, "e": why}))

    # ---------------------------------------------------------------- reading

    async def cursor(self, key: str) -> str:
        """A cursor that `accept` kept; empty when there is none."""
        return await self._read(lambda connection: queries.cursor(connection, key))

    async def recall(self, session: str, turns: int) -> Memory:
        """What a session remembers, with its last `turns` turns, oldest first."""
        return await self._read(lambda connection: sessions.recall(connection, session, turns))

    async def seen(self, subscription: Subscription, since: float, until: float) -> list[Seen]:
        """What a subscription's sources said from `since` on, before `until` (seconds), oldest first."""
        masked = self.watch.redacted
        return await self._read(lambda connection: seen.read(connection, subscription, since, until, redacted=masked))

    async def picture_numbers(self, session: str) -> dict[str, int]:
        """The newest number of each of a session's pictures, by SHA-256."""
        return await self._read(lambda connection: sessions.picture_numbers(connection, session))

    async def expire(self, keep_days: float, keep_turns: int) -> list[str]:
        """Forget old turns and pictures; returns the SHA-256 of pictures whose files may go."""
        now = self._clock.now()
        return await self._write(_expire, (now - keep_days * 86_400, keep_turns, now))

    async def awaits(self, sha256: str) -> bool:
        """An event that is unfinished or dead names this picture."""
        return await self._read(lambda connection: sessions.awaited(connection, sha256))

    async def event_status(self, platform: str, account_id: str, event_id: str) -> dict[str, Any] | None:
        """State of one event and its replies, for REST; None if it is not known."""
        key = rows.event_key(platform, account_id, event_id)
        return await self._read(lambda connection: queries.event_status(connection, key))

    async def dead_letters(self, limit: int = 100) -> list[letters.DeadLetter]:
        """Dead events and deliveries, and deliveries in doubt, newest first."""
        return await self._read(lambda connection: letters.dead_letters(connection, limit))

    async def retry_dead(self, kind: str, id: int) -> bool:
        """Queue a dead event, or a dead or doubtful delivery, once more. False if there is no such thing."""
        revived = await self._write(self._retry_dead, (kind, id))
        if revived:
            self.wake.set()
        return revived

    def _retry_dead(self, connection: Connection, arguments: Sequence[tuple[str, int]]) -> list[bool]:
        found = [letters.requeue(connection, kind, id) for kind, id in arguments]
        for key in filter(None, found):
            # The lane may have been swept away meanwhile.
            connection.execute(self._upserts.wake_lane, rows.lane_row(key, 1, self._clock.now()))
        return [key is not None for key in found]

    async def counts(self) -> dict[str, int]:
        """Numbers of open, dead and doubtful rows, for /readyz and doctor."""
        return await self._read(queries.counts)

    async def sweep(self) -> int:
        """Forget finished events, deliveries and counters that are over, and empty lanes; returns rows removed."""
        before = self._clock.now() - self._config.keep_ids_days * 86_400
        return await self._write(queries.sweep, before) + await self.usage.sweep(self._clock.now())

    async def _write(self, operation: Callable[[Connection, Sequence[Any]], Sequence[Any]], argument: Any) -> Any:
        try:
            return await self._writer.submit(operation, argument)
        except OperationalError:
            # Finishing what was accepted also needs disk: give up the reserve and try once more.
            if not self._guard.drop_ballast():
                raise
            return await self._writer.submit(operation, argument)

    async def _read(self, query: Callable[[Connection], T]) -> T:
        def run() -> T:
            with self._reading.connect() as connection:
                return query(connection)

        return await asyncio.get_running_loop().run_in_executor(self._readers, run)


def _change_pending(connection: Connection, claim: Claim, by: int) -> int | None:
    """What the lane owes afterwards; None when the claim no longer holds it."""
    return connection.execute(sql.CHANGE_PENDING, {"k": claim.lane, "f": claim.fence, "by": by}).scalar()


def _change(connection: Connection, changes: Sequence[_Change]) -> list[int | LeaseLost]:
    results: list[int | LeaseLost] = []
    for change in changes:
        pending = _change_pending(connection, change.claim, change.by)
        if pending is None:
            results.append(LeaseLost(change.claim.lane))
            continue
        connection.execute(change.statement, change.values)
        results.append(pending)
    return results


def _queue_deliveries(
    connection: Connection, seq: int, deliveries: Sequence[Delivery], now: float
) -> tuple[QueuedDelivery, ...]:
    if not deliveries:
        return ()
    states = ["sending", *["queued"] * (len(deliveries) - 1)]
    new = [rows.delivery_row(one, seq, state, now) for one, state in zip(deliveries, states, strict=True)]
    ids = connection.execute(sql.ADD_DELIVERY, new).scalars().all()
    return tuple(QueuedDelivery(id, state, 0, one, now) for id, state, one in zip(ids, states, deliveries, strict=True))


def _expire(connection: Connection, arguments: Sequence[tuple[float, int, float]]) -> list[list[str]]:
    return [sessions.expire(connection, before, keep_turns, now) for before, keep_turns, now in arguments]
