"""Triton code of products.py; imported only where CUDA is.

All kernels put the weight's rows on the first side of tl.dot and the few rows of x on the second, so that Hopper's
matrix instruction (64 rows at least on the first side) reads weights without padding. A program makes BN outputs for
all rows of x over one share of the columns; with several shares the caller adds them up.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

_EIGHT = tl.constexpr((tl.bfloat16,) * 8)


@triton.jit
def _touch(address):
    """Ask for the 128 bytes at an address to be in the L2 cache."""
    tl.inline_asm_elementwise(
        "prefetch.global.L2 [$1]; mov.b32 $0, 0;",
        "=r,l",
        [address.to(tl.int64, bitcast=True)],
        dtype=tl.int32,
        is_pure=False,
        pack=1,
    )


@triton.jit
def _store(acc, scale, bias, out, n, m, rows, outputs, HAS_SCALE: tl.constexpr, HAS_BIAS: tl.constexpr):
    """acc [BN, BM] times the scale of each row, plus bias, to out [rows, outputs] in out's dtype."""
    inside = n < outputs
    if HAS_SCALE:
        acc *= tl.load(scale + n, mask=inside, other=0.0)[:, None]
    if HAS_BIAS:
        acc += tl.load(bias + n, mask=inside, other=0.0).to(tl.float32)[:, None]
    place = out + m[None, :] * outputs + n[:, None]
    tl.store(place, acc.to(out.dtype.element_ty), mask=inside[:, None] & (m < rows)[None, :])


@triton.jit
def _gate(gate, up, scale, n, outputs, HAS_SCALE: tl.constexpr):
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
    TOUCH: tl.constexpr,
):
    """bfloat16 weight [outputs, inputs] ([2 outputs, inputs] if GATED); share: blocks of BK columns per program."""
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    m = tl.arange(0, BM)
    k = tl.arange(0, BK)
    first = tl.program_id(1) * share
    last = tl.minimum(first + share, tl.cdiv(inputs, BK))
    row = tl.minimum(n, outputs - 1)
    w_at = weight + row[:, None] * inputs + k[None, :]
    if TOUCH > 0:
        ahead = weight + row[:, None] * inputs + tl.minimum(first * BK + tl.arange(0, TOUCH)[None, :] * 64, inputs - 1)
        _touch(ahead)
        if GATED:
            _touch(ahead + outputs * inputs)
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
        acc = _gate(acc, acc2, bias, n, outputs, False)
    _store(acc, bias, bias, out + tl.program_id(1) * rows * outputs, n, m, rows, outputs, False, HAS_BIAS)


@triton.jit
def _bytes_int8(word):
    """Four bfloat16 tensors of the four signed bytes of int32 words, lowest first.

    Two words at a time: 128 + (b & 127) less 128 or 256, both exact in bfloat16 and made by setting its bits.
    """
    return tl.inline_asm_elementwise(
        """{
        .reg .b32 p, q, a, b;
        prmt.b32 p, $4, $5, 0x5410;
        prmt.b32 q, $4, $5, 0x7632;
        lop3.b32 a, p, 0x007f007f, 0x43004300, 0xea;
        lop3.b32 b, p, 0x00800080, 0x43004300, 0xea;
        sub.rn.bf16x2 $0, a, b;
        shr.u32 p, p, 8;
        lop3.b32 a, p, 0x007f007f, 0x43004300, 0xea;
        lop3.b32 b, p, 0x00800080, 0x43004300, 0xea;
        sub.rn.bf16x2 $1, a, b;
        lop3.b32 a, q, 0x007f007f, 0x43004300, 0xea;
        lop3.b32 b, q, 0x00800080, 0x43004300, 0xea;
        sub.rn.bf16x2 $2, a, b;
        shr.u32 q, q, 8;
        lop3.b32 a, q, 0x007f007f, 0x43004300, 0xea;
        lop3.b32 b, q, 0x00800080, 0x43004300, 0xea;
        sub.rn.bf16x2 $3, a, b;
        }""",
        "=&r,=&r,=&r,=&r,r,r",
        [word],
        dtype=(tl.bfloat16, tl.bfloat16, tl.bfloat16, tl.bfloat16),
        is_pure=True,
        pack=2,
    )


@triton.jit
def _bytes_fp8(word):
    """Four bfloat16 tensors of the four e4m3 bytes of int32 words: the bits moved, then the exponent's bias (2**120)."""
    return tl.inline_asm_elementwise(
        """{
        .reg .b32 p, q, a, c, s;
        mov.b32 c, 0x7b807b80;
        prmt.b32 p, $4, $5, 0x5410;
        prmt.b32 q, $4, $5, 0x7632;
        shl.b32 s, p, 8;
        shl.b32 a, p, 4;
        and.b32 a, a, 0x07f007f0;
        lop3.b32 a, s, 0x80008000, a, 0xea;
        mul.rn.bf16x2 $0, a, c;
        shr.u32 a, p, 4;
        and.b32 a, a, 0x07f007f0;
        lop3.b32 a, p, 0x80008000, a, 0xea;
        mul.rn.bf16x2 $1, a, c;
        shl.b32 s, q, 8;
        shl.b32 a, q, 4;
        and.b32 a, a, 0x07f007f0;
        lop3.b32 a, s, 0x80008000, a, 0xea;
        mul.rn.bf16x2 $2, a, c;
        shr.u32 a, q, 4;
        and.b32 a, a, 0x07f007f0;
        lop3.b32 a, q, 0x80008000, a, 0xea;
        mul.rn.bf16x2 $3, a, c;
        }""",
        "=&r,=&r,=&r,=&r,r,r",
        [word],
        dtype=(tl.bfloat16, tl.bfloat16, tl.bfloat16, tl.bfloat16),
        is_pure=True,
        pack=2,
    )


@triton.jit(do_not_specialize=["rows", "share"])
def bytes_kernel(
    x,
    weight,
    scale,
    bias,
    out,
    rows,
    outputs,
    inputs,
    words,
    share,
    KIND: tl.constexpr,
    GATED: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    EVEN: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BW: tl.constexpr,
    PDL: tl.constexpr,
    TOUCH: tl.constexpr,
):
    """int8 or e4m3 weight as int32 [outputs, words] (packing.py), scale float32 [outputs]; share: blocks of BW words."""
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    m = tl.arange(0, BM)
    k = tl.arange(0, BW)
    first = tl.program_id(1) * share
    last = tl.minimum(first + share, words // BW)
    row = tl.minimum(n, outputs - 1)
    w_at = weight + row[:, None] * words + k[None, :]
    if TOUCH > 0:
        ahead = weight + row[:, None] * words + tl.minimum(first * BW + tl.arange(0, TOUCH)[None, :] * 32, words - 1)
        _touch(ahead)
        if GATED:
            _touch(ahead + outputs * words)
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    x_at = x + m[None, :] * inputs + k[:, None]
    acc = tl.zeros((BN, BM), tl.float32)
    acc2 = tl.zeros((BN, BM), tl.float32)
    for block in range(first, last):
        w = tl.load(w_at + block * BW)
        if KIND == "int8":
            part = _bytes_int8(w)
        else:
            part = _bytes_fp8(w)
        if GATED:
            w2 = tl.load(w_at + block * BW + outputs * words)
            if KIND == "int8":
                part2 = _bytes_int8(w2)
            else:
                part2 = _bytes_fp8(w2)
        for j in tl.static_range(4):
            here = block * (4 * BW) + j * BW
            if EVEN:
                values = tl.load(x_at + here, mask=(m < rows)[None, :], other=0.0)
            else:
                values = tl.load(x_at + here, mask=(m < rows)[None, :] & (k + here < inputs)[:, None], other=0.0)
            acc = tl.dot(part[j], values, acc)
            if GATED:
                acc2 = tl.dot(part2[j], values, acc2)
    if GATED:
        acc = _gate(acc, acc2, scale, n, outputs, True)
    _store(acc, scale, bias, out + tl.program_id(1) * rows * outputs, n, m, rows, outputs, not GATED, HAS_BIAS)


@triton.jit
def _nibbles(word):
    """Eight bfloat16 tensors 128 + q of the nibbles q of int32 words, lowest first, made by setting bits; two words at a
    time. The 128 goes with the zero point, see `nibbles_kernel`."""
    return tl.inline_asm_elementwise(
        """{
        .reg .b32 p, q, a;
        prmt.b32 p, $8, $9, 0x5410;
        prmt.b32 q, $8, $9, 0x7632;
        lop3.b32 $0, p, 0x000f000f, 0x43004300, 0xea;
        shr.u32 a, p, 4;
        lop3.b32 $1, a, 0x000f000f, 0x43004300, 0xea;
        shr.u32 a, p, 8;
        lop3.b32 $2, a, 0x000f000f, 0x43004300, 0xea;
        shr.u32 a, p, 12;
        lop3.b32 $3, a, 0x000f000f, 0x43004300, 0xea;
        lop3.b32 $4, q, 0x000f000f, 0x43004300, 0xea;
        shr.u32 a, q, 4;
        lop3.b32 $5, a, 0x000f000f, 0x43004300, 0xea;
        shr.u32 a, q, 8;
        lop3.b32 $6, a, 0x000f000f, 0x43004300, 0xea;
        shr.u32 a, q, 12;
        lop3.b32 $7, a, 0x000f000f, 0x43004300, 0xea;
        }""",
        "=&r,=&r,=&r,=&r,=&r,=&r,=&r,=&r,r,r",
        [word],
        dtype=_EIGHT,
        is_pure=True,
        pack=2,
    )


@triton.jit
def _meta(at, outputs):
    """Scale (upper half) and zero point (lower half) of the four groups of a block, [BN] each."""
    return tl.load(at), tl.load(at + outputs), tl.load(at + 2 * outputs), tl.load(at + 3 * outputs)


@triton.jit
def _grouped(found, sums, meta):
    """(found - (128 + zero) · sums) · scale."""
    scale = (meta & -65536).to(tl.float32, bitcast=True)
    zero = (meta << 16).to(tl.float32, bitcast=True)
    return (found - sums * zero[:, None]) * scale[:, None]


@triton.jit(do_not_specialize=["rows", "share"])
def nibbles_kernel(
    x,
    weight,
    meta,
    bias,
    out,
    rows,
    outputs,
    inputs,
    words,
    share,
    GATED: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    EVEN: tl.constexpr,
    BM: tl.constexpr,
    BN: tl.constexpr,
    PDL: tl.constexpr,
    TOUCH: tl.constexpr,
):
    """int4 weight as int32 [outputs, words], meta int32 [groups, outputs] (packing.py); share: blocks of 64 words.

    A group's part is scale · Σ (q - zero) x = scale · (Σ (128 + q) x - (128 + zero) Σ x); the matrix unit makes Σ x too.
    """
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    m = tl.arange(0, BM)
    k = tl.arange(0, 64)
    first = tl.program_id(1) * share
    last = tl.minimum(first + share, words // 64)
    row = tl.minimum(n, outputs - 1)
    w_at = weight + row[:, None] * words + k[None, :]
    meta_rows: tl.constexpr = 2 if GATED else 1
    stride = outputs * meta_rows
    if TOUCH > 0:
        ahead = weight + row[:, None] * words + tl.minimum(first * 64 + tl.arange(0, TOUCH)[None, :] * 32, words - 1)
        _touch(ahead)
        if GATED:
            _touch(ahead + outputs * words)
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    x_at = x + m[None, :] * inputs + k[:, None]
    acc = tl.zeros((BN, BM), tl.float32)
    acc2 = tl.zeros((BN, BM), tl.float32)
    ones = tl.full((BN, 64), 1.0, tl.bfloat16)
    at = meta + row + first * 4 * stride
    now = _meta(at, stride)
    now2 = now
    if GATED:
        now2 = _meta(at + outputs, stride)
    for block in range(first, last):
        at += tl.where(block + 1 < last, 4 * stride, 0)
        following = _meta(at, stride)
        parts = _nibbles(tl.load(w_at + block * 64))
        if GATED:
            following2 = _meta(at + outputs, stride)
            parts2 = _nibbles(tl.load(w_at + block * 64 + outputs * words))
        for group in tl.static_range(4):
            here = block * 512 + group * 128
            inside = (m < rows)[None, :]
            if EVEN:
                low = tl.load(x_at + here, mask=inside, other=0.0)
                high = tl.load(x_at + here + 64, mask=inside, other=0.0)
            else:
                low = tl.load(x_at + here, mask=inside & (k + here < inputs)[:, None], other=0.0)
                high = tl.load(x_at + here + 64, mask=inside & (k + here + 64 < inputs)[:, None], other=0.0)
            sums = tl.dot(ones, high, tl.dot(ones, low))
            acc += _grouped(tl.dot(parts[2 * group + 1], high, tl.dot(parts[2 * group], low)), sums, now[group])
            if GATED:
                found = tl.dot(parts2[2 * group + 1], high, tl.dot(parts2[2 * group], low))
                acc2 += _grouped(found, sums, now2[group])
        now = following
        if GATED:
            now2 = following2
    if GATED:
        acc = _gate(acc, acc2, bias, n, outputs, False)
    _store(acc, bias, bias, out + tl.program_id(1) * rows * outputs, n, m, rows, outputs, False, HAS_BIAS)


@triton.jit
def widen_kernel(weight, scale, out, outputs, inputs, words, KIND: tl.constexpr, BN: tl.constexpr):
    """A packed weight as bfloat16 out [outputs, inputs]; a program takes BN rows of one block of 64 words."""
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    k = tl.arange(0, 64)
    block = tl.program_id(1)
    inside = (n < outputs)[:, None]
    word = tl.load(weight + n[:, None] * words + block * 64 + k[None, :], mask=inside, other=0)
    if KIND == "int4":
        nibbles = _nibbles(word)
        for j in tl.static_range(8):
            meta = tl.load(scale + (block * 4 + j // 2) * outputs + n, mask=n < outputs, other=0)[:, None]
            value = nibbles[j].to(tl.float32) - (meta << 16).to(tl.float32, bitcast=True)
            value *= (meta & -65536).to(tl.float32, bitcast=True)
            column = block * 512 + j * 64 + k
            place = out + n[:, None] * inputs + column[None, :]
            tl.store(place, value.to(tl.bfloat16), mask=inside & (column < inputs)[None, :])
    else:
        if KIND == "int8":
            parts = _bytes_int8(word)
        else:
            parts = _bytes_fp8(word)
        factor = tl.load(scale + n, mask=n < outputs, other=0.0)[:, None]
        for j in tl.static_range(4):
            value = parts[j].to(tl.float32) * factor
            column = block * 256 + j * 64 + k
            place = out + n[:, None] * inputs + column[None, :]
            tl.store(place, value.to(tl.bfloat16), mask=inside & (column < inputs)[None, :])
