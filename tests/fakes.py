"""Stand-ins for tests, here and in projects that extend Kantu.

FakeClock      a clock that stands still until it is moved
FakeEngine     answers by a function of the request; can fail, wait and count
FakeAdapter    a platform in memory: what was sent, with failures on demand
FakeSurface    what it shows of an answer while that is written
FakeHttp       what adapters use to reach their platform: canned answers, recorded requests
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, ClassVar

from bot.adapter import Adapter, Limits, Received, Request, Surface
from bot.clock import Clock
from bot.config import AdapterConfig
from bot.engine.base import Chunk, Engine, GenerateRequest, Usage
from bot.errors import FetchFailed
from bot.event import Conversation, Delivery, MessageEvent, Sender
from bot.http import NO_HEADERS, HttpAnswer
from bot.message import Image, Message, Part, user


class FakeClock(Clock):
    """Stands still; `move` advances it. Jitter is the middle value."""

    def __init__(self, now: float = 1_795_000_000.0) -> None:
        super().__init__(0)
        self._now = now

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    def jitter(self, seconds: float) -> float:
        return seconds

    def move(self, seconds: float) -> None:
        self._now += seconds


class FakeEngine(Engine):
    """Answers `answer(request)`, after `gate` where one is set; `errors` are raised first, one a request.

    forgotten: the cache salts whose prompts were to be dropped.
    """

    def __init__(
        self, name: str = "fake", answer: Callable[[GenerateRequest], str] = lambda request: "好的", **attributes: Any
    ) -> None:
        self.name = name
        self.answer = answer
        self.requests: list[GenerateRequest] = []
        self.errors: list[Exception] = []
        self.gate: asyncio.Event | None = None
        self.forgotten: list[str] = []
        for key, value in attributes.items():
            setattr(self, key, value)

    async def stream(self, request: GenerateRequest) -> AsyncIterator[Chunk]:
        self.requests.append(request)
        if self.gate is not None:
            await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        text = self.answer(request)
        for start in range(0, len(text), 2):
            yield Chunk(text[start : start + 2])
        yield Chunk("", "stop", Usage(len(request.messages), 0, len(text)))

    def forget(self, salt: str) -> None:
        self.forgotten.append(salt)


class FakeSurface(Surface):
    """One shown message: `texts` it had, `closed` with the finished one; `errors` are raised first, one a call."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.closed = ""
        self.abandoned = False
        self.errors: list[Exception] = []

    async def open(self, text: str) -> None:
        await self.update(text)

    async def update(self, text: str) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.texts.append(text)

    async def close(self, delivery: Delivery) -> str:
        if self.errors:
            raise self.errors.pop(0)
        self.closed = delivery.text
        return "shown"

    async def abandon(self) -> None:
        self.abandoned = True


class FakeAdapter(Adapter):
    """A platform in memory. `sent` holds what arrived; `errors` are raised first, one a send.

    surfaces: one per answer that was begun, where `limits.live` says so; typed: how often typing was shown; told: ids
    of events that were answered with a later one; left: of those that get no answer.
    """

    Config: ClassVar[type[AdapterConfig]] = AdapterConfig

    def __init__(self, name: str = "fake", limits: Limits | None = None) -> None:
        super().__init__(name, AdapterConfig(), FakeHttp(), FakeClock())
        self.limits = limits or Limits()
        self.sent: list[Delivery] = []
        self.errors: list[Exception] = []
        self.pictures: dict[str, bytes] = {}
        self.surfaces: list[FakeSurface] = []
        self.surface_errors: list[Exception] = []
        self.typed = 0
        self.told: list[str] = []
        self.left: list[str] = []

    def surface(self, event: MessageEvent) -> FakeSurface:
        self.surfaces.append(FakeSurface())
        self.surfaces[-1].errors = list(self.surface_errors)
        return self.surfaces[-1]

    async def typing(self, event: MessageEvent) -> None:
        self.typed += 1

    async def joined(self, event: MessageEvent) -> None:
        self.told.append(event.id)

    async def unanswered(self, event: MessageEvent) -> None:
        self.left.append(event.id)

    def receive(self, request: Request) -> Received:
        return Received()

    async def send(self, delivery: Delivery) -> str:
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append(delivery)
        return f"sent-{len(self.sent)}"

    async def download(self, image: Image) -> bytes:
        if image.source not in self.pictures:
            raise FetchFailed("gone", "图片已过期")
        return self.pictures[image.source]


class FakeHttp:
    """Answers calls with `status` and `body`, or what `answer(method, url, body)` gives; pictures from `pictures`.

    `posted` holds the calls: URL, body, headers; `media` answers are `pictures` too.
    """

    def __init__(self, status: int = 200, body: bytes = b"{}") -> None:
        self.status = status
        self.body = body
        self.retry_after: float | None = None
        self.answer: Callable[[str, str, bytes], HttpAnswer] | None = None
        self.posted: list[tuple[str, bytes, Mapping[str, str]]] = []
        self.pictures: dict[str, bytes] = {}

    async def picture(
        self, url: str, *, hosts: frozenset[str] | None = None, headers: Mapping[str, str] = NO_HEADERS
    ) -> bytes:
        if url not in self.pictures:
            raise FetchFailed("gone", "图片已过期")
        return self.pictures[url]

    async def request(
        self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] = NO_HEADERS
    ) -> HttpAnswer:
        self.posted.append((url, body, headers))
        if self.answer is not None:
            return self.answer(method, url, body)
        return HttpAnswer(self.status, self.body, self.retry_after)

    async def media(self, url: str, *, headers: Mapping[str, str] = NO_HEADERS) -> HttpAnswer:
        return HttpAnswer(200, await self.picture(url), headers={"content-type": "image/png"})


def message_event(
    number: int,
    *parts: Part | str,
    chat: str = "c1",
    sender: str = "u1",
    chat_type: Any = "private",
    platform: str = "fake",
    **fields: Any,
) -> MessageEvent:
    """An event with short defaults; without parts its text is `问题 <number>`."""
    message: Message = user(*(parts or (f"问题 {number}",)))
    conversation = Conversation(platform, "default", chat, chat_type)
    return MessageEvent(
        f"e{number}", conversation, Sender(sender, sender), message, 1_795_000_000, message_id=f"m{number}", **fields
    )
