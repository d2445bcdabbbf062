"""Triton code of pointwise.py; imported only where CUDA is."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait


@triton.jit
def _sum(parts, at, distance, mask, SHARES: tl.constexpr):
    """The shares of some values, added in order, float32."""
    total = tl.load(parts + at, mask=mask, other=0.0).to(tl.float32)
    for share in tl.static_range(1, SHARES):
        total += tl.load(parts + share * distance + at, mask=mask, other=0.0).to(tl.float32)
    return total


@triton.jit
def _norm(x, weight, width, epsilon):
    """Root-mean-square norm, rounded to bfloat16 before the weight as in `operations.rms_norm`."""
    x *= tl.rsqrt(tl.sum(x * x, 0) / width + epsilon)
    return (x.to(tl.bfloat16).to(tl.float32) * weight.to(tl.float32)).to(tl.bfloat16)


@triton.jit
def norm_kernel(
    parts,
    residual,
    post,
    weight,
    new_residual,
    out,
    distance,
    width,
    epsilon,
    SHARES: tl.constexpr,
    RESIDUAL: tl.constexpr,
    POST: tl.constexpr,
    SIZE: tl.constexpr,
    PDL: tl.constexpr,
):
    """One row: x = Σ parts; x = norm(x) · post if POST; x += residual if RESIDUAL, kept; out = norm(x) · weight."""
    row = tl.program_id(0)
    d = tl.arange(0, SIZE)
    inside = d < width
    at = row * width + d
    gain = tl.load(weight + d, mask=inside, other=0.0)
    after = gain
    if POST:
        after = tl.load(post + d, mask=inside, other=0.0)
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    x = _sum(parts, at, distance, inside, SHARES).to(tl.bfloat16).to(tl.float32)
    if POST:
        x = _norm(x, after, width, epsilon).to(tl.float32)
    if RESIDUAL:
        x += tl.load(residual + at, mask=inside, other=0.0).to(tl.float32)
        kept = x.to(tl.bfloat16)
        tl.store(new_residual + at, kept, mask=inside)
        x = kept.to(tl.float32)
    tl.store(out + at, _norm(x, gain, width, epsilon), mask=inside)


@triton.jit
def rope_kernel(
    parts,
    bias,
    cosines,
    sines,
    slots,
    query,
    keys,
    values,
    distance,
    SHARES: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    SIZE: tl.constexpr,
    ROTARY: tl.constexpr,
    PDL: tl.constexpr,
):
    """One head of one token: bias, rotation of the first ROTARY values in neighbouring pairs, and into its place."""
    token = tl.program_id(0)
    head = tl.program_id(1)
    pair = tl.arange(0, SIZE // 2)
    column = pair[:, None] * 2 + tl.arange(0, 2)[None, :]
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    x = _sum(parts, (token * (HEADS + 2 * KV_HEADS) + head) * SIZE + column, distance, column < SIZE, SHARES)
    if HAS_BIAS:
        x += tl.load(bias + head * SIZE + column).to(tl.float32)
    x = x.to(tl.bfloat16).to(tl.float32)
    if head < HEADS + KV_HEADS:
        turned = pair < ROTARY // 2
        cosine = tl.load(cosines + token * ROTARY + 2 * pair, mask=turned, other=1.0).to(tl.float32)
        sine = tl.load(sines + token * ROTARY + 2 * pair, mask=turned, other=0.0).to(tl.float32)
        even, odd = tl.split(x)
        x = tl.join(even * cosine - odd * sine, odd * cosine + even * sine)
    if head < HEADS:
        tl.store(query + (token * HEADS + head) * SIZE + column, x.to(tl.bfloat16))
    else:
        slot = tl.load(slots + token).to(tl.int64)
        if slot >= 0:
            if head < HEADS + KV_HEADS:
                tl.store(keys + (slot * KV_HEADS + head - HEADS) * SIZE + column, x.to(tl.bfloat16))
            else:
                tl.store(values + (slot * KV_HEADS + head - HEADS - KV_HEADS) * SIZE + column, x.to(tl.bfloat16))


@triton.jit
def silu_kernel(x, out, width, SIZE: tl.constexpr, PDL: tl.constexpr):
    """silu(gate) · up, x [rows, 2 width] with gate first, out [rows, width]; SIZE values a program."""
    row = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * SIZE + tl.arange(0, SIZE)
    inside = d < width
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    gate = tl.load(x + row * 2 * width + d, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(x + row * 2 * width + width + d, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * width + d, (gate / (1.0 + tl.exp(-gate)) * up).to(out.dtype.element_ty), mask=inside)


@triton.jit
def add_kernel(
    parts,
    bias,
    out,
    width,
    distance,
    SHARES: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    SIZE: tl.constexpr,
    PDL: tl.constexpr,
):
    """Σ parts + bias of SIZE values of one row, out [rows, width]."""
    row = tl.program_id(0)
    d = tl.program_id(1) * SIZE + tl.arange(0, SIZE)
    inside = d < width
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    x = _sum(parts, row * width + d, distance, inside, SHARES)
    if HAS_BIAS:
        x += tl.load(bias + d, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * width + d, x.to(out.dtype.element_ty), mask=inside)
