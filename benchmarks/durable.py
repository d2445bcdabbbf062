"""Repeat the durability and load figures: nothing is needed but this repository and what it depends on.

    python benchmarks/durable.py [--only load,kill,dup,cold,inflight,faults] [--rounds 20] [--json OUT] [--seed N]

Servers run on private loopback ports, pinned to one core and everything else to the others where there are several;
times mean little on a busy machine. Prints Markdown tables. Exit status 1: a promise is broken (something lost,
doubled, out of order or refused); never because of a time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import cold
import dup
import faults
import inflight
import kill
import load
import uvloop
from process import CLIENT_CORES, SERVER_CORES, pin
from report import Section

Suite = Callable[[argparse.Namespace, Path], Awaitable[Section]]
SUITES: dict[str, Suite] = {
    "load": lambda o, folder: load.run(folder, o.runs, o.seconds, o.nonebot),
    "kill": lambda o, folder: kill.run(folder, o.rounds, o.seed),
    "dup": lambda _, folder: dup.run(folder),
    "cold": lambda o, folder: cold.run(folder, o.runs),
    "inflight": lambda _, folder: inflight.run(folder),
    "faults": lambda o, folder: faults.run(folder, o.seed),
}


def main() -> int:
    """The command line."""
    options = _options()
    # So that a benchmark that is stopped stops its servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    pin(CLIENT_CORES)
    _more_open_files()
    print(f"seed {options.seed}\n", flush=True)
    if options.work:
        options.work.mkdir(parents=True, exist_ok=True)
        sections = _run(options, options.work)
    else:
        with tempfile.TemporaryDirectory(prefix="kantu-durable-") as folder:
            sections = _run(options, Path(folder))
    broken = [sentence for one in sections for sentence in one.broken]
    print("Every promise was kept." if not broken else "BROKEN:\n" + "\n".join(broken))
    return 1 if broken else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="durability and load of Kantu, measured")
    parser.add_argument("--only", default=",".join(SUITES), help="suites, separated by commas (default: all)")
    parser.add_argument("--rounds", type=int, default=20, help="of kill (default: 20)")
    parser.add_argument("--runs", type=int, default=3, help="of load and cold (default: 3)")
    parser.add_argument("--seconds", type=float, default=4.0, help="per load measurement (default: 4)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all figures here")
    parser.add_argument(
        "--nonebot", metavar="PYTHON", help="an interpreter with nonebot2[fastapi] and its OneBot adapter"
    )
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER", help="keep databases and logs here, on the disk to measure"
    )
    options = parser.parse_args()
    options.only = options.only.split(",")
    unknown = set(options.only) - set(SUITES)
    if unknown:
        parser.error(f"unknown suite {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    return options


def _run(options: argparse.Namespace, folder: Path) -> list[Section]:
    machine = _machine(folder)
    print(f"{machine}\n", flush=True)
    sections: list[Section] = []
    for name in options.only:
        place = folder / f"{name}-{os.getpid()}"
        started = time.perf_counter()
        found = uvloop.run(SUITES[name](options, place))
        sections.append(found)
        print(f"{found.markdown()}\n\n({time.perf_counter() - started:.0f} s)\n", flush=True)
    if options.json:
        suites = {one.name: {"broken": one.broken, "figures": one.figures} for one in sections}
        data = {"seed": options.seed, "machine": machine, "suites": suites}
        options.json.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return sections


def _machine(folder: Path) -> str:
    cores = len(SERVER_CORES | CLIENT_CORES) or os.cpu_count() or 1
    split = f"server on {_listed(SERVER_CORES)}, client on {_listed(CLIENT_CORES)}" if SERVER_CORES else "not pinned"
    return (
        f"{time.strftime('%Y-%m-%d')}; {_processor()}, {cores} core{'s' if cores > 1 else ''} ({split}); "
        f"{platform.system()} {platform.release()}; database on {_file_system(folder)}; "
        f"Python {platform.python_version()}; SQLite {sqlite3.sqlite_version}; "
        f"load before {os.getloadavg()[0]:.1f}"
    )


def _listed(cores: set[int]) -> str:
    return ", ".join(map(str, sorted(cores)))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _file_system(folder: Path) -> str:
    """Its type: on tmpfs a commit costs nothing."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "an unknown file system"
    above = [(len(place), kind) for place, kind in mounts if folder.resolve().is_relative_to(place)]
    return max(above)[1] if above else "an unknown file system"


def _more_open_files() -> None:
    """A thousand conversations need two thousand sockets; children inherit the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 16_384 if hard == resource.RLIM_INFINITY else min(16_384, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main())
