"""Finds the values of a text. What stands first in the list of forms wins where two overlap."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal

from bot.evidence.numerals import value_of
from bot.evidence.values import LATIN_UNITS, UNITS, Value, plain

_DIGITS = "零〇一二两三四五六七八九"
_HAN = f"{_DIGITS}十百千万亿"
_N = rf"(?:\d{{1,2}}|[{_DIGITS}十]{{1,3}})"
_PART = r"(?:(?P<part>上午|下午|晚上|早上|早晨|凌晨|中午|傍晚|今晚|夜里)\s{0,4})"
_UNIT = "|".join(map(re.escape, UNITS))
_LATIN = "|".join(map(re.escape, LATIN_UNITS))

_SMALL = rf"(?:\d{{1,3}}|[{_DIGITS}十百]{{1,4}})"
_POINTS = (
    "建议|意见|原因|方面|部分|要点|问题|注意|结论|启示|措施|特点|步骤|要求|说明|理由|亮点|发现|看法|内容|重点|事项|"
    "阶段|风险|思考|经验|总结|优势|不足|图片?"
)
#: numbers that order or count the text itself
_ORDER = re.compile(
    "|".join(
        (
            r"!?\[图[^\]\n]{0,40}\](?:\([^)\n]{0,500}\))?",
            r"\]\([^)\n]{0,500}\)",
            r"<?https?://[^\s>)\u3000-\u9fff]+>?",
            r"&#?\w{1,10};",
            rf"图\s{{0,4}}{_N}(?![\d.%年月日元])(?:\s{{0,4}}(?:[-~、,和与及至到]|以及)\s{{0,4}}图?\s{{0,4}}{_N}(?![\d.%年月日元]))*",
            rf"第\s{{0,4}}{_SMALL}(?:\s{{0,4}}[-~、至到]\s{{0,4}}第?{_SMALL})?\s{{0,4}}(?:节|章|段|部分|步|条|点|张|幅|格|图|项|篇|题|阶段|页|个|幕|镜|组)",
            rf"(?:以下|如下|下面|上述|这|哪)\s{{0,4}}{_SMALL}\s{{0,4}}(?:点|条|项|个|步|种|类|大|方面|部分|张|幅)",
            rf"{_SMALL}\s{{0,4}}(?:大|个|点|条|项|类|步|方面|部分|种|张|幅)\s{{0,4}}(?:{_POINTS})",
            rf"分(?:为|成|作)?\s{{0,4}}{_SMALL}\s{{0,4}}(?:大|个)?(?:步|部分|点|方面|阶段|节|段)",
            r"(?m:^[ \t>]*(?:#{1,6}[ \t]+)\d+(?:\.\d+)*[.、]?(?=[ \t\u4e00-\u9fff])(?!\d*[年月日元%]))",
            r"(?m:^[ \t>]*(?:#{1,6}[ \t]+)?(?:[-*+•][ \t]+)?(?:\*\*)?"
            rf"(?:\(?\d{{1,3}}(?:[)、]|[.:](?!\d))|\(?[{_DIGITS[2:]}十]{{1,3}}[)、.:]))",
            r"[×xX*]\s{0,4}10\^?\d{1,2}(?=/)",
            r"(?<![A-Za-z0-9])(?:A[3-5]|B5|[45]G|[23]D|4S|B2[BC]|O2O|MP[34]|H5|7[x×*]24)(?![A-Za-z0-9])",
        )
    )
)
#: Chinese numerals that are words
_IDIOM = re.compile(
    r"十分(?!之|钟)|千万(?![元人])|万一|百分百|千百|万千|成千上万|三三两两|百万富翁|万亿|一[一二两三]|[二三]三两两"
)
_SINGLE = re.compile(r"[一两]")
_STRONG = {"元", "块钱", "月", "日", "美元", "万元", "岁", "度", "公斤", "斤", "克", "米", "公里"}

_PHONE = re.compile(
    r"(?<![\d.\-])(?:\+?86[- ]?)?1[3-9]\d(?:[\d*]{8}|[- ][\d*]{4}[- ]\d{4})(?!\d)"
    r"|(?<![\d\-])0\d{2,3}[- ]?\d{7,8}(?!\d)|(?<![\d\-])[48]00-\d{3,4}-?\d{3,4}(?!\d)"
    r"|(?<!\d)\d{4}(?: \d{4}){2,3}(?: \d{1,3})?(?!\d)"
)
_DATE = re.compile(
    rf"(?<!\d)(?P<y>(?:19|20)\d\d|[{_DIGITS}]{{4}})\s{{0,4}}年\s{{0,4}}(?:(?P<m>{_N})\s{{0,4}}月\s{{0,4}}(?:(?P<d>{_N})\s{{0,4}}(?:[日号]|(?!\d)))?|(?!前|后|内|级|间|来|以))"
    r"|(?<!\d)(?P<y2>(?:19|20)\d\d)\s{0,4}(?P<sep>[-/.])\s{0,4}(?P<m2>\d{1,2})\s{0,4}(?P=sep)\s{0,4}(?P<d2>\d{1,2})(?!\d|[-/.]\d)"
    r"|(?<!\d)(?P<y3>\d\d)年(?P<m3>\d{1,2})月(?:(?P<d3>\d{1,2})(?:[日号]|(?!\d)))?"
    rf"|(?<![\d{_HAN}])(?P<m4>{_N})\s{{0,4}}月\s{{0,4}}(?:(?P<d4>{_N})\s{{0,4}}[日号])"
    rf"|(?<![\d{_HAN}个])(?P<m5>{_N})\s{{0,4}}月(?:份|底|初)?"
    r"|(?<![\d./-])(?P<m6>\d{1,2})[-/](?P<d6>\d{1,2})(?=\s+\d{1,2}:\d\d)"
    rf"|(?<![\d{_HAN}])(?P<d7>\d{{1,2}})\s{{0,4}}日"
)
_CELL_DATE = re.compile(r"\s{0,4}(?P<m8>\d{1,2})[-/](?P<d8>\d{1,2})\s{0,4}")
_CLOCK = re.compile(
    rf"{_PART}?(?<![\d:])(?P<h>\d{{1,2}}):(?P<min>\d\d)(?::(?P<s>\d\d))?(?![\d:])"
    rf"|{_PART.replace('part', 'part2')}?(?<![\d{_HAN}.])(?P<h2>{_N})\s{{0,4}}[点时]"
    rf"(?:(?P<min2>{_N})\s{{0,4}}分(?!钟)|(?P<half>半)|整|钟)"
    rf"|{_PART.replace('part', 'part3')}(?P<h3>{_N})\s{{0,4}}[点时](?P<min3>\d\d)?"
)
_CODE = re.compile(
    r"(?<![A-Za-z0-9])(?!(?:RMB|CNY|USD|EUR)\d)(?![xX]\d+(?![\w-]))[A-Za-z][A-Za-z0-9]*(?:[-_.#]?[A-Za-z0-9]+)*"
    r"|(?<![A-Za-z0-9.])\d+(?:\.\d+){2,}(?![\d.])|(?<![A-Za-z0-9.\-])\d{2,}(?:-\d{2,}){2,}(?!\d)|(?<![\d.,A-Za-z])0\d{2,}(?![\d.])"
    r"|(?<![\d.,A-Za-z])\d{9,}[Xx]?(?![\d.,A-Za-z])"
)
_MIXED = re.compile(r"(?<![A-Za-z0-9])\d+[A-Za-z]+(?:-?[A-Za-z0-9]+)*")
_NUMBER = re.compile(
    rf"(?:(?P<currency>[¥$]|RMB|CNY|USD)\s{{0,4}})?(?P<sign>[-+])?(?<![\d.])"
    r"(?P<digits>\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?)"
    rf"(?:\s{{0,4}}(?P<scale>万亿|万|亿|千(?![克米瓦卡])|百(?!分)))?(?:\s{{0,4}}(?P<unit>[%‰]|(?:{_LATIN})(?![A-Za-z])|{_UNIT}))?(?!(?![xX]\d)[A-Za-z])"
)
_PERCENT = re.compile(rf"百分之(?P<han>[{_HAN}]+(?:点[{_DIGITS}]+)?|\d+(?:\.\d+)?)")
_SPELLED = re.compile(rf"(?P<han>[{_HAN}]+(?:点[{_DIGITS}]+)?)\s{{0,4}}(?P<unit>{_UNIT})?")
_SCALES = {"万": 10_000, "亿": 100_000_000, "千": 1000, "百": 100, "万亿": 10**12, "": 1, None: 1}


def values(text: str, *, read: bool = False) -> list[Value]:
    """All values in order. read: the text is OCR's, where nothing counts the text itself."""
    known = plain(text, read=read)
    taken = bytearray(len(known))
    if not read:
        for match in _ORDER.finditer(known):
            _take(taken, *match.span())
    found: list[Value] = []
    for pattern, make in _FORMS:
        for value in _matches(known, pattern, make, taken):
            found.append(value)
            _take(taken, value.start, value.end)
    if read and not found:
        found = _whole_cell(known)
    return sorted(found, key=lambda value: value.start)


def _take(taken: bytearray, start: int, end: int) -> None:
    taken[start:end] = b"\1" * (end - start)


def _matches(
    text: str, pattern: re.Pattern[str], make: Callable[[re.Match[str]], Value | None], taken: bytearray
) -> Iterator[Value]:
    """taken: 1 for each character that another value has, those of this pattern included as they come."""
    at = 0
    while match := pattern.search(text, at):
        first = taken.find(1, *match.span())
        value = make(match) if first < 0 else None
        if value is not None:
            yield value
        # What overlaps is looked at again behind it, not skipped whole.
        free = match.end() if first < 0 else taken.find(0, first)
        at = max(len(text) if free < 0 else free, match.start() + 1)


def _whole_cell(text: str) -> list[Value]:
    match = _CELL_DATE.fullmatch(text)
    value = _date(match) if match else None
    return [value] if value else []


def _code(match: re.Match[str]) -> Value | None:
    key = re.sub(r"[^A-Z0-9*.]", "", match[0].upper())
    if len(key) < 2 or not any(char.isdigit() for char in key):
        return None
    return Value(*match.span(), "code", key=key.removeprefix("86") if match[0].startswith("+86") else key)


def _date(match: re.Match[str]) -> Value | None:
    given = {name[0]: value_of(text) for name, text in match.groupdict().items() if text and name != "sep"}
    year, month, day = (None if given.get(name) is None else int(given[name] or 0) for name in "ymd")
    if year is not None and year < 100:
        year += 2000
    if not (month is None or 1 <= month <= 12) or not (day is None or 1 <= day <= 31):
        return None
    return Value(*match.span(), "date", parts=(year, month, day))


def _clock(match: re.Match[str]) -> Value | None:
    groups = match.groupdict()
    part = groups["part"] or groups["part2"] or groups["part3"] or ""
    hour = value_of(groups["h"] or groups["h2"] or groups["h3"])
    minute = Decimal(30) if groups["half"] else value_of(groups["min"] or groups["min2"] or groups["min3"] or "0")
    if hour is None or minute is None or hour > 24 or minute > 59:
        return None
    late = part in ("下午", "晚上", "傍晚", "今晚", "夜里") or (part == "中午" and hour < 11)
    second = int(groups["s"]) if groups["s"] else None
    start = match.end() - len(match[0].lstrip())
    shifted = int(hour) + (12 if late and hour < 12 else 0)
    return Value(start, match.end(), "clock", parts=(shifted, int(minute), second), half=not part and hour <= 12)


def _number(match: re.Match[str]) -> Value | None:
    number = Decimal(match["digits"].replace(",", "")) * _SCALES[match["scale"]]
    before = match.string[match.start("sign") - 1] if match["sign"] and match.start("sign") else " "
    sign = 1
    if match["sign"] == "-":
        sign = 0 if before.isalnum() or before in "%)]~" else -1
    start = match.start("digits") if sign == 0 or (match["sign"] == "+") else match.start()
    start += len(match.string[start : match.end()]) - len(match.string[start : match.end()].lstrip())
    unit = match["unit"] or match["currency"] or ""
    return Value(start, match.end(), "number", number, sign, unit)


def _percent(match: re.Match[str]) -> Value | None:
    number = value_of(match["han"])
    return None if number is None else Value(*match.span(), "number", number, unit="%")


def _spelled(match: re.Match[str]) -> Value | None:
    """Numerals that are meant as a number: with a unit, or too long to be a word."""
    han, unit = match["han"], match["unit"] or ""
    number = value_of(han)
    if number is None or _IDIOM.match(match.string, match.start()):
        return None
    if _SINGLE.fullmatch(han) and unit not in _STRONG:
        return None
    runs = len(han) > 1 and set(han) <= set(_DIGITS)
    if (runs and len(han) < 3) or (not unit and (len(han) < 3 or runs)) or set(han) <= set("百千万亿"):
        return None
    if match.string[max(0, match.start() - 1) : match.start()] in ("第", "星", "周", "数", "几", "之"):
        return None
    return Value(match.start(), match.end(), "number", number, unit=unit)


_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Value | None]], ...] = (
    (_PHONE, _code),
    (_DATE, _date),
    (_CLOCK, _clock),
    (_CODE, _code),
    (_PERCENT, _percent),
    (_NUMBER, _number),
    (_MIXED, _code),
    (_SPELLED, _spelled),
)
