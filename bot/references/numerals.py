"""Numbers as people type them: 3, 三, 十二, 两."""

from __future__ import annotations

#: no conversation has a picture of this number
NO_SUCH = 10**6

_DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "俩": 2}


def numbers(token: str) -> list[int]:
    """Digits or Chinese numerals: 十二 is twelve; 一二 are one and two, as 图一二 is meant."""
    if token[0] in "0123456789":
        return [int(token) if len(token) < 6 else NO_SUCH]
    if len(token) > 1 and not set("十百") & set(token):
        return [_DIGITS[char] for char in token]
    return [_chinese(token)]


def _chinese(token: str) -> int:
    total, digit = 0, 0
    for char in token:
        if char in _DIGITS:
            digit = _DIGITS[char]
        else:
            total, digit = total + (digit or 1) * (10 if char == "十" else 100), 0
    return total + digit


def span(first: int, last: int) -> list[int]:
    """What `first` 到 `last` adds to `first`, in either direction; a long way is cut."""
    if last < first:
        return list(range(max(last, first - 1000), first))
    return list(range(first + 1, min(last, first + 1000) + 1))
