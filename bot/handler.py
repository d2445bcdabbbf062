"""What a handler module fills, and what its functions are given.

    on = Handlers()

    @on.message(addressed)
    async def answer(event: MessageEvent, context: Context) -> Reply | None: ...

Handlers return values and send nothing themselves, so that history, outbox and the end of the job close in
one transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from bot.drafts import Draft
from bot.engine.chain import EngineChain
from bot.engine.reader.page import Line
from bot.event import MessageEvent, Reply
from bot.limits import Limiter
from bot.orders import Orders
from bot.router import ModelRouter
from bot.store import DeadLetter, Memory, Reports
from bot.subscription import Due
from bot.templates import Template

ModelChoice = Literal["auto", "light", "heavy"]


class Facts(Protocol):
    """What commands may ask about the running service."""

    async def counts(self) -> dict[str, int]:
        """Unfinished work, dead events, doubtful deliveries."""
        ...

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """Newest first."""
        ...

    async def retry_dead(self, kind: str, id: int) -> bool:
        """Queue one again."""
        ...


async def silent(text: str) -> None:
    """Where there is nobody to tell before the answer."""


async def unread(sha256: str) -> tuple[Line, ...]:
    """Where nothing reads pictures."""
    return ()


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler may use.

    memory: the session's earlier turns, numbered pictures and settings. load_picture: encoded bytes by SHA-256.
    model: forced by the caller, or "auto". cache_salt: the owner of prefix caches. missing: Chinese sentences on
    pictures that could not be had. notify: says a line before the answer, once a turn. limiter: what the sender may
    still ask; None where nobody counts. admin: the sender may use admins' commands. facts: about the running
    service; None where there is none (API, command line). fetch: what lies at a public address, for feeds; raises
    FetchFailed. session: whose history this is. reports: finished and unfinished ones; None where nothing is kept
    (API, command line). templates: the operator's own. report_url: what the addresses of pages begin with; empty
    where nobody could open them. read_picture: the lines of a picture by SHA-256; raises EngineError or MediaError.
    orders: of digests; None where nothing is kept.
    """

    memory: Memory
    router: ModelRouter
    engines: EngineChain
    load_picture: Callable[[str], Awaitable[bytes]]
    draft: Draft = field(default_factory=Draft)
    model: ModelChoice = "auto"
    cache_salt: str = ""
    missing: tuple[str, ...] = ()
    notify: Callable[[str], Awaitable[None]] = silent
    limiter: Limiter | None = None
    admin: bool = False
    facts: Facts | None = None
    fetch: Callable[[str], Awaitable[bytes]] | None = None
    session: str = ""
    reports: Reports | None = None
    templates: tuple[Template, ...] = ()
    report_url: str = ""
    read_picture: Callable[[str], Awaitable[tuple[Line, ...]]] = unread
    orders: Orders | None = None


#: A handler's answer that leaves the message to the next one: what it is depends on more than a filter sees.
PASS: Final = Reply(())
MessageHandler = Callable[[MessageEvent, Context], Awaitable[Reply | None]]
Filter = Callable[[MessageEvent], bool]
#: None: nothing is posted.
DigestHandler = Callable[[Due, Context], Awaitable[Reply | None]]


def addressed(event: MessageEvent) -> bool:
    """The message is for the bot: private chat, @ or reply to it."""
    return event.to_me


@dataclass(frozen=True, slots=True)
class Handlers:
    """A module's table: the first filter that accepts wins."""

    messages: list[tuple[Filter, MessageHandler]] = field(default_factory=list[tuple[Filter, MessageHandler]])
    digests: list[DigestHandler] = field(default_factory=list[DigestHandler])

    def message(self, accepts: Filter = addressed) -> Callable[[MessageHandler], MessageHandler]:
        """Register a handler of messages."""

        def register(handler: MessageHandler) -> MessageHandler:
            self.messages.append((accepts, handler))
            return handler

        return register

    def digest(self, handler: DigestHandler) -> DigestHandler:
        """Register what writes digests; the first one does."""
        self.digests.append(handler)
        return handler
