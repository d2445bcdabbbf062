"""How a picture looks without reading it: its colours by their Chinese names, and large drawn frames.

`name_colour` is plain arithmetic; the rest needs numpy and OpenCV and runs in the worker process only.
"""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, cast

from bot.engine.reader.page import Box, Colour

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

#: upper bound of the hue in degrees, and its name
_HUES = ((14, "红色"), (42, "橙色"), (68, "黄色"), (165, "绿色"), (192, "青色"), (258, "蓝色"), (292, "紫色"))


def name_colour(red: int, green: int, blue: int) -> str:
    """The everyday Chinese name of an sRGB colour (0 to 255 each)."""
    hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    if value < 0.18 or (value < 0.28 and saturation < 0.35):
        return "黑色"
    if saturation < 0.12 or (value > 0.93 and saturation < 0.08):
        return "白色" if value > 0.9 else "灰色"
    name = _hue_name(hue * 360)
    if name in ("红色", "粉色") and saturation < 0.5 and value > 0.75:
        return "粉色"
    if name == "橙色" and value < 0.65:
        return "棕色"
    if name == "橙色" and saturation < 0.3:
        return "米色"
    return f"深{name}" if value < 0.45 else name


def _hue_name(degrees: float) -> str:
    for bound, name in _HUES:
        if degrees < bound:
            return name
    return "粉色" if degrees < 345 else "红色"


def colours(pixels: Pixels) -> tuple[Colour, ...]:
    """Up to five named colours, largest share first. pixels: (height, width, 4) RGBA, uint8, a thumbnail."""
    opaque = pixels.reshape(-1, 4)
    opaque = opaque[opaque[:, 3] > 127][:, :3]
    groups: dict[str, list[tuple[int, int, int]]] = {}
    for red, green, blue in opaque.tolist():
        groups.setdefault(name_colour(red, green, blue), []).append((red, green, blue))
    found = [Colour(name, _mean(group), len(group) / len(opaque)) for name, group in groups.items()]
    return tuple(sorted((c for c in found if c.share >= 0.01), key=lambda c: -c.share)[:5])


def _mean(group: list[tuple[int, int, int]]) -> tuple[int, int, int]:
    red, green, blue = (round(sum(channel) / len(group)) for channel in zip(*group, strict=True))
    return red, green, blue


def background(pixels: Pixels) -> str:
    """The colour along the edge when most of the edge has it, else empty. pixels as in `colours`."""
    import numpy as np

    edge = np.concatenate((pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))
    found = colours(edge[None])
    if not found or (edge[:, 3] > 127).mean() < 0.5:
        return ""
    return found[0].name if found[0].share > 0.6 else ""


def frames(grey: NDArray[np.uint8]) -> tuple[Box, ...]:
    """Large rectangles drawn in the picture, row by row. grey: (height, width), uint8."""
    import cv2

    height, width = grey.shape
    found: list[Box] = []
    for contour in _contours(grey):
        x, y, w, h = cv2.boundingRect(contour)
        box = Box(x, y, x + w, y + h)
        big = 0.04 < box.area / (width * height) < 0.6 and w > 0.15 * width and h > 0.05 * height
        if big and cv2.contourArea(contour) > 0.85 * box.area:
            found.append(box)
    return in_rows(_outer(found))


def _contours(grey: NDArray[np.uint8]) -> Sequence[NDArray[np.int32]]:
    """Closed outlines, each (points, 1, 2) x and y."""
    import cv2
    import numpy as np

    edges = cv2.dilate(cv2.Canny(grey, 40, 120), np.ones((3, 3), np.uint8))
    contours, _ = cv2.findContours(edges, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    return cast("Sequence[NDArray[np.int32]]", contours)


def _outer(boxes: list[Box]) -> list[Box]:
    """Without the boxes that lie (almost) inside a kept one."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda b: -b.area):
        if not any(box.overlap(other) > 0.8 * box.area for other in kept):
            kept.append(box)
    return kept


def in_rows(boxes: list[Box]) -> tuple[Box, ...]:
    """Boxes ordered as read: rows from the top, each row from the left."""
    rows: list[list[Box]] = []
    for box in sorted(boxes, key=lambda b: b.top):
        row = next((r for r in rows if r[0].overlap_y(box) > 0.5 * min(r[0].height, box.height)), None)
        if row is None:
            rows.append([box])
        else:
            row.append(box)
    return tuple(box for row in rows for box in sorted(row, key=lambda b: b.left))
