"""Local models that live together, and how they share a device.

torch is imported when the first of them is needed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

from bot.engine.local import checkpoint
from bot.engine.local.residence import Leave, Residence
from bot.engine.local.settings import Settings
from bot.engine.local.sharing import Share, Wish, divide
from bot.errors import EngineUnavailable, KantuError

log = logging.getLogger(__name__)


class Household:
    """The models of one device: what each gets of its memory, and who is loaded where they do not fit together.

    memory: bytes for all of them; None: what is free. idle: seconds after which the light model replaces the heavy one.
    What each gets is settled when the first is needed.
    """

    def __init__(self, settings: Sequence[Settings], memory: int | None = None, idle: float = 300.0) -> None:
        self.idle = idle
        self._memory = memory
        self._settings = list(settings)
        self._shares: dict[str, Share] | None = None
        self._dividing = threading.Lock()
        self._residence = Residence(idle)

    def join(self, settings: Settings, leave: Leave, come_back: Callable[[], Awaitable[None]]) -> None:
        """An engine of one of the settings, given in their order."""
        self._residence.join(settings.role, leave, come_back)

    def away(self, settings: Settings) -> bool:
        """It takes turns, and is not at home."""
        return self._alone(settings.role) and self._residence.at_home != settings.role

    async def starts(self, settings: Settings) -> bool:
        """Load it before anybody asks. Raises EngineUnavailable where nothing can be said about the device."""
        await self._settle()
        return not self._alone(settings.role) or settings.role == self._settings[0].role

    @asynccontextmanager
    async def use(self, settings: Settings) -> AsyncGenerator[None]:
        """While a request is under way. Raises EngineUnavailable where nothing can be said about the device."""
        await self._settle()
        if not self._alone(settings.role):
            yield
            return
        async with self._residence.use(settings.role):
            yield

    def settle(self, settings: Settings) -> Settings:
        """With the weights and the memory that it gets. Raises ConfigError."""
        if len(self._settings) < 2:
            return settings
        with self._dividing:
            if self._shares is None:
                self._shares = dict(zip((one.role for one in self._settings), self._shared(), strict=True))
        share = self._shares[settings.role]
        return replace(settings, weights=cast("Any", share.kind), memory_gb=share.bytes / 1e9)

    async def close(self) -> None:
        """Move nobody any more."""
        await self._residence.close()

    async def _settle(self) -> None:
        if len(self._settings) < 2 or self._shares is not None:
            return
        try:
            await asyncio.to_thread(self.settle, self._settings[0])
        except KantuError as error:
            raise EngineUnavailable(f"{self._settings[0].model}: {error}") from error
        except ImportError as error:
            raise EngineUnavailable(f"{error}: pip install 'kantu[local]'") from error

    def _alone(self, role: str) -> bool:
        return self._shares is not None and self._shares[role].alone

    def _shared(self) -> list[Share]:
        from bot.engine.local.placing import choose_device, room_of

        device = choose_device(self._settings[0].device)
        room = room_of(device) if self._memory is None else min(self._memory, room_of(device))
        shares = divide([_wish(one) for one in self._settings], room)
        for one, share in zip(self._settings, shares, strict=True):
            taken = "alternately" if share.alone else "beside each other"
            log.info("%s: %s, %.1f GB, %s", one.model, share.kind, share.bytes / 1e9, taken)
        return shares


def _wish(settings: Settings) -> Wish:
    """What a model would like. Raises ConfigError."""
    from bot.engine.local.placing import choose_device, kinds_of

    folder = checkpoint.find(settings.model)
    checkpoint.family_of(folder)
    facts, device = checkpoint.look(folder), choose_device(settings.device)
    kinds = kinds_of(device) if settings.weights == "auto" else (settings.weights,)
    size = 2 if device.type == "cuda" or settings.weights == "bf16" else 4
    weights = tuple((kind, facts.weight_bytes(kind, size)) for kind in kinds)
    context = settings.context_tokens * checkpoint.cache_token_bytes(folder) * size // 2
    return Wish(settings.role, weights, context, settings.sequences, settings.memory)
