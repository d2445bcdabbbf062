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
from typing import Literal

from bot.drafts import Draft
from bot.engine.chain import EngineChain
from bot.event import MessageEvent, Reply
from bot.message import Message
from bot.router import ModelRouter

ModelChoice = Literal["auto", "light", "heavy"]


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler may use.

    history: earlier turns, oldest first. load_picture: encoded bytes by SHA-256. model: forced by the user, or
    "auto". cache_salt: the owner of prefix caches. missing: Chinese sentences on pictures that could not be had.
    """

    history: tuple[Message, ...]
    router: ModelRouter
    engines: EngineChain
    load_picture: Callable[[str], Awaitable[bytes]]
    draft: Draft = field(default_factory=Draft)
    model: ModelChoice = "auto"
    cache_salt: str = ""
    missing: tuple[str, ...] = ()


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
