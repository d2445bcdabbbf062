"""Pictures in the text of a report: placed on lines of their own, cited as [图1], and none that does not exist.

What a model writes of pictures is brought into one form; numbers that it invented are taken out, and every picture of
the request is placed once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from bot.report import Section
from bot.report_plan import Part

_PLACED = re.compile(r"!\[(?P<alt>[^\]\n]*)\]\((?P<address>[^)\n]*)\)")
_NUMBER = re.compile(r"图\s*(\d{1,3})")
# `!` before it is a picture's; what follows in parentheses is a link's address.
_BRACKETS = re.compile(
    r"(?P<shown>!?)[\[【［](?P<inside>(?:见|如|参见)?\s*图\s*\d{1,3}(?:\s*[、,，和及/]\s*(?:图\s*)?\d{1,3})*)[\]】］]"
    r"(?P<link>\([^)\n]*\))?"
)
_ASIDE = re.compile(
    r"[（(](?:如|见|参见|详见)?\s*图\s*(\d{1,3})(?:所示)?[）)]|(?:如|见|参见)\s*图\s*(\d{1,3})\s*(?:所示)?[，,：:]?"
)
_LINE = re.compile(r"!\[图(\d+)\]\(图\d+\)")


def cleaned(text: str, known: Collection[int]) -> str:
    """The text with its pictures in the one form, those that are not among `known` taken out."""
    text = _PLACED.sub(lambda found: _placed(found, known), text)
    text = _BRACKETS.sub(lambda found: _cited(found, known), text)
    text = _ASIDE.sub(lambda found: found[0] if int(found[1] or found[2]) in known else "", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _placed(found: re.Match[str], known: Collection[int]) -> str:
    number = _NUMBER.search(found["alt"]) or _NUMBER.search(found["address"])
    # An address that a model made up is never shown.
    return f"\n\n{mark(int(number[1]))}\n\n" if number and int(number[1]) in known else ""


def _cited(found: re.Match[str], known: Collection[int]) -> str:
    if found["shown"] and found["link"]:
        return found[0]
    numbers = map(int, re.findall(r"\d{1,3}", found["inside"]))
    return "".join(f"[图{number}]" for number in numbers if number in known)


def mark(number: int) -> str:
    """What places a picture, on a line of its own."""
    return f"![图{number}](图{number})"


def place(sections: Sequence[Section], known: Collection[int], parts: Sequence[Part] = ()) -> tuple[Section, ...]:
    """The sections, cleaned, with each of `known` placed once.

    A picture stands where the text first has it, else above the section that is titled by it, else behind the first
    paragraph that cites it, else at the end of the section whose part was to have it, or of one by its order.
    """
    texts = [cleaned(section.text, known) for section in sections]
    for order, number in enumerate(sorted(known)):
        texts = _once(texts, number)
        if texts and not any(mark(number) in text for text in texts):
            home = next((at for at, part in enumerate(parts[: len(texts)]) if number in part.pictures), None)
            titled = next((at for at, one in enumerate(sections) if number in _numbers(one.title)), None)
            if titled is not None:
                texts[titled] = f"{mark(number)}\n\n{texts[titled]}".strip()
            else:
                _insert(texts, number, order * len(texts) // len(known) if home is None else home)
    return tuple(replace(section, text=text) for section, text in zip(sections, texts, strict=True))


def _once(texts: list[str], number: int) -> list[str]:
    """Without all but the first placing."""
    line, seen = mark(number), False
    kept: list[str] = []
    for text in texts:
        head, found, tail = ("", "", text) if seen else text.partition(line)
        kept.append(re.sub(r"\n{3,}", "\n\n", head + found + tail.replace(line, "")).strip())
        seen = seen or bool(found)
    return kept


def _insert(texts: list[str], number: int, home: int) -> None:
    cites = [at for at, text in enumerate(texts) if f"[图{number}]" in text]
    at = home if home in cites or not cites else cites[0]
    blocks = texts[at].split("\n\n")
    behind = next((place for place, block in enumerate(blocks) if f"[图{number}]" in block), len(blocks) - 1)
    blocks.insert(behind + 1, mark(number))
    texts[at] = "\n\n".join(block for block in blocks if block)


def _numbers(text: str) -> list[int]:
    return [int(one) for one in _NUMBER.findall(text)]


def placed(text: str) -> list[int]:
    """The numbers of the pictures that a text places, in order."""
    return [int(one) for one in _LINE.findall(text)]
