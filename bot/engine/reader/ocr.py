"""Reads one picture in a worker process: decode, tile, find text, recognise it, put it in order.

Text is found on scaled tiles but recognised on crops of the original, so that large pictures cost no more
than their text. The models (PP-OCRv6 small, https://github.com/RapidAI/RapidOCR) lie in rapidocr's wheel;
nothing is fetched. Everything heavy is imported inside functions: the service itself must stay small.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast

from bot.engine.reader import look, tiles
from bot.engine.reader.decoder import Decoder, simplify
from bot.engine.reader.layout import reading_order
from bot.engine.reader.page import Box, Line, Page

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image as Pillow

    Pixels = NDArray[np.uint8]
    Quads = NDArray[np.float32]

#: pixels after decoding; the media room has its own, tighter limits
MAX_PIXELS = 140_000_000
#: sides of a pixel thumbnail that colours are counted on
THUMBNAIL = 96


#: the narrow space between a date and a time is often not seen
_DAY_TIME = re.compile(r"(\d{4}[-/.]\d{1,2}[-/.]\d{2})(\d{2}:\d{2})")


class Unreadable(ValueError):
    """The bytes are not a picture that can be decoded."""


class _Found(Protocol):
    boxes: Quads | None


class _Read(Protocol):
    txts: Sequence[str]
    scores: Sequence[float]


class _Ocr(Protocol):
    """The part of rapidocr.RapidOCR (3.10) that is used."""

    text_rec: Any

    def __call__(self, img_content: Pixels, *, use_det: bool, use_cls: bool, use_rec: bool) -> _Found: ...
    def crop_text_regions(self, img: Pixels, det_boxes: Quads) -> list[Pixels]: ...
    def recognize_txt(self, img: list[Pixels]) -> _Read: ...


_threads = 1


def start(threads: int) -> None:
    """Initialise a worker process. threads: for onnxruntime within one picture."""
    global _threads  # noqa: PLW0603  (a worker's only state, set once by the pool's initialiser)
    _threads = threads


@cache
def _ocr() -> tuple[_Ocr, Decoder]:
    import numpy as np
    from rapidocr import RapidOCR  # pyright: ignore[reportUnknownVariableType]

    params = {
        "Global.log_level": "error",
        "Global.max_side_len": 4096,
        "EngineConfig.onnxruntime.intra_op_num_threads": _threads,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    }
    ocr = cast("_Ocr", RapidOCR(params=params))
    ocr.recognize_txt([np.full((48, 96, 3), 255, np.uint8)])  # loads the recogniser, whose decoder is replaced
    decoder = Decoder(ocr.text_rec.postprocess_op.character)
    ocr.text_rec.postprocess_op = decoder
    return ocr, decoder


def read(data: bytes) -> Page:
    """The text and looks of one encoded picture. Raises Unreadable."""
    import numpy as np

    picture = _decode(data)
    rgba = np.asarray(picture.convert("RGBA").resize(_thumbnail(picture.size)))
    pixels = _flatten(picture)
    height, width = pixels.shape[:2]
    found = _frames(pixels)
    lines = reading_order(_lines(pixels), found)
    return Page(width, height, tuple(lines), found, look.colours(rgba), look.background(rgba))


def _decode(data: bytes) -> Pillow.Image:
    from PIL import Image as Pillow
    from PIL import ImageOps

    Pillow.MAX_IMAGE_PIXELS = None  # judged below, before any pixel is decoded
    try:
        picture = Pillow.open(io.BytesIO(data))
        if picture.width * picture.height > MAX_PIXELS:
            raise Unreadable(f"{picture.width}×{picture.height} pixels are too many")
        picture.load()
        return ImageOps.exif_transpose(picture)
    except Unreadable:
        raise
    except Exception as error:  # Pillow's plugins raise anything on broken files
        raise Unreadable(f"not a picture: {error}") from error


def _thumbnail(size: tuple[int, int]) -> tuple[int, int]:
    factor = min(1.0, THUMBNAIL / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _flatten(picture: Pillow.Image) -> Pixels:
    """(height, width, 3) BGR on white, contiguous."""
    import numpy as np
    from PIL import Image as Pillow

    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        picture = Pillow.alpha_composite(Pillow.new("RGBA", layer.size, "white"), layer)
    return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[:, :, ::-1])


def _frames(pixels: Pixels) -> tuple[Box, ...]:
    import cv2

    height, width = pixels.shape[:2]
    factor = min(1.0, 1000 / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    grey = cv2.cvtColor(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    boxes = look.frames(cast("NDArray[np.uint8]", grey))
    return tuple(Box(*(round(side / factor) for side in (b.left, b.top, b.right, b.bottom))) for b in boxes)


def _lines(pixels: Pixels) -> list[Line]:
    import cv2

    height, width = pixels.shape[:2]
    factor = tiles.scale_for(width, height)
    size = (max(32, round(width * factor)), max(32, round(height * factor)))
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    scaled = pixels if factor == 1 else cast("Pixels", cv2.resize(pixels, size, interpolation=method))
    source = scaled if factor > 1 else pixels
    ratio = (size[0] / width, size[1] / height)
    read = [(tile, _tile(scaled, tile, source, ratio)) for tile in tiles.cut(*size)]
    return _unscale(_without_shapes(tiles.merge(read)), ratio, (width, height))


def _without_shapes(lines: list[Line]) -> list[Line]:
    """Bars and circles taken for one huge letter: far taller than the page's text."""
    heights = sorted(line.box.height for line in lines)
    usual = heights[len(heights) // 2] if heights else 0
    return [line for line in lines if len(line.text) > 1 or line.box.height < 2.5 * usual or len(lines) < 3]


def _tile(scaled: Pixels, tile: Box, source: Pixels, ratio: tuple[float, float]) -> list[Line]:
    """Lines of one tile, boxes in the scaled picture. source: what the letters are cut from."""
    import numpy as np

    ocr, decoder = _ocr()
    view = np.ascontiguousarray(scaled[tile.top : tile.bottom, tile.left : tile.right])
    found = ocr(view, use_det=True, use_cls=False, use_rec=False).boxes
    if found is None or not len(found):
        return []
    quads = found.astype(np.float32) + np.array([tile.left, tile.top], np.float32)
    same = source.shape == scaled.shape
    crops = ocr.crop_text_regions(source, quads if same else quads / np.array(ratio, np.float32))
    decoder.rare.clear()
    read = ocr.recognize_txt(crops)
    texts = simplify([_DAY_TIME.sub(r"\1 \2", text.strip()) for text in read.txts], decoder.rare)
    lines = [Line(*item) for item in zip(texts, map(_box, quads), read.scores, strict=True)]
    return [line for line in lines if not _is_noise(line)]


def _box(quad: Quads) -> Box:
    """The upright box around four corners, (4, 2) x and y."""
    left, top = quad.min(axis=0).tolist()
    right, bottom = quad.max(axis=0).tolist()
    return Box(int(left), int(top), int(right) + 1, int(bottom) + 1)


def _unscale(lines: list[Line], ratio: tuple[float, float], size: tuple[int, int]) -> list[Line]:
    def back(box: Box) -> Box:
        x, y = ratio
        left, top = round(box.left / x), round(box.top / y)
        return Box(left, top, min(size[0], round(box.right / x)), min(size[1], round(box.bottom / y)))

    return [Line(line.text, back(line.box), line.confidence) for line in lines]


def _is_noise(line: Line) -> bool:
    """Icons and scenery taken for letters: unlikely and (almost) without words."""
    if not line.text or line.confidence < 0.45:
        return True
    if not any(char.isalnum() for char in line.text):
        return line.confidence < 0.85
    han = any("\u4e00" <= char <= "\u9fff" for char in line.text)
    short = len(line.text) <= (2 if han else 5)
    return short and line.confidence < 0.7
