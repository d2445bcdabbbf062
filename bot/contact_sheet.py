"""Many pictures as one: small, side by side, each with its number. Blocks, for threads."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Final

#: Pixels of a picture's place, and around it; more pictures than these are left out.
_SIDE: Final = 240
_GAP: Final = 8
MOST: Final = 24
_COLUMNS: Final = 4


def draw(pictures: Sequence[tuple[int, bytes]]) -> bytes:
    """A JPEG of encoded pictures with their numbers; what cannot be decoded leaves its place white."""
    from PIL import Image as Pillow

    shown = pictures[:MOST]
    columns = min(_COLUMNS, max(1, len(shown)))
    rows = max(1, math.ceil(len(shown) / columns))
    step = _SIDE + _GAP
    sheet = Pillow.new("RGB", (columns * step + _GAP, rows * step + _GAP), "white")
    for place, (number, data) in enumerate(shown):
        row, column = divmod(place, columns)
        _put(sheet, number, data, (_GAP + column * step, _GAP + row * step))
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=85)
    return file.getvalue()


def _put(sheet: object, number: int, data: bytes, at: tuple[int, int]) -> None:
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    assert isinstance(sheet, Pillow.Image)
    try:
        with Pillow.open(io.BytesIO(data)) as picture:
            picture.draft("RGB", (_SIDE, _SIDE))
            small = picture.convert("RGB")
            small.thumbnail((_SIDE, _SIDE))
        sheet.paste(small, (at[0] + (_SIDE - small.width) // 2, at[1] + (_SIDE - small.height) // 2))
    except (OSError, ValueError, Pillow.DecompressionBombError):
        pass
    pen = ImageDraw.Draw(sheet)
    pen.rectangle((*at, at[0] + _SIDE - 1, at[1] + _SIDE - 1), outline="#c5ccd6")
    font = ImageFont.load_default(22)
    _, _, right, bottom = pen.textbbox((at[0] + 10, at[1] + 6), str(number), font=font)
    pen.rectangle((at[0], at[1], right + 8, bottom + 6), fill="#2f6fde")
    pen.text((at[0] + 10, at[1] + 6), str(number), font=font, fill="white")
