"""WeChat's customer service and its server: callbacks, pages of messages, sessions, five answers per message."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from aiohttp import web

from adapters.simulated.company import DELIVERIES, TEXT_BYTES, Company, refusal
from adapters.simulated.envelope import document
from adapters.simulated.platform import Sent

_ANSWERS = 5
_WINDOW = 48 * 3600.0
_NEW, _ASSISTANT, _QUEUE, _PERSON, _ENDED = range(5)


@dataclass
class Customer:
    """written_at: when they last wrote; left: how many messages may still come; state: of their session."""

    written_at: float = 0.0
    left: int = 0
    state: int = _NEW


class Simulated(Company):
    """One company with one account. page: items of a page at most; has_gaps: an empty page comes between two others.

    msgids: of all that was sent; handed: customers with the state that the bot put them into.
    """

    platform: ClassVar[str] = "wechat_kf"

    def __init__(self, *, page: int = 1000, has_gaps: bool = False) -> None:
        super().__init__()
        self.page = page
        self.has_gaps = has_gaps
        self.open_kfid = "wk" + secrets.token_urlsafe(16)
        self.items: list[dict[str, Any]] = []
        self.customers: dict[str, Customer] = {}
        self.msgids: set[str] = set()
        self.handed: list[tuple[str, int, str]] = []
        self._sync_tokens: set[str] = set()

    def routes(self) -> list[web.RouteDef]:
        """Token, messages out and in, sessions, accounts, media."""
        return [
            *super().routes(),
            web.post("/cgi-bin/kf/sync_msg", self._sync),
            web.post("/cgi-bin/kf/send_msg", self._send),
            web.post("/cgi-bin/kf/service_state/get", self._state),
            web.post("/cgi-bin/kf/service_state/trans", self._trans),
            web.post("/cgi-bin/kf/account/list", self._accounts),
        ]

    def section(self) -> dict[str, Any]:
        """An adapter section for this account."""
        return super().section() | {"open_kfids": [self.open_kfid]}

    def expire_sync_tokens(self) -> None:
        """Ten minutes have passed since the last callback."""
        self._sync_tokens.clear()

    # ----------------------------------------------------- what customers do

    async def say(self, text: str = "", pictures: Sequence[bytes] = (), *, user: str = "u1", group: str = "") -> str:
        """Pictures come first, each as a message of its own, then the text; one callback tells of all."""
        assert not group, "customer service knows no groups"
        message_id = ""
        for picture in pictures:
            media_id = secrets.token_urlsafe(12)
            self.media[media_id] = picture
            message_id = self.write("image", {"media_id": media_id}, user=user)
        if text:
            message_id = self.write("text", {"content": text, "menu_id": ""}, user=user)
        await self.call_back()
        return message_id

    def write(
        self, kind: str, content: Mapping[str, Any], *, user: str = "u1", origin: int = 3, sent_at: int | None = None
    ) -> str:
        """Put a message to the others; nobody is told."""
        message_id = secrets.token_urlsafe(20)
        item = {"msgid": message_id, "open_kfid": self.open_kfid, "external_userid": user, "origin": origin}
        self.items.append({**item, "send_time": sent_at or int(time.time()), "msgtype": kind, kind: dict(content)})
        if origin == 3:
            customer = self.customers.setdefault(user, Customer())
            customer.written_at, customer.left = time.time(), _ANSWERS
            customer.state = _NEW if customer.state == _ENDED else customer.state
        return message_id

    def happen(self, event: Mapping[str, Any]) -> None:
        """Put an event to the messages; the ids stand inside only."""
        self.items.append(
            {"msgid": "", "origin": 4, "send_time": int(time.time()), "msgtype": "event", "event": dict(event)}
        )

    async def call_back(self) -> None:
        """Tell the bot that there is something; four times at most."""
        status = 0
        for _ in range(DELIVERIES):
            sync_token = secrets.token_urlsafe(24)
            self._sync_tokens.add(sync_token)
            values = {"ToUserName": self.corp_id, "CreateTime": int(time.time()), "MsgType": "event"}
            event = {"Event": "kf_msg_or_event", "Token": sync_token, "OpenKfId": self.open_kfid}
            status, body = await self.push(document(values | event))
            if (status, body) == (200, b"success"):
                return
        raise AssertionError(f"the bot answered {status}")

    # ---------------------------------------------------------------- server

    async def _opened(self, request: web.Request) -> tuple[dict[str, Any], web.Response | None]:
        """The call's data; or the refusal of a stranger, or for another's account."""
        stranger = self.stranger(request)
        if stranger is not None:
            return {}, stranger
        data = await request.json()
        if data.get("open_kfid", self.open_kfid) != self.open_kfid:
            self.refuse(request.path, "not this account")
            return {}, refusal(95000, "invalid open_kfid")
        return data, None

    async def _sync(self, request: web.Request) -> web.Response:
        data, refused = await self._opened(request)
        if refused is not None:
            return refused
        if "token" in data and data["token"] not in self._sync_tokens:
            return refusal(95007, "invalid msgtoken")
        limit = data.get("limit", 1000)
        if not 1 <= limit <= 1000:
            self.refuse(request.path, "limit")
            return refusal(40058, "limit exceeds")
        mark, _, gap = data.get("cursor", "0").partition("-")
        if self.has_gaps and not gap:
            return self._page([], f"{mark}-gap", more=True)
        start = int(mark)
        end = min(start + min(limit, self.page), len(self.items))
        return self._page(self.items[start:end], str(end), more=end < len(self.items))

    def _page(self, items: list[dict[str, Any]], cursor: str, *, more: bool) -> web.Response:
        answer = {"errcode": 0, "errmsg": "ok", "next_cursor": cursor, "has_more": int(more), "msg_list": items}
        return web.json_response(answer)

    async def _send(self, request: web.Request) -> web.Response:
        data, refused = await self._opened(request)
        if refused is not None:
            return refused
        user, msgid = data.get("touser", ""), data.get("msgid") or secrets.token_hex(16)
        customer = self.customers.get(user, Customer())
        if len(msgid) > 32:
            self.refuse(request.path, "msgid")
            return refusal(40058, "msgid exceed max length")
        if msgid in self.msgids:
            return refusal(40058, "msgid is not unique")
        if customer.state not in (_NEW, _ASSISTANT):
            return refusal(95018, "send msg session status invalid")
        if time.time() - customer.written_at > _WINDOW:
            return refusal(95002, "send msg time limit")
        if not customer.left:
            return refusal(95001, "send msg count limit")
        sent = self._content(request, user, data)
        if isinstance(sent, web.Response):
            return sent
        customer.left -= 1
        self.msgids.add(msgid)
        sent.message_id = msgid
        self.record(sent)
        return web.json_response({"errcode": 0, "errmsg": "ok", "msgid": msgid})

    def _content(self, request: web.Request, user: str, data: Mapping[str, Any]) -> Sent | web.Response:
        if data.get("msgtype") == "file":
            return self.file(request, user, data)
        text = data.get("text", {}).get("content", "")
        if not text or len(text.encode()) > TEXT_BYTES:
            self.refuse(request.path, "the text's length")
            return refusal(45002, "content size out of limit")
        return Sent(user, text)

    async def _state(self, request: web.Request) -> web.Response:
        data, refused = await self._opened(request)
        if refused is not None:
            return refused
        customer = self.customers.get(data.get("external_userid", ""))
        if customer is None:
            return refusal(40003, "invalid external_userid")
        return web.json_response({"errcode": 0, "errmsg": "ok", "service_state": customer.state})

    async def _trans(self, request: web.Request) -> web.Response:
        data, refused = await self._opened(request)
        if refused is not None:
            return refused
        user, state, servicer = (
            data.get("external_userid", ""),
            data.get("service_state"),
            data.get("servicer_userid", ""),
        )
        customer = self.customers.get(user)
        if customer is None or state not in (_QUEUE, _PERSON) or customer.state not in (_NEW, _ASSISTANT):
            return refusal(95016, "not allowed service state")
        if state == _PERSON and not servicer:
            self.refuse(request.path, "no servicer")
            return refusal(95014, "not a servicer")
        customer.state = state
        self.handed.append((user, state, servicer))
        self.changed()
        return web.json_response({"errcode": 0, "errmsg": "ok"})

    async def _accounts(self, request: web.Request) -> web.Response:
        _, refused = await self._opened(request)
        if refused is not None:
            return refused
        account = {"open_kfid": self.open_kfid, "name": "看图客服", "avatar": "", "manage_privilege": True}
        return web.json_response({"errcode": 0, "errmsg": "ok", "account_list": [account]})
