"""WeChat's customer service: callbacks only say that something came, messages are pulled.

A callback is XML in Tencent's envelope. Whatever was missed is pulled later, so a callback is acknowledged at once and
need not be remembered.
https://developer.work.weixin.qq.com/document/path/94670
https://developer.work.weixin.qq.com/document/path/94677
"""

from __future__ import annotations

import hashlib
import logging
from typing import Any, ClassVar, Final, Literal

from adapters.wechat_kf.api import SERVED, WAITING, Api
from adapters.wechat_kf.page import customer
from adapters.wechat_kf.puller import Puller
from bot import envelope, payload, xml
from bot.adapter import Ack, Inbox, Limits, Received, Request, Window
from bot.adapter import Adapter as BaseAdapter
from bot.clock import Clock
from bot.config import AdapterConfig, Count, Positive, Quota, Secret, checked_url, in_the_clear
from bot.errors import ActionFailed, ConfigError, Rejected
from bot.event import Delivery
from bot.http import Http
from bot.message import Image

log = logging.getLogger(__name__)

SUCCESS: Final = Ack(200, b"success")


class Config(AdapterConfig, frozen=True):
    """corp_id: the company's; secret: of the app that may call 微信客服; token, encoding_aes_key: of the callback.

    open_kfids: the accounts (客服账号) to be served; none: all that the app may use. max_age: seconds a callback stays
    fresh. first_backlog: when an account is served for the first time, older messages (seconds) are passed over.
    pull_every: seconds after which is looked without a callback. handover_state: where a customer goes who wants a
    person: 2 the queue, 3 to `servicer`. api_base: WeCom's address, or that of a private deployment.
    """

    corp_id: str = ""
    secret: Secret = Secret("")
    token: Secret = Secret("")
    encoding_aes_key: Secret = Secret("")
    open_kfids: tuple[str, ...] = ()
    max_age: Count = 300
    first_backlog: Quota = 600
    pull_every: Positive = 300.0
    handover_state: Literal[2, 3] = 2
    servicer: str = ""
    api_base: str = "https://qyapi.weixin.qq.com"


class Adapter(BaseAdapter):
    """One company's accounts. Raises ConfigError for what would leave the door open or could never answer."""

    Config: ClassVar[type[AdapterConfig]] = Config
    limits = Limits(
        text_length=2048,
        text_unit="bytes",
        window=Window(48 * 3600.0, 5),
        active=False,
        files=True,
        idempotent_send=True,
    )

    def __init__(self, name: str, config: Config, http: Http, clock: Clock) -> None:
        super().__init__(name, config, http, clock)
        _check_config(name, config)
        self._open_kfids = config.open_kfids
        self._handover_state = config.handover_state
        self._servicer = config.servicer
        self._envelope = envelope.Envelope(
            config.token.reveal(),
            config.encoding_aes_key.reveal(),
            config.corp_id,
            config.max_age,
            where=f"adapters.{name}",
        )
        self._base = checked_url(f"adapters.{name}.api_base", config.api_base)
        self._api = Api(http, clock, self._base, config.corp_id, config.secret.reveal())
        self._puller = Puller(
            self._api,
            clock,
            name,
            config.account_id,
            config.open_kfids,
            first_backlog=config.first_backlog,
            every=config.pull_every,
        )

    # ---------------------------------------------------------------- inbound

    def receive(self, request: Request) -> Received:
        """Verify, then decode. Raises Rejected. A callback gives no events: `raw` says what to pull."""
        if len(request.body) > self.limits.body_bytes:
            raise Rejected("too_large", 413)
        if request.method == "GET":
            return Received(ack=Ack(200, self._envelope.echo(request.query, request.now)))
        signed = envelope.signed(request.query)
        ciphertext = payload.text(xml.decode(request.body), "Encrypt")
        return self._received(xml.decode(self._envelope.open(signed, ciphertext, request.now)))

    async def acknowledge(self, received: Received) -> Ack:
        """Wake the account's loop."""
        if received.raw and not received.ignored:
            self._puller.notify(received.raw["open_kfid"], received.raw["sync_token"])
        return received.ack

    async def run(self, inbox: Inbox) -> None:
        """Pull until cancelled."""
        await self._puller.run(inbox)

    async def download(self, image: Image) -> bytes:
        """By the media id."""
        return await self._api.picture(image.source)

    # --------------------------------------------------------------- outbound

    async def send(self, delivery: Delivery) -> str:
        """A message to the customer, and with the last one, where a person is asked for, the customer to them."""
        open_kfid, external_userid = customer(delivery.conversation)
        if not external_userid:
            raise ActionFailed("a conversation of this platform is named open_kfid:external_userid")
        key = hashlib.sha256(delivery.key.encode()).hexdigest()[:32]
        if delivery.file is not None:
            content = {"media_id": await self._api.upload(delivery.file)}
            sent = await self._api.send(open_kfid, external_userid, key, "file", content)
        else:
            sent = await self._api.send(open_kfid, external_userid, key, "text", {"content": delivery.text})
        if delivery.handover:
            await self._hand_over(open_kfid, external_userid)
        return sent

    # ------------------------------------------------------------ housekeeping

    async def check(self) -> str:
        """Secret, trusted address and rights, by asking for the accounts."""
        try:
            accounts = await self._api.accounts()
        except Rejected as error:
            raise ActionFailed(f"the accounts cannot be read: {error}") from None
        unknown = [open_kfid for open_kfid in self._open_kfids if open_kfid not in accounts]
        if unknown:
            raise ConfigError(f"adapters.{self.name}.open_kfids: not among the app's accounts: {', '.join(unknown)}")
        if not accounts:
            raise ConfigError("the app may use no account: 微信客服 → 通过 API 管理微信客服账号")
        served = self._open_kfids or tuple(accounts)
        return f"access token works, accounts: {'、'.join(accounts[one] or one for one in served)}"

    def warnings(self) -> tuple[str, ...]:
        """A secret that travels in the clear."""
        if in_the_clear(self._base):
            return ("api_base 不是 https：应用的 Secret 会以明文经过网络。",)
        return ()

    # ---------------------------------------------------------------- private

    def _received(self, data: dict[str, Any]) -> Received:
        kind = payload.identifier(data, "MsgType")
        if kind != "event" or data.get("Event") != "kf_msg_or_event":
            return Received((), SUCCESS, "event", raw=data)
        open_kfid = payload.identifier(data, "OpenKfId")
        found = {"open_kfid": open_kfid, "sync_token": payload.identifier(data, "Token")}
        # Callbacks come for all accounts of the company: those of others are acknowledged and left to them.
        others = bool(self._open_kfids) and open_kfid not in self._open_kfids
        return Received((), SUCCESS, "wrong_bot" if others else "", raw=found)

    async def _hand_over(self, open_kfid: str, external_userid: str) -> None:
        """The customer has the text by now: what goes wrong here is for the operator, not for another try."""
        try:
            await self._api.hand_over(open_kfid, external_userid, self._handover_state, self._servicer)
        except ActionFailed as error:
            log.error("%s: a customer asked for a person and was not handed over: %s", self.name, error)


def _check_config(name: str, config: Config) -> None:
    """Fails closed. Token and EncodingAESKey are the envelope's to check."""
    where = f"adapters.{name}"
    if not config.corp_id:
        raise ConfigError(f"{where}.corp_id: must not be empty (我的企业 → 企业信息 → 企业 ID)")
    if not config.secret:
        raise ConfigError(f"{where}.secret: must not be empty (the Secret of the app that may call 微信客服)")
    if not all(config.open_kfids):
        raise ConfigError(f"{where}.open_kfids: none may be empty")
    if (config.handover_state == SERVED) != bool(config.servicer):
        raise ConfigError(f"{where}.servicer: is for handover_state {SERVED}; the queue ({WAITING}) needs none")
