"""The table of `kantu bench compare`: bars for what is a number, a line for what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bot.bench_compare import A10G_BYTES_PER_SECOND, Column, Expected
from bot.columns import bar, pad, wrap
from bot.measure import Feat, Measured, show_bytes

_SHORT = {"light": "轻", "heavy": "重"}
_FOLLOW_UP_TARGET, _START_TARGET = 0.5, 30.0
_LABEL, _VALUE = 8, 14
_FOOT = (
    "A10G 的数字：轻模型约 12 GB、45 词元/秒、首字 1.8 秒、追问 0.5 秒；重模型（INT4）18 GB、28 词元/秒、首字 4.3 秒。"
    "速度和时间按“本机复制带宽 ÷ 600 GB/s”折算，内存不折算。"
)


@dataclass(frozen=True, slots=True)
class Row:
    """A number to draw. measured: of a column, None where unknown. target: what it should be at most, or at least.

    beside: what the target's own bar is called. with_target: only where there is one.
    """

    title: str
    measured: Callable[[Column], float | None]
    show: Callable[[float], str]
    target: Callable[[Column], float | None] = lambda column: None
    beside: str = "A10G×"
    more_is_better: bool = False
    with_target: bool = False


def _of(pick: Callable[[Measured], float]) -> Callable[[Column], float | None]:
    return lambda column: None if column.measured is None else pick(column.measured) or None


def _expected(pick: Callable[[Expected], float | None]) -> Callable[[Column], float | None]:
    return lambda column: None if column.expected is None else pick(column.expected)


def _seconds(value: float) -> str:
    return f"{value:.3f} 秒" if value < 10 else f"{value:.1f} 秒"


def _rate(value: float) -> str:
    return f"{value:.1f} 词元/秒"


def _on_disk(column: Column) -> float | None:
    return column.disk.get("checkpoint")


_ROWS = (
    Row(
        "内存（权重和缓存）",
        _of(lambda one: sum(one.memory.values())),
        show_bytes,
        _expected(lambda one: one.memory),
        beside="A10G",
    ),
    Row("磁盘上的权重", _on_disk, show_bytes),
    Row(
        "启动（目标 30 秒以内）",
        _of(lambda one: one.start_seconds),
        _seconds,
        lambda column: _START_TARGET,
        beside="目标",
    ),
    Row("启动后第一次提问的首字", _of(lambda one: one.first_answer_first_token), _seconds),
    Row("首字（新图片）", _of(lambda one: one.first_token), _seconds, _expected(lambda one: one.first_token)),
    Row(
        "追问首字（目标 0.5 秒以内）",
        _of(lambda one: one.follow_up_first_token),
        _seconds,
        lambda column: _FOLLOW_UP_TARGET,
        beside="目标",
    ),
    Row(
        "追问首字（按带宽折算）",
        _of(lambda one: one.follow_up_first_token),
        _seconds,
        _expected(lambda one: one.follow_up),
        with_target=True,
    ),
    Row(
        "速度",
        _of(lambda one: one.tokens_per_second),
        _rate,
        _expected(lambda one: one.tokens_per_second),
        more_is_better=True,
    ),
)


def render(columns: Sequence[Column], note: str, terminal: int) -> str:
    """The whole table, for a terminal of so many columns."""
    room = max(10, min(terminal, 100) - _LABEL - 2 * _VALUE - 6)
    lines = [*_head(columns, note)]
    for row in _ROWS:
        lines += _drawn(row, columns, room)
    for title, say in _FACTS:
        lines += ["", title, *(f"  {pad(_SHORT[one.role], _LABEL)}{say(one)}" for one in columns if not one.error)]
    if any(column.expected for column in columns):
        lines += ["", _FOOT]
    return "\n".join(part for line in lines for part in wrap(line, max(terminal, 20)))


def _head(columns: Sequence[Column], note: str) -> Iterator[str]:
    if note:
        yield note
    for column in columns:
        yield f"{_SHORT[column.role]}　{column.engine}" + (f"　没有回答：{column.error}" if column.error else "")
        if column.loaded and column.loaded != "ok":
            yield f"    {column.loaded}"
        if column.device is not None:
            ratio = column.device.copied / A10G_BYTES_PER_SECOND
            speed = f"{column.device.copied / 1e9:.0f} GB/s"
            yield f"    {column.device.name}：复制 {speed}，是 A10G（600 GB/s）的 {ratio:.2f} 倍"


def _drawn(row: Row, columns: Sequence[Column], room: int) -> Iterator[str]:
    """Its title and bars of one scale; nothing where nothing is known."""
    found = [(column, row.measured(column), row.target(column)) for column in columns]
    known = [(column, value, target) for column, value, target in found if value is not None]
    if row.with_target:
        known = [(column, value, target) for column, value, target in known if target is not None]
    if not known:
        return
    largest = max(value for _, value, _ in known)
    # A target far away would leave nothing to see of what was measured.
    near = [target for _, _, target in known if target is not None and target <= 20 * largest]
    scale = max([largest, *near])
    yield ""
    yield row.title
    for column, value, target in known:
        verdict = "" if target is None else "  ✓" if _meets(row, value, target) else "  ✗"
        yield _line(_SHORT[column.role], value / scale, row.show(value) + verdict, room)
        if target is not None:
            yield _line(f"  {row.beside}", target / scale, row.show(target), room)


def _line(label: str, share: float, value: str, room: int) -> str:
    drawn = bar(share, room) if share <= 1 else bar(1, room - 1) + "▶"
    return f"  {pad(label, _LABEL)}{pad(drawn, room)}  {value}"


def _meets(row: Row, value: float, target: float) -> bool:
    return value >= target if row.more_is_better else value <= target


def _kinds(column: Column) -> str:
    parts = [
        f"{name.upper()} " + (f"✗ {kind.trouble}" if kind.trouble else f"✓ {show_bytes(kind.bytes)}")
        for name, kind in column.kinds.items()
    ]
    copies = [f"{name.upper()} 副本 {show_bytes(size)}" for name, size in column.disk.items() if name in column.kinds]
    return "，".join(parts + copies) or "—"


def _context(column: Column) -> str:
    return f"{column.context_tokens} 词元"


def _feat(feat: Feat | None, unit: str) -> str:
    if feat is None:
        return "—"
    if feat.error:
        return f"{feat.count} {unit} ✗ {feat.error}"
    cached = f"，其中 {feat.cached_tokens} 在缓存里" if feat.cached_tokens else ""
    return f"{feat.count} {unit} ✓ 首字 {_seconds(feat.first_token)}，提问 {feat.prompt_tokens} 词元{cached}"


def _at_once(column: Column) -> str:
    found = column.measured
    return "—" if found is None else f"{found.at_once} 个，合计 {_rate(found.at_once_tokens_per_second)}"


_FACTS: tuple[tuple[str, Callable[[Column], str]], ...] = (
    ("这台设备能加载的量化权重", _kinds),
    ("上下文", _context),
    ("多张图片", lambda column: _feat(column.pictures, "张")),
    ("多轮对话", lambda column: _feat(column.turns, "轮")),
    ("同时提问", _at_once),
)
