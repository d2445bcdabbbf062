"""Any number of lines summed up within a model's context: in parts, the parts' notes together, until one prompt holds.

Nothing is left out on the way: a line too long for a prompt is cut into pieces, which go into several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bot.drafts import Draft
from bot.engine.base import Engine, GenerateRequest, SamplingParams
from bot.engine.chain import EngineChain, Size
from bot.errors import ContextTooLong, EngineUnavailable
from bot.message import Message, system, user
from handlers.digest_transcript import RULES, marked, neutral

#: Tokens that a template puts around the two messages, rather too many.
_AROUND = 24
#: tokens of a part's notes, and of the text that is posted
_NOTES = 600
_FINAL = 1200
_COMMAND = "请整理以上材料。"


@dataclass(frozen=True, slots=True)
class Task:
    """What to write of lines. notes: how a part is put into notes. final: how the whole is written."""

    notes: str
    final: str


@dataclass(slots=True)
class Condenser:
    """Asks one model after another part; `note` is what the engines say about who answered."""

    engines: EngineChain
    salt: str
    note: str = ""
    model: str = ""
    usage: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def able(self) -> bool:
        """Some model writes texts of its own."""
        return any(self.engines.engine(size).generates for size in ("light", "heavy"))

    def _writer(self) -> Size:
        """The better model that writes."""
        return "heavy" if self.engines.engine("heavy").generates else "light"

    def _noter(self) -> Size:
        return "light" if self.engines.engine("light").generates else "heavy"

    async def write(self, lines: Sequence[str], task: Task) -> str:
        """The text of `task.final`. Raises EngineError."""
        noter, writer = self.engines.engine(self._noter()), self.engines.engine(self._writer())
        room, last = _room(noter, task.notes, _NOTES), _room(writer, task.final, _FINAL)
        # Three notes to a prompt, two to the last one: each round halves what there is, or nearly.
        longest = min(_answer_room(noter, _NOTES), room // 3, last // 2)
        notes = list(lines)
        while (tokens := _tokens(writer, notes)) > last:
            notes = [await self._note(noter, part, task, longest) for part in _parts(notes, room, noter.count_text)]
            if _tokens(writer, notes) >= tokens:
                raise ContextTooLong(f"{writer.name} holds too little to sum anything up")
        return await self._ask(self._writer(), task.final, notes, _answer_room(writer, _FINAL))

    async def _note(self, engine: Engine, part: Sequence[str], task: Task, longest: int) -> str:
        said = await self._ask(self._noter(), task.notes, part, longest)
        # A model that overruns its room must not keep the whole from shrinking.
        return next(_pieces(neutral(said.replace("\n", "；")), longest - 1, engine.count_text), "")

    async def _ask(self, size: Size, instruction: str, lines: Sequence[str], room: int) -> str:
        request = GenerateRequest(
            _messages(instruction, lines),
            sampling=SamplingParams(max_tokens=room),
            cache_salt=self.salt,
            priority="report",
        )
        answer = await self.engines.answer(size, request, Draft())
        if answer.completion.finish_reason == "declined" or not answer.completion.text.strip():
            raise EngineUnavailable(f"{answer.engine} wrote nothing")
        self.note, self.model = answer.note or self.note, answer.engine
        used = answer.completion.usage
        for name in ("prompt_tokens", "cached_tokens", "completion_tokens"):
            self.usage[name] = self.usage.get(name, 0) + getattr(used, name)
        return answer.completion.text.strip()


def _messages(instruction: str, lines: Sequence[str]) -> tuple[Message, Message]:
    return system(f"{instruction}\n{RULES}"), user(f"{marked(lines)}\n{_COMMAND}")


def _answer_room(engine: Engine, wanted: int) -> int:
    """Tokens for the answer: small contexts are shared."""
    return min(wanted, engine.context_tokens // 4)


def _room(engine: Engine, instruction: str, answer: int) -> int:
    """Tokens for lines in one prompt."""
    empty = sum(engine.count_text(message.text) for message in _messages(instruction, ()))
    return max(64, engine.context_tokens - _answer_room(engine, answer) - empty - _AROUND)


def _tokens(engine: Engine, lines: Sequence[str]) -> int:
    return sum(engine.count_text(line) + 1 for line in lines)


def _parts(lines: Sequence[str], room: int, count: Callable[[str], int]) -> Iterator[list[str]]:
    """The lines in order, in as few parts as hold them."""
    part: list[str] = []
    used = 0
    for line in lines:
        for piece in _pieces(line, room - 1, count):
            tokens = count(piece) + 1
            if part and used + tokens > room:
                yield part
                part, used = [], 0
            part.append(piece)
            used += tokens
    if part:
        yield part


def _pieces(line: str, room: int, count: Callable[[str], int]) -> Iterator[str]:
    """The line, cut where it is more than `room` tokens."""
    while line:
        end = len(line)
        while end > 1 and (tokens := count(line[:end])) > room:
            end = max(1, min(end - 1, end * room // tokens))
        yield line[:end]
        line = line[end:]
