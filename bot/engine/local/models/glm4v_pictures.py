"""Pictures for the GLM-4.1V/4.6V family: scaled, upright, on white, cut into patches.

Equal to transformers' `Glm4vImageProcessorPil` (and `Glm46VImageProcessorPil`, which is the same), with two exceptions:
pictures stand upright by their EXIF orientation, and a JPEG of at least twice the size wanted is decoded smaller.
"""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import torch

from bot.engine.local.model import Picture
from bot.engine.local.models.glm4v_config import PictureConfig
from bot.errors import RequestRejected

_EXIF_ORIENTATION = 0x0112
_ON_ITS_SIDE = {5, 6, 7, 8}
_MAX_ASPECT = 200


class PictureReader:
    """Makes Pictures of encoded bytes. Any thread."""

    def __init__(self, config: PictureConfig) -> None:
        self._config = config
        values = (np.arange(256, dtype=np.float64) * config.rescale).astype(np.float32)
        mean = np.array(config.mean, dtype=np.float32)[:, None]
        #: [channels, 256]: what each byte becomes
        self._values = (values - mean) / np.array(config.deviation, dtype=np.float32)[:, None]

    def read(self, sha256: str, data: bytes, max_side: int = 0) -> Picture:
        """A picture; max_side: the longest side it may keep, 0 for any. Raises RequestRejected."""
        try:
            pixels = self._decode(data, max_side)
        except Exception as error:  # Pillow raises what its decoders raise
            raise RequestRejected(f"picture {sha256[:12]} cannot be read: {error}") from error
        patches = self._cut(pixels)
        grid = (pixels.shape[0] // self._config.patch, pixels.shape[1] // self._config.patch)
        tokens = grid[0] * grid[1] // self._config.merge**2
        return Picture(f"{sha256}:{grid[0]}x{grid[1]}", torch.as_tensor(patches), grid, tokens)

    def tokens(self, width: int, height: int) -> int:
        """Tokens of a picture of so many pixels; one of unknown or impossible size counts as the largest."""
        side = self._config.patch * self._config.merge
        try:
            rows, columns = self.target(width, height)
        except (ValueError, ZeroDivisionError):
            return max(1, self._config.max_pixels // self._config.frames // side**2)
        return rows * columns // side**2

    def target(self, width: int, height: int) -> tuple[int, int]:
        """Height and width to scale to, multiples of a token's side. Raises ValueError for a strip.

        transformers' `smart_resize`, with its rounding: half to even, and the pixels of all frames counted.
        """
        config = self._config
        side = config.patch * config.merge
        if min(width, height) < side:
            scale = max(side / height, side / width)
            height, width = int(height * scale), int(width * scale)
        if max(width, height) / min(width, height) > _MAX_ASPECT:
            raise ValueError(f"{width}×{height} is more than {_MAX_ASPECT} times as long as wide")
        rows, columns = round(height / side) * side, round(width / side) * side
        pixels = config.frames * height * width
        if config.frames * rows * columns > config.max_pixels:
            shrink = math.sqrt(pixels / config.max_pixels)
            rows = max(side, math.floor(height / shrink / side) * side)
            columns = max(side, math.floor(width / shrink / side) * side)
        elif config.frames * rows * columns < config.min_pixels:
            grow = math.sqrt(config.min_pixels / pixels)
            rows, columns = math.ceil(height * grow / side) * side, math.ceil(width * grow / side) * side
        return rows, columns

    def _decode(self, data: bytes, max_side: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Bytes to [height, width, channels], scaled."""
        from PIL import Image as Pictures
        from PIL import ImageOps

        with Pictures.open(io.BytesIO(data)) as picture:
            turned = picture.getexif().get(_EXIF_ORIENTATION, 1) in _ON_ITS_SIDE
            width, height = picture.size[::-1] if turned else picture.size
            height, width = self.target(*_limit(width, height, max_side))
            # JPEG can be decoded at 1/2, 1/4 or 1/8: a fraction of the memory. Depends on the target only, so that
            # equal keys keep meaning equal pixels.
            picture.draft("RGB", (height, width) if turned else (width, height))
            upright: Any = _on_white(ImageOps.exif_transpose(picture))
            return np.asarray(upright.resize((width, height), Pictures.Resampling(self._config.resample)))

    def _cut(self, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """[height, width, channels] to [patches, channels · frames · patch · patch].

        Patches that become one token follow one another; a still picture is all frames.
        """
        config = self._config
        rows, columns, channels = pixels.shape
        blocks = (rows // config.patch // config.merge, columns // config.patch // config.merge)
        values = np.stack([self._values[channel][pixels[:, :, channel]] for channel in range(channels)])
        patches = values.reshape(
            (channels, blocks[0], config.merge, config.patch, blocks[1], config.merge, config.patch)
        ).transpose(1, 4, 2, 5, 0, 3, 6)[:, :, :, :, :, None]
        repeated = np.broadcast_to(patches, (*patches.shape[:5], config.frames, config.patch, config.patch))
        return repeated.reshape(blocks[0] * blocks[1] * config.merge**2, -1)


def _limit(width: int, height: int, max_side: int) -> tuple[int, int]:
    """The size with the longest side at most max_side; rounded up, as `bot.budget` counts it."""
    longest = max(width, height)
    if not max_side or longest <= max_side:
        return width, height
    return math.ceil(width * max_side / longest), math.ceil(height * max_side / longest)


def _on_white(picture: Any) -> Any:
    from PIL import Image as Pictures

    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Pictures.alpha_composite(Pictures.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")
