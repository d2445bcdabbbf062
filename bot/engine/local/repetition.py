"""Noticing that an answer goes round in circles.

An answer loops where it ends with a piece that has come again and again. Rulers, laughter and tables whose cells differ
do not count: short pieces must come very often, long ones three times.
"""

from __future__ import annotations

_LONGEST = 600
#: repeated tokens below which nothing is said of short pieces
_FEWEST = 96
_LONG_PIECE = 64
#: tokens after which it looks again
_EVERY = 16


class LoopDetector:
    """Fed with the tokens of one answer."""

    def __init__(self) -> None:
        self._tokens: list[int] = []

    def add(self, token: int) -> bool:
        """True soon after the answer has become a loop."""
        self._tokens.append(token)
        return len(self._tokens) % _EVERY == 0 and any(self._repeats(size) for size in range(1, _LONGEST + 1))

    def _repeats(self, size: int) -> bool:
        """The end is a piece of so many tokens, over and over."""
        tokens = self._tokens
        more = 2 * size if size > _LONG_PIECE else max(_FEWEST, 3 * size)
        if len(tokens) < size + more or tokens[-1] != tokens[-1 - size] or tokens[-2] != tokens[-2 - size]:
            return False
        return tokens[-more:] == tokens[-more - size : -size]
