"""What was read from one picture: lines of text with boxes and confidences, frames, size and colours.

Pure values without numpy, so that they cross process borders cheaply and are built by hand in tests.
All lengths are pixels of the picture after EXIF rotation, origin top left.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

#: below this mean probability a line is shown with a request to check it
DOUBTFUL = 0.6


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def area(self) -> int:
        return max(self.width, 0) * max(self.height, 0)

    @property
    def centre(self) -> tuple[float, float]:
        """x, y."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def shift(self, x: int, y: int) -> Box:
        """The same box moved right by x and down by y."""
        return Box(self.left + x, self.top + y, self.right + x, self.bottom + y)

    def overlap(self, other: Box) -> int:
        """Area shared with another box."""
        return max(self.overlap_x(other), 0) * max(self.overlap_y(other), 0)

    def overlap_x(self, other: Box) -> int:
        """Width shared; negative is the gap between them."""
        return min(self.right, other.right) - max(self.left, other.left)

    def overlap_y(self, other: Box) -> int:
        """Height shared; negative is the gap between them."""
        return min(self.bottom, other.bottom) - max(self.top, other.top)

    def contains(self, x: float, y: float) -> bool:
        return self.left <= x < self.right and self.top <= y < self.bottom

    @staticmethod
    def around(boxes: Iterable[Box]) -> Box:
        """The smallest box that holds all of them. Raises ValueError on none."""
        lefts, tops, rights, bottoms = zip(*((b.left, b.top, b.right, b.bottom) for b in boxes), strict=True)
        return Box(min(lefts), min(tops), max(rights), max(bottoms))


@dataclass(frozen=True, slots=True)
class Line:
    """One run of text. confidence: mean probability of its characters, 0 to 1."""

    text: str
    box: Box
    confidence: float = 1.0

    @property
    def doubtful(self) -> bool:
        return self.confidence < DOUBTFUL


@dataclass(frozen=True, slots=True)
class Colour:
    """A named share of the picture. rgb: mean of its pixels. share: 0 to 1 of the opaque pixels."""

    name: str
    rgb: tuple[int, int, int]
    share: float

    @property
    def hex(self) -> str:
        return "#{:02X}{:02X}{:02X}".format(*self.rgb)


@dataclass(frozen=True, slots=True)
class Page:
    """One picture as read.

    lines are in reading order. frames: large drawn rectangles (panels of a comic, cards), row by row.
    colours: largest share first. background: the colour along the picture's edge, or empty.
    """

    width: int
    height: int
    lines: tuple[Line, ...] = ()
    frames: tuple[Box, ...] = ()
    colours: tuple[Colour, ...] = ()
    background: str = ""
    sha256: str = field(default="", compare=False)

    @property
    def text(self) -> str:
        """All lines in reading order, one a line."""
        return "\n".join(line.text for line in self.lines)
