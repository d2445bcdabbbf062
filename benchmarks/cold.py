"""From nothing to the first acknowledgement, and the memory of an idle service: `python -m bot serve`, all defaults."""

from __future__ import annotations

import asyncio
import base64
import statistics
import sys
import time
from pathlib import Path

from client import drive
from process import Process
from report import Section, section
from signed import event_request

_IDLE = 2.0


async def run(folder: Path, runs: int) -> Section:
    """Every run starts with an empty data folder. Medians; memory is that of all processes, added up."""
    found = section("cold")
    found.figures = [await _once(folder / f"cold{number}") for number in range(runs)]

    def median(name: str) -> float:
        return statistics.median(one[name] for one in found.figures)

    found.measured("process start to listening", median("listening_s"), "s", 2.0, digits=2)
    found.measured("process start to first acknowledgement", median("acknowledged_s"), "s", 2.0, digits=2)
    found.measured("memory of the idle process tree before the first picture", median("idle_mb"), "MB", 150)
    found.rows.append(("processes when idle", f"{found.figures[-1]['processes']}", ""))
    found.promised("starts with torch loaded", sum(one["torch"] for one in found.figures))
    found.promised("first event not acknowledged", sum(one["status"] != 200 for one in found.figures))
    return found


async def _once(folder: Path) -> dict[str, float]:
    config, data = folder / "config.yaml", folder / "data"
    server = Process([sys.executable, "-m", "bot", "serve", "--config", str(config)], folder)
    config.write_text(f"data_dir: {data}\nserver: {{port: {server.port}}}\n", encoding="utf-8")
    try:
        listening = await server.start()
        key = base64.b64decode((data / "webhook-secret").read_text("ascii").strip().removeprefix("whsec_"))
        # To a group that did not call the bot: accepted, and no engine is woken for it.
        first = ("EVTcold", event_request("EVTcold", "cold", group=True, key=key))
        (answer,) = await drive(server.port, [iter([first])]) or [None]
        acknowledged = time.perf_counter() - server.started_at
        await asyncio.sleep(_IDLE)
        return {
            "listening_s": round(listening, 3),
            "acknowledged_s": round(acknowledged, 3),
            "status": answer.status if answer else 0,
            "idle_mb": round(server.memory() / 1e6, 1),
            "processes": len(server.pids()),
            "torch": server.maps("/libtorch"),
        }
    finally:
        await server.stop()
