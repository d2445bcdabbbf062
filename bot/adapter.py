"""A chat platform's door: what an adapter module exports, and what it may hold.

`receive` is pure: bytes in, events and acknowledgement out. It never calls the network, so that it can be
tested with recorded requests and is fast enough to run before the acknowledgement. Adapters hold no policy:
what a platform allows is data in `Limits`, used by one deliverer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

from bot.clock import Clock
from bot.config import AdapterConfig
from bot.event import Conversation, Delivery, Event, MessageEvent
from bot.http import Http
from bot.message import Image

NO_CURSORS: Mapping[str, str] = {}


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

    events: to be accepted (none: acknowledge and drop, with the reason in `ignored`, or a handshake). inline:
    picture bytes that came inside the request, by SHA-256; they are on disk before the acknowledgement. socket: the
    request opens a WebSocket, and `Adapter.converse` takes over. raw: what `acknowledge` needs of the decoded
    payload; else kept for nobody but tests and tools. A request that is not trusted raises `Rejected` instead.
    """

    events: tuple[Event, ...] = ()
    ack: Ack = Ack()
    ignored: str = ""
    inline: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    socket: bool = False
    raw: Any = None


Unit = Literal["characters", "utf16", "bytes"]
Markdown = Literal["bold", "heading", "list", "table", "code", "link", "quote"]
FULL_MARKDOWN: frozenset[Markdown] = frozenset({"bold", "heading", "list", "table", "code", "link", "quote"})


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` messages in any `seconds`."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Window:
    """Answers are taken for so many seconds after the question; messages: at most so many (0: any number)."""

    seconds: float
    messages: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """A platform's rules, as data for the deliverer.

    body_bytes: largest webhook body; frame_bytes: largest WebSocket frame. text_length: longest text of one message,
    counted in text_unit (utf16: UTF-16 code units; bytes: of UTF-8). markdown: what of it the platform shows; the rest
    is turned into plain text before the adapter sees it. window: how long and how often a question may be answered
    (None: as one likes). active: the platform takes messages outside of a window, too: their `reply_to` is empty.
    app_rates, chat_rates: how fast one may send in all, and to one conversation. files: `Delivery.file` can be sent.
    idempotent_send: the platform drops a second message with the same key, so a doubtful one may be sent again.

    live: what `Adapter.surface` can show before the answer is there: nothing, a notice that the answer replaces, or
    the answer as it grows. live_interval: seconds between two updates of one surface, at least. typing_every:
    seconds after which `Adapter.typing` must be repeated (0: there is no such thing).
    """

    body_bytes: int = 1 << 20
    frame_bytes: int = 1 << 20
    text_length: int = 2000
    text_unit: Unit = "characters"
    markdown: frozenset[Markdown] = frozenset()
    window: Window | None = None
    active: bool = True
    app_rates: tuple[Rate, ...] = ()
    chat_rates: tuple[Rate, ...] = ()
    files: bool = False
    idempotent_send: bool = False
    live: Literal["", "notice", "stream"] = ""
    live_interval: float = 1.0
    typing_every: float = 0.0


class Surface(ABC):
    """One message on the platform that shows an answer while it is written: a card, a stream, an editable message.

    Made by `Adapter.surface`; calls come one after another, none before `open`. Texts are the whole text so far, with
    the platform's markdown and within its length. All raise NetworkError (after 429: with retry_after) or
    ActionFailed.

    closes_by_sending: `close` sends a message (what was shown is gone by itself), so that a doubtful one must not be
    repeated; where it changes what is shown, twice is once.
    """

    closes_by_sending: bool = False

    @abstractmethod
    async def open(self, text: str) -> None:
        """Show it for the first time: the beginning of the answer, or a notice that one is coming."""

    @abstractmethod
    async def update(self, text: str) -> None:
        """Show more of the answer. Called where `Limits.live` is `stream` only."""

    @abstractmethod
    async def close(self, delivery: Delivery) -> str:
        """Show the finished text instead, for good; returns the platform's message id. May be called twice."""

    async def abandon(self) -> None:
        """No answer will come here (an error, or nothing to say): take it away, or leave it if that is not possible."""
        return


class Inbox(Protocol):
    """Where socket and pulling adapters put what they receive."""

    async def accept(self, events: Sequence[Event], *, cursors: Mapping[str, str] = NO_CURSORS) -> None:
        """On disk, duplicates dropped, the cursors with them in one transaction. Raises StoreFull, keeping nothing."""
        ...

    async def cursor(self, key: str) -> str:
        """A cursor that was kept by `accept`; empty when there is none."""
        ...


class Socket(Protocol):
    """An open WebSocket. Iterating gives text frames until it is closed."""

    async def send(self, text: str) -> None:
        """Raises NetworkError when it is closed."""
        ...

    async def close(self) -> None:
        """Close it; iterating ends."""
        ...

    def __aiter__(self) -> AsyncIterator[str]: ...


class Adapter(ABC):
    """One account on one platform. `Config` is its section in the configuration."""

    Config: ClassVar[type[AdapterConfig]]
    limits: Limits = Limits()

    def __init__(self, name: str, config: Any, http: Http, clock: Clock) -> None:
        self.name = name
        self.config = config
        self.http = http
        self.clock = clock

    # ---------------------------------------------------------------- inbound

    @abstractmethod
    def receive(self, request: Request) -> Received:
        """Verify and decode. Raises Rejected (not trusted or malformed) and nothing else."""

    async def acknowledge(self, received: Received) -> Ack:
        """The answer to a webhook, asked for when its events are on disk.

        A platform that takes the reply as this answer may wait for it here, shorter than the platform does.
        """
        return received.ack

    def acknowledged(self, received: Received, ack: Ack, *, written: bool) -> None:
        """The answer went out, or could not be written because the platform had hung up."""
        return

    async def complete(self, event: MessageEvent) -> MessageEvent:
        """Fetch what the webhook only names: a quoted message, a forwarded bundle. Raises FetchFailed.

        Called by the worker before the pictures are downloaded; must be safe to repeat.
        """
        return event

    @abstractmethod
    async def download(self, image: Image) -> bytes:
        """The bytes of a picture named by `image.source`. Raises FetchFailed."""

    async def converse(self, request: Request, socket: Socket, inbox: Inbox) -> None:
        """Serve a WebSocket that `receive` let in (`Received.socket`), until it is closed."""
        return

    async def run(self, inbox: Inbox) -> None:
        """For platforms that are asked or dialled by us: receive until cancelled. Survives errors by itself."""
        return

    # --------------------------------------------------------------- outbound

    def limits_for(self, conversation: Conversation) -> Limits:
        """The rules of one conversation, where groups have others than private chats."""
        return self.limits

    @abstractmethod
    async def send(self, delivery: Delivery) -> str:
        """Deliver; returns the platform's message id.

        Raises NetworkError (again), WindowClosed (when the user has written) or ActionFailed (never).
        """

    def surface(self, event: MessageEvent) -> Surface | None:
        """Where the answer to this event can be seen growing; None where it cannot."""
        return None

    async def typing(self, event: MessageEvent) -> None:
        """Show that an answer is being written. Best effort: whatever it raises is logged and forgotten."""
        return

    async def joined(self, event: MessageEvent) -> None:
        """This event is answered together with a later one (pictures, then the question): no answer of its own."""
        return

    async def unanswered(self, event: MessageEvent) -> None:
        """Nothing will be said to this event: what waits for its answer may stop waiting."""
        return

    # ------------------------------------------------------------ housekeeping

    async def check(self) -> str:
        """One line for `kantu doctor`. Raises KantuError when something is wrong."""
        return "ok"

    def warnings(self) -> tuple[str, ...]:
        """What the operator should know about this configuration (Chinese), for `kantu doctor`."""
        return ()

    async def close(self) -> None:
        """Give back what the adapter holds."""
        return
