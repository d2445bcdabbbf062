"""A checkpoint's weight files, read one tensor at a time: safetensors, or torch's own without any code in them.

Source of the index format: https://huggingface.co/docs/safetensors and transformers' `save_pretrained`.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from bot.engine.local.checkpoint import placed, weight_files
from bot.errors import ConfigError

_SHOWN = 5


class Shards:
    """The tensors of a model folder, in whatever files they lie.

    Each is taken once; `finish` complains about those that were not. Tensors go straight to `device`, one at a time.
    """

    def __init__(self, folder: Path, device: torch.device, dtype: torch.dtype) -> None:
        self.folder = folder
        self.device = device
        self.dtype = dtype
        self._open: dict[str, Any] = {}
        self._where = placed(folder) or {name: file.name for file in weight_files(folder) for name in self._names(file)}

    def __contains__(self, name: str) -> bool:
        """It is there and was not taken yet."""
        return name in self._where

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a tensor that is left to be taken. Raises ConfigError."""
        return tuple(self._file(name).get_slice(name).get_shape())

    def take(self, name: str, shape: tuple[int, ...] | None = None) -> Tensor:
        """A tensor in the engine's dtype on its device. Raises ConfigError."""
        tensor = self.take_raw(name)
        if shape is not None and tuple(tensor.shape) != shape:
            found = tuple(tensor.shape)
            raise ConfigError(f"{self.folder}: {name} has shape {found}, config.json says {shape}")
        return tensor.to(self.device, self.dtype)

    def take_raw(self, name: str) -> Tensor:
        """A tensor on the device in the dtype that it is stored in. Raises ConfigError."""
        file = self._file(name)
        del self._where[name]
        tensor: Tensor = file.get_tensor(name)
        return tensor.to(self.device)

    def leave(self, name: str) -> tuple[int, ...]:
        """Let a tensor be there that comes from elsewhere; its shape. Raises ConfigError."""
        shape = self.shape(name)
        del self._where[name]
        return shape

    def skip(self, name: str) -> None:
        """Let a tensor be there that is not needed."""
        self._where.pop(name, None)

    def skip_ending(self, *endings: str) -> None:
        """As `skip`, whatever comes before."""
        for name in [one for one in self._where if one.endswith(endings)]:
            self.skip(name)

    def finish(self) -> None:
        """Close the files. Raises ConfigError when tensors are left over: then this is another architecture."""
        self._open.clear()
        if self._where:
            left = sorted(self._where)
            more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
            raise ConfigError(f"{self.folder}: unexpected tensors {', '.join(left[:_SHOWN])}{more}")

    def _names(self, file: Path) -> list[str]:
        return list(self._opened(file.name).keys())

    def _file(self, name: str) -> Any:
        if name not in self._where:
            raise ConfigError(f"{self.folder}: the weights lack the tensor {name}")
        return self._opened(self._where[name])

    def _opened(self, file: str) -> Any:
        if file not in self._open:
            self._open[file] = _open(self.folder / file, self.device)
        return self._open[file]


class _TorchFile:
    """A file of torch.save as safetensors' files are; its tensors stay on disk until they are asked for."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors

    def keys(self) -> list[str]:
        return list(self._tensors)

    def get_tensor(self, name: str) -> Tensor:
        return self._tensors[name]

    def get_slice(self, name: str) -> _TorchFile:
        return _TorchFile({"": self._tensors[name]})

    def get_shape(self) -> torch.Size:
        return self._tensors[""].shape


def _open(path: Path, device: torch.device) -> Any:
    try:
        if path.suffix != ".bin":
            return safe_open(path, framework="pt", device=str(device))
        return _TorchFile(torch.load(path, map_location="cpu", weights_only=True, mmap=True))
    except pickle.UnpicklingError as error:
        raise ConfigError(f"{path} holds more than tensors, and is not read: {error}") from error
    except Exception as error:  # safetensors raises its own SafetensorError, not exported by older versions
        raise ConfigError(f"{path} cannot be read: {error}") from error
