"""A small OpenAI-compatible server that fails on demand: what the tests of model engines talk to.

In a test:

    async with FakeModelServer(Knobs(delay=0.1, api_key="k")) as server:
        ...  # server.url is the base_url; server.knobs may be changed at any time
        assert server.requests[0].pictures == [sha256]

By hand, every knob is an option: `python tests/fake_model_server.py --port 8001 --delay 2 --think`.

Serves POST <url>/chat/completions (plain and streamed) and GET <url>/models on the loopback interface.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import json
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, fields
from typing import Any

from aiohttp import web


@dataclass
class Knobs:
    """How the server behaves.

    reply: the answer. pieces: chunks of a streamed answer. delay: seconds before the first byte; chunk_delay:
    between chunks. think: the answer starts with `<think>…</think>`; unopened: without the opening tag; box: it
    stands in GLM's box marks; reasoning: thinking comes in `reasoning_content`.

    fail_first: so many requests fail with fail_status (-1: all do) and `fail_body` (JSON), and a Retry-After of
    `retry_after` unless empty. reset_first: so many connections are reset. garbage_first: so many get 200 with
    HTML. truncate_first: so many streams end after half of the answer, `truncate_cleanly` with a proper end of
    the body. hang: never answer.

    api_key: demanded unless empty. refuse: names of fields that are answered with 400. finish: finish_reason.
    usage: report token counts. models: names listed; unknown ones get 404. no_list: no list of models.
    """

    reply: str = "你好，我是看图。"
    pieces: int = 4
    delay: float = 0.0
    chunk_delay: float = 0.0
    think: bool = False
    unopened: bool = False
    box: bool = False
    reasoning: bool = False
    fail_first: int = 0
    fail_status: int = 500
    fail_body: str = '{"error": {"message": "made to fail"}}'
    retry_after: str = ""
    reset_first: int = 0
    garbage_first: int = 0
    truncate_first: int = 0
    truncate_cleanly: bool = False
    hang: bool = False
    api_key: str = ""
    refuse: str = ""
    finish: str = "stop"
    usage: bool = True
    models: str = "fake-vlm"
    no_list: bool = False

    def text(self) -> str:
        """The whole text of an answer, thinking and marks included."""
        thought = "先想想<|begin_of_box|>。</think>\n" if self.think or self.unopened else ""
        opened = "<think>" if self.think else ""
        reply = f"<|begin_of_box|>{self.reply}<|end_of_box|>" if self.box else self.reply
        return opened + thought + reply


@dataclass
class Recorded:
    """A request as it came. texts: one per message; pictures: SHA-256 of their bytes, in order.

    outcome: "pending", "answered", "failed", or "aborted" when the client went away.
    """

    body: dict[str, Any]
    headers: dict[str, str]
    outcome: str = "pending"
    roles: list[str] = field(default_factory=list[str])
    texts: list[str] = field(default_factory=list[str])
    pictures: list[str] = field(default_factory=list[str])
    urls: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        for message in self.body["messages"]:
            content = message["content"]
            parts: list[dict[str, Any]] = [{"type": "text", "text": content}] if isinstance(content, str) else content
            self.roles.append(message["role"])
            self.texts.append("".join(part.get("text", "") for part in parts))
            self.urls += [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        self.pictures = [hashlib.sha256(picture_bytes(url)).hexdigest() for url in self.urls]


def picture_bytes(url: str) -> bytes:
    """The bytes of a data URL. Raises ValueError for any other."""
    head, comma, data = url.partition(";base64,")
    if not head.startswith("data:image/") or not comma:
        raise ValueError(f"not a data URL: {url[:40]}")
    return base64.b64decode(data, validate=True)


class FakeModelServer:
    """The server, running inside `async with`. port 0 takes a free one."""

    def __init__(self, knobs: Knobs | None = None, *, port: int = 0) -> None:
        self.knobs = knobs or Knobs()
        self.requests: list[Recorded] = []
        self.changed = asyncio.Condition()
        self._port = port
        app = web.Application(client_max_size=256 << 20)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        # handler_cancellation: a client that goes away is noticed at once.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)

    async def __aenter__(self) -> FakeModelServer:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=4096).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """The base_url to configure."""
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def seen(self, count: int, outcome: str) -> None:
        """Wait until so many requests have this outcome."""
        async with self.changed:
            await self.changed.wait_for(lambda: [r.outcome for r in self.requests].count(outcome) >= count)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        recorded = Recorded(await request.json(), dict(request.headers))
        self.requests.append(recorded)
        await self._mark(recorded, "pending")
        outcome = "aborted"
        try:
            response = await self._refusal(request, recorded.body) or await self._answer(request, recorded.body)
            outcome = "answered" if response.status == 200 and not response.headers.get("X-Broken") else "failed"
            return response
        finally:
            await self._mark(recorded, outcome)

    async def _mark(self, recorded: Recorded, outcome: str) -> None:
        recorded.outcome = outcome
        async with self.changed:
            self.changed.notify_all()

    async def _refusal(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse | None:
        knobs, number = self.knobs, len(self.requests)
        if knobs.api_key and request.headers.get("Authorization") != f"Bearer {knobs.api_key}":
            return _error(401, f"Incorrect API key provided: {request.headers.get('Authorization')}")
        if number <= knobs.fail_first or knobs.fail_first < 0:
            headers = {"Retry-After": knobs.retry_after} if knobs.retry_after else None
            body_text, status = knobs.fail_body, knobs.fail_status
            return web.Response(text=body_text, status=status, headers=headers, content_type="application/json")
        if number <= knobs.reset_first:
            _reset(request)
            return _broken(web.Response())
        if number <= knobs.garbage_first:
            return _broken(web.Response(text="<html>502 upstream</html>", content_type="text/html"))
        refused = [name for name in knobs.refuse.split(",") if name in body]
        if refused:
            return _error(400, f"Extra inputs are not permitted: {refused[0]}")
        if body.get("model") not in knobs.models.split(","):
            return _error(404, f"The model `{body.get('model')}` does not exist.")
        return None

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if self.knobs.hang:
            await asyncio.Event().wait()
        await asyncio.sleep(self.knobs.delay)
        return await (self._streamed(request, body) if body.get("stream") else self._plain())

    async def _plain(self) -> web.StreamResponse:
        knobs = self.knobs
        message = {"role": "assistant", "content": knobs.text()}
        if knobs.reasoning:
            message["reasoning_content"] = "先想想。"
        choice = {"index": 0, "message": message, "finish_reason": knobs.finish}
        usage = {"usage": _usage(knobs)} if knobs.usage else {}
        return web.json_response({"id": "fake", "object": "chat.completion", "choices": [choice], **usage})

    async def _streamed(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        cut = len(self.requests) <= self.knobs.truncate_first
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", **({"X-Broken": "1"} if cut else {})}
        )
        await response.prepare(request)
        async for piece in self._pieces(body, cut):
            await response.write(f"data: {json.dumps(piece, ensure_ascii=False)}\n\n".encode())
            await asyncio.sleep(self.knobs.chunk_delay)
        if cut and not self.knobs.truncate_cleanly:
            _reset(request)
        elif not cut:
            await response.write(b"data: [DONE]\n\n")
        return response

    async def _pieces(self, body: dict[str, Any], cut: bool) -> AsyncIterator[dict[str, Any]]:
        knobs = self.knobs
        if knobs.reasoning:
            yield _piece({"role": "assistant", "reasoning_content": "先想想。"})
        text = knobs.text()
        size = max(1, -(-len(text) // knobs.pieces))
        parts = [text[start : start + size] for start in range(0, len(text), size)]
        for part in parts[: len(parts) // 2] if cut else parts:
            yield _piece({"content": part})
        if cut:
            return
        yield _piece({}, knobs.finish)
        if knobs.usage and body.get("stream_options") == {"include_usage": True}:
            yield {"object": "chat.completion.chunk", "choices": [], "usage": _usage(knobs)}

    async def _models(self, request: web.Request) -> web.Response:
        if self.knobs.no_list:
            return _error(404, "no such path")
        data = [{"id": name, "object": "model"} for name in self.knobs.models.split(",")]
        return web.json_response({"object": "list", "data": data})


def _piece(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def _usage(knobs: Knobs) -> dict[str, Any]:
    count = len(knobs.text())
    return {
        "prompt_tokens": 20,
        "completion_tokens": count,
        "total_tokens": 20 + count,
        "prompt_tokens_details": {"cached_tokens": 16},
    }


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "type": "fake", "code": status}}, status=status)


def _broken(response: web.Response) -> web.Response:
    response.headers["X-Broken"] = "1"
    return response


def _reset(request: web.Request) -> None:
    """Close the connection with a TCP reset."""
    if request.transport is not None:
        with contextlib.suppress(OSError):
            sock = request.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()


async def _serve(port: int, knobs: Knobs) -> None:
    async with FakeModelServer(knobs, port=port) as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Run until interrupted; prints the base_url."""
    parser = argparse.ArgumentParser(description="a fake OpenAI-compatible server that fails on demand")
    parser.add_argument("--port", type=int, default=8001)
    for knob in fields(Knobs):
        option = "--" + knob.name.replace("_", "-")
        default: Any = knob.default
        if isinstance(default, bool):
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=default)
        else:
            parser.add_argument(option, type=default.__class__, default=default)
    options = vars(parser.parse_args())
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(options.pop("port"), Knobs(**options)))


if __name__ == "__main__":
    main()
