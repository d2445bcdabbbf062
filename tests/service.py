"""Running the service for tests: as a process or in this one, with a platform that receives its replies."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
ROOT = Path(__file__).parent.parent


def signed_event(
    event_id: str,
    text: str,
    *,
    chat: str = "c1",
    images: list[dict[str, str]] | None = None,
    chat_type: str = "private",
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a delivery to the generic adapter."""
    body = json.dumps(
        {
            "conversation": {"id": chat, "type": chat_type},
            "sender": {"id": "u1", "name": "小王"},
            "message": {"id": f"m-{event_id}", "text": text, "images": images or []},
            "sent_at": int(time.time()),
        },
        ensure_ascii=False,
    ).encode()
    return body, headers_for(event_id, body)


def headers_for(event_id: str, body: bytes) -> dict[str, str]:
    """Standard Webhooks headers, signed now."""
    stamp = str(int(time.time()))
    signature = hmac.new(KEY, f"{event_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + base64.b64encode(signature).decode(),
    }


class Receiver:
    """The platform's side: replies by their key, checked for a good signature, in order of arrival."""

    def __init__(self) -> None:
        self.replies: dict[str, dict[str, Any]] = {}
        self.copies = 0
        self.arrived = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        key, stamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        wanted = hmac.new(KEY, f"{key}.{stamp}.".encode() + body, hashlib.sha256).digest()
        assert request.headers["webhook-signature"] == "v1," + base64.b64encode(wanted).decode()
        self.copies += key in self.replies
        self.replies.setdefault(key, json.loads(body))
        self.arrived.set()
        return web.json_response({"id": f"r-{len(self.replies)}"})

    def texts(self, chat: str | None = None) -> list[str]:
        """Texts in order of arrival, of one conversation or of all."""
        return [r["text"] for r in self.replies.values() if chat in (None, r["conversation"]["id"])]

    async def wait_for(self, count: int, seconds: float = 30) -> None:
        """Until so many replies have arrived."""
        async with asyncio.timeout(seconds):
            while len(self.replies) < count:
                self.arrived.clear()
                await self.arrived.wait()


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[Receiver, str]]:
    """A receiver and its address."""
    made = Receiver()
    app = web.Application()
    app.router.add_post("/replies", made.handle)
    async with serving(app) as url:
        yield made, f"{url}/replies"


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """An aiohttp application on a free loopback port."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def settings(folder: Path, reply_url: str = "", **sections: Any) -> dict[str, Any]:
    """A configuration with the generic adapter on a free port."""
    return {
        "data_dir": str(folder / "data"),
        "server": {"port": 0},
        "store": {"min_free_bytes": 0},
        "adapters": {"generic": {"secrets": [SECRET], "reply_url": reply_url}},
        **sections,
    }


class Process:
    """`kantu serve` as a child process."""

    def __init__(self, child: asyncio.subprocess.Process, url: str) -> None:
        self.child = child
        self.url = url

    @staticmethod
    async def start(folder: Path, config: Mapping[str, Any]) -> Process:
        """Start and wait until it listens."""
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump(dict(config), allow_unicode=True), encoding="utf-8")
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bot", "serve", "--config", str(path)),
            stdout=asyncio.subprocess.PIPE,
            stderr=None,
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        assert child.stdout is not None
        line = (await asyncio.wait_for(child.stdout.readline(), 30)).decode()
        assert "看图已启动" in line, "the service did not start; its errors are above"
        return Process(child, line.split()[1].rstrip("/"))

    async def kill(self) -> None:
        """kill -9 to it and all its workers."""
        os.killpg(self.child.pid, signal.SIGKILL)
        await self.child.communicate()

    async def terminate(self) -> int:
        """SIGTERM; the exit status."""
        self.child.terminate()
        await asyncio.wait_for(self.child.communicate(), 30)
        assert self.child.returncode is not None
        return self.child.returncode


async def post(session: aiohttp.ClientSession, url: str, event_id: str, text: str, **fields: Any) -> int:
    """Deliver one signed event; the status, or 0 when the connection was lost."""
    body, headers = signed_event(event_id, text, **fields)
    try:
        async with session.post(f"{url}/webhook/generic", data=body, headers=headers) as answer:
            await answer.read()
            return answer.status
    except aiohttp.ClientError:
        return 0


def event_id() -> str:
    return f"evt_{secrets.token_hex(6)}"
