"""Where scripts are played: signed webhooks in, replies out, the service killed and restarted in between."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import barcode
from aiohttp import web
from fakes import Site
from harness_profile import KEY
from process import Process
from script import Group, Member, Outgoing, Quoted, Turn
from signed import signature

_REPLY_WITHIN = 60.0
_SETTLE = 1.0
_START_WITHIN = 3.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply as it came. key: its webhook-id; reply_to: the message it answers."""

    key: str
    chat: str
    reply_to: str
    text: str
    genuine: bool


class Chat(Site):
    """The platform: it keeps replies by the message they answer and wakes who waits for them."""

    def __init__(self) -> None:
        super().__init__([web.post("/replies", self._reply)])
        self.answers: dict[str, list[Answer]] = defaultdict(list)
        self._waiting: dict[str, asyncio.Event] = {}

    @property
    def url(self) -> str:
        """Where replies are posted."""
        return f"http://127.0.0.1:{self.port}/replies"

    async def wait(self, message_id: str) -> bool:
        """A reply to this message is there; False when none came in time."""
        if message_id not in self.answers:
            event = self._waiting.setdefault(message_id, asyncio.Event())
            try:
                await asyncio.wait_for(event.wait(), _REPLY_WITHIN)
            except TimeoutError:
                return False
        return True

    async def _reply(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers, data = request.headers, json.loads(body)
        key = headers.get("webhook-id", "")
        expected = signature(KEY, key, headers.get("webhook-timestamp", ""), body)
        genuine = hmac.compare_digest(expected, headers.get("webhook-signature", ""))
        reply_to = data["reply_to"] or ""
        self.answers[reply_to].append(Answer(key, data["conversation"]["id"], reply_to, data["text"], genuine))
        if reply_to in self._waiting:
            self._waiting[reply_to].set()
        return web.json_response({"ok": True})


class Gate:
    """Closed while the service is stopped: a burst is then either sent as a whole or not begun."""

    def __init__(self) -> None:
        self._inside = 0
        self._open = asyncio.Event()
        self._open.set()
        self._empty = asyncio.Event()
        self._empty.set()

    @asynccontextmanager
    async def burst(self) -> AsyncIterator[None]:
        """While a burst is being sent."""
        while not self._open.is_set():
            await self._open.wait()
        self._inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    @asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        """Waits for bursts under way; new ones wait."""
        self._open.clear()
        await self._empty.wait()
        try:
            yield
        finally:
            self._open.set()


class Stage:
    """Plays groups against a service.

    slow: turns whose burst took longer than the service waits for the next of its messages: what it then does with
    them is no mistake. longest: seconds from one message of a burst to the acknowledgement of the next. stuck:
    members who got no reply in time, with the turn; they said nothing more.
    """

    def __init__(self, server: Process, chat: Chat, groups: list[Group], window: float, seed: int) -> None:
        self.slow: set[str] = set()
        self.stuck: dict[str, str] = {}
        self.posts = 0
        self.copies = 0
        self.longest = 0.0
        self.restarts: list[str] = []
        self._server = server
        self._chat = chat
        self._groups = groups
        self.window = window
        self._chance = random.Random(seed)
        self._gate = Gate()
        self._sent: list[tuple[Group, Member, Outgoing]] = []
        self._turns = sum(len(member.turns) for group in groups for member in group.members)
        self._played = 0
        self._progress = asyncio.Event()
        self._met: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._background: set[asyncio.Task[None]] = set()

    async def play(self, at_once: int, restarts: tuple[str, ...]) -> None:
        """All groups, `at_once` at a time, with the restarts spread evenly over the turns."""
        limit = asyncio.Semaphore(at_once)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as self._http:
            restarter = asyncio.create_task(self._restart_between(restarts))
            async with asyncio.TaskGroup() as tasks:
                for group in self._groups:
                    tasks.create_task(self._group(group, limit))
            await restarter
            await self._again(len(self._sent) // 20)
            await asyncio.gather(*self._background)
        await self._server.drained(_REPLY_WITHIN)
        # What comes now comes too often.
        await asyncio.sleep(1.0 + self.window)

    async def _group(self, group: Group, limit: asyncio.Semaphore) -> None:
        async with limit, asyncio.TaskGroup() as tasks:
            await asyncio.sleep(random.Random(group.id).uniform(0.0, _START_WITHIN))
            for member in group.members:
                tasks.create_task(self._member(group, member, random.Random(member.id)))

    async def _member(self, group: Group, member: Member, chance: random.Random) -> None:
        for place, turn in enumerate(member.turns):
            await asyncio.sleep(chance.uniform(0.0, 0.4))
            await self._say(group, member, turn)
            if turn.expected != "silence" and not turn.eager and not await self._chat.wait(turn.messages[-1].id):
                self.stuck[member.id] = turn.id
                self._give_up(member.turns[place:])
                return
            self._count(1)

    def _give_up(self, turns: list[Turn]) -> None:
        """Nobody shall wait for them."""
        self._count(len(turns))
        for turn in turns:
            self._met[turn.id].set()
            if turn.partner:
                self._met[f"{turn.partner.id} sent"].set()

    def _count(self, turns: int) -> None:
        self._played += turns
        self._progress.set()

    # ------------------------------------------------------------ sending

    async def _say(self, group: Group, member: Member, turn: Turn) -> None:
        """Two members who speak at once meet first; then one task sends for both, turn about."""
        partner = turn.partner
        if partner is None:
            await self._send([(group, member, turn, message) for message in turn.messages])
            return
        self._met[turn.id].set()
        await self._met[partner.id].wait()
        if turn.id > partner.id:
            await self._met[f"{turn.id} sent"].wait()
            return
        other = next(one for one in group.members if any(each is partner for each in one.turns))
        pairs = zip(turn.messages, partner.messages, strict=True)
        await self._send(
            [each for one, two in pairs for each in ((group, member, turn, one), (group, other, partner, two))]
        )
        self._met[f"{partner.id} sent"].set()

    async def _send(self, messages: list[tuple[Group, Member, Turn, Outgoing]]) -> None:
        """One after the other, each when the one before was acknowledged."""
        async with AsyncExitStack() as stack:
            if len(messages) > 1:
                await stack.enter_async_context(self._gate.burst())
            before: dict[str, float] = {}
            for group, member, turn, message in messages:
                sent = time.perf_counter()
                await self._post(group, member, message)
                if turn.id in before:
                    took = time.perf_counter() - before[turn.id]
                    self.longest = max(self.longest, took)
                    if took >= self.window:
                        self.slow.add(turn.id)
                before[turn.id] = sent
                self._sent.append((group, member, message))
                for _ in range(turn.copies - 1):
                    self._later(self._copy(group, member, message))

    async def _copy(self, group: Group, member: Member, message: Outgoing) -> None:
        self.copies += 1
        await asyncio.sleep(self._chance.choice((0.0, 0.02, 0.3)))
        await self._post(group, member, message)

    async def _again(self, count: int) -> None:
        """Messages acknowledged long ago are delivered once more."""
        for group, member, message in self._chance.sample(self._sent, min(count, len(self._sent))):
            self.copies += 1
            await self._post(group, member, message)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _post(self, group: Group, member: Member, message: Outgoing) -> None:
        """Until it is acknowledged, as platforms do."""
        body = json.dumps(_body(group, member, message), ensure_ascii=False, separators=(",", ":")).encode()
        while True:
            stamp = str(int(time.time()))
            headers = {
                "content-type": "application/json",
                "webhook-id": message.id,
                "webhook-timestamp": stamp,
                "webhook-signature": signature(KEY, message.id, stamp, body),
            }
            self.posts += 1
            try:
                url = f"http://127.0.0.1:{self._server.port}/webhook/generic"
                async with self._http.post(url, data=body, headers=headers) as answer:
                    if answer.status == 200:
                        return
                    if answer.status < 500 and answer.status != 429:
                        raise SystemExit(f"{message.id} was answered {answer.status}: {await answer.text()}")
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.2)

    # ------------------------------------------------------------ restarts

    async def _restart_between(self, restarts: tuple[str, ...]) -> None:
        for number, way in enumerate(restarts, 1):
            while self._played < self._turns * number // (len(restarts) + 1):
                self._progress.clear()
                await self._progress.wait()
            async with self._gate.closed():
                await asyncio.sleep(self._chance.uniform(0.0, 0.2))
                if way == "kill":
                    self._server.kill()
                else:
                    await self._server.stop()
                await self._server.start()
                # What was waiting comes first: no burst shall lag behind it.
                await asyncio.sleep(_SETTLE)
            self.restarts.append(way)
            await self._again(len(self._sent) // 20)


def _body(group: Group, member: Member, message: Outgoing) -> dict[str, Any]:
    """The generic adapter's schema."""
    said: dict[str, Any] = {"id": message.id, **_content(message)}
    if message.mention:
        said["mentions"] = [{"id": "bot", "name": "看图", "is_bot": True}]
    if message.quoted:
        said["quoted"] = {"sender": {"name": message.quoted.sender}, **_content(message.quoted)}
    return {
        "conversation": {"id": group.id, "type": "group"},
        "sender": {"id": member.id, "name": member.name},
        "message": said,
        "sent_at": int(time.time()),
    }


def _content(message: Outgoing | Quoted) -> dict[str, Any]:
    images = [base64.b64encode(barcode.draw(number)).decode() for number in message.pictures]
    return {"text": message.text, "images": [{"base64": image, "mime": "image/png"} for image in images]}
