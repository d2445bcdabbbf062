"""How much was used of what is limited, who was told so, and who is banned.

A counter is a row per subject, kind and period. Taking adds the amounts of a whole batch in two statements: the
first adds nothing, which reads the rows and, on PostgreSQL, locks them; the second adds what was granted. So the
counts are exact with any number of replicas. What is refused is not counted.

A row of kind `once` is a receipt: an event whose turn is taken up again is not counted twice. It is committed
together with the counts.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy import Column, Connection, Float, Index, Integer, String, Table, case, delete, select, tuple_

from bot.clock import Clock
from bot.store.schema import metadata
from bot.store.writer import Operation

T = TypeVar("T")

#: Seconds a receipt is kept: longer than a turn is tried by itself. A dead letter revived later counts anew.
RECEIPT_KEPT = 86_400.0
#: Seconds after which a ban by another replica is seen at the latest.
_FRESH = 1.0
#: Rows swept by one transaction, so that nobody waits long for the writer.
_SWEPT_AT_ONCE = 5_000
#: Notices remembered in memory, to spare a flood its writes.
_REMEMBERED = 10_000

usage = Table(
    "usage",
    metadata,
    Column("subject", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("period", String, primary_key=True),
    Column("used", Integer, nullable=False),
    # the event whose answer said that the limit is reached; empty: nobody was told yet
    Column("noticed", String, nullable=False),
    # seconds since 1970; afterwards the row means nothing
    Column("ends", Float, nullable=False),
    sqlite_with_rowid=False,
)
Index("usage_ends", usage.c.ends)

ban = Table(
    "ban",
    metadata,
    Column("subject", String, primary_key=True),
    # seconds since 1970; null: for good
    Column("until", Float),
    Column("reason", String, nullable=False),
    Column("by", String, nullable=False),
    Column("at", Float, nullable=False),
)

_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Counter:
    """`amount` more of `kind` for `subject` in `period`, where `limit` in all are allowed.

    period: any name that is different for each period. ends: seconds since 1970, the period's end.
    """

    subject: str
    kind: str
    period: str
    amount: int
    limit: int
    ends: float

    @property
    def key(self) -> _Key:
        return self.subject, self.kind, self.period


@dataclass(frozen=True, slots=True)
class Ban:
    """subject is shut out until a time (seconds since 1970; None: for good); by whom and when."""

    subject: str
    until: float | None
    reason: str
    by: str
    at: float


@dataclass(frozen=True, slots=True)
class _Taking:
    wanted: tuple[Counter, ...]
    receipt: Counter | None


class _Write(Protocol):
    def __call__(self, operation: Operation[Any, Any], argument: Any, /) -> Awaitable[Any]: ...


class _Read(Protocol):
    def __call__(self, query: Callable[[Connection], T], /) -> Awaitable[T]: ...


class Usage:
    """Counters, notices and bans; `insert` is the database's own, with ON CONFLICT."""

    def __init__(self, write: _Write, read: _Read, insert: Any, clock: Clock) -> None:
        self._write = write
        self._read = read
        self._clock = clock
        self._add_statement = _adding(insert)
        self._notice_statement = _noticing(insert)
        self._ban_statement = _banning(insert)
        self._told: dict[_Key, str] = {}
        self._bans: dict[str, Ban] = {}
        self._bans_read_at = float("-inf")
        self._bans_lock = asyncio.Lock()

    # --------------------------------------------------------------- counters

    async def take(self, wanted: Sequence[Counter], once: str = "") -> Counter | None:
        """Count all or none; returns the first counter that would pass its limit. Each counter is given once.

        once: a name for this taking; a second one by the same name is granted and counts nothing.
        """
        if not wanted:
            return None
        receipt = Counter(once, "once", "", 1, 1, self._clock.now() + RECEIPT_KEPT) if once else None
        return await self._write(self._take, _Taking(tuple(wanted), receipt))

    def _take(self, connection: Connection, takings: Sequence[_Taking]) -> list[Counter | None]:
        counters = [one for taking in takings for one in taking.wanted]
        receipts = [taking.receipt for taking in takings if taking.receipt]
        rows = {one.key: _row(one, 0) for one in counters}
        # The receipt of what will be refused stays at 0 and may be swept at once.
        rows |= {one.key: {**_row(one, 0), "ends": self._clock.now()} for one in receipts}
        used = self._add(connection, rows)
        granted: dict[_Key, dict[str, Any]] = {}
        results = [_grant(taking, used, granted) for taking in takings]
        if granted:
            self._add(connection, granted)
        return results

    def _add(self, connection: Connection, rows: dict[_Key, dict[str, Any]]) -> dict[_Key, int]:
        # Sorted, so that two replicas lock rows in one order.
        found = connection.execute(self._add_statement, [rows[key] for key in sorted(rows)])
        return defaultdict(int, {(row.subject, row.kind, row.period): row.used for row in found})

    async def notice(self, about: Counter, by: str) -> bool:
        """Whether the answer to event `by` is the one that says a limit is reached: the first that asks.

        The same event is told the same again, so that a turn taken up once more still says it.
        """
        told = self._told.get(about.key)
        if told is None:
            told = await self._write(self._notice, (about, by))
            if len(self._told) >= _REMEMBERED:
                self._told.clear()
            self._told[about.key] = told
        return told == by

    def _notice(self, connection: Connection, asked: Sequence[tuple[Counter, str]]) -> list[str]:
        first: dict[_Key, dict[str, Any]] = {}
        for about, by in asked:
            first.setdefault(about.key, {**_row(about, 0), "noticed": by})
        found = connection.execute(self._notice_statement, [first[key] for key in sorted(first)])
        told = {(row.subject, row.kind, row.period): row.noticed for row in found}
        return [told[about.key] for about, _ in asked]

    async def used(self, subject: str) -> dict[str, int]:
        """What `subject` used in the periods that last, by kind."""
        query = (
            select(usage.c.kind, usage.c.used)
            .where(usage.c.subject == subject, usage.c.ends > self._clock.now())
            # After the clock was set back there may be two of a kind: the earlier is the present one.
            .order_by(usage.c.ends.desc())
        )
        rows = await self._read(lambda connection: connection.execute(query).all())
        return {row.kind: row.used for row in rows}

    async def sweep(self, now: float) -> int:
        """Forget what ended before `now`; returns rows removed."""
        removed = 0
        while True:
            found: int = await self._write(_sweep, now)
            removed += found
            if found < _SWEPT_AT_ONCE:
                return removed

    # ------------------------------------------------------------------- bans

    async def ban(self, subject: str, until: float | None, reason: str, by: str) -> None:
        """Shut out a subject, anew if it is already."""
        await self._write(self._ban, Ban(subject, until, reason, by, self._clock.now()))
        await self._forget_bans()

    def _ban(self, connection: Connection, bans: Sequence[Ban]) -> list[None]:
        for one in bans:
            connection.execute(self._ban_statement, dict(zip(ban.c.keys(), astuple(one), strict=True)))
        return [None] * len(bans)

    async def unban(self, subject: str) -> bool:
        """False if there was no such ban."""
        found: bool = await self._write(_unban, subject)
        await self._forget_bans()
        return found

    async def is_banned(self, subject: str) -> bool:
        return await self.banned([subject]) is not None

    async def banned(self, subjects: Sequence[str]) -> Ban | None:
        """The ban of the first of these subjects that has one."""
        known = await self._known_bans()
        now = self._clock.now()
        found = (known.get(subject) for subject in subjects)
        return next((one for one in found if one is not None and _lasts(one, now)), None)

    async def bans(self) -> list[Ban]:
        """All that last, newest first."""
        query = select(ban).order_by(ban.c.at.desc(), ban.c.subject)
        rows = await self._read(lambda connection: connection.execute(query).all())
        now = self._clock.now()
        return [one for one in (Ban(*row) for row in rows) if _lasts(one, now)]

    async def _known_bans(self) -> dict[str, Ban]:
        if self._clock.monotonic() - self._bans_read_at < _FRESH:
            return self._bans
        # Whoever comes meanwhile waits: nobody slips through before the first reading ends.
        async with self._bans_lock:
            read_at = self._clock.monotonic()
            if read_at - self._bans_read_at >= _FRESH:
                self._bans = {one.subject: one for one in await self.bans()}
                self._bans_read_at = read_at
        return self._bans

    async def _forget_bans(self) -> None:
        # Behind the lock, since a reading under way began before the change.
        async with self._bans_lock:
            self._bans_read_at = float("-inf")


def _grant(taking: _Taking, used: dict[_Key, int], granted: dict[_Key, dict[str, Any]]) -> Counter | None:
    """Decide on one taking; `used` and `granted` grow by what it gets."""
    receipt = taking.receipt
    if receipt and used[receipt.key]:
        return None
    for one in taking.wanted:
        if used[one.key] + one.amount > one.limit:
            return one
    for one in (*taking.wanted, *([receipt] if receipt else [])):
        used[one.key] += one.amount
        row = granted.setdefault(one.key, _row(one, 0))
        row["used"] += one.amount
    return None


def _row(counter: Counter, used: int) -> dict[str, Any]:
    subject, kind, period = counter.key
    return {"subject": subject, "kind": kind, "period": period, "used": used, "noticed": "", "ends": counter.ends}


def _lasts(one: Ban, now: float) -> bool:
    return one.until is None or one.until > now


def _sweep(connection: Connection, times: Sequence[float]) -> list[int]:
    key = (usage.c.subject, usage.c.kind, usage.c.period)
    removed: list[int] = []
    for now in times:
        old = select(*key).where(usage.c.ends <= now).limit(_SWEPT_AT_ONCE)
        counters = connection.execute(delete(usage).where(tuple_(*key).in_(old))).rowcount
        # Few, and not in the number that says whether there is more.
        connection.execute(delete(ban).where(ban.c.until <= now))
        removed.append(counters)
    return removed


def _unban(connection: Connection, subjects: Sequence[str]) -> list[bool]:
    return [connection.execute(delete(ban).where(ban.c.subject == one)).rowcount > 0 for one in subjects]


def _adding(insert: Any) -> Any:
    new = insert(usage)
    later = case((new.excluded.ends > usage.c.ends, new.excluded.ends), else_=usage.c.ends)
    return new.on_conflict_do_update(
        index_elements=[usage.c.subject, usage.c.kind, usage.c.period],
        set_={"used": usage.c.used + new.excluded.used, "ends": later},
        # RETURNING also lets a whole batch go in one statement.
    ).returning(usage.c.subject, usage.c.kind, usage.c.period, usage.c.used)


def _noticing(insert: Any) -> Any:
    new = insert(usage)
    first = case((usage.c.noticed == "", new.excluded.noticed), else_=usage.c.noticed)
    return new.on_conflict_do_update(
        index_elements=[usage.c.subject, usage.c.kind, usage.c.period], set_={"noticed": first}
    ).returning(usage.c.subject, usage.c.kind, usage.c.period, usage.c.noticed)


def _banning(insert: Any) -> Any:
    new = insert(ban)
    changed = {name: new.excluded[name] for name in ("until", "reason", "by", "at")}
    return new.on_conflict_do_update(index_elements=[ban.c.subject], set_=changed)
