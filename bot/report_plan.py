"""The plan of a report: its title, its parts with their lengths, and which picture belongs where.

A model's plan is read tolerantly, as JSON or as lines of `1. 小标题｜字数｜图1、图2｜要点`; what it leaves open is
filled in, so that the parts always add up to the length asked for and every picture has its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

#: A plan of more parts than this is cut.
MOST_PARTS = 16
#: A part shorter than this (characters) says nothing: there are fewer of them then.
_LEAST = 80
_TITLE = re.compile(r"^\W{0,4}(?:主?标题|题目)\W{0,3}[:：]\s*(.+)$|^#\s+(.+)$")
_PART = re.compile(
    r"^\s*(?:#{2,4}\s*|[-*•]\s+)?(?:第[一二三四五六七八九十\d]+[节部章](?:分)?[:：、.\s]*|[一二三四五六七八九十]+[、.．]\s*"
    r"|\d{1,2}[.、．)）]\s*)(?P<rest>\S.*)$"
    r"|^\s*(?:#{2,4}|[-*•])\s+(?P<plain>\S.*)$"
)
_LENGTH = re.compile(r"(\d{2,5})\s*字")
_PICTURE = re.compile(r"图\s*(\d{1,3})")
_NOTHING = re.compile(r"^\W*(?:无|没有|不用图?|none|-)?\W*$", re.IGNORECASE)
_LONGEST_TITLE = 40


@dataclass(frozen=True, slots=True)
class Part:
    """A section to be written. length: characters; pictures: numbers of those placed in it; points: what it says."""

    title: str
    length: int = 0
    pictures: tuple[int, ...] = ()
    points: str = ""


@dataclass(frozen=True, slots=True)
class Outline:
    """What is written, decided before the first sentence.

    template: its name. at_once: the whole text is one generation. least, target, most: characters of the whole text.
    """

    title: str
    parts: tuple[Part, ...]
    template: str = ""
    at_once: bool = False
    least: int = 0
    target: int = 0
    most: int = 0

    @property
    def text(self) -> str:
        """As the model is shown it, and as it is asked to write one."""
        return "\n".join([f"标题：{self.title}", *(_line(number, part) for number, part in enumerate(self.parts, 1))])


def _line(number: int, part: Part) -> str:
    pictures = "、".join(f"图{one}" for one in part.pictures) or "无"
    return f"{number}. {part.title}｜{part.length} 字｜{pictures}｜{part.points}".rstrip("｜")


def read(text: str) -> tuple[str, tuple[Part, ...]]:
    """The title and the parts that a model planned; an empty title or no parts where it planned none."""
    planned = _read_json(text)
    return planned if planned is not None else _read_lines(text)


def _read_json(text: str) -> tuple[str, tuple[Part, ...]] | None:
    start, end = text.find("{"), text.rfind("}")
    if not 0 <= start < end:
        return None
    try:
        found = json.loads(text[start : end + 1])
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    whole = cast("dict[str, Any]", found)
    parts = _first(whole, "sections", "parts", "outline", "章节", "提纲", "小节")
    if not isinstance(parts, list):
        return None
    listed = [cast("dict[str, Any]", one) for one in cast("list[Any]", parts) if isinstance(one, dict)]
    return _title(str(_first(whole, "title", "标题") or "")), tuple(_json_part(one) for one in listed)[:MOST_PARTS]


def _json_part(found: dict[str, Any]) -> Part:
    pictures = json.dumps(_first(found, "pictures", "images", "图片", "图") or "", ensure_ascii=False)
    length = re.search(r"\d{2,5}", str(_first(found, "length", "words", "字数") or ""))
    points = _first(found, "points", "要点", "content") or ""
    return Part(
        _title(str(_first(found, "title", "heading", "标题", "小标题") or "")),
        int(length[0]) if length else 0,
        tuple(dict.fromkeys(int(one) for one in re.findall(r"\d{1,3}", pictures))),
        "；".join(map(str, cast("list[Any]", points))) if isinstance(points, list) else str(points),
    )


def _first(found: dict[str, Any], *names: str) -> Any:
    return next((found[name] for name in names if name in found), None)


def _read_lines(text: str) -> tuple[str, tuple[Part, ...]]:
    title = ""
    parts: list[Part] = []
    for line in text.splitlines():
        if (named := _TITLE.match(line.strip())) and not title:
            title = _title(named[1] or named[2])
        elif found := _PART.match(line):
            parts.append(_part(found["rest"] or found["plain"]))
    return title, tuple(part for part in parts if part.title)[:MOST_PARTS]


def _part(line: str) -> Part:
    first, *rest = re.split(r"\s*[｜|]\s*", line.strip())
    length = next((found for field in rest if (found := _LENGTH.search(field))), None) or _LENGTH.search(first)
    points = [field for field in rest if not (_LENGTH.fullmatch(field.strip("约 左右")) or _only_pictures(field))]
    return Part(
        _title(re.sub(r"[（(][^（）()]*字[^（）()]*[）)]", "", first)),
        int(length[1]) if length else 0,
        tuple(dict.fromkeys(int(one) for one in _PICTURE.findall(line))),
        "；".join(points)[:200],
    )


def _only_pictures(field: str) -> bool:
    return _NOTHING.match(re.sub(r"图\s*\d{1,3}|用到的?|配图|图片|[、,，和]", "", field)) is not None


def _title(text: str) -> str:
    """Without marks of Markdown and brackets around the whole."""
    return re.sub(r"^[\s#*>《“\"'【]+|[\s#*》”\"'】:：。]+$", "", text.strip())[:_LONGEST_TITLE]


def balance(parts: Sequence[Part], length: int, pictures: Collection[int]) -> tuple[Part, ...]:
    """The same parts with lengths that add up to `length`, and each of `pictures` in one of them; at least one part.

    Parts without a length count as the mean of the others. Where the length is too short for so many, the last ones
    go. Pictures that no part names are spread in order.
    """
    kept = list(parts[: max(1, min(len(parts), MOST_PARTS, length // _LEAST))]) or [Part("")]
    given = [part.length for part in kept if part.length > 0]
    mean = sum(given) / len(given) if given else 1.0
    shares = [part.length if part.length > 0 else mean for part in kept]
    edges = [round(length * sum(shares[:at]) / sum(shares)) for at in range(len(kept) + 1)]
    sized = [replace(part, length=max(1, edges[at + 1] - edges[at])) for at, part in enumerate(kept)]
    return _placed(sized, sorted(pictures))


def _placed(parts: list[Part], pictures: list[int]) -> tuple[Part, ...]:
    homes: dict[int, int] = {}
    for at, part in enumerate(parts):
        for number in part.pictures:
            homes.setdefault(number, at)
    for order, number in enumerate(pictures):
        homes.setdefault(number, order * len(parts) // len(pictures))
    return tuple(
        replace(part, pictures=tuple(number for number in pictures if homes[number] == at))
        for at, part in enumerate(parts)
    )
