"""Matrix products of a model: one interface, whatever the weights are stored as."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from bot.engine.local.checkpoint import is_decoder
from bot.engine.local.kernels import packing
from bot.engine.local.kernels.packing import Packed


class Linear(Protocol):
    """y = x Wᵀ + b: [..., inputs] to [..., outputs]. weight: as the kernels take it; bias: [outputs] or None."""

    weight: Tensor | Packed
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor: ...

    @property
    def nbytes(self) -> int:
        """What a product has to read of the weight."""
        ...


#: makes a Linear of its name in the model, weight [outputs, inputs] and bias [outputs] or None
MakeLinear = Callable[[str, Tensor, Tensor | None], Linear]


class DenseLinear:
    """The weight as it is."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.weight: Tensor | Packed = weight
        self.bias = bias
        self._dense = weight

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self._dense, self.bias)

    @property
    def nbytes(self) -> int:
        return self._dense.nbytes


class PackedLinear:
    """A quantised weight: read by kernels on cards that have them, elsewhere made whole for each product."""

    def __init__(self, weight: Packed, bias: Tensor | None = None) -> None:
        self.weight: Tensor | Packed = weight
        self.bias = bias
        self._packed = weight

    def __call__(self, x: Tensor) -> Tensor:
        if x.dtype == torch.bfloat16 and has_kernels(x.device):
            from bot.engine.local.kernels import products

            rows = x.reshape(-1, x.shape[-1]).contiguous()
            return products.product(rows, self._packed, self.bias).view(*x.shape[:-1], -1)
        return F.linear(x, packing.unpack(self._packed, x.dtype), self.bias)

    @property
    def nbytes(self) -> int:
        return self._packed.bytes


@cache
def has_kernels(device: torch.device) -> bool:
    """Whether the kernels run on a device."""
    if device.type != "cuda":
        return False
    from bot.engine.local.kernels import products

    return products.usable(device)


def make_dense(name: str, weight: Tensor, bias: Tensor | None) -> Linear:
    """A MakeLinear that changes nothing."""
    del name
    return DenseLinear(weight, bias)


def make_packed(kind: str) -> MakeLinear:
    """A MakeLinear for int8, int4 or fp8 in the decoder's layers.

    The head and the vision tower stay as they are, but beside int4 they are int8: there memory counts most.
    """

    def make(name: str, weight: Tensor, bias: Tensor | None) -> Linear:
        decoder = is_decoder(name)
        if not decoder and kind != "int4":
            return DenseLinear(weight, bias)
        return PackedLinear(packing.pack(weight, kind if decoder else "int8"), bias)

    return make
