"""How the models of one device share its memory: weights first, then caches.

What is left beside the weights is divided in proportion to what each cache would like. Where the models do not fit
together, each gets all of it, and they take the device in turn (see residence.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

#: contexts that a cache must hold at least: questions come several at a time, reports do not
_FEWEST = {"light": 4, "heavy": 1}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a model would like; bytes. weights: by kind, the best first. context: of the cache for one whole context.

    contexts: of its cache, at most. fixed: weights and cache together, where somebody said so.
    """

    role: str
    weights: tuple[tuple[str, int], ...]
    context: int
    contexts: int
    fixed: int | None = None

    def least(self, weights: int) -> int:
        """The smallest that works."""
        return self.fixed or weights + min(_FEWEST[self.role], self.contexts) * self.context

    def most(self, weights: int) -> int:
        """What more would not help."""
        return self.fixed or weights + self.contexts * self.context


@dataclass(frozen=True, slots=True)
class Share:
    """What a model gets: the kind of its weights, and bytes for them and the cache. alone: not beside the others."""

    kind: str
    bytes: int
    alone: bool = False


def divide(wishes: Sequence[Wish], room: int) -> list[Share]:
    """A share for each. One that does not even fit alone gets everything: loading it will say what is missing."""
    together = _together(wishes, room)
    if together is not None:
        return together
    shares = [(_together([wish], room) or [Share(wish.weights[-1][0], room)])[0] for wish in wishes]
    return [Share(share.kind, share.bytes, alone=len(wishes) > 1) for share in shares]


def _together(wishes: Sequence[Wish], room: int) -> list[Share] | None:
    """The best kinds that fit beside each other: as many bytes of weights as possible, the light model's first."""
    fitting = [
        kinds
        for kinds in product(*(wish.weights for wish in wishes))
        if sum(wish.least(size) for wish, (_, size) in zip(wishes, kinds, strict=True)) <= room
    ]
    if not fitting:
        return None
    kinds = max(fitting, key=lambda kinds: [size for _, size in kinds])
    least = [wish.least(size) for wish, (_, size) in zip(wishes, kinds, strict=True)]
    wanted = [wish.most(size) - small for wish, (_, size), small in zip(wishes, kinds, least, strict=True)]
    spare, asked = room - sum(least), sum(wanted)
    parts = [more if asked <= spare else spare * more // asked for more in wanted]
    return [Share(kind, small + part) for (kind, _), small, part in zip(kinds, least, parts, strict=True)]
