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
from typing import Literal, Protocol

from bot.drafts import Draft
from bot.engine.chain import EngineChain
from bot.event import MessageEvent, Reply
from bot.limits import Limiter
from bot.router import ModelRouter
from bot.store import DeadLetter, Memory

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


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler may use.

    memory: the session's earlier turns, numbered pictures and settings. load_picture: encoded bytes by SHA-256.
    model: forced by the caller, or "auto". cache_salt: the owner of prefix caches. missing: Chinese sentences on
    pictures that could not be had. notify: says a line before the answer, once a turn. limiter: what the sender may
    still ask; None where nobody counts. admin: the sender may use admins' commands. facts: about the running
    service; None where there is none (API, command line).
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


MessageHandler = Callable[[MessageEvent, Context], Awaitable[Reply | None]]
Filter = Callable[[MessageEvent], bool]


def addressed(event: MessageEvent) -> bool:
    """The message is for the bot: private chat, @ or reply to it."""
    return event.to_me


@dataclass(frozen=True, slots=True)
class Handlers:
    """A module's table: the first filter that accepts wins."""

    messages: list[tuple[Filter, MessageHandler]] = field(default_factory=list[tuple[Filter, MessageHandler]])

    def message(self, accepts: Filter = addressed) -> Callable[[MessageHandler], MessageHandler]:
        """Register a handler of messages."""

        def register(handler: MessageHandler) -> MessageHandler:
            self.messages.append((accepts, handler))
            return handler

        return register
