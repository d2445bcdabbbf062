"""The first handler that accepts a message answers it: one path for webhooks, API, page and command line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from bot.drafts import Draft
from bot.engine.chain import EngineChain
from bot.event import MessageEvent, Reply
from bot.handler import Context, Facts, Handlers, MessageHandler, ModelChoice, silent
from bot.limits import Limiter
from bot.router import ModelRouter
from bot.store import Memory


class Dispatcher:
    """Holds what handlers may use; `load_picture` gives encoded bytes by SHA-256."""

    def __init__(
        self,
        tables: Sequence[Handlers],
        router: ModelRouter,
        engines: EngineChain,
        load_picture: Callable[[str], Awaitable[bytes]],
        *,
        limiter: Limiter | None = None,
        facts: Facts | None = None,
    ) -> None:
        self._tables = tables
        self._router = router
        self._engines = engines
        self._load_picture = load_picture
        self._limiter = limiter
        self._facts = facts

    async def answer(
        self,
        event: MessageEvent,
        *,
        session: str = "",
        memory: Memory | None = None,
        draft: Draft | None = None,
        model: ModelChoice = "auto",
        missing: tuple[str, ...] = (),
        notify: Callable[[str], Awaitable[None]] = silent,
    ) -> Reply | None:
        """The reply, or None when no handler takes the message. Raises EngineError.

        Pictures of `event.message` must have been kept: a sha256 each. missing: see Context.
        """
        context = Context(
            memory=memory or Memory(),
            router=self._router,
            engines=self._engines,
            load_picture=self._load_picture,
            draft=draft or Draft(),
            model=model,
            cache_salt=session or event.conversation.key,
            missing=missing,
            limiter=self._limiter,
            admin=self._limiter is not None and self._limiter.is_admin(event),
            facts=self._facts,
            notify=notify,
        )
        handler = self._handler(event)
        return None if handler is None else await handler(event, context)

    def forget(self, session: str) -> None:
        """Drop what engines keep of a session's prompts."""
        self._engines.forget(session)

    def accepts(self, event: MessageEvent) -> bool:
        """Some handler takes this message."""
        return self._handler(event) is not None

    def _handler(self, event: MessageEvent) -> MessageHandler | None:
        for table in self._tables:
            for accepts, handler in table.messages:
                if accepts(event):
                    return handler
        return None
