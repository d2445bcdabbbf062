"""The SQL, built once: the same statements on SQLite and PostgreSQL.

`FOR UPDATE SKIP LOCKED` is left out by SQLAlchemy on SQLite, where one writer makes it needless.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    Executable,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from bot.store.schema import NEW, OPEN, PENDING, QUEUED, cursor, delivery, event, lane, media, turn

_held = and_(lane.c.key == bindparam("k"), lane.c.fence == bindparam("f"))
_keys: BindParameter[Any] = bindparam("keys", expanding=True)
_body: BindParameter[Any] = bindparam("b")
_seqs: BindParameter[Any] = bindparam("seqs", expanding=True)


FULL_LANES = select(lane.c.key).where(lane.c.key.in_(_keys), lane.c.pending >= bindparam("limit"))
_new = select(event.c.seq).where(text(NEW)).order_by(event.c.seq).limit(bindparam("limit"))
ADOPT = (
    update(event)
    .where(event.c.seq.in_(_new.with_for_update(skip_locked=True).scalar_subquery()))
    .values(state="queued")
    .returning(event.c.lane)
)
_counted = select(func.coalesce(func.sum(lane.c.pending), 0)).where(text(PENDING)).scalar_subquery()
_uncounted = select(func.count()).select_from(event).where(text(NEW)).scalar_subquery()
BACKLOG = select(_counted + _uncounted)
READY_LANES = (
    select(lane.c.key, lane.c.fence)
    # A stamp beyond the horizon was written before the clock was set back: it has expired.
    .where(text(PENDING), or_(lane.c.ready_at <= bindparam("now"), lane.c.ready_at > bindparam("horizon")))
    .order_by(lane.c.ready_at)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
LEASE_LANES = (
    update(lane).where(lane.c.key.in_(_keys)).values(fence=lane.c.fence + 1, ready_at=bindparam("until"), waiting=0)
)
QUEUED_EVENTS = (
    select(event.c.lane, event.c.seq, event.c.attempts, event.c.received_at, event.c.body)
    .where(text(QUEUED), event.c.lane.in_(_keys))
    .order_by(event.c.seq)
)
NEWEST_EVENT = select(func.max(event.c.seq)).where(text(QUEUED), event.c.lane == bindparam("k"))
OPEN_DELIVERIES = (
    select(
        delivery.c.lane, delivery.c.id, delivery.c.state, delivery.c.attempts, delivery.c.created_at, delivery.c.body
    )
    .where(text(OPEN), delivery.c.lane.in_(_keys))
    .order_by(delivery.c.id)
)
RENEW_LANE = update(lane).where(_held).values(ready_at=bindparam("until"))
RELEASE_LANE = (
    update(lane)
    .where(_held)
    # A new fence: a renewal that is on its way must not hold the lane again.
    .values(ready_at=bindparam("until"), waiting=bindparam("wait"), fence=lane.c.fence + 1)
    .returning(lane.c.pending)
)
CHANGE_PENDING = update(lane).where(_held).values(pending=lane.c.pending + bindparam("by")).returning(lane.c.pending)
# The body has served: the history keeps what must be kept, the keys stay for de-duplication.
DONE_EVENTS = update(event).where(event.c.seq.in_(_seqs)).values(state="done", finished_at=bindparam("now"), body="")
DEAD_EVENTS = (
    update(event)
    .where(event.c.seq.in_(_seqs))
    .values(state="dead", finished_at=bindparam("now"), error=bindparam("e"), attempts=event.c.attempts + 1)
)
RETRY_EVENTS = update(event).where(event.c.seq.in_(_seqs)).values(attempts=event.c.attempts + 1, error=bindparam("e"))
KNOWN_DELIVERY = select(delivery.c.id).where(delivery.c.key == bindparam("key"))
START_DELIVERY = update(delivery).where(delivery.c.id == bindparam("i")).values(state="sending")
FINISH_DELIVERY = (
    update(delivery)
    .where(delivery.c.id == bindparam("i"))
    .values(
        state=bindparam("s"),
        finished_at=bindparam("now"),
        platform_message_id=bindparam("p"),
        error=bindparam("e"),
        body=func.coalesce(_body, delivery.c.body),
    )
)
RETRY_DELIVERY = (
    update(delivery)
    .where(delivery.c.id == bindparam("i"))
    .values(state="queued", attempts=delivery.c.attempts + 1, error=bindparam("e"))
)
HOLD_DELIVERY = update(delivery).where(delivery.c.id == bindparam("i")).values(state="queued", error=bindparam("e"))
ADD_TURN = insert(turn)
ADD_DELIVERY = insert(delivery).returning(delivery.c.id, sort_by_parameter_order=True)


@dataclass(frozen=True, slots=True)
class Upserts:
    """The statements whose text depends on the database."""

    accept: Executable
    wake_lane: Executable
    add_media: Executable
    keep_cursor: Executable
    #: the database's own insert, for statements that are built where they are used
    insert: Any


def upserts(dialect: str) -> Upserts:
    """For `sqlite` or `postgresql`."""
    upsert: Any = sqlite.insert if dialect == "sqlite" else postgresql.insert
    wake = upsert(lane)
    idle = or_(lane.c.pending == literal_column("0"), lane.c.waiting == literal_column("1"))
    wake = wake.on_conflict_do_update(
        index_elements=[lane.c.key],
        set_={
            "pending": lane.c.pending + wake.excluded.pending,
            # A held lane keeps its lease, a failing one its backoff.
            "ready_at": case((idle, wake.excluded.ready_at), else_=lane.c.ready_at),
            "waiting": 0,
            # As for a released lane: its last holder may be about to renew.
            "fence": case((idle, lane.c.fence + 1), else_=lane.c.fence),
        },
        # RETURNING also lets a whole batch go in one statement: each step of one more would let go of the
        # interpreter and wait for it again.
    ).returning(lane.c.key, lane.c.pending)
    seen, read = upsert(media), upsert(cursor)
    return Upserts(
        insert=upsert,
        accept=upsert(event).on_conflict_do_nothing(),
        wake_lane=wake,
        add_media=seen.on_conflict_do_update(
            index_elements=[media.c.sha256], set_={"last_used_at": seen.excluded.last_used_at}
        ),
        keep_cursor=read.on_conflict_do_update(index_elements=[cursor.c.key], set_={"value": read.excluded.value}),
    )
