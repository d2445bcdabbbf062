"""Answers that WeCom comes for: it asks for a stream again and again until it is told that this was all.

The stream of a message is named after it, so that a message delivered twice, or found again after a restart, has one.
Nothing here survives a restart: a stream that WeCom asks for and we do not know is one whose answer is still to come.
https://developer.work.weixin.qq.com/document/path/101031
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from bot.clock import Clock

WAITING: Final = "正在看图…"
LATE: Final = "还没有答完，答好后会另发一条消息；如果一直没有收到，请再发一次。"
ELSEWHERE: Final = "答案在另一条消息里。"
JOINED: Final = "和下一条消息一起回答。"
UNANSWERED: Final = "这条消息没有单独的回答。"
#: WeCom asks for six minutes after the message; the last words must be there before.
LIFE: Final = 345.0
_KEPT: Final = 2 * LIFE
_STREAMS: Final = 10_000
#: Writing an answer to WeCom takes no longer, or the connection is broken.
_WRITING: Final = 5.0


def stream_id(message_id: str) -> str:
    """The name of a message's stream."""
    return "kantu-" + hashlib.sha256(message_id.encode()).hexdigest()[:40]


class Stream:
    """One answer as WeCom shows it. begun: when its message was sent, by the monotonic clock.

    finished: the text is the last one, set under `key`. over: WeCom has fetched it, or was given up.
    """

    def __init__(self, id: str, begun: float) -> None:
        self.id = id
        self.begun = begun
        self.text = WAITING
        self.finished = False
        self.over = False
        self._key = ""
        self._writing = 0
        self._changed = asyncio.Event()

    def show(self, text: str) -> None:
        """More of the answer."""
        if not self.finished:
            self.text = text

    def end(self, text: str, key: str = "") -> None:
        """These are the last words; the first ones said so stay."""
        if not self.finished:
            self.text, self._key, self.finished = text, key, True

    def fetch(self, now: float) -> bool:
        """WeCom asks; whether the text is the last. `settle` tells what became of that."""
        if now - self.begun >= LIFE:
            self.end(LATE)
        self._writing += self.finished
        return self.finished

    def settle(self, *, written: bool) -> None:
        """The last words went out, or could not be written: WeCom will ask again."""
        self._writing -= 1
        self.over = self.over or written
        self._wake()

    async def give(self, text: str, key: str, seconds: float) -> bool:
        """End with this text and wait for WeCom to fetch it; False when that did not happen and will not."""
        self.end(text, key)
        if self._key != key:
            return False
        if not await self._until(lambda: self.over, seconds):
            await self._until(lambda: self.over or not self._writing, _WRITING)
        if not self.over:
            # Should WeCom come back after all, the reader is told where to look.
            self.text, self._key, self.over = ELSEWHERE, "", True
            return False
        return True

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        try:
            async with asyncio.timeout(max(seconds, 0)):
                while not condition():
                    await self._changed.wait()
        except TimeoutError:
            pass
        return condition()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Streams:
    """The streams of the last minutes, oldest first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._streams: OrderedDict[str, Stream] = OrderedDict()

    def enter(self, id: str, age: float = 0.0) -> Stream:
        """The stream, made at the first call; age: seconds since its message was sent."""
        self._forget()
        found = self._streams.get(id)
        if found is None:
            found = self._streams[id] = Stream(id, self._clock.monotonic() - max(age, 0.0))
        return found

    def find(self, id: str) -> Stream | None:
        """The stream, if it is known."""
        return self._streams.get(id)

    def _forget(self) -> None:
        oldest = self._clock.monotonic() - _KEPT
        while self._streams:
            first = next(iter(self._streams.values()))
            if first.begun > oldest and len(self._streams) < _STREAMS:
                return
            del self._streams[first.id]
