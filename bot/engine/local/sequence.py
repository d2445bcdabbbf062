"""One request on its way through the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from bot.engine.base import Priority, SamplingParams
from bot.engine.local.cache import Content
from bot.engine.local.lookup import Lookup
from bot.engine.local.model import Prompt
from bot.engine.local.repetition import LoopDetector

State = Literal["waiting", "prefill", "decode", "done"]
Finish = Literal["", "stop", "length", "cancelled", "failed"]


@dataclass(eq=False)
class Sequence:
    """A prompt, the tokens that were added to it, and where their keys and values lie.

    number: order of arrival. most: tokens of the answer, at most. computed: tokens whose keys and values are in the
    cache; the newest token never is. draft: guesses of the tokens that follow, computed with the newest to be checked.
    cached: tokens of the prompt that were found there when it was first let in (-1 before that). shared: others may
    find what it computes. emit: told every new token and, at the end, why. text_stop: set by `emit` when a stop text
    has come. All of it belongs to the engine's thread, but `cancelled`, which any thread may set.
    """

    number: int
    prompt: Prompt
    sampling: SamplingParams
    salt: str
    priority: Priority
    most: int
    emit: Callable[[Sequence], None]
    seed: int = 0
    state: State = "waiting"
    tokens: list[int] = field(init=False)
    draft: list[int] = field(default_factory=list[int])
    lookup: Lookup = field(default_factory=Lookup)
    loops: LoopDetector = field(default_factory=LoopDetector)
    blocks: list[int] = field(default_factory=list[int])
    chains: list[bytes] = field(default_factory=list[bytes])
    computed: int = 0
    cached: int = -1
    shared: bool = True
    cancelled: bool = False
    finish: Finish = ""
    error: Exception | None = None
    text_stop: bool = False

    def __post_init__(self) -> None:
        self.tokens = list(self.prompt.ids)

    def fed(self, start: int, end: int) -> list[int]:
        """Tokens `start` to `end`, guesses included."""
        known = len(self.tokens)
        return self.tokens[start:end] + self.draft[max(0, start - known) : max(0, end - known)]

    @property
    def new_tokens(self) -> int:
        """Tokens of the answer so far."""
        return len(self.tokens) - len(self.prompt.ids)

    @property
    def content(self) -> Content:
        """What the cache must know to name its blocks."""
        pictures = tuple((span.start, span.start + span.picture.tokens, span.picture.key) for span in self.prompt.spans)
        return Content(self.salt, self.tokens, pictures)

    def position(self, place: int) -> int:
        """The position of a token of text, which is the same on every axis."""
        known = len(self.prompt.ids)
        return int(self.prompt.positions[0, place]) if place < known else self.prompt.next_position + place - known


class Row(NamedTuple):
    """A token whose successor is wanted: one row of logits."""

    sequence: Sequence
    place: int
