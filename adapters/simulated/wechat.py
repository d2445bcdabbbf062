"""A WeChat Official Account and its server: redeliveries, passive replies, customer-service messages."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from xml.etree import ElementTree

import aiohttp
from aiohttp import web

from adapters.simulated import envelope
from adapters.simulated.envelope import document
from adapters.simulated.platform import Sent, SimulatedPlatform

#: What WeChat shows a user whose message got no usable answer.
FAULT = "该公众号提供的服务出现故障，请稍后再试"
_DELIVERIES = 3
_TEXT_BYTES = 2048
_CUSTOMER_SERVICE_SECONDS = 48 * 3600
_CUSTOMER_SERVICE_MESSAGES = 5
#: A bot that takes no message says so at once.
_REFUSES_WITHIN = 0.2


@dataclass
class User:
    """written_at: when they last wrote; left: how many customer-service messages may still come."""

    written_at: float = 0.0
    left: int = 0
    deliveries: dict[str, int] = field(default_factory=dict[str, int])


class Signer(envelope.Signer):
    """In plain mode time and nonce alone are signed, in AES mode a second time with the ciphertext."""

    def query(self, timestamp: int | str, nonce: str, ciphertext: str = "") -> dict[str, str]:
        """What stands behind the address of a delivery."""
        plain = {"signature": self.signature(str(timestamp), nonce), "timestamp": str(timestamp), "nonce": nonce}
        return plain | ({"encrypt_type": "aes"} | super().query(timestamp, nonce, ciphertext) if ciphertext else {})


class Simulated(SimulatedPlatform):
    """aes: safe mode. verified: the account may send customer-service messages. gap: seconds until WeChat hangs up."""

    platform: ClassVar[str] = "wechat"

    def __init__(self, *, aes: bool = True, verified: bool = True, gap: float = 5.0) -> None:
        super().__init__()
        self.aes = aes
        self.verified = verified
        self.gap = gap
        self.token = "tok" + secrets.token_hex(8)
        self.app_id = "wx" + secrets.token_hex(8)
        self.app_secret = secrets.token_hex(16)
        self.original_id = "gh_" + secrets.token_hex(6)
        self.encoding_aes_key = envelope.encoding_aes_key() if aes else ""
        self.signer = Signer(self.token, self.app_id, self.encoding_aes_key)
        self.path_secret = "" if aes else secrets.token_hex(8)
        self.access_token = ""
        self.users: dict[str, User] = {}
        self.pictures: dict[str, bytes] = {}
        self.gone: set[str] = set()
        self.typed: list[str] = []
        self._next_id = 23_456_789_012_345_678
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        """Token, customer service, media, and the host of the pictures."""
        return [
            web.post("/cgi-bin/stable_token", self._token),
            web.post("/cgi-bin/message/custom/send", self._send),
            web.post("/cgi-bin/message/custom/typing", self._typing),
            web.get("/cgi-bin/customservice/getkflist", self._servicers),
            web.get("/cgi-bin/media/get", self._media),
            web.get("/mmbiz_jpg/{name}/0", self._picture),
        ]

    def section(self) -> dict[str, Any]:
        """The adapter's section; times shrink with `gap`."""
        return {
            "token": self.token,
            "app_id": self.app_id,
            "app_secret": self.app_secret,
            "encoding_aes_key": self.encoding_aes_key,
            "original_id": self.original_id,
            "path_secret": self.path_secret,
            "customer_service": self.verified,
            "passive_wait": self.gap * 0.6,
            "redeliver_after": self.gap,
            "api_base": self.base,
            "picture_hosts": ["127.0.0.1"],
        }

    async def stop(self) -> None:
        """Let no delivery outlive the server."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await super().stop()

    async def say(self, text: str = "", pictures: Sequence[bytes] = (), *, user: str = "u1", group: str = "") -> str:
        """Every picture is a message of its own, then the text; there are no groups. Returns the last message's id."""
        assert not group, "WeChat Official Accounts have no groups"
        messages = [self._image(content) for content in pictures]
        if text:
            messages.append({"MsgType": "text", "Content": text})
        tasks = [self._begin(user, message) for message in messages]
        await self._check_refusals(tasks)
        return str(self._next_id)

    async def happen(self, event: str, *, user: str = "u1") -> None:
        """Something other than a message: subscribe, CLICK, …"""
        await self._check_refusals([self._begin(user, {"MsgType": "event", "Event": event}, named=False)])

    async def settled(self) -> None:
        """Wait until no delivery is under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def handshake(self, echo: str = "5942345678901234567") -> tuple[int, bytes]:
        """What the platform sends when the address is saved; the bot's answer."""
        query = {**self.signer.query(int(time.time()), secrets.token_hex(4)), "echostr": echo, **self._key()}
        return await self.deliver(b"", {}, query=query, method="GET")

    def delivery(self, message: Mapping[str, str | int], *, user: str = "u1") -> tuple[bytes, dict[str, str]]:
        """Body and query of one delivery, signed anew each time."""
        now, nonce = int(time.time()), secrets.token_hex(4)
        body = document({"ToUserName": self.original_id, "FromUserName": user, **message})
        ciphertext = ""
        if self.aes:
            ciphertext = self.signer.seal(body)
            body = document({"ToUserName": self.original_id, "Encrypt": ciphertext})
        return body, {**self.signer.query(now, nonce, ciphertext), "openid": user, **self._key()}

    # ----------------------------------------------------------------- deliveries

    def _key(self) -> dict[str, str]:
        return {"key": self.path_secret} if self.path_secret else {}

    def _image(self, content: bytes) -> dict[str, str | int]:
        name = hashlib.sha256(content).hexdigest()[:16]
        self.pictures[name] = content
        return {"MsgType": "image", "PicUrl": f"{self.base}/mmbiz_jpg/{name}/0", "MediaId": name}

    def _begin(self, user: str, message: dict[str, str | int], *, named: bool = True) -> asyncio.Task[None]:
        message["CreateTime"] = int(time.time())
        if named:
            self._next_id += 1
            message["MsgId"] = self._next_id
        who = self.users.setdefault(user, User())
        who.written_at, who.left = time.monotonic(), _CUSTOMER_SERVICE_MESSAGES
        task = asyncio.create_task(self._deliver_until_answered(user, message))
        self._tasks.add(task)
        task.add_done_callback(self._delivered)
        return task

    def _delivered(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.refuse("webhook", str(task.exception()))

    async def _check_refusals(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        done, _ = await asyncio.wait(tasks, timeout=_REFUSES_WITHIN)
        for task in done:
            task.result()

    async def _deliver_until_answered(self, user: str, message: dict[str, str | int]) -> None:
        """Hang up after `gap` seconds and try again; nothing usable at all is shown to the user as a fault."""
        message_id = str(message.get("MsgId", ""))
        for number in range(1, _DELIVERIES + 1):
            self.users[user].deliveries[message_id] = number
            body, query = self.delivery(message, user=user)
            try:
                async with asyncio.timeout(self.gap):
                    status, answer = await self.deliver(body, {"Content-Type": "text/xml"}, query=query)
            except (TimeoutError, aiohttp.ClientError):
                continue
            if status != 200:
                self.record(Sent(user, FAULT, kind="fault", message_id=message_id))
                raise AssertionError(f"the bot answered {status}: {answer[:200]!r}")
            if answer not in (b"", b"success"):
                self._show(user, message_id, answer, query["nonce"])
            return
        self.record(Sent(user, FAULT, kind="fault", message_id=message_id))

    def _show(self, user: str, message_id: str, answer: bytes, nonce: str) -> None:
        """A passive reply as the user sees it."""
        values = _values(answer)
        if self.aes:
            signed = self.signer.signature(values["TimeStamp"], values["Nonce"], values["Encrypt"])
            assert values["Nonce"] == nonce and values["MsgSignature"] == signed, "the passive reply is not signed"
            values = _values(self.signer.open(values["Encrypt"]))
        assert (values["ToUserName"], values["FromUserName"]) == (user, self.original_id), "to or from somebody else"
        assert values["MsgType"] == "text" and values["CreateTime"].isdigit() and values["Content"]
        assert len(values["Content"].encode()) <= _TEXT_BYTES, "the passive reply is too long"
        data = {"way": "passive", "delivery": self.users[user].deliveries[message_id]}
        self.record(Sent(user, values["Content"], message_id=message_id, data=data))

    # ------------------------------------------------------------------------ API

    async def _token(self, request: web.Request) -> web.Response:
        data = await request.json()
        if data.get("grant_type") != "client_credential" or data.get("appid") != self.app_id:
            return self._no(request, 40013, "invalid appid")
        if data.get("secret") != self.app_secret:
            return self._no(request, 40125, "invalid appsecret")
        self.access_token = self.access_token or secrets.token_hex(32)
        return web.json_response({"access_token": self.access_token, "expires_in": 7200})

    async def _send(self, request: web.Request) -> web.Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        data = await request.json()
        text, user = data["text"]["content"], self.users.get(data["touser"])
        assert data["msgtype"] == "text"
        if not self.verified:
            return self._no(request, 48001, "api unauthorized")
        if user is None or time.monotonic() - user.written_at > _CUSTOMER_SERVICE_SECONDS:
            return self._no(request, 45015, "response out of time limit or subscription is canceled")
        if len(text.encode()) > _TEXT_BYTES:
            return self._no(request, 45002, "content size out of limit")
        if user.left <= 0:
            return self._no(request, 45047, "out of response count limit")
        user.left -= 1
        self.record(Sent(data["touser"], text, data={"way": "customer service"}))
        return web.json_response({"errcode": 0, "errmsg": "ok"})

    async def _typing(self, request: web.Request) -> web.Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        data = await request.json()
        if data.get("command") not in ("Typing", "CancelTyping"):
            return self._no(request, 45072, "command not match")
        self.typed.append(data["touser"])
        self.changed()
        return web.json_response({"errcode": 0, "errmsg": "ok"})

    async def _servicers(self, request: web.Request) -> web.Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        if not self.verified:
            return self._no(request, 48001, "api unauthorized")
        return web.json_response({"kf_list": []})

    async def _media(self, request: web.Request) -> web.Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        content = self.pictures.get(request.query.get("media_id", ""))
        if content is None:
            return self._no(request, 40007, "invalid media_id")
        return web.Response(body=content, content_type="image/jpeg")

    async def _picture(self, request: web.Request) -> web.Response:
        """No right is needed; names in `gone` are answered with 404."""
        name = request.match_info["name"]
        if name in self.gone or name not in self.pictures:
            return web.Response(status=404)
        return web.Response(body=self.pictures[name], content_type="image/jpeg")

    def _refused(self, request: web.Request) -> web.Response | None:
        token = request.query.get("access_token", "")
        if not token:
            return self._no(request, 41001, "access_token missing")
        if token != self.access_token:
            return self._no(request, 40001, "invalid credential, access_token is invalid or not latest")
        return None

    def _no(self, request: web.Request, code: int, why: str) -> web.Response:
        self.refuse(request.path, f"{code} {why}")
        return web.json_response({"errcode": code, "errmsg": f"{why} rid: {secrets.token_hex(4)}"})


def _values(body: bytes) -> dict[str, str]:
    return {child.tag: child.text or "" for child in ElementTree.fromstring(body)}
