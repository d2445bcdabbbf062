"""What Kantu talks to under test: a fake model that echoes the question's marker, a fake platform that keeps replies.

    async with Model(delay=0.5) as model, Platform() as platform: ...   # model.url, platform.url

`tests/fake_model_server.py` fails by count and keeps whole requests; here failures come at random and thousands of
calls are only counted. By hand: `python benchmarks/fakes.py --delay 5` prints both addresses.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import random
import re
import socket
import struct
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Self

from aiohttp import web
from harness_profile import KEY
from signed import signature

MARKER = re.compile(r"EVT[0-9a-z]+")
_MARKER_BYTES = re.compile(rb"EVT[0-9a-z]+")


class Site:
    """An aiohttp application on a loopback port that can be closed and opened again."""

    def __init__(self, routes: list[web.RouteDef]) -> None:
        app = web.Application(client_max_size=64 << 20)
        app.add_routes(routes)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        self._site: web.TCPSite | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def listen(self) -> None:
        """Open the port: any free one the first time, the same one later."""
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=4096)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    async def refuse(self) -> None:
        """Close the port; connections that stand are the subclass's business."""
        if self._site is not None:
            await self._site.stop()
            self._site = None


class Model(Site):
    """OpenAI's chat completions: the answer repeats the newest marker of the request.

    delay: seconds a call takes, ± jitter. fault_rate: the share of calls that fail, a third each by 500, by 429 and
    by a reset of the connection; drawn from `seed`.
    """

    def __init__(self, delay: float = 0.0, jitter: float = 0.0, fault_rate: float = 0.0, seed: int = 0) -> None:
        super().__init__(
            [
                web.post("/v1/chat/completions", self._chat),
                web.get("/v1/models", self._models),
                web.get("/counts", self._counts),
            ]
        )
        self.delay = delay
        self.jitter = jitter
        self.fault_rate = fault_rate
        self.down = False
        self.calls: Counter[str] = Counter()
        self.in_flight = 0
        self.peak = 0
        self._random = random.Random(seed)

    @property
    def url(self) -> str:
        """The base_url."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def die(self, seconds: float) -> None:
        """New connections are refused and standing ones reset for so long."""
        self.down = True
        await self.refuse()
        await asyncio.sleep(seconds)
        self.down = False
        await self.listen()

    async def _chat(self, request: web.Request) -> web.Response:
        found = _MARKER_BYTES.findall(await request.read())
        marker = found[-1].decode() if found else ""
        self.calls[marker] += 1
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            return await self._answer(request, marker)
        finally:
            self.in_flight -= 1

    async def _answer(self, request: web.Request, marker: str) -> web.Response:
        if self.down:
            return _reset(request)
        if self._random.random() < self.fault_rate:
            return self._fail(request)
        if self.delay:
            await asyncio.sleep(self.delay + self._random.uniform(-self.jitter, self.jitter))
        if self.down:
            return _reset(request)
        said = {"role": "assistant", "content": f"{marker} 这是一张收据，合计 128 元。"}
        choice = {"index": 0, "message": said, "finish_reason": "stop"}
        usage = {"prompt_tokens": 20, "completion_tokens": 12, "total_tokens": 32}
        return web.json_response({"id": "fake", "object": "chat.completion", "choices": [choice], "usage": usage})

    def _fail(self, request: web.Request) -> web.Response:
        status = self._random.choice((0, 429, 500))
        if not status:
            return _reset(request)
        headers = {"Retry-After": "1"} if status == 429 else None
        return web.json_response({"error": {"message": "made to fail"}}, status=status, headers=headers)

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "stub-light", "object": "model"}]})

    async def _counts(self, _request: web.Request) -> web.Response:
        return web.json_response({"calls": self.calls.total(), "peak": self.peak})


@dataclass(frozen=True, slots=True)
class Arrival:
    """A reply as it came. key: webhook-id; marker: in its text; at: time.perf_counter()."""

    key: str
    reply_to: str
    marker: str
    genuine: bool
    at: float


class Platform(Site):
    """The receiver of replies. It keeps a reply when it comes and says so up to `delay` seconds later.

    keep False: for load, replies are only counted.
    """

    def __init__(self, delay: float = 0.0, seed: int = 0, *, keep: bool = True) -> None:
        super().__init__([web.post("/replies", self._reply)])
        self.arrivals: list[Arrival] = []
        self._delay = delay
        self._keep = keep
        self._random = random.Random(seed)

    @property
    def url(self) -> str:
        """Its address; replies go to /replies."""
        return f"http://127.0.0.1:{self.port}"

    async def _reply(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self._keep:
            self.arrivals.append(_arrival(request, body))
        if self._delay:
            await asyncio.sleep(self._random.uniform(0, self._delay))
        return web.json_response({"ok": True})


def _arrival(request: web.Request, body: bytes) -> Arrival:
    headers, data = request.headers, json.loads(body)
    key = headers.get("webhook-id", "")
    expected = signature(KEY, key, headers.get("webhook-timestamp", ""), body)
    genuine = hmac.compare_digest(expected, headers.get("webhook-signature", ""))
    marker = MARKER.search(data["text"])
    return Arrival(key, data["reply_to"] or "", marker[0] if marker else "", genuine, time.perf_counter())


def _reset(request: web.Request) -> web.Response:
    """Close the connection with a TCP reset; what is returned reaches nobody."""
    if request.transport is not None:
        with suppress(OSError):
            raw = request.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


@dataclass(frozen=True, slots=True)
class Addresses:
    """Of fakes in a process of their own."""

    model: str
    platform: str

    async def peak(self) -> int:
        """The most model calls that were in flight together."""
        counts = self.model.removesuffix("/v1") + "/counts"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return json.loads(await asyncio.to_thread(lambda: opener.open(counts, timeout=10).read()))["peak"]


@asynccontextmanager
async def separate(delay: float = 0.0) -> AsyncIterator[Addresses]:
    """Fakes in a process of their own, so that their work is not the measuring client's; its replies are not kept."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--delay", str(delay), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        line = await asyncio.wait_for(child.stdout.readline(), 30.0)
        yield Addresses(**json.loads(line))
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def _serve(delay: float) -> None:
    async with Model(delay) as model, Platform(keep=False) as platform:
        print(json.dumps({"model": model.url, "platform": platform.url}), flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Run until interrupted."""
    parser = argparse.ArgumentParser(description="a fake model and a fake platform")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds a model call takes")
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args().delay))


if __name__ == "__main__":
    main()
