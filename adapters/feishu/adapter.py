"""Feishu: a self-built app whose events come by HTTPS, and whose answers are texts, cards and files.

With an Encrypt Key, bodies are `{"encrypt": base64 of IV and AES-256-CBC}` and signed:

    X-Lark-Signature = hex SHA-256 of timestamp, nonce, Encrypt Key and the body as it came

Only the check of the address (url_verification) comes unsigned; its token is inside. Without an Encrypt Key nothing
is signed, and the token in the body is all there is.
https://open.feishu.cn/document/server-docs/event-subscription-guide/event-subscription-configure-/encrypt-key-encryption-configuration-case
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import unquote

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from adapters.feishu import card
from adapters.feishu.api import NO_CARD, Api, name, text_in
from adapters.feishu.card import CardSurface
from adapters.feishu.content import FORWARD, Content, People, read
from adapters.feishu.quoted import forwarded, picture, quoted
from bot import payload, signing
from bot.adapter import FULL_MARKDOWN, Ack, Limits, Rate, Received, Request, Surface
from bot.adapter import Adapter as BaseAdapter
from bot.clock import Clock
from bot.config import AdapterConfig, Count, Secret, checked_url
from bot.errors import ActionFailed, ConfigError, KantuError, Rejected
from bot.event import ChatType, Conversation, Delivery, File, MessageEvent, Sender
from bot.http import Http
from bot.message import Image, Part, Quote, Text, user
from bot.recent import Recent

MESSAGE = "im.message.receive_v1"
VERIFICATION = "url_verification"
CHAT_TYPES: Mapping[str, ChatType] = {"p2p": "private", "group": "group", "topic_group": "group"}
LAST_SECOND = 253_402_300_799
"""The end of the year 9999."""

_BLOCK = 16
#: Ids of our own messages that are kept to see that one of them is answered.
_OWN_KEPT = 2000


class Config(AdapterConfig, frozen=True):
    """app_id, app_secret: from 凭证与基础信息. encrypt_key, verification_token: from 事件与回调, 加密策略.

    bot_open_id: the bot's own id, by which its @ is known; `kantu doctor` tells it. max_age: seconds between
    Feishu's timestamp and now; redeliveries come for seven hours. streaming: answers are shown while they are
    written. api_base: https://open.larksuite.com for Lark.
    """

    app_id: str = ""
    app_secret: Secret = Secret("")
    encrypt_key: Secret = Secret("")
    verification_token: Secret = Secret("")
    bot_open_id: str = ""
    max_age: Count = 27_000
    streaming: bool = True
    api_base: str = "https://open.feishu.cn"


class Adapter(BaseAdapter):
    """One app. Raises ConfigError where a key is missing: without a token anybody could write."""

    Config: ClassVar[type[AdapterConfig]] = Config
    limits = Limits(
        text_length=10_000,
        text_unit="bytes",
        markdown=FULL_MARKDOWN,
        app_rates=(Rate(50, 1.0), Rate(1000, 60.0)),
        chat_rates=(Rate(5, 1.0),),
        files=True,
        idempotent_send=True,
        live="stream",
        live_interval=0.25,
    )

    def __init__(self, name: str, config: Config, http: Http, clock: Clock) -> None:
        super().__init__(name, config, http, clock)
        for key, value in (
            ("app_id", config.app_id.strip()),
            ("app_secret", config.app_secret),
            ("verification_token", config.verification_token),
        ):
            if not value:
                raise ConfigError(f"adapters.{name}.{key}: must not be empty; the app's page shows it")
        self._url = checked_url(f"adapters.{name}.api_base", config.api_base)
        self._app_id = config.app_id
        self._token = config.verification_token.reveal()
        self._encrypt_key = config.encrypt_key.reveal()
        self._aes_key = hashlib.sha256(self._encrypt_key.encode()).digest()
        self._max_age = config.max_age
        self._bot = config.bot_open_id
        self._own = Recent[str](_OWN_KEPT)
        self._api = Api(http, clock, self._url, config.app_id, config.app_secret.reveal())
        if not config.streaming:
            self.limits = replace(self.limits, live="")

    # ---------------------------------------------------------------- inbound

    def receive(self, request: Request) -> Received:
        """Verify, decrypt, decode. Raises Rejected."""
        if len(request.body) > self.limits.body_bytes:
            raise Rejected("too_large", 413)
        data = self._opened(request) if self._encrypt_key else _unencrypted(request.body)
        if data.get("type") == VERIFICATION:
            return self._handshake(data)
        header = payload.fields(data, "header")
        token = header.get("token")
        if type(token) is not str or not signing.equal(token, self._token):
            raise Rejected("wrong_token", 403)
        if payload.optional_text(header, "app_id") not in ("", self._app_id):
            raise Rejected("wrong_bot", 403)
        if payload.text(header, "event_type") != MESSAGE:
            return Received(ignored="event", raw=data)
        return self._message(data)

    def _opened(self, request: Request) -> dict[str, Any]:
        """The payload of a signed request, or of a check of the address, which is not signed."""
        try:
            self._verify(request)
        except Rejected as refused:
            return self._unsigned(request.body, refused)
        outer = payload.fields(payload.decode(request.body))
        if "encrypt" not in outer:
            raise Rejected("missing_signature")
        return payload.fields(payload.decode(self._decrypted(payload.text(outer, "encrypt"))))

    def _verify(self, request: Request) -> None:
        signature, nonce = request.header("x-lark-signature"), request.header("x-lark-request-nonce")
        sent = request.header("x-lark-request-timestamp")
        if not signature or sent is None or nonce is None:
            raise Rejected("missing_signature")
        seconds = signing.timestamp(sent)
        key = f"{sent}{nonce}{self._encrypt_key}".encode("utf-8", "surrogatepass")
        if not signing.equal(signature, hashlib.sha256(key + request.body).hexdigest()):
            raise Rejected("bad_signature")
        signing.check_age(request.now, seconds, self._max_age)

    def _unsigned(self, body: bytes, refused: Rejected) -> dict[str, Any]:
        """A check of the address that was encrypted with our key. Else raises `refused`, whatever else is wrong:
        who cannot sign must not learn how far a ciphertext of theirs got."""
        try:
            outer = payload.fields(payload.decode(body))
            encrypted = "encrypt" in outer
            data = payload.fields(payload.decode(self._decrypted(payload.text(outer, "encrypt")))) if encrypted else {}
        except Rejected:
            raise refused from None
        if not encrypted:
            raise Rejected("missing_signature")
        if data.get("type") != VERIFICATION:
            raise refused
        return data

    def _decrypted(self, text: str) -> bytes:
        try:
            packed = binascii.a2b_base64(text, strict_mode=True)
        except ValueError:
            packed = b""
        if len(packed) < 2 * _BLOCK or len(packed) % _BLOCK:
            raise Rejected("decrypt_failed", 400)
        decryptor = Cipher(algorithms.AES(self._aes_key), modes.CBC(packed[:_BLOCK])).decryptor()
        content = decryptor.update(packed[_BLOCK:]) + decryptor.finalize()
        padding = content[-1]
        if not 1 <= padding <= _BLOCK or not content.endswith(bytes([padding]) * padding):
            raise Rejected("decrypt_failed", 400)
        return content[:-padding]

    def _handshake(self, data: dict[str, Any]) -> Received:
        token = data.get("token")
        if type(token) is not str or not signing.equal(token, self._token):
            raise Rejected("wrong_token", 403)
        body = msgspec.json.encode({"challenge": payload.text(data, "challenge")})
        return Received(ack=Ack(200, body, "application/json"), raw=data)

    def _message(self, data: dict[str, Any]) -> Received:
        event_id = payload.identifier(data, "header", "event_id")
        message = payload.fields(data, "event", "message")
        sender = payload.fields(data, "event", "sender")
        if ignored := self._ignored_sender(sender):
            return Received(ignored=ignored, raw=data)
        people = People(payload.optional_items(message, "mentions"), self._bot)
        kind = payload.text(message, "message_type")
        said = read(kind, payload.text(message, "content"), people)
        if said is None:
            return Received(ignored="unsupported_type", raw=data)
        where = _conversation(self.name, self.config.account_id, message)
        message_id = payload.identifier(message, "message_id")
        reply_to = payload.optional_identifier(message, "parent_id")
        event = MessageEvent(
            id=event_id,
            conversation=where,
            sender=Sender(payload.identifier(sender, "sender_id", "open_id")),
            message=user(*_parts(message_id, said)),
            timestamp=_seconds(payload.text(message, "create_time")),
            to_me=where.chat_type == "private" or people.own or reply_to in self._own,
            message_id=message_id,
            dedup_message=True,
            reply_to=reply_to,
            mentions=people.listed,
            platform_data={"forward": kind} if kind == FORWARD else {},
        )
        return Received((event,), raw=data)

    def _ignored_sender(self, sender: dict[str, Any]) -> str:
        """Why nothing of this sender is taken: two bots that answer each other never end."""
        if payload.text(sender, "sender_type") != "user":
            return "sender_is_bot"
        own = self._bot and payload.optional_text(sender, "sender_id", "open_id") == self._bot
        return "self_message" if own else ""

    async def complete(self, event: MessageEvent) -> MessageEvent:
        """The message that is answered, and the messages of a forwarded bundle, as quotes before the text."""
        if any(isinstance(part, Quote) for part in event.message.parts):
            return event
        parts: list[Part] = []
        if event.reply_to:
            parts += await quoted(self._api, event.reply_to, self._bot)
        if event.platform_data.get("forward"):
            parts += await forwarded(self._api, event.message_id, self._bot)
        return replace(event, message=user(*parts, *event.message.parts)) if parts else event

    async def download(self, image: Image) -> bytes:
        """A picture of a message, by the message's id and its own key."""
        message_id, _, key = image.source.partition("/")
        return await self._api.picture(unquote(message_id), unquote(key))

    # --------------------------------------------------------------- outbound

    async def send(self, delivery: Delivery) -> str:
        """A card where markdown is in the text and a card can hold it, else a plain text; or a file."""
        if delivery.file is not None:
            return await self._send_file(delivery, delivery.file)
        text = delivery.text
        if card.has_markdown(text) and card.fits_card(text):
            try:
                return await self._post(delivery, "interactive", card.content(text), delivery.key)
            except ActionFailed as error:
                if int(error.code) not in NO_CARD:
                    raise
        return await self._post(delivery, "text", msgspec.json.encode({"text": card.plain(text)}), delivery.key)

    def surface(self, event: MessageEvent) -> Surface | None:
        asked = Delivery("", event.conversation, (), reply_to=event.message_id)
        return CardSurface(self._api, lambda kind, content, key: self._post(asked, kind, content, key))

    async def _send_file(self, delivery: Delivery, file: File) -> str:
        key = await self._api.upload(file.name, file.content, file.mime_type)
        return await self._post(delivery, "file", msgspec.json.encode({"file_key": key}), delivery.key)

    async def _post(self, delivery: Delivery, kind: str, content: bytes, key: str) -> str:
        """Send one message; Feishu drops a second one with the same key for an hour."""
        uuid = hashlib.sha256(key.encode()).hexdigest()[:40]
        data: dict[str, Any] = {"msg_type": kind, "content": content.decode(), "uuid": uuid}
        where = delivery.conversation
        if delivery.reply_to and (delivery.quote or where.chat_type == "group" or where.thread_id):
            data |= {"reply_in_thread": True} if where.thread_id else {}
            answer = await self._api.call("POST", f"im/v1/messages/{name(delivery.reply_to)}/reply", data)
        else:
            data["receive_id"] = where.chat_id
            answer = await self._api.call("POST", "im/v1/messages", data, {"receive_id_type": "chat_id"})
        message_id = text_in(answer, "data", "message_id")
        self._own.add(message_id)
        return message_id

    # ------------------------------------------------------------ housekeeping

    async def check(self) -> str:
        """Whether the app's id and secret are right, its bot is on, and `bot_open_id` is its id."""
        where = f"adapters.{self.name}"
        try:
            bot = payload.fields(await self._api.call("GET", "bot/v3/info"), "bot")
            open_id = payload.identifier(bot, "open_id")
        except ActionFailed as error:
            raise ConfigError(f"{where}: {error} ({error.code})") from None
        except Rejected:
            raise KantuError(f"{where}: Feishu told nothing about the bot: does the app have 机器人?") from None
        if bot.get("activate_status", 2) != 2:
            raise ConfigError(f"{where}: the app is not enabled: publish a version and enable it (启用)")
        if not self._bot:
            raise ConfigError(f"{where}.bot_open_id: set it to {open_id}, or no @ in groups is seen")
        if self._bot != open_id:
            raise ConfigError(f"{where}.bot_open_id: is {self._bot}, but this app's bot is {open_id}")
        trust = "events signed and encrypted" if self._encrypt_key else "events checked by token only"
        return f"{payload.optional_text(bot, 'app_name')} ({open_id}), {trust}"

    def warnings(self) -> tuple[str, ...]:
        found: list[str] = []
        if not self._encrypt_key:
            found.append("没有配置 encrypt_key：事件不加密也不签名，只靠 Verification Token，请在飞书后台设置。")
        if not self._bot:
            found.append("没有配置 bot_open_id：群里 @ 机器人不会被认出来，运行 kantu doctor 可以看到它的值。")
        if self._url.startswith("http:"):
            found.append("api_base 不是 https：应用凭证会以明文传输。")
        return tuple(found)


def _unencrypted(body: bytes) -> dict[str, Any]:
    data = payload.fields(payload.decode(body))
    if "encrypt" in data:
        raise Rejected("decrypt_failed", 400)
    return data


def _conversation(platform: str, account_id: str, message: dict[str, Any]) -> Conversation:
    chat_type = CHAT_TYPES.get(payload.text(message, "chat_type"))
    if chat_type is None:
        raise payload.malformed("chat_type must be p2p or group")
    thread_id = payload.optional_identifier(message, "thread_id")
    return Conversation(platform, account_id, payload.identifier(message, "chat_id"), chat_type, thread_id)


def _parts(message_id: str, said: Content) -> list[Part]:
    parts: list[Part] = [Text(said.text)] if said.text else []
    return [*parts, *(picture(message_id, key) for key in said.images)]


def _seconds(milliseconds: str) -> int:
    try:
        seconds = signing.timestamp(milliseconds) // 1000
    except Rejected:
        seconds = LAST_SECOND + 1
    if seconds > LAST_SECOND:
        raise payload.malformed("create_time must be milliseconds")
    return seconds
