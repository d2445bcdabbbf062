"""A clock in a file, so that several processes live in the same simulated time: it stands still until it is moved."""

from __future__ import annotations

import mmap
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from bot.clock import Clock

_DOUBLE = struct.Struct("d")
#: Real seconds after which somebody who waits looks again whether it was moved.
_LOOK = 0.02


class SteppedClock(Clock):
    """All processes that open the same file; whoever calls `set` moves it for all."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        if not path.exists():
            path.write_bytes(_DOUBLE.pack(0.0))
        self._file = path.open("r+b")
        self._memory = mmap.mmap(self._file.fileno(), _DOUBLE.size)

    def set(self, now: float) -> None:
        self._memory[:] = _DOUBLE.pack(now)

    def now(self) -> float:
        return _DOUBLE.unpack(self._memory[:])[0]

    def monotonic(self) -> float:
        return self.now()

    def until(self, moment: float) -> float:
        return _LOOK if moment > self.now() else 0.0
