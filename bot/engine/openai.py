"""Any server that speaks OpenAI's chat completions: vLLM, SGLang, LMDeploy, llama.cpp, Zhipu's API."""

from __future__ import annotations

import asyncio
import difflib
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import msgspec

from bot.clock import Clock
from bot.config import OpenAIModel
from bot.engine.base import Chunk, Completion, Engine, FinishReason, GenerateRequest, Timings, Usage
from bot.engine.openai_prompt import render_messages, render_sampling
from bot.engine.openai_server import Server
from bot.engine.visible import Visible, visible
from bot.errors import EngineError, EngineUnavailable, RequestRejected

Sleep = Callable[[float], Awaitable[None]]

_BACKOFF = 0.5  # seconds before the first retry, doubled each time
_LONGEST_WAIT = 20.0  # seconds; where a server asks for more, the worker's own retries are the better place
_DECLINED = "（按照模型的内容安全规则，这个问题没有得到回答。）"
# Zhipu says "sensitive"; everything unknown is a normal end.
_FINISH: dict[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "content_filter": "declined",
    "sensitive": "declined",
}
_ABORTED = frozenset({"abort", "error", "network_error"})


class _Said(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Said | None = None
    delta: _Said | None = None
    finish_reason: str | None = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None


class _Body(msgspec.Struct):
    """An answer or a piece of one. Fields not named here, `reasoning_content` among them, are not read."""

    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


class OpenAIEngine(Engine):
    """One model of one server. Serves any number of requests at once.

    sleep: how retries wait. Raises ConfigError for a base_url or api_key that no request can be made with.
    """

    remote = True

    def __init__(self, name: str, config: OpenAIModel, clock: Clock, *, sleep: Sleep = asyncio.sleep) -> None:
        self.name = name
        self.max_parallel = config.max_parallel
        self.context_tokens = config.context_tokens
        self._config = config
        self._clock = clock
        self._sleep = sleep
        self._server = Server(name, config, clock)
        # The chat template opens the thinking, so that answers start inside it; learned from the first answer.
        self._starts_thinking = False

    async def stream(self, request: GenerateRequest) -> AsyncGenerator[Chunk]:
        """The answer in pieces. Retries until the first visible text; closing it closes the HTTP response."""
        body = await self._body(request, stream=True, stream_options={"include_usage": True})
        attempt, shown = 0, False
        while True:
            try:
                async with aclosing(self._stream_once(body)) as chunks:
                    async for chunk in chunks:
                        shown = shown or bool(chunk.text)
                        yield chunk
                return
            except EngineUnavailable as error:
                if shown:
                    raise
                await self._pause(attempt, error)
                attempt += 1

    async def generate(self, request: GenerateRequest) -> Completion:
        """The whole answer, by a call that does not stream: less work for both sides."""
        started = self._clock.monotonic()
        body = await self._body(request)
        attempt = 0
        while True:
            try:
                return self._completion(await self._server.ask(body), started)
            except EngineUnavailable as error:
                await self._pause(attempt, error)
                attempt += 1

    async def start(self) -> None:
        """Import the client now: the first question would wait 0.6 s longer for it."""
        await self._server.connect()

    async def check(self) -> str:
        """Ask for one token. Raises EngineError; for an unknown model it names the nearest that the server has."""
        started = self._clock.monotonic()
        hello = {"model": self._config.model, "messages": [{"role": "user", "content": "你好"}], "max_tokens": 1}
        try:
            self._decode(await self._server.ask(self._server.encode(hello)))
        except RequestRejected as error:
            raise RequestRejected(f"{error}{await self._known_models()}") from None
        seconds = self._clock.monotonic() - started
        return f"{self._config.model} at {self._server.place} answered in {seconds:.1f} s"

    async def close(self) -> None:
        """Close all connections; requests in flight end with EngineUnavailable."""
        await self._server.close()

    async def _body(self, request: GenerateRequest, **more: Any) -> bytes:
        fields: dict[str, Any] = {
            "model": self._config.model,
            "messages": await render_messages(request, self._config.max_picture_side),
            **render_sampling(request.sampling),
            **more,
        }
        if request.cache_salt:
            # vLLM's field. Salts may name a chat, which is nothing a server needs to know.
            fields["cache_salt"] = hashlib.sha256(request.cache_salt.encode()).hexdigest()
        return self._server.encode(fields)

    async def _pause(self, attempt: int, error: EngineUnavailable) -> None:
        """Wait before the next attempt, or raise `error` when there is none."""
        asked = error.retry_after or 0.0
        if attempt >= self._config.retries or asked > _LONGEST_WAIT:
            raise error
        await self._sleep(asked + self._clock.jitter(_BACKOFF * 2**attempt))

    def _completion(self, data: bytes, started: float) -> Completion:
        body = self._decode(data)
        if not body.choices:
            raise self._server.unavailable("no choice in the answer")
        choice = body.choices[0]
        reason = self._reason(choice.finish_reason or "stop")
        text = (choice.message and choice.message.content) or ""
        text = visible(text, inside=self._starts_thinking and reason == "length")
        seconds = self._clock.monotonic() - started
        text = text if text.strip() else self._no_text(reason)
        return Completion(text, reason, _usage(body.usage), Timings(seconds, seconds))

    async def _stream_once(self, body: bytes) -> AsyncGenerator[Chunk]:
        view = Visible(hold=self._starts_thinking)
        reason: FinishReason | None = None
        usage = Usage()
        shown = False
        async with aclosing(self._pieces(body)) as pieces:
            async for piece in pieces:
                usage = _usage(piece.usage) if piece.usage else usage
                for choice in (piece.choices or [])[:1]:
                    text = view.feed((choice.delta and choice.delta.content) or "")
                    reason = self._reason(choice.finish_reason) if choice.finish_reason else reason
                    self._learn(view)
                    if text:
                        shown = True
                        yield Chunk(text)
        if reason is None:
            raise self._server.unavailable("the stream ended before the answer did")
        text = view.end(inside=reason == "length")
        if not shown and not text.strip():
            text = self._no_text(reason)
        yield Chunk(text, reason, usage)

    async def _pieces(self, body: bytes) -> AsyncGenerator[_Body]:
        """The decoded pieces of one HTTP response, which is closed with this generator."""
        stream = await self._server.open(body)
        try:
            with self._server.failures():
                async for data in stream:
                    yield self._checked(msgspec.convert(data, _Body))
        finally:
            await stream.close()

    def _decode(self, data: bytes) -> _Body:
        with self._server.failures():
            return self._checked(msgspec.json.decode(data, type=_Body))

    def _checked(self, body: _Body) -> _Body:
        if body.error:
            raise self._server.refused(body.error)
        return body

    def _reason(self, reason: str) -> FinishReason:
        if reason in _ABORTED:
            raise self._server.unavailable(f"the answer was broken off ({reason})")
        return _FINISH.get(reason, "stop")

    def _learn(self, view: Visible) -> None:
        """Notice that answers start inside thinking. Raises EngineUnavailable where some was shown already."""
        self._starts_thinking = self._starts_thinking or view.unopened
        if view.too_late:
            # Once in a process: from now on text is held back until the thinking is over.
            raise self._server.unavailable("the answer began with thinking that nothing had marked", retry_after=0.0)

    def _no_text(self, reason: FinishReason) -> str:
        """What to say when nothing visible came. Raises EngineError."""
        if reason == "declined":
            return _DECLINED
        if reason == "length":
            raise RequestRejected(
                f"{self.name} used all its tokens before it said anything; "
                "turn its thinking off in extra_body or allow more max_tokens"
            )
        raise self._server.unavailable("an empty answer")

    async def _known_models(self) -> str:
        try:
            known = await self._server.models()
        except EngineError:
            return ""
        if not known or self._config.model in known:
            return ""
        near = difflib.get_close_matches(self._config.model, known, n=3, cutoff=0.3) or known[:3]
        return f" (the server has: {', '.join(near)})"


def _usage(usage: _Usage | None) -> Usage:
    if usage is None:
        return Usage()
    details = usage.prompt_tokens_details or _PromptDetails()
    return Usage(usage.prompt_tokens or 0, details.cached_tokens or 0, usage.completion_tokens or 0)
