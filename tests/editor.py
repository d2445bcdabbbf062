"""An engine that plans and writes reports by rule: it does what it is asked, at a length that is off by a factor."""

from __future__ import annotations

import re
from collections.abc import Callable

from fakes import FakeEngine

from bot.engine.base import GenerateRequest

_SENTENCE = "本段说明设备运行平稳无异常。"


def text_of(characters: int, word: str = "") -> str:
    """So many characters, in sentences."""
    text = (word + _SENTENCE * (characters // len(_SENTENCE) + 1))[: max(1, characters)]
    return text[:-1] + "。"


class Editor(FakeEngine):
    """first, corrected: written length by length asked for. `edits` may change what is written, given the request."""

    def __init__(
        self, *, first: float = 1.0, corrected: float | None = None, parts: int = 5, **attributes: object
    ) -> None:
        super().__init__("editor", self._answer, **attributes)
        self.first = first
        self.corrected = first if corrected is None else corrected
        self.parts = parts
        self.plan: str | None = None
        self.edits: Callable[[str, str], str] = lambda instruction, text: text
        self.instructions: list[str] = []

    @property
    def sections(self) -> list[int]:
        """The numbers of the sections that it was asked to write, in order."""
        found = (re.search(r"现在只写第 (\d+) 节", one) for one in self.instructions)
        return [int(one[1]) for one in found if one]

    def _answer(self, request: GenerateRequest) -> str:
        instruction = request.messages[-1].text
        self.instructions.append(instruction)
        return self.edits(instruction, self._text(instruction))

    def _text(self, instruction: str) -> str:
        if "只输出一个新标题" in instruction:
            return "新标题：《换过的标题》"
        if "先不写正文" in instruction:
            return self._plan() if self.plan is None else self.plan
        if found := re.search(r"约 (\d+) 字。请(?:压缩|扩写)", instruction):
            return self._corrected(instruction, int(found[1]))
        wanted = re.search(r"约 (\d+) 字", instruction)
        length = round(int(wanted[1]) * self.first) if wanted else 60
        if "每节以 ## 小标题开始" in instruction:
            return self._whole(length)
        if "按提纲写全文" in instruction:
            return f"# 标题\n{text_of(length - 2)}"
        number = re.search(r"第 (\d+) 节", instruction)
        return text_of(length, f"第{number[1]}节。" if number else "")

    def _plan(self) -> str:
        lines = [f"{n}. 小节{n}｜{100 + 10 * n} 字｜无｜要点{n}" for n in range(1, self.parts + 1)]
        return "\n".join(["标题：设备情况", *lines])

    def _whole(self, length: int) -> str:
        each = max(4, (length - 4) // self.parts - 3)
        parts = [f"## 小节{n}\n\n{text_of(each, f'第{n}节。')}" for n in range(1, self.parts + 1)]
        return "\n\n".join(["# 设备情况", *parts])

    def _corrected(self, instruction: str, length: int) -> str:
        """Keeps headings, as it is told to."""
        wanted = round(length * self.corrected)
        return self._whole(wanted) if "\n## " in instruction else text_of(wanted)
