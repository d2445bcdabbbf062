"""Triton code of attention.py; imported only where CUDA is."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait


@triton.jit
def attend_kernel(
    query,
    keys,
    values,
    table,
    lengths,
    partial,
    weights,
    out,
    table_width,
    scale,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    SIZE: tl.constexpr,
    BLOCK: tl.constexpr,
    SHARES: tl.constexpr,
    TOKENS: tl.constexpr,
    PDL: tl.constexpr,
):
    """All query heads of one key-value head of one sequence over one share of its tokens.

    query [B, HEADS, SIZE]; keys and values [blocks, BLOCK, KV_HEADS, SIZE]; table int32 [B, table_width]; partial
    float32 [B, SHARES, HEADS, SIZE] and weights (log2 of the sum of exponentials) [B, SHARES, HEADS]; with one share
    straight to out. GROUP: query heads of a key-value head, a power of two and at least 16.
    """
    sequence = tl.program_id(0)
    kv = tl.program_id(1)
    share = tl.program_id(2)
    heads_each: tl.constexpr = HEADS // KV_HEADS
    g = tl.arange(0, GROUP)
    d = tl.arange(0, SIZE)
    t = tl.arange(0, TOKENS)
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    length = tl.load(lengths + sequence)
    step = tl.cdiv(tl.cdiv(length, SHARES), TOKENS) * TOKENS
    first = share * step
    last = tl.minimum(first + step, length)
    head = kv * heads_each + g
    real = g < heads_each
    q = tl.load(query + (sequence * HEADS + head)[:, None] * SIZE + d[None, :], mask=real[:, None], other=0.0)
    most = tl.full((GROUP,), float("-inf"), tl.float32)
    total = tl.zeros((GROUP,), tl.float32)
    acc = tl.zeros((GROUP, SIZE), tl.float32)
    for start in range(first, last, TOKENS):
        token = start + t
        inside = token < last
        block = tl.load(table + sequence * table_width + token // BLOCK, mask=inside, other=0)
        place = (block.to(tl.int64) * BLOCK + token % BLOCK) * (KV_HEADS * SIZE) + kv * SIZE
        k = tl.load(keys + place[:, None] + d[None, :], mask=inside[:, None], other=0.0)
        v = tl.load(values + place[:, None] + d[None, :], mask=inside[:, None], other=0.0)
        s = tl.dot(q, tl.trans(k)) * scale
        s = tl.where(inside[None, :], s, float("-inf"))
        higher = tl.maximum(most, tl.max(s, 1))
        p = tl.exp2(s - higher[:, None])
        keep = tl.exp2(most - higher)
        total = total * keep + tl.sum(p, 1)
        acc = tl.dot(p.to(v.dtype), v, acc * keep[:, None])
        most = higher
    if SHARES == 1:
        found = acc / tl.where(total > 0, total, 1.0)[:, None]
        place = out + (sequence * HEADS + head)[:, None] * SIZE + d[None, :]
        tl.store(place, found.to(out.dtype.element_ty), mask=real[:, None])
    else:
        row = (sequence * SHARES + share) * HEADS + head
        if first < last:
            tl.store(partial + row[:, None] * SIZE + d[None, :], acc / total[:, None], mask=real[:, None])
        tl.store(weights + row, tl.where(total > 0, most + tl.log2(total), float("-inf")), mask=real)


@triton.jit
def combine_kernel(
    partial,
    weights,
    out,
    HEADS: tl.constexpr,
    SIZE: tl.constexpr,
    SHARES: tl.constexpr,
    PADDED: tl.constexpr,
    PDL: tl.constexpr,
):
    """Shares of one head of one sequence together, into out [B, HEADS, SIZE]. PADDED: SHARES up to a power of two."""
    sequence = tl.program_id(0)
    head = tl.program_id(1)
    share = tl.arange(0, PADDED)
    d = tl.arange(0, SIZE)
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    row = (sequence * SHARES + share) * HEADS + head
    weight = tl.load(weights + row, mask=share < SHARES, other=float("-inf"))
    there = weight > float("-inf")
    most = tl.max(weight, 0)
    weight = tl.where(there, tl.exp2(weight - most), 0.0)
    parts = tl.load(partial + row[:, None] * SIZE + d[None, :], mask=there[:, None], other=0.0)
    total = tl.sum(weight, 0)
    found = tl.sum(parts * weight[:, None], 0) / tl.where(total > 0, total, 1.0)
    tl.store(out + (sequence * HEADS + head) * SIZE + d, found.to(out.dtype.element_ty))
