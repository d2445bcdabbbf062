"""One device, several engines: who may use it now.

An engine takes a turn for each step. Turns are given in the order in which they were asked for, so that two busy
engines take them alternately: a question waits for one step of a report, a report for one step of the questions. While
an engine captures its graphs, nobody else may touch the device.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache

import torch


class Turns:
    """A fair lock: first come, first served."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._taken = False

    @contextmanager
    def turn(self) -> Generator[None]:
        """Wait for the device, and have it."""
        gate = self._ask()
        if gate is not None:
            # Whoever leaves opens it, and the device stays taken.
            gate.acquire()
        try:
            yield
        finally:
            self._leave()

    @property
    def waiting(self) -> int:
        """How many engines wait."""
        return len(self._waiting)

    def _ask(self) -> threading.Lock | None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return None
            gate = threading.Lock()
            gate.acquire()
            self._waiting.append(gate)
            return gate

    def _leave(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False


@cache
def turns_of(device: torch.device) -> Turns:
    """Of a device of this process."""
    del device
    return Turns()
