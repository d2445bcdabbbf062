"""One process of benchmarks/fortnight.py: the service, living by the simulated clock."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from stepped_clock import SteppedClock

from bot.app import Service
from bot.config import load


async def serve(config: Path, clock: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    service = await Service.open(load(config), SteppedClock(clock))
    await service.start()
    print(f"http://127.0.0.1:{service.port}", flush=True)
    await stop.wait()
    await service.stop()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), Path(sys.argv[2])))
