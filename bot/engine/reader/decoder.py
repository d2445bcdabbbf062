"""From the recogniser's probabilities to text, more carefully than the library's own decoder.

Two things are won by looking at the probabilities: spaces that the model swallows between Chinese words
(`检验者：何敏 审核者：陶正`) and single traditional characters on a simplified page (`鮮` 0.68, `鲜` 0.32).
Runs in the worker process only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Probabilities = NDArray[np.float32]

#: in units of the usual distance from one Chinese character to the next (3 to 5 steps of 8 of 48 pixels):
#: beyond FAR there is a space, beyond NEAR there is one if the recogniser thought of it too
FAR, NEAR = 1.7, 1.3


@dataclass(slots=True)
class Decoder:
    """Stands in for rapidocr's CTCLabelDecode. `character`: blank first, then the alphabet.

    `rare` collects, for the page being read, how each unlikely character could be read otherwise.
    """

    character: list[str]
    rare: dict[str, str] = field(default_factory=dict[str, str])

    def __call__(self, preds: Probabilities, *_: Any, **__: Any) -> tuple[list[tuple[str, float]], list[Any]]:
        """preds: (batch, steps, alphabet), float32 probabilities. Returns (text, confidence) pairs."""
        return [self._line(row) for row in preds], []

    def _line(self, probabilities: Probabilities) -> tuple[str, float]:
        import numpy as np

        best = probabilities.argmax(axis=1)
        fresh = np.concatenate(([True], best[1:] != best[:-1])) & (best != 0)
        steps = np.flatnonzero(fresh)
        if not len(steps):
            return "", 0.0
        chosen: list[int] = best[steps].tolist()
        text = [self.character[index] for index in chosen]
        for char, step in zip(text, steps, strict=True):
            self._note_rare(char, probabilities[step])
        confidence = float(probabilities.max(axis=1)[steps].mean())
        blank = probabilities[:, len(self.character) - 1]  # the alphabet's last entry is the space
        likely = [float(blank[a:b].max()) for a, b in pairwise(steps)]
        return _space(text, steps.tolist(), likely), round(confidence, 4)

    def _note_rare(self, char: str, row: Probabilities) -> None:
        """Remember the simplified second choice of a doubtful character that GB 2312 lacks."""
        if not is_han(char) or in_gb2312(char) or row.max() > 0.9:
            return
        import numpy as np

        second = int(np.argpartition(row, -2)[-2])
        other = self.character[second]
        if row[second] > 0.1 and is_han(other) and in_gb2312(other):
            self.rare[char] = other


def is_han(char: str) -> bool:
    """One Chinese character of the basic block."""
    return len(char) == 1 and "\u4e00" <= char <= "\u9fff"


def in_gb2312(char: str) -> bool:
    """The characters of everyday simplified text; traditional forms are not among them."""
    try:
        char.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True


def simplify(texts: list[str], rare: dict[str, str]) -> list[str]:
    """Apply the second choices where the page is otherwise written in simplified characters."""
    han = [char for text in texts for char in text if is_han(char)]
    if not rare or sum(map(in_gb2312, han)) < 0.8 * len(han):
        return texts
    table = str.maketrans(rare)
    return [text.translate(table) for text in texts]


def _space(text: list[str], steps: list[int], likely: list[float]) -> str:
    """Put a space between characters that stand clearly apart, one of them Chinese.

    likely: per gap, the largest probability of a space that the recogniser saw there.
    """
    gaps = [b - a for a, b in pairwise(steps)]
    pairs = list(pairwise(text))
    pitches = sorted(gap for gap, (x, y) in zip(gaps, pairs, strict=True) if is_han(x) and is_han(y))
    if len(pitches) < 3:
        return "".join(text)
    usual = pitches[len(pitches) // 2]
    out = text[:1]
    for gap, (x, y), chance in zip(gaps, pairs, likely, strict=True):
        apart = gap > FAR * usual + 1 or (chance > 0.1 and gap > NEAR * usual)
        out.append(f" {y}" if apart and is_han(y) and (is_han(x) or x in ")）") else y)
    return "".join(out)
