"""The Slack adapter.

Requests are signed with the app's signing secret, the URL verification as well. In a channel an answer goes into
the thread of its question; what is asked there next belongs to the same conversation.
https://docs.slack.dev/authentication/verifying-requests-from-slack/
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import msgspec

from adapters.slack import events
from adapters.slack.api import Api, Refused
from adapters.slack.surfaces import GrowingMessage, Stream, post
from bot import payload, signing
from bot.adapter import Ack, Limits, Rate, Received, Request, Surface
from bot.adapter import Adapter as BaseAdapter
from bot.clock import Clock
from bot.config import AdapterConfig, Count, Secret, checked_url
from bot.errors import ConfigError, FetchFailed, NetworkError, Rejected
from bot.event import Conversation, Delivery, MessageEvent
from bot.http import Http
from bot.message import Image, Message, Part, Quote, Text, user

_FORM = "application/x-www-form-urlencoded"
_SCOPES = frozenset({"app_mentions:read", "chat:write", "files:read", "im:history"})


class Config(AdapterConfig, frozen=True):
    """signing_secret and app_id: from Basic Information. bot_token: xoxb-…, from OAuth & Permissions.

    app_id: empty means that it is not compared. bot_user_id: U…, the bot's own user. max_age: seconds a request stays
    fresh. file_hosts: the only ones that the token is shown to when a picture is fetched.
    """

    signing_secret: Secret = Secret("")
    bot_token: Secret = Secret("")
    bot_user_id: str = ""
    app_id: str = ""
    api_base: str = "https://slack.com/api"
    file_hosts: tuple[str, ...] = ("files.slack.com",)
    max_age: Count = 300


class Adapter(BaseAdapter):
    """One app in one workspace. Raises ConfigError when a secret is missing."""

    Config: ClassVar[type[AdapterConfig]] = Config
    # One message a second in a channel, several hundred a minute in a workspace; chat.update 50 a minute.
    # https://docs.slack.dev/apis/web-api/rate-limits/
    limits = Limits(
        text_length=4000,
        markdown=frozenset({"bold", "code", "link", "quote"}),
        app_rates=(Rate(200, 60.0),),
        chat_rates=(Rate(1, 1.0),),
        files=True,
        live="stream",
        live_interval=1.2,
        typing_every=60.0,
    )

    def __init__(self, name: str, config: Config, http: Http, clock: Clock) -> None:
        super().__init__(name, config, http, clock)
        where = f"adapters.{name}"
        self._key = config.signing_secret.reveal().encode()
        if not self._key:
            raise ConfigError(f"{where}.signing_secret: must not be empty; it stands under Basic Information")
        if not config.bot_token:
            raise ConfigError(f"{where}.bot_token: must not be empty; it stands under OAuth & Permissions")
        if not config.bot_user_id:
            raise ConfigError(f"{where}.bot_user_id: must not be empty; it is the bot's member ID, U…")
        if not config.file_hosts or not all(config.file_hosts):
            raise ConfigError(f"{where}.file_hosts: needs at least one host, and none may be empty")
        self._bot_user_id = config.bot_user_id
        self._app_id = config.app_id
        self._max_age = config.max_age
        self._file_hosts = frozenset(host.lower() for host in config.file_hosts)
        self._api = Api(http, checked_url(f"{where}.api_base", config.api_base), config.bot_token.reveal())

    # ---------------------------------------------------------------- inbound

    def receive(self, request: Request) -> Received:
        """Verify, then decode. Raises Rejected."""
        if len(request.body) > self.limits.body_bytes:
            raise Rejected("too_large", 413)
        self._verify(request)
        try:
            data = payload.decode(request.body)
        except Rejected:
            # Slash commands and buttons, where somebody sent them here.
            if (request.header("content-type") or "").partition(";")[0].strip().lower() == _FORM:
                return Received(ignored="not_an_event")
            raise
        kind = payload.text(data, "type")
        if kind == "url_verification":
            return Received(ack=_challenge(payload.text(data, "challenge")), raw=data)
        if kind != "event_callback":
            return Received(ignored="not_an_event", raw=data)
        if self._app_id and payload.text(data, "api_app_id") != self._app_id:
            raise Rejected("wrong_bot", 403)
        decoded = events.decode(data, self._bot_user_id, self.name, self.config.account_id)
        return Received((decoded.event,) if decoded.event else (), ignored=decoded.ignored, raw=data)

    def _verify(self, request: Request) -> None:
        sent, signature = request.header("x-slack-request-timestamp"), request.header("x-slack-signature")
        if sent is None or not signature:
            raise Rejected("missing_signature")
        seconds = signing.timestamp(sent)
        expected = "v0=" + signing.hmac_sha256_hex(self._key, b"v0:%b:%b" % (sent.encode("ascii"), request.body))
        if not signing.equal(signature, expected):
            raise Rejected("bad_signature")
        signing.check_age(request.now, seconds, self._max_age)

    async def complete(self, event: MessageEvent) -> MessageEvent:
        """Ask for the files that Slack only named, and for what a thread is about."""
        named: dict[Image, Image | None] = {
            image: await self._file(image) for image in event.message.images if image.source.startswith(events.FILE)
        }
        message = event.message.map_images(named)
        if event.reply_to and not any(isinstance(part, Quote) for part in message.parts):
            parent = await self._parent(event)
            message = Message(message.role, (*([parent] if parent else []), *message.parts))
        return replace(event, message=message)

    async def _file(self, image: Image) -> Image | None:
        """What files.info knows of a file; None where it is no picture. Raises FetchFailed."""
        try:
            found = await self._api.ask("files.info", file=image.source.removeprefix(events.FILE))
        except NetworkError:
            raise _unreachable() from None
        except Refused:
            raise FetchFailed("picture_gone", "这个文件取不到，可能已被删除，或者没有分享给机器人。") from None
        file = found.get("file")
        completed = events.image_of({**file, "file_access": "visible"}) if isinstance(file, dict) else None
        return completed if completed and not completed.source.startswith(events.FILE) else None

    async def _parent(self, event: MessageEvent) -> Quote | None:
        """The message that began the thread, unless it was for the bot: then it is in the history already."""
        where = event.conversation
        try:
            found = await self._api.ask("conversations.replies", channel=where.chat_id, ts=event.reply_to, limit=1)
        except NetworkError:
            raise _unreachable() from None
        except Refused:
            return None  # It helps to know, but the question can be answered without.
        try:
            return _quote(payload.items(found, "messages")[0], self._bot_user_id, private=where.chat_type == "private")
        except (Rejected, IndexError):
            return None

    async def download(self, image: Image) -> bytes:
        """Fetch with the token, from Slack's own host only."""
        named = await self._file(image) if image.source.startswith(events.FILE) else image
        if named is None:
            raise FetchFailed("picture_gone", "这个文件不是图片。")
        return await self.http.picture(named.source, hosts=self._file_hosts, headers=self._api.authorization)

    # --------------------------------------------------------------- outbound

    async def send(self, delivery: Delivery) -> str:
        where = _where(delivery.conversation)
        if delivery.file is None:
            return await post(self._api, where, delivery.text)
        where["channel_id"] = where.pop("channel")
        return await self._api.upload(delivery.file, **where)

    def surface(self, event: MessageEvent) -> Surface:
        """A stream needs a thread, and to know for whom it is."""
        where = _where(event.conversation)
        reader = {f"recipient_{name}_id": event.platform_data.get(name, "") for name in ("user", "team")}
        if event.conversation.thread_id and all(reader.values()):
            return Stream(self._api, where, reader)
        return GrowingMessage(self._api, where)

    async def typing(self, event: MessageEvent) -> None:
        """A status under the thread; Slack takes it away with the answer, or after two minutes."""
        where = event.conversation
        if where.thread_id:
            named = {"channel_id": where.chat_id, "thread_ts": where.thread_id}
            await self._api.call("assistant.threads.setStatus", **named, status="正在看图…")

    # ------------------------------------------------------------ housekeeping

    async def check(self) -> str:
        """The token is this bot's and may do what is needed."""
        me, scopes = await self._api.scopes()
        if me.get("user_id") != self._bot_user_id:
            raise ConfigError(f"adapters.{self.name}.bot_user_id: the token is that of {me.get('user_id')}")
        missing = sorted(_SCOPES - scopes) if scopes else []
        if missing:
            raise ConfigError(
                f"adapters.{self.name}: the app lacks the scopes {', '.join(missing)}; add them under OAuth & "
                "Permissions and install the app again"
            )
        return f"@{me.get('user')} in {me.get('team')}, token valid" + (", scopes complete" if scopes else "")

    def warnings(self) -> tuple[str, ...]:
        found: list[str] = []
        if not self._app_id:
            found.append("没有填 app_id：不核对事件是否属于这个应用。")
        if self.config.api_base.startswith("http://"):
            found.append("api_base 不是 https：机器人的 token 会在网络上明文传送。")
        return tuple(found)


def _challenge(challenge: str) -> Ack:
    return Ack(200, msgspec.json.encode({"challenge": challenge}), "application/json")


def _where(conversation: Conversation) -> dict[str, str]:
    thread = {"thread_ts": conversation.thread_id} if conversation.thread_id else {}
    return {"channel": conversation.chat_id, **thread}


def _quote(parent: Any, bot_user_id: str, *, private: bool) -> Quote | None:
    """In a channel, a thread that began with an @ of the bot, or with its answer, is known to it."""
    words = payload.optional_text(parent, "text")
    text, mentions = events.said(words, bot_user_id)
    known = parent.get("user") == bot_user_id or any(mention.is_bot for mention in mentions)
    parts: list[Part] = [*([Text(text)] if text else []), *events.images(parent)]
    return None if (known and not private) or not parts else Quote(user(*parts))


def _unreachable() -> FetchFailed:
    return FetchFailed("unreachable", "暂时连不上 Slack，内容没有取到，请稍后再试。", retry=True)
