"""Satori v1: every chat platform that an SDK of the Satori protocol (Koishi, satori-python, …) is logged in to.

The SDK posts events to us with a token that we chose; no header or body is signed, so everything rests on the token and
on TLS. We answer over its HTTP API. One section is one login: a platform's name and the bot's account there. The
protocol's WebSocket, which we would have to dial, is not spoken.
https://satori.js.org/zh-CN/protocol/

`sn` numbers the events of one run of the SDK and begins anew with the next, so copies are told by channel and message.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import msgspec

from bot import payload, signing
from bot.adapter import Adapter as BaseAdapter
from bot.adapter import Limits, Rate, Received, Request
from bot.clock import Clock
from bot.config import AdapterConfig, Count, Secret, checked_url, in_the_clear
from bot.errors import ActionFailed, ConfigError, FetchFailed, NetworkError, Rejected
from bot.event import Conversation, Delivery, MessageEvent, Sender
from bot.http import Http, call
from bot.mentions import OWN, without_own
from bot.message import Image, Mention, Part, Quote, Text, user
from bot.recent import Recent

EVENT, DIRECT, ONLINE = "0", 1, 1
INLINE, INTERNAL = "inline:", "internal:"
LAST_MILLISECOND = 253_402_300_799_999
REMEMBERED, MOST_TAGS = 10_000, 20_000
NAMES = (("member", "nick"), ("user", "nick"), ("member", "name"), ("user", "name"))


class Config(AdapterConfig, frozen=True):
    """webhook_token: what the SDK must send with every event. api_token: what its API demands; empty: nothing.

    api_base: the address in front of `/v1`. login_platform and login_user_id: the login that this section is. max_age:
    seconds after which a message is too old to be answered. text_length: the longest text the platform behind the SDK
    takes. picture_hosts: pictures are fetched from these hosts only; empty: from any public one.
    """

    webhook_token: Secret = Secret("")
    api_base: str = "http://127.0.0.1:5140/satori"
    api_token: Secret = Secret("")
    login_platform: str = ""
    login_user_id: str = ""
    max_age: Count = 300
    text_length: Count = 2000
    picture_hosts: tuple[str, ...] = ()


class Adapter(BaseAdapter):
    """One login. Raises ConfigError when the token or the login is missing."""

    Config: ClassVar[type[AdapterConfig]] = Config
    limits = Limits(chat_rates=(Rate(1, 1.0),))

    def __init__(self, name: str, config: Config, http: Http, clock: Clock) -> None:
        super().__init__(name, config, http, clock)
        where = f"adapters.{name}"
        self._expected = f"Bearer {_checked(f'{where}.webhook_token', config.webhook_token.reveal())}"
        self._platform = _checked(f"{where}.login_platform", config.login_platform)
        self._user_id = _checked(f"{where}.login_user_id", config.login_user_id)
        self._base = checked_url(f"{where}.api_base", config.api_base).removesuffix("/v1")
        token = config.api_token.reveal()
        self._token = {"authorization": f"Bearer {_checked(f'{where}.api_token', token)}"} if token else {}
        self._headers = {**self._token, "satori-platform": self._platform, "satori-user-id": self._user_id}
        self._picture_hosts = frozenset(host.lower() for host in config.picture_hosts) or None
        self._own = Recent[tuple[str, str]](REMEMBERED)
        self.limits = replace(self.limits, text_length=config.text_length)

    def receive(self, request: Request) -> Received:
        """Compare the token, then decode. Raises Rejected."""
        if len(request.body) > self.limits.body_bytes:
            raise Rejected("too_large", 413)
        given = request.header("authorization")
        if not given:
            raise Rejected("missing_signature")
        if not signing.equal(given, self._expected):
            raise Rejected("bad_signature")
        if (request.header("satori-opcode") or EVENT) != EVENT:
            return Received(ignored="event")
        return self._received(payload.decode(request.body), int(request.now))

    def _received(self, data: Any, now: int) -> Received:
        """An SDK posts the events of all its logins to every address: those of others are honest, but not for us."""
        sent_at = payload.integer(data, "timestamp", least=0, most=LAST_MILLISECOND) // 1000
        if abs(now - sent_at) > self.config.max_age:
            return Received(ignored="stale")
        if payload.text(data, "type") != "message-created":
            return Received(ignored="event")
        login = payload.identifier(data, "login", "platform"), payload.identifier(data, "login", "user", "id")
        if login != (self._platform, self._user_id):
            return Received(ignored="wrong_bot")
        author = payload.fields(data, "user")
        if payload.identifier(author, "id") == self._user_id:
            return Received(ignored="self_message")
        if author.get("is_bot") is True:
            return Received(ignored="sender_is_bot")
        said = _Said(payload.text(data, "message", "content"), self._user_id)
        if not said.usable:
            return Received(ignored="unsupported_type")
        return Received((self._event(data, said, sent_at),), raw=data)

    def _event(self, data: Any, said: _Said, sent_at: int) -> MessageEvent:
        direct = payload.integer(data, "channel", "type", least=0, most=1 << 31) == DIRECT
        chat_id = payload.identifier(data, "channel", "id")
        where = Conversation(self.name, self.config.account_id, chat_id, "private" if direct else "group")
        message_id = payload.identifier(data, "message", "id")
        needed = {"quoted": said.reply_to} if said.reply_to and not said.quotes else {}
        if data.get("referrer") is not None:
            needed["referrer"] = msgspec.json.encode(data["referrer"]).decode()
        called = said.answers_bot or (chat_id, said.reply_to) in self._own or any(one.is_bot for one in said.mentions)
        return MessageEvent(
            id=f"{where.key}/{message_id}",
            conversation=where,
            sender=Sender(data["user"]["id"], _name(data)),
            message=user(*said.quotes, *said.parts),
            timestamp=sent_at,
            to_me=direct or called,
            message_id=message_id,
            reply_to=said.reply_to,
            mentions=tuple(said.mentions),
            platform_data=needed,
        )

    async def complete(self, event: MessageEvent) -> MessageEvent:
        """Fetch a quoted message of which only the id came. Raises FetchFailed."""
        message_id, chat_id = event.platform_data.get("quoted"), event.conversation.chat_id
        if not message_id:
            return event
        try:
            found = await self._call("message.get", {"channel_id": chat_id, "message_id": message_id})
            said, name = _Said(payload.text(found, "content"), ""), _name(found)
        except NetworkError as error:
            raise FetchFailed("fetch_failed", "暂时取不到引用的消息，请稍后再试。", retry=True) from error
        except (ActionFailed, Rejected) as error:
            if (chat_id, message_id) in self._own:
                return event  # our own answer: the history has it
            raise FetchFailed("fetch_failed", "取不到引用的消息，请把内容直接发给我。") from error
        quoted = [Quote(user(*said.parts), name)] if said.parts else []
        return replace(event, message=user(*quoted, *event.message.parts))

    async def download(self, image: Image) -> bytes:
        """From its address, guarded; what only the SDK can reach comes through its proxy."""
        source = image.source
        if not source.startswith(INTERNAL):
            return await self.http.picture(source, hosts=self._picture_hosts)
        if not {".", ".."}.isdisjoint(re.split(r"[/\\]", source)):
            raise FetchFailed("bad_url", "图片的网址不正确，打不开。")
        answer = await self.http.media(f"{self._base}/v1/proxy/{quote(source, safe=':/')}", headers=self._token)
        if answer.status >= 500:
            raise FetchFailed("bad_status", "聊天平台暂时给不出这张图片，请稍后再试。", retry=True)
        if answer.status != 200:
            raise FetchFailed("bad_status", "图片取不到了，可能已经过期，请重新发一次。")
        return answer.body

    async def send(self, delivery: Delivery) -> str:
        """One message, all of whose characters are text; where the SDK cuts it, the first piece's id counts."""
        chat_id = delivery.conversation.chat_id
        quoted = f'<quote id="{_escaped(delivery.reply_to)}"/>' if delivery.quote and delivery.reply_to else ""
        params: dict[str, Any] = {"channel_id": chat_id, "content": quoted + _escaped(delivery.text)}
        if "referrer" in delivery.platform_data:
            params["referrer"] = msgspec.Raw(delivery.platform_data["referrer"].encode())
        answer = await self._call("message.create", params)
        try:
            ids = [payload.identifier(message, "id") for message in payload.items(answer)]
        except Rejected:
            return ""  # delivered, whatever else the SDK says
        for message_id in ids:
            self._own.add((chat_id, message_id))
        return ids[0] if ids else ""

    async def _call(self, method: str, params: dict[str, Any]) -> Any:
        """The JSON that comes back; of a failure the status is all that the protocol tells."""
        answer = await call(self.http, "POST", f"{self._base}/v1/{method}", params, headers=self._headers)
        if not 200 <= answer.status < 300:
            mend = _MEND.get(answer.status, "look into the SDK's log")
            raise ActionFailed(f"{method}: the SDK answered {answer.status}: {mend}", code=str(answer.status))
        try:
            return payload.decode(answer.body)
        except Rejected:
            message = f"{method}: the answer is no JSON; check that api_base is the address in front of /v1"
            raise NetworkError(message, sent_maybe=True) from None

    async def check(self) -> str:
        """The SDK knows this login, and it is online."""
        found = await self._call("login.get", {})
        try:
            who, status = payload.identifier(found, "user", "id"), payload.integer(found, "status", least=0, most=9)
        except Rejected as error:
            raise ActionFailed(f"login.get: {error.message}: is the account logged in?") from None
        if (who, status) != (self._user_id, ONLINE):
            raise ConfigError(f"adapters.{self.name}.login_user_id: the SDK is logged in as {who} with status {status}")
        return f"{self._platform}/{who} is online, events by webhook"

    def warnings(self) -> tuple[str, ...]:
        far = urlsplit(self._base).hostname if in_the_clear(self._base) else ""
        return (
            *(() if self._token else ("没有 api_token：能访问 SDK 接口的人都能以机器人的身份发消息。",)),
            *((f"api_base 是别的机器（{far}）的 http 地址：口令和聊天内容是明文传输。",) if far else ()),
        )


_MEND = {
    400: "it was refused; text_length may be too large for this platform",
    401: "check api_token",
    403: "check api_token, login_platform and login_user_id; else the bot may not write there",
    404: "check api_base; else the platform has no such call, channel or message",
}


def _checked(where: str, text: str) -> str:
    if not text or not text.isascii() or not text.isprintable() or text != text.strip():
        raise ConfigError(f"{where}: must not be empty, and ASCII without spaces around it")
    return text


def _name(data: Any) -> str:
    """What a group calls somebody first, then what they call themselves; a nick before a name."""
    names = (payload.optional_text(data, *path) for path in NAMES)
    return next((name for name in names if name), "")


# Message elements. No value holds a `<`, so that a try ends at the next one and the whole stays linear.
_ATTRIBUTE = r"""[^\s=<>/"']++(?:="[^"<]*+"|='[^'<]*+'|=[^\s"'<>=/]++)?+"""
_TOKEN = re.compile(rf"<!--|<(/?)([a-z][a-z0-9:._-]*+)((?:\s++{_ATTRIBUTE})*+)\s*+(/?)>")
_PAIR = re.compile(r"""([^\s=<>/"']+)(?:="([^"<]*)"|='([^'<]*)'|=([^\s"'<>=/]+))?""")
_ENTITY = re.compile("&(?:lt|gt|quot|amp|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")
# Who wrote what is quoted, and what is no text of a message: for clients that cannot show the element itself.
_SKIPPED = frozenset({"user", "member", "author", "channel", "audio", "video", "file", "button", "face", "emoji"})


@dataclass(slots=True)
class _Tag:
    name: str
    values: dict[str, str]
    source: str
    closes: bool
    empty: bool
    paired: bool = False


@dataclass(slots=True)
class _Frame:
    """The message itself, or the one that it quotes. who: what `user`, `member` and `author` say."""

    words: list[str] = field(default_factory=list[str])
    images: list[Image] = field(default_factory=list[Image])
    who: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    def parts(self) -> list[Part]:
        text = without_own("".join(self.words)).strip()
        return [*([Text(text)] if text else []), *self.images]

    def new_line(self) -> None:
        if self.words and not self.words[-1].endswith("\n"):
            self.words.append("\n")


class _Said:
    """What a message says. usable: text, be it blank, a picture or a mention; answers_bot: it quotes the bot."""

    def __init__(self, content: str, own_id: str) -> None:
        self.quotes: list[Quote] = []
        self.mentions: list[Mention] = []
        self.reply_to = ""
        self.answers_bot = False
        self._own_id = own_id
        self._frames = [_Frame()]
        self._opened: list[tuple[str, str]] = []
        self._skipped = 0
        for token in _tokens(content):
            self._take(token)
        self.parts = self._frames[0].parts()
        self.usable = bool(self._frames[0].words or self._frames[0].images)

    def _take(self, token: str | _Tag) -> None:
        if isinstance(token, str) or not (token.paired or token.empty):
            if not self._skipped:
                self._frames[-1].words.append(token if isinstance(token, str) else token.source)
        elif self._skipped:
            self._skipped += -1 if token.closes else token.paired
        elif token.closes:
            self._close(*self._opened.pop())
        elif token.name in _SKIPPED or (token.name == "quote" and len(self._frames) > 1):
            self._frames[-1].who[token.name] = token.values
            self._skipped = int(token.paired)
        else:
            self._open(token.name, token.values)
            self._opened.append((token.name, token.values.get("href", "")))
            if token.empty:
                self._close(*self._opened.pop())

    def _open(self, name: str, values: dict[str, str]) -> None:
        frame, outside = self._frames[-1], len(self._frames) == 1
        if name == "quote":
            self.reply_to = self.reply_to or payload.optional_identifier(values, "id")
            self._frames.append(_Frame())
        elif name == "at":
            who, name = payload.optional_identifier(values, "id"), values.get("name", "")
            own = outside and who == self._own_id != ""
            if who and outside:
                self.mentions.append(Mention(who, name, own))
            frame.words.append(OWN if own else f"@{name or who or values.get('type') or values.get('role', '')}")
        elif name == "sharp":
            frame.words.append(f"#{values.get('name') or values.get('id', '')}")
        elif name == "img":
            source = values.get("src", "")
            if not source or source.lstrip().lower().startswith(INLINE):
                raise payload.malformed("a picture's src must be an address")
            frame.images.append(Image(source=source))
        elif name == "br":
            frame.words.append("\n")
        elif name in ("p", "message"):
            frame.new_line()

    def _close(self, name: str, href: str) -> None:
        frame = self._frames[-1]
        if name in ("p", "message"):
            frame.new_line()
        elif name == "a" and href and frame.words[-1:] != [href]:
            frame.words.append(f" ({href})" if frame.words else href)
        elif name == "quote":
            self._frames.pop()
            author, parts = frame.who.get("user") or frame.who.get("author", {}), frame.parts()
            self.answers_bot = self.answers_bot or author.get("id") == self._own_id
            if parts:
                self.quotes.append(Quote(user(*parts), _name({"user": author, **frame.who})))


def _tokens(content: str) -> list[str | _Tag]:
    """Texts and tags, without comments. A tag that is not `paired` or `empty` is text."""
    if content.count("<") > MOST_TAGS:
        raise payload.malformed("too many elements")
    tokens = list(_split(content))
    opened: list[_Tag] = []
    waiting: Counter[str] = Counter()
    for tag in tokens:
        if isinstance(tag, str) or tag.empty:
            continue
        if not tag.closes:
            opened.append(tag)
            waiting[tag.name] += 1
        elif waiting[tag.name]:
            while (other := opened.pop()).name != tag.name:
                waiting[other.name] -= 1
            waiting[tag.name] -= 1
            tag.paired = other.paired = True
    return [token for token in tokens if token]


def _split(content: str) -> Iterator[str | _Tag]:
    at, last = 0, content.rfind("-->")
    while found := _TOKEN.search(content, at):
        yield _unescaped(content[at : found.start()])
        at = found.end()
        if found[2]:
            values = {pair[1]: _unescaped(pair[2] or pair[3] or pair[4] or "") for pair in _PAIR.finditer(found[3])}
            yield _Tag(found[2], values, found[0], bool(found[1]), bool(found[4]) and not found[1])
        elif at <= last:
            at = content.index("-->", at) + 3
        else:
            yield found[0]
    yield _unescaped(content[at:])


def _unescaped(text: str) -> str:
    """Once, never twice; what no text may hold becomes U+FFFD."""
    return payload.clean(_ENTITY.sub(lambda found: html.unescape(found[0]), text))


def _escaped(text: str) -> str:
    return html.escape(payload.clean(text), quote=False).replace('"', "&quot;")
