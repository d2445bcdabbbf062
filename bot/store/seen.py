"""What the bot saw in conversations that somebody ordered a digest of: messages, its answers, hand-overs.

An event's body goes when the event is finished; what a digest needs of it is kept here in the same transaction. So a
message is in one place at any time: unfinished (or dead) in the inbox, or here. Nothing is kept of conversations that
no subscription covers. `/忘记` and the sweep remove it as they remove the history.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Executable,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    and_,
    delete,
    false,
    insert,
    or_,
    select,
    text,
)

from bot import access
from bot.event import Conversation, MessageEvent, Sender, event_from_dict
from bot.message import Message
from bot.redact import redact
from bot.store.schema import DEAD, NEW, QUEUED, event, metadata
from bot.subscription import Seen, Subscription

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

seen = Table(
    "seen",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("lane", String, nullable=False),
    # whose /忘记 removes it
    Column("session", String, nullable=False),
    # when it came, or was answered
    Column("at", Float, nullable=False),
    # the last event of its turn
    Column("event_seq", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)
Index("seen_lane", seen.c.lane, seen.c.at)
Index("seen_at", seen.c.at)
Index("seen_session", seen.c.session)

seen_picture = Table(
    "seen_picture",
    metadata,
    Column("seen_id", BigInteger, primary_key=True),
    Column("sha256", String, primary_key=True),
)
Index("seen_picture_sha256", seen_picture.c.sha256)


class Watch:
    """Which messages are kept for digests. redacted: private numbers are masked in what was not stored yet."""

    def __init__(self) -> None:
        self.redacted = False
        self._subscriptions: tuple[Subscription, ...] = ()

    def replace(self, subscriptions: Sequence[Subscription]) -> None:
        """These are the digests that are ordered now."""
        self._subscriptions = tuple(one for one in subscriptions if one.kind in ("group", "support"))

    def covers(self, event: MessageEvent) -> bool:
        """Some digest sums this message up."""
        return any(_covers(one, event.conversation, event.sender, event.to_me) for one in self._subscriptions)


def _covers(subscription: Subscription, where: Conversation, sender: Sender, to_me: bool) -> bool:
    """sender: who wrote, or was answered."""
    if subscription.kind == "support":
        names = access.names(MessageEvent("", where, sender, Message("user"), 0))
        return to_me and (not subscription.sources or not set(names).isdisjoint(subscription.sources))
    return any(_within(where.key, place) for place in _places(subscription))


def _places(subscription: Subscription) -> tuple[str, ...]:
    return subscription.sources or (subscription.conversation.key,)


def _within(lane: str, place: str) -> bool:
    """The conversation itself, or a thread of it: a key ends with its thread, and a place without one with `/`."""
    return lane.startswith(place) if place.endswith("/") else lane == place


def add(connection: Connection, session: str, seq: int, rows: Iterable[Seen]) -> None:
    """Keep what a turn said; `seq` names the turn. `session` forgets it."""
    for one in rows:
        values = {"lane": one.conversation.key, "session": session, "at": one.at, "event_seq": seq, "body": _body(one)}
        # The dialects' own way to the new id: RETURNING.
        id = connection.execute(insert(seen).returning(seen.c.id), values).scalar_one()
        pictures = {image.sha256 for image in one.message.images if image.sha256}
        if pictures:
            connection.execute(insert(seen_picture), [{"seen_id": id, "sha256": each} for each in sorted(pictures)])


def read(
    connection: Connection, subscription: Subscription, since: float, until: float, *, redacted: bool = False
) -> list[Seen]:
    """What a subscription's sources said from `since` on, before `until`, oldest first; feeds and prompts say nothing.

    redacted: private numbers are masked in what is still in the inbox, as they are in what is kept.
    """
    if subscription.kind not in ("group", "support"):
        return []
    kept = [_seen(row) for row in connection.execute(_kept(subscription, since, until))]
    found = [*kept, *(_masked(one) if redacted else one for one in _waiting(connection, subscription, since, until))]
    return sorted((one for one in found if _wanted(subscription, one)), key=lambda one: one.at)


def _wanted(subscription: Subscription, one: Seen) -> bool:
    # Only what was said to the bot is answered.
    return _covers(subscription, one.conversation, one.asker or one.sender, one.to_me or one.asker is not None)


def _waiting(connection: Connection, subscription: Subscription, since: float, until: float) -> Iterator[Seen]:
    """What is unfinished or dead."""
    for state in (NEW, QUEUED, DEAD):
        for row in connection.execute(_unfinished(subscription, state, since, until)):
            found = event_from_dict(_decode(row.body))
            if isinstance(found, MessageEvent):
                yield of_event(found, row.received_at)


def of_event(event: MessageEvent, at: float) -> Seen:
    """A message, before it was answered."""
    link = event.platform_data.get("link", "")
    return Seen(at, event.conversation, event.sender, event.message, event.to_me, link=link)


def _masked(one: Seen) -> Seen:
    return replace(one, message=one.message.map_text(redact))


def _kept(subscription: Subscription, since: float, until: float) -> Executable:
    span = and_(seen.c.at >= since, seen.c.at < until, _in_places(seen.c.lane, subscription))
    return select(seen.c.at, seen.c.event_seq, seen.c.body).where(span).order_by(seen.c.at, seen.c.id)


def _unfinished(subscription: Subscription, state: str, since: float, until: float) -> Executable:
    came = and_(event.c.received_at >= since, event.c.received_at < until)
    return select(event.c.received_at, event.c.body).where(text(state), came, _in_places(event.c.lane, subscription))


def _in_places(lane: ColumnElement[str], subscription: Subscription) -> ColumnElement[bool]:
    """A first sieve: `_covers` has the last word."""
    if subscription.kind == "group":
        return or_(false(), *(_lane_within(lane, place) for place in _places(subscription)))
    platforms = {source.partition("/")[0] for source in subscription.sources}
    if not platforms or "*" in platforms:
        return lane != ""
    return or_(false(), *(lane.startswith(f"{platform}/", autoescape=True) for platform in sorted(platforms)))


def _lane_within(lane: ColumnElement[str], place: str) -> ColumnElement[bool]:
    return lane.startswith(place, autoescape=True) if place.endswith("/") else lane == place


def forget(connection: Connection, session: str) -> list[str]:
    """Remove all that a session said; returns the SHA-256 of its pictures."""
    return _remove(connection, seen.c.session == session)


def expire(connection: Connection, before: float) -> list[str]:
    """Remove what is older; returns the SHA-256 of its pictures."""
    return _remove(connection, seen.c.at < before)


def shown(connection: Connection, pictures: Sequence[str]) -> set[str]:
    """Of these pictures, those that something kept here shows."""
    query = select(seen_picture.c.sha256).where(seen_picture.c.sha256.in_(pictures)).distinct()
    return set(connection.execute(query).scalars())


def _remove(connection: Connection, which: ColumnElement[bool]) -> list[str]:
    mine = seen_picture.c.seen_id.in_(select(seen.c.id).where(which))
    gone = connection.execute(select(seen_picture.c.sha256).where(mine).distinct()).scalars().all()
    connection.execute(delete(seen_picture).where(mine))
    connection.execute(delete(seen).where(which))
    return list(gone)


def _body(one: Seen) -> str:
    fields: dict[str, Any] = msgspec.to_builtins(one)
    return _encode({name: value for name, value in fields.items() if name not in ("at", "turn")}).decode()


def _seen(row: Any) -> Seen:
    data: dict[str, Any] = _decode(row.body)
    asker = data.pop("asker")
    return Seen(
        row.at,
        Conversation(**data.pop("conversation")),
        Sender(**data.pop("sender")),
        Message.from_dict(data.pop("message")),
        asker=asker and Sender(**asker),
        turn=row.event_seq,
        **data,
    )
