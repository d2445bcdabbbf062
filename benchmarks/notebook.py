"""What a member's session should remember: written from the rules, not from the service's code.

Pictures are numbered 1, 2, … in the order of a member's turns. /重置 ends the history and what is talked about,
numbers go on; /忘记 ends everything. 第N张 counts in the latest burst where that has several pictures, else in the
session. Without a reference the pictures of the latest turn about pictures are meant.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Numbered:
    """A picture in a session."""

    number: int
    barcode: int


@dataclass
class Notebook:
    """pictures: all, in order; burst: those of the latest turn that sent some; focus: what is talked about.

    history: ids of the turns that a model is to be told. plain: the latest pictures were the member's own, so that
    counting from them can mean one thing only.
    """

    pictures: list[Numbered] = field(default_factory=list[Numbered])
    burst: tuple[Numbered, ...] = ()
    focus: tuple[Numbered, ...] = ()
    history: list[str] = field(default_factory=list[str])
    plain: bool = True

    def add(self, quoted: Iterable[int], sent: Iterable[int]) -> tuple[Numbered, ...]:
        """Number a turn's pictures, quoted ones first; those known keep their number. Returns them in order."""
        before = len(self.pictures)
        from_quotes = [self._number(barcode) for barcode in quoted]
        foreign = len(self.pictures) > before
        own = [self._number(barcode) for barcode in sent]
        if len(self.pictures) > before:
            self.burst, self.plain = tuple(own), not foreign
        return (*from_quotes, *own)

    def _number(self, barcode: int) -> Numbered:
        known = next((one for one in self.pictures if one.barcode == barcode), None)
        if known is None:
            known = Numbered(len(self.pictures) + 1, barcode)
            self.pictures.append(known)
        return known

    def reset(self) -> None:
        self.history.clear()
        self.focus = ()
        self.burst = ()
        self.plain = False

    def forget(self) -> None:
        self.reset()
        self.pictures.clear()
        self.plain = True

    @property
    def counted(self) -> tuple[Numbered, ...]:
        """Where 第N张 counts; nothing where that would be a matter of taste."""
        if not self.plain or not self.burst:
            return ()
        if len(self.burst) == 1:
            return tuple(self.pictures)
        return self.burst if set(self.focus) <= set(self.burst) else ()

    @property
    def latest(self) -> tuple[Numbered, ...]:
        """All pictures, where counting back from the newest is clear."""
        at_hand = self.plain and bool(self.burst) and set(self.focus) <= set(self.burst)
        return tuple(self.pictures) if at_hand else ()
