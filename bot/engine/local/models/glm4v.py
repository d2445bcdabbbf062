"""The GLM-4.1V/4.6V family (GLM-4.1V-9B-Thinking, GLM-4.6V-Flash) in plain torch.

Source: transformers `modeling_glm4v.py`, whose results these are. Shapes: N tokens, D the hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from bot.engine.base import GenerateRequest
from bot.engine.local.attention import BlockAttention
from bot.engine.local.linear import Linear, MakeLinear, has_kernels, make_dense
from bot.engine.local.model import Attend, Model, Paged, Picture, Prompt, Shape, Span
from bot.engine.local.models.glm4v_config import Glm4vConfig, TextConfig, read_config
from bot.engine.local.models.glm4v_layer import AXES, Rotary, take_layer
from bot.engine.local.models.glm4v_pictures import PictureReader
from bot.engine.local.models.glm4v_prompt import PromptWriter
from bot.engine.local.models.glm4v_vision import VisionTower
from bot.engine.local.operations import rms_norm
from bot.engine.local.shards import Shards
from bot.engine.local.wording import Turn, word
from bot.errors import ConfigError

_PREFIX = "model.language_model"
#: patches
_BUSY = 2048


def load(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    make: MakeLinear = make_dense,
    *,
    name: str = "",
    shards: Shards | None = None,
) -> Glm4v:
    """The model of a checkpoint folder. Raises ConfigError for a folder that is not one of this family.

    shards: where its tensors come from; None: from the folder.
    """
    config = read_config(folder)
    shards = shards or Shards(folder, device, dtype)
    return Glm4v(name or folder.name, config, PromptWriter(folder), shards, make)


class Glm4v(Model):
    """See Model."""

    def __init__(self, name: str, config: Glm4vConfig, writer: PromptWriter, shards: Shards, make: MakeLinear) -> None:
        text = config.text
        self.name = name
        self.shape = Shape(
            text.layers, text.heads, text.kv_heads, text.head_size, text.hidden, text.vocabulary, position_axes=AXES
        )
        self.device = shards.device
        self.dtype = shards.dtype
        self.stop_ids = config.stop_ids
        self.context_tokens = text.context
        self._fused = self.dtype == torch.bfloat16 and has_kernels(self.device) and _fits_kernels(text)
        self._config = config
        self._writer = writer
        self._reader = PictureReader(config.pictures)
        self._embedding = shards.take(f"{_PREFIX}.embed_tokens.weight", (text.vocabulary, text.hidden))
        self._layers = [take_layer(text, shards, make, f"{_PREFIX}.layers.{number}") for number in range(text.layers)]
        self._norm = shards.take(f"{_PREFIX}.norm.weight", (text.hidden,))
        self._head = make("lm_head", _head_weight(config, shards, self._embedding), None)
        self._rotary = Rotary(text, shards.device)
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

    def see(self, pictures: Sequence[Picture]) -> Iterator[list[Tensor]]:
        for group in _groups(pictures):
            pixels = torch.cat([picture.pixels.to(self.device, self.dtype) for picture in group])
            for features in self._tower.look(pixels, [picture.grid for picture in group]):
                sizes = [picture.tokens for picture in group]
                yield [] if features is None else list(features.split_with_sizes(sizes))

    def embed(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self._embedding)

    def layers(self, x: Tensor, positions: Tensor, attend: Attend, seen: Sequence[slice]) -> Tensor:
        cos, sin = self._rotary(positions, x.dtype)
        if self._fused and isinstance(attend, BlockAttention):
            # Triton is there with CUDA only.
            from bot.engine.local.models.glm4v_step import prefill

            return prefill(x, self._layers, cos.squeeze(1), sin.squeeze(1), attend)
        for number, layer in enumerate(self._layers):
            x = layer(x, number, cos, sin, attend)
        return x

    def step(self, ids: Tensor, positions: Tensor, paged: Paged) -> Tensor | None:
        if not self._fused:
            return None
        from bot.engine.local.kernels.products import product
        from bot.engine.local.models.glm4v_step import step

        cos, sin = self._rotary(positions.expand(AXES, -1), self.dtype)
        hidden = step(self.embed(ids), self._layers, self._norm, cos.squeeze(1), sin.squeeze(1), paged)
        return product(hidden, self._head.weight, dtype=torch.float32)

    def logits(self, x: Tensor) -> Tensor:
        return self._head(rms_norm(x, self._norm, self._config.text.epsilon)).float()

    def products(self) -> list[Linear]:
        """What a decode step reads: the layers' products and the head."""
        layers = [one for layer in self._layers for one in (layer.qkv, layer.out, layer.gate_up, layer.down)]
        return [*layers, self._head]

    def _prepare(self, request: GenerateRequest, turns: Sequence[Turn]) -> list[Picture]:
        """The pictures shown, in order; one that is shown twice is read once."""
        shown = [image.sha256 for turn in turns for image in turn.images]
        ready = {
            sha256: self._reader.read(sha256, request.pictures[sha256], request.max_sides.get(sha256, 0))
            for sha256 in dict.fromkeys(shown)
        }
        # Half the bytes on their way to the card.
        halved = {sha256: replace(one, pixels=one.pixels.to(self.dtype)) for sha256, one in ready.items()}
        return [halved[sha256] for sha256 in shown]


def place(length: int, spans: Sequence[Span], merge: int) -> tuple[Tensor, int]:
    """Positions [3, length] by time, row and column, and the position after them.

    Text counts up on all axes. A picture stays at one time; its rows and columns count from there; what follows it
    begins after its longer side. Source: Glm4vModel.get_rope_index.
    """
    positions = torch.empty(AXES, length, dtype=torch.int64)
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


def _groups(pictures: Sequence[Picture]) -> Iterator[list[Picture]]:
    """Neighbours that together keep a card busy: a large one stays alone, so that nobody waits for others' pictures."""
    group: list[Picture] = []
    for picture in pictures:
        group.append(picture)
        if sum(len(one.pixels) for one in group) >= _BUSY:
            yield group
            group = []
    if group:
        yield group


def _fits_kernels(config: TextConfig) -> bool:
    """The kernels are made for heads of 128 values and whole groups of columns."""
    return config.head_size == 128 and not (config.hidden % 256 or config.intermediate % 128)


def _head_weight(config: Glm4vConfig, shards: Shards, embedding: Tensor) -> Tensor:
    if config.tied:
        shards.skip("lm_head.weight")
        return embedding
    return shards.take("lm_head.weight", (config.text.vocabulary, config.text.hidden))
