"""QQ official bot by webhook: private chats and groups.

A request is signed with Ed25519 over X-Signature-Timestamp and the body. When the callback address is entered, QQ
asks for a signature of its own choosing (op 13), made with the very key that signs events: whoever gets an answer
for a text of their choosing can forge any event. An unsigned op 13 is answered only for a short token of letters and
digits and the time of now; no event can be read out of that.

Messages of the guild channels (AT_MESSAGE_CREATE, DIRECT_MESSAGE_CREATE, …) are ignored.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, ClassVar

import msgspec

from adapters.qq import messages
from adapters.qq.api import URL_REFUSED, Api
from adapters.qq.signature import Signer
from adapters.qq.stream import Stream
from bot import payload, signing
from bot.adapter import FULL_MARKDOWN, Ack, Limits, Rate, Received, Request, Surface, Window
from bot.adapter import Adapter as BaseAdapter
from bot.clock import Clock
from bot.config import AdapterConfig, Count, Secret, checked_url
from bot.errors import ActionFailed, ConfigError, NetworkError, Rejected
from bot.event import Conversation, Delivery, MessageEvent
from bot.http import Http
from bot.message import Image

ACCEPTED = Ack(200, b'{"op":12,"d":0}', "application/json")
_DISPATCH, _HANDSHAKE = 0, 13
_LAST_OP = 1000
#: QQ takes a number to tell answers to one message apart; nobody says how large, this is known to be taken.
_SEQUENCES = 99_999_999
_TYPING_SECONDS = 60
_PRIVATE_WINDOW = Window(3600, 4)
_GROUP_WINDOW = Window(300, 5)
#: What QQ holds to be a web address: also two words around a dot.
_DOT_IN_ADDRESS = re.compile(r"(?<=[^\W_])\.(?=[^\W\d_])")
#: Beginnings of what calls somebody, or everybody.
_CALL = re.compile(r"<(?=[@#]|qqbot-)|@(?=everyone\b)|mqqapi:(?=//)", re.IGNORECASE)


class Config(AdapterConfig, frozen=True):
    """app_id, secret: AppID and AppSecret of the bot. max_age: seconds a request stays fresh.

    handshake_token: what the token of an unsigned handshake must look like, as a regular expression for all of it.
    picture_hosts: pictures are fetched from these hosts only (`.example.com`: from every name below it). active: send
    what nobody asked for, or too late to count as an answer. markdown: send answers as Markdown. stream: show private
    answers as they grow (needs markdown). typing: show 「对方正在输入」 in private chats.
    """

    app_id: str = ""
    secret: Secret = Secret("")
    max_age: Count = 300
    handshake_token: str = "[A-Za-z0-9]{8,64}"
    api_base: str = "https://api.bot.qq.com"
    token_base: str = "https://api.bot.qq.com"
    picture_hosts: tuple[str, ...] = (".qq.com.cn", ".qpic.cn", ".qq.com")
    active: bool = True
    markdown: bool = False
    stream: bool = False
    typing: bool = False


class Adapter(BaseAdapter):
    """One bot. Raises ConfigError when it has no AppID or no secret."""

    Config: ClassVar[type[AdapterConfig]] = Config

    def __init__(self, name: str, config: Config, http: Http, clock: Clock) -> None:
        super().__init__(name, config, http, clock)
        where = f"adapters.{name}"
        if not config.app_id or not config.secret:
            raise ConfigError(f"{where}: needs app_id and secret (q.qq.com: 开发 → 开发管理)")
        if config.stream and not config.markdown:
            raise ConfigError(f"{where}.stream: streamed answers are Markdown; set markdown: true, too")
        self._app_id = config.app_id
        self._account_id = config.account_id
        self._max_age = config.max_age
        self._markdown = config.markdown
        self._signer = Signer(config.secret.reveal())
        self._handshake_token = _pattern(f"{where}.handshake_token", config.handshake_token)
        self._picture_hosts = frozenset(host.lower() for host in config.picture_hosts)
        api_base = checked_url(f"{where}.api_base", config.api_base)
        token_base = checked_url(f"{where}.token_base", config.token_base)
        self._api = Api(http, clock, api_base, token_base, config.app_id, config.secret.reveal())
        self.limits = _limits(config, _PRIVATE_WINDOW, private=True)
        self._group_limits = _limits(config, _GROUP_WINDOW, private=False)

    # ---------------------------------------------------------------- inbound

    def receive(self, request: Request) -> Received:
        """Verify, then decode. Raises Rejected."""
        if len(request.body) > self.limits.body_bytes:
            raise Rejected("too_large", 413)
        signature, sent = request.header("x-signature-ed25519"), request.header("x-signature-timestamp")
        if signature is None and sent is None:
            return self._receive_unsigned(request)
        if not signature or sent is None:
            raise Rejected("missing_signature")
        seconds = signing.timestamp(sent)
        if not self._signer.verifies(signature, sent.encode() + request.body):
            raise Rejected("bad_signature")
        signing.check_age(request.now, seconds, self._max_age)
        data = payload.decode(request.body)
        op = payload.integer(data, "op", least=0, most=_LAST_OP)
        if op == _HANDSHAKE:
            return self._signed_handshake(data)
        if op != _DISPATCH:
            return Received(ack=ACCEPTED, ignored="event", raw=data)
        event = messages.read(data, self.name, self._account_id)
        if isinstance(event, str):
            return Received(ack=ACCEPTED, ignored=event, raw=data)
        return Received((event,), ACCEPTED, raw=data)

    async def download(self, image: Image) -> bytes:
        """Pictures lie open under a long address; how long is not documented."""
        return await self.http.picture(image.source, hosts=self._picture_hosts)

    # --------------------------------------------------------------- outbound

    def limits_for(self, conversation: Conversation) -> Limits:
        """Groups have a shorter window and show nothing growing."""
        return self.limits if conversation.chat_type == "private" else self._group_limits

    async def send(self, delivery: Delivery) -> str:
        """An answer, or unasked. Web addresses that QQ refuses are sent once more so that nobody can click them."""
        try:
            return await self._send(delivery, delivery.text)
        except ActionFailed as error:
            harmless = without_addresses(delivery.text)
            if error.code not in URL_REFUSED or harmless == delivery.text:
                raise
            return await self._send(delivery, harmless)

    def surface(self, event: MessageEvent) -> Surface | None:
        """A private answer can be streamed."""
        return Stream(self._api, event.conversation, event.message_id, _sequence(f"stream {event.id}"))

    async def typing(self, event: MessageEvent) -> None:
        """「对方正在输入」 for a minute; private chats only."""
        data = {
            "msg_type": 6,
            "input_notify": {"input_type": 1, "input_second": _TYPING_SECONDS},
            "msg_id": event.message_id,
            "msg_seq": _sequence(f"typing {event.id} {self.clock.now()}"),
        }
        await self._api.post(event.conversation, data)

    # ------------------------------------------------------------ housekeeping

    async def check(self) -> str:
        """Get a token and ask for the bot's own name."""
        return f"app {self._app_id}, token valid, bot {await self._api.own_name()}"

    def warnings(self) -> tuple[str, ...]:
        """Addresses without encryption: token and answers could be read on the way."""
        bases = (self.config.api_base, self.config.token_base)
        if any(base.startswith("http:") for base in bases):
            return ("api_base 或 token_base 不是 https：密钥和回答会明文传输，只应在本机测试时使用。",)
        return ()

    def _receive_unsigned(self, request: Request) -> Received:
        """Only the handshake may come without a signature."""
        try:
            data = payload.decode(request.body)
            op = payload.integer(data, "op", least=_HANDSHAKE, most=_HANDSHAKE)
        except Rejected:
            raise Rejected("missing_signature") from None
        try:
            token, sent = payload.text(data, "d", "plain_token"), payload.text(data, "d", "event_ts")
            signing.check_age(request.now, signing.timestamp(sent), self._max_age)
        except Rejected:
            raise Rejected("handshake_refused", 403) from None
        # Without a brace no JSON object can be read out of what is signed, whatever the operator allows.
        if "{" in token or not self._handshake_token.fullmatch(token):
            raise Rejected("handshake_refused", 403)
        return self._answer(token, sent, op)

    def _signed_handshake(self, data: Any) -> Received:
        token, sent = payload.text(data, "d", "plain_token"), payload.text(data, "d", "event_ts")
        try:
            signing.timestamp(sent)
        except Rejected:
            raise Rejected("handshake_refused", 403) from None
        return self._answer(token, sent, data)

    def _answer(self, token: str, sent: str, raw: Any) -> Received:
        signature = self._signer.sign((sent + token).encode())
        body = msgspec.json.encode({"plain_token": token, "signature": signature})
        return Received(ack=Ack(200, body, "application/json"), raw=raw)

    async def _send(self, delivery: Delivery, text: str) -> str:
        if delivery.conversation.chat_type == "group":
            text = without_calls(text)
        data: dict[str, Any] = {"msg_type": 2, "markdown": {"content": text}}
        if not self._markdown:
            data = {"msg_type": 0, "content": text}
        reference = delivery.platform_data.get(messages.REFERENCE)
        if delivery.quote and reference:
            data["message_reference"] = {"message_id": reference}
        if delivery.reply_to:
            data |= {"msg_id": delivery.reply_to, "msg_seq": _sequence(delivery.key)}
        try:
            return await self._api.post(delivery.conversation, data)
        except NetworkError as error:
            if delivery.reply_to or not error.sent_maybe:
                raise
            # Only answers carry a number by which QQ drops a copy.
            raise ActionFailed(f"not sent again, it may have arrived: {error}", code="unknown") from error


def without_addresses(text: str) -> str:
    """Web addresses as words that can be read but not clicked."""
    return _DOT_IN_ADDRESS.sub("．", re.sub(r"(?i)\bhttps?://", "", text))


def without_calls(text: str) -> str:
    """No answer calls a member or all of them: what would is broken by a zero-width space, as QQ knows no escapes."""
    return _CALL.sub("\\g<0>\u200b", text)


def _limits(config: Config, window: Window, *, private: bool) -> Limits:
    return Limits(
        text_length=2000,
        markdown=FULL_MARKDOWN if config.markdown else frozenset(),
        window=window,
        active=config.active,
        app_rates=(Rate(40, 1),),
        idempotent_send=True,
        live="stream" if config.stream and private else "",
        live_interval=1.0,
        typing_every=_TYPING_SECONDS - 5 if config.typing and private else 0.0,
    )


def _sequence(key: str) -> int:
    """The same for the same key: QQ drops a second answer with this number."""
    return 1 + int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % _SEQUENCES


def _pattern(where: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{where}: not a regular expression: {error}") from None
