"""WeChat Official Account: messages come as XML, answers go out as passive replies or customer-service messages.

In plain mode the signature covers neither body nor address, only that whoever sends it knows the token; in AES mode
only what is inside `Encrypt` is believed, whatever stands beside it.
https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Receiving_standard_messages.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, urlencode

from adapters.wechat.api import Api
from adapters.wechat.passive import DELIVERIES, Room, Rooms
from bot import envelope, payload, signing, xml
from bot.adapter import Ack, Limits, Received, Request, Window
from bot.adapter import Adapter as BaseAdapter
from bot.clock import Clock
from bot.config import AdapterConfig, Count, Positive, Secret, checked_url
from bot.errors import ConfigError, FetchFailed, Rejected, WindowClosed
from bot.event import Conversation, Delivery, MessageEvent, Sender
from bot.http import Http
from bot.message import Image, Part, Text, user

SUCCESS: Final = Ack(200, b"success")
STILL_LOOKING: Final = "还在看图，请稍后发送“继续”获取答案。"
LAST_SECOND: Final = 253_402_300_799
#: A message so many seconds old is delivered for the last time, whatever we have seen: we may have been restarted.
_LAST_AGE: Final = 9.0
#: What a redelivery may be late by, as a part of redeliver_after.
_LATE: Final = 0.3


class Config(AdapterConfig, frozen=True):
    """token, app_id, encoding_aes_key: as at mp.weixin.qq.com; without encoding_aes_key the mode is plain.

    app_secret: for customer-service messages, and for pictures whose address has ended. original_id: the account's
    gh_… id, which every message must be for; empty: not checked. path_secret: must come as `key` in the webhook's
    address, since plain mode signs little. customer_service: the account may use message/custom/send.

    passive_wait: seconds for which a delivery waits for its answer; redeliver_after: seconds after which WeChat hangs
    up and delivers again.
    """

    token: Secret = Secret("")
    app_id: str = ""
    app_secret: Secret = Secret("")
    encoding_aes_key: Secret = Secret("")
    original_id: str = ""
    path_secret: Secret = Secret("")
    customer_service: bool = False
    max_age: Count = 300
    passive_wait: Positive = 4.5
    redeliver_after: Positive = 5.0
    api_base: str = "https://api.weixin.qq.com"
    picture_hosts: tuple[str, ...] = (".qpic.cn",)


@dataclass(frozen=True, slots=True)
class Incoming:
    """What a passive reply needs of a message; fields: all of it. message_id: empty where nothing is answered."""

    user: str
    bot: str
    nonce: str
    message_id: str
    sent_at: int
    fields: dict[str, Any]


class Adapter(BaseAdapter):
    """One account. Raises ConfigError for what would leave the door open or could never answer."""

    Config: ClassVar[type[AdapterConfig]] = Config

    def __init__(self, name: str, config: Config, http: Http, clock: Clock) -> None:
        super().__init__(name, config, http, clock)
        _check_config(name, config)
        self.limits = _limits(customer_service=config.customer_service)
        self._token = config.token.reveal()
        self._envelope = _envelope(name, config)
        base = checked_url(f"adapters.{name}.api_base", config.api_base)
        self._api = Api(http, clock, base, config.app_id, config.app_secret.reveal())
        self._rooms = Rooms(clock, DELIVERIES * config.redeliver_after)
        self._until_next = config.redeliver_after * (1 + _LATE) - config.passive_wait
        self._picture_hosts = frozenset(host.lower() for host in config.picture_hosts)

    # ---------------------------------------------------------------- inbound

    def receive(self, request: Request) -> Received:
        """Verify, then decode. Raises Rejected."""
        if len(request.body) > self.limits.body_bytes:
            raise Rejected("too_large", 413)
        if request.method == "GET":
            return self._handshake(request)
        if self._envelope is None:
            self._check_signature(request)
            data = xml.decode(request.body)
        else:
            data = self._opened(request, self._envelope)
        return self._received(data, request.query.get("nonce", ""))

    async def acknowledge(self, received: Received) -> Ack:
        """The answer itself, where it is there in time; else nothing that WeChat still hears, so that it comes again.

        The last delivery is always answered: WeChat shows the user a fault of the account otherwise.
        """
        incoming: Incoming = received.raw
        if not received.events:
            return received.ack
        room = self._rooms.enter(incoming.user, incoming.message_id)
        room.deliveries += 1
        last = room.deliveries >= DELIVERIES or self.clock.now() - incoming.sent_at >= _LAST_AGE
        if await room.ready(self.config.passive_wait):
            return received.ack if room.over else room.carry(self._passive(incoming, room.text))
        if not last:
            await room.ended(self._until_next)
            return received.ack
        room.close()
        return received.ack if self.config.customer_service else self._passive(incoming, STILL_LOOKING)

    def acknowledged(self, received: Received, ack: Ack, *, written: bool) -> None:
        """An answer that could not be written waits for the next delivery."""
        if not received.events:
            return
        room = self._rooms.find(received.raw.user, received.raw.message_id)
        if room is not None and room.carrier is ack:
            room.settle(written=written)

    async def joined(self, event: MessageEvent) -> None:
        """Nothing comes for this message alone: WeChat need not deliver it again."""
        await self.unanswered(event)

    async def unanswered(self, event: MessageEvent) -> None:
        """Nothing comes at all."""
        room = self._rooms.find(event.conversation.chat_id, event.message_id)
        if room is not None:
            room.close()

    async def download(self, image: Image) -> bytes:
        """From the address in the message, else by the media id."""
        source = dict(parse_qsl(image.source))
        try:
            return await self.http.picture(source.get("pic_url", ""), hosts=self._picture_hosts)
        except FetchFailed:
            if not self.config.app_secret:
                raise
        return await self._api.picture(source.get("media_id", ""))

    # --------------------------------------------------------------- outbound

    async def send(self, delivery: Delivery) -> str:
        """As the passive reply if that is still possible, else as a customer-service message."""
        room = self._room(delivery)
        if room is not None and await room.give(delivery.text, self._patience(room)):
            return ""
        if not self.config.customer_service:
            raise WindowClosed("the passive reply has passed, and the account may send no customer-service messages")
        await self._api.send_text(delivery.conversation.chat_id, delivery.text)
        return ""

    async def typing(self, event: MessageEvent) -> None:
        """「对方正在输入」 lasts 15 seconds."""
        if self.config.customer_service:
            await self._api.show_typing(event.conversation.chat_id)

    # ------------------------------------------------------------ housekeeping

    async def check(self) -> str:
        """The mode, whether the secret works, and how answers go out."""
        mode = "plain mode" if self._envelope is None else "AES mode"
        if not self.config.app_secret:
            return f"{mode}, passive replies only, no app_secret to check"
        await self._api.check(customer_service=self.config.customer_service)
        ways = (
            "passive replies and customer-service messages" if self.config.customer_service else "passive replies only"
        )
        return f"{mode}, access token works, {ways}"

    def warnings(self) -> tuple[str, ...]:
        """Plain mode, and what having no customer-service right means."""
        found: list[str] = []
        if self._envelope is None:
            found.append("明文模式的签名不覆盖消息内容；请在公众平台改用安全模式，并填写 encoding_aes_key。")
            if not self.config.path_secret:
                found.append("明文模式下请设置 path_secret，并把它写进回调地址（?key=…）。")
        if not self.config.customer_service:
            found.append("没有客服消息权限（customer_service: false）：15 秒内没答完的，要等用户再发一条消息才能送达。")
        return tuple(found)

    # ---------------------------------------------------------------- private

    def _handshake(self, request: Request) -> Received:
        self._check_signature(request)
        return Received(ack=Ack(200, payload.clean(payload.text(dict(request.query), "echostr")).encode()))

    def _check_signature(self, request: Request) -> None:
        """Plain mode's, which also covers the handshake of AES mode."""
        values = envelope.signed(request.query, "signature")
        if not signing.equal(values.signature, envelope.sha1_signature(self._token, values.timestamp, values.nonce)):
            raise Rejected("bad_signature")
        signing.check_age(request.now, values.seconds, self.config.max_age)
        self._check_path(request)

    def _opened(self, request: Request, opener: envelope.Envelope) -> dict[str, Any]:
        """`Encrypt` alone: the plain elements that stand beside it in compatibility mode are not signed."""
        values = envelope.signed(request.query)
        ciphertext = payload.text(xml.decode(request.body), "Encrypt")
        message = opener.open(values, ciphertext, request.now)
        self._check_path(request)
        return xml.decode(message)

    def _check_path(self, request: Request) -> None:
        secret = self.config.path_secret
        if secret and not signing.equal(request.query.get("key", ""), secret.reveal()):
            raise Rejected("wrong_token")

    def _received(self, data: dict[str, Any], nonce: str) -> Received:
        bot = payload.identifier(data, "ToUserName")
        if self.config.original_id and bot != self.config.original_id:
            raise Rejected("wrong_bot", 403)
        sender = payload.identifier(data, "FromUserName")
        sent_at = xml.number(data, "CreateTime", most=LAST_SECOND)
        kind = payload.identifier(data, "MsgType")
        parts = _parts(kind, data)
        if parts is None:
            ignored = "event" if kind == "event" else "unsupported_type"
            return Received((), SUCCESS, ignored, raw=Incoming(sender, bot, nonce, "", sent_at, data))
        message_id = payload.identifier(data, "MsgId")
        event = MessageEvent(
            id=message_id,
            conversation=Conversation(self.name, self.config.account_id, sender),
            sender=Sender(sender),
            message=user(*parts),
            timestamp=sent_at,
            message_id=message_id,
        )
        return Received((event,), SUCCESS, raw=Incoming(sender, bot, nonce, message_id, sent_at, data))

    def _room(self, delivery: Delivery) -> Room | None:
        if not delivery.reply_to:
            return None
        who = delivery.conversation.chat_id, delivery.reply_to
        recent = self.clock.now() - delivery.asked_at < DELIVERIES * self.config.redeliver_after
        # No room for a recent question: we were restarted, and WeChat may deliver it again.
        return self._rooms.enter(*who) if recent else self._rooms.find(*who)

    def _patience(self, room: Room) -> float:
        """Seconds to wait for a delivery: where there is another way to answer, no longer than the next one takes."""
        left = room.ends - self.clock.monotonic()
        if not self.config.customer_service:
            return left
        return min(left, self._until_next)

    def _passive(self, incoming: Incoming, text: str) -> Ack:
        """The text as XML, sealed where the message was."""
        now = int(self.clock.now())
        reply = xml.encode(
            {
                "ToUserName": incoming.user,
                "FromUserName": incoming.bot,
                "CreateTime": now,
                "MsgType": "text",
                "Content": text,
            }
        )
        if self._envelope is not None:
            sealed = self._envelope.seal(reply, now, incoming.nonce)
            reply = xml.encode(
                {
                    "Encrypt": sealed.ciphertext,
                    "MsgSignature": sealed.signature,
                    "TimeStamp": sealed.timestamp,
                    "Nonce": sealed.nonce,
                }
            )
        return Ack(200, reply, "application/xml")


def _parts(kind: str, data: dict[str, Any]) -> list[Part] | None:
    """What was said; None for what the bot cannot use."""
    if kind == "image":
        source = {"media_id": payload.identifier(data, "MediaId"), "pic_url": _picture_url(data)}
        return [Image(source=urlencode(source))]
    if kind == "text":
        words = payload.utterance(data, "Content")
        return [Text(words)] if words else []
    if kind == "voice":
        # WeChat writes down what was said where the account has turned that on.
        words = payload.optional_text(data, "Recognition").strip()
        return [Text(words)] if words else None
    return None


def _picture_url(data: dict[str, Any]) -> str:
    """Any address: whether it may be fetched is judged when it is."""
    url = payload.text(data, "PicUrl")
    if not url:
        raise payload.malformed("PicUrl must be an address")
    return url


def _limits(*, customer_service: bool) -> Limits:
    """Customer-service messages: five within 48 hours of a message. Passive replies: one, seconds after it."""
    window = Window(48 * 3600, 5) if customer_service else Window(60, 1)
    return Limits(
        text_length=2048,
        text_unit="bytes",
        window=window,
        active=customer_service,
        typing_every=15.0 if customer_service else 0.0,
    )


def _envelope(name: str, config: Config) -> envelope.Envelope | None:
    if not config.encoding_aes_key:
        return None
    return envelope.Envelope(
        config.token.reveal(),
        config.encoding_aes_key.reveal(),
        config.app_id,
        config.max_age,
        where=f"adapters.{name}",
    )


def _check_config(name: str, config: Config) -> None:
    where = f"adapters.{name}"
    if not config.token:
        raise ConfigError(f"{where}.token: must not be empty")
    if not config.app_id and (config.encoding_aes_key or config.app_secret):
        raise ConfigError(f"{where}.app_id: is needed with encoding_aes_key and app_secret")
    if config.customer_service and not config.app_secret:
        raise ConfigError(f"{where}.app_secret: is needed with customer_service")
    if config.passive_wait >= config.redeliver_after:
        raise ConfigError(f"{where}.passive_wait: must be shorter than redeliver_after")
    if not config.picture_hosts:
        raise ConfigError(f"{where}.picture_hosts: must not be empty")
