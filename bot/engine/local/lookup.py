"""Guesses of what comes next: where the last few tokens stood before, the same may follow again.

Prompt lookup decoding (Saxena, 2023): an answer that transcribes, quotes or fills a table repeats its prompt or itself.
The guesses are checked in one step; a wrong one costs a row of that step and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

#: so many tokens must have stood together before
_GRAM = 3
#: after guesses that were all wrong, the next opportunities are passed over: one, two, four, at most so many
_LONGEST_REST = 32


class Lookup:
    """What follows which three tokens of one growing list."""

    def __init__(self) -> None:
        self._after: dict[tuple[int, ...], int] = {}
        self._read = _GRAM
        self._rest = 1
        self._resting = 0

    def guess(self, tokens: Sequence[int], most: int) -> list[int]:
        """At most so many tokens that may follow `tokens`, which has only grown since the last call."""
        for end in range(self._read, len(tokens)):
            self._after[tuple(tokens[end - _GRAM : end])] = end
        self._read = max(self._read, len(tokens))
        place = self._after.get(tuple(tokens[-_GRAM:]))
        if place is None or most < 1:
            return []
        if self._resting:
            self._resting -= 1
            return []
        return list(tokens[place : place + most])

    def judged(self, right: int) -> None:
        """So many of the last guesses were right."""
        self._resting = 0 if right else self._rest
        self._rest = 1 if right else min(2 * self._rest, _LONGEST_REST)
