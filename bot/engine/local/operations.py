"""What happens between the matrix products, in plain torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Root-mean-square norm over the last axis; in float32, as every family's reference computes it."""
    wide = x.float()
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
    return weight * wide.to(x.dtype)


def gated_silu(gate_and_up: Tensor) -> Tensor:
    """silu(gate) · up of a fused product: [..., 2 M] to [..., M]."""
    gate, up = gate_and_up.chunk(2, dim=-1)
    return up * F.silu(gate)
