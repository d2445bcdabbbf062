"""What a device can do: how fast it copies, how much it holds, which kinds of weights it multiplies.

Everything is tried, nothing is looked up in a table of cards.
"""

from __future__ import annotations

import platform
import statistics
import time
from dataclasses import dataclass

import torch

from bot.engine.local.kernels.packing import KINDS
from bot.engine.local.linear import make_packed
from bot.engine.local.placing import choose_device, free_bytes, ram_bytes

_COPY_BYTES = 1 << 28
_COPIES = 9
#: an int4 product is within this of the dense one, as a share of its spread; a wrong one is not near it
_NEAR = 0.25


@dataclass(frozen=True, slots=True)
class Device:
    """copied: bytes per second that a copy reads and writes, both counted. bytes: memory in all.

    kinds: why each kind of quantised weight does not work here; empty where it does.
    """

    name: str
    copied: float
    bytes: int
    kinds: dict[str, str]


def examine(name: str) -> Device:
    """Try a device (`auto`, `cpu`, `cuda:0`) that nobody else uses just now. Raises ConfigError."""
    device = choose_device(name)
    if device.type == "cuda":
        called, size = torch.cuda.get_device_name(device), torch.cuda.mem_get_info(device)[1]
    else:
        called, size = f"CPU {platform.machine()}", ram_bytes()
    return Device(called, copy_speed(device), size, {kind: _trouble(kind, device) for kind in KINDS})


def copy_speed(device: torch.device) -> float:
    """Bytes per second read and written by copies of 256 MiB, or of what there is room for; the median."""
    size = max(1 << 20, min(_COPY_BYTES, free_bytes(device) // 8))
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds: list[float] = []
    # The first makes the memory real and is not counted.
    for _ in range(_COPIES + 1):
        _wait(device)
        started = time.perf_counter()
        target.copy_(source)
        _wait(device)
        seconds.append(time.perf_counter() - started)
    return 2 * size / statistics.median(seconds[1:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.inference_mode()
def _trouble(kind: str, device: torch.device) -> str:
    """Pack a small weight and multiply: the reason why that does not work, or does not come out right."""
    if kind == "fp8" and device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 9):
        return "the card is older than compute capability 8.9"
    generator = torch.Generator().manual_seed(0)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    weight, x = (torch.randn(rows, 512, generator=generator).to(device, dtype) for rows in (512, 4))
    try:
        packed = make_packed(kind)("language_model.layers.0.mlp", weight, None)(x).float()
    except (RuntimeError, ImportError, ValueError, TypeError, NotImplementedError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    dense = x.float() @ weight.float().T
    error = float((packed - dense).pow(2).mean().sqrt() / dense.std())
    return "" if error < _NEAR else f"products are {error:.0%} off"
