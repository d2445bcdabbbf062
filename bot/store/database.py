"""Opening the database: one process a SQLite file, durable commits, and room on the disk."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert, select
from sqlalchemy import text as sql
from sqlalchemy.exc import SQLAlchemyError

from bot.config import StoreConfig
from bot.errors import ConfigError
from bot.store.schema import VERSION, metadata, schema_version

_BALLAST_BYTES = 16 << 20


class DiskGuard:
    """Holds the folder's process lock and says whether there is room to accept more.

    A ballast file is given up when the disk is full, since finishing what was accepted also needs disk.
    """

    def __init__(self, folder: Path, min_free: int, *, exclusive: bool) -> None:
        self._folder = folder
        self._min_free = min_free
        self._ballast = folder / "ballast"
        self._checked = 0.0
        self._room = True
        self._lock = _lock(folder / "lock") if exclusive else None
        self._lay_ballast()

    def has_room(self) -> bool:
        """Looks at the disk once a second at most."""
        now = time.monotonic()
        if now - self._checked > 1.0:
            self._checked = now
            self._room = shutil.disk_usage(self._folder).free >= self._min_free
            if self._room and not self._ballast.exists():
                self._lay_ballast()
        return self._room

    def drop_ballast(self) -> bool:
        """Free the reserve; False when it is gone already."""
        try:
            self._ballast.unlink()
        except FileNotFoundError:
            return False
        self._room = False
        return True

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)

    def _lay_ballast(self) -> None:
        if shutil.disk_usage(self._folder).free < self._min_free + _BALLAST_BYTES:
            return
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, _BALLAST_BYTES)


def _lock(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise ConfigError(f"another Kantu is using {path.parent}: stop it, or give this one its own data_dir") from None
    return handle


def database_url(config: StoreConfig, data_dir: Path) -> str:
    """The configured URL, or SQLite in the data folder."""
    return config.url.reveal() or f"sqlite:///{data_dir / 'kantu.sqlite'}"


def open_database(config: StoreConfig, data_dir: Path, *, owner: bool = True) -> tuple[Engine, DiskGuard]:
    """Open or make the database; a SQLite file has one owner at a time. Raises ConfigError with the mend."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    url = database_url(config, data_dir)
    guard = DiskGuard(data_dir, config.min_free_bytes, exclusive=owner and url.startswith("sqlite"))
    try:
        engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _sqlite_pragmas)
            event.listen(engine, "begin", _begin_immediate)
        _make_tables(engine)
    except (SQLAlchemyError, ImportError) as error:
        guard.close()
        raise ConfigError(f"cannot open the database: {_without_secrets(error)}") from error
    return engine, guard


def _sqlite_pragmas(connection: Any, _record: Any) -> None:
    # The driver must not begin transactions by itself: BEGIN IMMEDIATE below does.
    connection.isolation_level = None
    cursor = connection.cursor()
    # FULL: a commit survives power loss, not only a crash of the process. secure_delete: what is forgotten is
    # overwritten.
    pragmas = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "temp_store=MEMORY", "secure_delete=ON")
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get("reading") else "BEGIN IMMEDIATE")


def _make_tables(engine: Engine) -> None:
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # Two replicas that start together would race to make the tables.
            connection.execute(sql("SELECT pg_advisory_xact_lock(5267400)"))
        metadata.create_all(connection)
        found = connection.execute(select(schema_version.c.version)).scalar()
        if found is None:
            connection.execute(insert(schema_version).values(version=VERSION))
        elif found > VERSION:
            raise ConfigError(f"the database was made by a newer Kantu (schema {found}, this one knows {VERSION})")


def _without_secrets(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]
