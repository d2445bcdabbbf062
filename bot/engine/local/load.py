"""From the configuration to a running engine. Nothing heavy is imported before the first request, or `start`.

Loading happens on a thread of its own; what is asked meanwhile waits for it.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bot.engine.base import Chunk, Engine, GenerateRequest
from bot.engine.local import checkpoint
from bot.engine.local.household import Household
from bot.engine.local.settings import Settings
from bot.engine.visible import Visible
from bot.errors import ConfigError, EngineUnavailable, KantuError, RequestRejected

if TYPE_CHECKING:
    import torch

    from bot.engine.local.engine import LocalEngine
    from bot.engine.local.linear import Linear
    from bot.engine.local.model import Model
    from bot.engine.local.placing import Placing
    from bot.engine.local.sampler import Defaults

log = logging.getLogger(__name__)

_BLOCK = 16
#: seconds after which a load that failed is tried again when somebody asks
_AGAIN = 60.0
#: one model is loaded at a time: each sizes its cache by what the others left
_LOADING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Loaded:
    """An engine and where it came to lie. seconds: what loading took."""

    engine: LocalEngine
    folder: Path
    placing: Placing
    weights_bytes: int
    cache_bytes: int
    cache_tokens: int
    seconds: float

    def describe(self) -> str:
        """One line."""
        return (
            f"{self.folder}, {self.placing.weights} on {self.placing.device}: {self.weights_bytes / 1e9:.1f} GB of "
            f"weights, a cache of {self.cache_tokens} tokens in {self.cache_bytes / 1e9:.1f} GB, "
            f"loaded in {self.seconds:.1f} s"
        )


class WaitingEngine(Engine):
    """A LocalEngine that is loaded when first needed. EngineUnavailable, with the reason, where that fails."""

    def __init__(self, settings: Settings, data_dir: Path, household: Household | None = None) -> None:
        self.name = settings.model.rstrip("/").rpartition("/")[2]
        self.context_tokens = settings.context_tokens
        self._settings = settings
        self._data_dir = data_dir
        self._given_up = threading.Event()
        self._coming: asyncio.Future[Loaded] | None = None
        self._loaded: Loaded | None = None
        self._failed_at = 0.0
        self._household = household or Household([settings])
        self._household.join(settings, self._leave, self.start)
        # The chat template opens the thinking, so that answers start inside it; learned from the first answer.
        self._starts_thinking = False

    async def start(self) -> None:
        """Load; a failure is logged here and told to whoever asks."""
        try:
            if await self._household.starts(self._settings):
                async with self._household.use(self._settings):
                    await self._ready()
        except EngineUnavailable as error:
            log.error("%s", error)

    async def load(self) -> None:
        """Load now, even where that takes the other model's place. Raises EngineUnavailable."""
        async with self._household.use(self._settings):
            await self._ready()

    async def stream(self, request: GenerateRequest) -> AsyncIterator[Chunk]:
        """The answer in pieces, without the model's thinking and marks."""
        async with (
            self._household.use(self._settings),
            aclosing(cast("AsyncGenerator[Chunk]", self._stream(request))) as chunks,
        ):
            async for chunk in chunks:
                yield chunk

    async def _stream(self, request: GenerateRequest) -> AsyncIterator[Chunk]:
        loaded = await self._ready()
        view = Visible(hold=self._starts_thinking)
        said = shown = False
        async with aclosing(cast("AsyncGenerator[Chunk]", loaded.engine.stream(request))) as chunks:
            async for chunk in chunks:
                text = view.feed(chunk.text)
                if chunk.finish_reason:
                    text += view.end(inside=self._starts_thinking and chunk.finish_reason == "length")
                self._learn(view)
                said, shown = said or bool(chunk.text.strip()), shown or bool(text.strip())
                if chunk.finish_reason == "length" and said and not shown:
                    raise RequestRejected(f"{self.name} used all its tokens before it said anything")
                if text or chunk.finish_reason:
                    yield Chunk(text, chunk.finish_reason, chunk.usage)

    def count_text(self, text: str) -> int:
        return self._loaded.engine.count_text(text) if self._loaded else super().count_text(text)

    def count_picture(self, width: int, height: int) -> int:
        return (
            self._loaded.engine.count_picture(width, height) if self._loaded else super().count_picture(width, height)
        )

    def forget(self, salt: str) -> None:
        if self._loaded:
            self._loaded.engine.forget(salt)

    def memory(self) -> Mapping[str, int]:
        if self._loaded is None:
            return {}
        return {"weights": self._loaded.weights_bytes, "cache": self._loaded.cache_bytes}

    def state(self) -> str:
        if self._loaded is not None:
            return "已加载"
        if self._household.away(self._settings):
            return f"未加载（显存放不下两个模型，需要时加载，空闲 {self._household.idle / 60:g} 分钟后换回轻模型）"
        return "未加载" if self._coming is None else "加载失败" if self._coming.done() else "正在加载"

    async def check(self) -> str:
        """What is loaded, or would be: the files are looked at, the device too. Raises ConfigError."""
        if self._loaded is not None:
            return self._loaded.describe()
        return await asyncio.to_thread(_preview, self._settings, self._data_dir)

    async def close(self) -> None:
        """A load under way is given up."""
        self._given_up.set()
        await self._household.close()
        if self._coming is not None:
            await asyncio.wait([self._coming], timeout=10)
        if self._loaded is not None:
            await self._loaded.engine.close()

    async def _leave(self) -> None:
        """Give the device back; the next request loads again."""
        if self._coming is not None and not self._coming.done():
            await asyncio.wait([self._coming])
        loaded, self._loaded, self._coming = self._loaded, None, None
        if loaded is None:
            return
        await loaded.engine.close()
        del loaded
        await asyncio.to_thread(_collect)
        log.info("%s is unloaded", self.name)

    async def _ready(self) -> Loaded:
        """The loaded engine. Raises EngineUnavailable."""
        if self._loaded is not None:
            return self._loaded
        failed = self._coming is not None and self._coming.done()
        if self._coming is None or (failed and time.monotonic() - self._failed_at > _AGAIN):
            self._coming = self._begin()
        try:
            # One asker's cancellation must not take the model from the others.
            loaded = await asyncio.shield(self._coming)
        except KantuError as error:
            raise EngineUnavailable(f"{self.name} cannot be loaded: {error}") from error
        self._loaded = loaded
        self.context_tokens = loaded.engine.context_tokens
        return loaded

    def _begin(self) -> asyncio.Future[Loaded]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Loaded] = loop.create_future()

        def tell(result: Loaded | Exception) -> None:
            if isinstance(result, Loaded):
                future.set_result(result)
                return
            self._failed_at = time.monotonic()
            future.set_exception(result)
            # Nobody may be waiting.
            future.exception()

        def run() -> None:
            try:
                with _LOADING:
                    settings = self._household.settle(self._settings)
                    result: Loaded | Exception = load(settings, self._data_dir, self._given_up)
            except KantuError as error:
                result = error
            except ImportError as error:
                result = ConfigError(f"{error}: pip install 'kantu[local]'")
            except Exception as error:
                log.exception("%s cannot be loaded", self._settings.model)
                result = ConfigError(f"{type(error).__name__}: {error}")
            if not loop.is_closed():
                loop.call_soon_threadsafe(tell, result)

        threading.Thread(target=run, name="engine-load", daemon=True).start()
        return future

    def _learn(self, view: Visible) -> None:
        """Notice that answers start inside thinking. Raises EngineUnavailable where some was shown already."""
        self._starts_thinking = self._starts_thinking or view.unopened
        if view.too_late:
            raise EngineUnavailable("the answer began with thinking that nothing had marked", retry_after=0.0)


def _collect() -> None:
    """Give what an engine held back to the device."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def load(settings: Settings, data_dir: Path, given_up: threading.Event | None = None) -> Loaded:
    """Load and start nothing yet. Raises ConfigError."""
    from bot.engine.local.attention import KeyValues
    from bot.engine.local.engine import LocalEngine
    from bot.engine.local.placing import cache_blocks

    started = time.monotonic()
    folder = checkpoint.find(settings.model)
    placing = _place(settings, folder)
    model, weights_bytes = _model(folder, placing, data_dir, settings, given_up or threading.Event())
    model.context_tokens = min(model.context_tokens, settings.context_tokens)
    each = KeyValues.block_bytes(model.shape, _BLOCK, model.dtype)
    context = -(-model.context_tokens // _BLOCK)
    fewest = min(context, 64)
    blocks = cache_blocks(placing, each, settings.sequences * context + 1, settings.memory, weights_bytes, fewest)
    engine = LocalEngine(
        model,
        blocks=blocks,
        block_size=_BLOCK,
        most_running=settings.sequences,
        chunk=settings.chunk_tokens,
        defaults=defaults({**model.generation, **checkpoint.generation_settings(folder)}),
    )
    seconds = time.monotonic() - started
    loaded = Loaded(engine, folder, placing, weights_bytes, blocks * each, blocks * _BLOCK, seconds)
    log.info("%s", loaded.describe())
    return loaded


def build(folder: Path, make: Any, shards: Any, device: torch.device, dtype: torch.dtype, name: str = "") -> Model:
    """The model of a folder by the family that its config.json names. Raises ConfigError."""
    family = importlib.import_module(f"bot.engine.local.models.{checkpoint.family_of(folder)}")
    return family.load(folder, device, dtype, make, name=name, shards=shards)


def quantize(model: str, weights: str, data_dir: Path) -> Path:
    """Make the quantised copy of a checkpoint; its folder. Raises ConfigError, OSError."""
    import torch

    from bot.engine.local.quantize import write_copy

    folder = checkpoint.find(model)
    return write_copy(
        folder, weights, data_dir, lambda make, shards: build(folder, make, shards, torch.device("cpu"), torch.float32)
    )


def defaults(settings: Mapping[str, Any]) -> Defaults:
    """What generation_config.json says, for requests that leave it open."""
    from bot.engine.local.sampler import Defaults

    penalty = float(settings.get("repetition_penalty") or 1.0)
    if not settings.get("do_sample"):
        return Defaults(repetition_penalty=penalty)
    return Defaults(
        temperature=float(settings.get("temperature") or 1.0),
        top_p=float(settings.get("top_p") or 1.0),
        top_k=int(settings.get("top_k") or 0),
        repetition_penalty=penalty,
    )


def _place(settings: Settings, folder: Path) -> Placing:
    from bot.engine.local.placing import choose, choose_device

    checkpoint.family_of(folder)
    facts = checkpoint.look(folder)
    each = checkpoint.cache_token_bytes(folder)
    return choose(
        facts, settings.weights, choose_device(settings.device), settings.memory, settings.context_tokens * each
    )


def _model(
    folder: Path, placing: Placing, data_dir: Path, settings: Settings, given_up: threading.Event
) -> tuple[Model, int]:
    """The model, and the bytes of its weights."""
    from bot.engine.local.kernels.packing import KINDS
    from bot.engine.local.linear import make_dense, make_packed
    from bot.engine.local.quantize import CopyReader, find_copy
    from bot.engine.local.shards import Shards

    def watch(name: str) -> None:
        if given_up.is_set():
            raise EngineUnavailable("loading was given up")
        del name

    name = settings.model.rstrip("/").rpartition("/")[2]
    weights = placing.weights
    copy = find_copy(folder, weights, data_dir) if weights in KINDS else None
    if copy is not None:
        reader = CopyReader(folder, copy, placing.device, placing.dtype, watch)
        make, shards = reader.make, reader.shards
    else:
        make, shards = make_dense, Shards(folder, placing.device, placing.dtype)
        if weights in KINDS:
            log.warning("%s is being quantised; once for all: kantu models quantize %s --weights %s", name,
                        settings.model, weights)  # fmt: skip
            make = make_packed(weights)
    plain = make

    def watched(part: str, weight: torch.Tensor, bias: torch.Tensor | None) -> Linear:
        watch(part)
        return plain(part, weight, bias)

    model = build(folder, watched, shards, placing.device, placing.dtype, name)
    return model, checkpoint.look(folder).weight_bytes(weights, placing.dtype.itemsize)


def _preview(settings: Settings, data_dir: Path) -> str:
    try:
        from bot.engine.local.kernels.packing import KINDS
        from bot.engine.local.placing import free_bytes
        from bot.engine.local.quantize import find_copy
    except ImportError as error:
        raise ConfigError(f"{error}: pip install 'kantu[local]'") from error

    folder = checkpoint.find(settings.model)
    placing = _place(settings, folder)
    size = checkpoint.look(folder).weight_bytes(placing.weights, placing.dtype.itemsize)
    free = free_bytes(placing.device)
    if size > free:
        raise ConfigError(
            f"{folder}: {size / 1e9:.1f} GB of weights ({placing.weights}) do not fit into {free / 1e9:.1f} GB on "
            f"{placing.device}; use smaller weights (int8, int4)"
        )
    note = ""
    if placing.weights in KINDS and find_copy(folder, placing.weights, data_dir) is None:
        note = f"; faster to load after: kantu models quantize {settings.model} --weights {placing.weights}"
    return (
        f"{folder}, {placing.weights} on {placing.device}: {size / 1e9:.1f} GB of weights, {free / 1e9:.1f} GB free; "
        f"not loaded yet{note}"
    )
