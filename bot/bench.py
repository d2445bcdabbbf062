"""`kantu bench light|heavy`: how fast a configured model answers, as a table or as JSON; any engine."""

from __future__ import annotations

import hashlib
import json
import resource
import secrets
import statistics
import sys
import time
from asyncio import gather
from dataclasses import asdict, dataclass, field
from io import BytesIO

from bot.app import build_engines
from bot.clock import Clock
from bot.config import Config
from bot.engine.base import Completion, Engine, GenerateRequest, SamplingParams
from bot.engine.chain import Size
from bot.message import Image, Message, assistant, user

_ROUNDS = 3
_AT_ONCE = 8
_QUESTION = "图中写了什么？请逐行说明。"


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


async def bench(config: Config, size: Size, *, as_json: bool, tokens: int) -> int:
    """Measure and print. Raises EngineError where there is no answer."""
    engines = build_engines(config, Clock())
    engine = engines.engine(size)
    try:
        found = await measure(engine, tokens)
    finally:
        await engines.close()
    print(json.dumps(asdict(found), ensure_ascii=False, indent=1) if as_json else _table(found))
    return 0


async def measure(engine: Engine, tokens: int) -> Measured:
    """Start the engine and ask; every question has a picture of its own. Raises EngineError."""
    found = Measured(engine.name)
    started = time.perf_counter()
    await engine.start()
    found.start_seconds = time.perf_counter() - started
    first, _ = await _ask(engine, tokens, 0)
    found.first_answer_first_token = _first(first)
    rounds = [await _ask(engine, tokens, number) for number in range(1, _ROUNDS + 1)]
    found.first_token = statistics.median(_first(done) for done, _ in rounds)
    found.tokens_per_second = statistics.median(_speed(done) for done, _ in rounds)
    found.prompt_tokens = rounds[-1][0].usage.prompt_tokens
    follows = [await _follow(engine, tokens, done, request) for done, request in rounds]
    found.follow_up_first_token = statistics.median(_first(done) for done in follows)
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


async def _ask(engine: Engine, tokens: int, number: int) -> tuple[Completion, GenerateRequest]:
    data = _picture(number)
    sha256 = hashlib.sha256(data).hexdigest()
    question = user(Image(sha256=sha256, mime_type="image/png", width=896, height=672, index=1), _QUESTION)
    sampling = SamplingParams(temperature=0, max_tokens=tokens)
    request = GenerateRequest((question,), {sha256: data}, sampling, cache_salt=secrets.token_hex(8))
    return await _stream(engine, request), request


async def _follow(engine: Engine, tokens: int, done: Completion, before: GenerateRequest) -> Completion:
    messages: tuple[Message, ...] = (*before.messages, assistant(done.text or "好"), user("第一行是什么？"))
    sampling = SamplingParams(temperature=0, max_tokens=tokens)
    return await _stream(engine, GenerateRequest(messages, before.pictures, sampling, cache_salt=before.cache_salt))


async def _stream(engine: Engine, request: GenerateRequest) -> Completion:
    """By the stream, whatever `generate` would do: only a stream shows when the first token came."""
    return await Engine.generate(engine, request)


def _first(done: Completion) -> float:
    return done.timings.first_token or done.timings.total


def _speed(done: Completion) -> float:
    seconds = done.timings.total - done.timings.first_token
    return (done.usage.completion_tokens - 1) / seconds if seconds > 0 and done.timings.first_token else 0.0


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


def _table(found: Measured) -> str:
    rows = [
        ("engine", found.engine),
        ("start-up", f"{found.start_seconds:.2f} s"),
        ("first question: first token", f"{found.first_answer_first_token:.3f} s"),
        (f"question with a picture ({found.prompt_tokens} tokens): first token", f"{found.first_token:.3f} s"),
        ("then", f"{found.tokens_per_second:.1f} tokens/s"),
        (
            f"follow-up ({found.follow_up_cached_tokens} tokens cached): first token",
            f"{found.follow_up_first_token:.3f} s",
        ),
        (f"{found.at_once} questions at once", f"{found.at_once_tokens_per_second:.1f} tokens/s"),
        ("memory of this process, at most", f"{found.process_bytes / 1e9:.2f} GB"),
        *((f"of the engine: {name}", f"{size / 1e9:.2f} GB") for name, size in found.memory.items()),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
