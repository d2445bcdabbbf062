"""A self-built app of WeCom and its server: callbacks with retries, messages, files, pictures."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from xml.sax.saxutils import escape

from aiohttp import web
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from adapters.simulated.platform import RateLimit, Sent, SimulatedPlatform

_DELIVERIES = 4
_CALLBACK_SECONDS = 5.0
_TEXT_BYTES = 2048
_FILE_BYTES = range(5, 20 << 20)


class Signer:
    """Signs and seals as WeCom does; written out from the platform's description."""

    def __init__(self, token: str, receive_id: str, encoding_aes_key: str) -> None:
        self.token = token
        self.receive_id = receive_id
        self.key = base64.b64decode(encoding_aes_key + "=")

    def seal(self, message: bytes, receive_id: str | None = None) -> str:
        """The base64 that stands in Encrypt or echostr."""
        packed = secrets.token_bytes(16) + len(message).to_bytes(4, "big") + message
        packed += (self.receive_id if receive_id is None else receive_id).encode()
        padding = 32 - len(packed) % 32
        return self.encrypted(packed + bytes([padding]) * padding)

    def encrypted(self, padded: bytes) -> str:
        """The base64 of a whole number of blocks."""
        encryptor = Cipher(algorithms.AES(self.key), modes.CBC(self.key[:16])).encryptor()
        return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()

    def query(self, ciphertext: str, timestamp: str, nonce: str) -> dict[str, str]:
        """What stands behind the address of a callback."""
        joined = "".join(sorted((self.token, timestamp, nonce, ciphertext)))
        signature = hashlib.sha1(joined.encode(), usedforsecurity=False).hexdigest()
        return {"msg_signature": signature, "timestamp": timestamp, "nonce": nonce}


def document(values: Mapping[str, str | int]) -> bytes:
    """XML with an element per value, texts escaped."""
    inside = (f"<{name}>{escape(str(value))}</{name}>" for name, value in values.items())
    return f"<xml>{''.join(inside)}</xml>".encode()


def refusal(code: int, text: str) -> web.Response:
    """WeCom says no with status 200."""
    return web.json_response({"errcode": code, "errmsg": f"{text}, hint: [1] from ip: 192.0.2.1, more info"})


class Simulated(SimulatedPlatform):
    """One company with one app. absent: members who have left; expire_token ends the access token at once."""

    platform: ClassVar[str] = "wecom"

    def __init__(self) -> None:
        super().__init__()
        self.corp_id = "ww" + secrets.token_hex(8)
        self.agent_id = 1000002
        self.secret = secrets.token_urlsafe(32)
        self.token = secrets.token_hex(12)
        self.encoding_aes_key = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        self.signer = Signer(self.token, self.corp_id, self.encoding_aes_key)
        self.access_token = ""
        self.media: dict[str, bytes] = {}
        self.files: dict[str, tuple[str, bytes]] = {}
        self.absent: set[str] = set()
        self._rates: dict[str, tuple[RateLimit, RateLimit]] = {}
        self._next_id = 4_561_255_354_251_345_929

    def routes(self) -> list[web.RouteDef]:
        """Token, messages, media, and what the app is called."""
        return [
            web.get("/cgi-bin/gettoken", self._gettoken),
            web.post("/cgi-bin/message/send", self._send),
            web.post("/cgi-bin/media/upload", self._upload),
            web.get("/cgi-bin/media/get", self._media),
            web.get("/cgi-bin/agent/get", self._agent),
        ]

    def section(self) -> dict[str, Any]:
        """An adapter section for this app."""
        return {
            "corp_id": self.corp_id,
            "agent_id": self.agent_id,
            "secret": self.secret,
            "token": self.token,
            "encoding_aes_key": self.encoding_aes_key,
            "api_base": self.base,
        }

    def expire_token(self) -> None:
        """The access token has ended."""
        self.access_token = secrets.token_hex(16)

    # ------------------------------------------------------- what members do

    async def say(self, text: str = "", pictures: Sequence[bytes] = (), *, user: str = "u1", group: str = "") -> str:
        """Pictures come first, each as a message of its own, then the text; apps are in no groups."""
        assert not group, "self-built apps get no group messages"
        message_id = ""
        for picture in pictures:
            media_id = secrets.token_urlsafe(12)
            self.media[media_id] = picture
            address = f"http://wework.qpic.cn/bizmail/{media_id}/0"
            message_id = await self.callback({"PicUrl": address, "MediaId": media_id}, kind="image", user=user)
        if text:
            message_id = await self.callback({"Content": text}, kind="text", user=user)
        return message_id

    async def callback(self, content: Mapping[str, str | int], *, kind: str, user: str = "u1") -> str:
        """One message or event, delivered until it is taken, four times at most."""
        self._next_id += 1
        message_id = str(self._next_id)
        named: dict[str, str | int] = {} if kind == "event" else {"MsgId": message_id}
        values = {"ToUserName": self.corp_id, "FromUserName": user, "CreateTime": int(time.time()), "MsgType": kind}
        message = document({**values, **content, **named, "AgentID": self.agent_id})
        status = 0
        for _ in range(_DELIVERIES):
            status, _ = await self.push(message)
            if status == 200:
                return message_id
        raise AssertionError(f"the bot answered {status}")

    async def push(self, message: bytes) -> tuple[int, bytes]:
        """One delivery, sealed and signed anew as every one is; status 0 where the bot took too long."""
        ciphertext = self.signer.seal(message)
        query = self.signer.query(ciphertext, str(int(time.time())), secrets.token_hex(5))
        body = document({"ToUserName": self.corp_id, "AgentID": self.agent_id, "Encrypt": ciphertext})
        try:
            async with asyncio.timeout(_CALLBACK_SECONDS):
                return await self.deliver(body, {"content-type": "text/xml"}, query=query)
        except TimeoutError:
            return 0, b""

    async def handshake(self) -> tuple[int, bytes]:
        """What the admin console does when the callback's address is saved; the bot must answer `1234567890`."""
        echo = self.signer.seal(b"1234567890")
        query = self.signer.query(echo, str(int(time.time())), secrets.token_hex(5)) | {"echostr": echo}
        return await self.deliver(b"", {}, query=query, method="GET")

    # ---------------------------------------------------------------- server

    async def _gettoken(self, request: web.Request) -> web.Response:
        if request.query.get("corpid") != self.corp_id:
            return refusal(40013, "invalid corpid")
        if request.query.get("corpsecret") != self.secret:
            return refusal(40001, "invalid credential")
        self.access_token = self.access_token or secrets.token_urlsafe(32)
        answer = {"errcode": 0, "errmsg": "ok", "access_token": self.access_token, "expires_in": 7200}
        return web.json_response(answer)

    def _stranger(self, request: web.Request) -> web.Response | None:
        """The refusal of a call without a good token. One that is not the newest has ended."""
        given = request.query.get("access_token", "")
        if not given:
            self.refuse(request.path, "no access token")
            return refusal(41001, "access_token missing")
        if given != self.access_token:
            return refusal(42001, "access_token expired")
        return None

    async def _send(self, request: web.Request) -> web.Response:
        stranger = self._stranger(request)
        if stranger is not None:
            return stranger
        data = await request.json()
        member, kind = data.get("touser", ""), data.get("msgtype")
        if data.get("agentid") != self.agent_id:
            self.refuse(request.path, "not this app")
            return refusal(301002, "not allow operate another agent with this accesstoken")
        if not member or member in self.absent:
            return refusal(81013, "user & party & tag all invalid")
        if not all(rate.allows() for rate in self._rates_of(member)):
            self.refuse(request.path, "too fast")
            return refusal(45009, "api freq out of limit")
        if kind == "file":
            return self._record_file(request, member, data)
        text = data.get("text", {}).get("content", "") if kind == "text" else ""
        if not text:
            self.refuse(request.path, "no text")
            return refusal(44004, "content size out of limit")
        if len(text.encode()) > _TEXT_BYTES:
            self.refuse(request.path, "too long")
            return refusal(45002, "content size out of limit")
        return self._accepted(Sent(member, text))

    def _record_file(self, request: web.Request, member: str, data: Mapping[str, Any]) -> web.Response:
        found = self.files.get(data.get("file", {}).get("media_id", ""))
        if found is None:
            self.refuse(request.path, "no such file")
            return refusal(40007, "invalid media_id")
        return self._accepted(Sent(member, found[0], "file", data={"content": found[1]}))

    def _accepted(self, sent: Sent) -> web.Response:
        sent.message_id = secrets.token_urlsafe(16)
        self.record(sent)
        return web.json_response({"errcode": 0, "errmsg": "ok", "msgid": sent.message_id})

    def _rates_of(self, member: str) -> tuple[RateLimit, RateLimit]:
        return self._rates.setdefault(member, (RateLimit(30, 60.0), RateLimit(1000, 3600.0)))

    async def _upload(self, request: web.Request) -> web.Response:
        stranger = self._stranger(request)
        if stranger is not None:
            return stranger
        part = (await request.post()).get("media")
        if request.query.get("type") != "file" or not isinstance(part, web.FileField):
            self.refuse(request.path, "no file")
            return refusal(40004, "invalid media type")
        content = part.file.read()
        if len(content) not in _FILE_BYTES:
            self.refuse(request.path, "the file's size")
            return refusal(40006, "invalid file size")
        media_id = secrets.token_urlsafe(16)
        self.files[media_id] = part.filename, content
        answer = {
            "errcode": 0,
            "errmsg": "ok",
            "type": "file",
            "media_id": media_id,
            "created_at": str(int(time.time())),
        }
        return web.json_response(answer)

    async def _media(self, request: web.Request) -> web.Response:
        stranger = self._stranger(request)
        if stranger is not None:
            return stranger
        content = self.media.get(request.query.get("media_id", ""))
        if content is None:
            return refusal(40007, "invalid media_id")
        return web.Response(body=content, content_type="image/jpeg")

    async def _agent(self, request: web.Request) -> web.Response:
        stranger = self._stranger(request)
        if stranger is not None:
            return stranger
        if request.query.get("agentid") != str(self.agent_id):
            return refusal(301002, "not allow operate another agent with this accesstoken")
        return web.json_response({"errcode": 0, "errmsg": "ok", "agentid": self.agent_id, "name": "看图"})
