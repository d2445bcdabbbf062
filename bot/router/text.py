"""One canonical spelling of a message, in which quotations, lengths and names have become single marks.

Features are taken from the canonical text, so a lesson learnt in one spelling holds in the others: traditional
characters, dialect words, full-width forms. What is quoted is replaced by a mark, so it can never instruct.
"""

from __future__ import annotations

import re
import unicodedata

from bot.router.length import LENGTH, length_class
from bot.router.words import word_lists

#: Marks of the private use area: they cannot be typed by accident and survive normalisation.
QUOTE, TINY, MIDDLE, LONG, STICKER, BOT, MENTION = "\ue000\ue001\ue002\ue003\ue004\ue005\ue006"
_MARKS = re.compile("[\ue000-\ue0ff]")
NAMES = ("小图", "看图", "kantu")

_SPELLING = word_lists("spelling")
_SIMPLIFIED = str.maketrans({pair[0]: pair[1] for pair in _SPELLING["traditional"]})
_DIALECT = dict(pair.split("=") for pair in _SPELLING["dialect"])
_DIALECT_WORD = re.compile("|".join(sorted(map(re.escape, _DIALECT), key=len, reverse=True)))

_SMALL_TALK_WITH_ROUTERS = (
    re.compile(r"<(\w{2,12})>[^<]{0,40}</\1>"),
    re.compile(r"\[(inst)\][^\[]{0,60}\[/inst\]"),
    re.compile(r"\{[^{}]{0,80}[:=][^{}]{0,80}\}"),
    re.compile(r"(?:#|//)?\s*\b(?:label|route|router|mode|model|force|override|priority|task)\b\s*[:=]\s*\w+[;,.。]?"),
    re.compile(r"【(?:系统|管理员|开发者|最高)[^】]{0,12}】"),
)
_META_CLAUSE = re.compile(
    r"(?:忽略|无视|ignore|强制|务必|必须|override|请用|调用|动用|归类|当成|都当|假装|按\w+处理|我是开发者|you must)"
    r".{0,24}?(?:规则|指令|模型|模式|引擎|能力|算力|instruction|model|engine|路由|处理|任务|用户)"
)
_QUOTED = re.compile(r"“[^”]{1,80}”|「[^」]{1,80}」|『[^』]{1,80}』|《[^》]{1,40}》|‘[^’]{1,80}’|\"[^\"\n]{1,80}\"")
_BOT = re.compile(rf"@(?:{'|'.join(NAMES)})(?![一-鿿]*院)\s?")
_MENTION = re.compile(r"@[\w·]{1,12}")
_STICKER = re.compile(r"\[[一-鿿a-z]{1,6}\]")
#: Said with a negation, meant without: kept from looking like a refusal.
_AT_LEAST = re.compile(r"(?:不|别|不得|不要|不能|不许)(?:少于|低于|短于|小于)|起码|最少|怎么也得")
_SPACES = re.compile(r"\s+")
#: So much of either end of a message is read: nobody asks in the middle of a novel, and time stays bounded.
_END = 2000
_SPACE_BETWEEN = re.compile(r"(?<=[^a-z0-9\s])\s+|\s+(?=[^a-z0-9\s])")
_CLAUSE = re.compile(r"[^,。!?;:~…\n]+[?!]*|[?!]+")


def plain(text: str) -> str:
    """Lower-case, half-width, simplified, without dialect; of a very long text its two ends."""
    ends = text if len(text) <= 2 * _END else f"{text[:_END]}\n{text[-_END:]}"
    spaced = _SPACES.sub(lambda found: "\n" if "\n" in found[0] else " ", unicodedata.normalize("NFKC", ends).lower())
    folded = _MARKS.sub("", spaced).translate(_SIMPLIFIED)
    return _DIALECT_WORD.sub(lambda found: _DIALECT[found[0]], folded)


def canonical(text: str) -> str:
    """The marks put in: see the module. `text` has been through `plain`."""
    marked = _MENTION.sub(MENTION, _BOT.sub(BOT, _without_talk_to_routers(text)))
    quoted = _QUOTED.sub(QUOTE, marked)
    if len(quoted.strip(QUOTE + BOT + " .。!?")) < 2:
        quoted = marked  # nothing but a quotation: then it is what is said
    least = _AT_LEAST.sub("至少", quoted)
    measured = LENGTH.sub(lambda found: {"tiny": TINY, "middle": MIDDLE, "long": LONG}[length_class(found)], least)
    return _SPACE_BETWEEN.sub(",", _STICKER.sub(STICKER, measured).strip())


def clauses(text: str) -> list[str]:
    """The clauses of a canonical text; clauses that talk to the router itself are left out if others remain."""
    found: list[str] = _CLAUSE.findall(text)
    kept = [clause for clause in found if not _META_CLAUSE.search(clause)]
    return kept or found


def _without_talk_to_routers(text: str) -> str:
    left = text
    for pattern in _SMALL_TALK_WITH_ROUTERS:
        left = pattern.sub(" ", left)
    return left if re.search(r"[\w?]", left) else text
