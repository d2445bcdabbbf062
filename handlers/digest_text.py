"""The text of a digest and what goes with it; its head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bot.event import File
from bot.subscription import Due
from handlers.digest_transcript import Transcript, neutral


@dataclass(frozen=True, slots=True)
class Digest:
    """body: Markdown without its title. note: a line for below it. usage: of the models, in tokens."""

    body: str
    files: tuple[File, ...] = ()
    note: str = ""
    model: str = ""
    usage: Mapping[str, int] = field(default_factory=dict[str, int])


def section(title: str, lines: Sequence[str]) -> str:
    """Lines under their title; nothing where there is none."""
    return "\n".join((f"## {title}", *lines)) if lines else ""


def head(due: Due) -> str:
    """Title and span; one that is made up says so."""
    transcript = Transcript(due)
    title = f"# {neutral(due.subscription.title) or '日报'}"
    span = f"{transcript.day(due.since)} – {transcript.day(due.until)}"
    late = f"（补发：原定 {transcript.day(due.until)}，当时服务没有运行）" if due.late else ""
    return "\n\n".join(filter(None, (title, late, span)))
