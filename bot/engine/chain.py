"""The engines in a row: when one is away the next answers, and the answer says so."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from typing import Literal, Protocol, cast

from bot.clock import Clock
from bot.config import BreakerConfig
from bot.engine.base import Chunk, Completion, Engine, GenerateRequest, Priority, collect
from bot.engine.breaker import Breaker
from bot.engine.slots import Queue, Slots
from bot.errors import ContextTooLong, EngineError, EngineUnavailable

logger = logging.getLogger(__name__)
Size = Literal["light", "heavy"]

_SIZES = {"light": "轻模型", "heavy": "重模型"}


class Draft(Protocol):
    """Where an unfinished answer is shown (see bot.drafts)."""

    @property
    def watched(self) -> bool:
        """Somebody looks: worth streaming for."""
        ...

    async def update(self, text: str) -> None:
        """Show the whole text so far; it need not continue what was shown before."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """engine: the name of the one that answered. note: a Chinese line for below the answer, or empty."""

    completion: Completion
    engine: str
    note: str = ""


class Masker(Protocol):
    """Blacks out private data in pictures; the built-in reader can."""

    async def mask(self, sha256: str, data: bytes) -> bytes:
        """The picture to send instead. Raises EngineError."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...


class EngineChain:
    """heavy → light → reader, from the one asked for; each behind its own breaker.

    heavy None: light does its work. reader None: no built-in engine to fall back on. The same engine may stand
    in two places. fallback False: only the one asked for answers. masker: what pictures go through before they leave
    this machine.
    """

    def __init__(
        self,
        light: Engine,
        heavy: Engine | None,
        reader: Engine | None,
        breaker: BreakerConfig,
        clock: Clock,
        *,
        fallback: bool = True,
        masker: Masker | None = None,
    ) -> None:
        self._sizes: dict[Size, Engine] = {"heavy": heavy or light, "light": light}
        self._reader = reader
        self._fallback = fallback
        self._masker = masker
        self.engines: tuple[Engine, ...] = _distinct(heavy, light, reader)
        self._breakers = {id(engine): Breaker(breaker, clock) for engine in self.engines}
        self._slots = {id(engine): Slots(engine.max_parallel, clock) for engine in self.engines}

    async def answer(self, model: Size, request: GenerateRequest, draft: Draft) -> Answer:
        """The first answer that an engine gives. A watched draft is shown the text as it grows.

        Raises EngineUnavailable (with the shortest retry_after) where a later try may be answered, otherwise
        what the engine asked for raised: ContextTooLong or RequestRejected.
        """
        errors: list[EngineError] = []
        tried: list[Engine] = []
        waiting = self._order(model)
        while waiting:
            engine = waiting.pop(0)
            tried.append(engine)
            try:
                completion = await self._ask(engine, request, draft, stand_in=len(tried) > 1)
            except EngineError as error:
                _log(engine, error)
                errors.append(error)
                if isinstance(error, ContextTooLong):
                    waiting = self._larger(engine, waiting, tried)
                continue
            if completion is not None:
                return Answer(completion, engine.name, self._note(model, engine, errors) if errors else "")
        raise _verdict(errors)

    def engine(self, model: Size) -> Engine:
        """The engine asked first for a size."""
        return self._sizes[model]

    def queue(self, model: Size, priority: Priority) -> Queue:
        """What a request that comes now has before it."""
        return self._slots[id(self._sizes[model])].queue(priority)

    def forget(self, salt: str) -> None:
        """Drop what any engine keeps of prompts with this cache salt."""
        for engine in self.engines:
            engine.forget(salt)

    async def start(self) -> None:
        """Load what the first request would otherwise wait for."""
        for engine in self.engines:
            await engine.start()

    async def close(self) -> None:
        """Close every engine once, the rest too when one fails."""
        async with AsyncExitStack() as stack:
            for engine in self.engines:
                stack.push_async_callback(engine.close)
            if self._masker is not None:
                stack.push_async_callback(self._masker.close)

    def _order(self, model: Size) -> list[Engine]:
        asked = self._sizes[model]
        if not self._fallback:
            return [asked]
        return list(_distinct(asked, self._sizes["light"], self._reader))

    def _larger(self, engine: Engine, waiting: list[Engine], tried: list[Engine]) -> list[Engine]:
        """Engines that may hold what did not fit; heavy is worth asking even where light was asked for."""
        if not self._fallback:
            return []
        candidates = _distinct(*waiting, self._sizes["heavy"])
        fitting = [other for other in candidates if other.context_tokens > engine.context_tokens]
        return [other for other in fitting if other not in tried]

    async def _ask(
        self, engine: Engine, request: GenerateRequest, draft: Draft, *, stand_in: bool
    ) -> Completion | None:
        """One engine's answer; None where the built-in engine stands in and has none to give."""
        with self._breakers[id(engine)].watch():
            if engine is self._reader and stand_in:
                return await _read(engine, request, draft)
            if engine.remote and self._masker is not None:
                request = await _masked(request, self._masker)
            async with self._slots[id(engine)].hold(request.priority):
                try:
                    return await _generate(engine, request, draft)
                except EngineUnavailable as error:
                    if error.retry_after != 0:
                        raise
                # "Again at once": it noticed on the way how this model answers.
                return await _generate(engine, request, draft)

    def _note(self, model: Size, engine: Engine, errors: list[EngineError]) -> str:
        if engine is self._reader:
            return "（模型暂时不可用，以上由内置识别引擎给出）"
        size = "light" if engine is self._sizes["light"] else "heavy"
        if isinstance(errors[-1], ContextTooLong):
            return f"（内容较长，本回答由{_SIZES[size]} {engine.name} 生成）"
        return f"（{_SIZES[model]}暂时不可用，本回答由{_SIZES[size]} {engine.name} 生成）"


async def _masked(request: GenerateRequest, masker: Masker) -> GenerateRequest:
    pictures = {sha256: await masker.mask(sha256, data) for sha256, data in request.pictures.items()}
    return replace(request, pictures=pictures)


async def _generate(engine: Engine, request: GenerateRequest, draft: Draft) -> Completion:
    if not draft.watched:
        return await engine.generate(request)
    async with aclosing(_shown(engine.stream(request), draft)) as chunks:
        return await collect(chunks)


async def _read(reader: Engine, request: GenerateRequest, draft: Draft) -> Completion | None:
    """What the built-in engine makes of it; "I cannot answer this" is no replacement for a model's answer."""
    completion = await reader.generate(request)
    if completion.finish_reason == "declined":
        return None
    await _show(draft, completion.text)
    return completion


async def _shown(stream: AsyncIterator[Chunk], draft: Draft) -> AsyncGenerator[Chunk]:
    """The same chunks, shown as they come; the stream is closed with this one."""
    text = ""
    async with aclosing(cast("AsyncGenerator[Chunk]", stream)) as chunks:
        async for chunk in chunks:
            if chunk.text:
                text += chunk.text
                await _show(draft, text)
            yield chunk


async def _show(draft: Draft, text: str) -> None:
    try:
        await draft.update(text)
    except Exception:
        logger.warning("a draft could not be shown", exc_info=True)


def _log(engine: Engine, error: EngineError) -> None:
    if isinstance(error, EngineUnavailable | ContextTooLong):
        logger.warning("engine %s gave no answer: %s", engine.name, error)
    else:
        logger.error("engine %s refused the request: %s", engine.name, error)


def _verdict(errors: list[EngineError]) -> EngineError:
    """A later try is worth it as soon as one engine was only away."""
    away = [error for error in errors if isinstance(error, EngineUnavailable)]
    if not away:
        return errors[0]
    waits = [error.retry_after for error in away if error.retry_after is not None]
    asked = any(error.asked for error in away)
    return EngineUnavailable("; ".join(map(str, errors)), retry_after=min(waits, default=None), asked=asked)


def _distinct(*engines: Engine | None) -> tuple[Engine, ...]:
    return tuple({id(engine): engine for engine in engines if engine is not None}.values())
