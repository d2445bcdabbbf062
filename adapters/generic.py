"""Our own platform: any program that can sign a POST request.

A request is JSON of this shape (`?` marks what may be absent or null; other names are ignored):

    {"conversation": {"id": "c1", "type": "private" | "group"},
     "sender": {"id": "u1", "name"?: "Ann"},
     "message": {"id": "m1", "text": "看图", "images": [{"url": "https://…"} | {"base64": "…", "mime": "image/png"}],
                 "mentions"?: [{"id": "bot", "name": "看图", "is_bot": true}], "reply_to"?: "m0",
                 "quoted"?: {"text": "…", "images": [], "sender"?: "Bob" | {"name": "Bob"}}},
     "sent_at": 1795000000}

`text` is taken as it is: whoever sends it leaves the bot's own @ out and names it in `mentions`.

It is signed in one of two ways. `standard-webhooks` (default): headers webhook-id, webhook-timestamp and
webhook-signature; webhook-id tells copies apart.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
`github`: header X-Hub-Signature-256 over the body alone.
https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
No header is covered by that, so freshness is read from `sent_at` and a copy is known by conversation and message id.

Answers are posted to `reply_url`, always signed after Standard Webhooks with the delivery's key as webhook-id.
"""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

import msgspec

from bot import payload, signing
from bot.adapter import Ack, Limits, Received, Request
from bot.adapter import Adapter as BaseAdapter
from bot.clock import Clock
from bot.config import AdapterConfig, Count, Secret
from bot.errors import ActionFailed, ConfigError, FetchFailed, NetworkError, Rejected
from bot.event import Conversation, Delivery, MessageEvent, Sender
from bot.http import Http, HttpAnswer
from bot.message import Image, Mention, Message, Part, Quote, Text, user

Scheme = Literal["standard-webhooks", "github"]

ACCEPTED = Ack(200, b'{"status":"accepted"}', "application/json")
INLINE = "inline:"
LAST_SECOND = 253_402_300_799
"""The end of the year 9999: more means that somebody counts in milliseconds."""

CHAT_TYPES = ("private", "group")
TRY_AGAIN = frozenset({408, 425, 429})


class Config(AdapterConfig, frozen=True):
    """secrets: any of them may have signed; the first is the newest. max_age: seconds a request stays fresh.

    reply_url: where answers are posted; empty: they are only read over REST. reply_secret: signs them
    (`whsec_…`); empty: the first of `secrets` does. picture_hosts: pictures are fetched from these hosts only
    (`.example.com`: from every name below it); empty: from any public one.
    """

    secrets: tuple[Secret, ...] = ()
    scheme: Scheme = "standard-webhooks"
    max_age: Count = 300
    reply_url: str = ""
    reply_secret: Secret = Secret("")
    picture_hosts: tuple[str, ...] = ()


class Adapter(BaseAdapter):
    """One endpoint with one set of secrets. Raises ConfigError when there is no secret or one cannot be used."""

    Config: ClassVar[type[AdapterConfig]] = Config
    limits = Limits(body_bytes=16 << 20, text_length=20_000, idempotent_send=True)

    def __init__(self, name: str, config: Config, http: Http, clock: Clock) -> None:
        super().__init__(name, config, http, clock)
        self._scheme = config.scheme
        self._max_age = config.max_age
        self._account_id = config.account_id
        self._keys = _keys(name, config)
        self._reply_url = _checked_url(f"adapters.{name}.reply_url", config.reply_url)
        self._reply_key = self._keys[0]
        if config.reply_secret:
            where = f"adapters.{name}.reply_secret"
            self._reply_key = signing.standard_webhooks_key(config.reply_secret.reveal(), where)
        self._picture_hosts = frozenset(host.lower() for host in config.picture_hosts) or None

    def receive(self, request: Request) -> Received:
        """Verify, then decode. Raises Rejected."""
        if len(request.body) > self.limits.body_bytes:
            raise Rejected("too_large", 413)
        if self._scheme == "github":
            return self._receive_github(request)
        key = self._verify_standard_webhooks(request)
        data = payload.decode(request.body)
        return self._received(data, _sent_at(data), key)

    async def send(self, delivery: Delivery) -> str:
        """POST the answer; the receiver may name it with {"id": "…"}, else it is called by its key."""
        if not self._reply_url:
            return ""
        now = int(self.clock.now())
        body = _reply_body(delivery, now)
        headers = _reply_headers(self._reply_key, delivery.key, now, body)
        answer = await self.http.request("POST", self._reply_url, body=body, headers=headers)
        _check_status(answer)
        return _message_id(answer.body) or delivery.key

    async def download(self, image: Image) -> bytes:
        """Fetch a picture that was named by its URL; inline ones are on disk before the acknowledgement."""
        if image.source.startswith(INLINE):
            raise FetchFailed("picture_gone", "这张图片已经不在了，请重新发送。")
        return await self.http.picture(image.source, hosts=self._picture_hosts)

    async def check(self) -> str:
        """The scheme, how many secrets are valid, and where answers go."""
        address = urlsplit(self._reply_url).netloc.rpartition("@")[2]
        place = f"answers go to {address}" if address else "answers over REST only"
        count = len(self._keys)
        return f"{self._scheme}, {count} secret{'s' if count > 1 else ''}, {place}"

    def _verify_standard_webhooks(self, request: Request) -> str:
        """The webhook-id of a request that is signed and fresh."""
        key, sent = request.header("webhook-id"), request.header("webhook-timestamp")
        signatures = request.header("webhook-signature")
        if not key or sent is None or not signatures:
            raise Rejected("missing_signature")
        seconds = signing.timestamp(sent)
        if not (key.isascii() and key.isprintable()):
            raise Rejected("bad_signature")
        if not self._signed(signed_bytes(key, sent, request.body), signatures):
            raise Rejected("bad_signature")
        signing.check_age(request.now, seconds, self._max_age)
        if len(key) > payload.MAX_IDENTIFIER_BYTES:
            raise payload.malformed("webhook-id is too long")
        return key

    def _signed(self, message: bytes, signatures: str) -> bool:
        """`signatures`: separated by spaces; versions other than `v1,` are for other receivers."""
        expected = [standard_signature(key, message) for key in self._keys]
        return any(signing.equal(given, one) for given in signatures.split(" ") for one in expected)

    def _receive_github(self, request: Request) -> Received:
        signature = request.header("x-hub-signature-256")
        if not signature:
            raise Rejected("missing_signature")
        expected = ["sha256=" + signing.hmac_sha256_hex(key, request.body) for key in self._keys]
        if not any(signing.equal(signature, one) for one in expected):
            raise Rejected("bad_signature")
        data = payload.decode(request.body)
        sent_at = _sent_at(data)
        signing.check_age(request.now, sent_at, self._max_age)
        # Not signed: good to name the event if it is clean, but the message's own ids decide what is a copy.
        key = request.header("x-github-delivery") or ""
        return self._received(data, sent_at, key if _is_header_id(key) else "")

    def _received(self, data: Any, sent_at: int, key: str) -> Received:
        """`key`: the id of the delivery; empty: the message's own ids name the event."""
        inline: dict[str, bytes] = {}
        message = payload.fields(data, "message")
        where = _conversation(self.name, self._account_id, payload.fields(data, "conversation"))
        mentions = tuple(map(_mention, payload.optional_items(message, "mentions")))
        message_id = payload.identifier(message, "id")
        event = MessageEvent(
            id=key or f"{where.key}/{message_id}",
            conversation=where,
            sender=_sender(payload.fields(data, "sender")),
            message=_message(message, inline),
            timestamp=sent_at,
            to_me=where.chat_type == "private" or any(mention.is_bot for mention in mentions),
            message_id=message_id,
            dedup_message=self._scheme == "github",
            reply_to=payload.optional_identifier(message, "reply_to"),
            mentions=mentions,
        )
        return Received((event,), ACCEPTED, inline=inline, raw=data)


def signed_bytes(key: str, sent: str, body: bytes) -> bytes:
    """What Standard Webhooks signs: id, time and body, joined by dots.

    A dot in the id opens no second reading: the time is digits only, and no tail of a JSON object that was cut
    inside a text is a JSON object again.
    """
    return b"%b.%b.%b" % (key.encode("ascii"), sent.encode("ascii"), body)


def standard_signature(key: bytes, message: bytes) -> str:
    """One entry of webhook-signature."""
    return "v1," + signing.hmac_sha256_base64(key, message)


def _keys(name: str, config: Config) -> tuple[bytes, ...]:
    """Fails closed: no secret, or an empty one, is an error and never an open door."""
    where = f"adapters.{name}.secrets"
    secrets = [secret.reveal() for secret in config.secrets]
    if not secrets or not all(secrets):
        raise ConfigError(f"{where}: needs at least one secret, and none may be empty")
    if config.scheme == "github":
        return tuple(secret.encode() for secret in secrets)
    return tuple(signing.standard_webhooks_key(secret, f"{where}[{i}]") for i, secret in enumerate(secrets))


def _checked_url(where: str, url: str) -> str:
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"{where}: must be an http or https address")
    return url


def _is_header_id(key: str) -> bool:
    return 0 < len(key) <= payload.MAX_IDENTIFIER_BYTES and key.isascii() and key.isprintable()


def _sent_at(data: Any) -> int:
    return payload.integer(data, "sent_at", least=0, most=LAST_SECOND)


def _conversation(platform: str, account_id: str, data: Any) -> Conversation:
    chat_type = payload.text(data, "type")
    if chat_type not in CHAT_TYPES:
        raise payload.malformed("conversation.type must be 'private' or 'group'")
    return Conversation(platform, account_id, payload.identifier(data, "id"), chat_type)


def _sender(data: Any) -> Sender:
    return Sender(payload.identifier(data, "id"), payload.optional_text(data, "name"))


def _mention(item: Any) -> Mention:
    return Mention(payload.identifier(item, "id"), payload.text(item, "name"), payload.flag(item, "is_bot"))


def _message(data: Any, inline: dict[str, bytes]) -> Message:
    """The quoted message first, as a chat shows it, then the text, then the pictures."""
    quoted = payload.optional_fields(data, "quoted")
    quote: list[Part] = [] if quoted is None else [Quote(user(*_said(quoted, inline)), _quoted_sender(quoted))]
    return user(*quote, *_said(data, inline))


def _said(data: Any, inline: dict[str, bytes]) -> list[Part]:
    words = payload.utterance(data, "text")
    parts: list[Part] = [Text(words)] if words else []
    parts.extend([_image(item, inline) for item in payload.items(data, "images")])
    return parts


def _quoted_sender(quoted: dict[str, Any]) -> str:
    if isinstance(quoted.get("sender"), dict):
        return payload.optional_text(quoted, "sender", "name")
    return payload.optional_text(quoted, "sender")


def _image(item: Any, inline: dict[str, bytes]) -> Image:
    """A picture by reference; bytes found in it are added to `inline` under their SHA-256."""
    fields = payload.fields(item)
    if ("url" in fields) == ("base64" in fields):
        raise payload.malformed("an image has either url or base64")
    if "url" in fields:
        return Image(source=_picture_url(fields))
    content = payload.base64_bytes(fields, "base64")
    mime_type = payload.text(fields, "mime")
    sha256 = hashlib.sha256(content).hexdigest()
    inline[sha256] = content
    return Image(source=INLINE + sha256, mime_type=mime_type)


def _picture_url(fields: dict[str, Any]) -> str:
    """Any address: whether it may be fetched is judged when it is.

    Only `inline:` is refused: it names what is on our disk, and nobody outside may look there.
    """
    url = payload.text(fields, "url")
    if not url or url.lstrip().lower().startswith(INLINE):
        raise payload.malformed("url must be an address")
    return url


def _reply_body(delivery: Delivery, now: int) -> bytes:
    where = delivery.conversation
    return msgspec.json.encode(
        {
            "type": "reply",
            "conversation": {"id": where.chat_id, "type": where.chat_type},
            "reply_to": delivery.reply_to or None,
            "text": payload.clean(delivery.text),
            "key": delivery.key,
            "sent_at": now,
        }
    )


def _reply_headers(key: bytes, delivery_key: str, now: int, body: bytes) -> dict[str, str]:
    """webhook-id is what the receiver drops copies by; a key that no header can carry is replaced by its hash."""
    if not _is_header_id(delivery_key):
        delivery_key = hashlib.sha256(delivery_key.encode()).hexdigest()
    return {
        "content-type": "application/json; charset=utf-8",
        "webhook-id": delivery_key,
        "webhook-timestamp": str(now),
        "webhook-signature": standard_signature(key, signed_bytes(delivery_key, str(now), body)),
    }


def _check_status(answer: HttpAnswer) -> None:
    """2xx is delivered, as the Standard Webhooks specification has it ("Delivery success and failure")."""
    status = answer.status
    if 200 <= status < 300:
        return
    message = f"the reply address answered {status}"
    if status in TRY_AGAIN or status >= 500:
        raise NetworkError(message, sent_maybe=status >= 500, retry_after=answer.retry_after)
    raise ActionFailed(message, code=str(status))


def _message_id(answer: bytes) -> str:
    """The id in a JSON answer, if there is one: whatever else the receiver says, the reply is delivered."""
    try:
        return payload.identifier(payload.decode(answer), "id")
    except Rejected:
        return ""
