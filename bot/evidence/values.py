"""Values as they are written: numbers with units, dates, times of day, codes; each with its place in the text."""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Kind = Literal["number", "date", "clock", "code"]

_MONEY = "元 块钱 块 圆 人民币 万元".split()
_COUNTED = (
    "个 名 人 位 只 条 箱 盒 袋 瓶 包 件 台 部 辆 盏 家 间 户 栋 层 次 遍 张 本 页 篇 份 项 题 道 期 棵 把 套 双 对 "
    "根 支 幅 处 座 场 句 杯 碗 颗 粒 片 步 格 组 批 单 人次 例 点 号 楼 室"
).split()
_OWN = (
    "平方米 立方米 平米 公里 厘米 毫米 千米 千克 公斤 千瓦 毫升 小时 分钟 工作日 个月 摄氏度 美元 港元 欧元 "
    "年 月 周 天 日 岁 分 秒 斤 克 吨 米 亩 度 倍 成 升"
).split()
_LATIN = (
    "μg/m3 mg/m3 m2 m3 ㎡ "
    "mmol/L umol/L μmol/L mg/L g/L U/L IU/L ng/mL pg/mL mg/dL mmHg kWh kHz MHz GHz Mbps KB MB GB TB mAh "
    "mg μg ug kg km cm mm mL ml ms min kPa MPa Pa rpm dpi px bpm kW kV mA mV dB Hz °C ℃ °F °"
).split() + list("gmtLVAWsh")

#: every unit that is taken along with a number, longest first
UNITS = sorted([*_MONEY, *_COUNTED, *_OWN], key=len, reverse=True)
LATIN_UNITS = sorted(_LATIN, key=len, reverse=True)
_kinds = {unit: "元" for unit in [*_MONEY, "¥", "RMB", "CNY", "￥"]} | {unit: "个" for unit in _COUNTED}
_kinds |= {
    "公斤": "kg",
    "千克": "kg",
    "克": "g",
    "吨": "t",
    "厘米": "cm",
    "毫米": "mm",
    "公里": "km",
    "千米": "km",
    "米": "m",
}
_kinds |= {
    "毫升": "ml",
    "升": "l",
    "°C": "℃",
    "摄氏度": "℃",
    "度": "℃",
    "°": "℃",
    "ug": "μg",
    "$": "美元",
    "USD": "美元",
}
_kinds |= {"平米": "平方米", "小时": "h", "分钟": "min", "秒": "s", "kW": "千瓦", "umol/L": "μmol/l"}


@dataclass(frozen=True, slots=True)
class Value:
    """start, end: characters of the text. number and sign (-1, 1, or 0 where a dash may be either) and unit for kind
    number; parts for dates (year, month, day) and clocks (hour, minute, second), None where not said; key for codes."""

    start: int
    end: int
    kind: Kind
    number: Decimal = Decimal(0)
    sign: int = 1
    unit: str = ""
    parts: tuple[int | None, ...] = ()
    key: str = ""
    half: bool = False


def unit_kind(unit: str) -> str:
    """One name for units that may stand for each other: 块 and 元, 台 and 个."""
    return _kinds.get(unit, unit.lower() if unit.isascii() else unit)


def plain(text: str, *, read: bool) -> str:
    """Full-width forms made ordinary, one character for one. read: OCR's text, whose `，` in a number is a comma."""
    chars = [_plain(char) for char in text]
    for at, char in enumerate(text):
        if char == "，" and not (read or (_wide(text, at - 1) and _wide(text, at + 1))):
            chars[at] = char
    return "".join(chars)


def _plain(char: str) -> str:
    if char in "−–—﹣":
        return "-"
    same = unicodedata.normalize("NFKC", char)
    return same if len(same) == 1 else char


def _wide(text: str, at: int) -> bool:
    return 0 <= at < len(text) and "０" <= text[at] <= "９"


def key(value: Value) -> Hashable:
    """What to look a claim up by: see `keys`."""
    match value.kind:
        case "number":
            return value.number
        case "clock":
            return "clock", value.parts[1]
        case "code":
            return "code", len(value.key)
        case "date":
            year, month, day = value.parts
            return ("day", month, day) if day else ("month", month) if month else Decimal(year or 0)


def keys(value: Value) -> list[Hashable]:
    """What a value can be found by: a date also by its parts."""
    if value.kind != "date":
        return [key(value)]
    year, month, day = value.parts
    by_day: list[Hashable] = [("day", month, day), ("day", None, day)] if day else []
    by_month: list[Hashable] = [("month", month)] if month else []
    return list(dict.fromkeys([*by_day, *by_month, *([Decimal(year)] if year else [])]))


def same(claim: Value, other: Value, *, falling: bool = False) -> bool:
    """The other says what the claim says. falling: the claim's words say that it went down (-5 % is 下降5%)."""
    if claim.kind == "number" and other.kind == "number":
        return claim.number == other.number and _same_sign(claim, other, falling) and alike(claim, other)
    if claim.kind == "date":
        return _same_date(claim, other)
    if claim.kind == "clock" and other.kind == "clock":
        return _same_clock(claim, other)
    return claim.kind == other.kind == "code" and _same_code(claim.key, other.key)


def alike(claim: Value, other: Value) -> bool:
    """Of one kind, with units that do not exclude each other: tables have theirs in the heading."""
    if claim.kind != other.kind:
        return False
    one, two = unit_kind(claim.unit), unit_kind(other.unit)
    return one == two or not one or not two


def _same_sign(claim: Value, other: Value, falling: bool) -> bool:
    return claim.sign == other.sign or 0 in (claim.sign, other.sign) or (falling and other.sign < 0)


def _same_date(claim: Value, other: Value) -> bool:
    year, month, day = claim.parts
    if other.kind == "number":
        return month is None and day is None and other.number == year and unit_kind(other.unit) in ("", "年")
    return other.kind == "date" and all(
        mine is None or mine == theirs for mine, theirs in zip((year, month, day), other.parts, strict=True)
    )


def _same_clock(claim: Value, other: Value) -> bool:
    (hour, minute, second), (their_hour, their_minute, their_second) = claim.parts, other.parts
    assert hour is not None and their_hour is not None
    if second is not None and second != their_second:
        return False
    twelve = (claim.half or other.half) and hour % 12 == their_hour % 12
    return minute == their_minute and (hour == their_hour or twelve)


def _same_code(key: str, other: str) -> bool:
    """Equal; a masked one (138****1234) where the digits that are left agree."""
    if len(key) != len(other):
        return False
    return all(one == two or "*" in (one, two) for one, two in zip(key, other, strict=True)) and key.strip("*") != ""
