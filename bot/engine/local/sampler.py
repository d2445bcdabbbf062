"""Picking the next token of each sequence, on the device.

Greedy where the temperature is 0. Otherwise: repetition penalty, temperature, top-k, top-p, in this order, as
transformers has it. The random number of a token depends on the sequence's seed and the token's place alone, so that
neighbours in a batch change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence as List
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from bot.engine.base import SamplingParams
from bot.engine.local.sequence import Row

#: 64-bit finaliser of splitmix64 (Steele, Lea and Flood, 2014): a counter becomes a number that looks random.
_GAMMA = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1

#: what is picked where a model computed no numbers
NO_TOKEN = -1

#: Below it the highest logit is all that is left, and dividing would overflow.
_COLDEST = 1e-4


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a model's own generation settings say, for requests that leave it open."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0


def uniform(seed: int, place: int) -> float:
    """A number in [0, 1) that depends on both."""
    value = (seed * _GAMMA + (place + 1) * _MIX_1) & _MASK
    value = ((value ^ (value >> 30)) * _MIX_1) & _MASK
    value = ((value ^ (value >> 27)) * _MIX_2) & _MASK
    return ((value ^ (value >> 31)) >> 11) / (1 << 53)


class Sampler:
    """Picks tokens from logits."""

    def __init__(self, defaults: Defaults) -> None:
        self._defaults = defaults

    @torch.inference_mode()
    def pick(self, logits: Tensor, rows: List[Row]) -> list[int]:
        """The token after each row, whose logits are float32 [rows, vocabulary]; they are changed in place.

        NO_TOKEN where the logits are no numbers.
        """
        self._penalise(logits, rows)
        highest, best = logits.max(-1)
        drawn = [at for at, row in enumerate(rows) if self._temperature(row.sequence.sampling) > 0]
        if drawn:
            index = torch.tensor(drawn, device=logits.device)
            best[index] = self._draw(logits[index], [rows[at] for at in drawn])
        return _ids(torch.where(highest.isnan(), NO_TOKEN, best))

    def _penalise(self, logits: Tensor, rows: List[Row]) -> None:
        for scores, (one, place) in zip(logits, rows, strict=True):
            penalty = self._penalty(one.sampling)
            words = sorted(set(one.fed(one.prompt.unpenalised, place + 1))) if penalty != 1.0 else []
            if words:
                said = torch.tensor(words, device=logits.device)
                score = scores[said]
                scores[said] = torch.where(score < 0, score * penalty, score / penalty)

    def _draw(self, logits: Tensor, rows: List[Row]) -> Tensor:
        device = logits.device
        settings = [one.sampling for one, _ in rows]
        heat = torch.tensor([self._temperature(one) for one in settings], device=device)
        top_k = torch.tensor([self._top_k(one) for one in settings], device=device)
        top_k = torch.where(top_k > 0, top_k, logits.shape[-1])
        top_p = torch.tensor([self._top_p(one) for one in settings], device=device)
        dice = torch.tensor(
            [uniform(one.seed, place + 1 - len(one.prompt.ids)) for one, place in rows],
            device=device,
            dtype=torch.float64,
        )
        ordered, index = (logits / heat[:, None]).sort(dim=-1, descending=True, stable=True)
        rank = torch.arange(logits.shape[-1], device=device)
        ordered = ordered.masked_fill(rank >= top_k[:, None], float("-inf"))
        share = ordered.softmax(-1, dtype=torch.float64)
        # A token stays as long as those before it have not reached top_p: the first one always does.
        share = share * ((share.cumsum(-1) - share < top_p[:, None]) | (rank == 0))
        steps = share.cumsum(-1)
        place = torch.searchsorted(steps, (dice * steps[:, -1])[:, None], right=True)
        # Rounding may step behind the last token that is left.
        place = torch.minimum(place, (share > 0).sum(-1, keepdim=True) - 1).clamp(min=0)
        return index.gather(-1, place).squeeze(-1)

    def _temperature(self, params: SamplingParams) -> float:
        heat = self._defaults.temperature if params.temperature is None else params.temperature
        return heat if heat >= _COLDEST else 0.0

    def _penalty(self, params: SamplingParams) -> float:
        return self._defaults.repetition_penalty if params.repetition_penalty is None else params.repetition_penalty

    def _top_k(self, params: SamplingParams) -> int:
        return self._defaults.top_k if params.top_k is None else params.top_k

    def _top_p(self, params: SamplingParams) -> float:
        return self._defaults.top_p if params.top_p is None else params.top_p


def _ids(tokens: Tensor) -> list[int]:
    """One transfer for all of them."""
    return cast("list[int]", tokens.tolist())  # pyright: ignore[reportUnknownMemberType]
