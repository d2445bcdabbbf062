"""What an operator says about a local model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Settings:
    """See `bot.config.LocalModel`."""

    model: str
    weights: Literal["auto", "bf16", "fp32", "fp8", "int8", "int4"] = "auto"
    device: str = "auto"
    context_tokens: int = 8192
    sequences: int = 64
    memory_gb: float | None = None
    chunk_tokens: int = 512
    role: str = "light"

    @property
    def memory(self) -> int | None:
        """memory_gb in bytes."""
        return None if self.memory_gb is None else int(self.memory_gb * 1e9)
