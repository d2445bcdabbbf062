"""Test pictures that say who they are: 6×6 cells, 32 bits of a number and 4 to check it; survives JPEG and scaling."""

from __future__ import annotations

import io
from functools import cache

from PIL import Image

_CELLS, _CELL, _MARGIN = 6, 8, 8
_SIDE = _CELLS * _CELL + 2 * _MARGIN
_DARK, _LIGHT = (25, 30, 70), (240, 236, 220)


@cache
def draw(number: int) -> bytes:
    """A PNG of 64×64 pixels that shows a number below 2**32."""
    small = Image.new("RGB", (_CELLS, _CELLS))
    small.putdata([_LIGHT if bit == "1" else _DARK for bit in f"{number << 4 | _check(number):036b}"])
    picture = Image.new("RGB", (_SIDE, _SIDE), _LIGHT)
    picture.paste(small.resize((_CELLS * _CELL,) * 2, Image.Resampling.NEAREST), (_MARGIN, _MARGIN))
    body = io.BytesIO()
    picture.save(body, "PNG", compress_level=1)
    return body.getvalue()


@cache
def read(data: bytes) -> int | None:
    """The number a picture shows; None when it is none of ours."""
    with Image.open(io.BytesIO(data)) as picture:
        grey = picture.convert("L").resize((_SIDE, _SIDE))
    middles = range(_MARGIN + _CELL // 2, _SIDE - _MARGIN, _CELL)
    bits = "".join("1" if grey.getpixel((x, y)) > 128 else "0" for y in middles for x in middles)
    number, check = divmod(int(bits, 2), 16)
    return number if check == _check(number) else None


def _check(number: int) -> int:
    """Four bits that are never those of an empty picture."""
    return (sum(number >> shift & 15 for shift in range(0, 32, 4)) + 5) % 16
