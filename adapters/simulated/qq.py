"""QQ's servers and one official bot: signed webhooks, private chats and groups, answers that are counted."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from adapters.simulated.platform import RateLimit, Sent, SimulatedPlatform

PRIVATE, GROUP_AT, GROUP_ALL = "C2C_MESSAGE_CREATE", "GROUP_AT_MESSAGE_CREATE", "GROUP_MESSAGE_CREATE"
_CHINA = timezone(timedelta(hours=8))
#: Not documented; texts of this length are known to be taken.
_TEXT_LENGTH = 4000
_ADDRESS = re.compile(r"(?i)https?://|[a-z0-9]\.[a-z]{2,}")
_WINDOWS = {"users": (3600, 4), "groups": (300, 5)}
_TAKEN = {"op": 12, "d": 0}


class Signer:
    """Signs as QQ does; written out from the platform's description."""

    def __init__(self, secret: str) -> None:
        seed = secret
        while len(seed) < 32:
            seed *= 2
        self._key = Ed25519PrivateKey.from_private_bytes(seed[:32].encode())

    def sign(self, message: bytes) -> str:
        """Hex."""
        return self._key.sign(message).hex()

    def headers(self, body: bytes, now: int | str) -> dict[str, str]:
        """Those of a signed webhook."""
        return {
            "User-Agent": "QQBot-Callback",
            "Content-Type": "application/json",
            "X-Signature-Timestamp": str(now),
            "X-Signature-Ed25519": self.sign(str(now).encode() + body),
        }


@dataclass
class Question:
    """A user's message: how often it was answered, by which numbers, and when it came."""

    chat: str
    kind: str
    asked_at: float
    sequences: set[int] = field(default_factory=set[int])


@dataclass
class Stream:
    """A streamed message and the number of its next piece."""

    sent: Sent
    index: int = 1


class Simulated(SimulatedPlatform):
    """active: unasked messages are taken. addresses: web addresses are registered, and may be sent."""

    platform: ClassVar[str] = "qq"

    def __init__(self, *, active: bool = True, addresses: bool = False) -> None:
        super().__init__()
        self.active = active
        self.addresses = addresses
        self.app_id = "10" + "".join(secrets.choice("0123456789") for _ in range(7))
        self.secret = secrets.token_urlsafe(24)
        self.signer = Signer(self.secret)
        self.access_token = ""
        self.pictures: dict[str, bytes] = {}
        self.questions: dict[str, Question] = {}
        self.streams: dict[str, Stream] = {}
        self.typed: list[str] = []
        self._unasked: dict[str, RateLimit] = {}
        self._messages = RateLimit(100, 1.0)
        self._pieces = RateLimit(50, 1.0)

    def routes(self) -> list[web.RouteDef]:
        """Token, messages, and the host of the pictures."""
        return [
            web.post("/app/getAppAccessToken", self._token),
            web.get("/users/@me", self._me),
            web.post("/v2/{kind:users|groups}/{chat}/messages", self._send),
            web.post("/v2/users/{chat}/stream_messages", self._stream),
            web.get("/download/{name}", self._picture),
        ]

    def section(self) -> dict[str, Any]:
        """The adapter's section."""
        return {
            "app_id": self.app_id,
            "secret": self.secret,
            "api_base": self.base,
            "token_base": self.base,
            "picture_hosts": ["127.0.0.1"],
        }

    async def say(self, text: str = "", pictures: Sequence[bytes] = (), *, user: str = "u1", group: str = "") -> str:
        """QQ takes the @ out of a group's message and leaves the space behind it."""
        kind = GROUP_AT if group else PRIVATE
        attachments = [self._attachment(content) for content in pictures]
        event = self.event(kind, f" {text}" if group else text, user=user, group=group, attachments=attachments)
        await self.push(event)
        return str(event["d"]["id"])

    async def push(self, event: Mapping[str, Any]) -> None:
        """Deliver an event, signed."""
        body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        status, answer = await self.deliver(body, self.signer.headers(body, int(time.time())))
        assert status == 200 and json.loads(answer) == _TAKEN, f"the bot answered {status}: {answer[:200]!r}"

    async def handshake(self, token: str = "Arq0D5A61EgUu4OxUvOp", *, signed: bool = False) -> tuple[int, bytes]:
        """What QQ sends when the callback address is saved; the bot's answer."""
        event_ts = str(int(time.time()))
        body = json.dumps({"d": {"plain_token": token, "event_ts": event_ts}, "op": 13}).encode()
        headers = self.signer.headers(body, event_ts) if signed else {"Content-Type": "application/json"}
        return await self.deliver(body, headers)

    def event(
        self,
        kind: str,
        content: str,
        *,
        user: str = "u1",
        group: str = "",
        attachments: Sequence[Mapping[str, Any]] = (),
        **fields: Any,
    ) -> dict[str, Any]:
        """The event of a message that can be answered."""
        message_id = f"ROBOT1.0_{secrets.token_hex(16)}"
        author = {"id": user, "member_openid" if group else "user_openid": user, "username": "", "bot": False}
        data: dict[str, Any] = {
            "id": message_id,
            "author": author,
            "content": content,
            "timestamp": datetime.now(_CHINA).isoformat(timespec="seconds"),
            "message_type": 0,
            "message_scene": {"source": "default", "ext": [f"msg_idx=REFIDX_{message_id[-8:]}=="]},
            **({"group_id": group, "group_openid": group} if group else {}),
            **({"attachments": list(attachments)} if attachments else {}),
            **fields,
        }
        self.questions[message_id] = Question(group or user, "groups" if group else "users", time.monotonic())
        return {"op": 0, "id": f"{kind}:{secrets.token_hex(8)}", "t": kind, "s": 1, "d": data}

    def call_name(self, request: web.Request) -> str:
        """Without the id of the chat."""
        return re.sub(r"^(/v2/\w+)/[^/]+/", r"\1/…/", request.path)

    # ------------------------------------------------------------------------ API

    def _attachment(self, content: bytes) -> dict[str, Any]:
        name = hashlib.sha256(content).hexdigest()[:16]
        self.pictures[name] = content
        return {
            "content_type": "image/png",
            "filename": f"{name}.png",
            "url": f"{self.base}/download/{name}",
            "width": 64,
            "height": 48,
            "size": len(content),
        }

    async def _token(self, request: web.Request) -> web.Response:
        data = await request.json()
        if data.get("appId") != self.app_id or data.get("clientSecret") != self.secret:
            self.refuse(request.path, "100016 invalid appid or secret")
            return web.json_response({"code": 100016, "message": "invalid appid or secret"})
        self.access_token = self.access_token or secrets.token_hex(24)
        return web.json_response({"access_token": self.access_token, "expires_in": "7200"})

    async def _me(self, request: web.Request) -> web.Response:
        return self._refused(request) or web.json_response({"id": "1", "username": "看图助手", "bot": True})

    async def _send(self, request: web.Request) -> web.Response:
        refused = self._refused(request) or self._too_fast(request, self._messages)
        if refused is not None:
            return refused
        data = await request.json()
        chat, kind = request.match_info["chat"], request.match_info["kind"]
        wrong = self._answered(data, chat, kind) if data.get("msg_id") else self._not_asked_for(chat)
        if wrong is not None:
            return self._no(request, *wrong)
        if data.get("msg_type") == 6 and kind == "users":
            assert data["input_notify"]["input_type"] == 1 and 1 <= data["input_notify"]["input_second"] <= 60
            self.typed.append(chat)
            self.changed()
            return web.json_response({})
        text = _text(data)
        wrong = self._unfit(text)
        if wrong is not None:
            return self._no(request, *wrong)
        if data.get("msg_id"):
            self.questions[data["msg_id"]].sequences.add(data.get("msg_seq", 1))
        kind = "markdown" if data["msg_type"] == 2 else "text"
        message_id = f"ROBOT1.0_{secrets.token_hex(16)}"
        self.record(Sent(chat, text, kind, message_id, data=data))
        return web.json_response({"id": message_id, "timestamp": datetime.now(_CHINA).isoformat(timespec="seconds")})

    async def _stream(self, request: web.Request) -> web.Response:
        """Whole texts, each beginning with the one before; the first counts as an answer."""
        refused = self._refused(request) or self._too_fast(request, self._pieces)
        if refused is not None:
            return refused
        data = await request.json()
        assert data["input_mode"] == "replace" and data["content_type"] in ("text", "markdown")
        stream = self.streams.get(data.get("stream_msg_id", ""))
        text = data["content_raw"]
        if stream is None:
            wrong = self._answered(data, request.match_info["chat"], "users") or self._unfit(text)
            if wrong is not None:
                return self._no(request, *wrong)
            self.questions[data["msg_id"]].sequences.add(data["msg_seq"])
            sent = Sent(request.match_info["chat"], text, "stream", secrets.token_hex(16), final=False, data=data)
            self.streams[sent.message_id] = stream = Stream(self.record(sent))
        else:
            if stream.sent.final or not text.startswith(stream.sent.text):
                return self._no(request, 40007, "已下发内容前缀不可修改")
            assert data["index"] == stream.index
            stream.index += 1
            stream.sent.show(text)
        stream.sent.final = data["input_state"] == 10
        self.changed()
        return web.json_response({"id": stream.sent.message_id, "remain_msg_len": 0})

    async def _picture(self, request: web.Request) -> web.Response:
        content = self.pictures.get(request.match_info["name"])
        return web.Response(status=404) if content is None else web.Response(body=content, content_type="image/png")

    def _answered(self, data: Mapping[str, Any], chat: str, kind: str) -> tuple[int, str] | None:
        question = self.questions.get(data["msg_id"])
        if question is None or (question.chat, question.kind) != (chat, kind):
            return 40034024, "请求参数msg_id无效或越权"
        seconds, count = _WINDOWS[kind]
        if time.monotonic() - question.asked_at > seconds:
            return 40034005, "回复消息msg_id已过期"
        if data.get("msg_seq", 1) in question.sequences:
            return 40054005, "消息被去重，请检查请求msgseq"
        return (40034128, "被动回复时间或次数超限") if len(question.sequences) >= count else None

    def _not_asked_for(self, chat: str) -> tuple[int, str] | None:
        if not self.active:
            return 40034105, "主动消息发送失败，无权限"
        limit = self._unasked.setdefault(chat, RateLimit(20, 60.0))
        return None if limit.allows() else (40034100, "主动消息发送超过频控限制")

    def _unfit(self, text: str) -> tuple[int, str] | None:
        if not text.strip():
            return 304061, "消息内容无效"
        if len(text) > _TEXT_LENGTH:
            return 40054007, "消息长度超限"
        return (40054010, "不允许发送URL") if not self.addresses and _ADDRESS.search(text) else None

    def _refused(self, request: web.Request) -> web.Response | None:
        if self.access_token and request.headers.get("Authorization") == f"QQBot {self.access_token}":
            return None
        return self._no(request, 11244, "token not exist or expire", 401)

    def _too_fast(self, request: web.Request, limit: RateLimit) -> web.Response | None:
        return None if limit.allows() else self._no(request, 22009, "msg limit exceed", 429)

    def _no(self, request: web.Request, code: int, why: str, status: int = 400) -> web.Response:
        # A copy is what an honest bot sends when it did not hear the answer.
        if code != 40054005:
            self.refuse(self.call_name(request), f"{code} {why}")
        data = {"err_code": code, "code": code, "message": why, "trace_id": secrets.token_hex(16)}
        return web.json_response(data, status=status)


def _text(data: Mapping[str, Any]) -> str:
    if data["msg_type"] == 2:
        assert "content" not in data, "Markdown stands alone"
        return str(data["markdown"]["content"])
    assert data["msg_type"] == 0, data["msg_type"]
    return str(data["content"])
