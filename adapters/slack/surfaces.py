"""An answer that can be seen growing: a stream in a thread, elsewhere a message that is edited."""

from __future__ import annotations

from adapters.slack.api import Api, Refused
from adapters.slack.markup import to_mrkdwn, without_calls
from bot.adapter import Surface
from bot.calls import InOrder
from bot.errors import NetworkError
from bot.event import Delivery

#: The stream is over already: Slack ends one that is older than some minutes, and users can.
_OVER = ("message_not_in_streaming_state", "stopped_by_user")
#: Bytes of UTF-8, after escaping, that an edit may have. Slack's pages say characters, and new messages take more.
_LONGEST_EDIT = 4000


class GrowingMessage(Surface):
    """A message that is edited until it is finished. where: the channel, and the thread if there is one."""

    def __init__(self, api: Api, where: dict[str, str]) -> None:
        self._api = api
        self._where = where
        self._ts = ""
        self._calls = InOrder()

    async def open(self, text: str) -> None:
        await self._calls.do(self._show(text))

    async def update(self, text: str) -> None:
        """What no edit can hold any more is shown at the end."""
        if _fits(text):
            await self._calls.do(self._show(text))

    async def close(self, delivery: Delivery) -> str:
        await self._calls.settle()
        await self._show(delivery.text)
        return self._ts

    async def abandon(self) -> None:
        await self._calls.settle()
        if self._ts:
            await self._api.call("chat.delete", channel=self._where["channel"], ts=self._ts)

    async def _show(self, text: str) -> None:
        if self._ts:
            await rewrite(self._api, self._where["channel"], self._ts, text)
        else:
            self._ts = await post(self._api, self._where, text)


class Stream(Surface):
    """A streamed message: text is added at its end, so one that does not go on from the last waits for the end.

    It opens empty (what it is opened with may be a notice; the thread's status says as much) and becomes an edited
    message where Slack has no streams for this app. reader: whose question it is, as Slack wants to know.
    """

    def __init__(self, api: Api, where: dict[str, str], reader: dict[str, str]) -> None:
        self._api = api
        self._where = where
        self._reader = reader
        self._ts = ""
        self._sent = ""
        self._doubtful = False
        self._message: GrowingMessage | None = None
        self._calls = InOrder()

    async def open(self, text: str) -> None:
        await self._calls.do(self._start(text))

    async def update(self, text: str) -> None:
        await (self._message.update(text) if self._message else self._calls.do(self._append(text)))

    async def close(self, delivery: Delivery) -> str:
        await self._calls.settle()
        if self._message or not self._ts:
            # Where starting it got no answer, nobody can tell whether it is there.
            self._message = self._message or GrowingMessage(self._api, self._where)
            return await self._message.close(delivery)
        await self._finish(delivery.text)
        return self._ts

    async def abandon(self) -> None:
        await self._calls.settle()
        if self._message:
            await self._message.abandon()
        elif self._ts:
            await self._stop("")
            await self._api.call("chat.delete", channel=self._where["channel"], ts=self._ts)

    async def _start(self, text: str) -> None:
        try:
            started = await self._api.call("chat.startStream", **self._where, **self._reader)
        except Refused:
            self._message = GrowingMessage(self._api, self._where)
            await self._message.open(text)
        else:
            self._ts = str(started.get("ts") or "")

    async def _append(self, text: str) -> None:
        safe = without_calls(text)
        cut = _seam(safe, len(self._sent))
        if self._doubtful or not safe.startswith(self._sent) or cut == len(self._sent):
            return
        named = {"channel": self._where["channel"], "ts": self._ts}
        try:
            await self._api.call("chat.appendStream", **named, markdown_text=safe[len(self._sent) : cut])
        except NetworkError as error:
            # Added or not: to add it again might show it twice, so the end puts it right.
            self._doubtful = error.sent_maybe
            raise
        self._sent = safe[:cut]

    async def _finish(self, text: str) -> None:
        safe = without_calls(text)
        goes_on = not self._doubtful and safe.startswith(self._sent) and safe != self._sent
        ended = await self._stop(safe[len(self._sent) :] if goes_on else "")
        if not (ended and goes_on):
            await rewrite(self._api, self._where["channel"], self._ts, text)

    async def _stop(self, rest: str) -> bool:
        """Whether the rest was taken; False where the stream was over before."""
        more = {"markdown_text": rest} if rest else {}
        try:
            await self._api.call("chat.stopStream", channel=self._where["channel"], ts=self._ts, **more)
        except Refused as error:
            if error.code not in _OVER:
                raise
            return False
        self._sent += rest
        return True


async def post(api: Api, where: dict[str, str], text: str) -> str:
    """A new message; returns its ts."""
    quiet = {"unfurl_links": False, "unfurl_media": False}
    sent = await api.call("chat.postMessage", **where, text=to_mrkdwn(text), **quiet)
    return str(sent.get("ts") or "")


async def rewrite(api: Api, channel: str, ts: str, text: str) -> None:
    """Another text for a message; the blocks that Slack made of the first one go.

    Raises Refused where no edit can hold the text: the message is gone then, and the text is to be sent as a new one.
    """
    if not _fits(text):
        await api.call("chat.delete", channel=channel, ts=ts)
        raise Refused("chat.update", "msg_too_long")
    await api.call("chat.update", channel=channel, ts=ts, text=to_mrkdwn(text), blocks=[])


def _fits(text: str) -> bool:
    return len(to_mrkdwn(text).encode()) <= _LONGEST_EDIT


def _seam(text: str, start: int) -> int:
    """Where to cut what is there so far: inside of a word, since white space at a seam may get lost.

    So the last character is always held back, until the end.
    """
    at = len(text) - 1
    while at > start and (text[at].isspace() or text[at - 1].isspace()):
        at -= 1
    return max(at, start)
