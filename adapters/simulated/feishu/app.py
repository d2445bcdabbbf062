"""Feishu as a bot sees it: signed events, messages and replies, files, pictures, and cards that grow."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, cast

from aiohttp import BodyPartReader, web

from adapters.simulated.feishu.cards import CALL, CARD_BYTES, Cards, Json, Refused, card_text, done
from adapters.simulated.feishu.seal import encrypt, signed
from adapters.simulated.platform import RateLimit, Sent, SimulatedPlatform

BOT = "ou_simulated_bot"
TEXT_BYTES = 150 * 1024
API = "/open-apis"


class Simulated(SimulatedPlatform):
    """One self-built app in one company. `recalled`, `outside`: messages and chats that the bot can no longer use.

    messages: what users wrote, as the API shows it. tokens: those that are valid.
    """

    platform = "feishu"

    def __init__(self) -> None:
        super().__init__()
        self.app_id = "cli_simulated"
        self.app_secret = "simulated-app-secret"
        self.encrypt_key = "simulated-encrypt-key"
        self.token = "simulated-verification-token"
        self.tokens: set[str] = set()
        self.recalled: set[str] = set()
        self.outside: set[str] = set()
        self.messages: dict[str, list[Json]] = {}
        self.pictures: dict[tuple[str, str], bytes] = {}
        self.files: dict[str, tuple[str, bytes]] = {}
        self.cards = Cards(self.changed)
        self._count = 0
        self._uuids: dict[str, str] = {}
        self._app_rates = [RateLimit(50, 1.0), RateLimit(1000, 60.0)]
        self._chat_rates: defaultdict[str, RateLimit] = defaultdict(lambda: RateLimit(5, 1.0))
        self._chats: dict[str, str] = {}

    def section(self) -> Json:
        return {
            "platform": "feishu",
            "app_id": self.app_id,
            "app_secret": self.app_secret,
            "encrypt_key": self.encrypt_key,
            "verification_token": self.token,
            "bot_open_id": BOT,
            "api_base": self.base,
        }

    def routes(self) -> list[web.RouteDef]:
        messages, cards = f"{API}/im/v1/messages", f"{API}/cardkit/v1/cards"
        return [
            web.post(f"{API}/auth/v3/tenant_access_token/internal", self._token),
            web.get(f"{API}/bot/v3/info", self._guarded(self._info)),
            web.post(messages, self._guarded(self._send)),
            web.post(f"{messages}/{{id}}/reply", self._guarded(self._reply)),
            web.get(f"{messages}/{{id}}", self._guarded(self._get)),
            web.delete(f"{messages}/{{id}}", self._guarded(self._recall)),
            web.get(f"{messages}/{{id}}/resources/{{key}}", self._guarded(self._resource)),
            web.post(f"{API}/im/v1/files", self._guarded(self._upload)),
            web.post(cards, self._guarded(self.cards.create)),
            web.put(f"{cards}/{{card}}", self._guarded(self.cards.replace)),
            web.put(f"{cards}/{{card}}/elements/{{element}}/content", self._guarded(self.cards.grow)),
            web.patch(f"{cards}/{{card}}/settings", self._guarded(self.cards.settings)),
        ]

    def call_name(self, request: web.Request) -> str:
        path = request.match_info.route.resource
        return f"{request.method} {path.canonical.removeprefix(API) if path else request.path}"

    # ------------------------------------------------------------------ users

    async def say(
        self,
        text: str = "",
        pictures: Sequence[bytes] = (),
        *,
        user: str = "u1",
        group: str = "",
        reply_to: str = "",
        thread: str = "",
        at: bool = True,
    ) -> str:
        message_id = self._id("om")
        keys = [self._id("img") for _ in pictures]
        self.pictures |= {(message_id, key): picture for key, picture in zip(keys, pictures, strict=True)}
        mentions = [_mention("@_user_1")] if group and at else []
        if keys and not text and not mentions:
            # Only the first: an image message holds one.
            kind, content = "image", {"image_key": keys[0]}
        elif keys:
            line: list[Json] = [{"tag": "at", "user_id": "@_user_1", "user_name": "看图"}] if mentions else []
            line.append({"tag": "text", "text": f" {text}" if mentions else text})
            rows = [line, *([{"tag": "img", "image_key": key}] for key in keys)]
            kind, content = "post", {"title": "", "content": rows}
        else:
            kind, content = "text", {"text": f"@_user_1 {text}" if mentions else text}
        await self.write(
            message_id, kind, json.dumps(content, ensure_ascii=False), user, group, reply_to, thread, mentions
        )
        return message_id

    async def forward(self, children: Sequence[Json], *, user: str = "u1") -> str:
        """A forwarded bundle; children: messages as the API shows them, below the bundle or below each other."""
        message_id = self._id("om")
        content = '"Merged and Forwarded Message"'
        own = self._item(message_id, "merge_forward", content, user, [])
        self.messages[message_id] = [own, *({"upper_message_id": message_id, **child} for child in children)]
        await self.write(message_id, "merge_forward", content, user, "", "", "", [])
        return message_id

    async def write(
        self,
        message_id: str,
        kind: str,
        content: str,
        user: str,
        group: str,
        reply_to: str,
        thread: str,
        mentions: list[Json],
    ) -> None:
        """Deliver a message event; it can be fetched afterwards."""
        fetched = [{**mention, "id": mention["id"]["open_id"], "id_type": "open_id"} for mention in mentions]
        self.messages.setdefault(message_id, [self._item(message_id, kind, content, user, fetched)])
        chat = f"oc_group_{group}" if group else f"oc_p2p_{user}"
        self._chats[message_id] = chat
        message: Json = {
            "message_id": message_id,
            "root_id": reply_to,
            "parent_id": reply_to,
            "create_time": str(int(time.time() * 1000)),
            "chat_id": chat,
            "chat_type": "group" if group else "p2p",
            "message_type": kind,
            "content": content,
        }
        message |= {"mentions": mentions} if mentions else {}
        message |= {"thread_id": thread} if thread else {}
        sender = {"sender_id": {"open_id": f"ou_{user}", "union_id": "", "user_id": ""}, "sender_type": "user"}
        await self.push("im.message.receive_v1", {"sender": sender, "message": message})

    async def push(self, event_type: str, event: Json) -> None:
        """Deliver an event, encrypted and signed. Raises AssertionError when it is not taken."""
        header = {
            "event_id": self._id("evt"),
            "event_type": event_type,
            "create_time": str(int(time.time() * 1000)),
            "token": self.token,
            "app_id": self.app_id,
            "tenant_key": "simulated",
        }
        plain = json.dumps({"schema": "2.0", "header": header, "event": event}, ensure_ascii=False)
        body = json.dumps({"encrypt": encrypt(self.encrypt_key, plain.encode())}).encode()
        status, answer = await self.deliver(body, signed(self.encrypt_key, body, int(time.time())))
        assert status == 200, f"{status} {answer!r}"

    async def verify_address(self) -> bytes:
        """What Feishu does when the address is saved: unsigned, the token inside."""
        plain = json.dumps({"challenge": "c-1", "token": self.token, "type": "url_verification"})
        body = json.dumps({"encrypt": encrypt(self.encrypt_key, plain.encode())}).encode()
        status, answer = await self.deliver(body, {"Content-Type": "application/json"})
        assert status == 200, f"{status} {answer!r}"
        return answer

    # -------------------------------------------------------------------- API

    def _guarded(self, handler: Any) -> Any:
        """Only with a valid token, and no faster than documented; a refusal becomes the documented answer."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                self._authorise(request)
                return await handler(request)
            except Refused as refused:
                self.refuse(self.call_name(request), str(refused))
                return refused.answer

        return guarded

    def _authorise(self, request: web.Request) -> None:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or not token:
            raise Refused(99991661, "Missing access token for authorization")
        if token not in self.tokens:
            raise Refused(99991663, "Invalid access token for authorization")
        if not all([rate.allows() for rate in self._app_rates]):
            raise Refused(99991400, "request trigger frequency limit", 429, {"x-ogw-ratelimit-reset": "1"})

    async def _token(self, request: web.Request) -> web.Response:
        data = await request.json()
        if data.get("app_id") != self.app_id:
            return web.json_response({"code": 10003, "msg": "invalid param"})
        if data.get("app_secret") != self.app_secret:
            return web.json_response({"code": 10015, "msg": "app secret invalid"})
        token = self._id("t-")
        self.tokens.add(token)
        return web.json_response({"code": 0, "msg": "ok", "tenant_access_token": token, "expire": 7200})

    async def _info(self, request: web.Request) -> web.Response:
        bot = {"activate_status": 2, "app_name": "看图", "open_id": BOT}
        return web.json_response({"code": 0, "msg": "ok", "bot": bot})

    async def _send(self, request: web.Request) -> web.Response:
        data = await request.json()
        if request.query.get("receive_id_type") != "chat_id" or not data.get("receive_id"):
            raise Refused(230001, "Your request contains an invalid request parameter.")
        return self._post(data["receive_id"], data)

    async def _reply(self, request: web.Request) -> web.Response:
        message_id = request.match_info["id"]
        if message_id in self.recalled:
            raise Refused(230011, "The message is recalled.")
        if message_id not in self._chats:
            raise Refused(230001, "invalid message_id")
        return self._post(self._chats[message_id], await request.json(), message_id)

    def _post(self, chat: str, data: Json, answered: str = "") -> web.Response:
        uuid, kind = str(data.get("uuid") or ""), data.get("msg_type")
        if len(uuid) > 50:
            raise Refused(230001, "uuid is too long")
        if chat in self.outside:
            raise Refused(230002, "The bot can not be outside the group.")
        if not self._chat_rates[chat].allows():
            raise Refused(230020, "This operation triggers the frequency limit.")
        if len(data["content"].encode()) > (TEXT_BYTES if kind == "text" else CARD_BYTES):
            raise Refused(230025, "The length of the message content reaches its limit.")
        if uuid and uuid in self._uuids:
            return done(message_id=self._uuids[uuid])
        message_id = self._id("om")
        self._show(chat, message_id, str(kind), json.loads(data["content"]), {**data, "answered": answered})
        self._chats[message_id] = chat
        self._uuids[uuid] = message_id
        return done(message_id=message_id)

    def _show(self, chat: str, message_id: str, kind: str, content: Json, data: Json) -> None:
        """Record what the reader sees."""
        sent = Sent(chat, "", kind, message_id, data=data)
        if kind == "text":
            sent.text = content["text"]
        elif kind == "file":
            sent.text = self.files[content["file_key"]][0]
        elif content.get("type") == "card":
            shown = self.cards[content["data"]["card_id"]]
            shown.message, sent.text, sent.final = sent, shown.text, not shown.streaming
        else:
            sent.text = card_text(content)
        if CALL.search(sent.text):
            raise Refused(230099, "somebody would be called by the bot's text")
        self.record(sent)

    async def _get(self, request: web.Request) -> web.Response:
        message_id = request.match_info["id"]
        if message_id not in self.messages:
            raise Refused(230110, "Action unavailable as the message has been deleted.")
        return done(items=self.messages[message_id])

    async def _recall(self, request: web.Request) -> web.Response:
        self.recalled.add(request.match_info["id"])
        self.sent[:] = [sent for sent in self.sent if sent.message_id != request.match_info["id"]]
        self.changed()
        return done()

    async def _resource(self, request: web.Request) -> web.Response:
        picture = self.pictures.get((request.match_info["id"], request.match_info["key"]))
        if request.query.get("type") != "image" or picture is None:
            inside = {item["message_id"] for items in self.messages.values() for item in items[1:]}
            raise Refused(
                *(
                    (234043, "Unsupported message type.")
                    if request.match_info["id"] in inside
                    else (234003, "File not in message.")
                )
            )
        return web.Response(body=picture, content_type="image/png")

    async def _upload(self, request: web.Request) -> web.Response:
        fields: dict[str, str] = {}
        content = b""
        async for part in await request.multipart():
            part = cast("BodyPartReader", part)
            if part.name == "file":
                content = bytes(await part.read())
            elif part.name:
                fields[part.name] = await part.text()
        if fields.get("file_type") != "stream" or not fields.get("file_name"):
            raise Refused(234001, "Invalid request param.")
        if not content:
            raise Refused(234010, "File's size can't be 0.")
        key = self._id("file")
        self.files[key] = (fields["file_name"], content)
        return done(file_key=key)

    def _id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count}"

    def _item(self, message_id: str, kind: str, content: str, user: str, mentions: list[Json]) -> Json:
        sender = {"id": f"ou_{user}", "id_type": "open_id", "sender_type": "user"}
        return {
            "message_id": message_id,
            "msg_type": kind,
            "deleted": False,
            "sender": sender,
            "body": {"content": content},
            "mentions": mentions,
        }


def _mention(key: str) -> Json:
    ids = {"open_id": BOT, "union_id": "on_simulated_bot", "user_id": ""}
    return {"key": key, "id": ids, "name": "看图", "mentioned_type": "bot", "tenant_key": "simulated"}
