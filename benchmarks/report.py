"""What a suite found: a table, the promises it broke, the figures as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Section:
    """name: the suite; broken: a sentence per broken promise (a missed time is none); figures: for --json."""

    name: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    figures: Any = None

    def measured(self, what: str, value: float, unit: str, target: float | None = None, digits: int = 1) -> None:
        """A row of (what, figure, target): an upper bound to be compared with, never a reason to fail."""
        text = f"{value:,.{digits}f} {unit}".strip()
        if target is None:
            self.rows.append((what, text, ""))
        else:
            self.rows.append((what, text, f"≤ {target:g} {unit}".strip() + (" ✓" if value <= target else " ✗ missed")))

    def promised(self, what: str, value: int, allowed: int = 0) -> None:
        """A row of (what, count, promise); another count breaks the promise."""
        kept = value == allowed
        self.rows.append((what, f"{value:,}", f"{allowed:,} " + ("✓" if kept else "✗ BROKEN")))
        if not kept:
            self.broken.append(f"{self.name}: {what}: {value}, promised {allowed}")

    def markdown(self) -> str:
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join([f"### {self.name}\n", *(f"| {' | '.join(line)} |" for line in lines)])


def section(name: str) -> Section:
    """The three-column table that all suites but load use."""
    return Section(name, ("what", "measured", "promise or target"))
