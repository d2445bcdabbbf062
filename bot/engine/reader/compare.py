"""Highest, lowest, difference, sum, mean and rank of labelled numbers. Every step is shown with its numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from bot.engine.reader.contents import Contents
from bot.engine.reader.labels import Labelled
from bot.engine.reader.lexicon import concepts, plain
from bot.engine.reader.page import Line
from bot.engine.reader.question import ordinal
from bot.engine.reader.tables import Table
from bot.engine.reader.values import number, show

Answer = tuple[str, tuple[Line, ...]]

_HIGH = re.compile(r"最[高多大贵长快好重强]|更[高多大贵长]|哪[张个].{0,3}贵|冠军|榜首|排名?第一|第一名|峰值|之最|居首")
_LOW = re.compile(r"最[低少小便短慢差轻弱]|更[低少小便短]|哪[张个].{0,3}便宜|倒数第一|垫底|末位|最后一名")
_GAP = re.compile(
    r"相差|差多少|差了?几|差距|差额|差值|[多少高低贵便宜大小]了?(?:出)?(?:多少|几)|比.{1,14}[多少高低贵便宜大小]"
)
_SUM = re.compile(r"总和|合计|加起来|总共|一共|总计|之和|总量|总数|总额")
_MEAN = re.compile(r"平均|均值")
_RANK = re.compile(r"(?:排名?|第)\s*([二三四五六七八九十]|\d{1,2})\s*(?:名|高|多|大|位)?(?=的|是|哪|$|[?？])")
_LIMIT = re.compile(r"(超过|大于|高于|多于|不低于|不少于|低于|小于|少于|不到|不足|不超过)\s*(\d+(?:\.\d+)?)")


def series(question: str, contents: Contents) -> tuple[list[Labelled], str]:
    """The numbers that a question is about, and their unit. Empty when the page has no such series.

    Of a chart with a number that could not be read only the items named are given: the rest might hold the answer.
    """
    if contents.labelled:
        read = [one for one in contents.labelled if one.text]
        whole = len(read) == len(contents.labelled)
        return (read if whole else _named(question, read)), unit_of(contents)
    for table in contents.tables:
        column = _numeric_column(question, table)
        if column is not None:
            return _column(table, column), ""
    pairs = [
        Labelled(fact.key, fact.value, value, fact.lines)
        for fact in contents.facts
        if not fact.table
        and re.match(r"^[¥￥]?-?\d[\d,.]*\D{0,4}$", fact.value)
        and (value := number(fact.value)) is not None
    ]
    return (pairs, "") if len(_named(question, pairs)) >= 2 else ([], "")


def unit_of(contents: Contents) -> str:
    """`单位：万元` or a unit in brackets in a title, else empty."""
    for line in contents.page.lines:
        match = re.search(r"单位\s*[:：]?\s*([^\s)）,，]{1,6})", line.text) or re.search(
            r"[（(]((?:百|千|万|亿)?[元人件份单个台吨次辆℃度%户册本米]+(?:/\S{1,3})?)[）)]\s*$", line.text
        )
        if match:
            return match[1]
    return ""


def _numeric_column(question: str, table: Table) -> int | None:
    """The column that a question names; the only numeric one when it names none."""
    numeric = [i for i in range(len(table.header)) if _is_numeric(table, i)]
    asked = concepts(question)
    named = [
        i
        for i in numeric
        if plain(table.header[i]) in plain(question) or concepts(table.header[i]).keys() & asked.keys()
    ]
    if not named and re.search(r"[贵宜]", question):
        named = [i for i in numeric if "price" in concepts(table.header[i])]
    return named[0] if named else numeric[0] if len(numeric) == 1 else None


def _is_numeric(table: Table, column: int) -> bool:
    cells = [row[column] for row in table.rows if row[column]]
    hits = [cell for cell in cells if re.match(r"^[¥￥]?-?\d[\d,]*(?:\.\d+)?\D{0,3}$", cell)]
    return (
        len(hits) >= 2 and len(hits) >= 0.7 * len(cells) and not re.search(r"序号|编号|日期|时间", table.header[column])
    )


def _column(table: Table, column: int) -> list[Labelled]:
    found: list[Labelled] = []
    for label, row, lines in zip(table.labels(), table.rows, table.lines[1:], strict=True):
        value = number(row[column])
        if value is not None and not re.search(r"合计|总计|小计", label):
            found.append(Labelled(label, row[column], value, lines))
    return found


def compare(question: str, contents: Contents) -> Answer | None:
    """Answer a question that compares, counts or looks up labelled numbers; None when it is no such question."""
    count = None if contents.labelled else _row_count(question, contents)
    if count is not None:
        return count
    values, unit = series(question, contents)
    return relate(question, values, unit, plain_lookup=bool(contents.labelled))


def _row_count(question: str, contents: Contents) -> Answer | None:
    """`一共几项` of a table."""
    if not contents.tables or not re.search(r"(?:一共|总共|共有?|买了).*(?:几|多少)[项种样个行类]", question):
        return None
    if any(label in question for label in contents.tables[0].labels()):
        return None
    labels = [label for label in contents.tables[0].labels() if not re.search(r"合计|总计|小计", label)]
    return f"共 {len(labels)} 项：{'、'.join(labels)}", contents.tables[0].lines[0]


def relate(question: str, values: list[Labelled], unit: str = "", *, plain_lookup: bool = False) -> Answer | None:
    """The same for numbers that are known already. plain_lookup: also answer `东湖店是多少`."""
    if not values:
        return None
    named = _named(question, values)
    if len(named) >= 2 and "倍" not in question and (_GAP.search(question) or re.search(r"谁|哪|更|还是", question)):
        return _gap(named[0], named[1], unit)
    if len(named) >= 2 and _SUM.search(question):
        return _sum(named, unit)
    if (
        len(values) == 2
        and not named
        and _GAP.search(question)
        and not _HIGH.search(question)
        and not _LOW.search(question)
    ):
        return _gap(values[0], values[1], unit)
    if _GAP.search(question) and _HIGH.search(question) and _LOW.search(question):
        return _gap(max(values, key=_value), min(values, key=_value), unit)
    if len(named) >= 2 and re.search(r"几倍|多少倍", question):
        return _times(named[0], named[1], unit)
    if len(named) == 1 and re.search(r"占|百分之", question) and not named[0].text.endswith("%"):
        return _share(named[0], values, unit)
    return _over_all(question, named, values, unit, plain_lookup)


def _over_all(
    question: str, named: list[Labelled], values: list[Labelled], unit: str, plain_lookup: bool
) -> Answer | None:
    high, low = _HIGH.search(question), _LOW.search(question)
    if high or low:
        parts = [_extreme(values, bool(way is high), unit) for way in (high, low) if way]
        return "；".join(text for text, _ in parts), tuple(line for _, lines in parts for line in lines)
    limit = _LIMIT.search(question)
    if limit:
        return _limited(values, limit[1], Decimal(limit[2]), unit)
    rank = _RANK.search(question)
    if rank and not named:
        return _ranked(values, ordinal(rank[1]), unit)
    if _MEAN.search(question):
        return _mean(named if len(named) >= 2 else values, unit)
    if _SUM.search(question) and not named:
        if re.search(r"几[家个项种类]|多少[家个项种]", question):
            return f"共 {len(values)} 项：{'、'.join(v.label for v in values)}", _lines(values)
        return _sum(values, unit)
    if named and re.search(r"排第?几|第几", question):
        return _place(named[0], values, unit)
    if named and plain_lookup and not _GAP.search(question) and (contents_question(question) or len(named) >= 2):
        return "；".join(f"{v.label}：{_shown(v, unit)}" for v in named), _lines(named)
    return None


def contents_question(question: str) -> bool:
    """Asks for the number itself."""
    return re.search(r"多少|几|占比|比例|百分之|数值|呢|[?？]$", question) is not None


def _value(item: Labelled) -> Decimal:
    return item.value


def _lines(values: Sequence[Labelled]) -> tuple[Line, ...]:
    return tuple(line for value in values for line in value.lines)


def _shown(item: Labelled, unit: str) -> str:
    return item.text if not unit or item.text.endswith(unit) else f"{item.text} {unit}"


def _named(question: str, values: Sequence[Labelled]) -> list[Labelled]:
    """Items whose label the question names, in the order of the question; longer labels hide shorter."""
    rest, found = plain(question), list[tuple[int, Labelled]]()
    for item in sorted(values, key=lambda v: -len(v.label)):
        for label in _short_names(plain(item.label), values):
            at = rest.find(label)
            if at >= 0 and not (label.isdigit() and rest[at + len(label) : at + len(label) + 1].isdigit()):
                found.append((at, item))
                rest = rest.replace(label, "\x00" * len(label))
                break
    return [item for _, item in sorted(found, key=lambda pair: pair[0])]


def _short_names(label: str, values: Sequence[Labelled]) -> list[str]:
    """The label, and what is left without an ending that all labels share (店) or that people drop."""
    ends = {plain(value.label)[-1:] for value in values}
    short = label[:-1] if len(ends) == 1 and len(label) > 2 else label
    bare = re.sub(r"^\*[^*]+\*", "", label)
    return list(dict.fromkeys(name for name in (label, bare, short) if name))


def _gap(one: Labelled, other: Labelled, unit: str) -> Answer:
    difference = one.value - other.value
    word = "相同" if difference == 0 else "多" if difference > 0 else "少"
    mark = _unit_text(one, unit)
    text = f"{one.label} {_shown(one, unit)}，{other.label} {_shown(other, unit)}，"
    if difference == 0:
        return text + "两者相同", _lines([one, other])
    big, small = sorted((one, other), key=_value, reverse=True)
    step = f"{show(big.value)} - {show(small.value)} = {show(abs(difference))}"
    return f"{text}{one.label}比{other.label}{word} {show(abs(difference))}{mark}（{step}）", _lines([one, other])


def _times(one: Labelled, other: Labelled, unit: str) -> Answer | None:
    if other.value == 0:
        return None
    ratio = show((one.value / other.value).quantize(Decimal("0.01")))
    step = f"{show(one.value)} ÷ {show(other.value)} ≈ {ratio}"
    return f"{one.label} {_shown(one, unit)}，{other.label} {_shown(other, unit)}，约 {ratio} 倍（{step}）", _lines(
        [one, other]
    )


def _share(one: Labelled, values: Sequence[Labelled], unit: str) -> Answer | None:
    total = sum((v.value for v in values), Decimal(0))
    if total <= 0:
        return None
    part = show((100 * one.value / total).quantize(Decimal("0.1")))
    return (
        f"{one.label} {_shown(one, unit)}，约占合计 {show(total)} 的 {part}%（{show(one.value)} ÷ {show(total)}）",
        _lines(values),
    )


def _unit_text(item: Labelled, unit: str) -> str:
    if unit:
        return f" {unit}"
    tail = re.search(r"[^\d.,\s]+$", item.text)
    return f" {tail[0]}" if tail else ""


def _extreme(values: list[Labelled], high: bool, unit: str) -> Answer:
    best = (max if high else min)(values, key=_value)
    same = [value for value in values if value.value == best.value]
    names = "、".join(value.label for value in same)
    return f"最{'高' if high else '低'}的是{names}：{_shown(best, unit)}", _lines(same)


def _ranked(values: list[Labelled], place: int, unit: str) -> Answer | None:
    order = sorted(values, key=_value, reverse=True)
    if not 1 <= place <= len(order):
        return None
    item = order[place - 1]
    return f"从高到低第 {place} 是{item.label}：{_shown(item, unit)}", item.lines


def _place(item: Labelled, values: list[Labelled], unit: str) -> Answer:
    place = 1 + sum(value.value > item.value for value in values)
    return f"{item.label} {_shown(item, unit)}，从高到低排第 {place}（共 {len(values)} 项）", item.lines


def _limited(values: list[Labelled], word: str, bound: Decimal, unit: str) -> Answer:
    above = word in ("超过", "大于", "高于", "多于", "不低于", "不少于")
    equal = word.startswith("不") and word not in ("不到", "不足")
    found = [v for v in values if (v.value > bound if above else v.value < bound) or (equal and v.value == bound)]
    listed = "、".join(f"{v.label}（{_shown(v, unit)}）" for v in found) or "无"
    return f"{word} {show(bound)} 的有 {len(found)} 项：{listed}", _lines(found)


def _sum(values: Sequence[Labelled], unit: str) -> Answer:
    total = sum((v.value for v in values), Decimal(0))
    terms = " + ".join(show(v.value) for v in values)
    return f"合计 {show(total)}{_unit_text(values[0], unit)}（{terms} = {show(total)}）", _lines(values)


def _mean(values: Sequence[Labelled], unit: str) -> Answer:
    total = sum((v.value for v in values), Decimal(0))
    mean = show((total / len(values)).quantize(Decimal("0.01")))
    terms = " + ".join(show(v.value) for v in values)
    return f"平均 {mean}{_unit_text(values[0], unit)}（({terms}) ÷ {len(values)}）", _lines(values)
