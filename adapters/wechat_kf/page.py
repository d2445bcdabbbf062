"""One page of kf/sync_msg: which of its items are messages to be answered.

https://developer.work.weixin.qq.com/document/path/94670
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from bot import payload
from bot.errors import Rejected
from bot.event import Conversation, MessageEvent, Sender
from bot.message import Image, Part, Text, user

log = logging.getLogger(__name__)

LAST_SECOND: Final = 253_402_300_799
#: `origin` of an item: written by the customer. 4 is the system, 5 a person who serves them.
_CUSTOMER: Final = 3
_FAILURES: Final[Mapping[int, str]] = {
    1: "the account (客服账号) was deleted",
    2: "the app was switched off",
    4: "the session is older than 48 hours",
    5: "the session was closed",
    6: "more than five messages without one of the customer's",
    8: "the company is not verified",
    10: "the customer refuses messages of this account",
}


@dataclass(frozen=True, slots=True)
class Page:
    """events: in the page's order. cursor: where the next page begins; empty when the page does not say.

    failures: a sentence for each message of ours that did not reach its customer.
    """

    events: tuple[MessageEvent, ...]
    cursor: str
    more: bool
    failures: tuple[str, ...] = ()


def page_events(data: Mapping[str, Any], platform: str, account_id: str) -> Page:
    """Never fails: an item that is not as agreed is left out, since the cursor must get past it."""
    found: list[MessageEvent] = []
    failures: list[str] = []
    items = data.get("msg_list")
    for item in cast("list[Any]", items) if isinstance(items, list) else ():
        try:
            event = _event(item, platform, account_id)
        except Rejected as error:
            log.warning("%s: a message cannot be read: %s", platform, error)
            continue
        if event is not None:
            found.append(event)
        failure = _failure(item)
        if failure:
            failures.append(failure)
    cursor = data.get("next_cursor")
    more = data.get("has_more") in (1, True)
    return Page(tuple(found), cursor if isinstance(cursor, str) else "", more, tuple(failures))


def customer(conversation: Conversation) -> tuple[str, str]:
    """open_kfid and external_userid of a conversation; the latter is empty where it is none of ours."""
    open_kfid, _, external_userid = conversation.chat_id.partition(":")
    return open_kfid, external_userid


def _event(item: Any, platform: str, account_id: str) -> MessageEvent | None:
    """None for what nobody is to answer: events, a servicer's words, kinds that we cannot use."""
    fields = payload.fields(item)
    kind = fields.get("msgtype")
    if fields.get("origin") != _CUSTOMER or kind not in ("text", "image"):
        return None
    open_kfid = payload.identifier(fields, "open_kfid")
    external_userid = payload.identifier(fields, "external_userid")
    message_id = payload.identifier(fields, "msgid")
    return MessageEvent(
        id=message_id,
        conversation=Conversation(platform, account_id, f"{open_kfid}:{external_userid}"),
        sender=Sender(external_userid),
        message=user(*_parts(kind, fields)),
        timestamp=payload.integer(fields, "send_time", least=0, most=LAST_SECOND),
        message_id=message_id,
    )


def _parts(kind: str, fields: dict[str, Any]) -> list[Part]:
    if kind == "image":
        return [Image(payload.identifier(fields, "image", "media_id"))]
    words = payload.utterance(fields, "text", "content")
    return [Text(words)] if words else []


def _failure(item: dict[str, Any]) -> str:
    """Success of kf/send_msg is not delivery: what failed afterwards is told by an event."""
    event: Any = item.get("event")
    told = cast("dict[str, Any]", event) if isinstance(event, dict) else {}
    if told.get("event_type") != "msg_send_fail":
        return ""
    kind = told.get("fail_type")
    why = _FAILURES.get(kind, "no reason given") if type(kind) is int else "no reason given"
    return f"message {told.get('fail_msgid')} did not arrive: {why} (fail_type {kind})"
