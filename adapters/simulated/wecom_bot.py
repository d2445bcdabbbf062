"""A WeCom AI bot and its server: it asks for streams, keeps each message's own answer address, serves pictures."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import aiohttp
from aiohttp import web

from adapters.simulated.envelope import Signer, encoding_aes_key, padded
from adapters.simulated.platform import RateLimit, Sent, SimulatedPlatform

_CONTENT_BYTES = 20_480
_STREAM_SECONDS = 360.0
_ADDRESS_SECONDS = 3600.0
_PICTURE_SECONDS = 300.0
_OPEN_STREAMS = 3
#: The bot's server has so long for each answer.
_PATIENCE = 5.0


@dataclass
class Address:
    """A message's own address for one answer."""

    chat: str
    made_at: float
    used: bool = False


@dataclass
class Picture:
    """Encrypted; served for five minutes."""

    content: bytes
    made_at: float


@dataclass
class Room:
    """One conversation's allowances."""

    limits: tuple[RateLimit, ...] = field(default_factory=lambda: (RateLimit(30, 60.0), RateLimit(1000, 3600.0)))

    def allows(self) -> bool:
        return all([limit.allows() for limit in self.limits])


class Simulated(SimulatedPlatform):
    """refresh: seconds between two questions about a stream. asks: False: WeCom never comes for a stream."""

    platform: ClassVar[str] = "wecom_bot"

    def __init__(self, *, refresh: float = 0.05, asks: bool = True) -> None:
        super().__init__()
        self.refresh = refresh
        self.asks = asks
        self.aibotid = "aib" + secrets.token_hex(12)
        self.bot_name = "看图助手"
        self.token = secrets.token_hex(8)
        self.encoding_aes_key = encoding_aes_key()
        self.signer = Signer(self.token, "", self.encoding_aes_key)
        self.addresses: dict[str, Address] = {}
        self.pictures: dict[str, Picture] = {}
        self.rooms: dict[str, Room] = {}
        self.streams: dict[str, Sent] = {}
        self._open: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        """The answer addresses, and the host of the pictures."""
        return [web.post("/cgi-bin/aibot/response", self._response), web.get("/media/{name}", self._picture)]

    def section(self) -> dict[str, Any]:
        """The adapter's section."""
        return {
            "token": self.token,
            "encoding_aes_key": self.encoding_aes_key,
            "aibotid": self.aibotid,
            "bot_name": self.bot_name,
            "picture_hosts": ["127.0.0.1"],
            "reply_hosts": [self.base.removeprefix("http://")],
        }

    async def stop(self) -> None:
        """Let no question outlive the server."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await super().stop()

    async def say(self, text: str = "", pictures: Sequence[bytes] = (), *, user: str = "u1", group: str = "") -> str:
        """Text, picture or both in one message; a member with three open streams has to wait for one to end."""
        await self.until(lambda: self._open.get(user, 0) < _OPEN_STREAMS)
        message = self.message(text, pictures, user=user, group=group)
        await self.write(message)
        return message["msgid"]

    async def write(self, message: Mapping[str, Any]) -> None:
        """Deliver a message, show the beginning of the answer, and come for the rest."""
        chat, user = str(message.get("chatid") or message["from"]["userid"]), message["from"]["userid"]
        stream = await self.ask(message)
        known = self.streams.get(stream["id"])
        if known is None:
            known = self._show(chat, message["msgid"], stream)
            if not known.final and self.asks:
                self._open[user] = self._open.get(user, 0) + 1
                task = asyncio.create_task(self._come_for(known, message, user))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def message(self, text: str, pictures: Sequence[bytes], *, user: str, group: str = "") -> dict[str, Any]:
        """The payload of a new message, with its own address."""
        words = f"@{self.bot_name} {text}" if group else text
        code = secrets.token_urlsafe(24)
        self.addresses[code] = Address(group or user, time.monotonic())
        return {
            "msgid": secrets.token_hex(16),
            "aibotid": self.aibotid,
            "chattype": "group" if group else "single",
            **({"chatid": group} if group else {}),
            "from": {"userid": user},
            "response_url": f"{self.base}/cgi-bin/aibot/response?response_code={code}",
            **self._content(words, pictures),
        }

    async def happen(self, event: str, *, user: str = "u1") -> bytes:
        """Something other than a message: enter_chat, feedback_event, …"""
        data = {
            "msgid": secrets.token_hex(16),
            "create_time": int(time.time()),
            "aibotid": self.aibotid,
            "from": {"userid": user},
            "msgtype": "event",
            "event": {"eventtype": event},
        }
        return (await self._post(data))[0]

    async def handshake(self, echo: str = "5942345678901234567") -> tuple[int, bytes]:
        """What the platform sends when the address is saved; the bot's answer."""
        ciphertext = self.signer.seal(echo.encode())
        query = {**self.signer.query(int(time.time()), secrets.token_hex(4), ciphertext), "echostr": ciphertext}
        return await self.deliver(b"", {}, query=query, method="GET")

    async def ask(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Deliver something that is answered with a stream; that stream, checked."""
        body, nonce = await self._post(data)
        answer = json.loads(body)
        assert set(answer) == {"encrypt", "msgsignature", "timestamp", "nonce"}, f"not an answer: {answer}"
        assert answer["nonce"] == nonce and type(answer["timestamp"]) is int
        signed = self.signer.signature(str(answer["timestamp"]), nonce, answer["encrypt"])
        assert answer["msgsignature"] == signed, "the answer is not signed"
        opened = json.loads(self.signer.open(answer["encrypt"]))
        assert opened["msgtype"] == "stream"
        stream = cast("dict[str, Any]", opened["stream"])
        assert isinstance(stream["id"], str) and stream["id"] and type(stream["finish"]) is bool
        if len(stream["content"].encode()) > _CONTENT_BYTES:
            self.refuse("stream", "the content is too long")
        return stream

    # --------------------------------------------------------------------- webhook

    async def _post(self, data: Mapping[str, Any]) -> tuple[bytes, str]:
        nonce = secrets.token_hex(5)
        ciphertext = self.signer.seal(json.dumps(data, ensure_ascii=False).encode())
        query = self.signer.query(int(time.time()), nonce, ciphertext)
        body = json.dumps({"encrypt": ciphertext}).encode()
        async with asyncio.timeout(_PATIENCE):
            status, answer = await self.deliver(body, {"Content-Type": "application/json"}, query=query)
        assert status == 200, f"the bot answered {status}: {answer[:200]!r}"
        return answer, nonce

    def _content(self, words: str, pictures: Sequence[bytes]) -> dict[str, Any]:
        images = [{"msgtype": "image", "image": {"url": self._keep(content)}} for content in pictures]
        if not images:
            return {"msgtype": "text", "text": {"content": words}}
        if not words and len(images) == 1:
            return images[0]
        texts = [{"msgtype": "text", "text": {"content": words}}] if words else []
        return {"msgtype": "mixed", "mixed": {"msg_item": [*texts, *images]}}

    def _keep(self, content: bytes) -> str:
        name = secrets.token_hex(16)
        self.pictures[name] = Picture(self.signer.encrypt(padded(content)), time.monotonic())
        return f"{self.base}/media/{name}"

    def _show(self, chat: str, message_id: str, stream: Mapping[str, Any]) -> Sent:
        data = {"stream": stream["id"], "question": message_id}
        sent = Sent(chat, stream["content"], "stream", stream["id"], final=stream["finish"], data=data)
        self.streams[stream["id"]] = self.record(sent)
        return sent

    async def _come_for(self, sent: Sent, message: Mapping[str, Any], user: str) -> None:
        """Ask until the stream is finished; an answer that does not come is asked for again."""
        try:
            ends = time.monotonic() + _STREAM_SECONDS
            kept = {name: message[name] for name in ("aibotid", "chattype", "chatid", "from") if name in message}
            while not sent.final and time.monotonic() < ends:
                await asyncio.sleep(self.refresh)
                question = {
                    "msgid": secrets.token_hex(16),
                    **kept,
                    "msgtype": "stream",
                    "stream": {"id": sent.message_id},
                }
                try:
                    stream = await self.ask(question)
                except (AssertionError, TimeoutError, aiohttp.ClientError):
                    continue
                if stream["content"] != sent.text:
                    sent.show(stream["content"])
                sent.final = stream["finish"]
                self.changed()
        finally:
            self._open[user] -= 1
            self.changed()

    # ------------------------------------------------------------------------- API

    async def _response(self, request: web.Request) -> web.Response:
        """One answer a message, markdown only, within the hour and the conversation's rate."""
        address = self.addresses.get(request.query.get("response_code", ""))
        if address is None or address.used or time.monotonic() - address.made_at > _ADDRESS_SECONDS:
            return self._no(request, 60140, "response code is invalid or expired")
        data = await request.json()
        if data.get("msgtype") != "markdown":
            return self._no(request, 40008, "invalid message type")
        text = data["markdown"]["content"]
        if len(text.encode()) > _CONTENT_BYTES:
            return self._no(request, 45002, "content size out of limit")
        if not self.rooms.setdefault(address.chat, Room()).allows():
            return self._no(request, 45009, "api freq out of limit")
        address.used = True
        self.record(Sent(address.chat, text, "markdown"))
        return web.json_response({"errcode": 0, "errmsg": "ok"})

    async def _picture(self, request: web.Request) -> web.Response:
        """No right is needed, and none helps after five minutes."""
        picture = self.pictures.get(request.match_info["name"])
        if picture is None or time.monotonic() - picture.made_at > _PICTURE_SECONDS:
            return web.Response(status=404)
        return web.Response(body=picture.content, content_type="application/octet-stream")

    def _no(self, request: web.Request, code: int, why: str) -> web.Response:
        self.refuse(request.path, f"{code} {why}")
        return web.json_response({"errcode": code, "errmsg": why})
