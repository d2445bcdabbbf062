"""Random tensors in the place of a checkpoint's: for speed, never for quality."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bot.engine.local.shards import Shards


class RandomShards(Shards):
    """Gives out random tensors of given shapes, made on the device."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self.dtype = dtype
        self._where = dict.fromkeys(shapes, "")
        self._shapes = shapes
        self._random = torch.Generator(device).manual_seed(1)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._shapes[name]

    def take(self, name: str, shape: tuple[int, ...] | None = None) -> Tensor:
        del self._where[name]
        size = self._shapes[name]
        assert shape in (None, size), (name, shape, size)
        if len(size) == 1:
            return (torch.ones if name.endswith("weight") else torch.zeros)(size, device=self.device, dtype=self.dtype)
        return 0.02 * torch.randn(size, device=self.device, dtype=self.dtype, generator=self._random)

    def finish(self) -> None:
        assert not self._where, sorted(self._where)[:3]
