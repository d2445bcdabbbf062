"""Carries out a plan: copies blocks, computes prompts and single tokens, and gives back logits."""

from __future__ import annotations

from collections.abc import Sequence as List

import torch
from torch import Tensor

from bot.engine.local.attention import BlockAttention, KeyValues, Part
from bot.engine.local.features import FeatureCache
from bot.engine.local.model import Model, Span
from bot.engine.local.scheduler import Chunk, Plan
from bot.engine.local.sequence import Sequence


class Runner:
    """Model and cache memory together. Everything runs on the engine's thread, without gradients."""

    def __init__(self, model: Model, blocks: int, block_size: int = 16, feature_bytes: int = 256 << 20) -> None:
        self.model = model
        self.memory = KeyValues(model.shape, blocks, block_size, model.dtype, model.device)
        self.features = FeatureCache(model.see, feature_bytes)

    def resize(self, blocks: int) -> None:
        """A cache of another size, with nothing in it."""
        model, size = self.model, self.memory.block_size
        del self.memory
        self.features.clear()
        if model.device.type == "cuda":
            torch.cuda.empty_cache()
        self.memory = KeyValues(model.shape, blocks, size, model.dtype, model.device)

    @torch.inference_mode()
    def run(self, plan: Plan) -> tuple[list[Sequence], Tensor | None]:
        """The sequences that get a token in this step, and their logits, float32 [sequences, vocabulary]."""
        for copy in plan.copies:
            self.memory.copy(copy.source, copy.target)
        ready: list[Sequence] = []
        logits: list[Tensor] = []
        if plan.prefill:
            done = [chunk.sequence for chunk in plan.prefill if chunk.end == len(chunk.sequence.tokens)]
            found = self._prefill(plan.prefill)
            if found is not None:
                ready += done
                logits.append(found)
        if plan.decode:
            ready += plan.decode
            logits.append(self._decode(plan.decode))
        return ready, torch.cat(logits) if logits else None

    def _prefill(self, chunks: List[Chunk]) -> Tensor | None:
        """Logits of the chunks that end their prompts; None when none does."""
        ids = [token for chunk in chunks for token in chunk.sequence.tokens[chunk.start : chunk.end]]
        x = self.model.embed(self._ints(ids))
        seen = self._show(x, chunks)
        positions = torch.cat([_positions(chunk) for chunk in chunks], 1).to(self.model.device)
        attend = BlockAttention(self.memory, self._slots(chunks), list(self._parts(chunks)))
        x = self.model.layers(x, positions, attend, seen)
        ends, row = [], 0
        for chunk in chunks:
            row += chunk.end - chunk.start
            if chunk.end == len(chunk.sequence.tokens):
                ends.append(row - 1)
        return self.model.logits(x[self._ints(ends)]) if ends else None

    def _decode(self, sequences: List[Sequence]) -> Tensor:
        """One token each."""
        last = [Chunk(one, len(one.tokens) - 1, len(one.tokens)) for one in sequences]
        x = self.model.embed(self._ints([one.tokens[-1] for one in sequences]))
        places = self._ints([one.position(len(one.tokens) - 1) for one in sequences])
        positions = places.expand(self.model.shape.position_axes, -1)
        attend = BlockAttention(self.memory, self._slots(last), list(self._parts(last)))
        return self.model.logits(self.model.layers(x, positions, attend, None))

    def _show(self, x: Tensor, chunks: List[Chunk]) -> Tensor | None:
        """Put the features of pictures in the place of their tokens; which rows they are."""
        under = [(chunk, span) for chunk in chunks for span in chunk.sequence.prompt.spans if _meets(chunk, span)]
        if not under:
            return None
        features = self.features.features([span.picture for _, span in under])
        seen = torch.zeros(x.shape[0], dtype=torch.bool, device=x.device)
        first = {id(chunk): row for chunk, row in zip(chunks, _rows(chunks), strict=True)}
        for chunk, span in under:
            start = max(chunk.start, span.start)
            end = min(chunk.end, span.start + span.picture.tokens)
            rows = slice(first[id(chunk)] + start - chunk.start, first[id(chunk)] + end - chunk.start)
            x[rows] = features[span.picture.key][start - span.start : end - span.start].to(x.dtype)
            seen[rows] = True
        return seen

    def _slots(self, chunks: List[Chunk]) -> Tensor:
        size = self.memory.block_size
        return self._ints(
            [
                chunk.sequence.blocks[place // size] * size + place % size
                for chunk in chunks
                for place in range(chunk.start, chunk.end)
            ]
        )

    def _parts(self, chunks: List[Chunk]) -> List[Part]:
        size = self.memory.block_size
        return [
            Part(
                row,
                row + chunk.end - chunk.start,
                chunk.end,
                self._ints(chunk.sequence.blocks[: -(-chunk.end // size)] if chunk.start else []),
            )
            for chunk, row in zip(chunks, _rows(chunks), strict=True)
        ]

    def _ints(self, values: List[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64).to(self.model.device, non_blocking=True)


def _rows(chunks: List[Chunk]) -> list[int]:
    """The first row of each chunk in the batch."""
    rows = [0]
    for chunk in chunks:
        rows.append(rows[-1] + chunk.end - chunk.start)
    return rows[:-1]


def _positions(chunk: Chunk) -> Tensor:
    """Of a prompt's tokens, and of those of an answer that was pushed back and is computed anew."""
    sequence, known = chunk.sequence, len(chunk.sequence.prompt.ids)
    prompt = sequence.prompt.positions[:, chunk.start : min(chunk.end, known)]
    said = torch.arange(max(chunk.start, known), max(chunk.end, known)) + (sequence.prompt.next_position - known)
    return torch.cat([prompt, said.expand(prompt.shape[0], -1)], 1)


def _meets(chunk: Chunk, span: Span) -> bool:
    return span.start < chunk.end and span.start + span.picture.tokens > chunk.start
