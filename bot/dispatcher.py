"""The first handler that accepts a message answers it: one path for webhooks, API, page and command line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence

from bot.drafts import Draft
from bot.engine.chain import EngineChain
from bot.engine.reader.page import Line
from bot.event import MessageEvent, Reply
from bot.handler import PASS, Context, Facts, Handlers, MessageHandler, ModelChoice, silent, unread
from bot.limits import Limiter
from bot.orders import Orders
from bot.router import ModelRouter
from bot.store import Memory, Reports
from bot.subscription import Due
from bot.templates import Template


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
        reports: Reports | None = None,
        templates: tuple[Template, ...] = (),
        report_url: str = "",
        read_picture: Callable[[str], Awaitable[tuple[Line, ...]]] = unread,
        orders: Orders | None = None,
        fetch: Callable[[str], Awaitable[bytes]] | None = None,
    ) -> None:
        self._tables = tables
        self._router = router
        self._engines = engines
        self._load_picture = load_picture
        self._limiter = limiter
        self._facts = facts
        self._reports = reports
        self._templates = templates
        self._report_url = report_url
        self._read_picture = read_picture
        self._orders = orders
        self._fetch = fetch

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
            session=session,
            # Without a session nobody could come back to them.
            reports=self._reports if session else None,
            templates=self._templates,
            report_url=self._report_url,
            read_picture=self._read_picture,
            orders=self._orders if session else None,
            fetch=self._fetch,
        )
        for handler in self._accepting(event):
            reply = await handler(event, context)
            if reply is not PASS:
                return reply
        return None

    async def digest(self, due: Due) -> Reply | None:
        """What is posted, or None for silence. Raises EngineError."""
        context = Context(
            memory=Memory(),
            router=self._router,
            engines=self._engines,
            load_picture=self._load_picture,
            cache_salt=due.subscription.conversation.key,
            fetch=self._fetch,
            read_picture=self._read_picture,
        )
        writers = [writer for table in self._tables for writer in table.digests]
        return await writers[0](due, context) if writers else None

    def forget(self, session: str) -> None:
        """Drop what engines keep of a session's prompts."""
        self._engines.forget(session)

    def accepts(self, event: MessageEvent) -> bool:
        """Some handler takes this message."""
        return any(True for _ in self._accepting(event))

    def _accepting(self, event: MessageEvent) -> Iterator[MessageHandler]:
        for table in self._tables:
            yield from (handler for accepts, handler in table.messages if accepts(event))
