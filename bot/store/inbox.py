"""The inbox: what arrives, and who takes it up.

Accepting only appends: one insert for a whole batch, duplicates dropped by the keys' uniqueness. A claim first
adopts what is new (counts it into its lanes), then takes lanes. So the work that an acknowledgement waits for is
the least there is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from bot.clock import Clock
from bot.config import StoreConfig
from bot.errors import StoreFull
from bot.store import rows
from bot.store import statements as sql
from bot.store.rows import QueuedDelivery, QueuedEvent

#: New events adopted by one claim at most, for each lane it may take.
_ADOPTED_PER_LANE = 16


@dataclass(frozen=True, slots=True)
class Claim:
    """A lane held by a worker: its fence, unsent deliveries and unfinished events, oldest first."""

    lane: str
    fence: int
    deliveries: tuple[QueuedDelivery, ...]
    events: tuple[QueuedEvent, ...]


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """See Store.claim."""

    limit: int
    lease: float
    horizon: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of events that come together, and of cursors that move with them."""

    events: list[dict[str, Any]]
    cursors: list[dict[str, Any]]


class Inbox:
    """Runs in the writer's transactions; remembers which lanes are full."""

    def __init__(self, upserts: sql.Upserts, config: StoreConfig, clock: Clock) -> None:
        self._upserts = upserts
        self._config = config
        self._clock = clock
        self._full: set[str] = set()
        self._backlog = 0
        self._counted_at = float("-inf")

    def accept(self, connection: Connection, batches: Sequence[Batch]) -> list[StoreFull | None]:
        """Append the events of each batch and move its cursors, or refuse the batch."""
        if self._backlog_full(connection):
            return [StoreFull("too many unanswered messages") for _ in batches]
        full = self._still_full(connection, {row["lane"] for batch in batches for row in batch.events})
        refused = [any(row["lane"] in full for row in batch.events) for batch in batches]
        accepted = [batch for batch, no in zip(batches, refused, strict=True) if not no]
        wanted = [row for batch in accepted for row in batch.events]
        if wanted:
            connection.execute(self._upserts.accept, wanted)
        cursors = [cursor for batch in accepted for cursor in batch.cursors]
        if cursors:
            connection.execute(self._upserts.keep_cursor, cursors)
        return [StoreFull("too many unanswered messages in one conversation") if no else None for no in refused]

    def claim(self, connection: Connection, requests: Sequence[ClaimRequest]) -> list[tuple[list[Claim], bool]]:
        """Lanes for each request, and whether new events are left to adopt."""
        found: list[tuple[list[Claim], bool]] = []
        for request in requests:
            more = self._adopt(connection, request.limit * _ADOPTED_PER_LANE)
            found.append((self._take(connection, request), more))
        return found

    def _adopt(self, connection: Connection, limit: int) -> bool:
        lanes = connection.execute(sql.ADOPT, {"limit": limit}).scalars().all()
        if not lanes:
            return False
        counts, now = Counter(lanes), self._clock.now()
        # Sorted, so that two replicas lock lanes in one order.
        woken = [rows.lane_row(key, counts[key], now) for key in sorted(counts)]
        for key, pending in connection.execute(self._upserts.wake_lane, woken):
            if pending >= self._config.max_pending_per_conversation:
                self._full.add(key)
        return len(lanes) == limit

    def _take(self, connection: Connection, request: ClaimRequest) -> list[Claim]:
        now = self._clock.now()
        values = {"now": now, "horizon": now + request.horizon, "limit": request.limit}
        ready = connection.execute(sql.READY_LANES, values).all()
        if not ready:
            return []
        keys = [row.key for row in ready]
        connection.execute(sql.LEASE_LANES, {"keys": keys, "until": now + request.lease})
        events = rows.by_lane(connection.execute(sql.QUEUED_EVENTS, {"keys": keys}), rows.queued_event)
        sends = rows.by_lane(connection.execute(sql.OPEN_DELIVERIES, {"keys": keys}), rows.queued_delivery)
        return [
            Claim(row.key, row.fence + 1, tuple(sends.get(row.key, ())), tuple(events.get(row.key, ())))
            for row in ready
        ]

    def _backlog_full(self, connection: Connection) -> bool:
        # Adding up all lanes is not for every batch: once a second is exact enough for a limit this coarse.
        if self._clock.monotonic() - self._counted_at >= 1.0:
            self._counted_at = self._clock.monotonic()
            self._backlog = connection.execute(sql.BACKLOG).scalar_one()
        return self._backlog >= self._config.max_pending

    def _still_full(self, connection: Connection, keys: set[str]) -> set[str]:
        """Of these lanes, those that were full when something was last put in, and still are."""
        suspects = keys & self._full
        if not suspects:
            return suspects
        limit = self._config.max_pending_per_conversation
        full = set(connection.execute(sql.FULL_LANES, {"keys": list(suspects), "limit": limit}).scalars())
        self._full -= suspects - full
        return full
