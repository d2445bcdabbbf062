"""Words by what they do in a request: the skeleton of a message that no scene changes.

`tags` turns a clause into the list of its tags in reading order; words that are not listed leave a gap. The lists
(words/lexicon.txt) hold plain spelling (see text.plain): simplified, lower case, without dialect.
"""

from __future__ import annotations

from bot.router.text import BOT, LONG, MENTION, MIDDLE, QUOTE, STICKER, TINY
from bot.router.words import word_lists

#: The marks that text.canonical puts in, and what stands for itself.
_MARKS = {
    QUOTE: "Q", TINY: "LEN0", MIDDLE: "LEN1", LONG: "LEN2", STICKER: "STICK", BOT: "BOT", "小图": "BOT", "看图": "BOT",
    MENTION: "AT", "?": "?", "/": "/",
}  # fmt: skip


def _index() -> dict[str, tuple[tuple[str, str], ...]]:
    """First character -> (word, tag), the longest first; of a word listed twice the first tag holds."""
    tag_of = dict(_MARKS)
    for tag, words in word_lists("lexicon").items():
        for word in words:
            tag_of.setdefault(word, tag)
    found: dict[str, list[tuple[str, str]]] = {}
    for word in sorted(tag_of, key=lambda word: (-len(word), word)):
        found.setdefault(word[0], []).append((word, tag_of[word]))
    return {first: tuple(words) for first, words in found.items()}


_INDEX = _index()
GAP = "_"
_ASKING_ENDS = ("不", "没", "么", "没有", "吗", "呢")


def tags(clause: str) -> list[str]:
    """The tags of a clause in reading order; a stretch of other words is one gap."""
    found: list[str] = []
    at, end = 0, len(clause)
    while at < end:
        for word, tag in _INDEX.get(clause[at], ()):
            if clause.startswith(word, at):
                if tag != GAP or not found or found[-1] != GAP:
                    found.append(tag)
                at += len(word)
                break
        else:
            if not found or found[-1] != GAP:
                found.append(GAP)
            at += 1
    if clause.rstrip("?! ").endswith(_ASKING_ENDS):
        found.append("ASK")
    return found
