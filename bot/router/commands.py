"""Commands that need no model: the whole message is one of these, or begins with a known word after a slash.

Anchored at both ends: "重置" is a command, "重置密码要多久" is a question.
"""

from __future__ import annotations

import re

from bot.router.text import NAMES
from bot.router.words import word_lists

_LISTS = word_lists("commands")
_KNOWN = frozenset(_LISTS["whole"])
_WORDS = "|".join(sorted(map(re.escape, _LISTS["slashed"]), key=len, reverse=True))
_LONGEST = 80
_NAMES = "|".join(map(re.escape, NAMES))
_SLASH = re.compile(rf"/(?P<word>{_WORDS})(?:@\S+)?(?:\s+(?P<rest>.+))?", re.S)
_UNKNOWN = re.compile(r"/[a-z_]{2,14}(?:@\S+)?")
_TRAILING = re.compile(rf".{{2,24}}?(?:[\s,，;；:：]|然后|执行|请)\s*/(?:{_WORDS})")
_ADDRESSED = re.compile(rf"^(?:@\S{{1,12}}\s+|@?(?:{_NAMES})[\s,，]*)+")
_POLITE = re.compile(r"^(?:请|麻烦|帮我|给我)+|(?:一下|下|吧|谢谢|哈|啊|呀|[。.!！~\s])+$")
_ASKS = re.compile(r"[?？吗呢]|什么|怎么|还是|这个词|多少|区别|几|哪|意思|为何|谁|是不是")
_FORCE = re.compile(
    rf"^\s*(?:@\S{{1,12}}\s+)?/(?P<word>快|报告|quick|report)(?:@(?:{_NAMES}))?(?:\s+|(?=[^\w\s/])|$)(?P<rest>.*)$",
    re.S | re.I,
)


def command(text: str) -> str:
    """The command as a word to show, or "" where the message is none. `text` has been through text.plain."""
    if len(text) > _LONGEST:
        return ""
    bare = _ADDRESSED.sub("", text.strip()).strip()
    found = _SLASH.fullmatch(bare)
    if found and not _long_question(found["rest"] or ""):
        return f"/{found['word']}"
    if _UNKNOWN.fullmatch(bare):
        return bare
    if _TRAILING.fullmatch(bare) and not _ASKS.search(bare):
        return bare[bare.rindex("/") :]
    polite = _POLITE.sub("", _POLITE.sub("", bare))
    return polite if polite in _KNOWN else ""


def forced(text: str) -> tuple[str, str]:
    """(`quick` or `report`, the question) where the message begins with /快 or /报告, else ("", text)."""
    found = _FORCE.match(text)
    if not found:
        return "", text
    return ("quick" if found["word"].lower() in ("快", "quick") else "report"), found["rest"].strip()


def _long_question(rest: str) -> bool:
    return len(rest) > 24 or bool(_ASKS.search(rest))
