"""A private answer that grows on the reader's screen.

https://bot.q.qq.com/wiki/develop/api-v2/autogen/api/v2_users_user_openid_stream_messages.post.html

Each call brings the whole text so far, and QQ refuses one that does not begin with what is already shown. The notice
that an answer is coming stays as the first line, therefore, where it was shown.
"""

from __future__ import annotations

from typing import Final

from adapters.qq.api import Api
from bot.adapter import Surface
from bot.event import Conversation, Delivery

_GROWING, _FINISHED = 1, 10
#: Between what was shown and a text that does not go on from it.
_BREAK: Final = "\n\n"


class Stream(Surface):
    """One streamed message. sequence: its msg_seq, the same in all calls."""

    def __init__(self, api: Api, where: Conversation, message_id: str, sequence: int) -> None:
        self._api = api
        self._where = where
        self._message_id = message_id
        self._sequence = sequence
        self._stream_id = ""
        self._index = 0
        self._before = ""
        self._text = ""
        self._finished = False

    async def open(self, text: str) -> None:
        """The beginning of the answer or a notice; which of them shows with the next text."""
        await self._post(text, _GROWING)

    async def update(self, text: str) -> None:
        """More of the answer; a text that rewrites what was shown waits for the end."""
        if not text.startswith(self._text) and self._index == 1:
            self._keep()
        if text.startswith(self._text):
            await self._post(text, _GROWING)

    async def close(self, delivery: Delivery) -> str:
        """The finished answer; below what was shown, where that is not its beginning."""
        if not self._finished:
            if not delivery.text.startswith(self._text):
                self._keep()
            await self._post(delivery.text, _FINISHED)
        return self._stream_id

    async def abandon(self) -> None:
        """End it: the reader's client must not wait for more."""
        if not self._finished and self._stream_id:
            await self._post(self._text, _FINISHED)

    def _keep(self) -> None:
        self._before += self._text + _BREAK
        self._text = ""

    async def _post(self, text: str, state: int) -> None:
        data = {
            "input_mode": "replace",
            "input_state": state,
            "index": self._index,
            "content_type": "markdown",
            "content_raw": self._before + text,
            "msg_id": self._message_id,
            "msg_seq": self._sequence,
        }
        if self._stream_id:
            data["stream_msg_id"] = self._stream_id
        self._stream_id = await self._api.post(self._where, data, "stream_messages") or self._stream_id
        self._index += 1
        self._text = text
        self._finished = state == _FINISHED
