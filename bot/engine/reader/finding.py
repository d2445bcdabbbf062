"""What a solver hands back."""

from __future__ import annotations

from typing import NamedTuple

from bot.engine.reader.page import Line


class Finding(NamedTuple):
    """text: Chinese, for the user. lines: the evidence on the page. score: 0 to 1, to choose between pictures."""

    text: str
    lines: tuple[Line, ...]
    score: float = 1.0

    @property
    def doubtful(self) -> bool:
        """Rests on text that was read with low confidence."""
        return any(line.doubtful for line in self.lines)
