"""Triton code of products.py for packed weights (layout: packing.py); imported only where CUDA is.

As in products_triton.py, with weights unpacked in registers on their way to the matrix unit. Bytes and nibbles become
bfloat16 by setting bits, two values to an instruction, never by a conversion instruction, of which the chip does few.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from bot.engine.local.kernels.products_triton import gate_up, store

_EIGHT = tl.constexpr((tl.bfloat16,) * 8)


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
    """Four bfloat16 tensors of the four e4m3 bytes of int32 words: bits moved, then the exponent's bias (2**120)."""
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
):
    """int8 or e4m3 weight, int32 [outputs, words] (packing.py), scale float32 [outputs]; share: blocks of BW words."""
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    m = tl.arange(0, BM)
    k = tl.arange(0, BW)
    first = tl.program_id(1) * share
    last = tl.minimum(first + share, words // BW)
    row = tl.minimum(n, outputs - 1)
    w_at = weight + row[:, None] * words + k[None, :]
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
        acc = gate_up(acc, acc2, scale, n, outputs, True)
    store(acc, scale, bias, out + tl.program_id(1) * rows * outputs, n, m, rows, outputs, not GATED, HAS_BIAS)


@triton.jit
def _nibbles(word):
    """Eight bfloat16 tensors 128 + q of the nibbles q of int32 words, lowest first; two words at a time.

    The 128 goes with the zero point, see `nibbles_kernel`.
    """
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
):
    """int4 weight as int32 [outputs, words], meta int32 [groups, outputs] (packing.py); share: blocks of 64 words.

    A group's part is scale · Σ (q - zero) x = scale · (Σ (128 + q) x - (128 + zero) Σ x); Σ x is a product as well.
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
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    x_at = x + m[None, :] * inputs + k[:, None]
    acc = tl.zeros((BN, BM), tl.float32)
    acc2 = tl.zeros((BN, BM), tl.float32)
    ones = tl.full((BN, 64), 1.0, tl.bfloat16)
    at = meta + row + tl.minimum(first, words // 64 - 1) * 4 * stride
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
        acc = gate_up(acc, acc2, bias, n, outputs, False)
    store(acc, bias, bias, out + tl.program_id(1) * rows * outputs, n, m, rows, outputs, False, HAS_BIAS)


@triton.jit
def _group(word, zero, scale):
    """(q - zero) · scale of the two low nibbles of int32 words, two words at a time; zero: 128 + zero. All bfloat16."""
    return tl.inline_asm_elementwise(
        """{
        .reg .b32 p, a;
        prmt.b32 p, $2, $3, 0x5410;
        lop3.b32 a, p, 0x000f000f, 0x43004300, 0xea;
        sub.rn.bf16x2 a, a, $4;
        mul.rn.bf16x2 $0, a, $5;
        shr.u32 p, p, 4;
        lop3.b32 a, p, 0x000f000f, 0x43004300, 0xea;
        sub.rn.bf16x2 a, a, $4;
        mul.rn.bf16x2 $1, a, $5;
        }""",
        "=&r,=&r,r,r,r,r",
        [word, zero, scale],
        dtype=(tl.bfloat16, tl.bfloat16),
        is_pure=True,
        pack=2,
    )


@triton.jit
def _group_of(word, at):
    """The two parts of the group whose nibbles are lowest in word [BN, 64]; at: its meta [BN]."""
    meta = tl.load(at)
    zero = (meta & 0xFFFF).to(tl.int16).to(tl.bfloat16, bitcast=True)
    scale = (meta >> 16).to(tl.int16).to(tl.bfloat16, bitcast=True)
    return _group(word, zero[:, None], scale[:, None])


@triton.jit(do_not_specialize=["rows", "share"])
def wide_nibbles_kernel(
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
):
    """As `nibbles_kernel`, for more rows: weights become bfloat16 before they are multiplied, group by group."""
    n = tl.program_id(0) * BN + tl.arange(0, BN)
    m = tl.arange(0, BM)
    k = tl.arange(0, 64)
    first = tl.program_id(1) * share
    last = tl.minimum(first + share, words // 64)
    row = tl.minimum(n, outputs - 1)
    w_at = weight + row[:, None] * words + k[None, :]
    meta_rows: tl.constexpr = 2 if GATED else 1
    stride = outputs * meta_rows
    if PDL:
        gdc_wait()
        gdc_launch_dependents()
    x_at = x + m[None, :] * inputs + k[:, None]
    acc = tl.zeros((BN, BM), tl.float32)
    acc2 = tl.zeros((BN, BM), tl.float32)
    for block in range(first, last):
        word = tl.load(w_at + block * 64)
        word2 = word
        if GATED:
            word2 = tl.load(w_at + block * 64 + outputs * words)
        for group in tl.static_range(4):
            here = block * 512 + group * 128
            inside = (m < rows)[None, :]
            if EVEN:
                low = tl.load(x_at + here, mask=inside, other=0.0)
                high = tl.load(x_at + here + 64, mask=inside, other=0.0)
            else:
                low = tl.load(x_at + here, mask=inside & (k + here < inputs)[:, None], other=0.0)
                high = tl.load(x_at + here + 64, mask=inside & (k + here + 64 < inputs)[:, None], other=0.0)
            at = meta + row + (block * 4 + group) * stride
            part = _group_of(word >> (8 * group), at)
            acc = tl.dot(part[1], high, tl.dot(part[0], low, acc))
            if GATED:
                part2 = _group_of(word2 >> (8 * group), at + outputs)
                acc2 = tl.dot(part2[1], high, tl.dot(part2[0], low, acc2))
    if GATED:
        acc = gate_up(acc, acc2, bias, n, outputs, False)
    store(acc, bias, bias, out + tl.program_id(1) * rows * outputs, n, m, rows, outputs, False, HAS_BIAS)


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
