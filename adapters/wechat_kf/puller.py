"""Pulls the messages of every account (客服账号): one loop each, woken by callbacks and by the clock.

The cursor moves in the transaction that stores the page's messages, so a crash at any moment loses and doubles
nothing. Callbacks only say that there is something; those that come while a pull is under way lead to one more.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Final

from adapters.wechat_kf.api import BAD_SYNC_TOKEN, SERVED, WAITING, Api
from adapters.wechat_kf.page import Page, customer, page_events
from bot.adapter import Inbox
from bot.clock import Clock
from bot.errors import ActionFailed, DeliveryError, KantuError, NetworkError
from bot.event import Conversation, MessageEvent

log = logging.getLogger(__name__)

#: Messages asked for at once, and at least when answers turn out too large.
_PAGE: Final = 1000
_SMALLEST_PAGE: Final = 50
#: How long a callback's token is taken, in seconds.
_TOKEN_LIFE: Final = 600.0
_LONGEST_PAUSE: Final = 60.0
#: Questions about sessions that are under way at once.
_PARALLEL: Final = 8


@dataclass(eq=False)
class _Account:
    """token: of the newest callback, good until `token_ends` (monotonic)."""

    open_kfid: str
    token: str = ""
    token_ends: float = 0.0
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Puller:
    """name, account_id: of the adapter. open_kfids: the accounts to be served; none: all that the app may use.

    first_backlog: messages older than so many seconds are passed over when an account is served for the first time.
    every: seconds after which is looked without a callback: one may be lost.
    """

    def __init__(
        self,
        api: Api,
        clock: Clock,
        name: str,
        account_id: str,
        open_kfids: tuple[str, ...],
        *,
        first_backlog: float,
        every: float,
    ) -> None:
        self._api = api
        self._clock = clock
        self._name = name
        self._account_id = account_id
        self._all = not open_kfids
        self._first_backlog = first_backlog
        self._every = every
        self._accounts = {open_kfid: _Account(open_kfid) for open_kfid in open_kfids}
        self._changed = asyncio.Event()
        self._questions = asyncio.Semaphore(_PARALLEL)

    def notify(self, open_kfid: str, token: str = "") -> None:
        """A callback says that there is something for an account."""
        account = self._accounts.setdefault(open_kfid, _Account(open_kfid))
        if token:
            account.token, account.token_ends = token, self._clock.monotonic() + _TOKEN_LIFE
        account.wake.set()
        self._changed.set()

    async def run(self, inbox: Inbox) -> None:
        """Until cancelled."""
        served: set[str] = set()
        async with asyncio.TaskGroup() as group:
            if self._all:
                group.create_task(self._find_accounts())
            while True:
                self._changed.clear()
                for open_kfid in self._accounts.keys() - served:
                    served.add(open_kfid)
                    group.create_task(self._serve(self._accounts[open_kfid], inbox))
                await self._changed.wait()

    async def _find_accounts(self) -> None:
        """Ask until there is an answer; accounts that are opened later are found by their first callback."""
        failures = 0
        while True:
            try:
                for open_kfid in await self._api.accounts():
                    self.notify(open_kfid)
                return
            except KantuError as error:
                failures += 1
                log.warning("%s: the accounts cannot be listed: %s", self._name, error)
                await asyncio.sleep(self._pause(failures, error))

    async def _serve(self, account: _Account, inbox: Inbox) -> None:
        failures = 0
        while True:
            account.wake.clear()
            try:
                await self._pull(account, inbox, max(_SMALLEST_PAGE, _PAGE >> 2 * failures))
                failures = 0
            except KantuError as error:
                failures += 1
                log.warning("%s: %s cannot be pulled: %s", self._name, account.open_kfid, error)
                await asyncio.sleep(self._pause(failures, error))
                continue
            except Exception as error:
                failures += 1
                log.exception("%s: %s cannot be pulled", self._name, account.open_kfid)
                await asyncio.sleep(self._pause(failures, error))
                continue
            try:
                async with asyncio.timeout(self._every):
                    await account.wake.wait()
            except TimeoutError:
                pass

    def _pause(self, failures: int, error: Exception) -> float:
        asked = error.retry_after or 0.0 if isinstance(error, NetworkError) else 0.0
        return asked + self._clock.jitter(min(_LONGEST_PAUSE, 2.0 ** min(failures - 1, 10)))

    async def _pull(self, account: _Account, inbox: Inbox, limit: int) -> None:
        """All pages there are. Raises KantuError; what was stored by then stays stored."""
        key = self.cursor_key(account.open_kfid)
        cursor = await inbox.cursor(key)
        since = await inbox.cursor(f"{key}/since")
        if not since:
            since = str(max(0, int(self._clock.now() - self._first_backlog)))
        while True:
            page = await self._page(account, cursor, limit)
            for failure in page.failures:
                log.warning("%s: %s", self._name, failure)
            events = await self._unattended([event for event in page.events if event.timestamp >= int(since)])
            cursors = {f"{key}/since": since} | ({key: page.cursor} if page.cursor else {})
            await inbox.accept(events, cursors=cursors)
            if not page.more:
                return
            if page.cursor in ("", cursor):
                log.warning("%s: more messages were promised, but no way to them", self._name)
                return
            cursor = page.cursor

    def cursor_key(self, open_kfid: str) -> str:
        """Where the account's cursor is kept."""
        return f"{self._name}/{self._account_id}/{open_kfid}"

    async def _page(self, account: _Account, cursor: str, limit: int) -> Page:
        token = account.token if self._clock.monotonic() < account.token_ends else ""
        try:
            data = await self._api.sync(account.open_kfid, cursor, token, limit)
        except ActionFailed as error:
            if error.code != BAD_SYNC_TOKEN or not token:
                raise
            if account.token == token:
                account.token = ""
            data = await self._api.sync(account.open_kfid, cursor, "", limit)
        return page_events(data, self._name, self._account_id)

    async def _unattended(self, events: list[MessageEvent]) -> list[MessageEvent]:
        """Without those whose customers a person serves, or who wait for one: the bot must not talk in between."""
        where = list(dict.fromkeys(event.conversation for event in events))
        attended = await asyncio.gather(*map(self._attended, where))
        silent = {one for one, found in zip(where, attended, strict=True) if found}
        return [event for event in events if event.conversation not in silent]

    async def _attended(self, conversation: Conversation) -> bool:
        try:
            async with self._questions:
                return await self._api.state(*customer(conversation)) in (WAITING, SERVED)
        except DeliveryError as error:
            # Then WeCom itself refuses the answer where a person serves.
            log.info("%s: the state of a session is not known: %s", self._name, error)
            return False
