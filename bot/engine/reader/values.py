"""Numbers, amounts, times and phone numbers as they are written in Chinese text."""

from __future__ import annotations

import re
from decimal import Decimal

from bot.engine.reader.lexicon import Kind

_NUMBER = r"(?<![\d.])[-−]?\d{1,3}(?:,\d{3})+(?:\.\d+)?|(?<![\d.])[-−]?\d+(?:\.\d+)?"
_HAN = r"[零〇一二两三四五六七八九十百千万半]"
_DATE = (
    r"\d{4}年\d{1,2}月(?:底|初|中旬)|\d{2,4}\s*[-/.年]\s*\d{1,2}\s*[-/.月]\s*\d{1,2}\s*日?"
    r"|\d{1,2}\s*月\s*\d{1,2}\s*[日号]?|\d{1,2}-\d{1,2}(?=\s+\d{1,2}:)"
)
_CLOCK = rf"\d{{1,2}}:\d{{2}}(?::\d{{2}})?|(?:\d{{1,2}}|{_HAN}{{1,3}})点(?:半|\d{{1,2}}分?|{_HAN}{{1,3}}分?|钟)?"
_DAY = (
    r"(?:(?:本|这|下|上)*(?:周|星期|礼拜)[一二三四五六日天末]|大后天|后天|明天|今天|昨天|前天|明早|明晚|今晚|今早"
    r"|(?:下|本|这)个?月(?:初|底|中)?|月底|年底|(?:\d{1,2}|[一二三四五六七八九十]+)月(?:底|初|中旬)|\d{1,2}[号日])"
)
_SPAN = rf"(?:(?<!\d)\d{{1,3}}|{_HAN}+)\s*个?(?:小时|分钟|天|周|个月|工作日|年)(?:后|内|前|左右)?"
_PART = r"(?:早上|上午|中午|下午|傍晚|晚上|凌晨|夜里|前)?"

PATTERNS: dict[Kind, re.Pattern[str]] = {
    "number": re.compile(rf"(?:{_NUMBER})\s*(?:万|亿)?\s*%?|{_HAN}+(?=[个只条件箱人次家部台盏遍天年张本块元斤])"),
    "amount": re.compile(rf"[¥￥$]\s*(?:{_NUMBER})\s*万?|(?:{_NUMBER})\s*(?:万|亿)?(?:元|块|圆)?"),
    "time": re.compile(rf"(?:{_DATE}|{_DAY}|{_CLOCK}|{_SPAN})(?:\s*{_PART}\s*(?:{_DATE}|{_DAY}|{_CLOCK}))*前?"),
    "phone": re.compile(
        r"(?<![\d-])(?:\+?86[- ]?)?(?:1\d{10}|1\d\d[\d*]{4}\d{4}|[48]00[- ]?\d{3,4}[- ]?\d{3,4}"
        r"|0\d{2,3}[- ]?\d{3,4}[- ]?\d{3,4}|\d{3,4}-\d{3,4}(?:-\d{3,4})?|(?:95|10|12)\d{3,4})(?!\d)"
    ),
    "code": re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-./:]{2,}"),
}


def find(kind: Kind, text: str) -> list[re.Match[str]]:
    """Everything of one kind in a text, in order. Kinds without a form of their own give nothing."""
    pattern = PATTERNS.get(kind)
    return [] if pattern is None else [match for match in pattern.finditer(text) if match[0].strip()]


def fits(kind: Kind, text: str) -> bool:
    """A value of this kind could be written like this."""
    if kind in ("any", "reason"):
        return True
    if kind == "name":
        return bool(re.search(r"[^\W\d_]", text)) and sum(map(str.isdigit, text)) <= 0.6 * len(text)
    if kind == "amount":
        return bool(find("amount", text)) and not re.search(r"\d{4}[-/年]\d", text)
    if kind == "code":
        return bool(re.search(r"\d", text))
    return bool(find(kind, text))


def number(text: str) -> Decimal | None:
    """The first number of a text (`¥1,280.50` is 1280.50, `2.6万` is 26000), or None."""
    match = re.search(rf"({_NUMBER})\s*([万亿]?)", text)
    if match is None:
        return None
    scale = {"": 1, "万": 10_000, "亿": 100_000_000}[match[2]]
    return Decimal(match[1].replace(",", "").replace("−", "-")) * scale


def show(value: Decimal) -> str:
    """Without exponent and without zeros that say nothing."""
    text = f"{value.quantize(Decimal('0.0001')):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


_MEASURES = (
    "万元 元 块 人 名 位 个 只 条 箱 盒 袋 瓶 包 件 台 部 辆 盏 家 间 户 栋 层 单元 次 遍 天 年 月 周 小时 分钟 "
    "分 秒 岁 张 本 页 篇 份 项 题 道 斤 公斤 克 "
    "千克 吨 米 厘米 公里 平方米 平米 平 亩 度 成 倍 期 棵 把 套 双 对 根 支 幅 处 座 场 句 杯 碗 颗 粒 片 毫升 "
    "升 步 格"
).split()
_MEASURE = re.compile("|".join(sorted(_MEASURES, key=len, reverse=True)))


def measure(question: str) -> str:
    """The measure word that a question counts in (`少了几箱` is 箱), or empty."""
    match = re.search(r"(?:几|多少)\s*(?:个)?", question)
    if match is None:
        return ""
    unit = _MEASURE.match(question, match.end())
    if unit is None:
        return "个" if match[0].endswith("个") else ""
    return unit[0]
