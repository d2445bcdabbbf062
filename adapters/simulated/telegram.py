"""Telegram's Bot API server, and people who write to the bot."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from html.parser import HTMLParser
from typing import Any, ClassVar

from aiohttp import web

from adapters.simulated.platform import RateLimit, Sent, SimulatedPlatform

LONGEST = 4096
"""UTF-16 units of a text, after its entities were parsed."""

_TAGS = frozenset({"b", "strong", "i", "em", "u", "s", "code", "pre", "a", "blockquote"})
_BIGGEST_FILE = 20 << 20
_SAME = "message is not modified"


def units(text: str) -> int:
    """UTF-16 code units."""
    return len(text.encode("utf-16-le")) // 2


class Markup(HTMLParser):
    """Telegram's HTML: tags must be known and closed in order. Raises ValueError."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self._open: list[str] = []
        self.feed(source)
        self.close()
        if self._open:
            raise ValueError(f"tag {self._open[-1]} is not closed")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _TAGS:
            raise ValueError(f"unsupported start tag {tag}")
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            raise ValueError(f"unexpected end tag {tag}")

    def handle_data(self, data: str) -> None:
        self.text += data


class Refusal(Exception):
    """Telegram's answer to a call that it refuses."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code = code
        self.parameters = parameters


class Simulated(SimulatedPlatform):
    """One bot. Users and groups are named as one likes; Telegram's numbers for them are made up.

    quiet: seconds without an edit after which a message counts as finished (nothing on Telegram tells). blocked: users
    who blocked the bot, groups that removed it. drafts: whether the server knows sendMessageDraft. last_error: what
    getWebhookInfo tells of deliveries. gone: file ids that have expired.
    """

    platform: ClassVar[str] = "telegram"

    def __init__(self, *, quiet: float = 1.0) -> None:
        super().__init__()
        self.bot_id = 700_100_200
        self.username = "kantu_bot"
        self.token = f"{self.bot_id}:{secrets.token_urlsafe(24)}"
        self.secret = secrets.token_urlsafe(24)
        self.quiet = quiet
        self.drafts = True
        self.last_error = ""
        self.blocked: set[str] = set()
        self.gone: set[str] = set()
        self.files: dict[str, bytes] = {}
        self.actions: list[tuple[str, str]] = []
        self._names: dict[int, str] = {}
        self._known: dict[int, set[int]] = {}
        self._drafts: dict[tuple[int, int], Sent] = {}
        self._messages: dict[tuple[int, int], Sent] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._next = 1000
        self._all = RateLimit(30, 0.95)
        self._group_rates: dict[int, RateLimit] = {}

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/bot{token}/{method}", self._method), web.get("/file/bot{token}/{path:.+}", self._file)]

    def call_name(self, request: web.Request) -> str:
        """Without the token."""
        return "/" + request.path.rsplit("/", 1)[-1] if request.path.startswith("/bot") else "/file"

    def section(self) -> dict[str, Any]:
        return {
            "secret_token": self.secret,
            "bot_token": self.token,
            "bot_username": self.username,
            "bot_id": str(self.bot_id),
            "api_base": self.base,
        }

    async def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        await super().stop()

    # ------------------------------------------------------------- people

    async def say(self, text: str = "", pictures: Sequence[bytes] = (), *, user: str = "u1", group: str = "") -> str:
        """Several pictures are an album: one update each, the first with the text."""
        named = f"@{self.username} {text}".rstrip() if group else text
        entities = [{"type": "mention", "offset": 0, "length": units(self.username) + 1}] if group else []
        if not pictures:
            return await self.send(self.message({"text": named, "entities": entities}, user=user, group=group))
        album = {"media_group_id": str(self._number())} if len(pictures) > 1 else {}
        first = ""
        for number, picture in enumerate(pictures):
            said = {"caption": named, "caption_entities": entities} if named and not number else {}
            message = self.message({"photo": self.photo(picture), **said, **album}, user=user, group=group)
            first = first or str(message["message_id"])
            await self.send(message)
        return first

    async def send(self, message: Mapping[str, Any], *, update_id: int = 0) -> str:
        """Deliver a message as one update."""
        status, body = await self.deliver(self.update({"message": message}, update_id), self.headers())
        assert status == 200, (status, body)
        return str(message["message_id"])

    def update(self, content: Mapping[str, Any], update_id: int = 0) -> bytes:
        """The body of a delivery."""
        return json.dumps({"update_id": update_id or self._number(), **content}, ensure_ascii=False).encode()

    def headers(self) -> dict[str, str]:
        return {"content-type": "application/json", "X-Telegram-Bot-Api-Secret-Token": self.secret}

    def message(self, content: Mapping[str, Any], *, user: str = "u1", group: str = "") -> dict[str, Any]:
        """A message object that people could have written."""
        sender = {"id": self.number_of(user), "is_bot": False, "first_name": user}
        chat = {"id": self.number_of(user), "type": "private", "first_name": user}
        if group:
            chat = {"id": self.number_of(group, group=True), "type": "supergroup", "title": group}
        message_id = self._number()
        self._known.setdefault(int(chat["id"]), set()).add(message_id)
        return {"message_id": message_id, "from": sender, "chat": chat, "date": int(time.time()), **content}

    def photo(self, content: bytes) -> list[dict[str, Any]]:
        """Two sizes of a picture, the small one last."""
        number = self._number()
        big, small = f"AgAC-{number}-x", f"AgAC-{number}-s"
        self.files |= {big: content, small: content}
        size = {"file_size": len(content), "width": 640, "height": 480}
        return [
            {"file_id": big, "file_unique_id": big, **size},
            {"file_id": small, "file_unique_id": small, **size, "width": 90, "height": 67},
        ]

    def number_of(self, name: str, *, group: bool = False) -> int:
        """Telegram's id of a user or group."""
        for number, known in self._names.items():
            if known == name and (number < 0) == group:
                return number
        number = -1_001_000_000_000 - len(self._names) if group else 5001 + len(self._names)
        self._names[number] = name
        return number

    # ------------------------------------------------------------- the API

    async def _method(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        try:
            if request.match_info["token"] != self.token:
                raise Refusal(401, "Unauthorized")
            arguments = await _arguments(request)
            handlers: dict[str, Callable[[dict[str, Any]], Any]] = {
                "getMe": self._get_me,
                "getWebhookInfo": self._get_webhook_info,
                "getFile": self._get_file,
                "sendMessage": self._send_message,
                "sendMessageDraft": self._send_draft,
                "editMessageText": self._edit,
                "deleteMessage": self._delete,
                "sendChatAction": self._action,
                "sendDocument": self._send_document,
            }
            if method not in handlers or (method == "sendMessageDraft" and not self.drafts):
                raise Refusal(404, "Not Found")
            return web.json_response({"ok": True, "result": handlers[method](arguments)})
        except Refusal as refusal:
            if _SAME not in str(refusal):  # which is how a bot learns it; it breaks no rule
                self.refuse("/" + method, str(refusal))
            data = {"ok": False, "error_code": refusal.code, "description": str(refusal)}
            more = {"parameters": refusal.parameters} if refusal.parameters else {}
            return web.json_response(data | more, status=refusal.code)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        file_id = request.match_info["path"].rpartition("/")[2].removesuffix(".jpg")
        if request.match_info["token"] != self.token or file_id not in self.files or file_id in self.gone:
            return web.json_response({"ok": False, "error_code": 404, "description": "Not Found"}, status=404)
        return web.Response(body=self.files[file_id], content_type="application/octet-stream")

    def _get_me(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"id": self.bot_id, "is_bot": True, "first_name": "看图", "username": self.username}

    def _get_webhook_info(self, arguments: dict[str, Any]) -> dict[str, Any]:
        info = {"url": self.webhook, "has_custom_certificate": False, "pending_update_count": 0}
        return info | ({"last_error_message": self.last_error} if self.last_error else {})

    def _get_file(self, arguments: dict[str, Any]) -> dict[str, Any]:
        file_id = arguments["file_id"]
        if file_id not in self.files or file_id in self.gone:
            raise Refusal(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
        if len(self.files[file_id]) > _BIGGEST_FILE:
            raise Refusal(400, "Bad Request: file is too big")
        return {"file_id": file_id, "file_unique_id": file_id, "file_path": f"photos/{file_id}.jpg"}

    def _send_message(self, arguments: dict[str, Any]) -> dict[str, Any]:
        chat = self._chat(arguments)
        text = _shown(arguments)
        self._check_rates(chat)
        self._check_reply(chat, arguments)
        message_id = self._number()
        self._known.setdefault(chat, set()).add(message_id)
        draft = next((self._drafts.pop(key) for key in list(self._drafts) if key[0] == chat), None)
        sent = draft or self.record(Sent(self._names[chat], text, final=False))
        if draft is not None:
            draft.show(text)
        sent.message_id = str(message_id)
        sent.data = arguments
        self._messages[chat, message_id] = sent
        self._finish(sent, at_once=chat > 0)
        return {"message_id": message_id, "date": int(time.time()), "chat": {"id": chat}, "text": text}

    def _send_draft(self, arguments: dict[str, Any]) -> bool:
        chat = self._chat(arguments)
        if chat < 0:
            raise Refusal(400, "Bad Request: drafts can be sent to private chats only")
        if not arguments.get("draft_id"):
            raise Refusal(400, "Bad Request: invalid draft_id")
        text = _shown(arguments)
        draft = self._drafts.get((chat, arguments["draft_id"]))
        if draft is None:
            sent = Sent(self._names[chat], text, final=False, data=arguments)
            self._drafts[chat, arguments["draft_id"]] = self.record(sent)
        else:
            draft.show(text)
            self.changed()
        return True

    def _edit(self, arguments: dict[str, Any]) -> dict[str, Any]:
        chat = self._chat(arguments)
        text = _shown(arguments)
        sent = self._messages.get((chat, arguments["message_id"]))
        if sent is None:
            raise Refusal(400, "Bad Request: message to edit not found")
        self._finish(sent, at_once=False)
        if sent.text == text:
            raise Refusal(400, f"Bad Request: {_SAME}: specified new message content is exactly the same")
        sent.show(text)
        return {"message_id": arguments["message_id"]}

    def _delete(self, arguments: dict[str, Any]) -> bool:
        sent = self._messages.pop((self._chat(arguments), arguments["message_id"]), None)
        if sent is None:
            raise Refusal(400, "Bad Request: message to delete not found")
        self.sent.remove(sent)
        self.changed()
        return True

    def _action(self, arguments: dict[str, Any]) -> bool:
        self.actions.append((self._names[self._chat(arguments)], arguments["action"]))
        return True

    def _send_document(self, arguments: dict[str, Any]) -> dict[str, Any]:
        chat = self._chat(arguments)
        self._check_rates(chat)
        message_id = self._number()
        file = arguments["document"]
        text = bytes(file.file.read()).decode()
        self.record(Sent(self._names[chat], text, "file", str(message_id), data={"name": file.filename}))
        return {"message_id": message_id, "chat": {"id": chat}}

    def _chat(self, arguments: dict[str, Any]) -> int:
        chat = int(arguments["chat_id"])
        if chat not in self._names:
            raise Refusal(400, "Bad Request: chat not found")
        if self._names[chat] in self.blocked:
            why = "bot was blocked by the user" if chat > 0 else "bot was kicked from the supergroup chat"
            raise Refusal(403, f"Forbidden: {why}")
        return chat

    def _check_rates(self, chat: int) -> None:
        group = self._group_rates.setdefault(chat, RateLimit(20, 60.0))
        if not self._all.allows() or (chat < 0 and not group.allows()):
            raise Refusal(429, "Too Many Requests: retry after 3", retry_after=3)

    def _check_reply(self, chat: int, arguments: dict[str, Any]) -> None:
        reply: dict[str, Any] = arguments.get("reply_parameters") or {}
        unknown = bool(reply) and reply["message_id"] not in self._known.get(chat, ())
        if unknown and not reply.get("allow_sending_without_reply"):
            raise Refusal(400, "Bad Request: message to be replied not found")

    def _finish(self, sent: Sent, *, at_once: bool) -> None:
        """Mark it as finished, now or when it was left alone for a while."""

        def finish() -> None:
            sent.final = True
            self.changed()

        timer = self._timers.pop(id(sent), None)
        if timer is not None:
            timer.cancel()
        sent.final = False
        if at_once:
            finish()
        else:
            self._timers[id(sent)] = asyncio.get_running_loop().call_later(self.quiet, finish)

    def _number(self) -> int:
        self._next += 1
        return self._next


async def _arguments(request: web.Request) -> dict[str, Any]:
    if request.content_type == "application/json":
        return dict(await request.json())
    return dict(await request.post())


def _shown(arguments: dict[str, Any]) -> str:
    """The text as a reader sees it. Raises Refusal."""
    text = str(arguments.get("text") or "")
    if arguments.get("parse_mode") == "HTML":
        try:
            text = Markup(text).text
        except ValueError as error:
            raise Refusal(400, f"Bad Request: can't parse entities: {error}") from None
    if not text.strip():
        raise Refusal(400, "Bad Request: message text is empty")
    if units(text) > LONGEST:
        raise Refusal(400, "Bad Request: message is too long")
    return text
