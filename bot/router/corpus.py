"""The training messages, read from the text files beside the code.

The form, one message a line:

    == 场景                         a scene: never split between training and testing
    [report 1-3 direct,web !]       label, pictures, chats, `!` where tricky; holds until the next header
    > 这张小票多少钱 (1)              what was said before (user, with pictures)
    < 合计 86.50 元。                and answered
    税率呢

Also in a header: `after=long,fact`: once after each, a turn of contexts.txt; `*24`: so many fillings of the places
`{…}` by words of slots.txt. `group@` is a group in which the bot is named. `\\n` is a new line. Choices among what a
header allows hang on the text alone, so that adding a line changes no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TypeVar, cast
from zlib import crc32

from bot.router.request import ChatKind, Label, RouteRequest, Turn

TRAINING = Path(__file__).parent / "training"
HELDOUT = Path(__file__).parent / "heldout.txt"
_FILES = (
    "life",
    "work",
    "commands",
    "human",
    "followups",
    "groups",
    "tricky",
    "general",
    "pastes",
    "more",
    "templates",
)
#: Files whose scenes are ways of saying things: a scene is cut into groups of so many neighbouring messages.
_BY_KIND, _GROUP = frozenset(("commands", "human", "followups", "groups", "tricky", "general", "pastes", "more")), 10
_TURN = re.compile(r"(?P<text>.*?)(?: \((?P<images>\d+)\))?$", re.S)
T = TypeVar("T")
History = tuple[Turn, ...]
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled request; scene groups it, made says that it was filled from a template."""

    request: RouteRequest
    label: Label
    tricky: bool
    scene: str
    made: bool = False


@dataclass(frozen=True, slots=True)
class _Header:
    label: Label
    images: tuple[int, ...] = (0,)
    chats: tuple[str, ...] = ("direct",)
    tricky: bool = False
    after: tuple[str, ...] = ()
    fillings: int = 1


@dataclass(slots=True)
class _Place:
    """Where the reader of a file is."""

    scene: str = ""
    by_kind: bool = False
    count: int = 0
    header: _Header | None = None
    history: list[Turn] = field(default_factory=list[Turn])
    open: bool = False


def training() -> list[Example]:
    """All training examples, in a fixed order, none twice."""
    before, slots = contexts(), _slots()
    found = [each for name in _FILES for each in _read(TRAINING / f"{name}.txt", before, slots)]
    return list({(each.request, each.label): each for each in found}.values())


def heldout() -> list[Example]:
    """Messages of other scenes, never trained on."""
    return list(_read(HELDOUT, {}, {}))


def _read(path: Path, contexts: dict[str, list[History]], slots: dict[str, list[str]]) -> Iterator[Example]:
    place = _Place(by_kind=path.stem in _BY_KIND)
    for line in path.read_text(encoding="utf-8").splitlines():
        if _moved(place, line) or place.header is None:
            continue
        place.open = False
        place.count += 1
        for text in _filled(line.replace("\\n", "\n"), place.header.fillings, slots):
            yield from _examples(text, place, contexts)


def _moved(place: _Place, line: str) -> bool:
    """The line is not a message: it says what the next ones are."""
    if not line.strip() or line.startswith("# "):
        return True
    if line.startswith("== "):
        place.scene, place.header, place.history = line[3:], None, []
    elif line.startswith("[") and line.endswith("]") and " " in line:
        place.header, place.history = _header(line[1:-1]), []
    elif line.startswith(("> ", "< ")):
        if not place.open:
            place.history = []
        place.open = True
        place.history.append(_turn(line))
    else:
        return False
    return True


def _header(text: str) -> _Header:
    label, images, chats, *rest = text.split()
    read = _Header(cast(Label, label), _span(images), tuple(chats.split(",")))
    for word in rest:
        if word == "!":
            read = replace(read, tricky=True)
        elif word.startswith("*"):
            read = replace(read, fillings=int(word[1:]))
        else:
            read = replace(read, after=tuple(word.removeprefix("after=").split(",")))
    return read


def _span(text: str) -> tuple[int, ...]:
    first, _, last = text.partition("-")
    return tuple(range(int(first), int(last or first) + 1))


def _turn(line: str) -> Turn:
    found = _TURN.match(line[2:].replace("\\n", "\n"))
    assert found is not None
    return Turn("user" if line[0] == ">" else "assistant", found["text"], int(found["images"] or 0))


def _examples(text: str, place: _Place, contexts: dict[str, list[History]]) -> Iterator[Example]:
    header = place.header
    assert header is not None
    for number, after in enumerate(header.after or ("",)):
        history = tuple(place.history)
        if after:
            history = _choice(contexts[after], f"{text}{number}after")
        chat = _choice(header.chats, f"{text}{number}chat")
        images = _choice(header.images, f"{text}{number}images")
        if chat == "group@":
            chat, text = "group", text if "@小图" in text else f"@小图 {text}"
        request = RouteRequest(text, images, cast(ChatKind, chat), history)
        scene = f"{place.scene} {place.count // _GROUP}" if place.by_kind else place.scene
        yield Example(request, header.label, header.tricky, scene, header.fillings > 1)


def _choice(options: Sequence[T], key: str) -> T:
    return options[crc32(key.encode()) % len(options)]


def _filled(line: str, count: int, slots: dict[str, list[str]]) -> list[str]:
    if count == 1 or not _PLACE.search(line):
        return [line]
    found: dict[str, None] = {}
    for number in range(count):
        place = iter(range(99))
        found[_PLACE.sub(lambda m: _choice(slots[m[1]], f"{line}{number}{next(place)}"), line)] = None  # noqa: B023
    return list(found)


@cache
def contexts() -> dict[str, list[History]]:
    """The histories of contexts.txt by name."""
    found: dict[str, list[History]] = {}
    name, open_turns = "", list[Turn]()
    for line in [*(TRAINING / "contexts.txt").read_text(encoding="utf-8").splitlines(), ""]:
        if line.startswith("=== "):
            name = line[4:]
        elif line.startswith(("> ", "< ")):
            open_turns.append(_turn(line))
        elif not line and open_turns:
            found.setdefault(name, []).append(tuple(open_turns))
            open_turns = []
    return found


def _slots() -> dict[str, list[str]]:
    lines = (TRAINING / "slots.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split(": ", 1) for line in lines if ": " in line)
    return {name: words.split("|") for name, words in pairs}
