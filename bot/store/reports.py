"""Reports: the finished ones by the id of their page, and what is written of an unfinished one.

`report_draft` and `report_section` hold an outline and its finished sections while an event is being answered, so that
its next try goes on where the last one ended. The turn that ends the event turns them into a row of `report`, in the
transaction of its history and deliveries: a page and the answer that links to it are there together or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    delete,
    select,
    update,
)

from bot.clock import Clock
from bot.report import Report, Section, new_id
from bot.report_plan import Outline
from bot.store.ports import Read, Write
from bot.store.schema import metadata

_encode = msgspec.json.Encoder().encode
_report = msgspec.json.Decoder(Report).decode
_outline = msgspec.json.Decoder(Outline).decode

#: Seconds after which the sections of an event that never ended are dropped: dead letters are revived before.
_DRAFT_KEPT = 7 * 86_400.0

report = Table(
    "report",
    metadata,
    Column("id", String, primary_key=True),
    Column("session", String, nullable=False),
    # JSON; empty once it is withdrawn
    Column("body", Text, nullable=False),
    Column("withdrawn", Integer, nullable=False),
    # when it was last written, and until when it is shown
    Column("at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
)
Index("report_session", report.c.session, report.c.at)
Index("report_expires", report.c.expires_at)

report_picture = Table(
    "report_picture",
    metadata,
    Column("report_id", String, primary_key=True),
    Column("sha256", String, primary_key=True),
)
Index("report_picture_sha256", report_picture.c.sha256)

report_draft = Table(
    "report_draft",
    metadata,
    # the event that asked for it
    Column("key", String, primary_key=True),
    Column("session", String, nullable=False),
    Column("report_id", String, nullable=False),
    Column("outline", Text, nullable=False),
    Column("at", Float, nullable=False),
)
Index("report_draft_report", report_draft.c.report_id)

report_section = Table(
    "report_section",
    metadata,
    Column("key", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An outline and its first sections, in order. report_id: of the page that comes of it."""

    key: str
    report_id: str
    outline: Outline
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True, slots=True)
class Latest:
    """The report that a session wrote last; None as `report`: it was withdrawn."""

    report: Report | None


@dataclass(frozen=True, slots=True)
class _Begun:
    key: str
    session: str
    report_id: str
    outline: Outline


class Reports:
    """What handlers and pages ask; `insert` is the database's own, with ON CONFLICT. keep_days: how long pages live."""

    def __init__(self, write: Write, read: Read, insert: Any, clock: Clock) -> None:
        self._write = write
        self._read = read
        self._insert = insert
        self._clock = clock
        self.keep_days = 30.0

    async def begin(self, key: str, session: str, outline: Outline, report_id: str = "") -> Unfinished:
        """Keep the outline of what event `key` asked for; where there is one already, that one and its sections.

        report_id: of the report that is rewritten; empty makes a new one.
        """
        new = _Begun(key, session, report_id or new_id(), outline)
        return await self._write(self._begin, new)

    def _begin(self, connection: Connection, begun: Sequence[_Begun]) -> list[Unfinished | None]:
        for one in begun:
            row = {"key": one.key, "session": one.session, "report_id": one.report_id, "at": self._clock.now()}
            values = row | {"outline": _encode(one.outline).decode()}
            connection.execute(self._insert(report_draft).values(**values).on_conflict_do_nothing())
        return [_unfinished(connection, one.key) for one in begun]

    async def unfinished(self, key: str) -> Unfinished | None:
        """What an earlier try of event `key` has left."""
        return await self._read(lambda connection: _unfinished(connection, key))

    async def keep_section(self, key: str, number: int, section: Section) -> None:
        """Keep section `number` (from 0) of an unfinished report; the first one kept stays."""
        await self._write(self._keep_section, (key, number, section))

    def _keep_section(self, connection: Connection, kept: Sequence[tuple[str, int, Section]]) -> list[None]:
        for key, number, section in kept:
            row = {"key": key, "number": number, "title": section.title, "text": section.text}
            connection.execute(self._insert(report_section).values(**row).on_conflict_do_nothing())
        return [None] * len(kept)

    async def latest(self, session: str) -> Latest | None:
        """What the session wrote last; None where there is nothing, or nothing that is still kept."""
        now = self._clock.now()
        query = select(report.c.body).where(report.c.session == session, report.c.expires_at > now)
        query = query.order_by(report.c.at.desc(), report.c.id).limit(1)
        found = await self._read(lambda connection: connection.execute(query).scalar())
        return None if found is None else Latest(_report(found) if found else None)

    async def page(self, id: str) -> Report | None:
        """The report of a page; None where it is unknown, expired or withdrawn."""
        query = select(report.c.body).where(report.c.id == id, report.c.expires_at > self._clock.now())
        found = await self._read(lambda connection: connection.execute(query).scalar())
        return _report(found) if found else None

    def publish(self, connection: Connection, session: str, new: Report) -> None:
        """Show a report on its page, and drop what was kept to write it. One without an id has no page."""
        if not new.id:
            return
        now = self._clock.now()
        ends = now + self.keep_days * 86_400
        kept = replace(new, created_at=new.created_at or now, expires_at=ends)
        values = {"session": session, "body": _encode(kept).decode(), "withdrawn": 0, "at": now, "expires_at": ends}
        statement = self._insert(report).values(id=new.id, **values)
        # What was withdrawn meanwhile stays withdrawn.
        mine = (report.c.withdrawn == 0) & (report.c.session == session)
        statement = statement.on_conflict_do_update(index_elements=[report.c.id], set_=values, where=mine)
        _drop_drafts(connection, report_draft.c.report_id == new.id)
        if connection.execute(statement).rowcount:
            _show_pictures(connection, new)


def _show_pictures(connection: Connection, new: Report) -> None:
    connection.execute(delete(report_picture).where(report_picture.c.report_id == new.id))
    pictures = sorted({image.sha256 for image in new.pictures.values() if image.sha256})
    if pictures:
        connection.execute(report_picture.insert(), [{"report_id": new.id, "sha256": each} for each in pictures])


def withdraw(connection: Connection, session: str, id: str) -> None:
    """Take a report of this session off its page for good; nothing of its text stays."""
    mine = (report.c.id == id) & (report.c.session == session)
    if connection.execute(update(report).where(mine).values(body="", withdrawn=1)).rowcount:
        connection.execute(delete(report_picture).where(report_picture.c.report_id == id))


def forget(connection: Connection, session: str) -> list[str]:
    """Remove all reports of a session; returns the SHA-256 of their pictures."""
    _drop_drafts(connection, report_draft.c.session == session)
    return _remove(connection, report.c.session == session)


def expire(connection: Connection, now: float) -> list[str]:
    """Remove what is no longer shown and what was never finished; returns the SHA-256 of its pictures."""
    _drop_drafts(connection, report_draft.c.at < now - _DRAFT_KEPT)
    return _remove(connection, report.c.expires_at < now)


def shown(connection: Connection, pictures: Sequence[str]) -> set[str]:
    """Of these pictures, those that some page shows."""
    query = select(report_picture.c.sha256).where(report_picture.c.sha256.in_(pictures)).distinct()
    return set(connection.execute(query).scalars())


def _remove(connection: Connection, which: ColumnElement[bool]) -> list[str]:
    mine = report_picture.c.report_id.in_(select(report.c.id).where(which))
    gone = connection.execute(select(report_picture.c.sha256).where(mine).distinct()).scalars().all()
    connection.execute(delete(report_picture).where(mine))
    connection.execute(delete(report).where(which))
    return list(gone)


def _drop_drafts(connection: Connection, which: ColumnElement[bool]) -> None:
    keys = select(report_draft.c.key).where(which)
    connection.execute(delete(report_section).where(report_section.c.key.in_(keys)))
    connection.execute(delete(report_draft).where(which))


def _unfinished(connection: Connection, key: str) -> Unfinished | None:
    found = connection.execute(select(report_draft).where(report_draft.c.key == key)).first()
    if found is None:
        return None
    query = select(report_section).where(report_section.c.key == key).order_by(report_section.c.number)
    sections = tuple(Section(row.title, row.text) for row in connection.execute(query))
    return Unfinished(key, found.report_id, _outline(found.outline), sections)
