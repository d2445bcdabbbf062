"""Digests: who ordered which, how far each has come, and orders that wait for their confirmation.

`digest` says per name up to which time it was put into the inbox and up to which it was posted. Both are written for
orders in chat and for the configuration's alike. What is put into the inbox twice is dropped there by its id, so
`fired_to` only has to be near enough: it may lag, never lead.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)

from bot.clock import Clock
from bot.event import Conversation
from bot.store.ports import Read, Write
from bot.store.schema import metadata
from bot.subscription import Subscription

_Serial = BigInteger().with_variant(Integer, "sqlite")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Subscription).decode

subscription = Table(
    "subscription",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("name", String, nullable=False, unique=True),
    # key of the conversation it is posted to
    Column("place", String, nullable=False),
    # 1: until somebody cancels it. Rows stay: neither number nor name is given twice
    Column("active", Integer, nullable=False),
    Column("body", Text, nullable=False),
    # the event that confirmed it: taken up again, it orders nothing more
    Column("ordered_by", String, nullable=False, unique=True),
    Column("created_at", Float, nullable=False),
)
Index("subscription_place", subscription.c.place)

order = Table(
    "digest_order",
    metadata,
    Column("session", String, primary_key=True),
    Column("body", Text, nullable=False),
    # the session's last turn when it was repeated back: a later one has changed the subject
    Column("turn_id", BigInteger, nullable=False),
    Column("expires", Float, nullable=False),
)

digest = Table(
    "digest",
    metadata,
    Column("name", String, primary_key=True),
    # times before it was changed count no more
    Column("schedule", String, nullable=False),
    Column("fired_to", Float, nullable=False),
    Column("posted_to", Float, nullable=False),
    # what posted_to was before the last one: it comes back where that could not be delivered
    Column("posted_from", Float, nullable=False),
    Column("error", Text, nullable=False),
    Column("failed_at", Float),
)

owner = Table(
    "digest_owner",
    metadata,
    Column("key", String, primary_key=True),
    # their private conversation with the bot
    Column("body", Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Order:
    """What was repeated back and waits for a yes. turn_id: see the table."""

    subscription: Subscription
    turn_id: int


@dataclass(frozen=True, slots=True)
class Ordered:
    """A subscription that somebody confirmed. id: the number by which it is cancelled. created_at: seconds."""

    id: int
    subscription: Subscription
    created_at: float
    active: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """fired_to: the last time that was decided on. posted_to: where the next span begins. failed_at: of the last
    failure, None where the last one went well. All in seconds since 1970."""

    name: str
    schedule: str
    fired_to: float
    posted_to: float
    error: str = ""
    failed_at: float | None = None


@dataclass(frozen=True, slots=True)
class Posted:
    """A digest's turn has ended: of this span (seconds since 1970)."""

    name: str
    since: float
    until: float


class Subscriptions:
    """`insert` is the database's own, with ON CONFLICT. changed: set when there are others than before."""

    def __init__(self, write: Write, read: Read, insert: Any, clock: Clock) -> None:
        self._write = write
        self._read = read
        self._insert = insert
        self._clock = clock
        self.changed = asyncio.Event()

    # ----------------------------------------------------------------- orders

    async def propose(self, session: str, wanted: Subscription, turn_id: int, seconds: float) -> None:
        """Keep what was repeated back for so long; a newer order takes an older one's place."""
        await self._run(delete(order).where(order.c.expires <= self._clock.now()))
        row = {"body": _text(wanted), "turn_id": turn_id, "expires": self._clock.now() + seconds}
        statement = self._insert(order).values(session=session, **row)
        await self._run(statement.on_conflict_do_update(index_elements=[order.c.session], set_=row))

    async def proposal(self, session: str) -> Order | None:
        """What waits for this session's yes."""
        query = select(order).where(order.c.session == session, order.c.expires > self._clock.now())
        row = await self._read(lambda connection: connection.execute(query).first())
        return None if row is None else Order(_decode(row.body), row.turn_id)

    async def withdraw(self, session: str) -> bool:
        """Forget what waits; False where nothing does."""
        return await self._run(delete(order).where(order.c.session == session)) > 0

    async def confirm(self, session: str, event_key: str) -> Ordered | None:
        """Make the order of this session a subscription; None where none waits. The same event is answered alike."""
        now = self._clock.now()
        found: Ordered | None = await self._write(
            lambda connection, _: [_confirm(connection, session, event_key, now)], 0
        )
        self.changed.set()
        return found

    async def confirmed_by(self, event_key: str) -> Ordered | None:
        """What this event ordered when it was taken up before."""
        query = select(subscription).where(subscription.c.ordered_by == event_key)
        return await self._read(lambda connection: _first(connection, query))

    async def cancel(self, id: int) -> None:
        """No more of it; its words and pictures are forgotten."""
        await self._write(lambda connection, _: [_cancel(connection, id)], 0)
        self.changed.set()

    async def find(self, id: int) -> Ordered | None:
        """By its number, whether or not it was cancelled."""
        return await self._read(
            lambda connection: _first(connection, select(subscription).where(subscription.c.id == id))
        )

    async def at(self, place: str) -> list[Ordered]:
        """What is posted to a conversation, oldest first."""
        return await self._read(lambda connection: _all(connection, subscription.c.place == place))

    async def active(self) -> list[Ordered]:
        """All that somebody ordered and nobody cancelled."""
        return await self._read(_all)

    async def named(self, name: str) -> Ordered | None:
        """The active one of this name."""
        query = select(subscription).where(subscription.c.name == name, subscription.c.active == 1)
        return await self._read(lambda connection: _first(connection, query))

    # --------------------------------------------------------------- progress

    async def begin(self, name: str, schedule: str, fired_to: float, posted_to: float) -> None:
        """Know a digest from now on; one that is known by another schedule goes on by this one from `fired_to`."""
        row = {"schedule": schedule, "fired_to": fired_to}
        statement = self._insert(digest).values(name=name, posted_to=posted_to, posted_from=posted_to, error="", **row)
        changed = digest.c.schedule != schedule
        await self._run(statement.on_conflict_do_update(index_elements=[digest.c.name], set_=row, where=changed))

    async def progress(self) -> dict[str, Progress]:
        """Of all digests, by name."""
        columns = [digest.c[name] for name in Progress.__slots__]
        rows = await self._read(lambda connection: connection.execute(select(*columns)).all())
        return {row.name: Progress(*row) for row in rows}

    async def fired(self, name: str, to: float) -> None:
        """Everything up to this time is in the inbox, or was given up."""
        await self._run(update(digest).where(digest.c.name == name, digest.c.fired_to < to).values(fired_to=to))

    async def rewind(self, name: str, to: float) -> None:
        """The clock was wrong: go on from here."""
        await self._run(update(digest).where(digest.c.name == name).values(fired_to=to))

    async def failed(self, name: str, until: float, error: str, *, lost: bool) -> None:
        """It could not be written or delivered; lost: nothing of it, so its span belongs to the next one."""
        now = self._clock.now()
        named = update(digest).where(digest.c.name == name)
        await self._run(named.values(error=error, failed_at=now))
        if lost:
            await self._run(named.where(digest.c.posted_to == until).values(posted_to=digest.c.posted_from))

    # ----------------------------------------------------------------- owners

    async def meet(self, key: str, where: Conversation) -> None:
        """Remember somebody's private conversation."""
        row = {"body": _encode(where).decode()}
        statement = self._insert(owner).values(key=key, **row)
        await self._run(statement.on_conflict_do_update(index_elements=[owner.c.key], set_=row))

    async def private_chat(self, key: str) -> Conversation | None:
        """Where somebody can be told something."""
        query = select(owner.c.body).where(owner.c.key == key)
        body = await self._read(lambda connection: connection.execute(query).scalar())
        return None if body is None else msgspec.json.decode(body, type=Conversation)

    async def _run(self, statement: Any) -> int:
        return await self._write(lambda connection, _: [connection.execute(statement).rowcount], 0)


def posted(connection: Connection, one: Posted) -> None:
    """Part of the transaction that ends the digest's turn."""
    later = update(digest).where(digest.c.name == one.name, digest.c.posted_to < one.until)
    connection.execute(later.values(posted_to=one.until, posted_from=one.since, error="", failed_at=None))


def shown(connection: Connection, pictures: Sequence[str]) -> set[str]:
    """Of these pictures, those that are pinned to a subscription or an order."""
    bodies = [
        *connection.execute(select(subscription.c.body).where(subscription.c.active == 1)).scalars(),
        *connection.execute(select(order.c.body)).scalars(),
    ]
    return {sha256 for sha256 in pictures if any(sha256 in body for body in bodies)}


def _confirm(connection: Connection, session: str, event_key: str, now: float) -> Ordered | None:
    known = _first(connection, select(subscription).where(subscription.c.ordered_by == event_key))
    if known is not None:
        return known
    waiting = delete(order).where(order.c.session == session, order.c.expires > now).returning(order.c.body)
    body = connection.execute(waiting).scalar()
    if body is None:
        return None
    wanted = replace(_decode(body), name=f"chat-{secrets.token_hex(6)}")
    row = {
        "name": wanted.name,
        "place": wanted.conversation.key,
        "active": 1,
        "body": _text(wanted),
        "ordered_by": event_key,
        "created_at": now,
    }
    id = connection.execute(insert(subscription).returning(subscription.c.id), row).scalar_one()
    return Ordered(id, wanted, now, active=True)


def _cancel(connection: Connection, id: int) -> None:
    found = _first(connection, select(subscription).where(subscription.c.id == id))
    if found is not None:
        bare = replace(found.subscription, prompt="", pictures=(), sources=())
        connection.execute(update(subscription).where(subscription.c.id == id).values(active=0, body=_text(bare)))


def _first(connection: Connection, query: Any) -> Ordered | None:
    row = connection.execute(query).first()
    return None if row is None else _ordered(row)


def _all(connection: Connection, *which: Any) -> list[Ordered]:
    query = select(subscription).where(subscription.c.active == 1, *which).order_by(subscription.c.id)
    return [_ordered(row) for row in connection.execute(query)]


def _ordered(row: Any) -> Ordered:
    return Ordered(row.id, _decode(row.body), row.created_at, bool(row.active))


def _text(one: Subscription) -> str:
    return _encode(one).decode()
