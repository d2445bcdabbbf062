"""What the members of a group say, and what the model must be given for it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from notebook import Notebook, Numbered

Expected = Literal["model", "words", "silence"]

#: feature classes, in the order of the report
KINDS = (
    "burst", "mixed", "late", "alone", "duet", "new", "followup", "number", "quote", "greeting", "unclear", "reset",
    "forget", "chatter",
)  # fmt: skip
_NAMES = ("小王", "李雷", "韩梅", "阿强", "陈姐")
_ABOUT_ONE = ("这张单子的合计是多少", "帮我看看这张上的日期", "这张图里写了什么", "收款人是谁", "这个数对吗")
_ABOUT_SOME = ("这几张分别是什么", "把这几张的金额加起来", "有没有重复的", "哪一张日期最早", "都盖章了吗")
_FOLLOW_UPS = ("多少钱", "日期是哪天", "抬头写的是谁", "有没有盖章", "单价呢", "那税额是多少")
_GREETINGS = ("你好", "谢谢", "在吗", "好的", "辛苦了")
_CHATTER = ("中午吃什么", "我先去开会了", "老板说明天放假", "谁看到我的杯子了", "哈哈哈笑死")
_AGAIN = ("这张再看一下有没有盖章", "这个金额对不对", "这上面的日期是哪天")
_NUMERALS = "零一二三四五六七八九"


@dataclass(frozen=True, slots=True)
class Quoted:
    """A message that is replied to."""

    text: str
    sender: str
    pictures: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One chat message. mention: it names the bot."""

    id: str
    text: str = ""
    pictures: tuple[int, ...] = ()
    mention: bool = True
    quoted: Quoted | None = None


@dataclass(eq=False)
class Turn:
    """Messages that belong together, in the order sent, and what must come of them.

    expected: the model is asked, the bot says something of its own, or nothing happens. pictures: whose pixels the
    model must see; carried: those that the turn's own message holds; history: ids of the turns before it. copies:
    how often each message is delivered. eager: the next turn does not wait for the reply. partner: the turn of
    another member whose messages are sent between this one's.
    """

    id: str
    kind: str
    messages: list[Outgoing]
    expected: Expected = "model"
    pictures: tuple[Numbered, ...] = ()
    carried: tuple[Numbered, ...] = ()
    history: tuple[str, ...] = ()
    copies: int = 1
    eager: bool = False
    partner: Turn | None = None

    @property
    def fragments(self) -> list[str]:
        """Texts that its message must hold, in order."""
        found: list[str] = []
        for message in self.messages:
            if message.quoted:
                found += [message.quoted.sender, message.quoted.text]
            found.append(message.text)
        return [text for text in found if text]


@dataclass
class Member:
    """id: unique over all groups."""

    id: str
    name: str
    notebook: Notebook = field(default_factory=Notebook)
    turns: list[Turn] = field(default_factory=list[Turn])


@dataclass
class Group:
    """A chat."""

    id: str
    members: list[Member]


def write(number: int, seed: int, kinds: Sequence[str]) -> Group:
    """The script of group `number`: 3 to 5 members with 6 to 12 turns each; the same for the same seed."""
    return _Writer(number, random.Random(f"{seed}/{number}"), frozenset(kinds)).group()


class _Writer:
    def __init__(self, number: int, chance: random.Random, kinds: frozenset[str]) -> None:
        self._chance = chance
        self._kinds = kinds
        self._pictures = number << 12
        self._count = 0
        names = chance.sample(_NAMES, chance.randint(3, 5))
        self._group = Group(f"g{number}", [Member(f"g{number}u{place}", name) for place, name in enumerate(names)])

    def group(self) -> Group:
        """Members in turn, so that one can quote what another said before."""
        lengths = {member.id: self._chance.randint(6, 12) for member in self._group.members}
        while any(lengths.values()):
            left = [member for member in self._group.members if lengths[member.id] > 0]
            if "duet" in self._kinds and len(left) > 1 and self._chance.random() < 0.12:
                speakers = self._chance.sample(left, 2)
                self._duet(*speakers)
            else:
                speakers = [self._chance.choice(left)]
                self._turn(speakers[0])
            for member in speakers:
                lengths[member.id] -= 1
        for member in self._group.members:
            self._finish(member)
        return self._group

    # ------------------------------------------------------------ turns

    def _turn(self, member: Member) -> None:
        kinds: dict[str, tuple[float, Callable[[Member], None]]] = {
            "burst": (3, self._burst),
            "mixed": (1.5, self._mixed),
            "late": (1, self._late),
            "alone": (0.7, self._alone),
            "greeting": (0.7, self._greeting),
            "followup": (2.5, self._followup),
            "chatter": (1, self._chatter),
        }
        book = member.notebook
        if book.pictures:
            kinds |= {"new": (1, self._new), "number": (4, self._by_number), "unclear": (0.4, self._unclear)}
        if self._quotable():
            kinds["quote"] = (1.5, self._quote)
        if len(book.history) > 1:
            kinds |= {"reset": (0.4, self._reset), "forget": (0.3, self._forget)}
        open_kinds = {name: value for name, value in kinds.items() if name in self._kinds}
        # With few kinds chosen there must be something to refer to.
        name = self._chance.choices([*open_kinds] or ["burst"], [one[0] for one in open_kinds.values()] or [1])[0]
        if not book.pictures and name in ("followup", "greeting") and self._chance.random() < 0.7:
            name = "burst"
        kinds[name][1](member)

    def _burst(self, member: Member, kind: str = "burst", count: int = 0) -> Turn:
        """One to five pictures, then the question; where a chat cannot mix, a picture cannot name the bot."""
        count = count or self._chance.choice((1, 1, 2, 2, 3, 4, 5))
        mention = self._chance.random() < 0.6
        messages = [self._message(member, pictures=self._draw(1), mention=mention) for _ in range(count)]
        text = self._words(_ABOUT_ONE if count == 1 else _ABOUT_SOME)
        return self._add(member, kind, [*messages, self._message(member, text)])

    def _duet(self, first: Member, second: Member) -> None:
        count = self._chance.randint(1, 4)
        one, other = self._burst(first, "duet", count), self._burst(second, "duet", count)
        one.partner, other.partner = other, one

    def _mixed(self, member: Member) -> None:
        count = self._chance.choice((1, 1, 2, 3))
        text = self._words(_ABOUT_ONE if count == 1 else _ABOUT_SOME)
        self._add(member, "mixed", [self._message(member, text, self._draw(count))])

    def _late(self, member: Member) -> None:
        """The question, then its picture."""
        question = self._message(member, self._words(("帮我看看这张图", "看下这张图里的金额", "这张图片是什么")))
        picture = self._message(member, pictures=self._draw(1), mention=self._chance.random() < 0.6)
        self._add(member, "late", [question, picture])

    def _alone(self, member: Member) -> None:
        count = self._chance.choice((1, 1, 2, 3))
        self._add(member, "alone", [self._message(member, pictures=self._draw(1)) for _ in range(count)])

    def _new(self, member: Member) -> None:
        """Other pictures were talked about; now another one."""
        messages = [self._message(member, pictures=self._draw(1)), self._message(member, self._words(("这是什么",)))]
        self._add(member, "new", messages)

    def _greeting(self, member: Member) -> None:
        self._add(member, "greeting", [self._message(member, self._chance.choice(_GREETINGS))], meant=())

    def _followup(self, member: Member) -> None:
        message = self._message(member, self._words(_FOLLOW_UPS))
        self._add(member, "followup", [message], meant=member.notebook.focus)

    def _by_number(self, member: Member) -> None:
        text, meant, pictures = self._reference(member.notebook)
        message = self._message(member, self._words((text,)), self._draw(pictures))
        if pictures:
            # 和图1对比一下: beside the picture that comes along.
            turn = self._add(member, "number", [message])
            turn.pictures = (*meant, *turn.carried)
            member.notebook.focus = turn.pictures
        else:
            self._add(member, "number", [message], meant=meant)

    def _reference(self, book: Notebook) -> tuple[str, tuple[Numbered, ...], int]:
        """Words, the pictures they mean, and how many pictures come along."""
        one = self._chance.choice(book.pictures)
        said = _NUMERALS[one.number] if one.number < 10 and self._chance.random() < 0.4 else one.number
        ways: list[tuple[str, tuple[Numbered, ...], int]] = [
            (f"图{said}的金额是多少", (one,), 0),
            (f"和图{one.number}对比一下，有什么不同", (one,), 1),
        ]
        if len(book.pictures) > 1:
            pair = sorted(self._chance.sample(book.pictures, 2), key=lambda picture: picture.number)
            ways.append((f"图{pair[0].number}和图{pair[1].number}哪个贵", tuple(pair), 0))
        if len(book.focus) == 1:
            ways += [("刚才那张再看一遍", book.focus, 0)] * 2
        counted = book.counted[:9]
        if counted:
            place = self._chance.randrange(len(counted))
            ways += [(f"第{_NUMERALS[place + 1]}张的抬头是什么", counted[place : place + 1], 0)] * 3
        if book.latest:
            ways.append(("最后一张写了什么", book.latest[-1:], 0))
        if len(book.latest) > 1:
            ways += [("上面两张对比一下", book.latest[-2:], 0)] * 2
        return self._chance.choice(ways)

    def _quote(self, member: Member) -> None:
        """A message with a picture, of one's own or somebody else's."""
        speaker, message = self._chance.choice(self._quotable())
        quoted = Quoted(message.text, speaker.name, message.pictures)
        pictures = self._draw(1) if self._chance.random() < 0.2 else ()
        text = "这两张有什么不同" if pictures else self._chance.choice(_AGAIN)
        if pictures and len(message.pictures) > 1:
            text = "有什么不同"
        self._add(member, "quote", [self._message(member, self._words((text,)), pictures, quoted=quoted)])

    def _unclear(self, member: Member) -> None:
        """No such number: the bot asks back; the answer to that is a number again."""
        book = member.notebook
        missing = len(book.pictures) + self._chance.randint(3, 30)
        self._add(member, "unclear", [self._message(member, self._words((f"图{missing}的金额是多少",)))], "words")
        one = self._chance.choice(book.pictures)
        self._add(member, "unclear", [self._message(member, self._words((f"图{one.number}",)))], meant=(one,))

    def _reset(self, member: Member) -> None:
        self._add(member, "reset", [self._message(member, "/重置")], "words")
        member.notebook.reset()
        self._followup(member)
        member.turns[-1].kind = "reset"

    def _forget(self, member: Member) -> None:
        self._add(member, "forget", [self._message(member, "/忘记")], "words")
        member.notebook.forget()
        self._burst(member, "forget")

    def _chatter(self, member: Member) -> None:
        """Among the members, with or without a picture; nobody names the bot."""
        pictures = self._draw(1) if self._chance.random() < 0.4 else ()
        message = self._message(member, self._words(_CHATTER), pictures, mention=False)
        self._add(member, "chatter", [message], "silence")

    def _finish(self, member: Member) -> None:
        """A last picture that nobody asks about; then who goes on without waiting, and what is delivered again."""
        if "chatter" in self._kinds and self._chance.random() < 0.3:
            message = self._message(member, pictures=self._draw(1), mention=False)
            self._add(member, "chatter", [message], "silence")
        for turn, following in zip(member.turns, member.turns[1:], strict=False):
            ready = turn.expected == "model" and turn.carried and turn.messages[-1].text
            plain = following.kind not in ("late", "alone") and following.messages[0].text and not following.partner
            turn.eager = bool(ready and plain and not turn.partner and self._chance.random() < 0.3)

    # ------------------------------------------------------------ pieces

    def _add(
        self,
        member: Member,
        kind: str,
        messages: list[Outgoing],
        expected: Expected = "model",
        *,
        meant: tuple[Numbered, ...] | None = None,
    ) -> Turn:
        """Write the turn down. meant: the pictures it is about, by default those that it carries."""
        book = member.notebook
        self._count += 1
        turn = Turn(f"{member.id}t{self._count}", kind, messages, expected, history=tuple(book.history))
        turn.copies = 3 if self._chance.random() < 0.12 else 1
        member.turns.append(turn)
        if expected != "silence":
            turn.carried = book.add(_pictures(m.quoted for m in messages), _pictures(messages))
            turn.pictures = turn.carried if meant is None else meant
            book.focus = turn.pictures or book.focus
            book.history.append(turn.id)
        return turn

    def _message(
        self,
        member: Member,
        text: str = "",
        pictures: tuple[int, ...] = (),
        *,
        mention: bool = True,
        quoted: Quoted | None = None,
    ) -> Outgoing:
        self._count += 1
        return Outgoing(f"{member.id}m{self._count}", text, pictures, mention, quoted)

    def _words(self, texts: Sequence[str]) -> str:
        """One of the texts, with a code that no other message of any group holds."""
        self._count += 1
        group = int(self._group.id[1:])
        return f"{self._chance.choice(texts)}，单号{code(group * 1000 + self._count)}"

    def _draw(self, count: int) -> tuple[int, ...]:
        self._pictures += count
        # Spread over all bits: neighbours look different.
        return tuple(number * 2_654_435_761 % 2**32 for number in range(self._pictures - count, self._pictures))

    def _quotable(self) -> list[tuple[Member, Outgoing]]:
        return [
            (member, message)
            for member in self._group.members
            for turn in member.turns
            for message in turn.messages
            if message.pictures and not message.quoted
        ]


def code(number: int) -> str:
    """Six letters, one way for each number."""
    letters = "BCDFGHJKLMNPQRSTVWXZ"
    number = number * 7_368_787 % 20**6
    return "".join(letters[number // 20**place % 20] for place in range(6))


def _pictures(holders: Iterable[Outgoing | Quoted | None]) -> list[int]:
    return [barcode for holder in holders if holder for barcode in holder.pictures]
