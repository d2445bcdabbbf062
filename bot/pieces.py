"""A long text in pieces that a platform takes, counted as the platform counts."""

from __future__ import annotations

import re
from typing import Literal

Unit = Literal["characters", "utf16", "bytes"]

_FENCE = re.compile(r"^ {0,3}(```+|~~~+)([^`\n]*)$", re.MULTILINE)
_MARKS = ("\n\n", "\n", "。", "！", "？", "；", "，", " ")


def measure(text: str, unit: Unit) -> int:
    """The length of a text: characters, UTF-16 code units, or bytes of UTF-8."""
    if unit == "characters":
        return len(text)
    return len(text.encode()) if unit == "bytes" else len(text.encode("utf-16-le")) // 2


def head(text: str, length: int, unit: Unit) -> str:
    """As many whole characters of the beginning as fit."""
    if unit == "characters":
        return text[:length]
    if unit == "bytes":
        return text.encode()[:length].decode(errors="ignore")
    return text.encode("utf-16-le")[: 2 * length].decode("utf-16-le", errors="ignore")


def split(text: str, length: int, unit: Unit = "characters") -> list[str]:
    """Cut at paragraphs, else lines, else sentences, else anywhere; no piece is longer than `length` (at least 64).

    Several pieces are numbered at their ends. A code block that is cut is closed and opened again.
    """
    text = text.strip()
    if measure(text, unit) <= length:
        return [text] if text else []
    # "（12/12）" on a line of its own, and the fences of a block that is cut.
    pieces = _cut_all(text, length - measure("\n（99/99）", unit), unit)
    return [f"{piece}\n（{number}/{len(pieces)}）" for number, piece in enumerate(pieces, 1)]


def _cut_all(text: str, length: int, unit: Unit) -> list[str]:
    pieces: list[str] = []
    while measure(text, unit) > length:
        piece = _cut(text, length - measure("\n```", unit), unit)
        rest = text[len(piece) :].lstrip("\n") if piece.endswith("\n") else text[len(piece) :].lstrip()
        fence = _open_fence(piece)
        piece = piece.rstrip()
        # Only as long as it gets shorter: a fence line may be longer than a tiny piece.
        if fence and len(rest) + len(fence) < len(text):
            piece, rest = f"{piece}\n```", f"{fence}\n{rest}"
        pieces.append(piece)
        text = rest
    return [*pieces, text] if text.strip() else pieces


def _cut(text: str, length: int, unit: Unit) -> str:
    window = head(text, length, unit)
    for mark in _MARKS:
        at = window.rfind(mark)
        # A tiny first piece reads worse than a cut at a lesser mark.
        if at >= len(window) // 3:
            return text[: at + len(mark)]
    return window


def _open_fence(piece: str) -> str:
    """The line that opened a code block which this piece does not close; empty when none is open."""
    opened = ""
    for fence in _FENCE.finditer(piece):
        opened = "" if opened else f"```{fence[2].strip()}"
    return opened
