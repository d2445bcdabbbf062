"""How many events a second are acknowledged: Kantu beside the limit server, and beside nonebot2 if there is one.

A closed loop over 1, 16 and 64 connections, events spread over 1,000 conversations. The servers take turns, and each
ratio is that of two neighbouring runs, since the speed of a shared core drifts; the table shows medians.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from client import Sent, drive, percentile
from fakes import Addresses, separate
from nonebot_peer import onebot_request
from process import HERE, Process, kantu
from report import Section
from signed import event_request

CONNECTIONS = (1, 16, 64)
_CHATS = 1_000
_PER_SECOND = 12_000
_WARM = 300
_DRAIN_LIMIT = 180.0
_LEAST_RATE, _AIM_RATE, _MOST_P99 = 0.35, 0.60, 2.5
_BARE = "bare"


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that takes part: how it is started, what it is sent. kantu: it tells when all is finished."""

    name: str
    start: Callable[[Path, Addresses], Process]
    request: Callable[[str, str], bytes]
    kantu: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement. seconds p50, p99; busy: share of a core the client used; drain: seconds, None: not asked."""

    rate: float
    p50: float
    p99: float
    failed: int
    busy: float
    drain: float | None


def peers(nonebot: str | None) -> list[Peer]:
    """Who takes part, in the order of their turns."""

    def bare(folder: Path, _: Addresses) -> Process:
        return Process([sys.executable, str(HERE / "bare.py")], folder)

    def ours(handler: str) -> Callable[[Path, Addresses], Process]:
        return lambda folder, fakes: kantu(folder, handler=handler, model=fakes.model, platform=fakes.platform)

    chosen = [
        Peer(_BARE, bare, event_request),
        Peer("Kantu, noop", ours("noop"), event_request, True),
        Peer("Kantu, model", ours("model"), event_request, True),
    ]
    if nonebot:
        command = [nonebot, str(HERE / "nonebot_peer.py")]
        chosen.append(Peer("nonebot2, noop", lambda folder, _: Process(command, folder), onebot_request))
    return chosen


async def run(folder: Path, runs: int, seconds: float, nonebot: str | None) -> Section:
    """`runs` turns of every peer, `seconds` at each number of connections."""
    chosen = peers(nonebot)
    points: dict[tuple[str, int], list[Point]] = {(peer.name, c): [] for peer in chosen for c in CONNECTIONS}
    async with separate() as fakes:
        for turn, peer in itertools.product(range(runs), chosen):
            server = peer.start(folder / f"turn{turn}-{chosen.index(peer)}", fakes)
            try:
                await server.start()
                await _burst(server, peer, _WARM, 4, 10.0, f"w{turn}")
                for connections in CONNECTIONS:
                    points[peer.name, connections].append(await _point(server, peer, connections, seconds, turn))
            finally:
                server.kill()
    return _section(chosen, points)


async def _point(server: Process, peer: Peer, connections: int, seconds: float, turn: int) -> Point:
    # What is built ahead must be enough for the fastest server and not older than its signature may be.
    count = int(seconds * (_PER_SECOND if connections > 1 else _PER_SECOND / 4))
    requests = _requests(peer, count, f"t{turn}c{connections}x")
    used, started = time.process_time(), time.perf_counter()
    answers = await drive(server.port, [requests] * connections, seconds)
    wall = time.perf_counter() - started
    busy = (time.process_time() - used) / wall
    drain = None
    if peer.kantu:
        drain = await server.drained(_DRAIN_LIMIT)
        drain = float("inf") if drain is None else drain
    else:
        await asyncio.sleep(0.3)
    good = [one.seconds for one in answers if one.status in (200, 204)]
    failed = len(answers) - len(good)
    return Point(len(good) / wall, percentile(good, 0.5), percentile(good, 0.99), failed, busy, drain)


def _requests(peer: Peer, count: int, tag: str) -> itertools.chain[Sent]:
    built = [(f"EVT{tag}{n}", peer.request(f"EVT{tag}{n}", f"{tag}{n % _CHATS}")) for n in range(count)]
    return itertools.chain(built)


async def _burst(server: Process, peer: Peer, count: int, connections: int, seconds: float, tag: str) -> None:
    await drive(server.port, [_requests(peer, count, tag)] * connections, seconds)
    if peer.kantu:
        await server.drained(30.0)


def _section(chosen: list[Peer], points: dict[tuple[str, int], list[Point]]) -> Section:
    columns = (
        "server",
        "connections",
        "acks/s",
        "p50 ms",
        "p99 ms",
        "÷ bare: acks/s",
        "÷ bare: p99",
        "drain s",
        "client",
    )
    found = Section("load", columns)
    for (name, connections), measured in points.items():
        bare = points[_BARE, connections]
        ratios = _ratios(measured, bare) if name.startswith("Kantu") else ("", "")
        found.rows.append((name, str(connections), *_figures(measured), *ratios, _drain(measured), _busy(measured)))
        failed = sum(one.failed for one in measured)
        if failed:
            found.broken.append(f"load: {name} at {connections} connections: {failed} not acknowledged")
        if any(one.drain == float("inf") for one in measured):
            found.broken.append(f"load: {name} at {connections} connections: pending after {_DRAIN_LIMIT:g} s")
    found.rows.append(
        ("targets", "", "", "", "", f"≥ {_LEAST_RATE} (aim {_AIM_RATE:.2f})", f"≤ {_MOST_P99}", "", "< 0.9 of a core")
    )
    found.figures = [
        {"server": name, "connections": connections, "runs": [_plain(one) for one in measured]}
        for (name, connections), measured in points.items()
    ]
    return found


def _figures(measured: list[Point]) -> tuple[str, str, str]:
    return (
        f"{statistics.median(one.rate for one in measured):,.0f}",
        f"{statistics.median(one.p50 for one in measured) * 1e3:.2f}",
        f"{statistics.median(one.p99 for one in measured) * 1e3:.2f}",
    )


def _ratios(measured: list[Point], bare: list[Point]) -> tuple[str, str]:
    rate = statistics.median(one.rate / limit.rate for one, limit in zip(measured, bare, strict=True))
    p99 = statistics.median(one.p99 / limit.p99 for one, limit in zip(measured, bare, strict=True))
    return (
        f"{rate:.2f} {'✓' if round(rate, 2) >= _LEAST_RATE else '✗ missed'}",
        f"{p99:.2f} {'✓' if round(p99, 2) <= _MOST_P99 else '✗ missed'}",
    )


def _drain(measured: list[Point]) -> str:
    times = [one.drain for one in measured if one.drain is not None]
    return f"{statistics.median(times):.1f}" if times else ""


def _busy(measured: list[Point]) -> str:
    return f"{statistics.median(one.busy for one in measured):.2f}"


def _plain(point: Point) -> dict[str, float | None]:
    return {
        "acks_per_s": round(point.rate, 1),
        "p50_ms": round(point.p50 * 1e3, 3),
        "p99_ms": round(point.p99 * 1e3, 3),
        "failed": point.failed,
        "client_busy": round(point.busy, 2),
        "drain_s": None if point.drain in (None, float("inf")) else round(point.drain, 2),
    }
