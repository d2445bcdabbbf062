"""A decoder layer of the GLM-4.1V/4.6V family, and the rotary positions of its heads."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bot.engine.local.linear import Linear, MakeLinear
from bot.engine.local.model import Attend
from bot.engine.local.models.glm4v_config import TextConfig
from bot.engine.local.operations import gated_silu, rms_norm, turn
from bot.engine.local.shards import Shards

AXES = 3


class Rotary:
    """Angles of rotary positions: pairs of a head's first `rotary` values, each pair turned by one of the axes."""

    def __init__(self, config: TextConfig, device: torch.device) -> None:
        steps = torch.arange(0, config.rotary, 2, dtype=torch.float32) / config.rotary
        self._frequencies = (1.0 / config.theta**steps).to(device)
        axes = [number % AXES for number, size in enumerate(config.sections) for _ in range(size)]
        self._axes = torch.tensor(axes, device=device)

    def __call__(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """cos and sin [N, 1, rotary] for positions [3, N]."""
        angles = positions.index_select(0, self._axes).T.float() * self._frequencies
        angles = angles.repeat_interleave(2, dim=-1)[:, None]
        return angles.cos().to(dtype), angles.sin().to(dtype)


@dataclass(frozen=True, slots=True)
class Layer:
    """A decoder layer: norms before and after both attention and MLP, inside the residual sums."""

    config: TextConfig
    before_attention: Tensor
    after_attention: Tensor
    before_mlp: Tensor
    after_mlp: Tensor
    qkv: Linear
    out: Linear
    gate_up: Linear
    down: Linear

    def __call__(self, x: Tensor, number: int, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
        """x [N, D] in and out."""
        config, epsilon = self.config, self.config.epsilon
        heads = self.qkv(rms_norm(x, self.before_attention, epsilon)).view(len(x), -1, config.head_size)
        turned = turn(heads[:, : config.heads + config.kv_heads], cos, sin)
        query, key = turned[:, : config.heads], turned[:, config.heads :]
        found = attend(number, query, key, heads[:, config.heads + config.kv_heads :])
        x = x + rms_norm(self.out(found.flatten(1)), self.after_attention, epsilon)
        inner = gated_silu(self.gate_up(rms_norm(x, self.before_mlp, epsilon)))
        return x + rms_norm(self.down(inner), self.after_mlp, epsilon)


def take_layer(config: TextConfig, shards: Shards, make: MakeLinear, name: str) -> Layer:
    """Take a layer's weights; q, k and v become one product."""
    hidden, inner = config.hidden, config.intermediate
    order = ("input_layernorm", "post_self_attn_layernorm", "post_attention_layernorm", "post_mlp_layernorm")
    norms = [shards.take(f"{name}.{norm}.weight", (hidden,)) for norm in order]
    sizes = {"q": config.heads, "k": config.kv_heads, "v": config.kv_heads}
    rows = {part: count * config.head_size for part, count in sizes.items()}
    attention = f"{name}.self_attn"
    weight = torch.cat([shards.take(f"{attention}.{part}_proj.weight", (rows[part], hidden)) for part in rows])
    bias = torch.cat([shards.take(f"{attention}.{part}_proj.bias", (rows[part],)) for part in rows])
    qkv = make(f"{attention}.qkv_proj", weight, bias)

    def product(part: str, shape: tuple[int, int]) -> Linear:
        return make(f"{name}.{part}", shards.take(f"{name}.{part}.weight", shape), None)

    out = product("self_attn.o_proj", (hidden, config.heads * config.head_size))
    gate_up, down = product("mlp.gate_up_proj", (2 * inner, hidden)), product("mlp.down_proj", (hidden, inner))
    return Layer(config, norms[0], norms[1], norms[2], norms[3], qkv, out, gate_up, down)
