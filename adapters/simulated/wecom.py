"""A self-built app of WeCom and its server: callbacks with retries, messages, files, pictures."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from aiohttp import web

from adapters.simulated.company import DELIVERIES, TEXT_BYTES, Company, refusal
from adapters.simulated.envelope import document
from adapters.simulated.platform import RateLimit, Sent


class Simulated(Company):
    """One company with one app. absent: members who have left."""

    platform: ClassVar[str] = "wecom"

    def __init__(self) -> None:
        super().__init__()
        self.agent_id = 1000002
        self.absent: set[str] = set()
        self._rates: dict[str, tuple[RateLimit, RateLimit]] = {}
        self._next_id = 4_561_255_354_251_345_929

    def routes(self) -> list[web.RouteDef]:
        """Token, messages, media, and what the app is called."""
        return [
            *super().routes(),
            web.post("/cgi-bin/message/send", self._send),
            web.get("/cgi-bin/agent/get", self._agent),
        ]

    def section(self) -> dict[str, Any]:
        """An adapter section for this app."""
        return super().section() | {"agent_id": self.agent_id}

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
        for _ in range(DELIVERIES):
            status, _ = await self.push(message, self.agent_id)
            if status == 200:
                return message_id
        raise AssertionError(f"the bot answered {status}")

    # ---------------------------------------------------------------- server

    async def _send(self, request: web.Request) -> web.Response:
        stranger = self.stranger(request)
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
            file = self.file(request, member, data)
            return self._accepted(file) if isinstance(file, Sent) else file
        text = data.get("text", {}).get("content", "") if kind == "text" else ""
        if not text:
            self.refuse(request.path, "no text")
            return refusal(44004, "content size out of limit")
        if len(text.encode()) > TEXT_BYTES:
            self.refuse(request.path, "too long")
            return refusal(45002, "content size out of limit")
        return self._accepted(Sent(member, text))

    def _accepted(self, sent: Sent) -> web.Response:
        sent.message_id = secrets.token_urlsafe(16)
        self.record(sent)
        return web.json_response({"errcode": 0, "errmsg": "ok", "msgid": sent.message_id})

    def _rates_of(self, member: str) -> tuple[RateLimit, RateLimit]:
        return self._rates.setdefault(member, (RateLimit(30, 60.0), RateLimit(1000, 3600.0)))

    async def _agent(self, request: web.Request) -> web.Response:
        stranger = self.stranger(request)
        if stranger is not None:
            return stranger
        if request.query.get("agentid") != str(self.agent_id):
            return refusal(301002, "not allow operate another agent with this accesstoken")
        return web.json_response({"errcode": 0, "errmsg": "ok", "agentid": self.agent_id, "name": "看图"})
