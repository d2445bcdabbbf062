"""The Telegram adapter.

Telegram signs nothing: that a request comes from it is told by a secret in a header alone, over TLS. A message is
answered in its chat, in its topic where there are topics.
https://core.telegram.org/bots/api#setwebhook
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import urlsplit

import msgspec

from adapters.telegram import updates
from adapters.telegram.api import Api
from adapters.telegram.surfaces import Draft, GrowingMessage
from bot import payload, signing
from bot.adapter import Adapter as BaseAdapter
from bot.adapter import Limits, Rate, Received, Request, Surface
from bot.clock import Clock
from bot.config import AdapterConfig, Count, Secret, checked_url
from bot.errors import ConfigError, Rejected
from bot.event import Conversation, Delivery, File, MessageEvent
from bot.http import Http
from bot.message import Image

SECRET_HEADER = "x-telegram-bot-api-secret-token"
_SECRET_SIGNS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")

# https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
_APP_RATES = (Rate(30, 1.0),)
PRIVATE = Limits(
    text_length=4096,
    text_unit="utf16",
    markdown=frozenset({"bold", "code", "link", "quote"}),
    app_rates=_APP_RATES,
    chat_rates=(Rate(1, 1.0),),
    files=True,
    live="stream",
    live_interval=1.0,
    typing_every=5.0,
)
GROUP = replace(PRIVATE, chat_rates=(Rate(1, 1.0), Rate(20, 60.0)), live_interval=3.0)


class Config(AdapterConfig, frozen=True):
    """secret_token: what setWebhook was told. bot_token: from @BotFather. bot_username: without its @.

    bot_id: empty means the number at the beginning of the token. max_age: seconds after which a message is too old
    to be answered.
    """

    secret_token: Secret = Secret("")
    bot_token: Secret = Secret("")
    bot_username: str = ""
    bot_id: str = ""
    api_base: str = "https://api.telegram.org"
    max_age: Count = 86_400


class Adapter(BaseAdapter):
    """One bot. Raises ConfigError when a secret is missing."""

    Config: ClassVar[type[AdapterConfig]] = Config
    limits = PRIVATE

    def __init__(self, name: str, config: Config, http: Http, clock: Clock) -> None:
        super().__init__(name, config, http, clock)
        where = f"adapters.{name}"
        self._secret = config.secret_token.reveal()
        if not self._secret:
            raise ConfigError(f"{where}.secret_token: must not be empty; it is the secret_token given to setWebhook")
        token = config.bot_token.reveal()
        if not token:
            raise ConfigError(f"{where}.bot_token: must not be empty; @BotFather shows it")
        username = config.bot_username.removeprefix("@")
        if not username:
            raise ConfigError(f"{where}.bot_username: must not be empty; @BotFather shows it")
        self._bot = updates.Bot(_bot_id(where, config.bot_id or token.partition(":")[0]), username)
        self._api = Api(http, checked_url(f"{where}.api_base", config.api_base), token)
        self._max_age = config.max_age

    # ---------------------------------------------------------------- inbound

    def receive(self, request: Request) -> Received:
        """Compare the secret, then decode. Raises Rejected."""
        if len(request.body) > self.limits.body_bytes:
            raise Rejected("too_large", 413)
        secret = request.header(SECRET_HEADER)
        if not secret:
            raise Rejected("missing_signature")
        if not signing.equal(secret, self._secret):
            raise Rejected("bad_signature")
        data = payload.decode(request.body)
        account = self.config.account_id
        decoded = updates.decode(data, self._bot, int(request.now), self._max_age, self.name, account)
        return Received((decoded.event,) if decoded.event else (), ignored=decoded.ignored, raw=data)

    async def download(self, image: Image) -> bytes:
        """Fetch by file id; Telegram gives bots 20 MB at most."""
        return await self._api.picture(image.source)

    # --------------------------------------------------------------- outbound

    def limits_for(self, conversation: Conversation) -> Limits:
        """Groups take 20 messages a minute."""
        return GROUP if conversation.chat_type == "group" else PRIVATE

    async def send(self, delivery: Delivery) -> str:
        where = _where(delivery.conversation, delivery.reply_to if delivery.quote else "")
        if delivery.file is not None:
            return _message_id(await self._send_file(where, delivery.file))
        return _message_id(await self._api.write("sendMessage", where, delivery.text))

    async def _send_file(self, where: Mapping[str, Any], file: File) -> dict[str, Any]:
        fields = {name: value if isinstance(value, str) else _json(value) for name, value in where.items()}
        return await self._api.upload(fields, file)

    def surface(self, event: MessageEvent) -> Surface:
        """A draft where nobody else reads along, a message that is edited in groups."""
        if event.conversation.chat_type == "group":
            return GrowingMessage(self._api, _where(event.conversation, event.message_id))
        return Draft(self._api, _where(event.conversation, ""), event.id, self.send)

    async def typing(self, event: MessageEvent) -> None:
        await self._api.call("sendChatAction", {**_where(event.conversation, ""), "action": "typing"})

    # ------------------------------------------------------------ housekeeping

    async def check(self) -> str:
        """The token is this bot's, and Telegram knows where to deliver."""
        where = f"adapters.{self.name}"
        me = await self._api.call("getMe", {})
        if me.get("id") != self._bot.id:
            raise ConfigError(f"{where}.bot_id: the token is that of bot {me.get('id')}")
        if not self._bot.is_named(str(me.get("username"))):
            raise ConfigError(f"{where}.bot_username: the token is that of @{me.get('username')}")
        hook = await self._api.call("getWebhookInfo", {})
        host = urlsplit(str(hook.get("url") or "")).hostname
        if not host:
            raise ConfigError(f"{where}: Telegram knows no webhook of this bot; call setWebhook (docs/platforms)")
        kinds = hook.get("allowed_updates")
        if isinstance(kinds, list) and kinds and "message" not in kinds:
            raise ConfigError(f"{where}: setWebhook's allowed_updates must hold 'message'")
        trouble = f", last delivery error: {hook['last_error_message']}" if hook.get("last_error_message") else ""
        return f"@{me['username']}, webhook at {host}, {hook.get('pending_update_count', 0)} waiting{trouble}"

    def warnings(self) -> tuple[str, ...]:
        found: list[str] = []
        if not set(self._secret) <= _SECRET_SIGNS or len(self._secret) > 256:
            found.append("secret_token 只能有字母、数字、_ 和 -，最长 256 位，否则 setWebhook 不接受。")
        elif len(self._secret) < 16:
            found.append("secret_token 太短：它是唯一能辨别伪造请求的东西，请用 32 位以上的随机字符串。")
        if self.config.api_base.startswith("http://"):
            found.append("api_base 不是 https：机器人的 token 会在网络上明文传送，只适合本机的 Bot API 服务。")
        return tuple(found)


def _where(conversation: Conversation, reply_to: str) -> dict[str, Any]:
    """The chat, the topic in it, and what is answered; an answer goes out even when its question was deleted."""
    chat = conversation.chat_id
    # A digest may go to a channel by its name: @channel.
    where: dict[str, Any] = {"chat_id": int(chat) if chat.removeprefix("-").isdigit() else chat}
    if conversation.thread_id:
        where["message_thread_id"] = int(conversation.thread_id)
    if reply_to:
        where["reply_parameters"] = {"message_id": int(reply_to), "allow_sending_without_reply": True}
    return where


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _message_id(sent: Mapping[str, Any]) -> str:
    return str(sent.get("message_id") or "")


def _bot_id(where: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"{where}.bot_id: must be the number at the beginning of the bot token")
    return int(text)
