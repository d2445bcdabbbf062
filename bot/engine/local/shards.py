"""A checkpoint's safetensors files, read one tensor at a time.

Source of the index format: https://huggingface.co/docs/safetensors and transformers' `save_pretrained`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from bot.errors import ConfigError

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_SHOWN = 5


class Shards:
    """The tensors of a model folder: `model.safetensors`, or what `model.safetensors.index.json` lists.

    Each is taken once; `finish` complains about those that were not. Tensors go straight to `device`, one at a time.
    """

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        self.folder = folder
        self.device = device
        self.dtype = dtype
        self._where = _locate(folder)
        self._open: dict[str, Any] = {}

    def take(self, name: str, shape: tuple[int, ...] | None = None) -> Tensor:
        """A tensor in the engine's dtype on its device. Raises ConfigError."""
        tensor: Tensor = self._file(name).get_tensor(name)
        if shape is not None and tuple(tensor.shape) != shape:
            found = tuple(tensor.shape)
            raise ConfigError(f"{self.folder}: {name} has shape {found}, config.json says {shape}")
        return tensor.to(self.device, self.dtype)

    def leave(self, name: str) -> tuple[int, ...]:
        """Let a tensor be there that comes from elsewhere; its shape. Raises ConfigError."""
        return tuple(self._file(name).get_slice(name).get_shape())

    def skip(self, name: str) -> None:
        """Let a tensor be there that is not needed."""
        self._where.pop(name, None)

    def finish(self) -> None:
        """Close the files. Raises ConfigError when tensors are left over: then this is another architecture."""
        self._open.clear()
        if self._where:
            left = sorted(self._where)
            more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
            raise ConfigError(f"{self.folder}: unexpected tensors {', '.join(left[:_SHOWN])}{more}")

    def _file(self, name: str) -> Any:
        """The open file of a tensor that is taken now."""
        file = self._where.pop(name, None)
        if file is None:
            raise ConfigError(f"{self.folder}: the weights lack the tensor {name}")
        if file not in self._open:
            self._open[file] = _open(self.folder / file, self.device)
        return self._open[file]


def _locate(folder: Path) -> dict[str, str]:
    """File by tensor name."""
    index = folder / _INDEX
    try:
        if index.is_file():
            where: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
            return dict(where)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{index} cannot be read: {error!r}") from error
    if not (folder / _SINGLE).is_file():
        raise ConfigError(f"{folder} has neither {_SINGLE} nor {_INDEX}")
    return dict.fromkeys(_open(folder / _SINGLE, torch.device("cpu")).keys(), _SINGLE)


def _open(path: Path, device: torch.device) -> Any:
    try:
        return safe_open(path, framework="pt", device=str(device))
    except Exception as error:  # safetensors raises its own SafetensorError, not exported by older versions
        raise ConfigError(f"{path} cannot be read: {error}") from error
