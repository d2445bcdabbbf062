"""An answer that can be seen growing: a draft in private chats, an edited message in groups."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from adapters.telegram.api import Api, Refused
from bot.adapter import Surface
from bot.calls import InOrder
from bot.event import Delivery

#: Editing to the same text is refused: it is shown already.
_SAME = "message is not modified"
#: Refusals after which drafts are not tried again: a server that does not know them, or a chat that has none.
_NO_DRAFTS = ("400", "404")


class GrowingMessage(Surface):
    """A message that is edited until it is finished. where: the chat, the topic and what is replied to."""

    def __init__(self, api: Api, where: Mapping[str, Any]) -> None:
        self._api = api
        self._where = where
        self._message_id = 0
        self._calls = InOrder()

    async def open(self, text: str) -> None:
        await self._calls.do(self._send(text))

    async def update(self, text: str) -> None:
        await self._calls.do(self._edit(text))

    async def close(self, delivery: Delivery) -> str:
        await self._calls.settle()
        # Where opening it got no answer, nobody can tell whether it is there.
        await (self._edit(delivery.text) if self._message_id else self._send(delivery.text))
        return str(self._message_id)

    async def abandon(self) -> None:
        await self._calls.settle()
        if self._message_id:
            await self._api.call("deleteMessage", self._named())

    async def _send(self, text: str) -> None:
        sent = await self._api.write("sendMessage", self._where, text)
        self._message_id = int(sent.get("message_id") or 0)

    async def _edit(self, text: str) -> None:
        try:
            await self._api.write("editMessageText", self._named(), text)
        except Refused as error:
            if _SAME not in error.description:
                raise

    def _named(self) -> dict[str, Any]:
        return {"chat_id": self._where["chat_id"], "message_id": self._message_id}


class Draft(Surface):
    """A preview that Telegram takes away 30 seconds after its last change; the answer itself is a message.

    Where drafts are refused, an edited message takes their place. finish: sends the answer.
    """

    def __init__(
        self, api: Api, where: Mapping[str, Any], event_id: str, finish: Callable[[Delivery], Awaitable[str]]
    ) -> None:
        self._api = api
        self._body = {**where, "draft_id": _draft_id(event_id)}
        self._finish = finish
        self._message = GrowingMessage(api, where)
        self._refused = False
        self._calls = InOrder()
        self.closes_by_sending = True

    async def open(self, text: str) -> None:
        await self._calls.do(self._preview(text))

    async def update(self, text: str) -> None:
        await (self._message.update(text) if self._refused else self.open(text))

    async def close(self, delivery: Delivery) -> str:
        await self._calls.settle()
        return await (self._message.close(delivery) if self._refused else self._finish(delivery))

    async def abandon(self) -> None:
        """A draft goes away by itself."""
        await self._calls.settle()
        if self._refused:
            await self._message.abandon()

    async def _preview(self, text: str) -> None:
        try:
            await self._api.write("sendMessageDraft", self._body, text)
        except Refused as error:
            if error.code not in _NO_DRAFTS:
                raise
            self._refused = True
            self.closes_by_sending = False
            await self._message.open(text)


def _draft_id(event_id: str) -> int:
    """Not zero, and the same for one event, so that its draft is changed and not shown twice."""
    return int.from_bytes(hashlib.sha256(event_id.encode()).digest()[:4], "big") % 0x7FFFFFFF + 1
