"""Quantised copies: the decoder's matrices packed once, kept beside the checkpoint, and read quickly ever after.

A copy holds the packed matrices only; everything else comes from the checkpoint itself, whose fingerprint it names.
`kantu.json`: {"format": 1, "kind", "source", "tensors": {name: {"file", "inputs"}}}; tensor `name` is `name.words` and
`name.scale` in its safetensors file. What else is to be packed (see `make_packed`) is little, and packed while loading.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from bot.engine.local.checkpoint import fingerprint, is_layer_matrix
from bot.engine.local.kernels.packing import KINDS, Packed, pack
from bot.engine.local.linear import DenseLinear, Linear, PackedLinear, make_packed
from bot.engine.local.model import Model
from bot.engine.local.shards import Shards
from bot.errors import ConfigError

FORMAT = 1
_ABOUT = "kantu.json"
_FILE_BYTES = 2 << 30

#: loads a family's model: (make, shards)
Build = Callable[[Callable[[str, Tensor, Tensor | None], Linear], Shards], Model]
#: called for every matrix; may raise to give up
Progress = Callable[[str], None]


def silent(name: str) -> None:
    """No progress shown."""
    del name


def homes(folder: Path, kind: str, data_dir: Path) -> tuple[Path, Path]:
    """Where a copy of this kind may lie: beside the checkpoint, or below the data folder."""
    return folder / f"kantu-{kind}", data_dir / "models" / fingerprint(folder)[:16] / f"kantu-{kind}"


def find_copy(folder: Path, kind: str, data_dir: Path) -> Path | None:
    """A whole copy made from just this checkpoint, or None."""
    wanted = {"format": FORMAT, "kind": kind, "source": fingerprint(folder)}
    for home in homes(folder, kind, data_dir):
        about = _about(home)
        if about is not None and wanted.items() <= about.items() and _whole(home, about):
            return home
    return None


def write_copy(folder: Path, kind: str, data_dir: Path, build: Build, progress: Progress = silent) -> Path:
    """Make a copy; one that is there already stays. Raises ConfigError, OSError."""
    if kind not in KINDS:
        raise ConfigError(f"weights {kind!r}: one of {', '.join(KINDS)}")
    known = find_copy(folder, kind, data_dir)
    if known is not None:
        return known
    home = _writable(homes(folder, kind, data_dir))
    building = home.with_name(f".{home.name}-{os.getpid()}")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        writer = _Writer(building, kind, progress)
        shards = Shards(folder, torch.device("cpu"), torch.float32)
        build(writer.make, shards)
        writer.finish(fingerprint(folder))
        shutil.rmtree(home, ignore_errors=True)
        building.rename(home)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return home


class CopyReader:
    """A copy as `make` and `shards` for a family's `load`."""

    def __init__(
        self, folder: Path, copy: Path, device: torch.device, dtype: torch.dtype, progress: Progress = silent
    ) -> None:
        about = _about(copy)
        assert about is not None, "find_copy has looked"
        self.shards = _Sparse(folder, device, dtype)
        self._kind: str = about["kind"]
        self._others = make_packed(self._kind)
        self._tensors: dict[str, Any] = about["tensors"]
        self._copy = copy
        self._device = device
        self._progress = progress
        self._open: dict[str, Any] = {}

    def make(self, name: str, weight: Tensor, bias: Tensor | None) -> Linear:
        """A MakeLinear: packed where the copy has the matrix."""
        self._progress(name)
        if weight.device.type != "meta":
            return self._others(name, weight, bias)
        entry = self._tensors.get(name)
        if entry is None:
            raise ConfigError(f"{self._copy} lacks {name}: delete it and make it anew")
        if entry["file"] not in self._open:
            self._open[entry["file"]] = safe_open(self._copy / entry["file"], framework="pt", device=str(self._device))
        file: Any = self._open[entry["file"]]
        packed = Packed(self._kind, file.get_tensor(f"{name}.words"), file.get_tensor(f"{name}.scale"), entry["inputs"])
        if (packed.outputs, packed.inputs) != tuple(weight.shape):
            raise ConfigError(f"{self._copy}: {name} has another shape: delete it and make it anew")
        return PackedLinear(packed, bias)


class _Sparse(Shards):
    """A checkpoint whose packed matrices are not read: they are shapes without values."""

    def take(self, name: str, shape: tuple[int, ...] | None = None) -> Tensor:
        if not is_layer_matrix(name, 2 if shape is None else len(shape)):
            return super().take(name, shape)
        found = self.leave(name)
        if shape is not None and found != shape:
            raise ConfigError(f"{self.folder}: {name} has shape {found}, config.json says {shape}")
        return torch.empty(found, dtype=self.dtype, device="meta")


class _Writer:
    """Packs what it is given and writes a file whenever enough has come together."""

    def __init__(self, folder: Path, kind: str, progress: Progress) -> None:
        self._folder = folder
        self._kind = kind
        self._progress = progress
        self._tensors: dict[str, dict[str, Any]] = {}
        self._pending: dict[str, Tensor] = {}
        self._files = 0

    def make(self, name: str, weight: Tensor, bias: Tensor | None) -> Linear:
        """A MakeLinear; what it makes is never computed with."""
        self._progress(name)
        if is_layer_matrix(name, weight.ndim):
            packed = pack(weight, self._kind)
            self._pending[f"{name}.words"] = packed.words
            self._pending[f"{name}.scale"] = packed.scale
            self._tensors[name] = {"file": self._name(), "inputs": packed.inputs}
            if sum(tensor.nbytes for tensor in self._pending.values()) >= _FILE_BYTES:
                self._flush()
        nothing = torch.empty(0)
        return DenseLinear(nothing, nothing)

    def finish(self, source: str) -> None:
        """Write the rest, and last of all the description, without which there is no copy."""
        if self._pending:
            self._flush()
        about = {"format": FORMAT, "kind": self._kind, "source": source, "tensors": self._tensors}
        (self._folder / _ABOUT).write_text(json.dumps(about), encoding="utf-8")

    def _name(self) -> str:
        return f"packed-{self._files:05}.safetensors"

    def _flush(self) -> None:
        library: Any = safetensors.torch
        library.save_file(self._pending, self._folder / self._name())
        self._pending = {}
        self._files += 1


def _about(home: Path) -> dict[str, Any] | None:
    try:
        return json.loads((home / _ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _whole(home: Path, about: dict[str, Any]) -> bool:
    files: set[str] = {entry["file"] for entry in about.get("tensors", {}).values()}
    return bool(files) and all((home / name).is_file() for name in files)


def _writable(places: tuple[Path, ...]) -> Path:
    """The first place where a folder can be made. Raises ConfigError."""
    for home in places:
        try:
            home.parent.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(home.parent, os.W_OK):
            return home
    raise ConfigError(f"a quantised copy can be written neither to {places[0].parent} nor to {places[-1].parent}")
