"""Pairs of a key and a value: written with a colon, or standing side by side in a row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.engine.reader.lexicon import FIELD_WORDS
from bot.engine.reader.page import Line


@dataclass(frozen=True, slots=True)
class Fact:
    """key and value as written; context: what it belongs to (the row of a table, the party above)."""

    key: str
    value: str
    lines: tuple[Line, ...]
    context: str = ""
    table: bool = False


_INLINE = re.compile(r"(?:^|(?<=[\s;；,，|｜/]))([^\s:：，。；;|｜]{1,14}?(?:[（(][^）)]{1,6}[）)])?)\s*[:：]\s*(?!//)")
_BUTTON = re.compile(r"^(?:复制|查看|展开|收起|去评价|更多|详情|修改|编辑|[>＞›»]+)$")


def find_pairs(lines: Sequence[Sequence[Line]]) -> list[Fact]:
    found: list[Fact] = []
    for row in lines:
        found += _row_pairs(row)
    return _with_context(found)


def _row_pairs(row: Sequence[Line]) -> list[Fact]:
    """Pairs written with a colon inside lines, then `label   value` across a row."""
    cells = [line for line in row if not _BUTTON.match(line.text)]
    found: list[Fact] = []
    plain: list[Line] = []
    for line in cells:
        inline = split_pairs(line.text) or _spoken_pairs(line.text)
        found += [Fact(key, value, (line,)) for key, value in inline]
        if not inline:
            plain.append(line)
    if found and not found[-1].value and plain and plain[-1].box.left > found[-1].lines[0].box.left:
        last = found.pop()
        found.append(Fact(last.key, plain[-1].text, (*last.lines, plain[-1])))
    elif found and plain:
        found = _append_rest(found, plain)
    elif len(plain) >= 2:
        found += _across(plain)
    return [fact for fact in found if fact.value]


_AMOUNT = r"[¥￥]\s*\d[\d,]*(?:\.\d+)?|\d[\d,]*(?:\.\d+)?\s*元"
_TAGGED = re.compile(rf"([\u4e00-\u9fff]{{2,6}})\s*({_AMOUNT})")


def _spoken_pairs(text: str) -> list[tuple[str, str]]:
    """Pairs without a colon whose key is a known word: `续航时间 40小时`, `到手价 ¥1,299  原价 ¥1,599`."""
    words = text.split(maxsplit=1)
    if len(words) == 2 and len(words[1]) <= 16 and words[0].lower() in FIELD_WORDS and not re.search(r"[，。]", text):
        return [(words[0], words[1])]
    tagged = [(_last_word(match[1]), match[2]) for match in _TAGGED.finditer(text)]
    return [(key, value) for key, value in tagged if key] if len(text) <= 24 else []


def _last_word(text: str) -> str:
    """The known word that a run of characters ends with (`限时立减` is 立减), or empty."""
    return next((text[at:] for at in range(len(text) - 1) if text[at:] in FIELD_WORDS), "")


def _append_rest(found: list[Fact], plain: list[Line]) -> list[Fact]:
    """`价税合计（大写）：捌佰圆   (小写)¥800.00` is one fact: what stands behind a pair belongs to it."""
    last = found[-1]
    behind = [line for line in plain if line.box.left > last.lines[0].box.left and re.search(r"\d", line.text)]
    if not behind:
        return found
    value = " ".join([last.value, *(line.text for line in behind)])
    return [*found[:-1], Fact(last.key, value, (*last.lines, *behind))]


def split_pairs(text: str) -> list[tuple[str, str]]:
    """`key：value` pairs of one line. Clock times and addresses of web pages are not pairs."""
    marks = [match for match in _INLINE.finditer(text) if _is_key(match[1])]
    if not marks or (marks[0].start() > 8 and not re.search(r"\s", text[: marks[0].start()])):
        return []
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [(m[1], text[m.end() : end].strip(" ;；,，|｜/")) for m, end in zip(marks, ends, strict=True)]


def _is_key(text: str) -> bool:
    return bool(re.search(r"[^\W\d_]", text)) and not re.search(r"\d$", text) and len(text) <= 14


def _across(row: Sequence[Line]) -> list[Fact]:
    if len(row) >= 4 and len(row) % 2 == 0 and all(_is_label(line.text) for line in row[::2]):
        if not all(_is_label(line.text) for line in row[1::2]):
            pairs = zip(row[::2], row[1::2], strict=True)
            return [Fact(key.text, value.text, (key, value)) for key, value in pairs]
    if not _is_label(row[0].text) or (len(row) > 2 and all(_is_label(line.text) for line in row)):
        return []
    return [Fact(row[0].text, " ".join(line.text for line in row[1:]), tuple(row))]


def _is_label(text: str) -> bool:
    """Short, with letters, without digits or sentence marks."""
    return (
        len(text) <= 12
        and bool(re.search(r"[^\W\d_]", text))
        and not re.search(r"[\d¥￥。！？!?，…]|[（(]$|^[（(]", text)
    )


def _with_context(facts: Sequence[Fact]) -> list[Fact]:
    """A pair that repeats a key (`税号` twice) belongs to the pair right above it in its column."""
    keys = [fact.key for fact in facts]
    out: list[Fact] = []
    for index, fact in enumerate(facts):
        above = [other for other in facts[:index] if other.key != fact.key and _stands_on(other, fact)]
        repeated = keys.count(fact.key) > 1 and above
        out.append(replace(fact, context=_owner(above, keys).key) if repeated else fact)
    return out


def _owner(above: Sequence[Fact], keys: Sequence[str]) -> Fact:
    """The nearest pair above whose key is the only one of its name."""
    single = [fact for fact in above if keys.count(fact.key) == 1]
    return (single or above)[-1]


def _stands_on(upper: Fact, lower: Fact) -> bool:
    one, two = upper.lines[0].box, lower.lines[0].box
    return abs(one.left - two.left) < two.height and 0 < two.top - one.top < 5 * two.height
