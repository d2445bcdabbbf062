"""Messages that an event only names: the one it answers, and the ones in a forwarded bundle.

https://github.com/botuniverse/onebot-11/blob/master/api/public.md (get_msg, get_forward_msg). A bundle's messages
come as nodes or, from NapCat, as whole messages; those of a bundle inside may come along or be fetched by its id.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

from adapters.onebot.api import Api, fetch_failed
from adapters.onebot.segments import Content, identity, read, sender_name
from bot import payload
from bot.errors import ActionFailed, FetchFailed, NetworkError, Rejected
from bot.message import Part, Quote, Text, user

_DEPTH = 3
_MESSAGES = 50
_PICTURES = 20
#: Bundles inside bundles that are fetched one by one.
_FETCHES = 5


class Bundle:
    """Reads what one event refers to; holds how much may still be read."""

    def __init__(self, api: Api, self_id: str) -> None:
        self._api = api
        self._self_id = self_id
        self._messages = _MESSAGES
        self._pictures = _PICTURES
        self._fetches = _FETCHES

    async def quoted(self, message_id: str) -> tuple[Part, ...]:
        """The message as one quote; nothing where it holds nothing that we can read. Raises FetchFailed."""
        try:
            message = await self._api.act("get_msg", {"message_id": number(message_id)})
        except (ActionFailed, NetworkError) as error:
            raise fetch_failed(error, "引用的消息") from error
        quote = await self._quote(message, 1)
        return () if quote is None else (quote,)

    async def forwarded(self, forward_id: str) -> tuple[Part, ...]:
        """The bundle's messages, each a quote. Raises FetchFailed, also where there is nothing that we can read."""
        try:
            messages = await self._fetch(forward_id)
        except (ActionFailed, NetworkError) as error:
            raise fetch_failed(error, "转发的聊天记录") from error
        quotes = [quote async for quote in self._quotes(messages, 1)]
        if not quotes:
            raise FetchFailed("forward_empty", "这条合并转发里没有我能读的文字或图片，请直接发给我。")
        return tuple(quotes)

    async def _fetch(self, forward_id: str) -> Any:
        # The protocol calls it id; some versions of NapCat read message_id only.
        data = await self._api.act("get_forward_msg", {"id": forward_id, "message_id": forward_id})
        found = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
        return found.get("messages", found.get("message"))

    async def _quotes(self, messages: Any, depth: int) -> AsyncIterator[Quote]:
        for message in cast("list[Any]", messages) if isinstance(messages, list) else ():
            if not self._messages:
                return
            self._messages -= 1
            quote = await self._quote(message, depth)
            if quote is not None:
                yield quote

    async def _quote(self, message: Any, depth: int) -> Quote | None:
        """None where there is nothing to read: one odd message must not cost the others."""
        try:
            content, name = self._read(message)
        except Rejected:
            return None
        images = content.images[: self._pictures]
        self._pictures -= len(images)
        text = (Text(content.text),) if content.text else ()
        parts: list[Part] = [*text, *images]
        if content.forward and depth < _DEPTH:
            parts += [quote async for quote in self._quotes(await self._inside(content), depth + 1)]
        return Quote(user(*parts), name) if parts else None

    def _read(self, message: Any) -> tuple[Content, str]:
        """What a message or a node says, and its sender's name. Raises Rejected."""
        node = payload.fields(message)
        if node.get("type") == "node":
            node = payload.fields(node, "data")
        name = sender_name(node.get("sender")) or payload.optional_text(node, "nickname")
        return read(node.get("content", node.get("message")), self._self_id), name

    async def _inside(self, content: Content) -> Any:
        """The messages of a bundle inside; nothing where they cannot be had."""
        if isinstance(content.inside, list):
            return cast("list[Any]", content.inside)
        if not self._fetches:
            return None
        self._fetches -= 1
        try:
            return await self._fetch(content.forward)
        except (ActionFailed, NetworkError):
            return None


def number(text: str) -> int | str:
    """An id as the protocol has it: a number where it is one."""
    return int(text) if text.removeprefix("-").isdecimal() and text.isascii() else text


def sent_id(data: Any) -> str:
    """The message id in an answer; empty where there is none."""
    try:
        return identity(data, "message_id")
    except Rejected:
        return ""
