"""The bot's own @, taken out of what somebody said: nobody asks a model about it.

An adapter puts `OWN` where its platform names the bot, and takes all of them out at once.
"""

from __future__ import annotations

import re

#: Stands for the bot's own mention; text that `payload` has cleaned never holds it.
OWN = "\0"
# A run of spaces is entered at its first one only, and never given back: the search stays linear.
_RUN = re.compile(r"(?<! ) *+\0[ \0]*+")
_EDGES = ("", "\n", "\r")


def without_own(text: str) -> str:
    """Without `OWN` and the spaces that touch it; one stays if there was any, unless it stood at a line's edge."""
    return _RUN.sub(_gap, text) if OWN in text else text


def _gap(found: re.Match[str]) -> str:
    text, start, end = found.string, found.start(), found.end()
    at_edge = text[max(start - 1, 0) : start] in _EDGES or text[end : end + 1] in _EDGES
    return " " if " " in found[0] and not at_edge else ""
