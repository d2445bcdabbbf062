"""Which sequences are computed in the next step.

Answers that are being written go on in every step. Beside them, one step computes at most `chunk` tokens of prompts, so
that a long prompt never stalls the others for long. Questions go before reports, among equals whoever has the fewest
answers running, then the oldest. When the cache is full, what was let in last (reports first) goes back to the queue:
its beginning stays cached as long as there is room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from bot.engine.local.cache import BlockCache
from bot.engine.local.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens `start` to `end` of a sequence's prompt, to be computed now."""

    sequence: Sequence
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Copy:
    """A block of the cache to be copied into another."""

    source: int
    target: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One step: copies first, then prompts, then one token for each of `decode`."""

    copies: tuple[Copy, ...] = ()
    prefill: tuple[Chunk, ...] = ()
    decode: tuple[Sequence, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.prefill or self.decode)


@dataclass
class Scheduler:
    """Holds the queue and the running sequences; pure bookkeeping over a BlockCache."""

    cache: BlockCache
    most_running: int = 64
    chunk: int = 512
    waiting: list[Sequence] = field(default_factory=list[Sequence])
    running: list[Sequence] = field(default_factory=list[Sequence])

    def add(self, sequence: Sequence) -> None:
        """Queue a request."""
        self.waiting.append(sequence)

    def plan(self) -> Plan:
        """The next step; blocks for all of it are taken. Empty when there is nothing to do."""
        decode = self._grow()
        copies = list(self._admit())
        return Plan(tuple(copies), tuple(self._chunks()), decode)

    def computed(self, plan: Plan) -> None:
        """A step was carried out: what it computed can be found by others."""
        for chunk in plan.prefill:
            chunk.sequence.computed = chunk.end
            if chunk.end == len(chunk.sequence.tokens):
                chunk.sequence.state = "decode"
            self._name(chunk.sequence)
        for sequence in plan.decode:
            sequence.computed += 1
            self._name(sequence)

    def finish(self, sequence: Sequence) -> None:
        """Take a sequence out; what it computed stays cached for the next turn."""
        if sequence in self.running:
            self.running.remove(sequence)
            content = sequence.content
            self.cache.name(content, sequence.blocks, sequence.chains, sequence.computed, last=True)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
        self._let_go(sequence)
        sequence.state = "done"

    def restart(self) -> None:
        """All running sequences go back to the queue, with nothing computed; nobody holds a block then."""
        for sequence in list(self.running):
            self._push_back(sequence)

    def _grow(self) -> tuple[Sequence, ...]:
        """The running answers, each with room for its newest token."""
        for sequence in [one for one in self.running if one.state == "decode"]:
            if sequence.state == "decode" and not self._room(sequence, len(sequence.tokens)):
                self._push_back(sequence)
        return tuple(one for one in self.running if one.state == "decode")

    def _room(self, sequence: Sequence, tokens: int) -> bool:
        """Blocks for so many tokens in all; others are pushed back where that helps."""
        missing = -(-tokens // self.cache.block_size) - len(sequence.blocks)
        while missing > 0:
            taken = self.cache.take(missing)
            if taken is not None:
                sequence.blocks += taken
                return True
            victim = max((one for one in self.running if one is not sequence), key=_last, default=None)
            if victim is None or _last(victim) < _last(sequence):
                return False
            self._push_back(victim)
        return True

    def _admit(self) -> Iterator[Copy]:
        """Let in what fits, as long as this step has prompt tokens to spare."""
        spare = self.chunk - sum(len(one.tokens) - one.computed for one in self.running if one.state == "prefill")
        while self.waiting and len(self.running) < self.most_running and spare > 0:
            sequence = self._next()
            hit = self.cache.find(sequence.content)
            self.cache.hold(hit.blocks)
            own = self.cache.take(-(-len(sequence.tokens) // self.cache.block_size) - len(hit.blocks))
            if own is None:
                self.cache.release(hit.blocks)
                return
            sequence.blocks, sequence.chains = [*hit.blocks, *own], list(hit.chains)
            sequence.computed = hit.tokens
            sequence.cached = max(sequence.cached, min(hit.tokens, len(sequence.prompt.ids)))
            sequence.state = "prefill"
            self.waiting.remove(sequence)
            self.running.append(sequence)
            spare -= len(sequence.tokens) - sequence.computed
            if hit.partial is not None:
                yield Copy(hit.partial, own[0])

    def _next(self) -> Sequence:
        busy = Counter(one.salt for one in self.running)
        return min(self.waiting, key=lambda one: (one.priority != "quick", busy[one.salt], one.number))

    def _chunks(self) -> Iterator[Chunk]:
        left = self.chunk
        prompts = [one for one in self.running if one.state == "prefill"]
        for sequence in sorted(prompts, key=lambda one: (one.priority != "quick", one.number)):
            end = min(len(sequence.tokens), sequence.computed + left)
            if end > sequence.computed:
                yield Chunk(sequence, sequence.computed, end)
                left -= end - sequence.computed

    def _name(self, sequence: Sequence) -> None:
        self.cache.name(sequence.content, sequence.blocks, sequence.chains, sequence.computed, last=False)

    def _push_back(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self._let_go(sequence)
        sequence.state = "waiting"
        self.waiting.append(sequence)

    def _let_go(self, sequence: Sequence) -> None:
        self.cache.release(sequence.blocks)
        sequence.blocks, sequence.chains, sequence.computed = [], [], 0


def _last(sequence: Sequence) -> tuple[bool, int]:
    """Reports after questions, the newest last: who has to wait first."""
    return sequence.priority != "quick", sequence.number
