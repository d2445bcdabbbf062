"""The InternLM-XComposer2 family (VL, composition, their 4-bit checkpoints, 4KHD, 2.5) in plain torch.

Written from the published description of the model and the names in its checkpoints; none of their code is run.
Shapes: N tokens, D the hidden size. Positions have two axes: a token's place, and the last place that was computed with
it first, which dynamic NTK scaling asks for; within the context that the model was trained for it changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bot.engine.base import GenerateRequest
from bot.engine.local.attention import BlockAttention
from bot.engine.local.linear import Linear, MakeLinear, has_kernels, make_dense
from bot.engine.local.model import Attend, Model, Paged, Picture, Prompt, Shape, Span
from bot.engine.local.models.xcomposer2_config import XComposer2Config, read_config
from bot.engine.local.models.xcomposer2_layer import LayerReader, Rotary
from bot.engine.local.models.xcomposer2_pictures import PictureReader
from bot.engine.local.models.xcomposer2_prompt import PromptWriter
from bot.engine.local.models.xcomposer2_tokenizer import Tokenizer
from bot.engine.local.models.xcomposer2_vision import Sight
from bot.engine.local.operations import rms_norm
from bot.engine.local.shards import Shards
from bot.engine.local.wording import Turn, word

AXES = 2


def load(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    make: MakeLinear = make_dense,
    *,
    name: str = "",
    shards: Shards | None = None,
    mode: str = "base",
) -> XComposer2:
    """The model of a checkpoint folder. Raises ConfigError for a folder that is not one of this family.

    shards: where its tensors come from; None: from the folder. mode: of 2.5, "base", "write" or "web".
    """
    shards = shards or Shards(folder, device, dtype)
    return XComposer2(name or folder.name, read_config(folder, shards), Tokenizer(folder), shards, make, mode)


class XComposer2(Model):
    """See Model."""

    #: the reference's, for requests that leave it open
    generation: Mapping[str, Any] = MappingProxyType(
        {"do_sample": True, "temperature": 1.0, "top_p": 0.8, "top_k": 50, "repetition_penalty": 1.005}
    )

    def __init__(
        self,
        name: str,
        config: XComposer2Config,
        tokenizer: Tokenizer,
        shards: Shards,
        make: MakeLinear,
        mode: str = "base",
    ) -> None:
        self.name = name
        self.shape = Shape(
            config.layers, config.heads, config.kv_heads, config.head_size, config.hidden, config.vocabulary, AXES
        )
        self.device = shards.device
        self.dtype = shards.dtype
        self.stop_ids = tokenizer.stops
        self.context_tokens = config.context
        self._config = config
        self._tokenizer = tokenizer
        self._writer = PromptWriter(tokenizer, config.variant)
        self._reader = PictureReader(config)
        table = (config.vocabulary, config.hidden)
        self._embedding = shards.take("model.tok_embeddings.weight", table)
        reader = LayerReader(config, shards, make, mode)
        self._layers = [reader.take(number) for number in range(config.layers)]
        self._norm = shards.take("model.norm.weight", (config.hidden,))
        self._head = make("output", shards.take("output.weight", table), None)
        self._rotary = Rotary(config, shards.device)
        self.sight = Sight(config.vision, config.hidden, shards, make, tiled=config.tiles > 0)
        shards.skip_ending("rotary_emb.inv_freq")
        shards.finish()
        self._fused = self.dtype == torch.bfloat16 and has_kernels(self.device) and self._fits_kernels()

    def encode(self, request: GenerateRequest) -> Prompt:
        turns = word(request)
        return self.prompt(self._writer.ids(turns), self._prepare(request, turns))

    def prompt(self, short: Sequence[int | None], pictures: Sequence[Picture]) -> Prompt:
        """Ids with None in the place of each picture."""
        ids: list[int] = []
        spans: list[Span] = []
        coming = iter(pictures)
        for token in short:
            if token is not None:
                ids.append(token)
                continue
            picture = next(coming)
            spans.append(Span(len(ids), picture))
            # What stands under a picture is never looked up; no answer contains it.
            ids += [self._tokenizer.unknown] * picture.tokens
        places = torch.arange(len(ids))
        positions = torch.stack([places, torch.full_like(places, len(ids) - 1)])
        # The reference's prompts with pictures are embeddings, in which its repetition penalty sees no words.
        return Prompt(tuple(ids), tuple(spans), positions, len(ids), len(ids) if spans else 0)

    def decode_text(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids)

    def count_text(self, text: str) -> int:
        return self._tokenizer.count(text)

    def count_picture(self, width: int, height: int) -> int:
        return self._reader.tokens(width, height)

    def see(self, pictures: Sequence[Picture]) -> Iterator[list[Tensor]]:
        return self.sight.look(pictures)

    def embed(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self._embedding)

    def layers(self, x: Tensor, positions: Tensor, attend: Attend, seen: Sequence[slice]) -> Tensor:
        cos, sin = self._rotary(positions, x.dtype)
        if self._fused and isinstance(attend, BlockAttention):
            # Triton is there with CUDA only.
            from bot.engine.local.models.xcomposer2_step import prefill

            return prefill(x, self._layers, cos, sin, attend, seen)
        for number, layer in enumerate(self._layers):
            x = layer(x, number, cos, sin, attend, seen)
        return x

    def step(self, ids: Tensor, positions: Tensor, paged: Paged) -> Tensor | None:
        if not self._fused:
            return None
        from bot.engine.local.kernels.products import product
        from bot.engine.local.models.xcomposer2_step import step

        cos, sin = self._rotary.within(positions, self.dtype)
        hidden = step(self.embed(ids), self._layers, self._norm, cos, sin, paged)
        return product(hidden, self._head.weight, dtype=torch.float32)

    def logits(self, x: Tensor) -> Tensor:
        return self._head(rms_norm(x, self._norm, self._config.epsilon)).float()

    def products(self) -> list[Linear]:
        """What a decode step reads: the layers' products and the head."""
        layers = [one for layer in self._layers for one in (layer.qkv, layer.out, layer.gate_up, layer.down)]
        return [*layers, self._head]

    def _fits_kernels(self) -> bool:
        """The kernels are made for heads of 128 values and whole groups of columns."""
        config = self._config
        whole = config.head_size == 128 and not (config.hidden % 256 or config.intermediate % 128)
        return whole and not any(layer.biased for layer in self._layers)

    def _prepare(self, request: GenerateRequest, turns: Sequence[Turn]) -> list[Picture]:
        """The pictures shown, in order; one that is shown twice is read once."""
        shown = [image.sha256 for turn in turns for image in turn.images]
        several = len(shown) > 1
        ready = {
            sha256: self._reader.read(sha256, request.pictures[sha256], several=several)
            for sha256 in dict.fromkeys(shown)
        }
        # Half the bytes on their way to the card.
        halved = {sha256: replace(one, pixels=one.pixels.to(self.dtype)) for sha256, one in ready.items()}
        return [halved[sha256] for sha256 in shown]
