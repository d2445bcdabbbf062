"""Word lists, kept as text files beside this one: easier to read and to add to than code."""

from __future__ import annotations

from pathlib import Path


def word_lists(name: str) -> dict[str, list[str]]:
    """Key -> words of NAME.txt, lines of `KEY: word word …`; lines of one key are joined, `#` begins a note."""
    found: dict[str, list[str]] = {}
    for line in Path(__file__).with_name(f"{name}.txt").read_text(encoding="utf-8").splitlines():
        key, colon, words = line.partition(": ")
        if colon and not line.startswith("#"):
            found.setdefault(key, []).extend(words.split())
    return found
