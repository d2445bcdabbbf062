"""Matrix products of a model: one interface, whatever the weights are stored as."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor


class Linear(Protocol):
    """y = x Wᵀ + b: [..., inputs] to [..., outputs]."""

    def __call__(self, x: Tensor) -> Tensor: ...


#: makes a Linear of its name in the model, weight [outputs, inputs] and bias [outputs] or None
MakeLinear = Callable[[str, Tensor, Tensor | None], Linear]


class DenseLinear:
    """The weight as it is."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.weight = weight
        self.bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


def make_dense(name: str, weight: Tensor, bias: Tensor | None) -> Linear:
    """A MakeLinear that changes nothing."""
    del name
    return DenseLinear(weight, bias)
