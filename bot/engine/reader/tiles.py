"""Long and large pictures: where to cut them, and how to join what was read on both sides of a cut.

Text that a cut goes through is read whole in the neighbouring tile, because tiles overlap by more than a line.
"""

from __future__ import annotations

from collections.abc import Sequence

from bot.engine.reader.page import Box, Line

#: pixels of a tile's side; the detector sees a tile at its own scale
TILE = 1920
#: pixels shared by neighbours: more than the tallest line of running text
OVERLAP = 192
#: a bound on the work that one picture can ask for
MAX_TILES = 12
#: a picture longer than this many times its breadth is a strip: cut, not scaled
STRIP = 2.0


def scale_for(width: int, height: int) -> float:
    """Factor by which to scale a picture before it is cut.

    Small ones grow so that tiny text can be seen at all. Strips keep their text's size up to a breadth of one
    tile. Others are fitted into one tile and a half: their letters are cut from the original anyway.
    """
    short, long = sorted((width, height))
    if long < 640:
        return min(4.0, 640 / long)
    if long <= TILE * 1.25:
        return 1.0
    if long / short < STRIP:
        return min(1.0, 2560 / long)
    breadth = min(1.0, TILE / short)
    room = (TILE - OVERLAP) * MAX_TILES
    return min(breadth, room / long)


def cut(width: int, height: int) -> tuple[Box, ...]:
    """Tiles that cover a picture of this size, row by row, none larger than 1.25 tiles a side."""
    return tuple(Box(left, top, right, bottom) for top, bottom in _spans(height) for left, right in _spans(width))


def _spans(length: int) -> list[tuple[int, int]]:
    if length <= TILE * 1.25:
        return [(0, length)]
    count = -(-(length - OVERLAP) // (TILE - OVERLAP))
    step = (length - OVERLAP) / count
    return [(round(i * step), min(length, round((i + 1) * step) + OVERLAP)) for i in range(count)]


def merge(tiles: Sequence[tuple[Box, Sequence[Line]]]) -> list[Line]:
    """Lines of all tiles, in the whole picture's coordinates, each once.

    Lines come in whole-picture coordinates already. Of two that cover each other the fuller is kept: the one
    that no inner edge of its tile cuts, then the larger, then the more certain.
    """
    if len(tiles) == 1:
        return list(tiles[0][1])
    whole = Box.around(tile for tile, _ in tiles)
    found = [(_is_cut(line.box, tile, whole), line) for tile, lines in tiles for line in lines]
    found.sort(key=lambda item: (item[0], -item[1].box.area, -item[1].confidence))
    kept: list[Line] = []
    for _, line in found:
        if not any(_same(line.box, other.box) for other in kept):
            kept.append(line)
    return kept


def _same(one: Box, other: Box) -> bool:
    return one.overlap(other) > 0.5 * min(one.area, other.area)


def _is_cut(box: Box, tile: Box, whole: Box) -> bool:
    """The box touches an edge of its tile that is not an edge of the picture."""
    edges = (
        box.left <= tile.left + 2 and tile.left > whole.left,
        box.top <= tile.top + 2 and tile.top > whole.top,
        box.right >= tile.right - 2 and tile.right < whole.right,
        box.bottom >= tile.bottom - 2 and tile.bottom < whole.bottom,
    )
    return any(edges)
