"""A company at WeCom: sealed callbacks, the access token, media."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from adapters.simulated.envelope import Signer, document, encoding_aes_key
from adapters.simulated.platform import Sent, SimulatedPlatform

DELIVERIES = 4
TEXT_BYTES = 2048
_CALLBACK_SECONDS = 5.0
_FILE_BYTES = range(5, 20 << 20)


def refusal(code: int, text: str) -> web.Response:
    """WeCom says no with status 200."""
    return web.json_response({"errcode": code, "errmsg": f"{text}, hint: [1] from ip: 192.0.2.1, more info"})


class Company(SimulatedPlatform):
    """What its apps have in common. media: by their ids, to be fetched; files: uploaded ones, names and bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.corp_id = "ww" + secrets.token_hex(8)
        self.secret = secrets.token_urlsafe(32)
        self.token = secrets.token_hex(12)
        self.encoding_aes_key = encoding_aes_key()
        self.signer = Signer(self.token, self.corp_id, self.encoding_aes_key)
        self.access_token = ""
        self.media: dict[str, bytes] = {}
        self.files: dict[str, tuple[str, bytes]] = {}

    def routes(self) -> list[web.RouteDef]:
        """Token and media."""
        return [
            web.get("/cgi-bin/gettoken", self._gettoken),
            web.post("/cgi-bin/media/upload", self._upload),
            web.get("/cgi-bin/media/get", self._media),
        ]

    def section(self) -> dict[str, Any]:
        """The keys that every app's section has."""
        return {
            "corp_id": self.corp_id,
            "secret": self.secret,
            "token": self.token,
            "encoding_aes_key": self.encoding_aes_key,
            "api_base": self.base,
        }

    def expire_token(self) -> None:
        """The access token has ended."""
        self.access_token = secrets.token_hex(16)

    async def push(self, message: bytes, agent_id: int | str = "") -> tuple[int, bytes]:
        """One delivery, sealed and signed anew as every one is; status 0 where the bot took too long."""
        ciphertext = self.signer.seal(message)
        query = self.signer.query(int(time.time()), secrets.token_hex(5), ciphertext)
        body = document({"ToUserName": self.corp_id, "AgentID": agent_id, "Encrypt": ciphertext})
        try:
            async with asyncio.timeout(_CALLBACK_SECONDS):
                return await self.deliver(body, {"content-type": "text/xml"}, query=query)
        except TimeoutError:
            return 0, b""

    async def handshake(self) -> tuple[int, bytes]:
        """What the admin console does when the callback's address is saved; the bot must answer `1234567890`."""
        echo = self.signer.seal(b"1234567890")
        query = self.signer.query(int(time.time()), secrets.token_hex(5), echo) | {"echostr": echo}
        return await self.deliver(b"", {}, query=query, method="GET")

    def stranger(self, request: web.Request) -> web.Response | None:
        """The refusal of a call without a good token. One that is not the newest has ended."""
        given = request.query.get("access_token", "")
        if not given:
            self.refuse(request.path, "no access token")
            return refusal(41001, "access_token missing")
        return None if given == self.access_token else refusal(42001, "access_token expired")

    def file(self, request: web.Request, chat: str, data: Mapping[str, Any]) -> Sent | web.Response:
        """A file that a message names by its media id."""
        found = self.files.get(data.get("file", {}).get("media_id", ""))
        if found is None:
            self.refuse(request.path, "no such file")
            return refusal(40007, "invalid media_id")
        return Sent(chat, found[0], "file", data={"content": found[1]})

    async def _gettoken(self, request: web.Request) -> web.Response:
        if request.query.get("corpid") != self.corp_id:
            return refusal(40013, "invalid corpid")
        if request.query.get("corpsecret") != self.secret:
            return refusal(40001, "invalid credential")
        self.access_token = self.access_token or secrets.token_urlsafe(32)
        answer = {"errcode": 0, "errmsg": "ok", "access_token": self.access_token, "expires_in": 7200}
        return web.json_response(answer)

    async def _upload(self, request: web.Request) -> web.Response:
        stranger = self.stranger(request)
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
        answer = {"type": "file", "media_id": media_id, "created_at": str(int(time.time()))}
        return web.json_response({"errcode": 0, "errmsg": "ok", **answer})

    async def _media(self, request: web.Request) -> web.Response:
        stranger = self.stranger(request)
        if stranger is not None:
            return stranger
        content = self.media.get(request.query.get("media_id", ""))
        if content is None:
            return refusal(40007, "invalid media_id")
        return web.Response(body=content, content_type="image/jpeg")
