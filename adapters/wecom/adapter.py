"""WeCom's self-built apps: members write to the app in private, answers go out by message/send.

A callback is XML in Tencent's envelope; what stands beside `Encrypt` is not signed and not read. Apps get no group
messages, and text and pictures always come as messages of their own.
https://developer.work.weixin.qq.com/document/path/90238
https://developer.work.weixin.qq.com/document/path/90239
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from adapters.wecom.api import Api
from bot import envelope, payload, xml
from bot.adapter import Ack, Limits, Rate, Received, Request
from bot.adapter import Adapter as BaseAdapter
from bot.clock import Clock
from bot.config import AdapterConfig, Count, Quota, Secret, checked_url, in_the_clear
from bot.errors import ConfigError, Rejected
from bot.event import Conversation, Delivery, MessageEvent, Sender
from bot.http import Http
from bot.message import Image, Part, Text, user

LAST_SECOND: Final = 253_402_300_799
TEXT_BYTES: Final = 2048
#: WeCom shows `<a href=…>` as a link: what looks like one in an answer was meant to be read.
_LINK: Final = re.compile(r"<(?=/?a\b)", re.IGNORECASE)


class Config(AdapterConfig, frozen=True):
    """corp_id, agent_id, secret: of the app; token, encoding_aes_key: of its 接收消息 page.

    max_age: seconds a request stays fresh. api_base: WeCom's address, or that of a private deployment.
    """

    corp_id: str = ""
    agent_id: Quota = 0
    secret: Secret = Secret("")
    token: Secret = Secret("")
    encoding_aes_key: Secret = Secret("")
    max_age: Count = 300
    api_base: str = "https://qyapi.weixin.qq.com"


class Adapter(BaseAdapter):
    """One app. Raises ConfigError for what would leave the door open or could never answer."""

    Config: ClassVar[type[AdapterConfig]] = Config
    # Somewhat below what WeCom takes: an escaped `<a` is longer.
    limits = Limits(text_length=2000, text_unit="bytes", files=True, chat_rates=(Rate(30, 60.0), Rate(1000, 3600.0)))

    def __init__(self, name: str, config: Config, http: Http, clock: Clock) -> None:
        super().__init__(name, config, http, clock)
        _check_config(name, config)
        self._account_id = config.account_id
        self._agent_id = str(config.agent_id)
        self._envelope = envelope.Envelope(
            config.token.reveal(),
            config.encoding_aes_key.reveal(),
            config.corp_id,
            config.max_age,
            where=f"adapters.{name}",
        )
        self._base = checked_url(f"adapters.{name}.api_base", config.api_base)
        self._api = Api(http, clock, self._base, config.corp_id, config.agent_id, config.secret.reveal())

    # ---------------------------------------------------------------- inbound

    def receive(self, request: Request) -> Received:
        """Verify, then decode. Raises Rejected."""
        if len(request.body) > self.limits.body_bytes:
            raise Rejected("too_large", 413)
        if request.method == "GET":
            return Received(ack=Ack(200, self._envelope.echo(request.query, request.now)))
        signed = envelope.signed(request.query)
        ciphertext = payload.text(xml.decode(request.body), "Encrypt")
        return self._received(xml.decode(self._envelope.open(signed, ciphertext, request.now)))

    async def download(self, image: Image) -> bytes:
        """By the media id: the address beside it is a smaller copy."""
        return await self._api.picture(image.source)

    # --------------------------------------------------------------- outbound

    async def send(self, delivery: Delivery) -> str:
        """A message to the member; WeCom knows no answer to a certain message."""
        member = delivery.conversation.chat_id
        if delivery.file is not None:
            return await self._api.send_file(member, delivery.file)
        return await self._api.send_text(member, _unlinked(delivery.text))

    # ------------------------------------------------------------ housekeeping

    async def check(self) -> str:
        """Secret, agent id and the trusted address, by asking for the app's name."""
        return f"access token works, app 「{await self._api.app_name()}」 (AgentId {self._agent_id})"

    def warnings(self) -> tuple[str, ...]:
        """A secret that travels in the clear."""
        if in_the_clear(self._base):
            return ("api_base 不是 https：应用的 Secret 会以明文经过网络。",)
        return ()

    # ---------------------------------------------------------------- private

    def _received(self, data: dict[str, Any]) -> Received:
        if data.get("AgentID", "").strip() not in ("", self._agent_id):
            raise Rejected("wrong_bot", 403)
        sender = payload.identifier(data, "FromUserName")
        sent_at = xml.number(data, "CreateTime", most=LAST_SECOND)
        kind = payload.identifier(data, "MsgType")
        parts = _parts(kind, data)
        if parts is None:
            return Received(ignored="event" if kind == "event" else "unsupported_type", raw=data)
        message_id = payload.identifier(data, "MsgId")
        event = MessageEvent(
            id=message_id,
            conversation=Conversation(self.name, self._account_id, sender),
            sender=Sender(sender),
            message=user(*parts),
            timestamp=sent_at,
            message_id=message_id,
        )
        return Received((event,), raw=data)


def _parts(kind: str, data: dict[str, Any]) -> list[Part] | None:
    """What was said; None for what we cannot use."""
    if kind == "image":
        return [Image(payload.identifier(data, "MediaId"))]
    if kind == "text":
        words = payload.utterance(data, "Content")
        return [Text(words)] if words else []
    if kind == "voice":
        words = payload.optional_text(data, "Recognition").strip()
        return [Text(words)] if words else None
    return None


def _unlinked(text: str) -> str:
    """With a full-width `＜` where WeCom would see a link, as long as it fits."""
    plain = _LINK.sub("＜", text)
    return plain if len(plain.encode()) <= TEXT_BYTES else text


def _check_config(name: str, config: Config) -> None:
    """Fails closed. Token and EncodingAESKey are the envelope's to check."""
    where = f"adapters.{name}"
    if not config.corp_id:
        raise ConfigError(f"{where}.corp_id: must not be empty (我的企业 → 企业信息 → 企业 ID)")
    if not config.agent_id:
        raise ConfigError(f"{where}.agent_id: must be the app's AgentId, a number")
    if not config.secret:
        raise ConfigError(f"{where}.secret: must not be empty (应用管理 → 应用 → Secret)")
