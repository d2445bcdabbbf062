"""What a model is loaded as, and how much memory its cache gets."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Literal

import torch

from bot.engine.local.checkpoint import Facts
from bot.errors import ConfigError

log = logging.getLogger(__name__)

Weights = Literal["auto", "bf16", "fp32", "fp8", "int8", "int4"]
#: memory on a card beside weights and cache: activations of a large picture, graphs, the libraries' own
_CARD_RESERVE = 2 << 30
#: what a cache must hold at least when `auto` looks for weights that fit, in contexts
_CONTEXTS = 4


@dataclass(frozen=True, slots=True)
class Placing:
    """device, the kind of weights ("bf16", "int4", …) and the dtype of everything else."""

    device: torch.device
    weights: str
    dtype: torch.dtype


def choose_device(name: str) -> torch.device:
    """`auto`: a card where there is one. Raises ConfigError for one that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise ConfigError(f"the device {name} is not there: torch {torch.__version__} sees {_cards()}")
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def choose(facts: Facts, weights: Weights, device: torch.device, memory: int | None, context_bytes: int) -> Placing:
    """The kind asked for; `auto`: the best that fits with room for a few conversations. Raises ConfigError."""
    kind: str = weights
    if kind == "auto":
        room = free_bytes(device) if memory is None else min(memory, free_bytes(device))
        kinds = kinds_of(device)
        needed = _CONTEXTS * context_bytes + (_CARD_RESERVE if device.type == "cuda" else 0)
        # What works on the CPU is shared with everybody else: half of it is left alone.
        most = room - needed if device.type == "cuda" else room // 2
        kind = next((one for one in kinds if facts.weight_bytes(one) <= most), "int4")
    if kind == "fp8" and device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 9):
        raise ConfigError(f"weights: fp8 needs a card of compute capability 8.9; {device} is older: use int8")
    wide = kind == "fp32" or (device.type == "cpu" and kind != "bf16")
    return Placing(device, kind, torch.float32 if wide else torch.bfloat16)


def kinds_of(device: torch.device) -> tuple[str, ...]:
    """What `auto` chooses from, the best first."""
    return ("bf16", "int8", "int4") if device.type == "cuda" else ("fp32", "bf16", "int8", "int4")


def room_of(device: torch.device) -> int:
    """Bytes for weights and caches of all models together; on the CPU half of what is free."""
    return free_bytes(device) - _CARD_RESERVE if device.type == "cuda" else free_bytes(device) // 2


def cache_blocks(
    placing: Placing, block_bytes: int, wanted: int, memory: int | None, weights_bytes: int, fewest: int
) -> int:
    """Blocks of the cache, the weights being loaded: `wanted`, or as many as fit. Raises ConfigError under `fewest`."""
    if placing.device.type == "cuda":
        room = free_bytes(placing.device) - _CARD_RESERVE
        room = room if memory is None else min(room, memory - weights_bytes)
    else:
        room = ram_bytes() // 4 if memory is None else memory - weights_bytes
    blocks = min(wanted, room // block_bytes)
    if blocks < fewest:
        raise ConfigError(
            f"no memory for the cache: {room / 1e9:.1f} GB are left beside {weights_bytes / 1e9:.1f} GB of weights on "
            f"{placing.device}; use smaller weights (int8, int4) or more memory_gb"
        )
    if blocks < wanted:
        log.info("the cache holds %d of the %d blocks wanted", blocks, wanted)
    return blocks


def free_bytes(device: torch.device) -> int:
    """Memory that is free now."""
    if device.type == "cuda":
        # What torch keeps for itself but does not use is free for it.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def ram_bytes() -> int:
    """Memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _cards() -> str:
    return f"{torch.cuda.device_count()} cards" if torch.cuda.is_available() else "no card"
