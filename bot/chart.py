"""A small chart as a picture. Drawn in a process of its own: matplotlib would stay in the service's memory.

The process reads a chart as JSON from its input and writes a PNG; what the reader should know of it goes to its
error output, a line each.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

from bot.errors import KantuError

NO_FONT: Final = "（这台机器上没有中文字体，图中用编号代替文字；安装 fonts-noto-cjk 后会显示文字）"
_SECONDS: Final = 60.0
_LABEL: Final = 18
#: In this order; names as the fonts give them.
_FONTS: Final = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Microsoft YaHei",
    "PingFang SC",
    "SimHei",
    "Droid Sans Fallback",
)
_INK, _BAR, _SECOND = "#1f2933", "#2f6fde", "#7aa5ee"


class ChartFailed(KantuError):
    """No picture came; the reader can do without."""


@dataclass(frozen=True, slots=True)
class Chart:
    """bars: label and number, the longest first. columns: a second panel, in its order (days, hours); may be empty."""

    title: str
    bars: tuple[tuple[str, int], ...]
    columns_title: str = ""
    columns: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Drawn:
    """png: the picture. note: a Chinese line for below it, or empty."""

    png: bytes
    note: str = ""


async def draw(chart: Chart) -> Drawn:
    """The chart as a PNG some 900 pixels wide. Raises ChartFailed."""
    environ = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "MPLCONFIGDIR", "TMPDIR") if name in os.environ
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot.chart"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ | {"MPLBACKEND": "Agg", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        async with asyncio.timeout(_SECONDS):
            png, said = await process.communicate(json.dumps(asdict(chart)).encode())
    except TimeoutError:
        raise ChartFailed("drawing took too long") from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    if process.returncode or not png.startswith(b"\x89PNG"):
        raise ChartFailed(f"drawing failed: {said.decode(errors='replace').strip().splitlines()[-1:]}")
    return Drawn(png, NO_FONT if NO_FONT in said.decode(errors="replace") else "")


# ------------------------------------------------------------- in the process


def font(names: set[str]) -> str:
    """The first font that has Chinese characters, of these; empty where there is none."""
    return next((name for name in _FONTS if name in names), "")


def label(text: str, number: int, *, readable: bool) -> str:
    """What stands at a bar: the text, cut, without what no font draws; its number where Chinese cannot be drawn."""
    if not readable and not text.isascii():
        return f"#{number}"
    drawn = "".join(c for c in text if c.isprintable() and ord(c) < 0x10000)
    return drawn if len(drawn) <= _LABEL else drawn[: _LABEL - 1] + "…"


def render(chart: Chart, names: set[str] | None = None) -> Drawn:
    """Draw here and now; imports matplotlib. names: of the fonts to be used, for tests."""
    import io

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import font_manager
    from matplotlib.figure import Figure

    chosen = font({each.name for each in font_manager.fontManager.ttflist} if names is None else names)
    matplotlib.rcParams["text.parse_math"] = False
    matplotlib.rcParams["font.family"] = [chosen, "DejaVu Sans"] if chosen else ["DejaVu Sans"]
    panels = [len(chart.bars) * 0.42 + 1.0, *([2.2] if chart.columns else [])]
    figure: Any = Figure(figsize=(7.5, sum(panels)), dpi=120, layout="constrained", facecolor="white")
    axes: Any = figure.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": panels})[:, 0]
    _bars(axes[0], chart, readable=bool(chosen))
    if chart.columns:
        _columns(axes[1], chart, readable=bool(chosen))
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Drawn(file.getvalue(), "" if chosen else NO_FONT)


def _bars(axes: Any, chart: Chart, *, readable: bool) -> None:
    labels = [label(name, number, readable=readable) for number, (name, _) in enumerate(chart.bars, start=1)]
    drawn = axes.barh(range(len(labels)), [count for _, count in chart.bars], color=_BAR, height=0.62)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.bar_label(drawn, padding=4, color=_INK)
    axes.margins(x=0.12)
    _plain(axes, chart.title, "left", readable=readable)
    axes.xaxis.set_visible(False)


def _columns(axes: Any, chart: Chart, *, readable: bool) -> None:
    drawn = axes.bar(range(len(chart.columns)), [count for _, count in chart.columns], color=_SECOND, width=0.7)
    axes.set_xticks(range(len(chart.columns)), [name for name, _ in chart.columns])
    axes.bar_label(drawn, padding=2, color=_INK, fontsize=8)
    axes.margins(y=0.2)
    axes.tick_params(axis="x", labelsize=8)
    _plain(axes, chart.columns_title, "bottom", readable=readable)
    axes.yaxis.set_visible(False)


def _plain(axes: Any, title: str, edge: str, *, readable: bool) -> None:
    """One edge is left of the frame: the one the bars stand on."""
    axes.set_title(title if readable or title.isascii() else "", loc="left", color=_INK, fontsize=11)
    for side in {"top", "right", "bottom", "left"} - {edge}:
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, colors=_INK)


def _main() -> None:
    import warnings

    warnings.simplefilter("ignore")
    given = json.load(sys.stdin)
    pairs = {name: tuple((str(text), int(count)) for text, count in given[name]) for name in ("bars", "columns")}
    drawn = render(Chart(given["title"], pairs["bars"], given["columns_title"], pairs["columns"]))
    if drawn.note:
        sys.stderr.write(f"{drawn.note}\n")
    sys.stdout.buffer.write(drawn.png)


if __name__ == "__main__":
    _main()
