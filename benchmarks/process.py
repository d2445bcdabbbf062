"""Servers under test: each in a session of its own, pinned to one core, stopped by pid."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def split_cores() -> tuple[set[int], set[int]]:
    """For the server: the first core we may use; for everything else: the others, or the same one if it is alone."""
    if not hasattr(os, "sched_getaffinity"):
        return set(), set()
    first, *others = sorted(os.sched_getaffinity(0))
    return {first}, set(others) or {first}


SERVER_CORES, CLIENT_CORES = split_cores()


def pin(cores: Iterable[int]) -> None:
    """Run this thread and what it starts on these cores only, where the system can do that."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def free_port() -> int:
    """A port nobody listens on, below those that outgoing connections take: it stays free while a server is down."""
    for _ in range(1000):
        port = random.randint(20_000, 32_000)
        with socket.socket() as one, socket.socket() as other:
            other.settimeout(0.2)
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            if other.connect_ex(("127.0.0.1", port)):
                return port
    raise SystemExit("no free port between 20000 and 32000")


class Process:
    """A server. `folder` gets its log; `environ` is added to ours, with PORT and STATE_DIR."""

    def __init__(self, command: list[str], folder: Path, environ: Mapping[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.folder = folder
        self.log = folder / "server.log"
        self._command = command
        self._environ = {
            **os.environ,
            "PORT": str(self.port),
            "STATE_DIR": str(folder),
            "NO_PROXY": "*",
            "no_proxy": "*",
            **(environ or {}),
        }
        self._child: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0

    async def start(self, limit: float = 60.0) -> float:
        """Start and wait until it listens; returns the seconds that took. SystemExit when it does not."""
        self._spawn()
        assert self._child is not None
        while time.perf_counter() - self.started_at < limit:
            if self._child.poll() is not None:
                raise SystemExit(f"{self._command[1]} ended with {self._child.returncode}:\n{self.log_tail()}")
            if _listens(self.port):
                return time.perf_counter() - self.started_at
            await asyncio.sleep(0.002)
        await self.stop()
        raise SystemExit(f"{self._command[1]} did not listen within {limit:.0f} s:\n{self.log_tail()}")

    def _spawn(self) -> None:
        with self.log.open("ab") as log:
            pin(SERVER_CORES)
            try:
                self.started_at = time.perf_counter()
                self._child = subprocess.Popen(
                    self._command,
                    cwd=ROOT,
                    env=self._environ,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            finally:
                pin(CLIENT_CORES)

    def kill(self) -> None:
        """SIGKILL to the whole process group and whoever else is of its session; returns when it is gone."""
        if self._child is None:
            return
        members = self.pids()
        _signal_group(self._child.pid, signal.SIGKILL)
        for pid in members:
            _signal(pid, signal.SIGKILL)
        self._child.wait()
        self._child = None

    async def stop(self, limit: float = 30.0) -> None:
        """SIGTERM, then after `limit` seconds SIGKILL."""
        child = self._child
        if child is None:
            return
        _signal(child.pid, signal.SIGTERM)
        try:
            await asyncio.to_thread(child.wait, limit)
        except subprocess.TimeoutExpired:
            print(f"{self._command[1]} did not stop within {limit:.0f} s", file=sys.stderr)
        self.kill()

    def pids(self) -> list[int]:
        """Living processes of the server's session (Linux)."""
        if self._child is None:
            return []
        found = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
        return [pid for pid in found if _session(pid) == self._child.pid]

    def memory(self) -> int:
        """Resident bytes of all its processes; shared pages count once per process (Linux)."""
        return sum(_resident(pid) for pid in self.pids())

    def maps(self, word: str) -> bool:
        """Some process has a file mapped whose path holds `word` (Linux)."""
        return any(word in _read(f"/proc/{pid}/maps") for pid in self.pids())

    async def get(self, path: str) -> Any:
        """JSON of a GET, whatever its status; None when nobody answers."""
        return await asyncio.to_thread(self._get, path)

    def _get(self, path: str) -> Any:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self.port}{path}", timeout=10) as response:
                return json.load(response)
        except (OSError, ValueError):
            return None

    async def drained(self, limit: float) -> float | None:
        """Seconds until nothing is pending; None when something still is after `limit` seconds."""
        started = time.perf_counter()
        while time.perf_counter() - started < limit:
            state = await self.get("/readyz")
            if state and state.get("pending") == 0 and state.get("running", 0) == 0:
                return time.perf_counter() - started
            await asyncio.sleep(0.1)
        return None

    def log_tail(self, lines: int = 15) -> str:
        return "\n".join(_read(self.log).splitlines()[-lines:])


def kantu(folder: Path, *, handler: str, model: str = "", platform: str = "") -> Process:
    """Kantu as `serve.py` starts it. model: a base_url; platform: where replies are posted, without a path."""
    environ = {"HANDLER": handler, "OPENAI_BASE": model, "PLATFORM_BASE": platform}
    return Process([sys.executable, str(HERE / "serve.py")], folder, environ)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _session(pid: int) -> int:
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[3]) if fields and fields[0] not in "ZX" else -1


def _resident(pid: int) -> int:
    fields = _read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if fields else 0
