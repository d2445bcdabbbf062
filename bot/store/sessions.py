"""What a session remembers beside its turns: numbered pictures, the chosen model, what was last talked about.

Pictures outlive the window of turns that is sent to a model: 图2 of a month ago is still 图2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    bindparam,
    delete,
    func,
    literal_column,
    select,
    text,
    update,
)

from bot.event import Forget, SessionChange
from bot.message import Image, Message
from bot.references import Known
from bot.store import reports, seen, subscriptions
from bot.store.schema import DEAD, NEW, QUEUED, delivery, event, media, metadata, turn

session = Table(
    "session",
    metadata,
    Column("key", String, primary_key=True),
    # auto, light or heavy
    Column("model", String, nullable=False),
    # JSON: numbers of the pictures that the last turn was about
    Column("focus", String, nullable=False),
    Column("summary", Text, nullable=False),
    # turns up to this id are in the summary, and no longer sent along
    Column("summarised_to", BigInteger, nullable=False),
    # pictures up to this number were there when the talk began anew: they are meant by name only
    Column("named_to", Integer, nullable=False),
    Column("used_at", Float, nullable=False),
)

picture = Table(
    "picture",
    metadata,
    Column("session", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("sha256", String, nullable=False),
    Column("mime_type", String, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    # one line, written when the picture was seen
    Column("description", Text, nullable=False),
    # pictures that came together share it
    Column("event_seq", BigInteger, nullable=False),
    Column("at", Float, nullable=False),
)
Index("picture_sha256", picture.c.sha256)


@dataclass(frozen=True, slots=True)
class Memory:
    """All that a turn starts from; history oldest first, without what the summary covers.

    focus: the pictures that the last turn was about. turn_ids: ids of the history's messages, to say what a summary
    covers. model: auto, light or heavy, as the user chose. named_to: pictures up to this number are meant by name
    only, since the talk began anew after them.
    """

    history: tuple[Message, ...] = ()
    pictures: tuple[Known, ...] = ()
    focus: tuple[Image, ...] = ()
    model: str = "auto"
    summary: str = ""
    turn_ids: tuple[int, ...] = ()
    named_to: int = 0


def recall(connection: Connection, key: str, turns: int) -> Memory:
    """What session `key` remembers, with its last `turns` turns that no summary covers."""
    found = connection.execute(_SESSION, {"s": key}).all()
    state = found[0] if found[0].key is not None else None
    pictures = tuple(
        Known(Image("", row.sha256, row.mime_type, row.width, row.height, row.number), row.event_seq, row.description)
        for row in found
        if row.number is not None
    )
    said = connection.execute(
        _HISTORY, {"s": key, "after": state.summarised_to if state else 0, "limit": 2 * turns}
    ).all()[::-1]
    history = tuple(Message.from_dict(_decode(row.body)) for row in said)
    if state is None:
        return Memory(history, pictures, turn_ids=tuple(row.id for row in said))
    focused = set(_decode(state.focus))
    focus = tuple(one.image for one in pictures if one.image.index in focused)
    ids = tuple(row.id for row in said)
    return Memory(history, pictures, focus, state.model, state.summary, ids, state.named_to)


def apply(connection: Connection, upsert: Any, key: str, change: SessionChange, now: float) -> list[str]:
    """Carry out a turn's change; returns the SHA-256 of pictures that nobody refers to any more."""
    orphans: list[str] = []
    if change.withdraw:
        reports.withdraw(connection, key, change.withdraw)
    if change.forget:
        orphans = _forget(connection, key, change.forget)
    values = {
        "focus": None if change.focus is None else _encode(change.focus).decode(),
        "model": change.model,
        "summary": change.summary,
        "summarised_to": change.summarised_to,
    }
    if change.forget == "history":
        values["named_to"] = max(picture_numbers(connection, key).values(), default=0)
    given = {name: value for name, value in values.items() if value is not None}
    if given:
        row = {"model": "auto", "focus": "[]", "summary": "", "summarised_to": 0, "named_to": 0} | given
        statement = upsert(session).values(key=key, used_at=now, **row)
        statement = statement.on_conflict_do_update(index_elements=[session.c.key], set_={**given, "used_at": now})
        connection.execute(statement)
    for number, description in change.descriptions:
        connection.execute(
            update(picture).where(picture.c.session == key, picture.c.number == number).values(description=description)
        )
    return orphans


def add_pictures(connection: Connection, key: str, images: Sequence[Image], seq: int, now: float) -> None:
    """Number new pictures into a session; each image carries its number."""
    if images:
        connection.execute(picture.insert(), [_picture_row(key, image, seq, now) for image in images])


def picture_numbers(connection: Connection, key: str) -> dict[str, int]:
    """The newest number of each picture of a session, by SHA-256."""
    return {row.sha256: row.number for row in connection.execute(_PICTURES, {"s": key})}


def expire(connection: Connection, before: float, keep_turns: int, now: float) -> list[str]:
    """Forget turns and pictures older than `before` and all but the newest `keep_turns` of each session.

    Reports go when their pages end, at their own time. Returns the SHA-256 of pictures that nobody refers to any more.
    """
    connection.execute(delete(turn).where(turn.c.at < before))
    surplus = (
        select(turn.c.id)
        .add_columns(func.row_number().over(partition_by=turn.c.session, order_by=turn.c.id.desc()).label("place"))
        .subquery()
    )
    connection.execute(delete(turn).where(turn.c.id.in_(select(surplus.c.id).where(surplus.c.place > 2 * keep_turns))))
    gone = set(connection.execute(select(picture.c.sha256).where(picture.c.at < before).distinct()).scalars())
    connection.execute(delete(picture).where(picture.c.at < before))
    connection.execute(delete(session).where(session.c.used_at < before))
    gone |= {*seen.expire(connection, before), *reports.expire(connection, now)}
    return _orphans(connection, sorted(gone))


def _forget(connection: Connection, key: str, what: Forget) -> list[str]:
    seqs = select(turn.c.event_seq).where(turn.c.session == key)
    if what == "everything":
        # What was sent says as much as what was asked.
        connection.execute(
            update(delivery).where(delivery.c.event_seq.in_(seqs), delivery.c.state == "sent").values(body="")
        )
    connection.execute(delete(turn).where(turn.c.session == key))
    connection.execute(update(session).where(session.c.key == key).values(focus="[]", summary="", summarised_to=0))
    if what != "everything":
        return []
    gone = set(connection.execute(select(picture.c.sha256).where(picture.c.session == key).distinct()).scalars())
    connection.execute(delete(picture).where(picture.c.session == key))
    connection.execute(delete(session).where(session.c.key == key))
    return _orphans(connection, sorted(gone.union(seen.forget(connection, key), reports.forget(connection, key))))


def _orphans(connection: Connection, gone: Sequence[str]) -> list[str]:
    """Of these pictures, those that no session, digest, subscription or report has left and no unfinished event names.

    Their metadata goes.
    """
    if not gone:
        return []
    kept = set(connection.execute(select(picture.c.sha256).where(picture.c.sha256.in_(gone))).scalars())
    kept |= seen.shown(connection, gone) | reports.shown(connection, gone) | subscriptions.shown(connection, gone)
    orphans = [sha256 for sha256 in gone if sha256 not in kept and not awaited(connection, sha256)]
    connection.execute(delete(media).where(media.c.sha256.in_(orphans)))
    return orphans


def awaited(connection: Connection, sha256: str) -> bool:
    """An event that is still to be answered, or may be tried again, brought this picture along."""
    named = event.c.body.contains(sha256)
    return any(
        connection.execute(select(event.c.seq).where(text(state), named).limit(1)).first()
        for state in (NEW, QUEUED, DEAD)
    )


def _picture_row(key: str, image: Image, seq: int, now: float) -> dict[str, Any]:
    return {
        "session": key,
        "number": image.index,
        "sha256": image.sha256,
        "mime_type": image.mime_type,
        "width": image.width,
        "height": image.height,
        "description": "",
        "event_seq": seq,
        "at": now,
    }


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_one = select(literal_column("1", Integer).label("one")).subquery()
# The session's row and its pictures in one go; either may be absent.
_SESSION = (
    select(session, picture)
    .select_from(
        _one.outerjoin(session, session.c.key == bindparam("s")).outerjoin(picture, picture.c.session == bindparam("s"))
    )
    .order_by(picture.c.number)
)
_PICTURES = select(picture).where(picture.c.session == bindparam("s")).order_by(picture.c.number)
_HISTORY = (
    select(turn.c.id, turn.c.body)
    .where(turn.c.session == bindparam("s"), turn.c.id > bindparam("after"))
    .order_by(turn.c.id.desc())
    .limit(bindparam("limit"))
)
