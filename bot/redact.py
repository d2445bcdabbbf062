"""Private numbers masked: mainland phones, ID cards, bank cards, e-mail addresses.

    138****4406   1101**********771X   6222 **** **** 7890   z*******@example.com

Digits become `*` one for one, so that lengths and places stay. Full-width characters count as their ASCII twins.

phone: 11 digits, 1 then 3 to 9; alone or as 3-4-4, 4-3-4 or 4-4-3; +86, 0086 and 86 may stand before it.
id: 17 digits and a check character, GB 11643-1999 (ISO 7064 MOD 11-2), around a possible date of birth.
card: 13 to 19 digits, ISO/IEC 7812 (Luhn), alone or in the groups printed on cards. First digits that no bank has
(0, 1, 7 and 20) are left alone: those are times, dates and order numbers, a tenth of which would pass.
email: RFC 5322 dot-atom in ASCII.

A number that fails its check stays: order and tracking numbers must remain readable. So do hexadecimal digests.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from typing import Final, Literal, NamedTuple

Kind = Literal["phone", "id", "card", "email"]


class Span(NamedTuple):
    """text[start:end] is private."""

    start: int
    end: int
    kind: Kind


#: Characters left readable at both ends.
_KEPT: Final[dict[Kind, tuple[int, int]]] = {"phone": (3, 4), "id": (4, 4), "card": (4, 4)}
_ASCII: Final = (
    {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}
    | dict.fromkeys(map(ord, "\u3000\u00a0\t"), " ")
    | dict.fromkeys(map(ord, "‐‑‒–—−"), "-")
)

#: Nearly all texts end here: no address, nowhere 11 digits together.
_WORTH_A_LOOK: Final = re.compile(r"[@＠]|[0-9０-９](?:[-\s.．－‐‑‒–—−]{0,3}[0-9０-９]){10}")
_DIGITS: Final = re.compile(r"[0-9]+")
_GAP: Final = re.compile(r"[ .-]{1,3}")
_DIGEST: Final = re.compile(r"(?<![0-9A-Za-z])(?=[0-9]*[a-f])(?:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32})(?![0-9A-Za-z])")
_PREFIX: Final = re.compile(r"(?:00)?86")
_PHONE: Final = re.compile(r"1[3-9][0-9]{9}")
_DOMAIN: Final = re.compile(r"@(?:[A-Za-z0-9-]+\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]")
_LOCAL: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.!#$%&'*+/=?^_`{|}~-")

_PHONE_GROUPS: Final = {(11,), (3, 4, 4), (4, 3, 4), (4, 4, 3)}
_WEIGHTS: Final = tuple(2 ** (17 - place) % 11 for place in range(17))
_MOST_GROUPS: Final = 5


def redact(text: str) -> str:
    """The text with everything private masked; its length stays, and masking it again changes nothing."""
    # What is left of one number may pass for another together with its neighbour: until nothing is found.
    while found := spans(text):
        text = _masked(text, found)
    return text


def spans(text: str) -> list[Span]:
    """What is private, in order; spans do not overlap. A phone's span is without its country code."""
    if _WORTH_A_LOOK.search(text) is None:
        return []
    plain = text.translate(_ASCII)
    addresses = list(_addresses(plain)) if "@" in plain else []
    kept = [match.span() for match in _DIGEST.finditer(plain)]
    numbers = _outside(_numbers(plain), kept + [one[:2] for one in addresses], len(text))
    # A number may run on into an address; what it leaves of that is found when it is masked.
    return sorted(numbers + _outside(addresses, [one[:2] for one in numbers], len(text)))


def _outside(found: Iterable[Span], taken: Iterable[tuple[int, int]], length: int) -> list[Span]:
    """Those that do not begin in what is taken."""
    covered = bytearray(length)
    for start, end in taken:
        covered[start:end] = b"\1" * (end - start)
    return [one for one in found if not covered[one.start]]


def _masked(text: str, found: Sequence[Span]) -> str:
    characters = list(text)
    for start, end, kind in found:
        places = [place for place in range(start, end) if text[place].isalnum() or kind == "email"]
        head, tail = _KEPT.get(kind, (1 if len(places) > 1 else 0, 0))
        for place in places[head : len(places) - tail]:
            characters[place] = "*"
    return "".join(characters)


# ------------------------------------------------------------------ addresses


def _addresses(text: str) -> Iterator[Span]:
    """The part before the @: the rest names a company, not a person."""
    # From each @ outwards, since a pattern that begins with the local part takes quadratic time.
    last = 0
    for match in _DOMAIN.finditer(text):
        start = match.start()
        while start > last and text[start - 1] in _LOCAL:
            start -= 1
        if _readable(text[start : match.start()]):
            yield Span(start, match.start(), "email")
        last = match.start() + 1


def _readable(local: str) -> bool:
    """More of it can be read than masking leaves."""
    return bool((local[1:] or local).strip("*"))


# -------------------------------------------------------------------- numbers


def _numbers(text: str) -> Iterator[Span]:
    groups = [match.span() for match in _DIGITS.finditer(text)]
    place = 0
    while place < len(groups):
        found = _number_at(text, groups, place)
        if found is None:
            place += 1
            continue
        span, used = found
        yield span
        place += used


def _number_at(text: str, groups: Sequence[tuple[int, int]], first: int) -> tuple[Span, int] | None:
    """The longest number that begins with this group of digits, and how many groups it has."""
    chain = _chain(text, groups, first)
    for count in range(len(chain), 0, -1):
        parts = chain[:count]
        digits = "".join(text[start:end] for start, end in parts)
        if not 11 <= len(digits) <= 19:
            continue
        for recognise in _RECOGNISERS:
            span = recognise(text, parts, digits)
            if span is not None:
                return span, count
    return None


def _chain(text: str, groups: Sequence[tuple[int, int]], first: int) -> list[tuple[int, int]]:
    """This group and those after it that are only a space, dot or dash away."""
    chain = [groups[first]]
    for group in groups[first + 1 : first + _MOST_GROUPS]:
        if _GAP.fullmatch(text, chain[-1][1], group[0]) is None:
            break
        chain.append(group)
    return chain


def _id_card(text: str, parts: Sequence[tuple[int, int]], digits: str) -> Span | None:
    start, end = parts[0][0], parts[-1][1]
    if len(digits) == 17 and text[end : end + 1] in ("x", "X"):
        digits, end = digits + "X", end + 1
    if len(digits) != 18 or not _checks_11643(digits) or not _born(digits[6:14]):
        return None
    return Span(start, end, "id")


def _checks_11643(digits: str) -> bool:
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, digits, strict=False))
    return digits[17] == "10X98765432"[total % 11]


def _born(day: str) -> bool:
    try:
        return 1800 <= date(int(day[:4]), int(day[4:6]), int(day[6:])).year < 2100
    except ValueError:
        return False


def _card(text: str, parts: Sequence[tuple[int, int]], digits: str) -> Span | None:
    if len(digits) < 13 or digits[0] in "017" or digits.startswith("20"):
        return None
    if not _card_groups([end - start for start, end in parts]) or not _luhn(digits):
        return None
    return Span(parts[0][0], parts[-1][1], "card")


def _card_groups(lengths: Sequence[int]) -> bool:
    """One run; fours with a shorter or longer end; 6-13 as on UnionPay's; 4-6-5 as on American Express's."""
    if len(lengths) == 1 or list(lengths) in ([6, 13], [6, 10], [4, 6, 5], [4, 6, 4]):
        return True
    return all(length == 4 for length in lengths[:-1]) and len(lengths) >= 4 and lengths[-1] <= 7


def _luhn(digits: str) -> bool:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _phone(text: str, parts: Sequence[tuple[int, int]], digits: str) -> Span | None:
    start, end = parts[0][0], parts[-1][1]
    lengths = [end - start for start, end in parts]
    # A country code written without a gap belongs to the first run.
    if prefix := _PREFIX.match(digits):
        start += prefix.end()
        lengths[0] -= prefix.end()
        digits = digits[prefix.end() :]
    if tuple(lengths) not in _PHONE_GROUPS or _PHONE.fullmatch(digits) is None:
        return None
    return Span(start, end, "phone")


_Recogniser = Callable[[str, Sequence[tuple[int, int]], str], Span | None]
_RECOGNISERS: Final[tuple[_Recogniser, ...]] = (_id_card, _phone, _card)


# ----------------------------------------------------------------------- logs


class RedactingFilter(logging.Filter):
    """Masks a record's message, exception and stack. Add it to handlers: a logger's filter misses its children.

    A record with something private loses its args; an exception's text replaces the exception itself, so that
    no formatter can print it anew.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        message = _message(record)
        clean = redact(message)
        if clean != message:
            record.msg, record.args = clean, None
        traceback = record.exc_text or (_FORMATTER.formatException(record.exc_info) if record.exc_info else "")
        clean = redact(traceback)
        if clean != traceback:
            record.exc_text, record.exc_info = clean, None
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


_FORMATTER: Final = logging.Formatter()


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        # Wrong arguments must not break who logs; the handler would complain and print them as they are.
        record.msg, record.args = f"{record.msg} {record.args!r}", None
        return record.msg
