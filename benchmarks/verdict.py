"""Judging replies: lost, doubled, out of order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fakes import Arrival
from report import Section


@dataclass
class Verdict:
    """Counts over a set of events.

    unanswered: markers of which no answer came. doubled: answered under several keys. repeated: deliveries of a key
    beyond its first, which Standard Webhooks allows and its receivers drop. disordered: answers that came after a
    later one of their conversation. crossed: replies to one event with the answer of another. forged: replies whose
    signature is wrong.
    """

    unanswered: list[str]
    doubled: int = 0
    repeated: int = 0
    disordered: int = 0
    crossed: int = 0
    forged: int = 0

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(
            self.unanswered + other.unanswered,
            self.doubled + other.doubled,
            self.repeated + other.repeated,
            self.disordered + other.disordered,
            self.crossed + other.crossed,
            self.forged + other.forged,
        )

    def add_to(self, found: Section) -> None:
        """The rows of promises that every suite makes; `unanswered` is the caller's."""
        found.promised("answered twice (different keys)", self.doubled)
        found.promised("out of order in their conversation", self.disordered)
        found.promised("answers of another event, or wrongly signed", self.crossed + self.forged)
        found.measured("repeated with the same key (allowed)", self.repeated, "", digits=0)


def judge(chats: Mapping[str, Sequence[str]], arrivals: Iterable[Arrival]) -> Verdict:
    """chats: conversation → markers in the order sent. Replies without a marker (apologies) answer nothing."""
    first: dict[str, Arrival] = {}
    keys: dict[str, set[str]] = defaultdict(set)
    verdict = Verdict([])
    for arrival in arrivals:
        verdict.forged += not arrival.genuine
        if not arrival.marker:
            continue
        verdict.crossed += arrival.marker != arrival.reply_to
        verdict.repeated += arrival.key in keys[arrival.marker]
        keys[arrival.marker].add(arrival.key)
        first.setdefault(arrival.marker, arrival)
    verdict.doubled = sum(len(found) > 1 for found in keys.values())
    for markers in chats.values():
        verdict.unanswered += [marker for marker in markers if marker not in first]
        verdict.disordered += _disordered([first[marker].at for marker in markers if marker in first])
    return verdict


def _disordered(times: Sequence[float]) -> int:
    """How many come after one that should follow them."""
    return sum(any(later < time for later in times[number + 1 :]) for number, time in enumerate(times))
