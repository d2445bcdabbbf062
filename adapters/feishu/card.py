"""Answers as cards: what is escaped in them, and one that shows an answer while it is written.

https://open.feishu.cn/document/feishu-cards/card-json-v2-components/content-components/rich-text
https://open.feishu.cn/document/cardkit-v1/streaming-updates-openapi-overview
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec

from adapters.feishu.api import Api, name, text_in
from bot.adapter import Surface
from bot.errors import ActionFailed, DeliveryError
from bot.event import Delivery

#: Feishu takes 30 KB, and counts more than the bytes that are sent.
CARD_BYTES = 28_000
_TABLES = 4
_ELEMENT = "answer"

_MARKS = re.compile(r"[*`<>|#~&]|\]\(|^[ \t]*(?:[-+]|\d+[.)])[ \t]|^[ \t]*(?:---|___)", re.MULTILINE)
_CELL = r":?-+:?[ \t]*+"
_DELIMITER = re.compile(rf"^[ \t]*+(?:\|[ \t]*+)?{_CELL}(?:\|[ \t]*+{_CELL})+(?:\|[ \t]*+)?$", re.MULTILINE)
# A fenced block, also one that is not closed yet; or a code span.
_CODE = re.compile(
    r"^ {0,3}(```+|~~~+).*?(?:^ {0,3}\1|\Z)|(?<!`)(`+)(?!`)[^\n]*?(?<!`)\2(?!`)", re.MULTILINE | re.DOTALL
)
_TAG = re.compile(r"<(?!br ?/?>)")
_MENTION = re.compile(r"<(?=/?(?:at|person)\b)", re.IGNORECASE)


def has_markdown(text: str) -> bool:
    """Whether a card shows it better, or a plain text would take it for mark-up."""
    return _MARKS.search(text) is not None


def fits_card(text: str) -> bool:
    """A card takes only so many tables and bytes."""
    return len(_DELIMITER.findall(text)) <= _TABLES and len(content(text)) <= CARD_BYTES


def escaped(text: str) -> str:
    """Markdown whose `<` are characters: a model must not write Feishu's tags, least of all one that calls everybody.

    In code nothing is unescaped, so a tag that would call somebody gets an invisible space instead.
    """
    pieces: list[str] = []
    at = 0
    for code in _CODE.finditer(text):
        pieces += [_TAG.sub("&#60;", text[at : code.start()]), _MENTION.sub("<\u200b", code[0])]
        at = code.end()
    return "".join([*pieces, _TAG.sub("&#60;", text[at:])])


def plain(text: str) -> str:
    """A plain text in which nobody is called."""
    return _MENTION.sub("<\u200b", text)


def content(text: str, *, streaming: bool = False) -> bytes:
    """A card with one text."""
    config: dict[str, Any] = {"update_multi": True, "streaming_mode": streaming, "summary": {"content": _summary(text)}}
    if streaming:
        pace = {"print_frequency_ms": {"default": 50}, "print_step": {"default": 3}, "print_strategy": "fast"}
        config["streaming_config"] = pace
    element = {"tag": "markdown", "element_id": _ELEMENT, "content": escaped(text)}
    return msgspec.json.encode({"schema": "2.0", "config": config, "body": {"elements": [element]}})


def _summary(text: str) -> str:
    """What the list of chats shows."""
    return " ".join(re.sub(r"[*`#>|]", " ", text[:200]).split())[:60]


class CardSurface(Surface):
    """A card that Feishu shows like typing. post: sends a message (kind, content, key) and returns its id.

    Every call has a higher number than the one before, or Feishu refuses it.
    """

    def __init__(self, api: Api, post: Callable[[str, bytes, str], Awaitable[str]]) -> None:
        self._api = api
        self._post = post
        # Not the event's key: after a crash a second card must be a message of its own.
        self._key = secrets.token_hex(16)
        self._card_id = ""
        self._message_id = ""
        self._sequence = 0

    async def open(self, text: str) -> None:
        if not self._card_id:
            data = {"type": "card_json", "data": content(text, streaming=True).decode()}
            self._card_id = text_in(await self._api.call("POST", "cardkit/v1/cards", data), "data", "card_id")
        if not self._message_id:
            card = msgspec.json.encode({"type": "card", "data": {"card_id": self._card_id}})
            self._message_id = await self._post("interactive", card, self._key)

    async def update(self, text: str) -> None:
        await self._change("PUT", f"/elements/{_ELEMENT}/content", {"content": escaped(text)})

    async def close(self, delivery: Delivery) -> str:
        # Whatever `open` did not finish, or nobody knows whether it did, is done again: the key makes it once.
        text = delivery.text
        await self.open(text)
        # The whole card: this is taken even after Feishu has ended the typing by itself, after ten minutes.
        try:
            await self._change("PUT", "", {"card": {"type": "card_json", "data": content(text).decode()}})
        except ActionFailed:
            # The answer will be a message of its own: half of it must not stay above.
            with suppress(DeliveryError):
                await self.abandon()
            raise
        config = {"streaming_mode": False, "summary": {"content": _summary(text)}}
        settings = msgspec.json.encode({"config": config}).decode()
        # The text is there already, and Feishu ends the typing by itself.
        with suppress(ActionFailed):
            await self._change("PATCH", "/settings", {"settings": settings})
        return self._message_id

    async def abandon(self) -> None:
        if self._message_id:
            await self._api.call("DELETE", f"im/v1/messages/{name(self._message_id)}")

    async def _change(self, method: str, path: str, data: dict[str, Any]) -> None:
        self._sequence += 1
        marks = {"sequence": self._sequence, "uuid": f"{self._key}-{self._sequence}"}
        await self._api.call(method, f"cardkit/v1/cards/{name(self._card_id)}{path}", {**data, **marks})
