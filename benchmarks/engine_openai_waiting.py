"""What a request costs while it waits for a model: CPU and memory of 1,000 at once, by way of asking.

    PYTHONPATH=. python benchmarks/engine_openai_waiting.py [--requests 1000] [--delay 6] [--picture BYTES]

Every way runs in a fresh process against the tests' fake server in another one. CPU is of the asking process
only, from the first request to the last answer; memory is its resident size while all wait, less before.
Needs as many open files as requests (`ulimit -n`).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from bot.clock import Clock
from bot.config import OpenAIModel
from bot.engine.base import GenerateRequest, collect
from bot.engine.openai import OpenAIEngine
from bot.message import Image, assistant, system, user

WAYS = ("engine.generate", "engine.stream", "client.create over aiohttp", "client.create over httpx")
_ROOT = Path(__file__).parents[1]


def _request(picture: int) -> GenerateRequest:
    """A turn of usual size: instructions and five turns of history, about 3 KB, and maybe a picture."""
    history = [role("这张图里写了什么？请说说看。" * 5) for _ in range(5) for role in (user, assistant)]
    if not picture:
        return GenerateRequest((system("你是看图。" * 30), *history, user("总结一下")))
    data = _smallest_png() + os.urandom(picture)
    sha256 = hashlib.sha256(data).hexdigest()
    return GenerateRequest((system("你是看图。"), *history, user(Image(sha256=sha256), "？")), {sha256: data})


def _smallest_png() -> bytes:
    from io import BytesIO

    from PIL import Image as Pictures

    buffer = BytesIO()
    Pictures.new("1", (1, 1)).save(buffer, "PNG")
    return buffer.getvalue()


def _asker(way: str, url: str, request: GenerateRequest) -> tuple[Callable[[], Awaitable[object]], Any]:
    """How to ask once, and what to close in the end."""
    if way.startswith("engine."):
        engine = OpenAIEngine("fake", OpenAIModel(base_url=url, model="fake-vlm"), Clock())
        if way == "engine.generate":
            return lambda: engine.generate(request), engine
        return lambda: collect(engine.stream(request)), engine
    import httpx2
    import openai

    kind = openai.DefaultAioHttpClient if "aiohttp" in way else openai.DefaultAsyncHttpxClient
    http = kind(timeout=120, limits=httpx2.Limits(max_connections=1_000_000))
    client = openai.AsyncOpenAI(base_url=url, api_key="no-key", http_client=http)
    messages: list[Any] = [{"role": m.role, "content": m.text} for m in request.messages]
    return lambda: client.chat.completions.create(model="fake-vlm", messages=messages), client


def _resident() -> int:
    """Kilobytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


async def _measure(way: str, url: str, count: int, delay: float, picture: int) -> None:
    ask, client = _asker(way, url, _request(picture))
    await ask()
    gc.collect()
    before, cpu = _resident(), time.process_time()
    tasks = [asyncio.ensure_future(ask()) for _ in range(count)]
    await asyncio.sleep(delay * 0.9)
    waiting = _resident()
    still = sum(not task.done() for task in tasks)
    await asyncio.gather(*tasks)
    cpu = time.process_time() - cpu
    await client.close()
    print(
        f"{way:28} {cpu / count * 1e3:5.2f} ms CPU, {(waiting - before) / count:5.1f} KB, {still} waiting", flush=True
    )


def _compare(count: int, delay: float, picture: int) -> None:
    env = {**os.environ, "PYTHONPATH": str(_ROOT)}
    serve = [sys.executable, str(_ROOT / "tests/fake_model_server.py"), "--port", "0", "--delay", str(delay)]
    server = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True, env=env)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        for way in WAYS:
            one = json.dumps([way, url, count, delay, picture])
            subprocess.run([sys.executable, __file__, "--one", one], check=True, env=env)
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--delay", type=float, default=6.0, help="seconds until the server answers")
    parser.add_argument("--picture", type=int, default=0, help="bytes of a picture in every request")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        uvloop.run(_measure(*json.loads(options.one)))
    else:
        _compare(options.requests, options.delay, options.picture)


if __name__ == "__main__":
    main()
