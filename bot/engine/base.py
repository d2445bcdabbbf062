"""What an engine is: something that generates text from messages and pictures.

Imports the standard library, `bot.message` and `bot.budget` only; the local engine runs on hosts without a web stack.
Async only. One engine may serve many requests at once.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from bot.budget import estimate_picture, estimate_text
from bot.message import Message

FinishReason = Literal["stop", "length", "declined"]
Priority = Literal["quick", "report"]


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to pick tokens. None leaves the choice to the model's own default.

    temperature 0 is greedy. max_tokens counts new tokens. stop: texts that end the answer, not included in it.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """One turn to answer.

    messages: system, history and the question last. pictures: encoded bytes (PNG, JPEG or WebP) by the SHA-256
    that the messages' Image parts name; a picture that is missing here is shown to the model as text only.
    max_sides: the longest side (pixels) a picture is to be scaled to, by SHA-256. cache_salt: keeps prefix caches of
    different owners apart. priority: `quick` goes before `report`.
    """

    messages: tuple[Message, ...]
    pictures: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    sampling: SamplingParams = SamplingParams()
    max_sides: Mapping[str, int] = field(default_factory=dict[str, int])
    cache_salt: str = ""
    priority: Priority = "quick"


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one request."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds: to the first text, and in all."""

    first_token: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the answer: `text` is new text; the last chunk carries finish_reason and usage."""

    text: str = ""
    finish_reason: FinishReason | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer. finish_reason `declined`: the engine says it cannot answer this (never an invention)."""

    text: str
    finish_reason: FinishReason = "stop"
    usage: Usage = Usage()
    timings: Timings = Timings()


class Engine(ABC):
    """Generates. Errors: EngineUnavailable (try later), ContextTooLong, RequestRejected (do not)."""

    #: shown to users ("glm-4.6v-flash")
    name: str
    #: tokens of prompt and answer together
    context_tokens: int = 8192
    #: requests it works on at once; 0: as many as come
    max_parallel: int = 0
    #: pictures leave this machine
    remote: bool = False
    #: it writes texts of its own, and so can sum up a conversation
    generates: bool = True

    @abstractmethod
    def stream(self, request: GenerateRequest) -> AsyncIterator[Chunk]:
        """The answer in pieces; closing the iterator cancels the request."""

    async def generate(self, request: GenerateRequest) -> Completion:
        """The whole answer at once."""
        return await collect(self.stream(request))

    def count_text(self, text: str) -> int:
        """Tokens of a text, never too few; an engine with a tokenizer says it exactly."""
        return estimate_text(text)

    def count_picture(self, width: int, height: int) -> int:
        """Tokens of a picture of so many pixels, never too few."""
        return estimate_picture(width, height)

    def forget(self, salt: str) -> None:
        """Drop what is kept of prompts with this cache salt."""
        return

    def memory(self) -> Mapping[str, int]:
        """Bytes that the engine holds in this process, by what they are for; empty where nothing is known."""
        return {}

    def state(self) -> str:
        """For users, in Chinese, where it is not simply there: whether it is loaded; else empty."""
        return ""

    async def start(self) -> None:
        """Load what the first request would otherwise wait for; called once the service listens."""
        return

    async def check(self) -> str:
        """One line for `kantu doctor`. Raises EngineError when the engine cannot answer."""
        return "ok"

    async def close(self) -> None:
        """Give back what the engine holds."""
        return


async def collect(chunks: AsyncIterator[Chunk]) -> Completion:
    """Put a stream together, measuring its timings."""
    started = time.perf_counter()
    first = 0.0
    parts: list[str] = []
    reason: FinishReason = "stop"
    usage = Usage()
    async for chunk in chunks:
        if chunk.text and not first:
            first = time.perf_counter() - started
        parts.append(chunk.text)
        reason = chunk.finish_reason or reason
        usage = chunk.usage or usage
    return Completion("".join(parts), reason, usage, Timings(first, time.perf_counter() - started))
