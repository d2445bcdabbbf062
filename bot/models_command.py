"""`kantu models`: list, info, pull, quantize and verify checkpoints of the local engine."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path

from bot.config import Config
from bot.engine.base import Engine
from bot.engine.local import checkpoint
from bot.errors import ConfigError
from bot.hub import Hub, HubFile, HubName

_KINDS = ("int8", "int4", "fp8")
_NOTE = """\
The authors of Kantu have loaded no real checkpoint themselves: the code was checked against transformers on small
random models. This table is how you find out whether the model on this machine sees."""
#: the share of the pictures that a sound model reads at least
_PASSED = 0.75


def run(options: argparse.Namespace, config: Config) -> int:
    """Carry out `options.action`; the exit status. Raises KantuError, OSError."""
    actions = {"list": _list, "info": _info, "pull": _pull, "quantize": _quantize, "verify": _verify}
    return actions[options.action](options, config)


def _list(_options: argparse.Namespace, config: Config) -> int:
    rows = [("MODEL", "FAMILY", "SIZE", "WEIGHTS", "FOLDER")]
    for name, folder in checkpoint.listed():
        try:
            facts = checkpoint.look(folder)
        except ConfigError as error:
            rows.append((name, "-", "-", f"unusable: {error}", str(folder)))
            continue
        kinds = "+".join(sorted(facts.sizes, key=lambda kind: -facts.sizes[kind]))
        copies = [f"+{kind}" for kind in _copies(folder, config)]
        family = facts.family or f"unknown ({facts.model_type})"
        rows.append((name, family, f"{facts.bytes / 1e9:.1f} GB", " ".join([kinds, *copies]), str(folder)))
    _print_table(rows)
    if len(rows) == 1:
        print("nothing yet: kantu models pull ZhipuAI/GLM-4.6V-Flash")
    return 0


def _info(options: argparse.Namespace, config: Config) -> int:
    folder = checkpoint.find(options.model)
    facts = checkpoint.look(folder)
    text = checkpoint.text_settings(folder)
    rows = [
        ("folder", str(folder)),
        ("family", facts.family or f"unknown: model type {facts.model_type!r} cannot be loaded"),
        (
            "parameters",
            f"{facts.values / 1e9:.2f} billion, {facts.layer_values / 1e9:.2f} of them in the decoder's matrices",
        ),
        ("files", f"{facts.bytes / 1e9:.1f} GB, {', '.join(sorted(facts.sizes))}"),
        ("context", f"{text.get('max_position_embeddings', 'unknown')} tokens"),
        *(
            (f"memory as {kind}", f"{facts.weight_bytes(kind) / 1e9:.1f} GB")
            for kind in ("bf16", "fp8", "int8", "int4")
        ),
        ("cache", f"{checkpoint.cache_token_bytes(folder) * 8192 / 1e9:.2f} GB for 8192 tokens"),
        ("quantised copies", ", ".join(_copies(folder, config)) or "none"),
    ]
    _print_table(rows)
    return 0


def _pull(options: argparse.Namespace, config: Config) -> int:
    name: HubName = options.hub
    cache = checkpoint.huggingface_cache() if name == "huggingface" else checkpoint.modelscope_cache()
    hub = Hub(name, cache, token=os.environ.get("HF_TOKEN", "") if name == "huggingface" else "")
    bar = Bar()
    try:
        folder = asyncio.run(hub.pull(checkpoint.name_on(name, options.model), bar))
    finally:
        bar.close()
    checkpoint.look(folder)
    print(folder)
    return 0


def _quantize(options: argparse.Namespace, config: Config) -> int:
    from bot.engine.local.load import quantize

    started = time.monotonic()
    try:
        copy = quantize(options.model, options.weights, Path(config.data_dir))
    except ImportError as error:
        raise ConfigError(f"{error}: pip install 'kantu[local]'") from error
    size = sum(file.stat().st_size for file in copy.iterdir())
    print(f"{copy}: {size / 1e9:.2f} GB in {time.monotonic() - started:.1f} s")
    return 0


def _verify(options: argparse.Namespace, config: Config) -> int:
    from bot.engine.local.load import WaitingEngine
    from bot.engine.local.settings import Settings

    settings = Settings(options.model, weights=options.weights, device=options.device, sequences=1)
    return asyncio.run(verify(WaitingEngine(settings, Path(config.data_dir))))


async def verify(engine: Engine) -> int:
    """Print how a model does on pictures with known facts; 0 when it reads most of them. Raises EngineError."""
    from bot.eyetest import examine

    try:
        outcomes = await examine(engine)
        print(f"{engine.name}: {await engine.check()}")
    finally:
        await engine.close()
    _print_table(
        [("PICTURE", "", "ANSWER"), *((one.name, "✓" if one.passed else "✗", _short(one.answer)) for one in outcomes)]
    )
    passed = sum(one.passed for one in outcomes)
    print(f"{passed} of {len(outcomes)}")
    print(_NOTE)
    return 0 if passed >= _PASSED * len(outcomes) else 1


class Bar:
    """Progress on stderr: a line that is written over on a terminal, else a line per file."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = 0.0
        self._open = False

    def __call__(self, file: HubFile, done: int) -> None:
        whole = file.size is not None and done >= file.size
        now = time.monotonic()
        if not whole and (not self._terminal or now - self._shown < 0.2):
            return
        self._shown = now
        share = done / file.size if file.size else 1.0
        line = f"{file.path}  {'█' * int(20 * share):<20}  {done / 1e6:,.1f} MB"
        if file.size:
            line += f" of {file.size / 1e6:,.1f}"
        if self._terminal:
            print(f"\r\x1b[K{line}", end="\n" if whole else "", file=sys.stderr, flush=True)
            self._open = not whole
        else:
            print(line, file=sys.stderr)

    def close(self) -> None:
        """End a line that was begun."""
        if self._open:
            print(file=sys.stderr)
            self._open = False


def _copies(folder: Path, config: Config) -> list[str]:
    """Kinds of quantised copies, by their folders: looking into them would need torch."""
    places = [folder, Path(config.data_dir) / "models" / checkpoint.fingerprint(folder)[:16]]
    return sorted(
        kind for kind in _KINDS if any((place / f"kantu-{kind}" / "kantu.json").is_file() for place in places)
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:59] + "…"


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        print("  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]]))
