"""A request as sparse features: hashed numbers of what is said, how, and after what.

Three views, each of unit length so that a long message weighs no more than a short one: the characters (1 to 4 in a
row, those of the last clause once more), the skeleton of tags (1 to 4 in a row and ordered pairs in a clause), and
the circumstances (acts of the clauses, pictures, the turn before).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

from bot.router.act import Act, act
from bot.router.history import Before, before
from bot.router.lexicon import GAP, tags
from bot.router.paste import asked_part
from bot.router.request import RouteRequest
from bot.router.text import BOT, MENTION, NAMES, canonical, clauses, plain

#: Hashed features; a power of two.
SIZE = 1 << 16
_MASK = SIZE - 1
_MOST_TOKENS = 160
_TOKEN = re.compile(r"[a-z]+|\d+(?:[.,:/-]\d+)*|.", re.S)
#: What follows a name when the named one is spoken to, not about.
_ORDER = re.compile(
    r"你(?!们)|帮[我忙个看]|给我(?!的)|请|来[一个份篇]|写[一个份篇]|看看|看下|总结|翻译|读|念|算|识别|说说|讲讲|老师|同学|呀|啊|在吗|小图|麻烦|能不能"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A request understood as far as rules go: what the model and the reasons are made from."""

    request: RouteRequest
    text: str
    clauses: tuple[str, ...]
    tags: tuple[tuple[str, ...], ...]
    acts: tuple[Act, ...]
    before: Before
    pasted: bool


@dataclass(frozen=True, slots=True)
class Features:
    """Three views: indices below SIZE, no index twice in a view."""

    characters: tuple[int, ...]
    skeleton: tuple[int, ...]
    circumstances: tuple[int, ...]


def read(request: RouteRequest) -> Reading:
    """The asked part in canonical spelling, its clauses, tags and acts."""
    part, pasted = asked_part(plain(request.text))
    text = canonical(part)
    found = tuple(clauses(text))
    tagged = tuple(tuple(tags(clause)) for clause in found)
    return Reading(request, text, found, tagged, tuple(act(each) for each in tagged), before(request.history), pasted)


def features(reading: Reading) -> Features:
    """All features of a reading."""
    return Features(
        tuple(sorted(set(_characters(reading)))),
        tuple(sorted(set(_skeleton(reading)))),
        tuple(sorted({_number(name) for name in _circumstances(reading)})),
    )


def _number(name: str) -> int:
    return crc32(name.encode()) & _MASK


def _grams(tokens: Sequence[bytes], longest: int, seed: bytes) -> Iterable[int]:
    start = crc32(seed)
    for first in range(len(tokens)):
        code = start
        for token in tokens[first : first + longest]:
            code = crc32(token, code)
            yield code & _MASK


def _tokens(text: str) -> list[bytes]:
    words = [_shape(token) for token in _TOKEN.findall(text)[-_MOST_TOKENS:]]
    return [b"^", *(word.encode(errors="surrogatepass") + b"|" for word in words), b"$"]


def _shape(token: str) -> str:
    """Numbers by size, emoji alike."""
    if token[0].isdecimal():
        return "0" if len(token) < 3 else "00"
    return "☺" if ord(token[0]) > 0x1F000 else token


def _characters(reading: Reading) -> Iterable[int]:
    text = ",".join(reading.clauses).replace(BOT, "").strip(", ")
    yield from _grams(_tokens(text), 4, b"c")
    if len(reading.clauses) > 1:
        yield from _grams(_tokens(reading.clauses[-1]), 3, b"l")
    if reading.before != "none" and len(text) <= 24:
        yield from _grams(_tokens(text), 3, b"b" + reading.before.encode())


def _skeleton(reading: Reading) -> Iterable[int]:
    last = len(reading.tags) - 1
    for at, found in enumerate(reading.tags):
        names = [b"^", *(tag.encode() + b"|" for tag in found if tag != "BOT"), b"$"]
        yield from _grams(names, 4, b"t")
        yield from _pairs(found, "p")
        if at == last:
            yield from _grams(names, 3, b"tl")
        if reading.before != "none":
            yield from _grams(names, 2, b"tb" + reading.before.encode())


def _pairs(found: Sequence[str], seed: str) -> Iterable[int]:
    words = [tag for tag in found if tag != GAP][:12]
    for at, first in enumerate(words):
        for second in words[at + 1 :]:
            yield _number(f"{seed}{first}>{second}")


def _circumstances(reading: Reading) -> Iterable[str]:
    acts, request = reading.acts, reading.request
    last = acts[-1] if acts else "plain"
    firm = next((each for each in reversed(acts) if each not in ("plain", "go")), "plain")
    pictures = "3" if request.images > 2 else str(request.images)
    yield "bias"
    yield from (f"act {each}" for each in acts)
    yield f"last {last}"
    yield f"firm {firm}"
    yield f"first {acts[0] if acts else 'plain'}"
    yield from (f"acts {first} {second}" for first, second in pairwise(acts))
    yield f"pictures {pictures}"
    yield f"pictures {pictures} {firm}"
    yield f"before {reading.before}"
    yield f"before {reading.before} {firm}"
    yield f"before {reading.before} {pictures}"
    yield f"chat {request.chat == 'support'}"
    yield f"chat {request.chat == 'support'} {firm}"
    if reading.pasted:
        yield "pasted"
        yield f"pasted {last}"
    if len(acts) > 3:
        yield f"many {last}"


def address(reading: Reading) -> Iterable[str]:
    """How the bot is named, for the gate."""
    text = reading.text
    at = min((place for place in (text.find(name) for name in (BOT, *NAMES)) if place >= 0), default=-1)
    where = "none" if at < 0 else "first" if at == 0 else "last" if len(text) - at < 4 else "inside"
    yield f"name {where}"
    if at >= 0:
        following = text[at:].lstrip(BOT).removeprefix("小图").removeprefix("看图").removeprefix("kantu")
        how = "pause" if not following or following[0] in ", ?" else "order" if _ORDER.match(following) else "on"
        yield from (f"name {where} {how} {number}" for number in range(3))  # thrice: it says the most
        yield f"name {how} {reading.acts[-1] if reading.acts else 'plain'}"
    yield f"other {MENTION in text}"
    yield f"named {at >= 0} {reading.before}"
    yield from (f"gate {each}" for each in reading.acts)
    yield from (f"gate {reading.before} {each}" for each in reading.acts)


def gate_features(reading: Reading) -> Features:
    """The features of the question whether the bot is spoken to."""
    found = features(reading)
    named = {_number(name) for name in ("bias", *address(reading))}
    return Features(found.characters, found.skeleton, tuple(sorted(named)))


__all__ = ["SIZE", "Features", "Reading", "features", "gate_features", "plain", "read"]
