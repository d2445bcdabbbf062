"""The vision tower of the InternLM-XComposer2 family: CLIP ViT-L/14, the merging of tiles, and the projector.

Source: CLIP (Radford et al., 2021) as transformers has it; the last layer's output counts, before the norm behind it.
Shapes: T squares of one picture or several, G patches a side, V the tower's size, D the decoder's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bot.engine.local.linear import Linear, MakeLinear
from bot.engine.local.model import Picture
from bot.engine.local.models.xcomposer2_config import TOWER, VisionConfig
from bot.engine.local.shards import Shards

#: squares between two pauses: 20 ms of a large card
_BUSY = 8
#: CLIP's sigmoid for GELU
_QUICK = 1.702


@dataclass(frozen=True, slots=True)
class _Norm:
    weight: Tensor
    bias: Tensor
    epsilon: float

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.epsilon)


@dataclass(frozen=True, slots=True)
class _Block:
    before_attention: _Norm
    before_mlp: _Norm
    qkv: Linear
    out: Linear
    up: Linear
    down: Linear


class VisionTower:
    """Pixels to features of patches."""

    def __init__(self, config: VisionConfig, shards: Shards, make: MakeLinear) -> None:
        self._config = config
        size = (config.hidden, config.channels, config.patch, config.patch)
        self._patches = shards.take(f"{TOWER}.embeddings.patch_embedding.weight", size)
        self._class = shards.take(f"{TOWER}.embeddings.class_embedding", (config.hidden,))
        self._places = stretched(shards.take(f"{TOWER}.embeddings.position_embedding.weight"), config.grid)
        self._before = _norm(shards, f"{TOWER}.pre_layrnorm", config)
        self._blocks = [_block(config, shards, make, f"{TOWER}.encoder.layers.{n}") for n in range(config.layers)]
        # Released files may have them; what they would compute is never used.
        shards.skip_ending("post_layernorm.weight", "post_layernorm.bias", "embeddings.position_ids")

    def __call__(self, pixels: Tensor) -> Tensor:
        """[T, G², V] of pixels [T, 3, side, side], row by row."""
        config = self._config
        x = F.conv2d(pixels, self._patches, stride=config.patch).flatten(2).transpose(1, 2)
        x = torch.cat([self._class.expand(len(x), 1, -1), x], 1) + self._places
        x = self._before(x)
        for block in self._blocks:
            x = x + self._attend(block, block.before_attention(x))
            inner = block.up(block.before_mlp(x))
            x = x + block.down(inner * torch.sigmoid(_QUICK * inner))
        return x[:, 1:].reshape(len(x), config.grid**2, config.hidden)

    def _attend(self, block: _Block, x: Tensor) -> Tensor:
        qkv = block.qkv(x).view(*x.shape[:2], 3, self._config.heads, -1).permute(2, 0, 3, 1, 4)
        found = _attend(qkv[0], qkv[1], qkv[2])
        return block.out(found.transpose(1, 2).flatten(2))


class Sight:
    """Tower, merging and projector: pictures to what the decoder reads."""

    def __init__(self, config: VisionConfig, hidden: int, shards: Shards, make: MakeLinear, *, tiled: bool) -> None:
        self.tower = VisionTower(config, shards, make)
        self.tiles = Tiles(config.grid, shards) if tiled else None
        width = config.hidden * (4 if tiled else 1)
        first = shards.take("vision_proj.0.weight", (hidden, width)), shards.take("vision_proj.0.bias", (hidden,))
        second = shards.take("vision_proj.2.weight", (hidden, hidden)), shards.take("vision_proj.2.bias", (hidden,))
        self._first = make("vision_proj.0", *first)
        self._second = make("vision_proj.2", *second)
        self._device, self._dtype = shards.device, shards.dtype

    def look(self, pictures: Sequence[Picture]) -> Iterator[list[Tensor]]:
        """As `Model.see`."""
        group: list[Picture] = []
        for number, picture in enumerate(pictures, 1):
            group.append(picture)
            if sum(len(one.pixels) for one in group) >= _BUSY or number == len(pictures):
                yield from self._together(group)
                group = []

    def project(self, x: Tensor) -> Tensor:
        """[…, D] of merged features."""
        return self._second(F.gelu(self._first(x)))

    def _together(self, group: Sequence[Picture]) -> Iterator[list[Tensor]]:
        pixels = torch.cat([picture.pixels for picture in group])
        seen: list[Tensor] = []
        for first in range(0, len(pixels), _BUSY):
            if first:
                yield []
            seen.append(self.tower(pixels[first : first + _BUSY].to(self._device, self._dtype)))
        apart = torch.cat(seen).split_with_sizes([len(picture.pixels) for picture in group])
        merged = [self._merge(part, picture.grid) for part, picture in zip(apart, group, strict=True)]
        yield list(self.project(torch.cat(merged)).split_with_sizes([len(part) for part in merged]))

    def _merge(self, squares: Tensor, grid: tuple[int, int]) -> Tensor:
        return squares.flatten(0, 1) if self.tiles is None else self.tiles(squares, grid)


class Tiles:
    """4KHD and 2.5: four neighbouring patches become one, and every row ends with a mark of its own."""

    def __init__(self, side: int, shards: Shards) -> None:
        self._half = side // 2
        self._row_end = shards.take("plora_sub_GN").flatten()
        self._whole_end = shards.take("plora_glb_GN").flatten()

    def __call__(self, squares: Tensor, grid: tuple[int, int]) -> Tensor:
        """[tokens, 4 V] of the whole and rows · columns tiles, [1 + tiles, G², V]."""
        half, width = self._half, 4 * squares.shape[-1]
        # [squares, row, row in a pair, column, column in a pair, V]
        fours = squares.view(len(squares), half, 2, half, 2, -1).permute(0, 1, 3, 2, 4, 5).flatten(3)
        rows, columns = grid
        tiles = fours[1:].view(rows, columns, half, half, width).transpose(1, 2)
        tiles = tiles.reshape(rows * half, columns * half, width)
        return torch.cat([self._ended(fours[0]), self._whole_end[None], self._ended(tiles)])

    def _ended(self, lines: Tensor) -> Tensor:
        ends = self._row_end.expand(len(lines), 1, -1)
        return torch.cat([lines, ends], 1).flatten(0, 1)


def stretched(table: Tensor, grid: int) -> Tensor:
    """Position embeddings [1 + G², V] for another grid than the table's: bicubic, that of the class as it is."""
    side = int((len(table) - 1) ** 0.5)
    if side == grid:
        return table
    square = table[1:].float().view(1, side, side, -1).permute(0, 3, 1, 2)
    square = F.interpolate(square, size=(grid, grid), mode="bicubic", align_corners=False)
    return torch.cat([table[:1], square.flatten(2)[0].T.to(table.dtype)])


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """[T, heads, patches, head size] each."""
    if query.dtype != torch.float32:
        return F.scaled_dot_product_attention(query, key, value)
    # In the reference's order, which over thousands of patches is nearer to it than the fused product.
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    return scores.softmax(-1) @ value


def _norm(shards: Shards, name: str, config: VisionConfig) -> _Norm:
    weight, bias = (shards.take(f"{name}.{part}", (config.hidden,)) for part in ("weight", "bias"))
    return _Norm(weight, bias, config.epsilon)


def _block(config: VisionConfig, shards: Shards, make: MakeLinear, name: str) -> _Block:
    size, inner = config.hidden, config.intermediate

    def take(part: str, outputs: int, inputs: int) -> tuple[Tensor, Tensor]:
        return shards.take(f"{name}.{part}.weight", (outputs, inputs)), shards.take(f"{name}.{part}.bias", (outputs,))

    three = [take(f"self_attn.{part}_proj", size, size) for part in "qkv"]
    weight, bias = torch.cat([one for one, _ in three]), torch.cat([one for _, one in three])
    return _Block(
        _norm(shards, f"{name}.layer_norm1", config),
        _norm(shards, f"{name}.layer_norm2", config),
        make(f"{name}.self_attn.qkv_proj", weight, bias),
        make(f"{name}.self_attn.out_proj", *take("self_attn.out_proj", size, size)),
        make(f"{name}.mlp.fc1", *take("mlp.fc1", inner, size)),
        make(f"{name}.mlp.fc2", *take("mlp.fc2", size, inner)),
    )
