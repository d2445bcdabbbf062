"""Dead letters: what failed for good or is in doubt, to be listed and tried again by a person."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Table, select, text, update

from bot.store.schema import delivery, event


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """kind: `event` or `delivery`; state: `dead` or `unknown` (sent or not: nobody knows); at: seconds.

    key: the event's de-duplication key, or the delivery's key.
    """

    kind: str
    id: int
    state: str
    key: str
    lane: str
    attempts: int
    error: str
    at: float


def dead_letters(connection: Connection, limit: int) -> list[DeadLetter]:
    """Newest first."""
    events = (
        select(
            event.c.seq,
            event.c.state,
            event.c.event_key,
            event.c.lane,
            event.c.attempts,
            event.c.error,
            event.c.finished_at,
        )
        .where(text("state = 'dead'"))
        .order_by(event.c.seq.desc())
        .limit(limit)
    )
    sends = (
        select(
            delivery.c.id,
            delivery.c.state,
            delivery.c.key,
            delivery.c.lane,
            delivery.c.attempts,
            delivery.c.error,
            delivery.c.finished_at,
        )
        .where(text("state IN ('unknown', 'dead')"))
        .order_by(delivery.c.id.desc())
        .limit(limit)
    )
    found = [
        DeadLetter(kind, id, state, key, lane, attempts, error or "", at or 0.0)
        for kind, query in (("event", events), ("delivery", sends))
        for id, state, key, lane, attempts, error, at in connection.execute(query)
    ]
    return sorted(found, key=lambda letter: -letter.at)[:limit]


def requeue(connection: Connection, kind: str, id: int) -> str | None:
    """Queue a dead or doubtful row again, its tries forgotten; its lane's key, or None if there is no such row."""
    table: Table = event if kind == "event" else delivery
    key = table.c.seq if kind == "event" else table.c.id
    return connection.execute(
        update(table)
        .where(key == id, table.c.state.in_(["dead", "unknown"]))
        .values(state="queued", attempts=0, finished_at=None)
        .returning(table.c.lane)
    ).scalar()
