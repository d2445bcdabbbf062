"""Comparing what the model was given, turn by turn, with what the script says it must be given."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from echo import Call, Said, Shown, call_number
from notebook import Numbered
from script import Group, Member, Turn
from stage import Answer

_CODE = re.compile(r"单号([BCDFGHJKLMNPQRSTVWXZ]{6})")
#: characters the service may put around a quotation, and a question of its own for pictures that came alone
_AROUND_QUOTE, _OWN_QUESTION = 8, 80


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A turn that went wrong. what: pictures, history, lost, twice, silence, words, mixed. first: of its member."""

    what: str
    kind: str
    first: bool
    turn: str
    sent: str
    expected: str
    came: str

    def __str__(self) -> str:
        lines = (("sent", self.sent), ("expected", self.expected), ("came", self.came))
        head = f"- {self.what} of {self.turn} ({self.kind})"
        return "\n".join([head, *(f"    {name:9} {text}" for name, text in lines)])


@dataclass
class Evidence:
    """judged, right_pictures and right_history by kind; only turns that ask the model count in the last two."""

    judged: Counter[str] = field(default_factory=Counter[str])
    asked: Counter[str] = field(default_factory=Counter[str])
    right_pictures: Counter[str] = field(default_factory=Counter[str])
    right_history: Counter[str] = field(default_factory=Counter[str])
    mismatches: list[Mismatch] = field(default_factory=list[Mismatch])
    unjudged: int = 0

    def count(self, what: str) -> int:
        """Turns that went wrong in this way."""
        return sum(one.what == what for one in self.mismatches)


def judge(
    groups: Sequence[Group],
    answers: Mapping[str, list[Answer]],
    calls: Sequence[Call],
    slow: set[str],
    stuck: Mapping[str, str],
) -> Evidence:
    """slow and stuck: see Stage; a member is not judged after such a turn."""
    return _Judge(groups, answers, calls).judge(slow, stuck)


class _Judge:
    def __init__(self, groups: Sequence[Group], answers: Mapping[str, list[Answer]], calls: Sequence[Call]) -> None:
        self._groups = groups
        self._answers = answers
        self._calls = calls
        self._found = Evidence()
        self._first: dict[str, str] = {}
        self._turns = {turn.id: turn for group in groups for member in group.members for turn in member.turns}
        self._owner = _owners(groups)
        self._pictured = _pictured(groups)

    def judge(self, slow: set[str], stuck: Mapping[str, str]) -> Evidence:
        for group in self._groups:
            for member in group.members:
                self._member(group, member, slow, stuck.get(member.id, ""))
        known = {message.id for turn in self._turns.values() for message in turn.messages}
        for reply_to in self._answers.keys() - known:
            self._wrong("mixed", Turn(reply_to, "nobody's", []), "no reply", self._answers[reply_to][0].text)
        return self._found

    def _member(self, group: Group, member: Member, slow: set[str], stuck: str) -> None:
        for place, turn in enumerate(member.turns):
            if turn.id in slow:
                self._found.unjudged += len(member.turns) - place
                return
            self._found.judged[turn.kind] += 1
            self._turn(group, member, turn)
            if turn.id == stuck:
                self._found.unjudged += len(member.turns) - place - 1
                return

    def _turn(self, group: Group, member: Member, turn: Turn) -> None:
        self._check_replies(group, turn)
        if turn.expected == "silence":
            return
        answer = self._answer(turn)
        if answer is None:
            self._found.asked[turn.kind] += turn.expected == "model"
            self._wrong("lost", turn, "a reply", "none")
            return
        call = call_number(answer.text)
        if turn.expected == "words":
            if call is not None:
                self._wrong("words", turn, "an answer without the model", answer.text)
            return
        self._found.asked[turn.kind] += 1
        if call is None:
            self._wrong("pictures", turn, "an answer of the model", answer.text)
            return
        self._check_call(member, turn, self._calls[call])

    def _answer(self, turn: Turn) -> Answer | None:
        return next(iter(self._answers.get(turn.messages[-1].id, ())), None)

    def _check_replies(self, group: Group, turn: Turn) -> None:
        """At most one, to the last message, into the same chat; copies with the same key are allowed."""
        came = [answer for message in turn.messages for answer in self._answers.get(message.id, ())]
        last = {answer.key for answer in came if answer.reply_to == turn.messages[-1].id}
        others = {answer.key for answer in came} - last
        if any(answer.chat != group.id or not answer.genuine for answer in came):
            self._wrong("mixed", turn, f"a genuine reply in {group.id}", str(came))
        if turn.expected == "silence" and came:
            self._wrong("silence", turn, "no reply", came[0].text)
        elif others or len(last) > 1:
            shown = [f"{answer.reply_to}: {answer.text[:160]}" for answer in came]
            self._wrong("twice", turn, "one reply, to the last message", " | ".join(shown))

    def _check_call(self, member: Member, turn: Turn, call: Call) -> None:
        strangers = self._strangers(member, call)
        if strangers:
            self._wrong("mixed", turn, "nothing of other members", ", ".join(strangers))
        wanted = self._in_reading_order(turn)
        if _same(call.pixels, wanted):
            self._found.right_pictures[turn.kind] += 1
        else:
            self._wrong("pictures", turn, _named(wanted), self._shown(call.pixels))
        wrong = self._wrong_history(turn, call)
        if wrong:
            self._wrong("history", turn, *wrong)
        else:
            self._found.right_history[turn.kind] += 1

    def _in_reading_order(self, turn: Turn) -> list[Numbered]:
        """Pixels stand where a picture was sent or quoted last; right before the question when nobody told of it."""
        told = [*(self._turns[id] for id in turn.history), turn]
        places = {one: (place, 1, at) for place, each in enumerate(told) for at, one in enumerate(each.carried)}
        return sorted(turn.pictures, key=lambda one: places.get(one, (len(told) - 1, 0, one.number)))

    def _strangers(self, member: Member, call: Call) -> list[str]:
        """Codes and pictures of others that this member never quoted."""
        texts = "\n".join(text for turn in member.turns for text in turn.fragments)
        codes = dict.fromkeys(_CODE.findall(call.raw)).keys() - set(_CODE.findall(texts))
        own = {one.barcode for turn in member.turns for one in turn.carried}
        pictures = {one.barcode for one in call.pixels} - own
        return [f"{code} of {self._owner.get(code)}" for code in codes] + [
            f"a picture of {self._pictured.get(picture or 0)}" for picture in pictures
        ]

    def _wrong_history(self, turn: Turn, call: Call) -> tuple[str, str] | None:
        """Expected and found, where they differ."""
        told = [self._turns[id] for id in turn.history]
        said = [one for one in call.said if one.role != "system"]
        if len(said) != 2 * len(told) + 1:
            return f"{len(told)} earlier turns: {_texts(told)}", _spoken(said[:-1])
        for place, one in enumerate(told):
            wrong = self._wrong_question(one, said[2 * place]) or self._wrong_reply(one, said[2 * place + 1])
            if wrong:
                return wrong
        # Pixels of pictures that no earlier message holds any more stand before the question.
        return self._wrong_question(turn, said[-1], also={one.number for one in turn.pictures})

    def _wrong_question(self, turn: Turn, said: Said, also: Collection[int] = ()) -> tuple[str, str] | None:
        numbers = [one.number for one in said.shown]
        held = [one.number for one in turn.carried]
        # A request with one picture needs no label.
        pictures = numbers in (held, [0]) or [one for one in numbers if one in held or one not in also] == held
        if said.role != "user" or not pictures:
            return f"a question with {_named(turn.carried)}", f"{said.role} {self._shown(said.shown)}: {said.text}"
        left = _without(said.text, turn.fragments)
        quotes = sum(message.quoted is not None for message in turn.messages)
        room = _AROUND_QUOTE * quotes if turn.fragments else _OWN_QUESTION
        if left is None or len(left) > room or _CODE.search(left):
            return " ".join(turn.fragments), said.text
        return None

    def _wrong_reply(self, turn: Turn, said: Said) -> tuple[str, str] | None:
        """The history may leave out what is shown under an answer, nothing else."""
        answer = self._answer(turn)
        text = answer.text.strip() if answer else ""
        if said.role == "assistant" and said.text and text.startswith(said.text):
            return None
        return f"the reply to {turn.id}: {text}", f"{said.role}: {said.text}"

    def _shown(self, shown: Sequence[Shown]) -> str:
        found = [
            f"图{one.number or '?'}"
            + ("" if one.barcode is None else f"={one.barcode:08x} of {self._pictured.get(one.barcode)}")
            for one in shown
        ]
        return "、".join(found) or "no pictures"

    def _wrong(self, what: str, turn: Turn, expected: str, came: str) -> None:
        sent = " / ".join(_described(turn))
        member = turn.id.partition("t")[0]
        first = self._first.setdefault(member, turn.id) == turn.id
        self._found.mismatches.append(Mismatch(what, turn.kind, first, turn.id, sent, expected, came))


def _owners(groups: Sequence[Group]) -> dict[str, str]:
    """Who wrote which code."""
    return {
        found: member.id
        for group in groups
        for member in group.members
        for turn in member.turns
        for message in turn.messages
        for found in _CODE.findall(message.text)
    }


def _pictured(groups: Sequence[Group]) -> dict[int, str]:
    """Who sent which picture."""
    return {
        picture: member.id
        for group in groups
        for member in group.members
        for turn in member.turns
        for message in turn.messages
        for picture in message.pictures
    }


def _same(shown: Sequence[Shown], wanted: Sequence[Numbered]) -> bool:
    """The right pictures in the right order, none of them under a wrong number."""
    return [one.barcode for one in shown] == [one.barcode for one in wanted] and all(
        one.number == numbered.number or (not one.number and len(wanted) == 1)
        for one, numbered in zip(shown, wanted, strict=True)
    )


def _without(text: str, fragments: Sequence[str]) -> str | None:
    """What is left of a text when the fragments are taken out in order; None when one is missing."""
    left, place = "", 0
    for fragment in fragments:
        found = text.find(fragment, place)
        if found < 0:
            return None
        left += text[place:found]
        place = found + len(fragment)
    return (left + text[place:]).strip()


def _named(pictures: Sequence[Numbered]) -> str:
    return "、".join(f"图{one.number}={one.barcode:08x}" for one in pictures) or "no pictures"


def _texts(turns: Sequence[Turn]) -> str:
    return " / ".join(" ".join(turn.fragments) or "(pictures)" for turn in turns)


def _spoken(said: Sequence[Said]) -> str:
    return f"{len(said)} messages: " + " / ".join(one.text or "(pictures)" for one in said if one.role == "user")


def _described(turn: Turn) -> list[str]:
    """Its messages, readable."""
    found: list[str] = []
    for message in turn.messages:
        quoted = message.quoted
        quote = f"「{quoted.sender}：{quoted.text}{_drawn(quoted.pictures)}」" if quoted else ""
        found.append(("@看图 " if message.mention else "") + quote + message.text + _drawn(message.pictures))
    return found


def _drawn(pictures: Sequence[int]) -> str:
    return "".join(f"<{picture:08x}>" for picture in pictures)
