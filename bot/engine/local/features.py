"""Features of pictures that were seen lately, so that a second question about one does not look again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from torch import Tensor

from bot.engine.local.model import Picture


class FeatureCache:
    """The last used pictures' features, [tokens, D] each, of at most `most_bytes` together."""

    def __init__(self, see: Callable[[Sequence[Picture]], list[Tensor]], most_bytes: int) -> None:
        self._see = see
        self._most = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, Tensor] = OrderedDict()

    def features(self, pictures: Sequence[Picture]) -> dict[str, Tensor]:
        """By key; those that are not kept are looked at together."""
        wanted = {picture.key: picture for picture in pictures}
        fresh = [picture for key, picture in wanted.items() if key not in self._kept]
        found = {key: self._kept[key] for key in wanted if key in self._kept}
        if fresh:
            for picture, features in zip(fresh, self._see(fresh), strict=True):
                found[picture.key] = features
                self._keep(picture.key, features)
        for key in wanted:
            if key in self._kept:
                self._kept.move_to_end(key)
        return found

    def clear(self) -> None:
        """Give the memory back."""
        self._kept.clear()
        self._bytes = 0

    def _keep(self, key: str, features: Tensor) -> None:
        self._kept[key] = features
        self._bytes += features.nbytes
        while self._bytes > self._most and self._kept:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
