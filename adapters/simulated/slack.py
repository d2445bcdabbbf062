"""Slack's Web API, its file host, and people who write to the bot."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import html
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from aiohttp import web

from adapters.simulated.platform import RateLimit, Sent, SimulatedPlatform

LONGEST = 40_000
LONGEST_EDIT = 4000
"""In bytes, as Slack counts edits; new messages are counted in characters."""
LONGEST_MARKDOWN = 12_000
SCOPES = "app_mentions:read,channels:history,chat:write,files:read,files:write,im:history"

_LINK = re.compile(r"<(https?://[^|>]+)\|([^>]+)>")
# Marks beside letters are shown as they are.
_BOLD = re.compile(r"(?<!\w)\*(\S(?:[^*\n]*\S)?)\*(?!\w)")


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """X-Slack-Signature."""
    return "v0=" + hmac.new(secret.encode(), b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()


class Refusal(Exception):
    """Slack's answer to a call that it refuses. more: of the answer's fields."""

    def __init__(self, error: str, **more: str) -> None:
        super().__init__(error)
        self.more = more


class Simulated(SimulatedPlatform):
    """One app in one workspace.

    quiet: seconds without an edit after which a message counts as finished (nothing on Slack tells). streams: whether
    the app may stream. scopes: what the token may do. denied: the error of every call (account_inactive, …). left:
    channels the bot was removed from. hidden: file ids that events only name.
    """

    platform: ClassVar[str] = "slack"

    def __init__(self, *, quiet: float = 1.0) -> None:
        super().__init__()
        self.app_id = "A0KANTU001"
        self.team = "T0KANTU001"
        self.bot_user = "U0KANTU001"
        self.token = f"xoxb-{secrets.token_hex(16)}"
        self.signing_secret = secrets.token_hex(16)
        self.quiet = quiet
        self.streams = True
        self.scopes = SCOPES
        self.denied = ""
        self.left: set[str] = set()
        self.hidden: set[str] = set()
        self.files: dict[str, tuple[str, bytes]] = {}
        self.posted: dict[tuple[str, str], dict[str, Any]] = {}
        self.statuses: list[str] = []
        self._messages: dict[tuple[str, str], Sent] = {}
        self._streaming: set[tuple[str, str]] = set()
        self._uploads: dict[str, tuple[str, bytes]] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._rates: dict[str, RateLimit] = {}
        self._next = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/{method}", self._method),
            web.get("/files-pri/{id}/{name}", self._file),
            web.post("/upload/{id}", self._upload),
        ]

    def call_name(self, request: web.Request) -> str:
        return request.path.removeprefix("/api") if request.path.startswith("/api/") else "/files"

    def section(self) -> dict[str, Any]:
        return {
            "signing_secret": self.signing_secret,
            "bot_token": self.token,
            "bot_user_id": self.bot_user,
            "app_id": self.app_id,
            "api_base": f"{self.base}/api",
            "file_hosts": ["127.0.0.1"],
        }

    async def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        await super().stop()

    # ------------------------------------------------------------- people

    async def say(self, text: str = "", pictures: Sequence[bytes] = (), *, user: str = "u1", group: str = "") -> str:
        """In a channel Slack tells of it twice: as a mention and as a message."""
        words = f"<@{self.bot_user}> {escape(text)}".rstrip() if group else escape(text)
        return await self.post(words, pictures, user=user, channel=f"C{group}" if group else f"D{user}")

    async def post(
        self, words: str, pictures: Sequence[bytes] = (), *, user: str = "u1", channel: str = "Du1", thread: str = ""
    ) -> str:
        """A user writes Slack's own mark-up anywhere; the bot learns of it where it is mentioned or in private."""
        event = self.message(words, [self.file(picture) for picture in pictures], user, channel, thread)
        if f"<@{self.bot_user}>" in words:
            await self.send({**event, "type": "app_mention"})
        if not channel.startswith("D"):
            event["channel_type"] = "channel"
        await self.send(event)
        return str(event["ts"])

    async def send(self, event: Mapping[str, Any]) -> None:
        """Deliver one event."""
        body = json.dumps(self.callback(event), ensure_ascii=False).encode()
        status, answer = await self.deliver(body, self.headers(body))
        assert status == 200, (status, answer)

    async def verify_url(self) -> tuple[int, bytes]:
        """What Slack sends when the address is saved; the bot's answer."""
        body = json.dumps({"token": "x", "challenge": "3eZbrw1a", "type": "url_verification"}).encode()
        return await self.deliver(body, self.headers(body))

    def callback(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The outer object around an event."""
        outer = {"token": "x", "team_id": self.team, "api_app_id": self.app_id, "type": "event_callback"}
        return {**outer, "event": event, "event_id": f"Ev{self._number()}", "event_time": int(time.time())}

    def headers(self, body: bytes) -> dict[str, str]:
        now = str(int(time.time()))
        signature = sign(self.signing_secret, now, body)
        names = {"X-Slack-Request-Timestamp": now, "X-Slack-Signature": signature}
        return {"content-type": "application/json", **names}

    def message(
        self, words: str, files: list[dict[str, Any]], user: str, channel: str, thread: str = ""
    ) -> dict[str, Any]:
        """A message event that people could have made."""
        ts = self._ts()
        event: dict[str, Any] = {"type": "message", "user": user, "ts": ts, "text": words, "channel": channel}
        event |= {"team": self.team, "event_ts": ts}
        event |= {"channel_type": "im"} if channel.startswith("D") else {}
        event |= {"subtype": "file_share", "files": files} if files else {}
        event |= {"thread_ts": thread} if thread else {}
        self.posted[channel, ts] = event
        return event

    def file(self, content: bytes, mime_type: str = "image/png") -> dict[str, Any]:
        """A file object; one that is hidden is only named."""
        file_id = f"F{self._number()}"
        self.files[file_id] = (mime_type, content)
        return {"id": file_id, "file_access": "check_file_info"} if "*" in self.hidden else self._described(file_id)

    def _described(self, file_id: str) -> dict[str, Any]:
        mime_type, content = self.files[file_id]
        url = f"{self.base}/files-pri/{file_id}/picture"
        size = {"size": len(content), "url_private": url, "url_private_download": url}
        return {"id": file_id, "name": "picture", "mimetype": mime_type, **size}

    # ------------------------------------------------------------- the API

    async def _method(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        handlers: dict[str, Callable[[dict[str, Any]], Mapping[str, Any]]] = {
            "auth.test": lambda _: {"user_id": self.bot_user, "user": "kantu", "team": "测试", "team_id": self.team},
            "chat.postMessage": self._post_message,
            "chat.update": self._update,
            "chat.delete": self._delete,
            "chat.startStream": self._start_stream,
            "chat.appendStream": self._append_stream,
            "chat.stopStream": self._stop_stream,
            "assistant.threads.setStatus": self._set_status,
            "files.info": self._file_info,
            "conversations.replies": self._replies,
            "files.getUploadURLExternal": self._upload_url,
            "files.completeUploadExternal": self._complete_upload,
        }
        try:
            if request.headers.get("Authorization") != f"Bearer {self.token}":
                raise Refusal("invalid_auth")
            if self.denied:
                raise Refusal(self.denied)
            if method not in handlers:
                raise Refusal("unknown_method")
            answer = handlers[method](await _arguments(request))
            return web.json_response({"ok": True, **answer}, headers={"X-OAuth-Scopes": self.scopes})
        except Refusal as refusal:
            self.refuse("/" + method, str(refusal))
            status, headers = (429, {"Retry-After": "1"}) if str(refusal) == "ratelimited" else (200, {})
            return web.json_response(
                {"ok": False, "error": str(refusal), **refusal.more}, status=status, headers=headers
            )

    async def _file(self, request: web.Request) -> web.StreamResponse:
        """Without the token, Slack leads to its sign-in page."""
        file_id = request.match_info["id"]
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            self.refuse("/files", "no token")
            raise web.HTTPFound("https://slack.invalid/signin")
        if file_id not in self.files:
            raise web.HTTPNotFound
        mime_type, content = self.files[file_id]
        return web.Response(body=content, content_type=mime_type)

    def _post_message(self, arguments: dict[str, Any]) -> Mapping[str, Any]:
        channel = self._channel(arguments)
        if not self._rates.setdefault(channel, RateLimit(1, 0.95)).allows():
            raise Refusal("ratelimited")
        ts = self._ts()
        sent = Sent(self._reader(channel), _plain(arguments), "text", ts, final=False, data=arguments)
        self._messages[channel, ts] = self.record(sent)
        self._finish(sent)
        return {"channel": channel, "ts": ts}

    def _update(self, arguments: dict[str, Any]) -> Mapping[str, Any]:
        key = (self._channel(arguments), str(arguments["ts"]))
        if key not in self._messages:
            raise Refusal("message_not_found")
        if key in self._streaming:
            raise Refusal("streaming_state_conflict")
        if len(str(arguments.get("text")).encode()) > LONGEST_EDIT:
            raise Refusal("msg_too_long")
        self._messages[key].show(_plain(arguments))
        self._finish(self._messages[key])
        return {"channel": key[0], "ts": key[1]}

    def _delete(self, arguments: dict[str, Any]) -> Mapping[str, Any]:
        key = (self._channel(arguments), str(arguments["ts"]))
        if key not in self._messages:
            raise Refusal("message_not_found")
        self._streaming.discard(key)
        self.sent.remove(self._messages.pop(key))
        self.changed()
        return {}

    def _start_stream(self, arguments: dict[str, Any]) -> Mapping[str, Any]:
        channel = self._channel(arguments)
        if not self.streams:
            raise Refusal("method_not_supported_for_channel_type")
        for name in ("thread_ts", "recipient_user_id", "recipient_team_id"):
            if not arguments.get(name):
                raise Refusal(f"missing_{name}")
        ts = self._ts()
        text = _markdown(arguments)
        sent = Sent(self._reader(channel), text, "stream", ts, final=False, data=arguments)
        self._messages[channel, ts] = self.record(sent)
        self._streaming.add((channel, ts))
        return {"channel": channel, "ts": ts}

    def _append_stream(self, arguments: dict[str, Any]) -> Mapping[str, Any]:
        """White space at the beginning of what is added gets lost, as it may on Slack."""
        key = self._stream(arguments)
        self._messages[key].show(self._messages[key].text + _markdown(arguments).lstrip())
        self.changed()
        return {"channel": key[0], "ts": key[1]}

    def _stop_stream(self, arguments: dict[str, Any]) -> Mapping[str, Any]:
        key = self._stream(arguments)
        if arguments.get("markdown_text"):
            self._append_stream(arguments)
        self._streaming.discard(key)
        self._finish(self._messages[key])
        return {"channel": key[0], "ts": key[1]}

    def end_streams(self) -> None:
        """Slack ends every stream that is some minutes old."""
        self._streaming.clear()

    def _stream(self, arguments: dict[str, Any]) -> tuple[str, str]:
        key = (self._channel(arguments), str(arguments["ts"]))
        if key not in self._streaming:
            raise Refusal("message_not_in_streaming_state")
        return key

    def _set_status(self, arguments: dict[str, Any]) -> Mapping[str, Any]:
        self.statuses.append(str(arguments["status"]))
        return {}

    def _file_info(self, arguments: dict[str, Any]) -> Mapping[str, Any]:
        self._need("files:read")
        if arguments["file"] not in self.files:
            raise Refusal("file_not_found")
        return {"file": self._described(str(arguments["file"]))}

    def _replies(self, arguments: dict[str, Any]) -> Mapping[str, Any]:
        self._need("channels:history")
        parent = self.posted.get((self._channel(arguments), str(arguments["ts"])))
        if parent is None:
            raise Refusal("thread_not_found")
        return {"messages": [parent], "has_more": False}

    def _upload_url(self, arguments: dict[str, Any]) -> Mapping[str, Any]:
        self._need("files:write")
        file_id = f"F{self._number()}"
        self._uploads[file_id] = (str(arguments["filename"]), b"")
        return {"upload_url": f"{self.base}/upload/{file_id}", "file_id": file_id}

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        file_id = request.match_info["id"]
        self._uploads[file_id] = (self._uploads[file_id][0], await request.read())
        return web.Response(text="OK")

    def _complete_upload(self, arguments: dict[str, Any]) -> Mapping[str, Any]:
        channel = self._channel({"channel": arguments["channel_id"]})
        for named in arguments["files"]:
            name, content = self._uploads.pop(str(named["id"]))
            data = {"name": name, **arguments}
            self.record(Sent(self._reader(channel), content.decode(), "file", str(named["id"]), data=data))
        return {"files": arguments["files"]}

    def _channel(self, arguments: dict[str, Any]) -> str:
        self._need("chat:write")
        channel = str(arguments.get("channel") or "")
        if channel in self.left:
            raise Refusal("not_in_channel")
        if channel[:1] not in ("C", "D", "G"):
            raise Refusal("channel_not_found")
        return channel

    def _need(self, scope: str) -> None:
        if scope not in self.scopes.split(","):
            raise Refusal("missing_scope", needed=scope, provided=self.scopes)

    def _reader(self, channel: str) -> str:
        return channel[1:]

    def _finish(self, sent: Sent) -> None:
        """Mark it as finished when it was left alone for a while."""

        def finish() -> None:
            sent.final = True
            self.changed()

        timer = self._timers.pop(id(sent), None)
        if timer is not None:
            timer.cancel()
        sent.final = False
        self._timers[id(sent)] = asyncio.get_running_loop().call_later(self.quiet, finish)
        self.changed()

    def _number(self) -> int:
        self._next += 1
        return self._next

    def _ts(self) -> str:
        return f"{int(time.time())}.{self._number():06}"


def escape(text: str) -> str:
    """As Slack hands on what a user types."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


async def _arguments(request: web.Request) -> dict[str, Any]:
    if request.content_type == "application/json":
        return dict(await request.json())
    return dict(await request.post())


def _plain(arguments: dict[str, Any]) -> str:
    """mrkdwn as a reader sees it. Raises Refusal."""
    text = str(arguments.get("text") or "")
    if not text.strip():
        raise Refusal("no_text")
    if len(text) > LONGEST:
        raise Refusal("msg_too_long")
    return html.unescape(_BOLD.sub(r"\1", _LINK.sub(r"\2", text))).replace("\u200b", "")


def _markdown(arguments: dict[str, Any]) -> str:
    text = str(arguments.get("markdown_text") or "")
    if len(text) > LONGEST_MARKDOWN:
        raise Refusal("msg_too_long")
    return text
