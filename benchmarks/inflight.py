"""A thousand conversations at once on a model that takes five seconds: who waits for whom, and what a wait costs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from client import Answer, drive, percentile
from fakes import Platform
from process import HERE, Process, kantu
from report import Section, section
from signed import event_request
from spawned import spawned
from verdict import judge

_CHATS, _DELAY = 1_000, 5.0
_CONNECTIONS = 64
_LIMIT = 90.0


async def run(folder: Path) -> Section:
    """One event in each conversation; memory is sampled ten times a second."""
    chats = {f"f{number}": [f"EVTf{number}"] for number in range(_CHATS)}
    async with spawned("--delay", str(_DELAY)) as urls, Platform() as platform:
        server = kantu(folder, handler="model", model=urls["model"], platform=platform.url)
        try:
            await server.start()
            await _warm(server)
            idle = server.memory()
            answers: list[Answer] = []
            started = time.perf_counter()
            sending = asyncio.create_task(_send(server, chats, answers))
            peak = await _watch(server, platform)
            await sending
            counts = await urls["counts"]()
        finally:
            server.kill()
    found = section("inflight")
    verdict = judge(chats, [one for one in platform.arrivals if one.reply_to in {m for (m,) in chats.values()}])
    seconds = max((one.at for one in platform.arrivals), default=started) - started
    each = (peak - idle) / _CHATS / 1024
    found.rows.append((f"conversations at once, model calls take {_DELAY:g} s", f"{_CHATS:,}", ""))
    found.promised("not acknowledged", _CHATS - sum(one.status == 200 for one in answers))
    found.promised("never answered", len(verdict.unanswered))
    verdict.add_to(found)
    found.rows.append(("model calls in flight together, peak", f"{counts['peak']:,}", f"aim {_CHATS:,}"))
    found.measured("first event sent to last answer", seconds, "s", 8.0)
    found.measured("acknowledgement, p99", percentile([one.seconds for one in answers], 0.99) * 1e3, "ms")
    found.measured("memory per waiting conversation", each, "KB", 60)
    found.figures = {
        "peak_calls": counts["peak"],
        "seconds": round(seconds, 2),
        "idle_mb": round(idle / 1e6, 1),
        "peak_mb": round(peak / 1e6, 1),
        "kb_each": round(each, 1),
    }
    return found
