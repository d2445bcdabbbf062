"""kill -9 at a bad moment, restart, deliver again: is anything lost, doubled or out of order?

A round: 25 conversations send 4 events each, one after the other in a conversation, while a model call takes
0.5 ± 0.25 s. The whole process group is killed while events are being acknowledged, while the model thinks, or while
replies are on their way (in turn, the moment from the seed); after the restart the sender delivers again, under the
same webhook-id, what was not acknowledged and a tenth of what was.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from client import Answer, Sent, drive
from fakes import Model, Platform
from process import Process, kantu
from report import Section, section
from signed import event_request
from verdict import Verdict, judge

MOMENTS = ("acknowledging", "thinking", "replying")
_CHATS, _EACH = 25, 4
_LIMIT = 90.0
_SETTLE = 0.8


@dataclass
class Round:
    """acknowledged: before the kill; recovery: seconds from the restart to the last answer."""

    moment: str
    chats: dict[str, list[str]]
    acknowledged: set[str] = field(default_factory=set[str])
    replied: int = 0
    refused: int = 0
    recovery: float = 0.0
    verdict: Verdict = field(default_factory=lambda: Verdict([]))

    @property
    def lost(self) -> list[str]:
        """Acknowledged before the kill and never answered."""
        return [marker for marker in self.verdict.unanswered if marker in self.acknowledged]


async def run(folder: Path, rounds: int, seed: int) -> Section:
    """All rounds against one database."""
    chance = random.Random(seed)
    async with Model(0.5, 0.25, seed=seed) as model, Platform(0.05, seed) as platform:
        server = kantu(folder, handler="model", model=model.url, platform=platform.url)
        try:
            await server.start()
            done = [await _round(number, server, model, platform, chance) for number in range(rounds)]
        finally:
            server.kill()
    return _section(done, model.calls.total(), server)


async def _round(number: int, server: Process, model: Model, platform: Platform, chance: random.Random) -> Round:
    names = {f"r{number}c{chat}": [f"EVTr{number}c{chat}n{n}" for n in range(_EACH)] for chat in range(_CHATS)}
    one = Round(MOMENTS[number % len(MOMENTS)], names)
    platform.arrivals.clear()
    answers: list[Answer] = []
    sending = asyncio.create_task(drive(server.port, _sources(names), 20.0, answers))
    await _moment(one.moment, chance, sending, answers, platform)
    server.kill()
    await sending
    one.acknowledged = {answer.name for answer in answers if answer.status == 200}
    one.replied = len({arrival.key for arrival in platform.arrivals})
    restarted = time.perf_counter()
    await server.start()
    one.refused = await _deliver_again(server, one, chance)
    await _settled(server, one, platform)
    one.verdict = judge(names, platform.arrivals)
    one.recovery = max((arrival.at for arrival in platform.arrivals), default=restarted) - restarted
    return one


def _sources(chats: dict[str, list[str]], wanted: Callable[[str], bool] = lambda _: True) -> list[Iterator[Sent]]:
    def source(chat: str, markers: list[str]) -> Iterator[Sent]:
        for marker in markers:
            if wanted(marker):
                yield marker, event_request(marker, chat)

    return [source(chat, markers) for chat, markers in chats.items()]


async def _moment(
    moment: str, chance: random.Random, sending: asyncio.Task[list[Answer]], answers: list[Answer], platform: Platform
) -> None:
    """Wait for the moment to kill, half a minute at most."""
    count, pause = chance.randint(1, _CHATS * _EACH - 1), chance.uniform(0.0, 0.7)
    if moment == "thinking":
        await sending
        await asyncio.sleep(pause)
        return
    seen = answers if moment == "acknowledging" else platform.arrivals
    for _ in range(20_000):
        if len(seen) >= count:
            break
        await asyncio.sleep(0.001)
    if moment == "replying":
        # Between a reply's arrival and its receiver's answer, which takes up to 50 ms.
        await asyncio.sleep(pause / 20)


async def _deliver_again(server: Process, one: Round, chance: random.Random) -> int:
    """How many were still not acknowledged afterwards."""
    again = set(chance.sample(sorted(one.acknowledged), len(one.acknowledged) // 10))
    wanted = again | {m for markers in one.chats.values() for m in markers if m not in one.acknowledged}
    answers = await drive(server.port, _sources(one.chats, wanted.__contains__), 20.0)
    return len(wanted - {answer.name for answer in answers if answer.status == 200})


async def _settled(server: Process, one: Round, platform: Platform) -> None:
    """All answered and nothing pending, and then a little longer, for what should not come."""
    expected = {marker for markers in one.chats.values() for marker in markers}
    until = time.perf_counter() + _LIMIT
    while time.perf_counter() < until and not expected <= {arrival.marker for arrival in platform.arrivals}:
        state = await server.get("/readyz")
        if state and state.get("pending") == 0:
            break
        await asyncio.sleep(0.1)
    await server.drained(max(5.0, until - time.perf_counter()))
    await asyncio.sleep(_SETTLE)


def _section(done: list[Round], calls: int, server: Process) -> Section:
    found = section("kill")
    total = len(done) * _CHATS * _EACH
    kinds = ", ".join(f"{sum(one.moment == moment for one in done)} while {moment}" for moment in MOMENTS)
    found.rows.append((f"rounds of {_CHATS * _EACH} events ({kinds})", f"{len(done)}", ""))
    acknowledged = sum(len(one.acknowledged) for one in done)
    found.rows.append(("acknowledged before the kill / answered before it", _pair(acknowledged, done), ""))
    found.promised("lost (acknowledged, never answered)", sum(len(one.lost) for one in done))
    rest = sum(len(one.verdict.unanswered) - len(one.lost) for one in done)
    found.promised("delivered again and never answered", rest)
    found.promised("not acknowledged when delivered again", sum(one.refused for one in done))
    sum((one.verdict for one in done), Verdict([])).add_to(found)
    found.measured("model calls per event", calls / max(1, total), "", digits=2)
    times = sorted(one.recovery for one in done)
    found.measured("restart to last answer, median", times[len(times) // 2], "s")
    found.measured("restart to last answer, worst", times[-1], "s")
    for number, one in enumerate(done):
        if one.verdict.unanswered or one.verdict.doubled or one.verdict.disordered:
            found.broken.append(f"kill: round {number} ({one.moment}): unanswered {one.verdict.unanswered[:5]}")
    if found.broken:
        found.broken.append(f"the server's last words:\n{server.log_tail()}")
    found.figures = [
        {
            "moment": one.moment,
            "acknowledged": len(one.acknowledged),
            "replied_before": one.replied,
            "lost": one.lost,
            "doubled": one.verdict.doubled,
            "repeated": one.verdict.repeated,
            "disordered": one.verdict.disordered,
            "recovery_s": round(one.recovery, 2),
        }
        for one in done
    ]
    return found


def _pair(acknowledged: int, done: list[Round]) -> str:
    return f"{acknowledged:,} / {sum(one.replied for one in done):,}"
