"""What lies between the products of a decode step, for CUDA: each function one kernel.

They read a product as it comes, bfloat16 [M, N] or float32 shares [shares, M, N] (`products.parts`), and add it up. All
tensors are contiguous.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bot.engine.local.kernels import triton_code
from bot.engine.local.kernels.products import LAUNCH

_NORM_WARPS = 8


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """norm(x) · weight: [M, D] to [M, D]."""
    return _norms(x, None, None, weight, epsilon)[1]


def add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """x + residual, and norm(x + residual) · weight; [M, D] each."""
    return _norms(x, residual, None, weight, epsilon)


def sandwich_norm(x: Tensor, residual: Tensor, post: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """r = residual + norm(x) · post, and norm(r) · weight; [M, D] each."""
    return _norms(x, residual, post, weight, epsilon)


def _norms(
    x: Tensor, residual: Tensor | None, post: Tensor | None, weight: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    code = triton_code("pointwise")

    shares, rows, width = _shape(x)
    out = torch.empty(rows, width, dtype=torch.bfloat16, device=x.device)
    kept = out if residual is None else torch.empty_like(out)
    code.norm_kernel[(rows,)](
        x, out if residual is None else residual, weight if post is None else post, weight, kept, out,
        rows * width, width, epsilon, SHARES=shares, RESIDUAL=residual is not None, POST=post is not None,
        SIZE=1 << (width - 1).bit_length(), PDL=LAUNCH.overlap, num_warps=_NORM_WARPS, launch_pdl=LAUNCH.overlap,
    )  # fmt: skip
    return kept, out


def rope_and_store(
    qkv: Tensor, bias: Tensor | None, cos: Tensor, sin: Tensor, slots: Tensor, keys: Tensor, values: Tensor, heads: int
) -> Tensor:
    """Bias, rotation, keys and values into their slots; the query [M, heads, size] comes back.

    qkv: of heads + 2 key-value heads, [M, …] or shares of it. cos and sin: [M, rotary], each angle twice; neighbouring
    values turn together. slots: integers [M], a token's place in keys and values [blocks, block size, key-value heads,
    size]; a negative one is not stored.
    """
    code = triton_code("pointwise")

    shares, rows, width = _shape(qkv)
    kv_heads, size = keys.shape[-2], keys.shape[-1]
    query = torch.empty(rows, heads, size, dtype=torch.bfloat16, device=qkv.device)
    code.rope_kernel[(rows, heads + 2 * kv_heads)](
        qkv, query if bias is None else bias, cos, sin, slots, query, keys, values, rows * width,
        SHARES=shares, HAS_BIAS=bias is not None, HEADS=heads, KV_HEADS=kv_heads, SIZE=size, ROTARY=cos.shape[-1],
        PDL=LAUNCH.overlap, num_warps=1, launch_pdl=LAUNCH.overlap,
    )  # fmt: skip
    return query


def gated_silu(x: Tensor) -> Tensor:
    """silu(gate) · up: [M, 2 I] with gate first to [M, I]."""
    code = triton_code("pointwise")

    rows, width = x.shape[0], x.shape[1] // 2
    out = torch.empty(rows, width, dtype=x.dtype, device=x.device)
    code.silu_kernel[(rows, -(-width // 1024))](
        x, out, width, SIZE=1024, PDL=LAUNCH.overlap, num_warps=4, launch_pdl=LAUNCH.overlap
    )
    return out


def add_parts(parts: Tensor, bias: Tensor | None = None, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Σ of shares [shares, M, N], plus bias [N]: [M, N]."""
    code = triton_code("pointwise")

    shares, rows, width = _shape(parts)
    out = torch.empty(rows, width, dtype=dtype, device=parts.device)
    code.add_kernel[(rows, -(-width // 512))](
        parts, parts if bias is None else bias, out, width, rows * width, SHARES=shares, HAS_BIAS=bias is not None,
        SIZE=512, PDL=LAUNCH.overlap, num_warps=2, launch_pdl=LAUNCH.overlap,
    )  # fmt: skip
    return out


def _shape(x: Tensor) -> tuple[int, int, int]:
    """Shares, rows and width."""
    return (1, x.shape[0], x.shape[1]) if x.dim() == 2 else (x.shape[0], x.shape[1], x.shape[2])
