"""The GLM-4.1V/4.6V family (GLM-4.1V-9B-Thinking, GLM-4.6V-Flash) in plain torch.

Source: transformers `modeling_glm4v.py`, whose results these are. Shapes: N tokens, D the hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from bot.engine.base import GenerateRequest
from bot.engine.local.linear import Linear, MakeLinear, make_dense
from bot.engine.local.model import Attend, Model, Picture, Prompt, Shape, Span
from bot.engine.local.models.glm4v_config import Glm4vConfig, TextConfig, read_config
from bot.engine.local.models.glm4v_pictures import PictureReader
from bot.engine.local.models.glm4v_prompt import PromptWriter
from bot.engine.local.models.glm4v_vision import VisionTower
from bot.engine.local.operations import gated_silu, rms_norm
from bot.engine.local.shards import Shards
from bot.engine.local.wording import Turn, word
from bot.errors import ConfigError

_AXES = 3
_PREFIX = "model.language_model"


def load(
    folder: Path, device: torch.device, dtype: torch.dtype, make: MakeLinear = make_dense, *, name: str = ""
) -> Glm4v:
    """The model of a checkpoint folder. Raises ConfigError for a folder that is not one of this family."""
    config = read_config(folder)
    return Glm4v(name or folder.name, config, PromptWriter(folder), Shards(folder, device, dtype), make)


class Glm4v(Model):
    """See Model."""

    def __init__(self, name: str, config: Glm4vConfig, writer: PromptWriter, shards: Shards, make: MakeLinear) -> None:
        text = config.text
        self.name = name
        self.shape = Shape(
            text.layers, text.heads, text.kv_heads, text.head_size, text.hidden, text.vocabulary, position_axes=_AXES
        )
        self.device = shards.device
        self.dtype = shards.dtype
        self.stop_ids = config.stop_ids
        self.context_tokens = text.context
        self._config = config
        self._writer = writer
        self._reader = PictureReader(config.pictures)
        self._embedding = shards.take(f"{_PREFIX}.embed_tokens.weight", (text.vocabulary, text.hidden))
        self._layers = [_layer(text, shards, make, f"{_PREFIX}.layers.{number}") for number in range(text.layers)]
        self._norm = shards.take(f"{_PREFIX}.norm.weight", (text.hidden,))
        self._head = make("lm_head", _head_weight(config, shards, self._embedding), None)
        self._rotary = _Rotary(text, shards.device)
        self._tower = VisionTower(config.vision, shards, make)
        shards.finish()

    def encode(self, request: GenerateRequest) -> Prompt:
        turns = word(request)
        short = self._writer.ids(turns, thinking=request.priority == "report")
        pictures = self._prepare(request, turns)
        if short.count(self._config.image_token) != len(pictures):
            shown = short.count(self._config.image_token)
            raise ConfigError(f"{self.name}: the chat template shows {shown} of {len(pictures)} pictures")
        ids: list[int] = []
        spans: list[Span] = []
        coming = iter(pictures)
        for token in short:
            if token != self._config.image_token:
                ids.append(token)
                continue
            picture = next(coming)
            spans.append(Span(len(ids), picture))
            ids += [token] * picture.tokens
        positions, following = place(len(ids), spans, self._config.pictures.merge)
        return Prompt(tuple(ids), tuple(spans), positions, following)

    def decode_text(self, ids: Sequence[int]) -> str:
        return self._writer.text(ids)

    def count_text(self, text: str) -> int:
        return self._writer.count(text)

    def count_picture(self, width: int, height: int) -> int:
        return self._reader.tokens(width, height)

    def see(self, pictures: Sequence[Picture]) -> list[Tensor]:
        if not pictures:
            return []
        pixels = torch.cat([picture.pixels for picture in pictures]).to(self.device, self.dtype)
        features = self._tower(pixels, [picture.grid for picture in pictures])
        return list(features.split_with_sizes([picture.tokens for picture in pictures]))

    def embed(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self._embedding)

    def layers(self, x: Tensor, positions: Tensor, attend: Attend, seen: Tensor | None) -> Tensor:
        cos, sin = self._rotary(positions, x.dtype)
        for number, layer in enumerate(self._layers):
            x = layer(x, number, cos, sin, attend)
        return x

    def logits(self, x: Tensor) -> Tensor:
        return self._head(rms_norm(x, self._norm, self._config.text.epsilon)).float()

    def _prepare(self, request: GenerateRequest, turns: Sequence[Turn]) -> list[Picture]:
        """The pictures shown, in order; one that is shown twice is read once."""
        shown = [image.sha256 for turn in turns for image in turn.images]
        ready = {
            sha256: self._reader.read(sha256, request.pictures[sha256], request.max_sides.get(sha256, 0))
            for sha256 in dict.fromkeys(shown)
        }
        return [ready[sha256] for sha256 in shown]


def place(length: int, spans: Sequence[Span], merge: int) -> tuple[Tensor, int]:
    """Positions [3, length] by time, row and column, and the position after them.

    Text counts up on all axes. A picture stays at one time; its rows and columns count from there; what follows it
    begins after its longer side. Source: Glm4vModel.get_rope_index.
    """
    positions = torch.empty(_AXES, length, dtype=torch.int64)
    done = following = 0
    for span in spans:
        gap = span.start - done
        positions[:, done : span.start] = torch.arange(following, following + gap)
        following += gap
        rows, columns = (side // merge for side in span.picture.grid)
        done = span.start + span.picture.tokens
        within = torch.arange(span.picture.tokens)
        positions[0, span.start : done] = following
        positions[1, span.start : done] = following + within // columns
        positions[2, span.start : done] = following + within % columns
        following += max(rows, columns)
    positions[:, done:] = torch.arange(following, following + length - done)
    return positions, following + length - done


class _Rotary:
    """Angles of rotary positions: pairs of a head's first `rotary` values, each pair turned by one of the axes."""

    def __init__(self, config: TextConfig, device: torch.device) -> None:
        steps = torch.arange(0, config.rotary, 2, dtype=torch.float32) / config.rotary
        self._frequencies = (1.0 / config.theta**steps).to(device)
        axes = [number % _AXES for number, size in enumerate(config.sections) for _ in range(size)]
        self._axes = torch.tensor(axes, device=device)

    def __call__(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """cos and sin [N, 1, rotary] for positions [3, N]."""
        angles = positions.index_select(0, self._axes).T.float() * self._frequencies
        angles = angles.repeat_interleave(2, dim=-1)[:, None]
        return angles.cos().to(dtype), angles.sin().to(dtype)


@dataclass(frozen=True, slots=True)
class _Layer:
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
        turned = _turn(heads[:, : config.heads + config.kv_heads], cos, sin)
        query, key = turned[:, : config.heads], turned[:, config.heads :]
        found = attend(number, query, key, heads[:, config.heads + config.kv_heads :])
        x = x + rms_norm(self.out(found.flatten(1)), self.after_attention, epsilon)
        inner = gated_silu(self.gate_up(rms_norm(x, self.before_mlp, epsilon)))
        return x + rms_norm(self.down(inner), self.after_mlp, epsilon)


def _turn(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the first values of heads [N, heads, head size], even and odd neighbours together."""
    turned, rest = heads[..., : cos.shape[-1]], heads[..., cos.shape[-1] :]
    across = torch.stack((-turned[..., 1::2], turned[..., 0::2]), dim=-1).flatten(-2)
    return torch.cat((turned * cos + across * sin, rest), dim=-1)


def _layer(config: TextConfig, shards: Shards, make: MakeLinear, name: str) -> _Layer:
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
    return _Layer(config, norms[0], norms[1], norms[2], norms[3], qkv, out, gate_up, down)


def _head_weight(config: Glm4vConfig, shards: Shards, embedding: Tensor) -> Tensor:
    if config.tied:
        shards.skip("lm_head.weight")
        return embedding
    return shards.take("lm_head.weight", (config.text.vocabulary, config.text.hidden))
