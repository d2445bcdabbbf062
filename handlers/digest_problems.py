"""Which questions are about the same problem: those with the same error code, then those with the same words."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

#: Of two questions' pairs of characters, how many must be common (Dice).
_ALIKE = 0.5
#: Questions of fewer characters are alike only where they are the same.
_SHORT = 3
_LONGEST = 200

_EMPTY = re.compile(
    r"你好|您好|请问一下|请问|麻烦|帮我|帮忙|看一下|看看|看下|一下|谢谢|在吗|我想|想问|问下|怎么办|怎么回事|为什么"
    r"|这个|那个|我的|我们|的话|吗|呢|啊|吧|呀|了|的|啦|哦"
)
_NUMBERS = re.compile(r"\d+")
# 0x80070005, E1023, ERR-404, ORA-00942, SQLSTATE 42S02: letters that mean an error, then digits.
_CODE = re.compile(
    r"(?<![A-Za-z0-9])(?:0x[0-9A-F]{4,16}"
    r"|(?:E|EC|EX|ER|ERR|ERROR|EXC|FAULT|ALARM|ALM|ORA|SQL|SQLSTATE|HTTP|MSB|CS|TS|NET|DNS|SSL|TLS|KB|BSOD)"
    r"[-_ ]?[0-9][0-9A-Z]{1,7})(?![A-Za-z0-9])",
    re.IGNORECASE,
)
# Any code right behind the word for one.
_NAMED = re.compile(
    r"(?:错误|报错|故障|异常|告警|返回|状态|error|fault|code)\s*(?:代?码|编号|code|no\.?)?\s*(?:是|为|[:：#=])?\s*"
    r"(-?\d{3,8}|[A-Z]{1,6}[-_]?\d{1,8})(?![A-Za-z0-9])(?!\s*[年月日号元块个条次张])",
    re.IGNORECASE,
)


def codes(text: str) -> list[str]:
    """Error codes of a text, in one spelling, each once, in order."""
    plain = unicodedata.normalize("NFKC", text)
    found = [(match.start(), match[0]) for match in _CODE.finditer(plain)]
    found += [(match.start(1), match[1]) for match in _NAMED.finditer(plain)]
    return list(dict.fromkeys(_spelled(code) for _, code in sorted(found)))


def _spelled(code: str) -> str:
    upper = re.sub(r"[\s_]", "-", code.upper())
    return f"0x{upper[2:]}" if upper.startswith("0X") else upper


@dataclass(slots=True)
class Problem:
    """code: what its questions share, or empty. places: of its questions, in order."""

    code: str = ""
    places: list[int] = field(default_factory=list[int])

    def name(self, questions: Sequence[str]) -> str:
        """The question that stands for it, in its own words: the most frequent, else the shortest that says it."""
        asked = Counter(questions[place] for place in self.places if questions[place])
        if not asked:
            return self.code or "（只发了图片）"
        most = max(asked.values())
        text = min((text for text, count in asked.items() if count == most), key=lambda text: (len(text), text))
        return text if not self.code or self.code in text.upper() else f"{self.code} {text}"


def problems(questions: Sequence[str], known: Sequence[Sequence[str]]) -> list[Problem]:
    """Questions by problem, the most frequent first. known: the error codes of each."""
    by_code: dict[str, Problem] = {}
    leaders = _Leaders()
    silent = Problem()
    for place, question in enumerate(questions):
        if known[place]:
            by_code.setdefault(known[place][0], Problem(known[place][0])).places.append(place)
        elif not question:
            silent.places.append(place)
        else:
            leaders.of(question).places.append(place)
    found = [*by_code.values(), *leaders.problems, *([silent] if silent.places else [])]
    return sorted(found, key=lambda one: (-len(one.places), one.places[0]))


class _Leaders:
    """A problem's first question leads it; later ones join the leader most like them."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._pairs: list[frozenset[str]] = []
        self._with: defaultdict[str, list[int]] = defaultdict(list)
        self._same: dict[str, int] = {}

    def of(self, question: str) -> Problem:
        plain = _plain(question)
        number = self._same.get(plain)
        if number is None:
            pairs = _pairs(plain)
            number = self._nearest(pairs) if len(plain) > _SHORT else None
            number = self._lead(pairs) if number is None else number
            self._same[plain] = number
        return self.problems[number]

    def _nearest(self, pairs: frozenset[str]) -> int | None:
        common = Counter(number for pair in pairs for number in self._with[pair])
        scored = ((2 * count / (len(pairs) + len(self._pairs[number])), -number) for number, count in common.items())
        score, number = max(scored, default=(0.0, 0))
        return -number if score >= _ALIKE else None

    def _lead(self, pairs: frozenset[str]) -> int:
        number = len(self.problems)
        self.problems.append(Problem())
        self._pairs.append(pairs)
        for pair in pairs:
            self._with[pair].append(number)
        return number


def _plain(question: str) -> str:
    """Without politeness, marks and the numbers of one case."""
    folded = unicodedata.normalize("NFKC", question[:_LONGEST]).lower()
    words = _EMPTY.sub("", "".join(c for c in folded if c.isalnum()))
    return _NUMBERS.sub("#", words) or folded.strip()


def _pairs(plain: str) -> frozenset[str]:
    return frozenset(plain[at : at + 2] for at in range(max(1, len(plain) - 1)))


def fresh(now: Iterable[str], before: Iterable[str]) -> list[str]:
    """Codes that were not there before, each once, in order."""
    known = set(before)
    return [code for code in dict.fromkeys(now) if code not in known]
