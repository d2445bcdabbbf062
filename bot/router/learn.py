"""Logistic regression whose result is the same on every machine.

Only element-wise +, -, *, / and sqrt (IEEE 754 fixes their results) and `bincount` (a plain loop in a fixed order)
are used: no BLAS, whose order of summation depends on the machine, and an exponential of our own. numpy is imported
here and nowhere else in the room; the service never imports this module.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bot.router.features import SIZE, Features
from bot.router.model import VIEWS

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Settings:
    """rounds: full passes. decay: pull of every weight towards zero. seen_in: scenes a feature must occur in."""

    rounds: int = 60
    decay: float = 2e-5
    rate: float = 0.25
    seen_in: int = 2


@dataclass(frozen=True, slots=True)
class Matrix:
    """Sparse: entry i says that example rows[i] has the compacted column columns[i] with the weight values[i]."""

    rows: Array
    columns: Array
    values: Array
    kept: Array
    height: int

    def times(self, weights: Array) -> Array:
        """The product with one column of weights."""
        return np.bincount(self.rows, weights=weights[self.columns] * self.values, minlength=self.height)

    def transposed_times(self, errors: Array) -> Array:
        """The product of the transpose with one error per example."""
        return np.bincount(self.columns, weights=errors[self.rows] * self.values, minlength=len(self.kept))


def matrix(examples: Sequence[Features], scenes: Sequence[str], seen_in: int) -> Matrix:
    """The examples as a matrix; features of fewer scenes than `seen_in` are left out: they name, they do not mean."""
    rows, columns, values = list[int](), list[int](), list[float]()
    seen: dict[int, set[str]] = {}
    for row, (example, scene) in enumerate(zip(examples, scenes, strict=True)):
        for view, weight in zip((example.characters, example.skeleton, example.circumstances), VIEWS, strict=True):
            each = weight / math.sqrt(max(len(view), 1))
            for column in view:
                rows.append(row)
                columns.append(column)
                values.append(each)
                seen.setdefault(column, set()).add(scene)
    common = np.zeros(SIZE, dtype=bool)
    common[[column for column, where in seen.items() if len(where) >= seen_in]] = True
    table = np.asarray(columns, dtype=np.int64)
    chosen = common[table]
    kept = np.flatnonzero(common)
    return Matrix(
        np.asarray(rows, dtype=np.int64)[chosen],
        np.searchsorted(kept, table[chosen]),
        np.asarray(values, dtype=np.float64)[chosen],
        kept,
        len(examples),
    )


def exponential(x: Array) -> Array:
    """exp for x ≤ 0, to about one part in a thousand near zero: the same bits everywhere."""
    power = 1.0 + np.maximum(x, -500.0) / 1024.0
    for _ in range(10):
        power = power * power
    return power


def fit(data: Matrix, classes: Sequence[int], weights: Sequence[float], count: int, settings: Settings) -> Array:
    """Weights (count, SIZE) of a softmax over `count` classes; the examples weigh `weights`."""
    truth = np.asarray(classes)
    share = np.asarray(weights, dtype=np.float64) / sum(weights)
    solution = np.zeros((count, len(data.kept)))
    first, second = np.zeros_like(solution), np.zeros_like(solution)
    for step in range(1, settings.rounds + 1):
        errors = _errors([data.times(row) for row in solution], truth, share)
        slope = np.stack([data.transposed_times(error) for error in errors]) + settings.decay * solution
        first = 0.9 * first + 0.1 * slope
        second = 0.99 * second + 0.01 * slope * slope
        rate = settings.rate * (1.0 - (step - 1) / settings.rounds)
        lift = first / (1.0 - _power(0.9, step))
        solution = solution - rate * lift / (np.sqrt(second / (1.0 - _power(0.99, step))) + 1e-6)
    full = np.zeros((count, SIZE))
    full[:, data.kept] = solution
    return full


def _errors(scores: Sequence[Array], truth: np.ndarray[Any, Any], share: Array) -> list[Array]:
    """Probability less truth, a class at a time, weighted."""
    highest = scores[0]
    for score in scores[1:]:
        highest = np.maximum(highest, score)
    raised = [exponential(score - highest) for score in scores]
    total = raised[0]
    for each in raised[1:]:
        total = total + each
    return [(each / total - (truth == number)) * share for number, each in enumerate(raised)]


def _power(base: float, exponent: int) -> float:
    """By multiplication: the C library's pow may differ in the last bit."""
    result = 1.0
    for _ in range(exponent):
        result *= base
    return result
