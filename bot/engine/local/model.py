"""What a model family offers the engine: prompts, pictures, and the layers of its decoder.

One file per family in `models/`. Shapes: N tokens of any number of sequences, one after another; D the hidden size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from bot.engine.base import GenerateRequest


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture made ready for the vision tower, on the CPU.

    key: names its content and size (SHA-256 of the bytes received, and the grid): equal keys mean equal features.
    pixels: [patches, values of a patch], in the model's dtype or float32. grid: rows and columns of patches. tokens:
    how many it takes in the prompt.
    """

    key: str
    pixels: Tensor
    grid: tuple[int, int]
    tokens: int


@dataclass(frozen=True, slots=True)
class Span:
    """Where a picture stands in a prompt: tokens `start` to `start + picture.tokens`."""

    start: int
    picture: Picture


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt in tokens. positions: int64 [axes, len(ids)]; the answer's token number i (from 0) has position
    `next_position + i` on every axis. spans: in order, not overlapping. unpenalised: so many tokens at the beginning
    may be repeated at no penalty."""

    ids: tuple[int, ...]
    spans: tuple[Span, ...]
    positions: Tensor
    next_position: int
    unpenalised: int = 0


class Attend(Protocol):
    """Stores the new keys and values and attends: the cache's side of a layer.

    query: [N, heads, head size]; key and value: [N, key-value heads, head size], rotated already; all may be slices of
    one tensor. Returns
    [N, heads, head size]. Causal within each sequence, over what the cache holds of it.
    """

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Paged:
    """Where a decode step finds and puts keys and values, on CUDA.

    keys, values: [layers, blocks, block size, key-value heads, head size]. slots: int64 [B], the new token's place.
    table: int32 [B, most blocks], each sequence's blocks; lengths: int32 [B], tokens with the new one.
    """

    keys: Tensor
    values: Tensor
    slots: Tensor
    table: Tensor
    lengths: Tensor


@dataclass(frozen=True, slots=True)
class Shape:
    """What the cache and the runner must know: kv_heads and head_size per layer, hidden and vocabulary sizes."""

    layers: int
    heads: int
    kv_heads: int
    head_size: int
    hidden: int
    vocabulary: int
    position_axes: int


class Model(ABC):
    """A loaded model. `encode` and `prepare` run on any thread; everything else on the engine's own."""

    name: str
    shape: Shape
    device: torch.device
    dtype: torch.dtype
    #: tokens that end an answer
    stop_ids: frozenset[int]
    #: tokens of prompt and answer together
    context_tokens: int
    #: how tokens are picked where the checkpoint's generation_config.json says nothing, in its words
    generation: Mapping[str, Any] = {}

    @abstractmethod
    def encode(self, request: GenerateRequest) -> Prompt:
        """The prompt of a request, its pictures prepared. Raises RequestRejected for a picture that cannot be read."""

    @abstractmethod
    def decode_text(self, ids: Sequence[int]) -> str:
        """The text of some tokens, special ones left out; an unfinished character gives U+FFFD at the end."""

    @abstractmethod
    def count_text(self, text: str) -> int:
        """Tokens of a text."""

    @abstractmethod
    def count_picture(self, width: int, height: int) -> int:
        """Tokens of a picture of so many pixels."""

    @abstractmethod
    def see(self, pictures: Sequence[Picture]) -> Iterator[list[Tensor]]:
        """Features of pictures in their order, [tokens, D] each, in the model's dtype on its device.

        They come one or several at a time; an empty list is a pause, in which answers go on. What lies between two of
        them should take no more than about 20 ms on a card.
        """

    @abstractmethod
    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings [N, D] of ids [N] on the device."""

    @abstractmethod
    def layers(self, x: Tensor, positions: Tensor, attend: Attend, seen: Sequence[slice]) -> Tensor:
        """All decoder layers: x [N, D] and positions [axes, N] in, [N, D] before the final norm out.

        seen: which of the N tokens are a picture's; some families treat them apart.
        """

    def step(self, ids: Tensor, positions: Tensor, paged: Paged) -> Tensor | None:
        """One token of each sequence, ids [B] at positions [B] on every axis: float32 logits [B, vocabulary].

        For CUDA, with static shapes, so that it can be captured in a graph; None where a family has no such path.
        """
        return None

    @abstractmethod
    def logits(self, x: Tensor) -> Tensor:
        """The final norm and the head: [M, D] to float32 [M, vocabulary]."""
