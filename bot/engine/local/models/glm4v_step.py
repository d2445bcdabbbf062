"""The decoder on CUDA with few, fused kernels: `step` for one token of each sequence, fit for a CUDA graph; `prefill`.

The same values as `Glm4v.layers` up to bfloat16's rounding. Between two products there is one kernel: it adds up the
shares of the product before it, and does all that lies between.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from bot.engine.local.attention import BlockAttention
from bot.engine.local.kernels import pointwise, products
from bot.engine.local.kernels.attention import paged_attention
from bot.engine.local.model import Paged
from bot.engine.local.models.glm4v_layer import Layer


def step(x: Tensor, layers: Sequence[Layer], final: Tensor, cos: Tensor, sin: Tensor, paged: Paged) -> Tensor:
    """x [B, D] bfloat16 in, the normed [B, D] that the head reads out. cos, sin: [B, rotary]; final: the last norm."""
    epsilon = layers[0].config.epsilon
    hidden = pointwise.rms_norm(x, layers[0].before_attention, epsilon)
    for number, layer in enumerate(layers):
        keys, values = paged.keys[number], paged.values[number]
        qkv = products.parts(hidden, layer.qkv.weight)
        query = pointwise.rope_and_store(qkv, layer.qkv.bias, cos, sin, paged.slots, keys, values, layer.config.heads)
        found = paged_attention(query, keys, values, paged.table, paged.lengths)
        out = products.parts(found.flatten(1), layer.out.weight)
        x, hidden = pointwise.sandwich_norm(out, x, layer.after_attention, layer.before_mlp, epsilon)
        down = products.parts(products.gated(hidden, layer.gate_up.weight), layer.down.weight)
        following = layers[number + 1].before_attention if number + 1 < len(layers) else final
        x, hidden = pointwise.sandwich_norm(down, x, layer.after_mlp, following, epsilon)
    return hidden


def prefill(x: Tensor, layers: Sequence[Layer], cos: Tensor, sin: Tensor, attend: BlockAttention) -> Tensor:
    """x [N, D] bfloat16 in, [N, D] before the final norm out; the products are the vendor's. cos, sin: [N, rotary]."""
    epsilon = layers[0].config.epsilon
    hidden = pointwise.rms_norm(x, layers[0].before_attention, epsilon)
    for number, layer in enumerate(layers):
        keys, values = attend.memory.keys[number], attend.memory.values[number]
        qkv = layer.qkv(hidden)
        query = pointwise.rope_and_store(qkv, None, cos, sin, attend.slots, keys, values, layer.config.heads)
        out = layer.out(attend.stored(number, query).flatten(1))
        x, hidden = pointwise.sandwich_norm(out, x, layer.after_attention, layer.before_mlp, epsilon)
        down = layer.down(pointwise.gated_silu(layer.gate_up(hidden)))
        following = layers[min(number + 1, len(layers) - 1)].before_attention
        x, hidden = pointwise.sandwich_norm(down, x, layer.after_mlp, following, epsilon)
    return x
