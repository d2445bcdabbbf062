"""The local engine as the rest of Kantu sees it: requests in, text out."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import torch

from bot.engine.base import Chunk, Engine, FinishReason, GenerateRequest, Usage
from bot.engine.local.cache import BlockCache
from bot.engine.local.detokenizer import Detokenizer
from bot.engine.local.loop import Loop
from bot.engine.local.model import Model, Prompt
from bot.engine.local.runner import Runner
from bot.engine.local.sampler import Defaults, Sampler
from bot.engine.local.sequence import Sequence
from bot.errors import ContextTooLong, EngineError, EngineUnavailable, RequestRejected


@dataclass
class Stream:
    """What the engine's thread tells an event loop about one request: a text, an end, in order."""

    loop: asyncio.AbstractEventLoop
    detokenizer: Detokenizer
    told: int
    pieces: asyncio.Queue[Sequence | str] = field(default_factory=asyncio.Queue["Sequence | str"])

    def emit(self, sequence: Sequence) -> None:
        """On the engine's thread."""
        text = "" if sequence.finish in ("cancelled", "failed") else self._text(sequence)
        items: list[Sequence | str] = [text] if text else []
        if sequence.finish:
            items.append(sequence)
        if items:
            self.loop.call_soon_threadsafe(self._put, items)

    def _text(self, sequence: Sequence) -> str:
        # The last token of a "stop" is the model's own end mark, which is no text.
        last = len(sequence.tokens) - (1 if sequence.finish == "stop" and not sequence.text_stop else 0)
        text = "".join(self.detokenizer.add(token) for token in sequence.tokens[self.told : last])
        self.told = max(self.told, last)
        sequence.text_stop = self.detokenizer.stopped
        return text + self.detokenizer.finish() if sequence.finish else text

    def _put(self, items: list[Sequence | str]) -> None:
        for item in items:
            self.pieces.put_nowait(item)


class LocalEngine(Engine):
    """One model on one device. blocks: of the cache, `block_size` tokens each."""

    def __init__(
        self,
        model: Model,
        *,
        blocks: int,
        block_size: int = 16,
        most_running: int = 64,
        chunk: int = 512,
        defaults: Defaults | None = None,
    ) -> None:
        self.name = model.name
        self.max_parallel = 0
        self._model = model
        cache = BlockCache(blocks, block_size)
        runner = Runner(model, blocks, block_size)
        self._loop = Loop(runner, cache, Sampler(defaults or Defaults()), most_running=most_running, chunk=chunk)
        self._measure()
        self._numbers = itertools.count()
        self._closed = False

    async def start(self) -> None:
        """Begin to work. Raises EngineUnavailable after `close`."""
        if self._closed:
            raise EngineUnavailable("the engine is closed")
        if not self._loop.is_alive():
            self._loop.start()

    async def stream(self, request: GenerateRequest) -> AsyncIterator[Chunk]:
        await self.start()
        prompt = await asyncio.to_thread(self._model.encode, request)
        sequence, stream = self._sequence(request, prompt)
        self._loop.submit(sequence)
        try:
            while True:
                item = await stream.pieces.get()
                if isinstance(item, str):
                    yield Chunk(item)
                    continue
                yield Chunk("", _reason(item), Usage(len(prompt.ids), item.cached, item.new_tokens))
                return
        finally:
            self._loop.cancel(sequence)
            self._measure()

    def count_text(self, text: str) -> int:
        return self._model.count_text(text)

    def count_picture(self, width: int, height: int) -> int:
        return self._model.count_picture(width, height)

    def forget(self, salt: str) -> None:
        """Drop what is cached of one owner."""
        self._loop.drop(salt)

    async def close(self) -> None:
        self._closed = True
        if self._loop.is_alive():
            self._loop.stop()
            await asyncio.to_thread(self._loop.join)

    def _measure(self) -> None:
        """The cache may have shrunk."""
        self.context_tokens = min(self._model.context_tokens, self._loop.capacity)

    def _sequence(self, request: GenerateRequest, prompt: Prompt) -> tuple[Sequence, Stream]:
        room = self.context_tokens - len(prompt.ids)
        if room < 1:
            raise ContextTooLong(f"{len(prompt.ids)} tokens of prompt, {self.context_tokens} of context")
        params = request.sampling
        stream = Stream(asyncio.get_running_loop(), Detokenizer(self._model.decode_text, params.stop), len(prompt.ids))
        sequence = Sequence(
            number=next(self._numbers),
            prompt=prompt,
            sampling=params,
            salt=request.cache_salt,
            priority=request.priority,
            most=min(room, params.max_tokens or room),
            emit=stream.emit,
            seed=secrets.randbits(63) if params.seed is None else params.seed,
        )
        return sequence, stream


def _reason(sequence: Sequence) -> FinishReason:
    """Raises where there is no answer."""
    if sequence.finish == "cancelled":
        raise EngineUnavailable("the engine is stopping")
    if sequence.finish == "failed":
        if isinstance(sequence.error, EngineError):
            raise sequence.error
        if isinstance(sequence.error, torch.OutOfMemoryError):
            raise EngineUnavailable("the device has too little memory for this request")
        raise RequestRejected(f"the engine failed on this request: {type(sequence.error).__name__}")
    return "length" if sequence.finish == "length" else "stop"
