"""Looking at the tables from outside the path of a message, and keeping them tidy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, select, text, update

from bot.store import rows
from bot.store import statements as sql
from bot.store.schema import PENDING, delivery, event, lane
from bot.store.schema import cursor as cursors


def free_lanes(connection: Connection, now: Sequence[float]) -> list[None]:
    """Make every lane that owes something claimable now."""
    # The process lock says that nobody else lives: every lease is a dead process's.
    connection.execute(update(lane).where(text(PENDING)).values(ready_at=now[0], waiting=0))
    return [None] * len(now)


def cursor(connection: Connection, key: str) -> str:
    """The kept cursor, or an empty text."""
    return connection.execute(select(cursors.c.value).where(cursors.c.key == key)).scalar() or ""


def event_status(connection: Connection, key: str) -> dict[str, Any] | None:
    """State and replies of the event with this de-duplication key; None when it is not known."""
    found = connection.execute(select(event.c.seq, event.c.state, event.c.lane).where(event.c.event_key == key)).first()
    if found is None:
        return None
    query = select(delivery.c.key, delivery.c.state, delivery.c.body).where(delivery.c.event_seq == found.seq)
    sent = connection.execute(query.order_by(delivery.c.id)).all()
    replies = [{"key": row.key, "state": row.state, "text": _text(row.body)} for row in sent]
    return {"state": "queued" if found.state == "new" else found.state, "replies": replies}


def counts(connection: Connection) -> dict[str, int]:
    """Unfinished work, dead events, dead and doubtful deliveries."""
    dead = select(func.count()).select_from(event).where(text("state = 'dead'"))
    doubtful = select(func.count()).select_from(delivery).where(text("state IN ('unknown', 'dead')"))
    return {
        "pending": connection.execute(sql.BACKLOG).scalar_one(),
        "dead_events": connection.execute(dead).scalar_one(),
        "doubtful_deliveries": connection.execute(doubtful).scalar_one(),
    }


def sweep(connection: Connection, before: Sequence[float]) -> list[int]:
    """Delete what was finished before each of these times (seconds since 1970); returns rows removed."""
    removed = 0
    for limit in before:
        old_deliveries = delete(delivery).where(delivery.c.finished_at < limit, delivery.c.state == "sent")
        old_events = delete(event).where(event.c.finished_at < limit, event.c.state == "done")
        removed += connection.execute(old_deliveries).rowcount + connection.execute(old_events).rowcount
        idle = delete(lane).where(lane.c.pending == 0, lane.c.ready_at < limit)
        removed += connection.execute(idle).rowcount
    return [removed] * len(before)


def _text(body: str) -> str:
    """The text of a delivery; nothing once it was forgotten."""
    return rows.delivery_from_body(body).text if body else ""
