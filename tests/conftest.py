"""Fixtures shared by all tests: a PostgreSQL server of our own, and stores on both databases."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fakes import FakeClock

from benchmarks.private_postgres import private_postgres
from bot.config import Secret, StoreConfig
from bot.store import Store


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a fresh PostgreSQL server on a private socket; it is stopped at the end."""
    # Not below pytest's own temporary folder: other runs on this machine clear that of old ones.
    with (
        tempfile.TemporaryDirectory(prefix="kantu-postgres-") as folder,
        private_postgres(Path(folder), fsync=False) as url,
    ):
        yield url


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["sqlite", "postgres"])
def store_config(request: pytest.FixtureRequest) -> StoreConfig:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return StoreConfig(min_free_bytes=0)
    url: str = request.getfixturevalue("postgres")
    _empty(url)
    return StoreConfig(url=Secret(url), min_free_bytes=0)


def _empty(url: str) -> None:
    from sqlalchemy import create_engine

    from bot.store.schema import metadata

    engine = create_engine(url)
    metadata.drop_all(engine)
    engine.dispose()


@pytest.fixture
async def store(store_config: StoreConfig, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    opened = await Store.open(store_config, tmp_path, clock)
    yield opened
    await opened.close()


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], object]:
    """Let the loop turn until a condition holds; fails after 10 s."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            # What is waited for happens in tasks of the code under test, which tell nobody.
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    return wait
