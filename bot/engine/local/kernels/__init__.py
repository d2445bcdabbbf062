"""Kernels for CUDA: plain functions over them in products.py, pointwise.py and attention.py; Triton in *_triton.py."""

from __future__ import annotations

import importlib
from typing import Any


def triton_code(name: str) -> Any:
    """The module `<name>_triton`, loaded when a kernel is first launched: Triton is there with CUDA only."""
    return importlib.import_module(f"bot.engine.local.kernels.{name}_triton")
