"""Chinese numerals as numbers: 三百二十 is 320, 二〇二四 is 2024, 两万五 is 25000."""

from __future__ import annotations

from decimal import Decimal

DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_TENS = {"十": 10, "百": 100, "千": 1000}
#: the larger first
_MYRIADS = {"亿": 100_000_000, "万": 10_000}


def value_of(text: str) -> Decimal | None:
    """The number that digits or Chinese numerals say, with 点 before decimals; None where they say none."""
    if text.isascii():
        return Decimal(text) if text.replace(".", "", 1).isdigit() else None
    whole, dot, decimals = text.partition("点")
    if not whole or not set(whole) <= DIGITS.keys() | _TENS.keys() | _MYRIADS.keys():
        return None
    value = _spelled(whole) if all(char in DIGITS for char in whole) else _counted(whole)
    if not dot:
        return Decimal(value)
    if not decimals or any(char not in DIGITS for char in decimals):
        return None
    return Decimal(f"{value}.{_spelled(decimals, len(decimals))}")


def _spelled(text: str, width: int = 1) -> str:
    """Digit by digit, as years and decimals are written."""
    return "".join(str(DIGITS[char]) for char in text).zfill(width)


def _counted(text: str) -> int:
    for unit, size in _MYRIADS.items():
        high, found, low = text.partition(unit)
        if found:
            return (_counted(high) if high else 1) * size + _rest(low, size)
    total, digit, last = 0, 0, 1
    for char in text:
        if char in DIGITS:
            digit = DIGITS[char]
            last = 1 if char in "零〇" else last
        else:
            total, digit, last = total + (digit or 1) * _TENS[char], 0, _TENS[char]
    return total + digit * (last // 10 if last >= 100 else 1)


def _rest(low: str, size: int) -> int:
    """两万五 leaves out the last unit; 二十五 and 一百零五 do not."""
    if len(low) == 1 and low in DIGITS:
        return DIGITS[low] * size // 10
    return _counted(low) if low else 0
