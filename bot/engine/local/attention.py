"""Attention over a cache in blocks.

keys and values: [layers, blocks, block size, key-value heads, head size]. A token's place is its slot: block times
block size and offset. Prompts: what is in the blocks and what is new lies side by side and goes through SDPA, one
sequence after another. One token each: a Triton kernel on CUDA, SDPA elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import bias as biases

from bot.engine.local.model import Shape

_biases: Any = biases


class KeyValues:
    """The cache's memory."""

    def __init__(self, shape: Shape, blocks: int, block_size: int, dtype: torch.dtype, device: torch.device) -> None:
        size = (shape.layers, blocks, block_size, shape.kv_heads, shape.head_size)
        self.block_size = block_size
        self.keys = torch.zeros(size, dtype=dtype, device=device)
        self.values = torch.zeros(size, dtype=dtype, device=device)

    @staticmethod
    def block_bytes(shape: Shape, block_size: int, dtype: torch.dtype) -> int:
        """Bytes of one block over all layers."""
        return 2 * shape.layers * block_size * shape.kv_heads * shape.head_size * dtype.itemsize

    def copy(self, source: int, target: int) -> None:
        """The content of one block into another."""
        if source != target:
            self.keys[:, target] = self.keys[:, source]
            self.values[:, target] = self.values[:, source]

    def write(self, layer: int, slots: Tensor, key: Tensor, value: Tensor) -> None:
        """New keys and values [N, heads, size] into slots [N]."""
        self.keys[layer].flatten(0, 1).index_copy_(0, slots, key)
        self.values[layer].flatten(0, 1).index_copy_(0, slots, value)

    def read(self, layer: int, blocks: Tensor, tokens: int) -> tuple[Tensor, Tensor]:
        """The first `tokens` keys and values in some blocks, [tokens, heads, size]."""
        return (
            self.keys[layer].index_select(0, blocks).flatten(0, 1)[:tokens],
            self.values[layer].index_select(0, blocks).flatten(0, 1)[:tokens],
        )


@dataclass(frozen=True, slots=True)
class Part:
    """Tokens of one sequence in a batch: rows first to last; `tokens` in all, the new ones included, in `blocks`."""

    first: int
    last: int
    tokens: int
    blocks: Tensor


class BlockAttention:
    """`Attend` for prompts, and for single tokens where there is no kernel: one sequence after another."""

    def __init__(self, memory: KeyValues, slots: Tensor, parts: Sequence[Part]) -> None:
        self.memory = memory
        self.slots = slots
        self._parts = parts

    def stored(self, layer: int, query: Tensor) -> Tensor:
        """As `__call__`, where the new keys and values are in the cache already."""
        out = torch.empty_like(query)
        for part in self._parts:
            rows = slice(part.first, part.last)
            keys, values = self.memory.read(layer, part.blocks, part.tokens)
            out[rows] = _attend(query[rows], keys, values)
        return out

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.memory.write(layer, self.slots, key, value)
        out = torch.empty_like(query)
        for part in self._parts:
            rows = slice(part.first, part.last)
            if part.tokens == part.last - part.first:
                keys, values = key[rows], value[rows]
            else:
                keys, values = self.memory.read(layer, part.blocks, part.tokens)
            out[rows] = _attend(query[rows], keys, values)
        return out


def _attend(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Causal, the last query beside the last key. [tokens, heads, size] each."""
    new, old = query.shape[0], keys.shape[0]
    q, k, v = (one.transpose(0, 1).unsqueeze(0) for one in (query, keys, values))
    grouped = q.shape[1] != k.shape[1]
    if new == 1:
        found = F.scaled_dot_product_attention(q, k, v, enable_gqa=grouped)
    elif new == old:
        found = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)
    else:
        mask = _biases.causal_lower_right(new, old)
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)
    return found.squeeze(0).transpose(0, 1)
