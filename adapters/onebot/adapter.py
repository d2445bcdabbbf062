"""OneBot v11: a QQ account driven by NapCat or Lagrange. Not an official interface of QQ.

Events come as HTTP POST, signed with `secret` (X-Signature: sha1=HMAC-SHA1 of the body), or over a reverse WebSocket
that the client opens with `access_token` (Authorization: Bearer). Both may be in use; each is shut without its key.
https://github.com/botuniverse/onebot-11/blob/master/communication/http-post.md
https://github.com/botuniverse/onebot-11/blob/master/communication/ws-reverse.md

Neither way signs a time, so freshness is read from the event, and a copy is known by its message id.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from dataclasses import replace
from typing import Any, ClassVar, cast
from urllib.parse import urlsplit

from adapters.onebot.api import Api, HttpApi, SocketApi, fetch_failed
from adapters.onebot.bundle import Bundle, sent_id
from adapters.onebot.outgoing import action
from adapters.onebot.segments import Content, file_and_url, identity, read, sender_name
from adapters.onebot.sockets import Sockets
from bot import payload, signing
from bot.adapter import Ack, Inbox, Limits, Rate, Received, Request, Socket
from bot.adapter import Adapter as BaseAdapter
from bot.clock import Clock
from bot.config import AdapterConfig, Count, Secret, checked_url, in_the_clear
from bot.errors import ActionFailed, ConfigError, FetchFailed, NetworkError, Rejected
from bot.event import ChatType, Conversation, Delivery, MessageEvent, Sender
from bot.http import Http
from bot.message import Image, Part, user
from bot.recent import Recent

log = logging.getLogger(__name__)

#: No content: the client is to do nothing more.
DONE = Ack(204)
ROLES = ("universal", "event", "api")

#: Bounds for `time` that only keep odd numbers away; whether it is fresh is another question.
_ANY_TIME = 10**18
#: Own messages remembered, so that an answer to one is known to be for the bot.
_REMEMBERED = 2000
#: Events of one connection that wait for the disk, before reading stops.
_WAITING = 100
_SHORTEST_WAIT, _LONGEST_WAIT = 0.1, 10.0


_RISK = "OneBot 不是 QQ 官方接口，账号可能被风控或封禁：请用专门的小号，不要用于重要账号。"
_NO_TOKEN = "没有 access_token：能访问 OneBot HTTP 接口的人都能操作这个 QQ 号，请在客户端和这里设同一个口令。"


class Config(AdapterConfig, frozen=True):
    """self_id: the bot's QQ number. secret: signs events that come by POST. access_token: opens the reverse WebSocket
    and is shown to the HTTP API. At least one of the two; what has none is shut.

    api_base: the client's HTTP API; empty: actions go over the reverse WebSocket. max_age: seconds an event stays
    fresh. picture_hosts: pictures are fetched from these hosts only (`.example.com`: from every name below it); others
    are asked of the client.
    """

    self_id: int | str = ""
    secret: Secret = Secret("")
    access_token: Secret = Secret("")
    api_base: str = ""
    max_age: Count = 300
    picture_hosts: tuple[str, ...] = (".qq.com.cn", ".qpic.cn")


class Adapter(BaseAdapter):
    """One QQ account. Raises ConfigError where nothing could come in or nothing could go out."""

    Config: ClassVar[type[AdapterConfig]] = Config
    # QQ clients take about 15,000 bytes of text in a message. A UTF-16 unit is at most 3 bytes of UTF-8, so 4,500 of
    # them are below that whatever they are. The rates are ours: an account that writes faster than people is suspended.
    # A picture that the client hands over by WebSocket comes as base64 in one frame.
    limits = Limits(
        frame_bytes=32 << 20,
        text_length=4500,
        text_unit="utf16",
        app_rates=(Rate(1, 1.0),),
        chat_rates=(Rate(20, 60.0),),
        files=True,
    )

    def __init__(self, name: str, config: Config, http: Http, clock: Clock) -> None:
        super().__init__(name, config, http, clock)
        where = f"adapters.{name}"
        self._self_id = _checked_self_id(where, config.self_id)
        self._secret = config.secret.reveal()
        self._token = _checked_token(where, config.access_token)
        self._base = checked_url(f"{where}.api_base", config.api_base, optional=True)
        if not self._secret and not self._token:
            raise ConfigError(f"{where}: needs secret (events by POST) or access_token (reverse WebSocket), or both")
        if not self._base and not self._token:
            raise ConfigError(f"{where}: answers need api_base, or access_token for the reverse WebSocket")
        self._max_age = config.max_age
        self._account_id = config.account_id
        self._picture_hosts = frozenset(host.lower() for host in config.picture_hosts)
        self._sockets = Sockets()
        self._api: Api = HttpApi(http, self._base, self._token) if self._base else SocketApi(self._sockets)
        self._own = Recent[str](_REMEMBERED)

    # ---------------------------------------------------------------- inbound

    def receive(self, request: Request) -> Received:
        """GET opens a reverse WebSocket; everything else must be a signed event. Raises Rejected."""
        if len(request.body) > self.limits.body_bytes:
            raise Rejected("too_large", 413)
        if request.method == "GET":
            return self._handshake(request)
        self._verify(request)
        return self._received(payload.decode(request.body), request.now)

    def _handshake(self, request: Request) -> Received:
        given = request.header("authorization")
        if not given:
            raise Rejected("missing_signature")
        # A comparison with an empty token would let "Bearer " in.
        if not self._token or not signing.equal(given, f"Bearer {self._token}"):
            raise Rejected("bad_signature", 403)
        if request.header("x-self-id") != self._self_id:
            raise Rejected("wrong_bot", 403)
        if (request.header("upgrade") or "").lower() != "websocket" or _role(request) not in ROLES:
            raise Rejected("handshake_refused", 400)
        return Received(socket=True)

    def _verify(self, request: Request) -> None:
        given = request.header("x-signature")
        if not given:
            raise Rejected("missing_signature")
        expected = "sha1=" + hmac.new(self._secret.encode(), request.body, "sha1").hexdigest()
        if not self._secret or not signing.equal(given, expected):
            raise Rejected("bad_signature", 403)

    def _received(self, data: Any, now: float) -> Received:
        """One event, by whichever way it came. Raises Rejected."""
        sent_at = payload.integer(data, "time", least=-_ANY_TIME, most=_ANY_TIME)
        if abs(int(now) - sent_at) > self._max_age:
            return Received(ack=DONE, ignored="stale")
        if identity(data, "self_id") != self._self_id:
            raise Rejected("wrong_bot", 403)
        kind = payload.text(data, "post_type")
        if kind == "message_sent":
            return Received(ack=DONE, ignored="self_message")
        if kind != "message":
            return Received(ack=DONE, ignored="event")
        return self._message(data, sent_at)

    def _message(self, data: Any, sent_at: int) -> Received:
        if identity(data, "user_id") == self._self_id:
            return Received(ack=DONE, ignored="self_message")
        chat_type = payload.text(data, "message_type")
        if chat_type not in ("private", "group"):
            return Received(ack=DONE, ignored="unsupported_type")
        event, content = self._event(data, chat_type, sent_at)
        if not content.usable:
            return Received(ack=DONE, ignored="unsupported_type")
        return Received((event,), DONE, raw=content)

    def _event(self, data: Any, chat_type: ChatType, sent_at: int) -> tuple[MessageEvent, Content]:
        message_id, sender_id = identity(data, "message_id"), identity(data, "user_id")
        chat_id = identity(data, "group_id") if chat_type == "group" else sender_id
        content = read(payload.fields(data).get("message"), self._self_id)
        event = MessageEvent(
            id=f"{self._self_id}:{message_id}",
            conversation=Conversation(self.name, self._account_id, chat_id, chat_type),
            sender=Sender(sender_id, sender_name(payload.optional_fields(data, "sender"))),
            message=user(*content.parts),
            timestamp=sent_at,
            to_me=chat_type == "private" or self._is_for_bot(content),
            message_id=message_id,
            reply_to=content.reply_to,
            mentions=content.mentions,
            platform_data=_needed_later(data, chat_type, content),
        )
        return event, content

    def _is_for_bot(self, content: Content) -> bool:
        """Mentioned, or an answer to one of our messages; QQ's own clients mention whom they answer anyway."""
        return content.reply_to in self._own or any(mention.is_bot for mention in content.mentions)

    async def converse(self, request: Request, socket: Socket, inbox: Inbox) -> None:
        """Events go to disk one after another, beside the reading: answers to our actions must not wait for that."""
        waiting: asyncio.Queue[MessageEvent] = asyncio.Queue(_WAITING)

        async def take(data: Any) -> None:
            for event in self._framed(data):
                await waiting.put(event)

        keeper = asyncio.create_task(self._keep(waiting, inbox))
        try:
            await self._sockets.serve(socket, take, acts=_role(request) != "event")
            # The client has hung up and sends nothing twice.
            await waiting.join()
        finally:
            keeper.cancel()

    def _framed(self, data: Any) -> list[MessageEvent]:
        try:
            received = self._received(data, self.clock.now())
        except Rejected as error:
            log.info("%s: an event was dropped: %s", self.name, error.reason)
            return []
        return [event for event in received.events if isinstance(event, MessageEvent)]

    async def _keep(self, waiting: asyncio.Queue[MessageEvent], inbox: Inbox) -> None:
        while True:
            await self._accept(await waiting.get(), inbox)
            waiting.task_done()

    async def _accept(self, event: MessageEvent, inbox: Inbox) -> None:
        """Try until it is on disk, or nobody would want an answer any more."""
        wait = _SHORTEST_WAIT
        while True:
            try:
                return await inbox.accept([event])
            except Exception as error:
                if self.clock.now() - event.timestamp > self._max_age:
                    log.error("%s: an event is lost, it could not be stored in time: %s", self.name, error)
                    return None
                log.warning("%s cannot accept, trying again: %s", self.name, error)
            await asyncio.sleep(self.clock.jitter(wait))
            wait = min(wait * 2, _LONGEST_WAIT)

    async def complete(self, event: MessageEvent) -> MessageEvent:
        """Fetch the message that this one answers, and a forwarded bundle. Raises FetchFailed."""
        forward = event.platform_data.get("forward", "")
        if not event.reply_to and not forward:
            return event
        bundle = Bundle(self._api, self._self_id)
        found: tuple[Part, ...] = await bundle.quoted(event.reply_to) if event.reply_to else ()
        if forward:
            found += await bundle.forwarded(forward)
        return replace(event, message=user(*found, *event.message.parts))

    async def download(self, image: Image) -> bytes:
        """From its address; where that is missing, expired or elsewhere, the client is asked by the picture's name."""
        file, url = file_and_url(image)
        if not url:
            return await self._asked_for(file)
        try:
            return await self.http.picture(url, hosts=self._picture_hosts)
        except FetchFailed as error:
            if not file:
                raise
            log.info("%s: a picture's address does not work (%s), asking for it by name", self.name, error.code)
        return await self._asked_for(file)

    async def _asked_for(self, file: str) -> bytes:
        """What get_image gives: the bytes as base64, or a new address. Paths are of the client's machine, not ours."""
        try:
            found = await self._api.image(file)
        except (ActionFailed, NetworkError) as error:
            raise fetch_failed(error, "这张图片") from error
        answer = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        content = _base64_in(answer)
        if content:
            return content
        for url in (answer.get("url"), answer.get("file")):
            if isinstance(url, str) and url.startswith(("http://", "https://")):
                return await self.http.picture(url, hosts=self._picture_hosts)
        raise FetchFailed("picture_gone", "这张图片已经过期，取不到了，请重新发送。")

    # --------------------------------------------------------------- outbound

    async def run(self, inbox: Inbox) -> None:
        """Nothing to fetch; when the service stops, the sockets are closed first."""
        try:
            await asyncio.Event().wait()
        finally:
            await self._sockets.close()

    async def send(self, delivery: Delivery) -> str:
        """A message, or a file; its id."""
        message_id = sent_id(await self._api.act(*action(delivery)))
        self._own.add(message_id)
        return message_id

    # ------------------------------------------------------------ housekeeping

    async def check(self) -> str:
        """Who the client is logged in as; before one has connected, only where it must connect."""
        if not self._base and not self._sockets.ready:
            return f"waiting for {self._self_id} at /webhook/{self.name} (reverse WebSocket)"
        found = await self._api.act("get_login_info", {})
        try:
            account = identity(found, "user_id")
        except Rejected:
            raise ActionFailed("get_login_info names no account: is the OneBot client logged in?") from None
        if account != self._self_id:
            where = f"adapters.{self.name}.self_id"
            raise ConfigError(f"{where} is {self._self_id}, but the OneBot client is logged in as {account}")
        ways = [*(["POST"] if self._secret else []), *(["reverse WebSocket"] if self._token else [])]
        return f"logged in as {account}, events by {' or '.join(ways)}"

    def warnings(self) -> tuple[str, ...]:
        """The risks of this way to QQ, and of this configuration."""
        found = [_RISK]
        if self._base and not self._token:
            found.append(_NO_TOKEN)
        if in_the_clear(self._base):
            host = urlsplit(self._base).hostname
            found.append(f"api_base 是别的机器（{host}）的 http 地址：口令和聊天内容是明文传输，请用 https 或内网。")
        return tuple(found)

    async def close(self) -> None:
        """Hang up."""
        await self._sockets.close()


def _role(request: Request) -> str:
    """What the client wants of this connection; without the header, everything."""
    return (request.header("x-client-role") or "universal").lower()


def _needed_later(data: Any, chat_type: str, content: Content) -> dict[str, str]:
    """The bundle to fetch, and the group through which a stranger writes in private."""
    found = {"forward": content.forward} if content.forward else {}
    group = payload.fields(data).get("group_id")
    if chat_type == "private" and type(group) in (int, str) and group:
        found["group"] = str(group)
    return found


def _base64_in(answer: dict[str, Any]) -> bytes:
    """NapCat gives a picture's bytes in `base64`, others may in `file`; empty where there are none."""
    for name in ("base64", "file"):
        text = answer.get(name)
        if isinstance(text, str) and (name == "base64" or text.startswith("base64://")):
            try:
                return payload.base64_bytes({name: text.removeprefix("base64://")}, name)
            except Rejected:
                continue
    return b""


def _checked_self_id(where: str, self_id: int | str) -> str:
    text = str(self_id).strip()
    if not (text.isascii() and text.isdigit()) or not int(text):
        raise ConfigError(f"{where}.self_id: must be the bot's QQ number")
    return text


def _checked_token(where: str, token: Secret) -> str:
    text = token.reveal()
    if text != text.strip() or not text.isprintable() or not text.isascii():
        raise ConfigError(f"{where}.access_token: must be ASCII, without spaces around it")
    return text
