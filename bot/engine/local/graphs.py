"""Decode steps as CUDA graphs: a few batch sizes, captured once, replayed for every token."""

from __future__ import annotations

from collections.abc import Sequence as List
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bot.engine.local.attention import KeyValues
from bot.engine.local.model import Model, Paged
from bot.engine.local.sequence import Row

SIZES = (1, 2, 4, 8, 16, 32, 64)
MOST_ROWS = SIZES[-1]


@dataclass(frozen=True, slots=True)
class _Graph:
    """A captured step and where it leaves its logits."""

    graph: torch.cuda.CUDAGraph
    logits: Tensor


class DecodeGraphs:
    """Steps of up to 64 sequences; rows that are left over store nothing and attend to nothing.

    most_tokens: of a sequence, at most.
    """

    def __init__(self, model: Model, memory: KeyValues, most_tokens: int) -> None:
        self._model = model
        self._memory = memory
        self._blocks = -(-most_tokens // memory.block_size)
        rows, device = SIZES[-1], model.device
        # One transfer a step: ids, positions, slots, lengths, then the table.
        self._host = torch.zeros(rows, 4 + self._blocks, dtype=torch.int32).pin_memory()
        self._inputs = torch.zeros_like(self._host, device=device)
        self._sent = torch.cuda.Event()
        self._graphs: dict[int, _Graph] = {}
        self._pool: Any = None

    def capture(self) -> None:
        """Capture all sizes, the largest first, so that they share memory."""
        for size in reversed(SIZES):
            self._graphs[size] = self._capture(size)

    def run(self, rows: List[Row]) -> Tensor:
        """Float32 logits [rows, vocabulary]; they are overwritten by the next run.

        Rows may be neighbouring tokens of one sequence: each attends to what stands before it, the others included.
        """
        size = next(size for size in SIZES if len(rows) <= size)
        self._fill(rows, size)
        found = self._graphs[size]
        found.graph.replay()
        return found.logits[: len(rows)]

    def _fill(self, rows: List[Row], size: int) -> None:
        # What was filled in last may still be on its way.
        self._sent.synchronize()
        host, block_size = self._host.numpy(), self._memory.block_size
        host[:size, :4] = 0
        host[:size, 2] = -1
        for number, (one, place) in enumerate(rows):
            slot = one.blocks[place // block_size] * block_size + place % block_size
            host[number, :4] = *one.fed(place, place + 1), one.position(place), slot, place + 1
            host[number, 4 : 4 + len(one.blocks)] = one.blocks
        self._inputs[:size].copy_(self._host[:size], non_blocking=True)
        self._sent.record()

    def _capture(self, size: int) -> _Graph:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._step(size)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            logits = self._step(size)
        self._pool = self._pool or graph.pool()
        return _Graph(graph, logits)

    def _step(self, size: int) -> Tensor:
        columns = self._inputs[:size]
        memory = self._memory
        paged = Paged(
            memory.keys,
            memory.values,
            columns[:, 2].long(),
            columns[:, 4:].contiguous(),
            columns[:, 3].contiguous(),
        )
        logits = self._model.step(columns[:, 0].long(), columns[:, 1].long(), paged)
        assert logits is not None
        return logits
