"""Chat screenshots: who says what, told by which edge a bubble stands at and by the names above bubbles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bot.engine.reader.layout import Block, blocks
from bot.engine.reader.page import Line, Page
from bot.engine.reader.passages import Passage

_STAMP = re.compile(
    r"^(?:(?:昨天|今天|前天|星期.|周.|上午|下午|晚上|早上|凌晨|\d{1,2}月\d{1,2}日|\d{4}[-/年.]\d{1,2}[-/月.]\d{1,2}日?)\s*)*(?:\d{1,2}:\d{2}(?::\d{2})?)?$"
)


@dataclass(frozen=True, slots=True)
class Utterance:
    """side: left (the other) or right (the phone's owner). name: as shown above the bubble, or empty."""

    side: str
    name: str
    text: str
    lines: tuple[Line, ...]

    @property
    def speaker(self) -> str:
        return self.name or ("我" if self.side == "right" else "对方")


def find_chat(page: Page) -> list[Utterance]:
    """The utterances of a chat screenshot, or nothing when the page is not one."""
    found = blocks([line for line in page.lines if not _is_avatar(line, page)])
    found = [block for block in found if not _STAMP.match(block.text.strip())]
    left, right = _edges(found, page)
    names = sum(_is_name(block, found, page) for block in found)
    if (
        min(left, right) < (1 if names >= 2 else 2)
        or left + right < 4
        or page.width > 1.2 * page.height
        or _share_rows(found, page)
    ):
        return []
    return _utterances([block for block in found if _side(block, page)], page)


def _is_avatar(line: Line, page: Page) -> bool:
    x, _ = line.box.centre
    return len(line.text) <= 2 and (x < 0.14 * page.width or x > 0.86 * page.width)


def _edges(found: Sequence[Block], page: Page) -> tuple[int, int]:
    sides = [_side(block, page) for block in found]
    return sides.count("left"), sides.count("right")


def _share_rows(found: Sequence[Block], page: Page) -> bool:
    """Bubbles stand below each other; what stands side by side is a form or a table."""
    left = [block.box for block in found if _side(block, page) == "left"]
    right = [block.box for block in found if _side(block, page) == "right"]
    return any(a.overlap_y(b) > 0.5 * min(a.height, b.height) for a in left for b in right)


def _side(block: Block, page: Page) -> str:
    """Bubbles begin near one edge and leave room at the other; centred text has none."""
    box = block.box
    near, far = box.left / page.width, 1 - box.right / page.width
    if box.top < 0.09 * page.height or (near < 0.1 and box.width > 0.8 * page.width):
        return ""
    if 0.07 < near < 0.3 and far > near + 0.03:
        return "left"
    return "right" if 0.07 < far < 0.3 and near > far + 0.03 else ""


def _utterances(found: Sequence[Block], page: Page) -> list[Utterance]:
    out: list[Utterance] = []
    name = ""
    for block in found:
        side = _side(block, page)
        if _is_name(block, found, page):
            name = block.text.strip(" ：:")
            continue
        out.append(Utterance(side, name, block.text, block.lines))
        name = ""
    return out


def _is_name(block: Block, found: Sequence[Block], page: Page) -> bool:
    """Short text that sits close on the bubble below and clear of what is above."""
    if len(block.text) > 10 or len(block.lines) != 1 or re.search(r"[，。！？!?\d]", block.text):
        return False
    below = [b for b in found if b.box.top >= block.box.bottom - 4 and _side(b, page) == _side(block, page)]
    above = [b.box.bottom for b in found if b.box.bottom <= block.box.top + 4]
    if not below:
        return False
    gap = below[0].box.top - block.box.bottom
    clear = block.box.top - max(above, default=0)
    return gap < 0.8 * block.box.height and clear > 1.5 * max(gap, 1) and clear > 0.8 * block.box.height


def passages(chat: Sequence[Utterance]) -> list[Passage]:
    """Utterances as passages; each knows what another speaker says next."""
    found: list[Passage] = []
    for index, one in enumerate(chat):
        reply = next((other for other in chat[index + 1 : index + 3] if other.speaker != one.speaker), None)
        found.append(
            Passage(one.text, one.lines, one.speaker, reply.text if reply else "", reply.lines if reply else ())
        )
    return found
