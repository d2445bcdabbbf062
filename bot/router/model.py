"""The trained weights and what they say: pure Python, loaded on first use.

The file: a line of JSON (scales), then the weights as signed bytes, one table of SIZE per column of COLUMNS.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.router.features import SIZE, Features

#: What a message addressed to the bot can be, then whether it is addressed at all.
CONTENT = ("quick", "report", "command", "human")
COLUMNS = (*CONTENT, "chatter")
#: The length of each view of features: characters, skeleton, circumstances.
VIEWS = (1.3, 1.0, 0.8)
WEIGHTS = Path(__file__).with_name("weights.bin")


@dataclass(frozen=True, slots=True)
class Model:
    """tables: signed bytes per column; scales: what one step of a byte is worth; softness divides the scores."""

    tables: tuple[memoryview, ...]
    scales: tuple[float, ...]
    softness: float

    @staticmethod
    def load(path: Path = WEIGHTS) -> Model:
        """Raises OSError or ValueError when the file is missing or cut."""
        return Model.parse(path.read_bytes())

    @staticmethod
    def parse(contents: bytes) -> Model:
        """Raises ValueError when the contents are cut."""
        head, _, body = contents.partition(b"\n")
        about = json.loads(head)
        if len(body) != SIZE * len(COLUMNS):
            raise ValueError(f"{len(body)} bytes of router weights, {SIZE * len(COLUMNS)} expected")
        signed = memoryview(body).cast("b")
        tables = tuple(signed[at * SIZE : (at + 1) * SIZE] for at in range(len(COLUMNS)))
        return Model(tables, tuple(about["scales"]), about["softness"])

    def content(self, found: Features) -> tuple[float, ...]:
        """Probabilities in the order of CONTENT."""
        scores = [self._score(number, found) / self.softness for number in range(len(CONTENT))]
        highest = max(scores)
        raised = [math.exp(score - highest) for score in scores]
        total = sum(raised)
        return tuple(each / total for each in raised)

    def chatter(self, found: Features) -> float:
        """The probability that the bot is not spoken to, from gate features."""
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, self._score(len(CONTENT), found) / self.softness))))

    def _score(self, column: int, found: Features) -> float:
        table = self.tables[column]
        views = (found.characters, found.skeleton, found.circumstances)
        return self.scales[column] * sum(
            weight * sum([table[index] for index in view]) / math.sqrt(len(view))
            for weight, view in zip(VIEWS, views, strict=True)
            if view
        )


def encode(tables: Sequence[bytes], scales: Sequence[float], softness: float) -> bytes:
    """The contents of a weights file."""
    head = json.dumps({"scales": [float(f"{scale:.6g}") for scale in scales], "softness": softness})
    return head.encode() + b"\n" + b"".join(tables)
