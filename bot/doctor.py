"""`kantu doctor`: looks at everything the service needs; each problem comes with its mend."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from bot import __version__
from bot.app import build_engines, load_adapters, load_handlers
from bot.clock import Clock
from bot.config import Config
from bot.errors import KantuError
from bot.fetch import Fetcher
from bot.store import Store
from bot.web.auth import check_exposure

Check = Callable[[], Awaitable[str]]


async def examine(config: Config) -> int:
    """Print a line per check; returns 0 when all is well, else 1."""
    print(f"kantu {__version__}")
    broken = 0
    async for name, check in _checks(config):
        try:
            print(f"  ✓ {name}: {await check()}")
        except (KantuError, OSError) as error:
            broken += 1
            print(f"  ✗ {name}: {error}")
    print("一切正常" if not broken else f"{broken} 处需要处理")
    return 1 if broken else 0


async def _checks(config: Config) -> AsyncIterator[tuple[str, Check]]:
    yield "data folder", lambda: asyncio.to_thread(_data_folder, config)
    yield "database", lambda: _database(config)
    yield "address", lambda: _address(config)
    yield "handlers", lambda: _handlers(config)
    clock = Clock()
    engines = build_engines(config, clock)
    for engine in engines.engines:
        yield f"model {engine.name}", engine.check
    await engines.close()
    fetcher = Fetcher(config.media)
    yield "adapters", lambda: _adapters(config, fetcher)
    try:
        adapters = load_adapters(config, fetcher, Clock())
    except KantuError:
        adapters = {}
    for name, adapter in adapters.items():
        yield f"adapter {name}", adapter.check
        for warning in adapter.warnings():
            print(f"  ! adapter {name}: {warning}")
        await adapter.close()
    await fetcher.close()


def _data_folder(config: Config) -> str:
    folder = Path(config.data_dir)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryFile(dir=folder):
        pass
    free = shutil.disk_usage(folder).free
    if free < config.store.min_free_bytes:
        raise KantuError(
            f"{folder.resolve()} has {free >> 20} MB free, under store.min_free_bytes: nothing would be accepted"
        )
    return f"{folder.resolve()}, {free >> 20} MB free"


async def _database(config: Config) -> str:
    store = await Store.open(config.store, Path(config.data_dir), Clock(), owner=False)
    try:
        counts = await store.counts()
    finally:
        await store.close()
    needs = counts["dead_events"] + counts["doubtful_deliveries"]
    return f"{counts['pending']} unfinished" + (f", {needs} need a look: kantu dead" if needs else "")


async def _address(config: Config) -> str:
    check_exposure(config.server)
    place = f"{config.server.host}:{config.server.port}"
    family = socket.AF_INET6 if ":" in config.server.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.server.host, config.server.port))
        except OSError as error:
            return f"{place} cannot be bound now ({os.strerror(error.errno or 0)}): the service may be running"
    return f"{place} is free"


async def _handlers(config: Config) -> str:
    load_handlers(config.handlers)
    return ", ".join(config.handlers)


async def _adapters(config: Config, fetcher: Fetcher) -> str:
    names = list(load_adapters(config, fetcher, Clock()))
    return ", ".join(names) or "none: only the page and the API are served"
