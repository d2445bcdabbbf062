"""A decoder layer of the InternLM-XComposer2 family: InternLM2's, with partial LoRA on the tokens of pictures.

The checkpoint keeps q, k and v of a key-value group together. Here they are taken apart, and within each head of q and
k the halves that turn together become neighbours, as the kernels have them: products of q and k stay what they are.
Shapes: N tokens, D the hidden size, R a rank, S values of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bot.engine.local.gptq import take_weight
from bot.engine.local.linear import Linear, MakeLinear
from bot.engine.local.model import Attend
from bot.engine.local.models.xcomposer2_config import LAYERS, XComposer2Config
from bot.engine.local.operations import gated_silu, rms_norm, turn
from bot.engine.local.shards import Shards

#: of 2.5: further low-rank matrices, applied to all tokens, by what is to be written
MODES = {"base": (), "write": ("sft", "dpo"), "web": ("web",)}
_EXTRA = ("sft", "dpo", "web")


class Rotary:
    """Angles of rotary positions, with dynamic NTK scaling beyond the context that the model was trained for.

    A token turns by the base that belongs to the length of what was computed with it: `last` is the last place of that.
    """

    def __init__(self, config: XComposer2Config, device: torch.device) -> None:
        size = config.head_size
        self._config = config
        self._steps = torch.arange(0, size, 2, dtype=torch.float32, device=device) / size
        self._frequencies = 1.0 / config.theta**self._steps

    def __call__(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """cos and sin [N, S] of positions [2, N]: place and `last`; each angle twice."""
        return _angles(positions[0, :, None].float() * self._scaled(positions[1] + 1), dtype)

    def within(self, places: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The same for places [N] of sequences that are no longer than the context."""
        return _angles(places[:, None].float() * self._frequencies, dtype)

    def _scaled(self, lengths: Tensor) -> Tensor:
        """Frequencies [N, S / 2], or the same for all [S / 2], for total lengths [N]."""
        config = self._config
        if not config.ntk:
            return self._frequencies
        size, longer = config.head_size, lengths.double() / config.context
        # Shorter ones come out below 1.
        grown = (config.ntk * longer - (config.ntk - 1)).clamp(min=1.0) ** (size / (size - 2))
        return 1.0 / (config.theta * grown).float()[:, None] ** self._steps


def _angles(angles: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    twice = angles.repeat_interleave(2, dim=-1)
    return twice.cos().to(dtype), twice.sin().to(dtype)


@dataclass(frozen=True, slots=True)
class Plora:
    """Low-rank products that are added for some tokens; several share one input.

    down: [Σ R, inputs]; ups: [outputs, R] each, their scale multiplied in; the outputs lie one behind the other.
    """

    down: Tensor
    ups: tuple[Tensor, ...]

    def add(self, y: Tensor, x: Tensor, seen: Sequence[slice]) -> Tensor:
        """y [N, outputs] with the products of x [N, inputs] added where pictures are; y changes."""
        for rows in seen:
            column = rank = 0
            inner = F.linear(x[rows], self.down)
            for up in self.ups:
                outputs, each = up.shape
                y[rows, column : column + outputs].addmm_(inner[:, rank : rank + each], up.T)
                column, rank = column + outputs, rank + each
        return y


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer's weights. norms come before attention and MLP; *_plora belongs to the product of its name."""

    config: XComposer2Config
    before_attention: Tensor
    before_mlp: Tensor
    qkv: Linear
    out: Linear
    gate_up: Linear
    down: Linear
    qkv_plora: Plora
    out_plora: Plora
    gate_up_plora: Plora
    down_plora: Plora

    def __call__(
        self, x: Tensor, number: int, cos: Tensor, sin: Tensor, attend: Attend, seen: Sequence[slice]
    ) -> Tensor:
        """x [N, D] in and out; seen: the rows of pictures."""
        config = self.config
        hidden = rms_norm(x, self.before_attention, config.epsilon)
        heads = self.qkv_plora.add(self.qkv(hidden), hidden, seen).view(len(x), -1, config.head_size)
        turned = turn(heads[:, : config.heads + config.kv_heads], cos[:, None], sin[:, None])
        query, key = turned[:, : config.heads], turned[:, config.heads :]
        found = attend(number, query, key, heads[:, config.heads + config.kv_heads :]).flatten(1)
        x = x + self.out_plora.add(self.out(found), found, seen)
        hidden = rms_norm(x, self.before_mlp, config.epsilon)
        inner = gated_silu(self.gate_up_plora.add(self.gate_up(hidden), hidden, seen))
        return x + self.down_plora.add(self.down(inner), inner, seen)

    @property
    def biased(self) -> bool:
        """A product other than qkv has a bias, which the kernels of decode steps do not know."""
        return any(one.bias is not None for one in (self.out, self.gate_up, self.down))


class LayerReader:
    """Takes layers out of a checkpoint. mode: one of MODES."""

    def __init__(self, config: XComposer2Config, shards: Shards, make: MakeLinear, mode: str = "base") -> None:
        self._config = config
        self._shards = shards
        self._make = make
        self._sets = MODES[mode]

    def take(self, number: int) -> Layer:
        """One layer. Raises ConfigError."""
        config, name = self._config, f"{LAYERS}.{number}"
        hidden, inner = config.hidden, config.intermediate
        width = (config.heads + 2 * config.kv_heads) * config.head_size
        norms = [self._shards.take(f"{name}.{norm}.weight", (hidden,)) for norm in ("attention_norm", "ffn_norm")]
        order = apart(config).to(self._shards.device)
        qkv = self._product(f"{name}.attention", {"wqkv": (width, hidden)}, config.scale[0], order)
        out = self._product(f"{name}.attention", {"wo": (hidden, config.heads * config.head_size)}, config.scale[1])
        gate_up = self._product(f"{name}.feed_forward", dict.fromkeys(("w1", "w3"), (inner, hidden)), config.scale[1])
        down = self._product(f"{name}.feed_forward", {"w2": (hidden, inner)}, config.scale[1])
        return Layer(
            config, norms[0], norms[1], qkv[0], out[0], gate_up[0], down[0], qkv[1], out[1], gate_up[1], down[1]
        )

    def _product(
        self, where: str, shapes: dict[str, tuple[int, int]], scale: float, order: Tensor | None = None
    ) -> tuple[Linear, Plora]:
        """Products of one input as one, their rows in another order, and what PLoRA adds to it."""
        weights, biases, downs, ups = list[Tensor](), list[Tensor | None](), list[Tensor](), list[Tensor]()
        for part, shape in shapes.items():
            name = f"{where}.{part}"
            weight, bias = take_weight(self._shards, name, shape)
            down = self._shards.take(f"{name}.Plora_A.weight")
            up = self._shards.take(f"{name}.Plora_B.weight", (shape[0], down.shape[0])) * scale
            weight = self._with_sets(name, weight)
            if order is not None:
                weight, up, bias = weight[order], up[order], None if bias is None else bias[order]
            weights.append(weight)
            biases.append(bias)
            downs.append(down)
            ups.append(up.contiguous())
        linear = self._make(f"{where}.{'_'.join(shapes)}", _joined(weights), _joined_biases(biases, weights))
        return linear, Plora(_joined(downs), tuple(ups))

    def _with_sets(self, name: str, weight: Tensor) -> Tensor:
        """What applies to all tokens is part of the weight."""
        for extra in _EXTRA:
            down, up = (f"{name}.lora_{extra}_{side}.weight" for side in "AB")
            if extra not in self._sets:
                self._shards.skip(down)
                self._shards.skip(up)
            else:
                weight = weight + self._shards.take(up) @ self._shards.take(down)
        return weight


def apart(config: XComposer2Config) -> Tensor:
    """Rows of wqkv in our order: queries, keys, values, and in the first two the halves of a head as neighbours.

    The checkpoint has, for each key-value head, its queries, its key and its value.
    """
    size, each = config.head_size, config.heads // config.kv_heads
    rows = torch.arange(config.kv_heads * (each + 2) * size).view(config.kv_heads, each + 2, size)
    neighbours = torch.arange(size).view(2, -1).T.flatten()
    query, key, value = rows[:, :each], rows[:, each], rows[:, each + 1]
    return torch.cat([query[..., neighbours].flatten(), key[..., neighbours].flatten(), value.flatten()])


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0].contiguous() if len(tensors) == 1 else torch.cat(list(tensors))


def _joined_biases(biases: Sequence[Tensor | None], weights: Sequence[Tensor]) -> Tensor | None:
    if all(bias is None for bias in biases):
        return None
    pairs = zip(biases, weights, strict=True)
    return _joined([weight.new_zeros(len(weight)) if bias is None else bias for bias, weight in pairs])
