"""Pictures for the InternLM-XComposer2 family: one square, or tiles and a view of the whole.

Equal to the reference's torchvision transforms on Pillow's pictures. 2.0: squeezed into a square, bicubic. 4KHD and
2.5: the longer side becomes a number of tiles, the other follows, and white fills up the last row of tiles (4KHD: above
and below, 2.5: below); an upright picture lies down for that and stands up again. The view of the whole comes first,
then the tiles.
"""

from __future__ import annotations

import io
import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image as Pictures
from PIL import ImageOps
from torch import Tensor

from bot.engine.local.model import Picture
from bot.engine.local.models.xcomposer2_config import XComposer2Config
from bot.errors import RequestRejected

#: CLIP's
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
#: 2.5: of each picture, where there are several
_TILES_OF_SEVERAL = 6


class PictureReader:
    """Makes Pictures of encoded bytes. Any thread."""

    def __init__(self, config: XComposer2Config) -> None:
        self._variant = config.variant
        self._side = config.vision.side
        self._grid = config.vision.grid
        self._tiles = config.tiles

    def read(self, sha256: str, data: bytes, *, several: bool = False) -> Picture:
        """pixels: [squares, 3, side, side], float32; grid: rows and columns of tiles, (1, 1) where there are none.

        several: the prompt has other pictures too. Raises RequestRejected.
        """
        try:
            with Pictures.open(io.BytesIO(data)) as opened:
                image = ImageOps.exif_transpose(opened).convert("RGB")
        except Exception as error:  # Pillow raises what its decoders raise
            raise RequestRejected(f"picture {sha256[:12]} cannot be read: {error}") from error
        if self._variant == "2.0":
            pixels = normalise(image.resize((self._side, self._side), Pictures.Resampling.BICUBIC))[None]
            return Picture(f"{sha256}:{self._side}", pixels, (1, 1), self.count((1, 1)))
        tiled = self.lay_out(image, self._most(several=several))
        grid = (tiled.height // self._side, tiled.width // self._side)
        pixels = self.cut(normalise(tiled))
        return Picture(f"{sha256}:{self._side}:{grid[0]}x{grid[1]}", pixels, grid, self.count(grid))

    def tokens(self, width: int, height: int, *, several: bool = False) -> int:
        """Tokens of a picture of so many pixels."""
        if self._variant == "2.0":
            return self.count((1, 1))
        wide, narrow = max(width, height, 1), max(1, min(width, height))
        columns, _, tall = self._plan(wide, narrow, self._most(several=several))
        rows = -(-tall // self._side)
        return self.count((rows, columns) if width >= height else (columns, rows))

    def count(self, grid: tuple[int, int]) -> int:
        """Tokens of so many rows and columns of tiles, the ends of rows included."""
        if self._variant == "2.0":
            return self._grid**2
        rows, columns = grid
        half = self._grid // 2
        return (rows * columns + 1) * half**2 + 1 + (rows + 1) * half

    def lay_out(self, image: Pictures.Image, most: int) -> Pictures.Image:
        """Scaled and filled up to whole tiles, at most so many."""
        if image.width < image.height:
            lying = self.lay_out(image.transpose(Pictures.Transpose.TRANSPOSE), most)
            return lying.transpose(Pictures.Transpose.TRANSPOSE)
        columns, width, height = self._plan(image.width, image.height, most)
        rows = -(-height // self._side)
        sheet = Pictures.new("RGB", (columns * self._side, rows * self._side), "white")
        above = (sheet.height - height) // 2 if self._variant == "4khd" else 0
        sheet.paste(image.resize((width, height), Pictures.Resampling.BILINEAR), (0, above))
        return sheet

    def cut(self, pixels: Tensor) -> Tensor:
        """[1 + tiles, 3, side, side]: the whole, then the tiles row by row; pixels [3, rows · side, columns · side]."""
        side = self._side
        whole = F.interpolate(pixels[None], size=(side, side), mode="bicubic")
        rows, columns = pixels.shape[1] // side, pixels.shape[2] // side
        tiles = pixels.view(3, rows, side, columns, side).permute(1, 3, 0, 2, 4).reshape(-1, 3, side, side)
        return torch.cat([whole, tiles])

    def _most(self, *, several: bool) -> int:
        return min(self._tiles, _TILES_OF_SEVERAL) if several and self._variant == "2.5" else self._tiles

    def _plan(self, width: int, height: int, most: int) -> tuple[int, int, int]:
        """Columns of tiles, and the size to scale to; width is the longer side."""
        ratio = width / height
        scale = 1
        while scale * math.ceil(scale / ratio) <= most:
            scale += 1
        scale -= 1
        if self._variant == "2.5":
            scale = min(math.ceil(width / self._side), scale)
        scale = max(1, scale)
        # A strip keeps one row of pixels.
        return scale, scale * self._side, max(1, int(scale * self._side / ratio))


def normalise(image: Pictures.Image) -> Tensor:
    """float32 [3, height, width] of an RGB picture."""
    pixels = torch.as_tensor(np.array(image, dtype=np.uint8)).permute(2, 0, 1).float() / 255
    return (pixels - torch.tensor(_MEAN)[:, None, None]) / torch.tensor(_DEVIATION)[:, None, None]
