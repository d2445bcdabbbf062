"""A chat platform's door: what an adapter module exports, and what it may hold.

`receive` is pure: bytes in, events and acknowledgement out. It never calls the network, so that it can be
tested with recorded requests and is fast enough to run before the acknowledgement. Adapters hold no policy:
what a platform allows is data in `Limits`, used by one deliverer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bot.clock import Clock
from bot.config import AdapterConfig
from bot.event import Delivery, Event
from bot.http import Http
from bot.message import Image


@dataclass(frozen=True, slots=True)
class Request:
    """A webhook request as it came.

    Header names are lower case; query values are URL-decoded; now: wall time, seconds.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    now: float

    def header(self, name: str) -> str | None:
        """The header's value, whatever the case of its name; None when it is absent."""
        return self.headers.get(name.lower())


@dataclass(frozen=True, slots=True)
class Ack:
    """The HTTP answer to a webhook, sent only after the events are on disk."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class Received:
    """What a request meant.

    events: to be accepted (none: acknowledge and drop, with the reason in `ignored`). inline: picture bytes that
    came inside the request, by SHA-256; they are on disk before the acknowledgement. raw: the decoded payload,
    kept for nobody but tests and tools. A request that is not trusted raises `Rejected` instead.
    """

    events: tuple[Event, ...] = ()
    ack: Ack = Ack()
    ignored: str = ""
    inline: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    raw: Any = None


@dataclass(frozen=True, slots=True)
class Limits:
    """A platform's rules, as data for the deliverer.

    body_bytes: largest webhook body. text_length: longest text of one message, in characters. idempotent_send:
    the platform drops a second message with the same key, so a doubtful one may be sent again.
    """

    body_bytes: int = 1 << 20
    text_length: int = 2000
    idempotent_send: bool = False


class Adapter(ABC):
    """One account on one platform. `Config` is its section in the configuration."""

    Config: ClassVar[type[AdapterConfig]]
    limits: Limits = Limits()

    def __init__(self, name: str, config: Any, http: Http, clock: Clock) -> None:
        self.name = name
        self.config = config
        self.http = http
        self.clock = clock

    @abstractmethod
    def receive(self, request: Request) -> Received:
        """Verify and decode. Raises Rejected (not trusted or malformed) and nothing else."""

    @abstractmethod
    async def send(self, delivery: Delivery) -> str:
        """Deliver; returns the platform's message id. Raises NetworkError (again) or ActionFailed (do not)."""

    @abstractmethod
    async def download(self, image: Image) -> bytes:
        """The bytes of a picture named by `image.source`. Raises FetchFailed."""

    async def run(self, accept: Callable[[Event], Awaitable[None]]) -> None:
        """For socket platforms: receive until cancelled. Webhook platforms have nothing to do here."""
        return

    async def check(self) -> str:
        """One line for `kantu doctor`. Raises KantuError when something is wrong."""
        return "ok"

    async def close(self) -> None:
        """Give back what the adapter holds."""
        return
