"""A thousand digests of one minute: are they spread over the window, and what do questions notice?

    python benchmarks/wave.py [--digests 1000] [--window 60] [--parallel 4] [--delay 0.2] [--json OUT]

A real process in real time, a model on loopback that takes `delay` seconds, a platform that gets the answers. Questions
come from other conversations all the while; those before the minute are the baseline.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
from aiohttp import web

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from fake_model_server import FakeModelServer, Knobs
from service import Process, post, serving, settings

ZONE = ZoneInfo("Asia/Shanghai")


class Platform:
    """When each conversation got its answers."""

    def __init__(self) -> None:
        self.answered: dict[str, float] = {}
        self.posted: dict[str, float] = {}

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["reply_to"]:
            self.answered[body["reply_to"]] = time.time()
        else:
            self.posted.setdefault(body["conversation"]["id"], time.time())
        return web.json_response({"id": "r"})


def quantile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))] if values else float("nan")


def configuration(folder: Path, reply_url: str, model_url: str, minute: datetime, options: Any) -> dict[str, Any]:
    scheduled = [
        {
            "name": f"d{number}",
            "schedule": f"{minute.minute} {minute.hour} * * *",
            "conversation": f"generic/group/d{number}",
            "kind": "prompt",
            "prompt": "写一句鼓励",
        }
        for number in range(options.digests)
    ]
    light = {"engine": "openai", "base_url": model_url, "model": "fake-vlm", "max_parallel": options.model_parallel}
    digests = {"window": options.window, "parallel": options.parallel, "scheduled": scheduled}
    return settings(folder, reply_url, models={"light": light}, digests=digests, log_level="WARNING")


async def ask(url: str, asked: dict[str, float], rate: float, until: float) -> None:
    chance = random.Random(1)
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        number = 0
        while time.time() < until:
            number += 1
            name = f"q{number}"
            asked[f"m-{name}"] = time.time()
            group.create_task(post(session, url, name, f"第 {number} 个问题是什么", chat=f"c{number % 50}"))
            await asyncio.sleep(chance.expovariate(rate))


async def run(options: Any) -> dict[str, Any]:
    platform, asked = Platform(), dict[str, float]()
    app = web.Application()
    app.router.add_post("/replies", platform.handle)
    with tempfile.TemporaryDirectory(prefix="wave-") as name:
        async with serving(app) as base, FakeModelServer(Knobs(delay=options.delay)) as model:
            # At least the baseline's time before it begins.
            now = datetime.now(ZONE)
            minute = (now + timedelta(seconds=options.before + 15)).replace(second=0, microsecond=0)
            minute += timedelta(minutes=1)
            config = configuration(Path(name), f"{base}/replies", model.url, minute, options)
            process = await Process.start(Path(name), config)
            await asyncio.sleep(max(0.0, minute.timestamp() - options.before - time.time()))
            end = minute.timestamp() + options.window + options.after
            await ask(process.url, asked, options.rate, end)
            for _ in range(1200):
                if len(platform.posted) == options.digests and len(platform.answered) == len(asked):
                    break
                await asyncio.sleep(0.1)
            status = await process.terminate()
    began = minute.timestamp()
    spread = [at - began for at in platform.posted.values()]
    tenths = [sum(n * options.window / 10 <= s < (n + 1) * options.window / 10 for s in spread) for n in range(10)]
    waits = {name: platform.answered[name] - at for name, at in asked.items() if name in platform.answered}
    quiet = [wait for name, wait in waits.items() if asked[name] < began]
    crowded = [wait for name, wait in waits.items() if began <= asked[name] <= began + options.window]
    return {
        "digests": options.digests,
        "posted": len(platform.posted),
        "first_s": round(min(spread), 2),
        "last_s": round(max(spread), 2),
        "by_tenth_of_window": tenths,
        "questions": len(asked),
        "answered": len(platform.answered),
        "quiet_p50_s": round(quantile(quiet, 0.5), 3),
        "quiet_p95_s": round(quantile(quiet, 0.95), 3),
        "crowded_p50_s": round(quantile(crowded, 0.5), 3),
        "crowded_p95_s": round(quantile(crowded, 0.95), 3),
        "crowded_max_s": round(max(crowded), 3),
        "exit": status,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, kind, default in (
        ("digests", int, 1000),
        ("window", float, 60.0),
        ("parallel", int, 4),
        ("delay", float, 0.2),
        ("model-parallel", int, 8),
        ("rate", float, 5.0),
        ("before", float, 20.0),
        ("after", float, 20.0),
    ):
        parser.add_argument(f"--{name}", type=kind, default=default)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = asyncio.run(run(options))
    for key, value in found.items():
        print(f"{key:20} {value}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0 if found["posted"] == found["digests"] and found["answered"] == found["questions"] else 1


if __name__ == "__main__":
    sys.exit(main())
