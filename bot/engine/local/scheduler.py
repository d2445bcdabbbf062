"""Which sequences are computed in the next step.

Answers that are being written go on in every step. Beside them, one step computes at most `chunk` tokens of prompts, so
that a long prompt never stalls the others for long; where nobody is stalled, it computes more. Questions go before
reports, among equals whoever has the fewest answers running, then the oldest. When the cache is full, what came last
(reports first) goes back to the queue: its beginning stays cached as long as there is room. A question also sends
reports back to be let in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from bot.engine.local.cache import BlockCache, Hit
from bot.engine.local.sequence import Sequence

#: of one answer, in one step: a guess that follows seven right ones is seldom right
_MOST_GUESSES = 7
#: Beside one answer as many rows as a product on a card takes for little more than one.
GUESSES = 15


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

    def apart(self) -> Iterator[tuple[Sequence, Plan]]:
        """Each sequence's part of it, when the whole has failed; the copies were made by then."""
        for chunk in self.prefill:
            yield chunk.sequence, Plan(prefill=(chunk,))
        for sequence in self.decode:
            yield sequence, Plan(decode=(sequence,))


#: chunks of prompts in one step while no answer waits for it
_ALONE = 4


@dataclass
class Scheduler:
    """Holds the queue and the running sequences; pure bookkeeping over a BlockCache.

    A sequence must fit into the whole cache: then there is always one that goes on. guesses: of next tokens, that a
    step may check beside the tokens it computes.
    """

    cache: BlockCache
    most_running: int = 64
    chunk: int = 512
    guesses: int = GUESSES
    waiting: list[Sequence] = field(default_factory=list[Sequence])
    running: list[Sequence] = field(default_factory=list[Sequence])

    def add(self, sequence: Sequence) -> None:
        """Queue a request."""
        self.waiting.append(sequence)

    def plan(self) -> Plan:
        """The next step; blocks for all of it are taken. Empty when there is nothing to do."""
        self._grow()
        copies = tuple(self._admit())
        self._guess()
        return Plan(copies, tuple(self._chunks()), tuple(one for one in self.running if one.state == "decode"))

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
            self._name(sequence, last=True)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
        self._let_go(sequence)
        sequence.state = "done"

    def drop(self, salt: str) -> None:
        """Forget what is cached of one owner, and what is still being computed."""
        self.cache.drop(salt)
        for sequence in [*self.running, *self.waiting]:
            if sequence.salt == salt:
                sequence.shared = False

    def restart(self) -> None:
        """All running sequences go back to the queue, with nothing computed; nobody holds a block then."""
        for sequence in list(self.running):
            self._push_back(sequence)

    def _grow(self) -> None:
        """Room for the newest token of each running answer; those that came last give theirs where it is missing."""
        for sequence in sorted(self.running, key=_last):
            sequence.draft = []
            if sequence.state == "decode" and not self._room(sequence):
                self._push_back(sequence)

    def _room(self, sequence: Sequence) -> bool:
        missing = self._blocks(sequence) - len(sequence.blocks)
        while missing > 0:
            taken = self.cache.take(missing)
            if taken is not None:
                sequence.blocks += taken
                return True
            victim = max(self.running, key=_last)
            if victim is sequence:
                return False
            self._push_back(victim)
        return True

    def _guess(self) -> None:
        """What may follow the newest token of each answer, shared out evenly, where there are blocks to spare."""
        writing = [one for one in self.running if one.state == "decode"]
        share = min(_MOST_GUESSES, self.guesses // len(writing)) if writing else 0
        for sequence in writing:
            draft = sequence.lookup.guess(sequence.tokens, min(share, sequence.most - sequence.new_tokens - 1))
            room = len(sequence.blocks) * self.cache.block_size - len(sequence.tokens)
            if len(draft) > room and (taken := self.cache.take(1)) is not None:
                sequence.blocks += taken
                room += self.cache.block_size
            sequence.draft = draft[:room]

    @property
    def _prompt_tokens(self) -> int:
        """Tokens of prompts that the next step may compute."""
        return self.chunk if any(one.state == "decode" for one in self.running) else _ALONE * self.chunk

    def _admit(self) -> Iterator[Copy]:
        """Let in what fits, as long as this step has prompt tokens to spare."""
        while self.waiting:
            sequence = self._next()
            if self._ahead(sequence) >= self._prompt_tokens or not self._seat(sequence):
                return
            hit = self.cache.find(sequence.content)
            self.cache.hold(hit.blocks)
            own = self._own(sequence, self._blocks(sequence) - len(hit.blocks))
            if own is None:
                self.cache.release(hit.blocks)
                return
            self._let_in(sequence, hit, own)
            # What is copied may be among the blocks just taken: copies come before anything is written.
            if hit.partial is not None:
                yield Copy(hit.partial, own[0])

    def _next(self) -> Sequence:
        busy = Counter(one.salt for one in self.running)
        return min(self.waiting, key=lambda one: (one.priority != "quick", busy[one.salt], one.number))

    def _ahead(self, sequence: Sequence) -> int:
        """Prompt tokens that are computed before those of a newcomer."""
        before = [
            one for one in self.running if one.state == "prefill" and one.priority in ("quick", sequence.priority)
        ]
        return sum(len(one.tokens) - one.computed for one in before)

    def _seat(self, sequence: Sequence) -> bool:
        """Whether one more may run; a question takes a report's place."""
        if len(self.running) < self.most_running:
            return True
        return sequence.priority == "quick" and self._yield_report()

    def _own(self, sequence: Sequence, count: int) -> list[int] | None:
        """Fresh blocks for a newcomer; a question takes those of reports where that is enough."""
        reports = sum(len(one.blocks) for one in self.running if one.priority != "quick")
        enough = sequence.priority == "quick" and self.cache.free + reports >= count
        while (own := self.cache.take(count)) is None:
            if not enough or not self._yield_report():
                return None
        return own

    def _yield_report(self) -> bool:
        """Push back the report that came last; False where there is none."""
        last = max(self.running, key=_last, default=None)
        if last is None or last.priority == "quick":
            return False
        self._push_back(last)
        return True

    def _let_in(self, sequence: Sequence, hit: Hit, own: list[int]) -> None:
        sequence.blocks, sequence.chains = [*hit.blocks, *own], list(hit.chains)
        sequence.computed = hit.tokens
        if sequence.cached < 0:
            sequence.cached = hit.tokens
        sequence.state = "prefill"
        self.waiting.remove(sequence)
        self.running.append(sequence)

    def _blocks(self, sequence: Sequence) -> int:
        return -(-len(sequence.tokens) // self.cache.block_size)

    def _chunks(self) -> Iterator[Chunk]:
        left = self._prompt_tokens
        prompts = [one for one in self.running if one.state == "prefill"]
        for sequence in sorted(prompts, key=lambda one: (one.priority != "quick", one.number)):
            end = min(len(sequence.tokens), sequence.computed + left)
            if end > sequence.computed:
                yield Chunk(sequence, sequence.computed, end)
                left -= end - sequence.computed

    def _name(self, sequence: Sequence, *, last: bool = False) -> None:
        if sequence.shared:
            self.cache.name(sequence.content, sequence.blocks, sequence.chains, sequence.computed, last=last)

    def _push_back(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self._let_go(sequence)
        sequence.state = "waiting"
        self.waiting.append(sequence)

    def _let_go(self, sequence: Sequence) -> None:
        self.cache.release(sequence.blocks)
        sequence.blocks, sequence.chains, sequence.computed, sequence.draft = [], [], 0, []


def _last(sequence: Sequence) -> tuple[bool, int]:
    """Reports after questions, the newest last: who has to wait first."""
    return sequence.priority != "quick", sequence.number
