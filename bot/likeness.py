"""Which pictures look alike: the same photo sent twice, scaled or saved anew. No model; blocks, for threads.

A fingerprint compares each of 16×16 cells with its right and its lower neighbour (a difference hash). Copies of one
picture differ in a few of the 512 bits, other pictures in about half of those that are set.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_CELLS: Final = 16
#: Grey levels by which a neighbour must be darker: less is the noise of saving anew.
_STEP: Final = 4
#: Bits in which copies may differ, of 512, and, where little is set at all, of those that are.
_BITS: Final = 24
_SHARE: Final = 0.25
_RATIO: Final = 0.08
_COLOUR: Final = 24


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """bits: 512 of them. ratio: width by height. colour: the mean, red, green and blue from 0 to 255."""

    bits: int
    ratio: float
    colour: tuple[int, int, int]


def fingerprint(data: bytes) -> Fingerprint | None:
    """Of an encoded picture; None for what cannot be decoded."""
    from PIL import Image as Pillow

    try:
        with Pillow.open(io.BytesIO(data)) as picture:
            ratio = picture.width / picture.height
            # A JPEG is decoded at an eighth where that is enough.
            picture.draft("RGB", (8 * _CELLS, 8 * _CELLS))
            small = picture.convert("RGB").resize((_CELLS + 1, _CELLS + 1), Pillow.Resampling.BOX)
    except (OSError, ValueError, Pillow.DecompressionBombError):
        return None
    mean = small.resize((1, 1), Pillow.Resampling.BOX).tobytes()
    return Fingerprint(_bits(small.convert("L").tobytes()), ratio, (mean[0], mean[1], mean[2]))


def _bits(grey: bytes) -> int:
    width, bits = _CELLS + 1, 0
    for row in range(_CELLS):
        for column in range(_CELLS):
            here = row * width + column
            for neighbour in (here + 1, here + width):
                bits = bits << 1 | (grey[here] > grey[neighbour] + _STEP)
    return bits


def alike(one: Fingerprint, other: Fingerprint) -> bool:
    """Copies of one picture, as far as can be seen."""
    if abs(one.ratio - other.ratio) > _RATIO * max(one.ratio, other.ratio):
        return False
    if max(abs(a - b) for a, b in zip(one.colour, other.colour, strict=True)) > _COLOUR:
        return False
    different = (one.bits ^ other.bits).bit_count()
    return different <= min(_BITS, _SHARE * max(one.bits.bit_count(), other.bits.bit_count()))


def groups(prints: Sequence[Fingerprint | None]) -> list[list[int]]:
    """Places of pictures that look alike, each group in order and by its first; what has no print is alone."""
    found: list[list[int]] = []
    for place, one in enumerate(prints):
        for group in found:
            first = prints[group[0]]
            if one is not None and first is not None and alike(first, one):
                group.append(place)
                break
        else:
            found.append([place])
    return found
