"""`kantu bench compare`: both configured models measured on this machine, beside the figures of an A10G.

Those were published for the two models on a card of 600 GB/s; what a token costs is mostly reading the weights, so they
are scaled by what this card copies. Memory is not scaled.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bot.app import build_engines
from bot.clock import Clock
from bot.compare import ROLES, only_one, sizes
from bot.config import Config, LocalModel, Model
from bot.engine.base import Engine
from bot.engine.chain import Size
from bot.engine.local import checkpoint
from bot.errors import ConfigError, EngineError
from bot.measure import Feat, Measured, measure, several_pictures, several_turns

if TYPE_CHECKING:
    from bot.engine.local.device import Device

#: bytes per second that an A10G's memory moves (NVIDIA's data sheet)
A10G_BYTES_PER_SECOND = 600e9


@dataclass(frozen=True, slots=True)
class Expected:
    """Seconds, tokens per second and bytes; None where nothing was published. The heavy model's are with INT4."""

    first_token: float
    tokens_per_second: float
    memory: int
    follow_up: float | None = None

    def scaled(self, bandwidth: float) -> Expected:
        """On a card that moves so many bytes per second."""
        ratio = bandwidth / A10G_BYTES_PER_SECOND
        follow_up = None if self.follow_up is None else self.follow_up / ratio
        return Expected(self.first_token / ratio, self.tokens_per_second * ratio, self.memory, follow_up)


A10G: dict[Size, Expected] = {
    "light": Expected(1.8, 45.0, 12_000_000_000, 0.5),
    "heavy": Expected(4.3, 28.0, 18_000_000_000),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of weights: bytes it would take; trouble: why it cannot be loaded here, else empty."""

    bytes: int
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One model. measured None: it gave no answer, `error` says why. disk: bytes of checkpoint and quantised copies.

    device and expected: None for a model that does not run in this process.
    """

    role: Size
    engine: str
    error: str = ""
    loaded: str = ""
    measured: Measured | None = None
    context_tokens: int = 0
    pictures: Feat | None = None
    turns: Feat | None = None
    disk: dict[str, int] = field(default_factory=dict[str, int])
    kinds: dict[str, Kind] = field(default_factory=dict[str, Kind])
    device: Device | None = None
    expected: Expected | None = None


async def bench_compare(config: Config, *, as_json: bool, tokens: int) -> int:
    """Measure and print; 0 where every model answered."""
    from bot.bench_table import render

    note = only_one(config.models)
    columns = await measure_all(config, tokens)
    if as_json:
        found = {"note": note, "models": [asdict(column) for column in columns]}
        print(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        print(render(columns, note, shutil.get_terminal_size().columns))
    return 1 if any(column.error for column in columns) else 0


async def measure_all(config: Config, tokens: int) -> list[Column]:
    """A column for each model. Devices come first: nothing else may use them while they are tried."""
    models: dict[Size, Model] = {size: _model(config, size) for size in sizes(config.models)}
    names = {model.device: None for model in models.values() if isinstance(model, LocalModel)}
    devices = {name: await _examine(name) for name in names}
    engines = build_engines(config, Clock())
    columns: list[Column] = []
    try:
        for size, model in models.items():
            engine = engines.engine(size)
            _tell(f"{ROLES[size]} {engine.name}：加载和测量…")
            device = devices.get(model.device) if isinstance(model, LocalModel) else None
            columns.append(await _column(size, engine, model, device, Path(config.data_dir), tokens))
    finally:
        await engines.close()
    return columns


def _model(config: Config, size: Size) -> Model:
    return config.models.light if size == "light" else config.models.heavy or config.models.light


async def _examine(name: str) -> Device | None:
    """None where the device or torch is missing: loading will say so."""
    _tell(f"设备 {name}：测量带宽…")
    try:
        from bot.engine.local.device import examine

        return await asyncio.to_thread(examine, name)
    except (ImportError, ConfigError):
        return None


async def _column(
    size: Size, engine: Engine, model: Model, device: Device | None, data_dir: Path, tokens: int
) -> Column:
    expected = A10G[size].scaled(device.copied) if device else None
    disk, kinds = _files(model, device, data_dir) if isinstance(model, LocalModel) else ({}, {})
    try:
        measured = await measure(engine, tokens)
        return Column(
            role=size,
            engine=engine.name,
            loaded=await engine.check(),
            measured=measured,
            context_tokens=engine.context_tokens,
            pictures=await several_pictures(engine, tokens),
            turns=await several_turns(engine, tokens),
            disk=disk,
            kinds=kinds,
            device=device,
            expected=expected,
        )
    except EngineError as error:
        return Column(size, engine.name, str(error), disk=disk, kinds=kinds, device=device, expected=expected)


def _files(model: LocalModel, device: Device | None, data_dir: Path) -> tuple[dict[str, int], dict[str, Kind]]:
    """Bytes on disk, and kinds; nothing where there is no checkpoint or no torch."""
    if device is None:
        return {}, {}
    from bot.engine.local.quantize import find_copy

    try:
        folder = checkpoint.find(model.model)
        facts = checkpoint.look(folder)
    except ConfigError:
        return {}, {}
    disk = {"checkpoint": facts.bytes}
    for kind in device.kinds:
        copy = find_copy(folder, kind, data_dir)
        if copy is not None:
            disk[kind] = sum(file.stat().st_size for file in copy.iterdir())
    return disk, {kind: _kind(facts.weight_bytes(kind), trouble, device) for kind, trouble in device.kinds.items()}


def _kind(size: int, trouble: str, device: Device) -> Kind:
    if not trouble and size > device.bytes:
        trouble = f"需要 {size / 1e9:.1f} GB，设备只有 {device.bytes / 1e9:.1f} GB"
    return Kind(size, trouble)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
