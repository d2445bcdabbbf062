"""The vision tower of the GLM-4.1V/4.6V family in plain torch.

Source: transformers `modeling_glm4v.py`, Glm4vVisionModel. Shapes: P patches of all pictures, one picture after
another, the patches of a token next to each other; V the tower's size; D the size of a token's features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bot.engine.local.linear import Linear, MakeLinear
from bot.engine.local.models.glm4v_config import VisionConfig
from bot.engine.local.operations import gated_silu, rms_norm
from bot.engine.local.shards import Shards

Grid = tuple[int, int]

_PREFIX = "model.visual"
#: floating-point operations between two pauses: 20 ms at 400 per picosecond
_SLICE = 8e12


@dataclass(frozen=True, slots=True)
class _Block:
    """One layer's weights."""

    before_attention: Tensor
    before_mlp: Tensor
    qkv: Linear
    out: Linear
    gate_up: Linear
    down: Linear


class VisionTower:
    """Pixels to features."""

    def __init__(self, config: VisionConfig, shards: Shards, make: MakeLinear) -> None:
        self._config = config
        size = (config.channels, config.frames, config.patch, config.patch)
        # Convolutions whose windows do not overlap are matrix products.
        patches = shards.take(f"{_PREFIX}.patch_embed.proj.weight", (config.hidden, *size)).flatten(1)
        self._embed = make(f"{_PREFIX}.patch_embed.proj", patches, shards.take(f"{_PREFIX}.patch_embed.proj.bias"))
        self._after_embed = shards.take(f"{_PREFIX}.post_conv_layernorm.weight")
        self._positions = _square(shards.take(f"{_PREFIX}.embeddings.position_embedding.weight"))
        self._blocks = [_block(config, shards, make, f"{_PREFIX}.blocks.{number}") for number in range(config.depth)]
        self._after_blocks = shards.take(f"{_PREFIX}.post_layernorm.weight")
        window = (config.out, config.hidden, config.merge, config.merge)
        weight = shards.take(f"{_PREFIX}.downsample.weight", window).permute(0, 2, 3, 1).flatten(1).contiguous()
        self._downsample = make(f"{_PREFIX}.downsample", weight, shards.take(f"{_PREFIX}.downsample.bias"))
        name = f"{_PREFIX}.merger"
        self._merge = make(f"{name}.proj", shards.take(f"{name}.proj.weight"), None)
        self._merge_weight = shards.take(f"{name}.post_projection_norm.weight")
        self._merge_bias = shards.take(f"{name}.post_projection_norm.bias")
        self._merge_gate_up, self._merge_down = _mlp(shards, make, name)
        half = config.hidden // config.heads // 2
        steps = torch.arange(0, half, 2, dtype=torch.float32) / half
        self._frequencies = (1.0 / config.theta**steps).to(shards.device)

    def look(self, pixels: Tensor, grids: Sequence[Grid]) -> Iterator[Tensor | None]:
        """Features [P / merge², D] of pixels [P, values of a patch], after any number of pauses (None).

        grids: the rows and columns of each picture.
        """
        places = torch.cat([self._places(grid) for grid in grids])
        x = rms_norm(self._embed(pixels), self._after_embed, self._config.epsilon)
        x = x + self._interpolate(places, grids).to(x.dtype)
        turn = self._turn(places)
        lengths = [rows * columns for rows, columns in grids]
        pause = max(1, int(_SLICE / self._layer_work(lengths)))
        for number, block in enumerate(self._blocks):
            if number and number % pause == 0:
                yield None
            normed = rms_norm(x, block.before_attention, self._config.epsilon)
            x = x + self._attend(block, normed, turn, lengths)
            normed = rms_norm(x, block.before_mlp, self._config.epsilon)
            x = x + block.down(gated_silu(block.gate_up(normed)))
        x = rms_norm(x, self._after_blocks, self._config.epsilon)
        yield self._join(self._downsample(x.view(-1, self._config.merge**2 * self._config.hidden)))

    def _layer_work(self, lengths: Sequence[int]) -> float:
        """Floating-point operations of a layer for pictures of so many patches."""
        hidden = self._config.hidden
        weights = 4 * hidden**2 + 3 * hidden * self._config.out
        return sum(2 * length * weights + 4 * length**2 * hidden for length in lengths)

    def _places(self, grid: Grid) -> Tensor:
        """Row and column [P, 2] of a picture's patches, block by block."""
        rows, columns = (torch.arange(side, device=self._frequencies.device) for side in grid)
        merge = self._config.merge
        places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)
        blocks = places.view(grid[0] // merge, merge, grid[1] // merge, merge, 2)
        return blocks.transpose(1, 2).reshape(-1, 2)

    def _interpolate(self, places: Tensor, grids: Sequence[Grid]) -> Tensor:
        """Position embeddings [P, V], those of a square grid stretched over each picture; float32."""
        sizes = torch.cat([places.new_tensor([grid]).expand(grid[0] * grid[1], 2) for grid in grids])
        # -1 to 1 from edge to edge; grid_sample wants the column first.
        where = ((places + 0.5) / sizes * 2 - 1).flip(-1)
        found = F.grid_sample(
            self._positions, where[None, :, None], mode="bicubic", padding_mode="border", align_corners=False
        )
        return found[0, :, :, 0].T

    def _turn(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin [P, 1, head size] of the rotary angles: a half for rows and columns each, twice; float32."""
        angles = (places[..., None].float() * self._frequencies).flatten(1)
        angles = torch.cat((angles, angles), dim=-1)[:, None]
        return angles.cos(), angles.sin()

    def _attend(self, block: _Block, x: Tensor, turn: tuple[Tensor, Tensor], lengths: list[int]) -> Tensor:
        qkv = block.qkv(x).view(len(x), 3, self._config.heads, -1)
        query, key = (_rotate(qkv[:, part], *turn) for part in (0, 1))
        apart = [part.split_with_sizes(lengths) for part in (query, key, qkv[:, 2])]
        found = [_attend_within(*parts) for parts in zip(apart[0], apart[1], apart[2], strict=True)]
        return block.out(torch.cat(found).flatten(1))

    def _join(self, x: Tensor) -> Tensor:
        x = self._merge(x)
        x = F.gelu(F.layer_norm(x, x.shape[-1:], self._merge_weight, self._merge_bias))
        return self._merge_down(gated_silu(self._merge_gate_up(x)))


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn heads [P, heads, head size], value i together with value i + half; in float32."""
    wide = x.float()
    first, second = wide.chunk(2, dim=-1)
    return (wide * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)


def _attend_within(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of all patches of one picture, [its patches, heads, head size] each."""
    heads = [part.transpose(0, 1)[None] for part in (query, key, value)]
    return F.scaled_dot_product_attention(heads[0], heads[1], heads[2])[0].transpose(0, 1)


def _square(weight: Tensor) -> Tensor:
    """Position embeddings [side², V] as a picture [1, V, side, side] in float32."""
    side = int(len(weight) ** 0.5)
    return weight.float().view(side, side, -1).permute(2, 0, 1)[None].contiguous()


def _mlp(shards: Shards, make: MakeLinear, name: str) -> tuple[Linear, Linear]:
    """gate and up in one product, and down."""
    gate_up = torch.cat([shards.take(f"{name}.{part}_proj.weight") for part in ("gate", "up")])
    down = shards.take(f"{name}.down_proj.weight")
    return make(f"{name}.gate_up_proj", gate_up, None), make(f"{name}.down_proj", down, None)


def _block(config: VisionConfig, shards: Shards, make: MakeLinear, name: str) -> _Block:
    norms = [shards.take(f"{name}.norm{number}.weight", (config.hidden,)) for number in (1, 2)]
    qkv = shards.take(f"{name}.attn.qkv.weight", (3 * config.hidden, config.hidden))
    bias = shards.take(f"{name}.attn.qkv.bias") if config.bias else None
    out = shards.take(f"{name}.attn.proj.weight")
    attention = make(f"{name}.attn.qkv", qkv, bias), make(f"{name}.attn.proj", out, None)
    mlp = _mlp(shards, make, f"{name}.mlp")
    return _Block(norms[0], norms[1], attention[0], attention[1], mlp[0], mlp[1])
