"""How fast an engine answers, measured by asking it. Needs no web stack: it also runs on a bare GPU host.

Every question has a picture of its own, drawn on the spot, and a salt of its own: nothing is cached before it is meant
to be. Answers are greedy, `tokens` long at most.
"""

from __future__ import annotations

import hashlib
import resource
import secrets
import statistics
import sys
import time
from asyncio import gather
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Protocol, runtime_checkable

from bot.engine.base import Completion, Engine, GenerateRequest, SamplingParams
from bot.errors import EngineError
from bot.message import Image, Message, assistant, user

_ROUNDS = 3
_AT_ONCE = 8
_PICTURES = 3
_TURNS = 4
_QUESTION = "图中写了什么？请逐行说明。"
_FOLLOW_UP = "第一行是什么？"
_SEVERAL = "这几张图分别写了什么？"


@dataclass(slots=True)
class Measured:
    """Seconds, tokens per second and bytes. first_*: of the first question after the start; others: medians."""

    engine: str
    start_seconds: float = 0.0
    first_answer_first_token: float = 0.0
    first_token: float = 0.0
    tokens_per_second: float = 0.0
    prompt_tokens: int = 0
    follow_up_first_token: float = 0.0
    follow_up_cached_tokens: int = 0
    at_once: int = _AT_ONCE
    at_once_tokens_per_second: float = 0.0
    process_bytes: int = 0
    memory: dict[str, int] = field(default_factory=dict[str, int])


@runtime_checkable
class Loads(Protocol):
    """An engine that can be told to load its model now."""

    async def load(self) -> None:
        """Raises EngineUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Feat:
    """Several pictures in one question, or several turns: seconds to the first token, and what the prompt was.

    count: of pictures or turns. error: why there was no answer, else empty.
    """

    count: int
    first_token: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    error: str = ""


async def measure(engine: Engine, tokens: int) -> Measured:
    """Start the engine and ask. Raises EngineError."""
    found = Measured(engine.name)
    found.start_seconds = await start(engine)
    first, _ = await _ask(engine, tokens, 0)
    found.first_answer_first_token = first_token(first)
    rounds = [await _ask(engine, tokens, number) for number in range(1, _ROUNDS + 1)]
    found.first_token = statistics.median(first_token(done) for done, _ in rounds)
    found.tokens_per_second = statistics.median(speed(engine, done) for done, _ in rounds)
    found.prompt_tokens = rounds[-1][0].usage.prompt_tokens
    follows = [(await _follow(engine, tokens, done, request))[0] for done, request in rounds]
    found.follow_up_first_token = statistics.median(first_token(done) for done in follows)
    found.follow_up_cached_tokens = follows[-1].usage.cached_tokens
    started = time.perf_counter()
    many = await gather(*(_ask(engine, tokens, _ROUNDS + 1 + number) for number in range(_AT_ONCE)))
    seconds = time.perf_counter() - started
    found.at_once_tokens_per_second = sum(done.usage.completion_tokens for done, _ in many) / seconds
    # Kilobytes on Linux, bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    found.process_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    found.memory = dict(engine.memory())
    return found


async def start(engine: Engine) -> float:
    """Start an engine and load its model, even where the service would wait for a question; seconds.

    Raises EngineError.
    """
    started = time.perf_counter()
    await (engine.load() if isinstance(engine, Loads) else engine.start())
    return time.perf_counter() - started


async def several_pictures(engine: Engine, tokens: int) -> Feat:
    """One question about three pictures."""
    pictures = [_picture(-1 - number) for number in range(_PICTURES)]
    try:
        done = await _stream(engine, _request(pictures, _SEVERAL, tokens))
    except EngineError as error:
        return Feat(_PICTURES, error=str(error))
    return Feat(_PICTURES, first_token(done), done.usage.prompt_tokens, done.usage.cached_tokens)


async def several_turns(engine: Engine, tokens: int) -> Feat:
    """A conversation of four turns about one picture; the figures are the last turn's."""
    request = _request([_picture(-1 - _PICTURES)], _QUESTION, tokens)
    try:
        done = await _stream(engine, request)
        for _ in range(_TURNS - 1):
            done, request = await _follow(engine, tokens, done, request)
    except EngineError as error:
        return Feat(_TURNS, error=str(error))
    return Feat(_TURNS, first_token(done), done.usage.prompt_tokens, done.usage.cached_tokens)


def first_token(done: Completion) -> float:
    """Seconds to the first text; all of them where none was streamed."""
    return done.timings.first_token or done.timings.total


def speed(engine: Engine, done: Completion) -> float:
    """Tokens per second after the first one; 0 where that cannot be said, as of an engine that does not generate."""
    if not engine.generates:
        return 0.0
    seconds = done.timings.total - done.timings.first_token
    if seconds <= 0 or not done.timings.first_token or done.usage.completion_tokens < 2:
        return 0.0
    return (done.usage.completion_tokens - 1) / seconds


def show_bytes(size: float) -> str:
    """A size as people read it."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.2f} MB"


async def _ask(engine: Engine, tokens: int, number: int) -> tuple[Completion, GenerateRequest]:
    request = _request([_picture(number)], _QUESTION, tokens)
    return await _stream(engine, request), request


async def _follow(
    engine: Engine, tokens: int, done: Completion, before: GenerateRequest
) -> tuple[Completion, GenerateRequest]:
    messages: tuple[Message, ...] = (*before.messages, assistant(done.text or "好"), user(_FOLLOW_UP))
    sampling = SamplingParams(temperature=0, max_tokens=tokens)
    request = GenerateRequest(messages, before.pictures, sampling, cache_salt=before.cache_salt)
    return await _stream(engine, request), request


async def _stream(engine: Engine, request: GenerateRequest) -> Completion:
    """By the stream, whatever `generate` would do: only a stream shows when the first token came."""
    return await Engine.generate(engine, request)


def _request(pictures: Sequence[bytes], question: str, tokens: int) -> GenerateRequest:
    by_name = {hashlib.sha256(data).hexdigest(): data for data in pictures}
    images = [
        Image(sha256=sha256, mime_type="image/png", width=896, height=672, index=index)
        for index, sha256 in enumerate(by_name, 1)
    ]
    sampling = SamplingParams(temperature=0, max_tokens=tokens)
    return GenerateRequest((user(*images, question),), by_name, sampling, cache_salt=secrets.token_hex(8))


def _picture(number: int) -> bytes:
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    page = Pillow.new("RGB", (896, 672), "white")
    pen = ImageDraw.Draw(page)
    for line in range(8):
        code = hashlib.sha256(f"{number} {line}".encode()).hexdigest()[:16]
        pen.text((60, 50 + line * 70), f"{line + 1}. {code}", "black", ImageFont.load_default(40))
    buffer = BytesIO()
    page.save(buffer, "PNG")
    return buffer.getvalue()
