"""Looks a field up: `实付款是多少` in the pairs, tables and price tags of a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from bot.engine.reader.compare import unit_of
from bot.engine.reader.contents import Contents
from bot.engine.reader.finding import Finding
from bot.engine.reader.lexicon import KINDS, PROVINCES, SURNAMES, Kind, concepts, plain
from bot.engine.reader.page import Line
from bot.engine.reader.pairs import Fact
from bot.engine.reader.question import Item, Question
from bot.engine.reader.values import find, fits, number

#: which amount `多少钱` means when it says no more, best first
_MAIN_AMOUNT = ("due", "paid", "total", "price", "money", "goods_total", "balance")


def lookup(item: Item, page: Contents) -> Finding | None:
    """The field that an item asks for, or None."""
    prices = _price(item, page)
    scored = [(_score(item, fact, page), fact) for fact in page.facts]
    best = max((score for score, _ in scored), default=0.0)
    if 0.45 < best < 0.62 and (column := _column(item, page)) is not None:
        return column
    if best < 0.55:
        return prices
    if prices is not None and prices.score >= best:
        return prices
    chosen = [fact for score, fact in scored if score > best - 0.05]
    if len(chosen) > 1 and not chosen[0].table:
        chosen = chosen[:1] if best >= 1.0 and not _same_key(chosen) else chosen[:4]
    text = "\n".join(dict.fromkeys(_sentence(item, fact) for fact in chosen))
    return Finding(text, tuple(line for fact in chosen for line in fact.lines), min(best, 1.0))


def _column(item: Item, page: Contents) -> Finding | None:
    """A column that is asked for without a row: one value if all rows agree, else row by row."""
    facts = [fact for fact in page.facts if fact.table and _key_score(item, fact.key) >= 1.0]
    facts = [fact for fact in facts if fact.key == facts[0].key]
    if not facts or len(facts) > 15:
        return None
    lines = tuple(line for fact in facts for line in fact.lines)
    if len({fact.value for fact in facts}) == 1:
        return Finding(f"{facts[0].key}：{facts[0].value}", lines, 0.8)
    return Finding("\n".join(_sentence(item, fact) for fact in facts), lines, 0.7)


def _same_key(facts: Sequence[Fact]) -> bool:
    return len({fact.key for fact in facts}) == 1


def _sentence(item: Item, fact: Fact) -> str:
    owner = f"{fact.context}的" if fact.context else ""
    del item
    return f"{owner}{fact.key.strip()}：{fact.value}"


def _score(item: Item, fact: Fact, page: Contents) -> float:
    key = _key_score(item, fact.key)
    if fact.table:
        owner = _context_score(item, fact.context)
        key = key * (0.5 + 0.6 * owner) if owner < 0.3 else 0.5 * key + 0.6 * owner * (key > 0.3)
    elif fact.context:
        key += 0.25 * _context_score(item, fact.context)
    kind = _value_kind(item, fact)
    if _about_a_part(item, fact, page):
        key -= 0.6
    return key if fits(kind, fact.value) else key - 0.5


def _about_a_part(item: Item, fact: Fact, page: Contents) -> bool:
    """`鞋底是什么颜色` is not settled by the colour of the goods when no text speaks of soles."""
    if not concepts(fact.key).keys() & {"colour", "material"} or plain(fact.key) in plain(item.text[:2]):
        return False
    return _names_a_part(item, page)


def _names_a_part(item: Item, page: Contents) -> bool:
    text = plain(page.page.text)
    words = [plain(w) for w in item.runs if len(w) >= 2 and not concepts(w) and w not in _WHOLE]
    return bool(words) and not any(word[at : at + 2] in text for word in words for at in range(len(word) - 1))


#: words for the goods themselves
_WHOLE = ("商品", "产品", "鞋子", "衣服", "包包", "这双")


def _value_kind(item: Item, fact: Fact) -> Kind:
    """A key that says what it holds (订单号) is not judged by the question's how-much words."""
    kinds = {KINDS[name] for name in concepts(fact.key)}
    return item.kind if not kinds or item.kind in kinds else "any"


def _key_score(item: Item, key: str) -> float:
    asked, name = item.special, concepts(key)
    words, low = plain(item.text), plain(re.sub(r"[（(].*?[）)]", "", key)) or plain(key)
    score = 0.0
    if len(low) >= 2 and low in words:
        score = 1.0 + 0.01 * len(low)
    elif asked & name.keys():
        score = 1.0
    elif asked <= {"money"} and asked and name.keys() & set(_MAIN_AMOUNT):
        place = min(_MAIN_AMOUNT.index(n) for n in name if n in _MAIN_AMOUNT)
        score = 0.95 - 0.06 * place
    elif asked <= {"time"} and asked and any(KINDS[n] == "time" for n in name):
        score = 0.6
    run = max((_part(run, low) for run in item.runs), default=0.0)
    return max(score, run) + (0.04 * run if score else 0.0)


def _part(run: str, key: str) -> float:
    """How much of the shorter of two words the other holds, in pairs of characters."""
    if len(run) < 2 or len(key) < 2:
        return 0.0
    if run in key or key in run:
        return 0.95 if len(run) >= 0.5 * len(key) else 0.8
    pairs = {run[i : i + 2] for i in range(len(run) - 1)}
    shared = sum(key[i : i + 2] in pairs for i in range(len(key) - 1))
    return 0.85 * shared / max(1, min(len(pairs), len(key) - 1))


def _context_score(item: Item, context: str) -> float:
    """The question names the row (or the party) that a fact belongs to."""
    label = plain(re.sub(r"^\*[^*]+\*", "", context))
    if label and label in plain(item.text):
        return 1.0
    if concepts(context).keys() & item.concepts:
        return 1.0
    if label and label in plain(item.about):
        return 0.9
    return max((_part(run, label) for run in item.runs), default=0.0)


# --- price tags ------------------------------------------------------------------------------------------

_NAME = re.compile(f"[{SURNAMES}][\u4e00-\u9fff]{{1,2}}")
_DATE = re.compile(r"(?:\d{4}\s*[年/.-]\s*)?\d{1,2}\s*[月/.-]\s*\d{1,2}\s*[日号]|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}")
#: fields that a page may give by form alone
_FORMS = (
    ("capacity", re.compile(r"\d+(?:\.\d+)?\s*(?:ml|ML|mL|毫升|L|升)(?![a-zA-Z])")),
    ("weight", re.compile(r"\d+(?:\.\d+)?\s*(?:kg|KG|g|克|千克|公斤|斤)(?![a-zA-Z])")),
    ("quantity", re.compile(r"(?<![\d×x])[×xX]\s*\d{1,3}(?!\d)|共\s*\d+\s*件")),
    ("email", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("colour", re.compile(r"(?<!\S)[\u4e00-\u9fff]{0,3}[黑白灰蓝绿红粉紫黄橙棕金银青](?:色)?(?!\S)")),
    # a Chinese and a Latin name at the head of a title
    ("brand", re.compile(r"(?:^|(?<=】))[\u4e00-\u9fff]{2,4}\s+[A-Za-z]{3,}(?=\s)")),
    ("origin", re.compile(f"(?:{'|'.join(PROVINCES)})(?:省|市)?[\u4e00-\u9fff]{{0,4}}")),
)
_TAG = re.compile(r"[¥￥]\s*(\d[\d,]*(?:\.\d+)?)")


def _price(item: Item, page: Contents) -> Finding | None:
    """A product card's prices carry no key: the large one is asked now, the smaller one beside it was before."""
    now, before = (
        "price" in item.special or (item.special <= {"money"} and bool(item.special)),
        "old_price" in item.special,
    )
    keyed = {id(line) for fact in page.facts for line in fact.lines}
    tags = [(line, match[0]) for line in page.page.lines if id(line) not in keyed for match in _TAG.finditer(line.text)]
    if not (now or before) or not tags:
        return None
    main = max(tags, key=lambda tag: tag[0].box.height)
    others = [tag for tag in tags if tag is not main and _beside(tag[0], main[0])]
    smaller = [t for t in others if t[0] is main[0] or t[0].box.height < 0.85 * main[0].box.height]
    if before:
        return _old_price(main, smaller)
    if not smaller and len(tags) > 1:
        return None
    return Finding(f"{main[1]}{_labels(main[0], page)}", (main[0],), 0.9)


def _old_price(main: tuple[Line, str], smaller: Sequence[tuple[Line, str]]) -> Finding | None:
    higher = [tag for tag in smaller if (number(tag[1]) or 0) > (number(main[1]) or 0)]
    if len(higher) != 1:
        return None
    return Finding(f"原价：{higher[0][1]}（{main[1]} 旁的小字价格）", (higher[0][0],), 0.9)


def _labels(line: Line, page: Contents) -> str:
    words = [o.text for o in page.page.lines if o is not line and _beside(o, line) and re.search(r"价$", o.text)]
    return f"（{words[0]}）" if words else ""


def _beside(one: Line, other: Line) -> bool:
    return one.box.overlap_y(other.box) > 0.3 * min(one.box.height, other.box.height)


# --- the only one of its kind ----------------------------------------------------------------------------


def only_one(item: Item, page: Contents) -> Finding | None:
    """A phone number or an amount that is asked for without a key and stands on the page just once."""
    if "score" in item.special:
        return None if "扣" in item.text else _score_mark(page)
    for name, pattern in _FORMS:
        if name in item.special and not (name == "colour" and _names_a_part(item, page)):
            return _single(pattern, page)
    if "unit" in item.special and (unit := unit_of(page)):
        return Finding(f"单位：{unit}", page.page.lines[:1], 0.8)
    if "product" in item.special:
        return _product(page)
    place = re.search(
        r"(?:哪[家所个]|什么)(医院|学校|公司|银行|酒店|超市|小区|社区|大学|中学|小学|诊所|餐厅|饭店|店)", item.text
    )
    if place:
        return _largest(re.compile(rf"[\u4e00-\u9fff]{{2,}}{place[1]}"), page)
    if re.search(r"日期|哪天|几号", item.text) and item.special <= {"time"} and not page.talk:
        return _single(_DATE, page)
    if item.kind == "name" and item.special <= {"patient"}:
        return _person(page)
    if item.kind not in ("phone", "amount") or (item.special - {"money", "phone"}):
        return None
    pattern = _TAG if item.kind == "amount" else None
    hits: dict[str, Line] = {}
    for line in page.page.lines:
        for match in pattern.finditer(line.text) if pattern else find(item.kind, line.text):
            hits.setdefault(match[0].strip(), line)
    if len(hits) != 1:
        return None
    text, line = next(iter(hits.items()))
    return Finding(f"{text}（原文：「{line.text}」）", (line,), 0.6)


def _single(pattern: re.Pattern[str], page: Contents) -> Finding | None:
    """What is written in a form of its own and stands on the page with one value only."""
    hits = {
        plain(match[0]): (match[0].strip(), line) for line in page.page.lines for match in pattern.finditer(line.text)
    }
    if len(hits) != 1:
        return None
    text, line = next(iter(hits.values()))
    return Finding(text if text == line.text else f"{text}（原文：「{line.text}」）", (line,), 0.6)


def _largest(pattern: re.Pattern[str], page: Contents) -> Finding | None:
    """A house's own name is set larger than others."""
    hits = [line for line in page.page.lines if pattern.fullmatch(line.text.strip("（）()"))]
    line = max(hits, key=lambda one: one.box.height, default=None)
    return _single(pattern, page) if line is None else Finding(line.text, (line,), 0.7)


def _product(page: Contents) -> Finding | None:
    """The goods of an order: the longest name above the first price that is neither field nor sentence."""
    keyed = {id(line) for fact in page.facts for line in fact.lines}
    price = next((line for line in page.page.lines if _TAG.search(line.text)), None)
    if price is None:
        return None
    found = [
        b for b in page.blocks if b.box.top <= price.box.bottom and id(b.lines[0]) not in keyed and _is_goods(b.text)
    ]
    best = max(found, key=lambda block: len(block.text), default=None)
    return None if best is None else Finding(f"商品：{best.text}", best.lines, 0.6)


def _is_goods(text: str) -> bool:
    return len(text) >= 6 and not re.search(r"[¥￥：:。]|\d{1,2}月|\d{4}-|送达|订单|客服", text)


def _score_mark(page: Contents) -> Finding | None:
    """`70分` by itself, as a teacher writes it."""
    marks = [
        line for line in page.page.lines if re.fullmatch(r"(?:得分|分数)?[:：]?\s*\d{1,3}(?:\.5)?\s*分?", line.text)
    ]
    marks = [line for line in marks if line.text.endswith("分") or line.box.height > 1.3 * _usual_height(page)]
    return Finding(marks[0].text, (marks[0],), 0.8) if len(marks) == 1 else None


def _usual_height(page: Contents) -> int:
    heights = sorted(line.box.height for line in page.page.lines)
    return heights[len(heights) // 2]


def _person(page: Contents) -> Finding | None:
    """The only word in the head of a sheet that is formed like a name."""
    head = [line for line in page.page.lines if line.box.bottom < 0.25 * page.page.height]
    names = [(word, line) for line in head for word in line.text.split() if _NAME.fullmatch(word)]
    return Finding(f"{names[0][0]}（原文：「{names[0][1].text}」）", (names[0][1],), 0.6) if len(names) == 1 else None


def comparable(question: Question, page: Contents) -> tuple[str, Decimal, tuple[Line, ...]] | None:
    """The one number of a page that a question across pictures is about: text, value, evidence."""
    for item in question.items:
        found = lookup(item, page) or (only_one(_as_amount(item), page) if _about_money(item) else None)
        value = number(_after_colon(found.text)) if found else None
        if found is not None and value is not None:
            return _after_colon(found.text), value, found.lines
    return None


def _after_colon(text: str) -> str:
    first = text.splitlines()[0]
    return re.sub(r"（.*$", "", first.split("：", 1)[-1]).strip()


def _about_money(item: Item) -> bool:
    return re.search(r"贵|便宜|钱|价|金额|元", item.text) is not None


def _as_amount(item: Item) -> Item:
    return Item(item.text, "amount", frozenset({"money"}), (), "")
