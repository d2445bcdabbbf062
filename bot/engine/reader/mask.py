"""Private numbers in a picture, covered before it leaves the house.

`mask_boxes` is cheap and pure; call it anywhere. `mask_picture` decodes and encodes: it takes tens of megabytes and
fractions of a second, so run it in a reader's worker process (`OcrPool`'s executor, which holds Pillow already),
never on the event loop. Give it pictures from the media folder only: those were checked and re-encoded, and their
pixels are the ones that the page's boxes count.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import accumulate

from bot.engine.reader.page import Box, Line, Page
from bot.redact import spans

#: Recogniser boxes are tight and characters not equally wide: covered on each side of a span, in heights of the line.
_MARGIN = 0.6
_COVER = (32, 32, 32)
_QUALITY = 92


def mask_boxes(page: Page) -> list[Box]:
    """What to cover on a page: one box for each line that a private number or address touches.

    Lines side by side are read as one text, since a number with gaps may be found as several. A span's part of a
    line is estimated by the share of its characters, full-width ones counted twice, along the longer side of the
    line's box; the whole span is covered, with a margin, not only the digits that `redact` would mask.
    """
    return [box for row in _rows(page.lines) for box in _row_boxes(row)]


def mask_picture(data: bytes, boxes: Sequence[Box]) -> bytes:
    """The same picture (JPEG or PNG) with these boxes filled; without boxes the bytes themselves. Raises OSError."""
    if not boxes:
        return data
    from PIL import Image, ImageDraw, ImageOps

    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as opened:
        kind = opened.format
        picture = ImageOps.exif_transpose(opened)
        picture = picture if picture.mode in ("RGB", "RGBA") else picture.convert("RGBA" if kind == "PNG" else "RGB")
    draw = ImageDraw.Draw(picture)
    for box in boxes:
        if box.area:
            draw.rectangle((box.left, box.top, box.right - 1, box.bottom - 1), fill=_COVER)
    out = io.BytesIO()
    picture.save(out, kind, **({"quality": _QUALITY} if kind == "JPEG" else {}))
    return out.getvalue()


def _rows(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Neighbours in reading order that stand side by side, left to right."""
    row: list[Line] = []
    for line in lines:
        if row and not _beside(row[-1].box, line.box):
            yield row
            row = []
        row.append(line)
    if row:
        yield row


def _beside(left: Box, right: Box) -> bool:
    low = min(left.height, right.height)
    gap = right.left - left.right
    return left.overlap_y(right) > low / 2 and -low <= gap <= 2 * low


def _row_boxes(row: Sequence[Line]) -> Iterator[Box]:
    starts = list(accumulate((len(line.text) + 1 for line in row), initial=0))
    found = spans(" ".join(line.text for line in row))
    for line, start in zip(row, starts, strict=False):
        for one in found:
            first, last = max(one.start - start, 0), min(one.end - start, len(line.text))
            if first < last:
                yield _part(line, first, last)


def _part(line: Line, first: int, last: int) -> Box:
    """About where characters first to last of a line stand."""
    widths = list(accumulate((_width(one) for one in line.text), initial=0))
    box, total = line.box, widths[-1] or 1
    upright = box.height > 1.5 * box.width and len(line.text) > 1
    length, margin = (box.height, box.width * _MARGIN) if upright else (box.width, box.height * _MARGIN)
    begin = max(0, int(length * widths[first] / total - margin))
    end = min(length, int(length * widths[last] / total + margin) + 1)
    if upright:
        return Box(box.left, box.top + begin, box.right, box.top + end)
    return Box(box.left + begin, box.top, box.left + end, box.bottom)


def _width(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
