"""Triton code of products.py; imported only where CUDA is.

All kernels put the weight's rows on the first side of tl.dot and the few rows of x on the second, so that Hopper's
matrix instruction (64 rows at least on the first side) reads weights without padding. A program makes BN outputs for
all rows of x over one share of the columns; with several shares the caller adds them up.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait


@triton.jit
def store(acc, scale, bias, out, n, m, rows, outputs, HAS_SCALE: tl.constexpr, HAS_BIAS: tl.constexpr):
    """acc [BN, BM] times the scale of each row, plus bias, to out [rows, outputs] in out's dtype."""
    inside = n < outputs
    if HAS_SCALE:
        acc *= tl.load(scale + n, mask=inside, other=0.0)[:, None]
    if HAS_BIAS:
        acc += tl.load(bias + n, mask=inside, other=0.0).to(tl.float32)[:, None]
    place = out + m[None, :] * outputs + n[:, None]
    tl.store(place, acc.to(out.dtype.element_ty), mask=inside[:, None] & (m < rows)[None, :])


@triton.jit
def gate_up(gate, up, scale, n, outputs, HAS_SCALE: tl.constexpr):
    """silu(gate) · up, both [BN, BM]; rounded as separate products in bfloat16 would be."""
    if HAS_SCALE:
        gate *= tl.load(scale + n, mask=n < outputs, other=0.0)[:, None]
        up *= tl.load(scale + outputs + n, mask=n < outputs, other=0.0)[:, None]
    gate = gate.to(tl.bfloat16).to(tl.float32)
    return gate / (1.0 + tl.exp(-gate)) * up.to(tl.bfloat16).to(tl.float32)


@triton.jit(do_not_specialize=["rows", "share"])
def dense_kernel(
    x,
    weight,
    bias,
    out,
    rows,
    outputs,
    inputs,
    share,
    GATED: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    EVEN: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
    PDL: tl.constexpr,
):
    """bfloat16 weight [outputs, inputs] ([2 outputs, inputs] if GATED); share: blocks of BK columns per program."""
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    m = tl.arange(0, BM)
    k = tl.arange(0, BK)
    first = tl.program_id(1) * share
    last = tl.minimum(first + share, tl.cdiv(inputs, BK))
    row = tl.minimum(n, outputs - 1)
    w_at = weight + row[:, None] * inputs + k[None, :]
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    x_at = x + m[None, :] * inputs + k[:, None]
    acc = tl.zeros((BN, BM), tl.float32)
    acc2 = tl.zeros((BN, BM), tl.float32)
    for block in range(first, last):
        here = block * BK
        if EVEN:
            w = tl.load(w_at + here)
            part = tl.load(x_at + here, mask=(m < rows)[None, :], other=0.0)
        else:
            w = tl.load(w_at + here, mask=(k + here < inputs)[None, :], other=0.0)
            part = tl.load(x_at + here, mask=(m < rows)[None, :] & (k + here < inputs)[:, None], other=0.0)
        acc = tl.dot(w, part, acc)
        if GATED:
            if EVEN:
                w2 = tl.load(w_at + here + outputs * inputs)
            else:
                w2 = tl.load(w_at + here + outputs * inputs, mask=(k + here < inputs)[None, :], other=0.0)
            acc2 = tl.dot(w2, part, acc2)
    if GATED:
        acc = gate_up(acc, acc2, bias, n, outputs, False)
    store(acc, bias, bias, out + tl.program_id(1) * rows * outputs, n, m, rows, outputs, False, HAS_BIAS)
