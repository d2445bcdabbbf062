"""WeCom AI bot in webhook mode: JSON in Tencent's envelope; the answer is a stream that WeCom comes for.

A message is answered at once with the beginning of a stream. WeCom then asks for the stream's text, for six minutes
after the message; what is late, or too much, goes to the message's own address, once and within an hour. There is no
other way to write: the bot never speaks first.
https://developer.work.weixin.qq.com/document/path/100719
https://developer.work.weixin.qq.com/document/path/101031
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import msgspec

from adapters.wecom_bot.content import OwnName, message_parts
from adapters.wecom_bot.response import ResponseUrls, check_hosts
from adapters.wecom_bot.streams import JOINED, LIFE, UNANSWERED, WAITING, Stream, Streams, stream_id
from bot import envelope, payload
from bot.adapter import FULL_MARKDOWN, Ack, Limits, Rate, Received, Request, Surface, Window
from bot.adapter import Adapter as BaseAdapter
from bot.clock import Clock
from bot.config import AdapterConfig, Count, Positive, Secret
from bot.errors import BadPicture, ConfigError, DeliveryError, NetworkError, Rejected, WindowClosed
from bot.event import Conversation, Delivery, MessageEvent, Sender
from bot.http import Http
from bot.message import Image, Mention, user

REPLY_URL: Final = "reply_url"
REPLY_URL_EXPIRES: Final = "reply_url_expires"
REPLY_URL_LIFE: Final = 3600
TEXT_BYTES: Final = 20_480
#: In a stream these would hide a part of the answer as thoughts, or call a member by name.
_COMMANDS: Final = re.compile(r"<(?=/?think|@)", re.IGNORECASE)


class Config(AdapterConfig, frozen=True):
    """token, encoding_aes_key: of the bot's callback page; aibotid, bot_name: the bot's id and name.

    receive_id: what the envelope ends with; empty for a bot of one's own company. max_age: seconds a request stays
    fresh. fetch_wait: seconds for WeCom to fetch a finished answer before it is sent to the message's own address.
    picture_hosts and reply_hosts: where pictures and such addresses may lie; in the former `.example.com` means every
    name below it, in the latter `name:port` allows plain http.
    """

    token: Secret = Secret("")
    encoding_aes_key: Secret = Secret("")
    aibotid: str = ""
    bot_name: str = ""
    receive_id: str = ""
    max_age: Count = 300
    fetch_wait: Positive = 15.0
    picture_hosts: tuple[str, ...] = (".myqcloud.com",)
    reply_hosts: tuple[str, ...] = ("qyapi.weixin.qq.com",)


@dataclass(frozen=True, slots=True)
class Incoming:
    """What the HTTP answer needs: for which stream it is, and the nonce that it must repeat. fields: the message."""

    kind: Literal["message", "refresh", "other"]
    fields: dict[str, Any]
    nonce: str = ""
    stream_id: str = ""


class Adapter(BaseAdapter):
    """One bot. Raises ConfigError for what would leave the door open or could never answer."""

    Config: ClassVar[type[AdapterConfig]] = Config
    # Setting a stream's last text twice is one text, and the address takes one call: a second send does no harm. Only
    # a crash in the moment between WeCom's fetching and our noting it can show an answer twice.
    limits = Limits(
        text_length=TEXT_BYTES - 480,  # an escaped sign is longer than the sign
        text_unit="bytes",
        markdown=FULL_MARKDOWN,
        window=Window(REPLY_URL_LIFE, 2),
        active=False,
        chat_rates=(Rate(30, 60.0), Rate(1000, 3600.0)),
        idempotent_send=True,
        live="stream",
        live_interval=0.2,
    )

    def __init__(self, name: str, config: Config, http: Http, clock: Clock) -> None:
        super().__init__(name, config, http, clock)
        _check_config(name, config)
        self._account_id = config.account_id
        self._aibotid = config.aibotid
        self._own_name = OwnName(config.bot_name)
        self._bot = Mention(config.aibotid, config.bot_name, is_bot=True)
        self._picture_hosts = frozenset(host.lower() for host in config.picture_hosts)
        self._streams = Streams(clock)
        self._responses = ResponseUrls(http, config.reply_hosts)
        self._envelope = envelope.Envelope(
            config.token.reveal(),
            config.encoding_aes_key.reveal(),
            config.receive_id,
            config.max_age,
            where=f"adapters.{name}",
        )

    # ---------------------------------------------------------------- inbound

    def receive(self, request: Request) -> Received:
        """Verify, then decode. Raises Rejected."""
        if len(request.body) > self.limits.body_bytes:
            raise Rejected("too_large", 413)
        if request.method == "GET":
            return Received(ack=Ack(200, self._envelope.echo(request.query, request.now)), raw=Incoming("other", {}))
        signed = envelope.signed(request.query)
        ciphertext = payload.text(payload.decode(request.body), "encrypt")
        data = payload.fields(payload.decode(self._envelope.open(signed, ciphertext, request.now)))
        if payload.text(data, "aibotid") != self._aibotid:
            raise Rejected("wrong_bot", 403)
        return self._received(data, signed.nonce, int(request.now))

    async def acknowledge(self, received: Received) -> Ack:
        """For a message and for each question about its stream: the text so far, sealed."""
        incoming: Incoming = received.raw
        if incoming.kind == "other":
            return received.ack
        stream = self._streams.enter(incoming.stream_id)
        finish = stream.fetch(self.clock.monotonic())
        answer = {"msgtype": "stream", "stream": {"id": stream.id, "finish": finish, "content": stream.text}}
        return self._sealed(answer, incoming.nonce, finish=finish)

    def acknowledged(self, received: Received, ack: Ack, *, written: bool) -> None:
        """Last words that could not be written wait for the next question."""
        if isinstance(ack, _LastWords):
            stream = self._streams.find(received.raw.stream_id)
            if stream is not None:
                stream.settle(written=written)

    async def joined(self, event: MessageEvent) -> None:
        """End its stream: a member can have three open ones at a time only."""
        self._stream(event.message_id, event.timestamp).end(JOINED)

    async def unanswered(self, event: MessageEvent) -> None:
        """End its stream: an empty one cannot be taken back."""
        self._stream(event.message_id, event.timestamp).end(UNANSWERED)

    async def download(self, image: Image) -> bytes:
        """From the address in the message (good for five minutes), encrypted like the messages."""
        content = await self.http.picture(image.source, hosts=self._picture_hosts)
        try:
            return self._envelope.decrypt_media(content)
        except Rejected as error:
            raise BadPicture("undecryptable", "这张图片解不开，可能没有传完整，请重新发一次。") from error

    # --------------------------------------------------------------- outbound

    async def send(self, delivery: Delivery) -> str:
        """As the end of the message's stream while WeCom asks for it, else to the message's own address."""
        if not delivery.reply_to:
            raise WindowClosed("WeCom's AI bot can only answer: the member has to write first")
        text = _harmless(delivery.text)
        stream = self._stream(delivery.reply_to, delivery.asked_at)
        if await stream.give(text, delivery.key, self._patience(delivery)):
            return stream.id
        url = delivery.platform_data.get(REPLY_URL, "")
        if not url:
            raise WindowClosed("the stream has ended, and WeCom gave no address for a later answer")
        await self._responses.send(url, delivery.reply_to, text)
        return ""

    def surface(self, event: MessageEvent) -> Surface | None:
        """The stream, as long as it has not ended."""
        stream = self._stream(event.message_id, event.timestamp)
        return None if stream.finished else AnswerStream(self, stream)

    # ------------------------------------------------------------ housekeeping

    async def check(self) -> str:
        """Webhook mode has no call that proves the keys; that WeCom can be reached is all there is to ask."""
        host = self.config.reply_hosts[0]
        try:
            code = await self._responses.reach(host)
        except DeliveryError as error:
            raise NetworkError(
                f"{host} cannot be reached: {error}; late answers go there: check the firewall"
            ) from None
        return (
            f"bot {self._aibotid}, keys well formed, {host} answers (code {code} for a made-up address, as it should)"
        )

    def warnings(self) -> tuple[str, ...]:
        """No name: the bot's own @ stays in the questions."""
        found: list[str] = []
        if not self.config.bot_name:
            found.append("没有填 bot_name：群聊里“@机器人”几个字会留在问题中。请填机器人的显示名称。")
        if any(":" in host for host in self.config.reply_hosts):
            found.append("reply_hosts 里写了端口：这些地址允许不加密的 http，只应当用于测试或内网部署。")
        return tuple(found)

    # ---------------------------------------------------------------- private

    def _received(self, data: dict[str, Any], nonce: str, now: int) -> Received:
        kind = payload.identifier(data, "msgtype")
        if kind == "event":
            return Received(ignored="event", raw=Incoming("other", data))
        if kind == "stream":
            return Received(raw=Incoming("refresh", data, nonce, payload.identifier(data, "stream", "id")))
        found = message_parts(kind, data, self._own_name)
        if found is None:
            return Received(ignored="unsupported_type", raw=Incoming("other", data))
        parts, named = found
        message_id = payload.identifier(data, "msgid")
        event = MessageEvent(
            id=message_id,
            conversation=self._conversation(data),
            sender=Sender(payload.identifier(data, "from", "userid")),
            message=user(*parts),
            timestamp=now,
            message_id=message_id,
            mentions=(self._bot,) if named else (),
            platform_data=_reply_url(data, now),
        )
        return Received((event,), raw=Incoming("message", data, nonce, stream_id(message_id)))

    def _conversation(self, data: dict[str, Any]) -> Conversation:
        chat_type = payload.text(data, "chattype")
        if chat_type == "group":
            return Conversation(self.name, self._account_id, payload.identifier(data, "chatid"), "group")
        if chat_type != "single":
            raise payload.malformed("chattype must be 'single' or 'group'")
        return Conversation(self.name, self._account_id, payload.identifier(data, "from", "userid"))

    def _stream(self, message_id: str, sent_at: int) -> Stream:
        return self._streams.enter(stream_id(message_id), self.clock.now() - sent_at)

    def _patience(self, delivery: Delivery) -> float:
        """Seconds to wait for WeCom: none where it has stopped asking."""
        return self.config.fetch_wait if self.clock.now() - delivery.asked_at < LIFE else 0.0

    def _sealed(self, answer: dict[str, Any], nonce: str, *, finish: bool) -> Ack:
        """The official library's answer is text, not JSON by its type."""
        sealed = self._envelope.seal(msgspec.json.encode(answer), int(self.clock.now()), nonce)
        body = msgspec.json.encode(
            {
                "encrypt": sealed.ciphertext,
                "msgsignature": sealed.signature,
                "timestamp": sealed.timestamp,
                "nonce": sealed.nonce,
            }
        )
        return (_LastWords if finish else Ack)(200, body)


class _LastWords(Ack):
    """An HTTP answer that ends a stream."""


class AnswerStream(Surface):
    """A stream that grows with the answer; there is no call to make, since WeCom asks."""

    def __init__(self, adapter: Adapter, stream: Stream) -> None:
        self._adapter = adapter
        self._stream = stream

    async def open(self, text: str) -> None:
        self._stream.show(_harmless(text))

    async def update(self, text: str) -> None:
        self._stream.show(_harmless(text))

    async def close(self, delivery: Delivery) -> str:
        return await self._adapter.send(delivery)

    async def abandon(self) -> None:
        """Another try may come; if none does, the stream says so itself in time."""
        self._stream.show(WAITING)


def _harmless(text: str) -> str:
    """With a full-width `＜` where WeCom would see a command, as long as it fits."""
    plain = _COMMANDS.sub("＜", text)
    return plain if len(plain.encode()) <= TEXT_BYTES else text


def _reply_url(data: dict[str, Any], now: int) -> Mapping[str, str]:
    """As it came: whether it may be called is judged when it is."""
    url = payload.optional_text(data, "response_url")
    return {REPLY_URL: url, REPLY_URL_EXPIRES: str(now + REPLY_URL_LIFE)} if url else {}


def _check_config(name: str, config: Config) -> None:
    """Fails closed. Token and EncodingAESKey are the envelope's to check."""
    where = f"adapters.{name}"
    if not config.aibotid:
        raise ConfigError(f"{where}.aibotid: must not be empty (the bot's page shows it as Bot ID)")
    if not config.picture_hosts:
        raise ConfigError(f"{where}.picture_hosts: must not be empty")
    check_hosts(f"{where}.reply_hosts", config.reply_hosts)
