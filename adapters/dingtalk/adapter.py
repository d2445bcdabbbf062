"""DingTalk (钉钉): the robot of an internal app, in HTTP mode.

The signature covers the time and nothing else: sign = base64(HMAC-SHA256(app_secret, timestamp + "\\n" + app_secret)).
https://open.dingtalk.com/document/orgapp/receive-message
Whoever has seen one request may write bodies of their own for an hour. `path_secret` helps where addresses are less
seen than headers, and nothing in a body leads to an address that is not DingTalk's.

Answers go to the message's `sessionWebhook`; when that has ended, and files always, by the robot API. With
`card_template_id` they are shown in an AI card while they are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import unquote

from adapters.dingtalk import card, outgoing
from adapters.dingtalk.api import Api, refusal
from adapters.dingtalk.incoming import Reader, decode, is_reply_url
from bot import signing
from bot.adapter import Adapter as BaseAdapter
from bot.adapter import Limits, Rate, Received, Request, Surface
from bot.clock import Clock
from bot.config import AdapterConfig, Count, Secret, checked_url
from bot.errors import ActionFailed, ConfigError, NetworkError, Rejected, WindowClosed
from bot.event import Delivery, File, MessageEvent
from bot.http import Http
from bot.message import Image, Quote, user

#: The session's address has ended (session 不存在).
_SESSION_ENDED = "300001"
#: A session that ends within so many seconds is not begun.
_SESSION_MARGIN = 10.0
_UNKNOWN_QUOTE = "（钉钉没有提供被引用消息的内容）"


class Config(AdapterConfig, frozen=True):
    """app_key and app_secret: the app's Client ID and Client Secret.

    robot_code: messages to another robot are refused; empty: any, and `app_key` is used to send. chatbot_user_id: the
    robot's encrypted id, likewise. path_secret: what `?key=` in the webhook address must be; empty: nothing.
    max_age: seconds a request stays fresh. reply_hosts: where answers may be posted. picture_hosts: where pictures are
    downloaded from. card_template_id: an AI card for answers while they are written; empty: none. card_content_key:
    the variable of the card that holds the text. api_url and oapi_url: DingTalk's newer and older API.
    """

    app_key: str = ""
    app_secret: Secret = Secret("")
    robot_code: str = ""
    chatbot_user_id: str = ""
    path_secret: Secret = Secret("")
    max_age: Count = 3600
    reply_hosts: tuple[str, ...] = ("oapi.dingtalk.com", "api.dingtalk.com")
    picture_hosts: tuple[str, ...] = (".dingtalk.com", ".aliyuncs.com")
    card_template_id: str = ""
    card_content_key: str = "content"
    api_url: str = "https://api.dingtalk.com"
    oapi_url: str = "https://oapi.dingtalk.com"


# The API takes 15000 bytes of msgParam, a session's address 20000 bytes in all. What is left over is for the escapes of
# JSON and the two spaces before a line break.
_LIMITS = Limits(
    text_length=10_000,
    text_unit="bytes",
    markdown=frozenset({"bold", "heading", "list", "link", "quote"}),
    app_rates=(Rate(20, 1.0),),
    # A group that gets more is silenced for ten minutes.
    chat_rates=(Rate(20, 60.0),),
    files=True,
)
# Two or three cards that are written at once exceed what DingTalk takes from an organisation without a package.
_CARD_LIMITS = replace(_LIMITS, live="stream", live_interval=1.0, app_rates=(Rate(10, 1.0),))


class Adapter(BaseAdapter):
    """One robot. Raises ConfigError when a key is missing or an address cannot be used."""

    Config: ClassVar[type[AdapterConfig]] = Config
    limits = _LIMITS

    def __init__(self, name: str, config: Config, http: Http, clock: Clock) -> None:
        super().__init__(name, config, http, clock)
        _check_keys(name, config)
        self._settings = config
        self._secret = config.app_secret.reveal()
        self._path_secret = config.path_secret.reveal()
        self._robot_code = config.robot_code or config.app_key
        self._reply_hosts = frozenset(host.lower() for host in config.reply_hosts)
        self._picture_hosts = frozenset(host.lower() for host in config.picture_hosts)
        self._reader = Reader(
            name, config.account_id, config.robot_code, config.chatbot_user_id, self._robot_code, self._reply_hosts
        )
        base = checked_url(f"adapters.{name}.api_url", config.api_url)
        older_base = checked_url(f"adapters.{name}.oapi_url", config.oapi_url)
        self._api = Api(http, clock, base, older_base, config.app_key, self._secret)
        if config.card_template_id:
            self.limits = _CARD_LIMITS

    # ---------------------------------------------------------------- inbound

    def receive(self, request: Request) -> Received:
        """Verify, then decode. Raises Rejected."""
        if len(request.body) > self.limits.body_bytes:
            raise Rejected("too_large", 413)
        self._verify(request)
        data = decode(request.body)
        found = self._reader.read(data)
        return Received(ignored=found, raw=data) if isinstance(found, str) else Received((found,), raw=data)

    def _verify(self, request: Request) -> None:
        sent, signature = request.header("timestamp"), request.header("sign")
        if sent is None or not signature:
            raise Rejected("missing_signature")
        milliseconds = signing.timestamp(sent)
        expected = signing.hmac_sha256_base64(self._secret.encode(), f"{sent}\n{self._secret}".encode())
        if not signing.equal(signature, expected):
            raise Rejected("bad_signature")
        if self._path_secret and not signing.equal(request.query.get("key", ""), self._path_secret):
            raise Rejected("bad_signature", message="the key in the webhook address is not path_secret")
        signing.check_age(request.now, milliseconds // 1000, self._settings.max_age)

    async def complete(self, event: MessageEvent) -> MessageEvent:
        """Nothing can be fetched: there is no call that gives a message by its id. An empty quote says so."""
        parts = [
            Quote(user(_UNKNOWN_QUOTE), part.sender) if isinstance(part, Quote) and not part.message.parts else part
            for part in event.message.parts
        ]
        return replace(event, message=replace(event.message, parts=tuple(parts)))

    async def download(self, image: Image) -> bytes:
        """By its download code, which DingTalk keeps for a while."""
        robot_code, _, download_code = image.source.partition("/")
        return await self._api.picture(unquote(robot_code) or self._robot_code, download_code, self._picture_hosts)

    # --------------------------------------------------------------- outbound

    async def send(self, delivery: Delivery) -> str:
        """To the session's address while there is one, else by the robot API. DingTalk cannot quote."""
        if delivery.file is not None:
            return await self._send_file(delivery, delivery.file)
        message = outgoing.text_message(delivery.text)
        url = self._session(delivery)
        if url:
            try:
                await self._api.reply(url, message.for_session())
            except ActionFailed as error:
                if error.code != _SESSION_ENDED:
                    raise
            else:
                return ""
        return await self._send_by_api(delivery, message)

    def surface(self, event: MessageEvent) -> Surface | None:
        """A card, where there is a template; guests have no staff id, and no card in private."""
        staff_id = event.platform_data.get("staff_id", "")
        group = event.conversation.chat_id if event.conversation.chat_type == "group" else ""
        if not self._settings.card_template_id or not (group or staff_id):
            return None
        where = card.place(self._sender(event.platform_data), group=group, staff_id=staff_id)
        return card.Card(self._api, self._settings.card_template_id, self._settings.card_content_key, where)

    def _session(self, delivery: Delivery) -> str:
        """The address for answers to this message; empty when it has ended, or must not be used any more."""
        url = delivery.platform_data.get("reply_url", "")
        expires = float(delivery.platform_data.get("reply_url_expires", "inf"))
        usable = delivery.reply_to and self.clock.now() + _SESSION_MARGIN < expires
        return url if usable and is_reply_url(url, self._reply_hosts) else ""

    async def _send_by_api(self, delivery: Delivery, message: outgoing.Outgoing) -> str:
        fields = {"robotCode": self._sender(delivery.platform_data), **message.for_api()}
        if delivery.conversation.chat_type == "group":
            data = {**fields, "openConversationId": delivery.conversation.chat_id}
            return _sent(await self._api.call("POST", "/v1.0/robot/groupMessages/send", data))
        staff_id = delivery.platform_data.get("staff_id", "")
        if not staff_id:
            raise WindowClosed("the session has ended and the user's staff id is not known", code=_SESSION_ENDED)
        data = {**fields, "userIds": [staff_id]}
        return _sent(await self._api.call("POST", "/v1.0/robot/oToMessages/batchSend", data))

    async def _send_file(self, delivery: Delivery, file: File) -> str:
        fitting = outgoing.fit_file(file)
        media_id = await self._api.upload(fitting)
        return await self._send_by_api(delivery, outgoing.file_message(fitting, media_id))

    def _sender(self, platform_data: Mapping[str, str]) -> str:
        return self._settings.robot_code or platform_data.get("robot_code", "") or self._robot_code

    # ------------------------------------------------------------ housekeeping

    async def check(self) -> str:
        """Fetch a token: that proves the key and the secret, which also signs the webhook."""
        await self._api.check()
        shown = "AI cards" if self._settings.card_template_id else "plain answers"
        return f"app key and secret are good, robot {self._robot_code}, {shown}"

    def warnings(self) -> tuple[str, ...]:
        """What is weak about the signature, and what helps."""
        found: list[str] = []
        if not self._path_secret:
            found.append(
                "钉钉的签名不覆盖消息正文，截获一次请求的人在一小时内可以冒充任何人发消息；"
                "请设置 path_secret，并在回调地址后面加上 ?key=…（必须用 https）。"
            )
        if self._settings.max_age > 3600:
            found.append("max_age 超过了钉钉规定的 3600 秒，旧请求会有更长时间可以被重放。")
        return tuple(found)


def _sent(answer: dict[str, Any]) -> str:
    """The id of a message that was taken. A private one names those whom it did not reach."""
    if answer.get("flowControlledStaffIdList"):
        raise NetworkError("DingTalk slows down messages to this user", retry_after=60.0)
    if answer.get("invalidStaffIdList"):
        raise refusal("invalidStaffId", "the user cannot be reached")
    key = answer.get("processQueryKey")
    return key if isinstance(key, str) else ""


def _check_keys(name: str, config: Config) -> None:
    """Fails closed: an empty key would make every signature easy to guess."""
    for key, value in (("app_key", config.app_key), ("app_secret", config.app_secret.reveal())):
        if not value.strip():
            raise ConfigError(f"adapters.{name}.{key}: must be set (open-dev.dingtalk.com, 应用 → 凭证与基础信息)")
    if config.card_template_id and not config.card_content_key:
        raise ConfigError(f"adapters.{name}.card_content_key: must be set where card_template_id is")
    if not config.picture_hosts:
        raise ConfigError(f"adapters.{name}.picture_hosts: must not be empty, or no picture can be downloaded")
