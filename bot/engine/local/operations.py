"""What happens between the matrix products: in plain torch, or by one kernel each on cards that have them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bot.engine.local.linear import has_kernels


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Root-mean-square norm over the last axis; in float32, as every family's reference computes it."""
    if _has_kernel(x):
        from bot.engine.local.kernels import pointwise

        return pointwise.rms_norm(x, weight, epsilon)
    wide = x.float()
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
    return weight * wide.to(x.dtype)


def gated_silu(gate_and_up: Tensor) -> Tensor:
    """silu(gate) · up of a fused product: [..., 2 M] to [..., M]."""
    if _has_kernel(gate_and_up):
        from bot.engine.local.kernels import pointwise

        return pointwise.gated_silu(gate_and_up)
    gate, up = gate_and_up.chunk(2, dim=-1)
    return up * F.silu(gate)


def turn(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the first values of heads [N, heads, size] by cos and sin [N, 1, turned], neighbours together."""
    turned, rest = heads[..., : cos.shape[-1]], heads[..., cos.shape[-1] :]
    across = torch.stack((-turned[..., 1::2], turned[..., 0::2]), dim=-1).flatten(-2)
    return torch.cat((turned * cos + across * sin, rest), dim=-1)


def _has_kernel(x: Tensor) -> bool:
    return x.dtype == torch.bfloat16 and x.dim() == 2 and x.is_contiguous() and has_kernels(x.device)
