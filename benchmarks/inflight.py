"""A thousand conversations at once on a model that takes five seconds: who waits for whom, and what a wait costs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from client import Answer, drive, percentile
from fakes import Platform, separate
from process import Process, kantu
from report import Section, section
from signed import event_request
from verdict import judge

_CHATS, _DELAY = 1_000, 5.0
_CONNECTIONS = 64
_LIMIT = 90.0
_WARM = "EVTwarm"


async def run(folder: Path) -> Section:
    """One event in each conversation; memory is sampled ten times a second."""
    chats = {f"f{number}": [f"EVTf{number}"] for number in range(_CHATS)}
    async with separate(_DELAY) as fakes, Platform() as platform:
        server = kantu(folder, handler="model", model=fakes.model, platform=platform.url)
        try:
            await server.start()
            await _warm(server, platform)
            idle = server.memory()
            answers: list[Answer] = []
            started = time.perf_counter()
            sending = asyncio.create_task(_send(server, chats, answers))
            peak = await _watch(server, platform)
            await sending
            together = await fakes.peak()
        finally:
            server.kill()
    found = section("inflight")
    verdict = judge(chats, [one for one in platform.arrivals if one.marker != _WARM])
    seconds = max((one.at for one in platform.arrivals), default=started) - started
    each = (peak - idle) / _CHATS / 1024
    found.rows.append((f"conversations at once, model calls take {_DELAY:g} s", f"{_CHATS:,}", ""))
    found.promised("not acknowledged", _CHATS - sum(one.status == 200 for one in answers))
    found.promised("never answered", len(verdict.unanswered))
    verdict.add_to(found)
    found.rows.append(("model calls in flight together, peak", f"{together:,}", f"aim {_CHATS:,}"))
    found.measured("first event sent to last answer", seconds, "s", 8.0)
    found.measured("acknowledgement, p99", percentile([one.seconds for one in answers], 0.99) * 1e3, "ms")
    found.measured("memory per waiting conversation", each, "KB", 60)
    found.figures = {
        "peak_calls": together,
        "seconds": round(seconds, 2),
        "idle_mb": round(idle / 1e6, 1),
        "peak_mb": round(peak / 1e6, 1),
        "kb_each": round(each, 1),
    }
    return found


async def _warm(server: Process, platform: Platform) -> None:
    """Answer one event, so that what is loaded once is loaded."""
    await drive(server.port, [iter([(_WARM, event_request(_WARM, "warm"))])])
    for _ in range(300):
        if platform.arrivals:
            break
        await asyncio.sleep(0.1)
    await server.drained(10.0)


async def _send(server: Process, chats: dict[str, list[str]], answers: list[Answer]) -> None:
    requests = iter([(marker, event_request(marker, chat)) for chat, (marker,) in chats.items()])
    await drive(server.port, [requests] * _CONNECTIONS, answers=answers)


async def _watch(server: Process, platform: Platform) -> int:
    """The most memory until all are answered, or time is up."""
    peak, until = 0, time.perf_counter() + _LIMIT
    while len(platform.arrivals) <= _CHATS and time.perf_counter() < until:
        peak = max(peak, server.memory())
        await asyncio.sleep(0.1)
    await server.drained(5.0)
    return peak
