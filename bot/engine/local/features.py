"""Features of pictures that were seen lately, so that a second question about one does not look again.

They are named by the picture alone: whoever asks about the same bytes shares them. What an owner has asked about is
forgotten with the last one who has.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from bot.engine.local.model import Picture

#: as `Model.see`
See = Callable[[Sequence[Picture]], Iterator[list[Tensor]]]


@dataclass(slots=True)
class _Kept:
    """Features [tokens, D], and the salts of those who asked about the picture."""

    features: Tensor
    owners: set[str] = field(default_factory=set[str])


class FeatureCache:
    """The last used pictures' features, of at most `most_bytes` together, but never less than what a step needs."""

    def __init__(self, see: See, most_bytes: int) -> None:
        self._see = see
        self._most = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        # What is being looked at, in the order in which the work gives it.
        self._coming: list[Picture] = []
        self._work: Iterator[list[Tensor]] = iter(())

    def look(self, wanted: Mapping[str, Picture], owners: Mapping[str, set[str]]) -> bool:
        """True where all pictures wanted, by key, have been seen; else a slice of the work is done.

        owners: the salts of those who ask about each. Raises what the model raises; then nothing is being looked at.
        """
        missing = [picture for key, picture in wanted.items() if key not in self._kept]
        if missing:
            self._advance(missing, wanted)
        for key in wanted:
            if key in self._kept:
                self._kept[key].owners |= owners[key]
                self._kept.move_to_end(key)
        return not missing

    def __contains__(self, key: str) -> bool:
        return key in self._kept

    def __getitem__(self, key: str) -> Tensor:
        return self._kept[key].features

    def forget(self, salt: str) -> None:
        """What only this owner has asked about."""
        for key, kept in list(self._kept.items()):
            kept.owners.discard(salt)
            if not kept.owners:
                self._drop(key)

    def clear(self) -> None:
        """Give the memory back."""
        self._kept.clear()
        self._bytes = 0
        self._stop()

    def _advance(self, missing: Sequence[Picture], wanted: Mapping[str, Picture]) -> None:
        if not self._coming:
            self._coming = list(missing)
            self._work = self._see(missing)
        try:
            found = next(self._work)
        except BaseException:
            self._stop()
            raise
        for features in found:
            self._keep(self._coming.pop(0).key, features, wanted)
        if not self._coming:
            self._stop()

    def _keep(self, key: str, features: Tensor, wanted: Mapping[str, Picture]) -> None:
        self._kept[key] = _Kept(features)
        self._bytes += features.nbytes
        for old in [one for one in self._kept if one not in wanted and one != key]:
            if self._bytes > self._most:
                self._drop(old)

    def _drop(self, key: str) -> None:
        self._bytes -= self._kept.pop(key).features.nbytes

    def _stop(self) -> None:
        self._coming = []
        self._work = iter(())
