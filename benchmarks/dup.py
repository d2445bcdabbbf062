"""The same event delivered 25 times: at once, while it is answered, afterwards, after a restart, after kill -9."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from client import Answer, drive
from fakes import Model, Platform
from process import Process, kantu
from report import Section, section
from signed import event_request
from verdict import judge

_EVENTS, _TIMES = 20, 5
_DELAY = 1.5


async def run(folder: Path) -> Section:
    """Twenty events, a conversation each."""
    chats = {f"d{number}": [f"EVTd{number}"] for number in range(_EVENTS)}
    answers: list[Answer] = []
    async with Model(_DELAY) as model, Platform() as platform:
        server = kantu(folder, handler="model", model=model.url, platform=platform.url)
        try:
            await server.start()
            await _at_once(server, chats, answers)
            await asyncio.sleep(_DELAY / 3)
            await _one_after_another(server, chats, answers, pause=0.05)
            while_running = len(platform.arrivals)
            await server.drained(30.0)
            await _one_after_another(server, chats, answers)
            await server.stop()
            await server.start()
            await _one_after_another(server, chats, answers)
            server.kill()
            await server.start()
            await _one_after_another(server, chats, answers)
            await server.drained(30.0)
            await asyncio.sleep(_DELAY + 0.5)
        finally:
            server.kill()
    found = section("dup")
    verdict = judge(chats, platform.arrivals)
    found.rows.append((f"events, each delivered {5 * _TIMES} times", f"{_EVENTS}", ""))
    found.promised("deliveries not acknowledged", 5 * _TIMES * _EVENTS - sum(one.status == 200 for one in answers))
    found.promised("never answered", len(verdict.unanswered))
    verdict.add_to(found)
    found.measured("model calls per event", model.calls.total() / _EVENTS, "", digits=2)
    found.figures = {
        "statuses": Counter(one.status for one in answers),
        "answered_before_second_batch_ended": while_running,
    }
    return found


async def _at_once(server: Process, chats: dict[str, list[str]], answers: list[Answer]) -> None:
    """Every copy on a connection of its own, all in the same moment."""
    copies = [(marker, event_request(marker, chat)) for chat, (marker,) in chats.items() for _ in range(_TIMES)]
    await drive(server.port, [iter([copy]) for copy in copies], answers=answers)


async def _one_after_another(
    server: Process, chats: dict[str, list[str]], answers: list[Answer], pause: float = 0.0
) -> None:
    """Signed anew each time, as a sender that tries again does."""
    for _ in range(_TIMES):
        copies = [(marker, event_request(marker, chat)) for chat, (marker,) in chats.items()]
        await drive(server.port, [iter(copies)], answers=answers)
        await asyncio.sleep(pause)
