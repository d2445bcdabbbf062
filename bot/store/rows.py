"""Between values and rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from bot.event import Delivery, Event, MessageEvent, event_from_dict, quote_key
from bot.message import Image, Message

R = TypeVar("R")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class QueuedEvent:
    """An unfinished event: its place in the order, tries so far, when it was accepted (seconds)."""

    seq: int
    attempts: int
    received_at: float
    event: Event


@dataclass(frozen=True, slots=True)
class QueuedDelivery:
    """An unsent delivery. state `sending`: a crash left it in doubt, or its holder has just started it.

    created_at: when the reply was ready (seconds).
    """

    id: int
    state: str
    attempts: int
    delivery: Delivery
    created_at: float


def event_key(platform: str, account_id: str, event_id: str) -> str:
    """The de-duplication key of an event: its account and the platform's id."""
    return f"{quote_key(platform)}/{quote_key(account_id)}/{event_id}"


def event_row(event: Event, now: float) -> dict[str, Any]:
    """The inbox row of a new event."""
    where = event.conversation
    return {
        "event_key": event_key(where.platform, where.account_id, event.id),
        "message_key": _message_key(event),
        "lane": where.key,
        "state": "new",
        "attempts": 0,
        "received_at": now,
        "body": _encode(event).decode(),
    }


def cursor_rows(cursors: Mapping[str, str]) -> list[dict[str, Any]]:
    """Sorted, so that two replicas lock rows in one order."""
    return [{"key": key, "value": cursors[key]} for key in sorted(cursors)]


def _message_key(event: Event) -> str | None:
    if isinstance(event, MessageEvent) and event.dedup_message and event.message_id:
        return f"{event.conversation.key}/{event.message_id}"
    return None


def queued_event(row: Any) -> QueuedEvent:
    """An event read back."""
    return QueuedEvent(row.seq, row.attempts, row.received_at, event_from_dict(_decode(row.body)))


def lane_row(key: str, pending: int, ready_at: float) -> dict[str, Any]:
    """A lane that gets `pending` more to do."""
    return {"key": key, "pending": pending, "ready_at": ready_at, "waiting": 0, "fence": 0}


def delivery_row(delivery: Delivery, seq: int, state: str, now: float) -> dict[str, Any]:
    """The outbox row of a new delivery."""
    return {
        "key": delivery.key,
        "lane": delivery.conversation.key,
        "event_seq": seq,
        "state": state,
        "attempts": 0,
        "created_at": now,
        "body": body_of(delivery),
    }


def queued_delivery(row: Any) -> QueuedDelivery:
    """A delivery read back."""
    return QueuedDelivery(row.id, row.state, row.attempts, Delivery.from_dict(_decode(row.body)), row.created_at)


def body_of(delivery: Delivery) -> str:
    """A delivery as the outbox holds it."""
    return _encode(delivery).decode()


def delivery_from_body(body: str) -> Delivery:
    """The delivery inside an outbox row."""
    return Delivery.from_dict(_decode(body))


def turn_row(session: str, seq: int, part: int, message: Message, now: float) -> dict[str, Any]:
    """One half of a turn."""
    return {
        "session": session,
        "event_seq": seq,
        "part": part,
        "body": _encode(message).decode(),
        "at": now,
    }


def media_row(image: Image, now: float) -> dict[str, Any]:
    """Metadata of a kept picture."""
    return {
        "sha256": image.sha256,
        "mime_type": image.mime_type,
        "width": image.width,
        "height": image.height,
        "first_seen_at": now,
        "last_used_at": now,
    }


def by_lane(rows: Iterable[Any], build: Callable[[Any], R]) -> dict[str, list[R]]:
    """Rows grouped by their lane, order kept."""
    lanes: dict[str, list[R]] = {}
    for row in rows:
        lanes.setdefault(row.lane, []).append(build(row))
    return lanes
