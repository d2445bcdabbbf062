"""A fake DingTalk: the robot API, session addresses, downloads, uploads, AI cards, and the signed webhook."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

from aiohttp import web

from adapters.simulated.platform import RateLimit, Sent, SimulatedPlatform

_LONGEST_PARAM = 15_000
_LONGEST_SESSION_BODY = 20_000
_SESSION_LIFE = 5400
_BOT = "$:LWCP_v1:$SimulatedBot"
_FILE_TYPES = ("xlsx", "pdf", "zip", "rar", "doc", "docx")


@dataclass
class Card:
    """A card instance and what its reader sees."""

    sent: Sent
    finished: bool = False


class Simulated(SimulatedPlatform):
    """cards: the section names a card template. session_life: seconds for which a session's address can be used."""

    platform: ClassVar[str] = "dingtalk"

    def __init__(self, *, cards: bool = False, session_life: int = _SESSION_LIFE) -> None:
        super().__init__()
        self.app_key, self.app_secret = "dingsimulatedkey", secrets.token_hex(24)
        self.path_secret = secrets.token_hex(8)
        self.template = "simulated.schema" if cards else ""
        self.session_life = session_life
        self.tokens: set[str] = set()
        self.sessions: dict[str, str] = {}
        self.files: dict[str, tuple[str, bytes]] = {}
        self.cards: dict[str, Card] = {}
        self._groups: dict[str, RateLimit] = {}
        self._card_calls = RateLimit(20, 1.0)
        self._robot_calls = RateLimit(20, 1.0)
        self._numbers = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1.0/oauth2/accessToken", self._access_token),
            web.post("/v1.0/robot/oToMessages/batchSend", self._batch_send),
            web.post("/v1.0/robot/groupMessages/send", self._group_send),
            web.post("/v1.0/robot/messageFiles/download", self._download),
            web.post("/v1.0/card/instances/createAndDeliver", self._create_card),
            web.put("/v1.0/card/streaming", self._stream_card),
            web.post("/robot/sendBySession", self._session),
            web.post("/media/upload", self._upload),
            web.get("/file/{code}", self._file),
        ]

    def section(self) -> dict[str, Any]:
        return {
            "app_key": self.app_key,
            "app_secret": self.app_secret,
            "robot_code": self.app_key,
            "chatbot_user_id": _BOT,
            "path_secret": self.path_secret,
            "picture_hosts": [urlsplit(self.base).hostname],
            "card_template_id": self.template,
            "api_url": self.base,
            "oapi_url": self.base,
        }

    async def say(self, text: str = "", pictures: Sequence[bytes] = (), *, user: str = "u1", group: str = "") -> str:
        message = self.message(text, pictures, user=user, group=group)
        body = json.dumps(message, ensure_ascii=False).encode()
        status, answer = await self.deliver(body, self.signed(), query={"key": self.path_secret})
        assert status == 200, (status, answer)
        return message["msgId"]

    def message(
        self, text: str = "", pictures: Sequence[bytes] = (), *, user: str = "u1", group: str = ""
    ) -> dict[str, Any]:
        """The body of a webhook request; in a group the robot is named, and its name cut out of the text."""
        self._numbers += 1
        now = int(time.time() * 1000)
        chat = f"cid{group or user}=="
        session = secrets.token_hex(8)
        self.sessions[session] = chat
        to_bot = {"isInAtList": True, "atUsers": [{"dingtalkId": _BOT}], "conversationTitle": group} if group else {}
        return {
            "conversationId": chat,
            "conversationType": "2" if group else "1",
            "chatbotUserId": _BOT,
            "msgId": f"msg{self._numbers}==",
            "senderNick": user,
            "senderStaffId": f"staff-{user}",
            "senderId": f"$:LWCP_v1:${user}",
            "createAt": now,
            "sessionWebhook": f"https://oapi.dingtalk.com/robot/sendBySession?session={session}",
            "sessionWebhookExpiredTime": now + self.session_life * 1000,
            "robotCode": self.app_key,
            **to_bot,
            **self._content(f" {text}" if group and text else text, pictures),
        }

    def signed(self, now: float | None = None) -> dict[str, str]:
        """The headers of a webhook request."""
        stamp = str(int((time.time() if now is None else now) * 1000))
        digest = hmac.digest(self.app_secret.encode(), f"{stamp}\n{self.app_secret}".encode(), hashlib.sha256)
        return {
            "Content-Type": "application/json; charset=utf-8",
            "timestamp": stamp,
            "sign": base64.b64encode(digest).decode(),
        }

    def end_sessions(self) -> None:
        """Every session's address ends before its time, as DingTalk lets it happen."""
        self.sessions.clear()

    def _content(self, text: str, pictures: Sequence[bytes]) -> dict[str, Any]:
        codes = [self._keep("picture.png", picture) for picture in pictures]
        if not codes:
            return {"msgtype": "text", "text": {"content": text}}
        if len(codes) == 1 and not text.strip():
            return {"msgtype": "picture", "content": {"downloadCode": codes[0], "pictureDownloadCode": codes[0]}}
        runs: list[dict[str, str]] = [{"text": text}] if text else []
        runs += [{"type": "picture", "downloadCode": code, "pictureDownloadCode": code} for code in codes]
        return {"msgtype": "richText", "content": {"richText": runs}}

    def _keep(self, name: str, content: bytes) -> str:
        code = secrets.token_hex(16)
        self.files[code] = (name, content)
        return code

    # ---------------------------------------------------------------- refusals

    def _no(self, request: web.Request, status: int, code: str, why: str) -> web.Response:
        """The newer API's way."""
        self.refuse(request.path, code)
        return web.json_response({"code": code, "message": why, "requestid": "simulated"}, status=status)

    def _older_no(self, request: web.Request, code: int, why: str) -> web.Response:
        """The older API's way."""
        self.refuse(request.path, str(code))
        return web.json_response({"errcode": code, "errmsg": why})

    def _unauthorised(self, request: web.Request) -> web.Response | None:
        if request.headers.get("x-acs-dingtalk-access-token") in self.tokens:
            return None
        return self._no(request, 401, "InvalidAuthentication", "不合法的access_token")

    # ------------------------------------------------------------------ robot

    async def _access_token(self, request: web.Request) -> web.Response:
        if await request.json() != {"appKey": self.app_key, "appSecret": self.app_secret}:
            return self._no(request, 400, "invalidClientIdOrSecret", "无效的clientId或者clientSecret")
        token = secrets.token_hex(16)
        self.tokens = {token}
        return web.json_response({"accessToken": token, "expireIn": 7200})

    async def _session(self, request: web.Request) -> web.Response:
        chat = self.sessions.get(request.query.get("session", ""))
        body = await request.read()
        if chat is None:
            return self._older_no(request, 300001, "session 不存在")
        if len(body) > _LONGEST_SESSION_BODY:
            return self._older_no(request, 460101, "message too long")
        if not self._groups.setdefault(chat, RateLimit(20, 60.0)).allows():
            return self._older_no(request, 130101, "send too fast, exceed 20 times per minute")
        data = json.loads(body)
        kind = data.get("msgtype")
        if kind not in ("text", "markdown"):
            return self._older_no(request, 400105, "不支持的消息类型")
        content = data[kind]
        self._show(chat, kind, content.get("content", ""), content)
        return web.json_response({"errcode": 0, "errmsg": "ok"})

    async def _batch_send(self, request: web.Request) -> web.Response:
        data = await request.json()
        users: list[Any] = data.get("userIds") or []
        refused = self._unauthorised(request) or self._bad_message(request, data)
        if refused:
            return refused
        if not 0 < len(users) <= 20:
            return self._no(request, 400, "invalidParameter.userIds.empty", "用户userId列表为空")
        invalid = [one for one in users if not str(one).startswith("staff-")]
        for one in users:
            if one not in invalid:
                self._show_sample(f"cid{one.removeprefix('staff-')}==", data)
        key = secrets.token_hex(8)
        return web.json_response(
            {"processQueryKey": key, "invalidStaffIdList": invalid, "flowControlledStaffIdList": []}
        )

    async def _group_send(self, request: web.Request) -> web.Response:
        data = await request.json()
        refused = self._unauthorised(request) or self._bad_message(request, data)
        if refused:
            return refused
        if not str(data.get("openConversationId", "")).startswith("cid"):
            return self._no(request, 400, "invalid.openConversationId", "无效的openConversationId")
        self._show_sample(data["openConversationId"], data)
        return web.json_response({"processQueryKey": secrets.token_hex(8)})

    def _bad_message(self, request: web.Request, data: dict[str, Any]) -> web.Response | None:
        params = data.get("msgParam")
        if not self._robot_calls.allows():
            return self._no(request, 403, "Forbidden.AccessDenied.QpsLimitForApi", "当前接口调用超过了QPS限制")
        if data.get("robotCode") != self.app_key:
            return self._no(request, 400, "invalidParameter.robotCode.auth", "robotCode 不匹配")
        if not isinstance(params, str) or len(params.encode()) > _LONGEST_PARAM:
            return self._no(request, 400, "invalidParameter.msgParam.invalid", "msgParam 不合法")
        fields = json.loads(params)
        wanted = {
            "sampleText": ("content",),
            "sampleMarkdown": ("title", "text"),
            "sampleFile": ("mediaId", "fileType"),
        }
        names = wanted.get(data.get("msgKey", ""))
        if names is None or any(not fields.get(name) for name in names):
            return self._no(request, 400, "invalidParameter.msgKey.invalid", "msgKey 不合法")
        if "mediaId" in fields and (fields["mediaId"] not in self.files or fields["fileType"] not in _FILE_TYPES):
            return self._no(request, 400, "invalidParameter.msgParam.invalid", "mediaId 不合法")
        return None

    def _show_sample(self, chat: str, data: dict[str, Any]) -> None:
        fields = json.loads(data["msgParam"])
        if data["msgKey"] == "sampleFile":
            name, content = self.files[fields["mediaId"]]
            self._show(chat, "file", fields.get("fileName") or name, {**fields, "content": content})
        else:
            kind = "markdown" if data["msgKey"] == "sampleMarkdown" else "text"
            self._show(chat, kind, fields.get("content", ""), fields)

    def _show(self, chat: str, kind: str, text: str, data: dict[str, Any]) -> None:
        """Markdown needs two spaces before a line break; a reader sees only the break."""
        if kind == "markdown":
            text = data["text"].replace("  \n", "\n")
        self.record(Sent(chat, text, kind, f"sent{len(self.sent) + 1}", data=data))

    # ------------------------------------------------------------------ files

    async def _download(self, request: web.Request) -> web.Response:
        data = await request.json()
        refused = self._unauthorised(request)
        if refused:
            return refused
        if data.get("downloadCode") not in self.files or data.get("robotCode") != self.app_key:
            return self._no(request, 400, "invalidParameter.downloadCode", "downloadCode 不存在或已过期")
        return web.json_response({"downloadUrl": f"{self.base}/file/{data['downloadCode']}"})

    async def _file(self, request: web.Request) -> web.Response:
        _, content = self.files[request.match_info["code"]]
        return web.Response(body=content, content_type="image/png")

    async def _upload(self, request: web.Request) -> web.Response:
        if request.query.get("access_token") not in self.tokens:
            return self._older_no(request, 40014, "不合法的access_token")
        media = (await request.post()).get("media")
        if not isinstance(media, web.FileField) or request.query.get("type") != "file":
            return self._older_no(request, 40035, "不合法的参数")
        code = "@" + self._keep(media.filename, media.file.read())
        self.files[code] = self.files.pop(code[1:])
        return web.json_response({"errcode": 0, "errmsg": "ok", "media_id": code, "type": "file"})

    # ------------------------------------------------------------------ cards

    async def _create_card(self, request: web.Request) -> web.Response:
        data = await request.json()
        refused = self._unauthorised(request) or self._too_many_card_calls(request)
        if refused:
            return refused
        if not self.template or data.get("cardTemplateId") != self.template:
            return self._no(request, 400, "param.cardTemplateNotExist", "卡片模板不存在")
        kind, _, place = str(data.get("openSpaceId", "")).removeprefix("dtv1.card//").partition(".")
        model = "imGroupOpenDeliverModel" if kind == "IM_GROUP" else "imRobotOpenDeliverModel"
        if not place or data.get(model, {}).get("robotCode") != self.app_key or data["outTrackId"] in self.cards:
            return self._no(request, 400, "param.openSpaceIdInvalid", "openSpaceId 不合法")
        chat = place if kind == "IM_GROUP" else f"cid{place.removeprefix('staff-')}=="
        sent = self.record(Sent(chat, "", "card", data["outTrackId"], final=False))
        self.cards[data["outTrackId"]] = Card(sent)
        results = [{"spaceId": place, "spaceType": kind, "success": True, "errorMsg": ""}]
        return web.json_response(
            {"success": True, "result": {"outTrackId": data["outTrackId"], "deliverResults": results}}
        )

    async def _stream_card(self, request: web.Request) -> web.Response:
        data = await request.json()
        refused = self._unauthorised(request) or self._too_many_card_calls(request)
        if refused:
            return refused
        card = self.cards.get(data.get("outTrackId", ""))
        if card is None or data.get("key") != "content" or not data.get("guid") or data.get("isFull") is not True:
            return self._no(request, 400, "param.error", "参数不合法")
        if card.finished and data["content"] != card.sent.text:
            return self._no(request, 400, "card.finished", "卡片已经结束")
        card.sent.show(data["content"])
        card.finished = card.sent.final = card.finished or bool(data.get("isFinalize"))
        self.changed()
        return web.json_response({"success": True, "result": True})

    def _too_many_card_calls(self, request: web.Request) -> web.Response | None:
        if self._card_calls.allows():
            return None
        return self._no(request, 403, "Forbidden.AccessDenied.QpsLimitForApi", "当前接口调用超过了QPS限制")
