"""Attention of single tokens over a cache in blocks, for CUDA.

The launch depends on the number of sequences alone, never on their lengths: it may stand in a CUDA graph. A sequence's
tokens are split into so many shares that the chip is full, and a second kernel adds the shares up (Flash-Decoding).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bot.engine.local.kernels.products import LAUNCH

#: tokens of one turn of the loop
_TOKENS = 64
#: programs wanted in flight
_PROGRAMS = 264
_MOST_SHARES = 64


def shares_of(sequences: int, kv_heads: int) -> int:
    """Programs that share a sequence's tokens."""
    return max(1, min(_MOST_SHARES, -(-_PROGRAMS // (sequences * kv_heads))))


def paged_attention(
    query: Tensor, keys: Tensor, values: Tensor, table: Tensor, lengths: Tensor, scale: float | None = None
) -> Tensor:
    """query [B, heads, size] over keys and values [blocks, block size, key-value heads, size]: [B, heads, size].

    table: int32 [B, most blocks], the blocks of each sequence; lengths: int32 [B], tokens with the newest, whose key and
    value are in the cache already. A length of 0 gives zeros. scale: one over the root of size if not given.
    """
    from bot.engine.local.kernels.attention_triton import attend_kernel, combine_kernel

    sequences, heads, size = query.shape
    block, kv_heads = keys.shape[1], keys.shape[2]
    shares = shares_of(sequences, kv_heads)
    out = torch.empty_like(query)
    partial, weights = out, out
    if shares > 1:
        partial = torch.empty(sequences, shares, heads, size, dtype=torch.float32, device=query.device)
        weights = torch.empty(sequences, shares, heads, dtype=torch.float32, device=query.device)
    factor = (size**-0.5 if scale is None else scale) * math.log2(math.e)
    attend_kernel[(sequences, kv_heads, shares)](
        query, keys, values, table, lengths, partial, weights, out, table.shape[1], factor,
        HEADS=heads, KV_HEADS=kv_heads, GROUP=max(16, 1 << (heads // kv_heads - 1).bit_length()), SIZE=size, BLOCK=block,
        SHARES=shares, TOKENS=_TOKENS, PDL=LAUNCH.overlap, num_warps=4, num_stages=3, launch_pdl=LAUNCH.overlap,
    )  # fmt: skip
    if shares > 1:
        combine_kernel[(sequences, heads)](
            partial, weights, out, HEADS=heads, SIZE=size, SHARES=shares, PADDED=1 << (shares - 1).bit_length(),
            PDL=LAUNCH.overlap, num_warps=2, launch_pdl=LAUNCH.overlap,
        )  # fmt: skip
    return out
