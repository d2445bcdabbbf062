"""Takes a question apart: which pictures it means, what it asks for, and the words that must be found.

No model of language: a list of phrases that carry no content, and what is left over. Numbers of pictures may be
written as 图1, 图二, 第三张.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.engine.reader.lexicon import KINDS, Kind, concepts, plain
from bot.engine.reader.values import measure

#: characters of a question that are looked at; more is no question about a field
LONGEST = 200
_HAN = {han: value for value, han in enumerate("一二三四五六七八九十", start=1)} | {"两": 2}

#: what carries no content; longer phrases first, single particles last
_EMPTY_TEXT = (
    "这张图片 这幅图片 这张图 这幅图 这个图 这图 图片里 图片中 图片上 图片 图里 图中 图上 截图里 截图中 "
    "截图 画面 页面上 页面 照片 请问一下 请问 帮我 帮忙 麻烦 看一下 看看 看下 一下 告诉我 告诉 说一下 "
    "列出 找出 查一下 查查 是多少 有多少 为多少 多少钱 多少 是什么 什么 怎么样 怎样 如何 怎么 哪一家 哪家 "
    "哪个 哪些 哪里 哪儿 哪位 哪天 哪种 几点 几号 何时 是谁 谁 几个 几 吗 呢 啊 吧 呀 么 的话 的 了 是 "
    "各是 各 分别 一共 总共 上面 写的 写着 显示 标注 标着 标的 具体 到底 大概 应该 现在 目前 我 你 您 他 "
    "她 它 这个 这单 这笔 这份 这家 这款 这次 这里 这 那 时候 有没有 有 在 和 与 及 以及 还有 跟 请 "
    "想知道 知道 能不能 能 可以 会 要 把 被 叫 啥 咋 多久 还是 其中 里面 里 上 中 个 自己 说 其实 也 都 "
    "就 又 还 才 最后 最终 留"
)
_EMPTY = sorted(_EMPTY_TEXT.split(), key=len, reverse=True)
_EMPTY_PATTERN = re.compile("|".join(map(re.escape, _EMPTY)))
_MARKS = re.compile(r"[\s,，。.、;；:：?？!！\"'“”‘’「」《》()（）…·~-]+")

_KIND_WORDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("reason", re.compile(r"为什么|为啥|原因|理由|怎么回事|咋回事|何故|怎么失败")),
    ("phone", re.compile(r"电话|热线|手机号|打哪个|拨打|联系方式")),
    ("time", re.compile(r"什么时候|啥时候|几点|几号|哪天|哪一天|哪年|何时|日期|时间|多久|几时|期限|星期几|周几|截止")),
    ("amount", re.compile(r"多少钱|多少元|几块|几元|金额|价格|价钱|总价|费用|[^人]花了多少|多少万")),
    ("name", re.compile(r"谁|哪家|叫什么|名字|姓名|哪个人|哪位|什么公司|哪个公司|哪所|哪个小区")),
    ("number", re.compile(r"多少|几|百分之|占比|比例|率")),
)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing asked for. concepts: fields it names. runs: words to be found on the page. unit: 箱 of 几箱.

    about: the whole question, which may name what a later part leaves out (`复印纸的单价？数量呢`).
    """

    text: str
    kind: Kind
    concepts: frozenset[str]
    runs: tuple[str, ...]
    unit: str = ""
    about: str = ""

    @property
    def special(self) -> frozenset[str]:
        """The concepts that say more than `how much` or `when`."""
        return self.concepts - {"money", "time"} or self.concepts


@dataclass(frozen=True, slots=True)
class Question:
    """text: without the references to pictures. pictures: those named, in order; empty means no particular one."""

    text: str
    items: tuple[Item, ...]
    pictures: tuple[int, ...] = ()


def ask(text: str, count: int = 1, keep: Sequence[str] = ()) -> Question:
    """Understand a question about `count` pictures. keep: texts of the pages, not to be cut at 和 or 与."""
    folded = unicodedata.normalize("NFKC", text[:LONGEST]).strip()
    pictures, rest = _pictures(folded, count)
    parts = [part for piece in re.split(r"[,，;；?？。!！\n]+", rest) for part in _split(piece, keep)]
    items = tuple(_item(part, rest) for part in parts if part.strip())
    if re.search(r"快递|物流|运单", rest):
        items = tuple(_parcel(item) for item in items)
    if re.search(r"各[是有为]?(?:多少|几)", rest):
        items = tuple(replace(item, kind="number") if item.kind == "any" else item for item in items)
    return Question(rest.strip(), items, pictures)


def _parcel(item: Item) -> Item:
    """A bare 单号 next to a courier is the parcel's, not the order's."""
    if "order_id" not in item.concepts or "订单" in item.text:
        return item
    return replace(item, concepts=item.concepts - {"order_id"} | {"tracking"})


_PICTURE = re.compile(
    r"(?:图片?\s*(\d{1,2}|[一二三四五六七八九十])(?![\d年月格题])|第\s*(\d{1,2}"
    r"|[一二三四五六七八九十两])\s*张(?:图片?|截图|照片)?|(最后|倒数第一)一?张(?:图片?|截图|照片)?)(?:里面?|中"
    r"|上)?"
)


def _pictures(text: str, count: int) -> tuple[tuple[int, ...], str]:
    found: list[int] = []
    for match in _PICTURE.finditer(text):
        number = count if match[3] else ordinal(match[1] or match[2])
        if number not in found:
            found.append(number)
    if re.search(r"前两张|这?两张", text) and not found and count >= 2:
        found = [1, 2]
    return tuple(found), _PICTURE.sub(" ", text) if found else text


def ordinal(text: str) -> int:
    """`3`, `三` and `十二` as a number; 0 when it is none."""
    if text.isdigit():
        return int(text)
    if len(text) == 2 and text[0] == "十":
        return 10 + _HAN.get(text[1], 0)
    return _HAN.get(text, 0)


def _split(piece: str, keep: Sequence[str]) -> list[str]:
    """`实际支出和结余` is two things, `和平路店` is one."""
    for match in re.finditer(r"以及|还有|[和与及跟、]", piece):
        left, right = piece[: match.start()], piece[match.end() :]
        around = piece[max(0, match.start() - 1) : match.end() + 1]
        if any(around in text for text in keep) or len(left) < 2 or len(right) < 2:
            continue
        return [left, *_split(right, keep)]
    return [piece]


def _item(text: str, about: str) -> Item:
    named = concepts(text)
    special = {name for name in named if name not in ("money", "time")}
    kinds: list[Kind] = [kind for kind, pattern in _KIND_WORDS if pattern.search(text)]
    kind: Kind = kinds[0] if kinds else "any"
    if special and kind == "any":
        kind = KINDS[min(special, key=lambda name: plain(text).find(named[name]))]
    return Item(text, kind, frozenset(named), runs(text), measure(text), about)


def runs(text: str) -> tuple[str, ...]:
    """The words left when everything without content is taken out."""
    folded = _MARKS.sub(" ", unicodedata.normalize("NFKC", text).lower())
    return tuple(part for part in _EMPTY_PATTERN.sub(" ", folded).split() if part)
