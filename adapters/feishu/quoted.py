"""Messages that an event only names: the one it answers, and the ones in a forwarded bundle.

A bundle is answered whole: itself and all messages in it, each with the id of what it lies in.
https://open.feishu.cn/document/server-docs/im-v1/message/get
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from adapters.feishu.api import Api, name
from adapters.feishu.content import FORWARD, People, read
from bot import payload
from bot.errors import ActionFailed, FetchFailed, NetworkError, Rejected
from bot.message import Image, Part, Quote, Text, user

_DEPTH = 3
_MESSAGES = 50
_PICTURES = 20

_REFUSED = {
    "230002": "机器人不在那条消息所在的群里，读不到它，请把内容直接发给我。",
    "230011": "那条消息已被撤回，请把内容直接发给我。",
    "230050": "机器人看不到那条历史消息，请把内容直接发给我。",
    "230110": "那条消息已被删除，请把内容直接发给我。",
    "231003": "那条消息已被撤回，请把内容直接发给我。",
}
_NO_PERMISSION = frozenset({"230027", "99991672", "99991679"})


async def quoted(api: Api, message_id: str, bot_open_id: str) -> tuple[Part, ...]:
    """The message as one quote; nothing where it holds nothing that we can read. Raises FetchFailed."""
    found = _Messages(await _fetch(api, message_id), message_id, bot_open_id)
    parts = found.parts()
    return (Quote(user(*parts)),) if parts else ()


async def forwarded(api: Api, message_id: str, bot_open_id: str) -> tuple[Part, ...]:
    """The messages of a bundle, each a quote. Raises FetchFailed, also where there is nothing that we can read."""
    parts = _Messages(await _fetch(api, message_id), message_id, bot_open_id).parts()
    if not parts:
        raise FetchFailed("forward_empty", "这条合并转发里没有我能读的文字或图片，请直接发给我。")
    return parts


def picture(message_id: str, key: str) -> Image:
    """A picture in a message; `message_and_key` reads its source."""
    return Image(source=f"{name(message_id)}/{name(key)}")


async def _fetch(api: Api, message_id: str) -> list[Any]:
    try:
        return payload.items(await api.call("GET", f"im/v1/messages/{name(message_id)}"), "data", "items")
    except NetworkError:
        raise FetchFailed("fetch_failed", "暂时读不到引用或转发的消息，请稍后再试。", retry=True) from None
    except Rejected:
        raise FetchFailed("fetch_failed", "飞书给出的消息读不懂，请把内容直接发给我。") from None
    except ActionFailed as error:
        if error.code in _NO_PERMISSION:
            sentence = "机器人没有读取消息的权限，请联系管理员开通，或把内容直接发给我。"
        else:
            sentence = _REFUSED.get(error.code, f"读不到引用或转发的消息（{error.code}），请把内容直接发给我。")
        raise FetchFailed("fetch_failed", sentence) from None


class _Messages:
    """What one call answered: a message, and where it is a bundle, all that lies in it."""

    def __init__(self, items: list[Any], message_id: str, bot_open_id: str) -> None:
        self._root = message_id
        self._bot = bot_open_id
        self._items: dict[str, Any] = {}
        self._inside: dict[str, list[str]] = {}
        self._messages = _MESSAGES
        self._pictures = _PICTURES
        for item in items:
            try:
                self._add(item)
            except Rejected:
                continue

    def _add(self, item: Any) -> None:
        message_id = payload.identifier(item, "message_id")
        self._items[message_id] = item
        if message_id != self._root:
            above = payload.optional_text(item, "upper_message_id") or self._root
            self._inside.setdefault(above, []).append(message_id)

    def parts(self) -> tuple[Part, ...]:
        """What the message says. Raises FetchFailed where it was recalled."""
        item = self._items.get(self._root)
        if item is not None and payload.fields(item).get("deleted") is True:
            raise FetchFailed("message_gone", "那条消息已被撤回，请把内容直接发给我。")
        return () if item is None else self._said(self._root, 1)

    def _said(self, message_id: str, depth: int) -> tuple[Part, ...]:
        """Empty where it cannot be read: one odd message must not cost the others."""
        try:
            item = self._items[message_id]
            kind = payload.text(item, "msg_type")
            if kind == FORWARD:
                return tuple(self._bundle(message_id, depth)) if depth <= _DEPTH else ()
            people = People(payload.optional_items(item, "mentions"), self._bot)
            content = read(kind, payload.text(item, "body", "content"), people)
        except Rejected:
            return ()
        if content is None:
            return ()
        images = content.images[: self._pictures]
        self._pictures -= len(images)
        text = (Text(content.text),) if content.text else ()
        return (*text, *(picture(message_id, key) for key in images))

    def _bundle(self, message_id: str, depth: int) -> Iterator[Part]:
        for one in self._inside.get(message_id, ()):
            if self._messages == 0:
                return
            self._messages -= 1
            parts = self._said(one, depth + 1)
            if parts:
                yield Quote(user(*parts))
