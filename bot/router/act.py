"""What a clause does: asks, orders a text, refuses one, reports another's words, wants a person, commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Act = Literal["refuse", "told", "write", "long", "ask", "tell", "short", "person", "command", "document", "go", "plain"]

_TEXT = frozenset({"DOC", "LEN2"})
_MAKING = frozenset({"WRITE", "MAKE"})


def act(tags: Sequence[str]) -> Act:
    """The act of a clause, from its tags. The order of the tests is the order of trust."""
    found = frozenset(tags)
    orders = _orders_text(tags, found)
    if "NOT" in found and (orders or found & {"DOC", "WRITE", "DEEP", "LEN2"}):
        first = tags.index("NOT")
        return "refuse" if _any_after(tags, first, {"DOC", "WRITE", "DEEP", "LEN2", "MAKE"}) else "short"
    if "TOLD" in found and (orders or "Q" in found):
        return "told"
    if _wants_person(tags, found):
        return "person"
    asks = bool(found & {"ASK", "?"}) and not _means_all(tags)
    if "COMMAND" in found and "STATE" in found and not asks:
        return "command"
    if orders and not (asks and "WRITE" not in found):
        return "write"
    if asks:
        return "ask"
    if "LEN0" in found or "SMALLDOC" in found or "SHORT" in found:
        return "short"
    if found & {"DEEP", "LEN2"}:
        return "long"
    if "TELL" in found:
        return "tell"
    if "DOC" in found:
        return "document"
    return "go" if "FOLLOW" in found else "plain"


def _orders_text(tags: Sequence[str], found: frozenset[str]) -> bool:
    """A verb of making, then a text or a piece of one."""
    if found & _MAKING:
        first = next(at for at, tag in enumerate(tags) if tag in _MAKING)
        if _any_after(tags, first, {"DOC", "PIECE", "LEN2"}):
            return True
    return "WRITE" in found and not found & {"LEN0", "SMALLDOC", "ASK"}


def _wants_person(tags: Sequence[str], found: frozenset[str]) -> bool:
    """A person or the machine with a word of connecting; of superiors only after it: 叫主管, not 主管让."""
    if found & {"PERSON", "MACHINE"} and found & {"CONNECT", "COMPLAIN"}:
        return True
    return "CONNECT" in found and _any_after(tags, tags.index("CONNECT"), {"BOSS"})


def _means_all(tags: Sequence[str]) -> bool:
    """ "谁说了什么都要有": a question word before "all" asks nothing; "为啥高、怎么治" in a call for depth neither."""
    if "EVERY" not in tags or tags[-1] in ("ASK", "?"):
        return False
    return "ASK" in tags[: tags.index("EVERY")]


def _any_after(tags: Sequence[str], first: int, wanted: set[str]) -> bool:
    return any(tag in wanted for tag in tags[first + 1 :])
