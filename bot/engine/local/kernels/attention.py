"""Attention of single tokens over a cache in blocks, for CUDA.

The launch depends on the number of sequences alone, never on their lengths: it may stand in a CUDA graph. A sequence's
tokens are split into so many shares that the chip is full, and a second kernel adds the shares up (Flash-Decoding).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bot.engine.local.kernels import triton_code
from bot.engine.local.kernels.products import LAUNCH, blocks_of

_MOST_SHARES = 64


@dataclass(frozen=True, slots=True)
class Plan:
    """shares: programs that share a sequence's tokens. tokens: of one turn of the loop. stages and warps: Triton's."""

    shares: int
    tokens: int
    stages: int
    warps: int


def plan_of(sequences: int, kv_heads: int) -> Plan:
    """Measured on an H200, at 1152 tokens and 2 key-value heads, and at 1340 and 8."""
    pairs = sequences * kv_heads
    if pairs <= 4:
        return Plan(min(_MOST_SHARES, blocks_of(264, pairs)), 32, 3, 4)
    if pairs == 8:
        return Plan(33, 64, 3, 2)
    if pairs > 264:
        return Plan(1, 64, 4, 2)
    if pairs < 128:
        return Plan(min(_MOST_SHARES, blocks_of(132, pairs)), 64, 5, 2)
    return Plan(blocks_of(264, pairs), 32, 6, 1)


def paged_attention(
    query: Tensor, keys: Tensor, values: Tensor, table: Tensor, lengths: Tensor, scale: float | None = None
) -> Tensor:
    """query [B, heads, size] over keys and values [blocks, block size, key-value heads, size]: [B, heads, size].

    table: int32 [B, most blocks], the blocks of each sequence; lengths: int32 [B], tokens with the newest, whose key
    and value are in the cache already. A length of 0 gives zeros. scale: one over the root of size if not given.
    """
    code = triton_code("attention")

    sequences, heads, size = query.shape
    block, kv_heads = keys.shape[1], keys.shape[2]
    plan = plan_of(sequences, kv_heads)
    shares = plan.shares
    out = torch.empty_like(query)
    partial, weights = out, out
    if shares > 1:
        partial = torch.empty(sequences, shares, heads, size, dtype=torch.float32, device=query.device)
        weights = torch.empty(sequences, shares, heads, dtype=torch.float32, device=query.device)
    factor = (size**-0.5 if scale is None else scale) * math.log2(math.e)
    code.attend_kernel[(sequences, kv_heads, shares)](
        query,
        keys,
        values,
        table,
        lengths,
        partial,
        weights,
        out,
        table.shape[1],
        factor,
        HEADS=heads,
        KV_HEADS=kv_heads,
        GROUP=max(16, power_of(heads // kv_heads)),
        SIZE=size,
        BLOCK=block,
        SHARES=shares,
        TOKENS=plan.tokens,
        PDL=LAUNCH.overlap,
        num_warps=plan.warps,
        num_stages=plan.stages,
        launch_pdl=LAUNCH.overlap,
    )
    if shares > 1:
        code.combine_kernel[(sequences, heads)](
            partial,
            weights,
            out,
            HEADS=heads,
            SIZE=size,
            SHARES=shares,
            PADDED=power_of(shares),
            PDL=LAUNCH.overlap,
            num_warps=2,
            launch_pdl=LAUNCH.overlap,
        )
    return out


def power_of(size: int) -> int:
    """The next power of two, as tl.arange wants it."""
    return 1 << (size - 1).bit_length()
