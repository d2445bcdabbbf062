"""What the webhook endpoint offers adapters beyond events: late answers, WebSockets, cursors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from fakes import FakeAdapter, message_event
from service import serving

from bot.adapter import Ack, Inbox, Received, Request, Socket
from bot.clock import Clock
from bot.config import MediaConfig
from bot.errors import NetworkError, Rejected, StoreFull
from bot.media import MediaStore
from bot.store import Store
from bot.web.server import make_app
from bot.web.webhooks import Webhooks

Wait = Callable[[Callable[[], bool]], Awaitable[None]]


class Holding(FakeAdapter):
    """Answers a webhook with the reply, when it is there."""

    def __init__(self) -> None:
        super().__init__("fake")
        self.reply: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.outcomes: list[bool] = []
        self.at_acknowledge: list[str] = []

    def receive(self, request: Request) -> Received:
        return Received((message_event(1),))

    async def acknowledge(self, received: Received) -> Ack:
        self.at_acknowledge.append(received.events[0].id)
        return Ack(body=(await self.reply).encode())

    def acknowledged(self, received: Received, ack: Ack, *, written: bool) -> None:
        self.outcomes.append(written)


class Talking(FakeAdapter):
    """Accepts one event per frame and answers each."""

    def __init__(self) -> None:
        super().__init__("fake")
        self.socket: Socket | None = None

    def receive(self, request: Request) -> Received:
        if request.header("Authorization") != "Bearer t":
            raise Rejected("bad_signature", 403)
        return Received(socket=True)

    async def converse(self, request: Request, socket: Socket, inbox: Inbox) -> None:
        self.socket = socket
        number = 0
        async for text in socket:
            number += 1
            await inbox.accept([message_event(number, text)], cursors={"fake": str(number)})
            await socket.send(f"got {text}")


@asynccontextmanager
async def endpoint(adapter: FakeAdapter, store: Store, folder: Path) -> AsyncIterator[str]:
    media = MediaStore(folder / "media", MediaConfig())
    webhooks = Webhooks({"fake": adapter}, store, media, Clock(), 5.0)
    async with serving(make_app(webhooks.routes(), [], 1 << 20)) as url:
        yield f"{url}/webhook/fake"
    await media.close()


async def test_an_answer_may_wait_for_the_reply_but_the_event_is_on_disk(
    store: Store, tmp_path: Path, wait_until: Wait
) -> None:
    adapter = Holding()
    async with endpoint(adapter, store, tmp_path) as url, aiohttp.ClientSession() as session:
        waiting = asyncio.create_task(session.post(url))
        await wait_until(lambda: adapter.at_acknowledge == ["e1"])
        assert await store.event_status("fake", "default", "e1") is not None
        adapter.reply.set_result("答")
        async with await waiting as answer:
            assert await answer.text() == "答"
        await wait_until(lambda: adapter.outcomes == [True])


async def test_an_adapter_learns_that_the_platform_hung_up(store: Store, tmp_path: Path, wait_until: Wait) -> None:
    adapter = Holding()
    async with endpoint(adapter, store, tmp_path) as url:
        async with aiohttp.ClientSession() as session:
            waiting = asyncio.create_task(session.post(url))
            await wait_until(lambda: adapter.at_acknowledge == ["e1"])
            waiting.cancel()
        await asyncio.sleep(0.05)
        adapter.reply.set_result("答")
        await wait_until(lambda: adapter.outcomes == [False])


async def test_a_websocket_speaks_with_the_adapter(store: Store, tmp_path: Path) -> None:
    adapter = Talking()
    async with endpoint(adapter, store, tmp_path) as url, aiohttp.ClientSession() as session:
        async with session.ws_connect(url, headers={"Authorization": "Bearer t"}) as socket:
            await socket.send_str("你好")
            assert await socket.receive_str() == "got 你好"
            assert await store.cursor("fake") == "1"
        assert adapter.socket is not None
        with pytest.raises(NetworkError):
            await adapter.socket.send("too late")
        async with session.get(url) as refused:
            assert refused.status == 403
        async with session.get(url, headers={"Authorization": "Bearer t"}) as no_socket:
            assert no_socket.status == 400


async def test_cursors_are_kept_with_the_events_or_not_at_all(store: Store) -> None:
    assert await store.cursor("kf/1") == ""
    await store.accept([message_event(1)], cursors={"kf/1": "A", "kf/2": "B"})
    await store.accept([], cursors={"kf/1": "C"})
    assert (await store.cursor("kf/1"), await store.cursor("kf/2")) == ("C", "B")


async def test_a_refused_batch_moves_no_cursor(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store._inbox, "_backlog_full", lambda connection: True)
    with pytest.raises(StoreFull):
        await store.accept([message_event(1)], cursors={"kf/1": "A"})
    assert await store.cursor("kf/1") == ""
