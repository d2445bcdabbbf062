"""The tables: inbox (`event`, `cursor`), `lane`, outbox (`delivery`), history (`turn`), `media`.

One schema for SQLite and PostgreSQL. A lane is a conversation's place in the queue; workers claim lanes, never
jobs, so order holds by construction. Predicates of partial indexes are literals: SQLite cannot use a partial
index when the value is a bound parameter.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

# SQLite gives rowids out only to INTEGER PRIMARY KEY columns.
_Serial = BigInteger().with_variant(Integer, "sqlite")

event = Table(
    "event",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("event_key", String, nullable=False, unique=True),
    Column("message_key", String, nullable=True, unique=True),
    Column("lane", String, nullable=False),
    # new (not yet counted into its lane), queued, done, dead
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("finished_at", Float),
    Column("body", Text, nullable=False),
    Column("error", Text),
)


def _partial_index(name: str, predicate: str, *columns: Column[Any]) -> None:
    Index(name, *columns, sqlite_where=text(predicate), postgresql_where=text(predicate))


NEW = "state = 'new'"
QUEUED = "state = 'queued'"
DEAD = "state = 'dead'"
OPEN = "state IN ('queued', 'sending')"

_partial_index("event_new", NEW, event.c.seq)
_partial_index("event_queued", QUEUED, event.c.lane, event.c.seq)
_partial_index("event_dead", DEAD, event.c.seq)
Index("event_finished", event.c.finished_at)

lane = Table(
    "lane",
    metadata,
    Column("key", String, primary_key=True),
    # unfinished events and unsent deliveries
    Column("pending", Integer, nullable=False),
    # when it may be claimed: now, a retry's time, or the end of the present lease
    Column("ready_at", Float, nullable=False),
    # 1: released on purpose until ready_at, to be woken early by a new event (a picture waits for its question)
    Column("waiting", Integer, nullable=False),
    # grows with every claim; a write that carries an older number is refused
    Column("fence", Integer, nullable=False),
)
PENDING = "pending > 0"
_partial_index("lane_ready", PENDING, lane.c.ready_at)

delivery = Table(
    "delivery",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("key", String, nullable=False, unique=True),
    Column("lane", String, nullable=False),
    Column("event_seq", BigInteger, nullable=False),
    # queued, sending, sent, unknown (sent or not: nobody knows), dead
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("finished_at", Float),
    Column("body", Text, nullable=False),
    Column("platform_message_id", String),
    Column("error", Text),
)
_partial_index("delivery_open", OPEN, delivery.c.lane, delivery.c.id)
_partial_index("delivery_doubtful", "state IN ('unknown', 'dead')", delivery.c.id)
Index("delivery_event", delivery.c.event_seq)

turn = Table(
    "turn",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("session", String, nullable=False),
    # two rows a turn: the question (0) and the answer (1)
    Column("event_seq", BigInteger, nullable=False),
    Column("part", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", Float, nullable=False),
    UniqueConstraint("event_seq", "part"),
)
Index("turn_session", turn.c.session, turn.c.id)

media = Table(
    "media",
    metadata,
    Column("sha256", String, primary_key=True),
    Column("mime_type", String, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("first_seen_at", Float, nullable=False),
    Column("last_used_at", Float, nullable=False),
)

# How far a platform that is asked for its messages has been read; written with what was read.
cursor = Table("cursor", metadata, Column("key", String, primary_key=True), Column("value", String, nullable=False))

#: Written once when the tables are made; a newer number than ours means a newer Kantu made the database.
VERSION = 1
schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True))
