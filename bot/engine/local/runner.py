"""Carries out a plan: copies blocks, computes prompts and single tokens, and gives back logits."""

from __future__ import annotations

from collections.abc import Sequence as List

import torch
from torch import Tensor

from bot.engine.local.attention import BlockAttention, KeyValues, Part
from bot.engine.local.features import FeatureCache
from bot.engine.local.graphs import MOST_ROWS, DecodeGraphs
from bot.engine.local.linear import has_kernels
from bot.engine.local.model import Model, Picture, Span
from bot.engine.local.scheduler import Chunk, Plan
from bot.engine.local.sequence import Row


class Runner:
    """Model and cache memory together. Everything runs on the engine's thread, without gradients.

    graphs: capture decode steps, where the device and the model can.
    """

    def __init__(
        self,
        model: Model,
        blocks: int,
        block_size: int = 16,
        feature_bytes: int = 256 << 20,
        *,
        graphs: bool = True,
    ) -> None:
        self.model = model
        self.memory = KeyValues(model.shape, blocks, block_size, model.dtype, model.device)
        self.features = FeatureCache(model.see, feature_bytes)
        self._capture = graphs and model.dtype == torch.bfloat16 and has_kernels(model.device)
        self._graphs: DecodeGraphs | None = None

    @torch.inference_mode()
    def warm(self) -> None:
        """Capture what is captured, and run everything once, so that the first request finds it ready."""
        if self._capture:
            most = min(self.model.context_tokens, self.memory.keys.shape[1] * self.memory.block_size)
            graphs = DecodeGraphs(self.model, self.memory, most)
            graphs.capture()
            self._graphs = graphs

    def resize(self, blocks: int) -> None:
        """A cache of another size, with nothing in it."""
        model, size = self.model, self.memory.block_size
        del self.memory
        self._graphs = None
        self.features.clear()
        if model.device.type == "cuda":
            torch.cuda.empty_cache()
        self.memory = KeyValues(model.shape, blocks, size, model.dtype, model.device)
        self.warm()

    @torch.inference_mode()
    def begin(self, plan: Plan) -> Plan:
        """Copy blocks and look at pictures; what of the plan can be computed now.

        Looking takes its time: where it is not done, or answers have waited for it, the prompts wait for the next step.
        """
        for copy in plan.copies:
            self.memory.copy(copy.source, copy.target)
        wanted: dict[str, Picture] = {}
        owners: dict[str, set[str]] = {}
        for chunk, span in _under(plan.prefill):
            wanted[span.picture.key] = span.picture
            owners.setdefault(span.picture.key, set()).add(chunk.sequence.salt)
        if self.features.look(wanted, owners):
            return plan
        if plan.decode:
            return Plan(decode=plan.decode)
        blind = {chunk for chunk, span in _under(plan.prefill) if span.picture.key not in self.features}
        return Plan(prefill=tuple(chunk for chunk in plan.prefill if chunk not in blind))

    @torch.inference_mode()
    def run(self, plan: Plan) -> tuple[list[Row], Tensor | None]:
        """The rows whose successor is wanted after this step, and their logits, float32 [rows, vocabulary]."""
        rows: list[Row] = []
        logits: list[Tensor] = []
        if plan.prefill:
            found = self._prefill(plan.prefill)
            if found is not None:
                ended = [chunk for chunk in plan.prefill if _ends_prompt(chunk)]
                rows += [Row(chunk.sequence, chunk.end - 1) for chunk in ended]
                logits.append(found)
        if plan.decode:
            newest = [Chunk(one, len(one.tokens) - 1, len(one.tokens) + len(one.draft)) for one in plan.decode]
            rows += (decoded := _each(newest))
            logits.append(self._decode(newest, decoded))
        return rows, torch.cat(logits) if logits else None

    def _prefill(self, chunks: List[Chunk]) -> Tensor | None:
        """Logits of the chunks that end their prompts; None when none does."""
        if self._graphs is not None and _is_short_text(chunks):
            return self._through_graphs(chunks)
        x = self._embed(chunks)
        seen = self._show(x, chunks)
        positions = torch.cat([_positions(chunk) for chunk in chunks], 1).to(self.model.device)
        attend = BlockAttention(self.memory, self._slots(chunks), list(self._parts(chunks)))
        x = self.model.layers(x, positions, attend, seen)
        ends = _ends(chunks)
        return self.model.logits(x[self._ints(ends)]) if ends else None

    def _through_graphs(self, chunks: List[Chunk]) -> Tensor | None:
        """A few tokens of prompts as if each were an answer's: the next question about what is cached."""
        assert self._graphs is not None
        rows = _each(chunks)
        ends, found = _ends(chunks), list[Tensor]()
        for first in range(0, len(rows), MOST_ROWS):
            logits = self._graphs.run(rows[first : first + MOST_ROWS])
            here = [end - first for end in ends if first <= end < first + MOST_ROWS]
            # A copy: the next run overwrites them.
            found.append(logits[self._ints(here)])
        return torch.cat(found) if ends else None

    def _decode(self, newest: List[Chunk], rows: List[Row]) -> Tensor:
        """The newest token of each, and guesses."""
        if self._graphs is not None:
            return self._graphs.run(rows)
        places = self._ints([one.position(place) for one, place in rows])
        positions = places.expand(self.model.shape.position_axes, -1)
        attend = BlockAttention(self.memory, self._slots(newest), list(self._parts(newest)))
        return self.model.logits(self.model.layers(self._embed(newest), positions, attend, ()))

    def _embed(self, chunks: List[Chunk]) -> Tensor:
        ids = [token for chunk in chunks for token in chunk.sequence.fed(chunk.start, chunk.end)]
        return self.model.embed(self._ints(ids))

    def _show(self, x: Tensor, chunks: List[Chunk]) -> list[slice]:
        """Put the features of pictures in the place of their tokens; which rows they are."""
        seen: list[slice] = []
        first = {id(chunk): row for chunk, row in zip(chunks, _rows(chunks), strict=True)}
        for chunk, span in _under(chunks):
            start = max(chunk.start, span.start)
            end = min(chunk.end, span.start + span.picture.tokens)
            rows = slice(first[id(chunk)] + start - chunk.start, first[id(chunk)] + end - chunk.start)
            x[rows] = self.features[span.picture.key][start - span.start : end - span.start].to(x.dtype)
            seen.append(rows)
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
                self._ints(chunk.sequence.blocks[: -(-chunk.end // size)]),
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


def _ends(chunks: List[Chunk]) -> list[int]:
    """The last row of each chunk that ends its prompt."""
    rows = zip(chunks, _rows(chunks), strict=True)
    return [row + chunk.end - chunk.start - 1 for chunk, row in rows if _ends_prompt(chunk)]


def _ends_prompt(chunk: Chunk) -> bool:
    return chunk.end == len(chunk.sequence.tokens)


def _each(chunks: List[Chunk]) -> list[Row]:
    return [Row(chunk.sequence, place) for chunk in chunks for place in range(chunk.start, chunk.end)]


def _under(chunks: List[Chunk]) -> list[tuple[Chunk, Span]]:
    """The pictures that lie under chunks."""
    return [(chunk, span) for chunk in chunks for span in chunk.sequence.prompt.spans if _meets(chunk, span)]


def _is_short_text(chunks: List[Chunk]) -> bool:
    # Two steps take less time than a prompt of few tokens, whose many small kernels keep the card waiting.
    if sum(chunk.end - chunk.start for chunk in chunks) > 2 * MOST_ROWS:
        return False
    return not _under(chunks)


def _positions(chunk: Chunk) -> Tensor:
    """Of a prompt's tokens, and of those of an answer that was pushed back and is computed anew."""
    sequence, known = chunk.sequence, len(chunk.sequence.prompt.ids)
    prompt = sequence.prompt.positions[:, chunk.start : min(chunk.end, known)]
    said = torch.arange(max(chunk.start, known), max(chunk.end, known)) + (sequence.prompt.next_position - known)
    return torch.cat([prompt, said.expand(prompt.shape[0], -1)], 1)


def _meets(chunk: Chunk, span: Span) -> bool:
    return span.start < chunk.end and span.start + span.picture.tokens > chunk.start
