"""The limit: what acknowledging safely costs when nothing else is done.

aiohttp on plain asyncio; the Standard Webhooks HMAC-SHA256 is checked; the body goes into SQLite (WAL,
synchronous=FULL) under its webhook-id; one thread commits everything that waits at once (group commit); then 200.
PORT and STATE_DIR come from the environment, the key as in `harness_profile.py`. It answers nobody.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import queue
import sqlite3
import threading
from pathlib import Path

from aiohttp import web
from harness_profile import KEY
from signed import signature

_BATCH = 512
_Row = tuple[str, bytes]


class Inbox(threading.Thread):
    """Owns the database; `put` is done when the row is on disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(name="inbox", daemon=True)
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._waiting: queue.SimpleQueue[tuple[_Row, asyncio.Future[None]]] = queue.SimpleQueue()
        self.start()

    def put(self, key: str, body: bytes) -> asyncio.Future[None]:
        done: asyncio.Future[None] = self._loop.create_future()
        self._waiting.put(((key, body), done))
        return done

    def run(self) -> None:
        database = sqlite3.connect(self._path, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            database.execute(f"PRAGMA {pragma}")
        database.execute("CREATE TABLE IF NOT EXISTS inbox (seq INTEGER PRIMARY KEY, key TEXT UNIQUE, body BLOB)")
        while True:
            batch = self._take()
            database.execute("BEGIN IMMEDIATE")
            database.executemany("INSERT OR IGNORE INTO inbox (key, body) VALUES (?, ?)", [row for row, _ in batch])
            database.execute("COMMIT")
            self._loop.call_soon_threadsafe(_tell, [done for _, done in batch])

    def _take(self) -> list[tuple[_Row, asyncio.Future[None]]]:
        batch = [self._waiting.get()]
        while len(batch) < _BATCH:
            try:
                batch.append(self._waiting.get_nowait())
            except queue.Empty:
                break
        return batch


def _tell(waiting: list[asyncio.Future[None]]) -> None:
    for done in waiting:
        if not done.done():
            done.set_result(None)


INBOX: web.AppKey[Inbox] = web.AppKey("inbox", Inbox)


async def receive(request: web.Request) -> web.Response:
    """Verify, commit, acknowledge."""
    headers, body = request.headers, await request.read()
    key = headers.get("webhook-id", "")
    expected = signature(KEY, key, headers.get("webhook-timestamp", ""), body)
    if not hmac.compare_digest(expected, headers.get("webhook-signature", "")):
        return web.Response(status=401)
    await request.app[INBOX].put(key, body)
    return web.Response(body=b'{"status":"accepted"}', content_type="application/json")


async def _open_inbox(app: web.Application) -> None:
    app[INBOX] = Inbox(Path(os.environ["STATE_DIR"]) / "bare.sqlite")


def make_app() -> web.Application:
    """The whole service."""
    app = web.Application()
    app.router.add_post("/webhook/generic", receive)
    app.on_startup.append(_open_inbox)
    return app


if __name__ == "__main__":
    web.run_app(
        make_app(), host="127.0.0.1", port=int(os.environ["PORT"]), access_log=None, print=lambda *_: None, backlog=4096
    )
