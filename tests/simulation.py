"""A real service in front of a fake platform, with a streaming stub model behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from fake_model_server import FakeModelServer, Knobs

from adapters.simulated.platform import SimulatedPlatform
from bot.app import Service
from bot.config import parse

S = TypeVar("S", bound=SimulatedPlatform)


@asynccontextmanager
async def bot_on(
    simulated: S,
    folder: Path,
    *,
    answer: str = "这是一张图片。",
    delay: float = 0.0,
    chunk_delay: float = 0.0,
    pieces: int = 4,
    section: dict[str, Any] | None = None,
    **sections: Any,
) -> AsyncIterator[S]:
    """Start both and tell the platform where the webhook is.

    answer: what the model says, after `delay` seconds, in `pieces` that are `chunk_delay` seconds apart. section: keys
    that replace the platform's own. sections: more of the configuration.
    """
    knobs = Knobs(reply=answer, delay=delay, chunk_delay=chunk_delay, pieces=pieces)
    await simulated.start()
    try:
        async with FakeModelServer(knobs) as server:
            model = {"engine": "openai", "base_url": server.url, "model": "fake-vlm", "retries": 0}
            config = {
                "data_dir": str(folder / "data"),
                "server": {"port": 0, "stop_timeout": 0.5},
                "store": {"min_free_bytes": 0},
                "worker": {"collect_pictures": 0.2, "collect_questions": 0.2, "retry_base": 0.05},
                "media": {"allow_hosts": [simulated.base.removeprefix("http://")]},
                "models": {"light": model, "fallback": False},
                "adapters": {simulated.platform: {**simulated.section(), **(section or {})}},
                **sections,
            }
            service = await Service.open(parse(config, environ={}))
            await service.start()
            simulated.webhook = f"http://127.0.0.1:{service.port}/webhook/{simulated.platform}"
            try:
                yield simulated
            finally:
                await service.stop()
    finally:
        await simulated.stop()
