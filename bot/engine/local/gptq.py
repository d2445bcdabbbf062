"""Weights in auto-gptq's 4-bit form (v1), made whole.

qweight: int32 [inputs / 8, outputs], the lowest nibble the first of eight neighbouring inputs. qzeros: int32 [groups,
outputs / 8], one less than the zero, nibbles by output. scales: float16 [groups, outputs]. g_idx: int32 [inputs], each
input's group (any order with act-order). W[input, output] = scale · (q − (z + 1)). Source: AutoGPTQ 0.7.1,
`qlinear_cuda_old.py`; AutoAWQ's form has other nibbles and other names, and is refused.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bot.engine.local.shards import Shards
from bot.errors import ConfigError

_NIBBLES = 8


def take_weight(shards: Shards, name: str, shape: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
    """Weight [outputs, inputs] and bias [outputs] of a product, however it is stored. Raises ConfigError.

    Products quantised by auto-gptq lie one level deeper, under `linear`. A bias that is all zeros is none: auto-gptq
    writes one for every product.
    """
    if f"{name}.qweight" in shards:
        raise ConfigError(f"{shards.folder}: {name} is quantised by AWQ, which is not read: take the 16-bit weights")
    inner = f"{name}.linear" if f"{name}.linear.qweight" in shards or f"{name}.linear.weight" in shards else name
    if f"{inner}.qweight" in shards:
        weight = _quantised(shards, inner, shape)
    else:
        weight = shards.take(f"{inner}.weight", shape)
    bias = shards.take(f"{inner}.bias", shape[:1]) if f"{inner}.bias" in shards else None
    return weight, bias if bias is not None and bool(bias.any()) else None


def _quantised(shards: Shards, name: str, shape: tuple[int, int]) -> Tensor:
    outputs, inputs = shape
    words = shards.take_raw(f"{name}.qweight")
    zeros, scales = shards.take_raw(f"{name}.qzeros"), shards.take_raw(f"{name}.scales")
    if tuple(words.shape) != (inputs // _NIBBLES, outputs):
        found = tuple(words.shape)
        raise ConfigError(f"{shards.folder}: {name}.qweight has shape {found}, config.json says {shape} in 4 bits")
    if f"{name}.g_idx" in shards:
        groups = shards.take_raw(f"{name}.g_idx").long()
    else:
        groups = torch.arange(inputs, device=words.device) // -(-inputs // scales.shape[0])
    return dequantise(words, zeros, scales, groups).to(shards.dtype).T.contiguous()


def dequantise(words: Tensor, zeros: Tensor, scales: Tensor, groups: Tensor) -> Tensor:
    """float32 [inputs, outputs]; shapes as above, groups int64 [inputs]."""
    shifts = 4 * torch.arange(_NIBBLES, device=words.device, dtype=torch.int32)
    values = ((words[:, None, :] >> shifts[None, :, None]) & 15).flatten(0, 1)
    offsets = ((zeros[:, :, None] >> shifts) & 15).flatten(1) + 1
    return scales.float()[groups] * (values - offsets[groups]).float()
