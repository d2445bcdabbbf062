"""Card entities: made, sent once as a message, then changed by operations in order."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from adapters.simulated.platform import RateLimit, Sent

Json = dict[str, Any]

CARD_BYTES = 30 * 1024
#: What would notify somebody, in a text or a card.
CALL = re.compile(r"<at[ >]", re.IGNORECASE)


class Refused(Exception):
    """The answer with this code."""

    def __init__(self, code: int, message: str, status: int = 400, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.answer = web.json_response({"code": code, "msg": message}, status=status, headers=headers)


@dataclass
class Card:
    """A card entity. message: what shows it, when it was sent. uuids: operations that were taken."""

    text: str
    streaming: bool
    sequence: int = 0
    message: Sent | None = None
    uuids: set[str] = field(default_factory=set[str])
    rate: RateLimit = field(default_factory=lambda: RateLimit(10, 1.0))


class Cards:
    """All card entities of an app. changed: called when a reader sees something new."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._cards: dict[str, Card] = {}

    def __getitem__(self, card_id: str) -> Card:
        return self._cards[card_id]

    async def create(self, request: web.Request) -> web.Response:
        data = await request.json()
        text, streaming = card_of(data)
        card_id = f"7{len(self._cards):015}"
        self._cards[card_id] = Card(text, streaming)
        return done(card_id=card_id)

    async def replace(self, request: web.Request) -> web.Response:
        card, data = await self._operation(request)
        text, streaming = card_of(data["card"])
        self._change(card, text, streaming)
        return done()

    async def grow(self, request: web.Request) -> web.Response:
        card, data = await self._operation(request)
        if not card.streaming:
            raise Refused(300309, "Card streaming closed")
        self._change(card, data["content"], True)
        return done()

    async def settings(self, request: web.Request) -> web.Response:
        card, data = await self._operation(request)
        config = json.loads(data["settings"])["config"]
        self._change(card, card.text, config.get("streaming_mode", card.streaming))
        return done()

    async def _operation(self, request: web.Request) -> tuple[Card, Json]:
        """The card, when the operation is in order: known, later than the one before, and not too fast."""
        data = await request.json()
        card = self._cards.get(request.match_info["card"])
        if card is None:
            raise Refused(200740, "The card entity does not exist")
        if not card.rate.allows():
            raise Refused(99991400, "request trigger frequency limit", 429, {"x-ogw-ratelimit-reset": "1"})
        if data["uuid"] in card.uuids:
            raise Refused(200770, "UUID conflict")
        if data["sequence"] <= card.sequence:
            raise Refused(300317, "The sequence number did not increment")
        card.sequence = data["sequence"]
        card.uuids.add(data["uuid"])
        return card, data

    def _change(self, card: Card, text: str, streaming: bool) -> None:
        if CALL.search(text):
            raise Refused(200220, "somebody would be called by the bot's text")
        changed, card.text, card.streaming = text != card.text, text, streaming
        if card.message is not None:
            if changed:
                card.message.show(text)
            card.message.final = not streaming
            self._changed()


def done(**data: Any) -> web.Response:
    return web.json_response({"code": 0, "msg": "success", "data": data})


def card_of(data: Json) -> tuple[str, bool]:
    """The text of a card that is given as JSON, and whether it is being written."""
    if data.get("type") != "card_json":
        raise Refused(10002, "Your request contains an invalid request parameter.")
    if len(data["data"].encode()) > CARD_BYTES:
        raise Refused(200860, "Card content exceeds limit.")
    card = json.loads(data["data"])
    return card_text(card), card.get("config", {}).get("streaming_mode", False)


def card_text(card: Json) -> str:
    if card.get("schema") != "2.0":
        raise Refused(300303, "Only schema 2.0 is supported")
    return "".join(element["content"] for element in card["body"]["elements"] if element["tag"] == "markdown")
