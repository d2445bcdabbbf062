"""A model that fails: is every event answered or listed as a dead letter?

Two storms over 25 conversations of 4 events: 30 % of all calls end in 500, 429 or a reset connection; and a model
that is away for 20 seconds, then back.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from client import drive
from fakes import Model, Platform
from process import Process, kantu
from report import Section, section
from signed import event_request
from verdict import judge

_CHATS, _EACH = 25, 4
_AWAY = 20.0
_LIMIT = 240.0


async def run(folder: Path, seed: int) -> Section:
    """Both storms, a fresh database each."""
    found = section("faults")
    found.figures = {}
    await _storm(found, "30 % failing", folder / "failing", Model(0.1, 0.05, 0.3, seed), away=0.0)
    await _storm(found, f"away for {_AWAY:g} s", folder / "away", Model(0.1, 0.05, seed=seed), away=_AWAY)
    return found


async def _storm(found: Section, name: str, folder: Path, model: Model, away: float) -> None:
    tag = "w" if away else "g"
    chats = {f"{tag}{chat}": [f"EVT{tag}{chat}n{n}" for n in range(_EACH)] for chat in range(_CHATS)}
    async with model, Platform() as platform:
        server = kantu(folder, handler="model", model=model.url, platform=platform.url)
        try:
            await server.start()
            absence = asyncio.create_task(model.die(away)) if away else None
            await asyncio.sleep(0)
            started = time.perf_counter()
            sources = [iter([(m, event_request(m, chat)) for m in markers]) for chat, markers in chats.items()]
            answers = await drive(server.port, sources)
            settled = await server.drained(_LIMIT)
            seconds = time.perf_counter() - started
            if absence is not None:
                await absence
            verdict = judge(chats, platform.arrivals)
            dead = [marker for marker in verdict.unanswered if await _is_dead(server, marker)]
            listed = (await server.get("/api/dead") or {}).get("dead", [])
        finally:
            server.kill()
    total = _CHATS * _EACH
    found.rows.append((f"**{name}**: events / model calls", f"{total} / {model.calls.total()}", ""))
    found.promised("not acknowledged", total - sum(one.status == 200 for one in answers))
    found.promised("neither answered nor dead", len(verdict.unanswered) - len(dead))
    found.promised("dead and not listed by /api/dead", max(0, len(dead) - len(listed)))
    verdict.add_to(found)
    found.rows.append(("dead letters", f"{len(dead)}", ""))
    found.rows.append(
        ("first event sent to nothing pending", f"{seconds:.1f} s" if settled is not None else "never", "")
    )
    if settled is None:
        found.broken.append(f"faults: {name}: still pending after {_LIMIT:g} s:\n{server.log_tail()}")
    found.figures[name] = {
        "dead": dead,
        "letters": listed,
        "unanswered": verdict.unanswered,
        "model_calls": model.calls.total(),
        "seconds": round(seconds, 1),
    }


async def _is_dead(server: Process, marker: str) -> bool:
    """What the service itself says of an event that got no answer."""
    state = await server.get(f"/api/events/generic/{marker}")
    return bool(state) and state["state"] == "dead"
