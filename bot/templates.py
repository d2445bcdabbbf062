"""Kinds of reports, one Markdown file each: front matter says what it is for and how it is built, the rest advises.

    ---
    name: 新闻稿
    triggers: [新闻稿, 通稿]
    purpose: 向媒体说明一件事
    length: 800
    structure:
      - {title: 导语, share: 20}
    tone: 客观
    constraints: [不用第一人称]
    notice: ""
    ---
    More advice to the writer.

A request is written by the template whose trigger it names; the longest one wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import yaml

from bot.config import Count, Positive, Section, convert
from bot.errors import ConfigError

_FRONT = re.compile(r"\A\ufeff?---[ \t]*\n(?P<head>.*?)\n---[ \t]*(?:\n(?P<body>.*))?\Z", re.DOTALL)


class Share(Section, frozen=True):
    """A section by default: its title, and its share of the length beside the others'."""

    title: str
    share: Positive = 1.0


class Template(Section, frozen=True):
    """triggers: words of a request that mean this one. length: characters where none were asked for.

    structure: where the model plans none. notice: the last line of every such report. advice: what follows the front
    matter.
    """

    name: str
    structure: tuple[Share, ...]
    triggers: tuple[str, ...] = ()
    purpose: str = ""
    length: Count = 800
    tone: str = ""
    constraints: tuple[str, ...] = ()
    notice: str = ""
    advice: str = ""

    @property
    def instructions(self) -> str:
        """What the writer is told."""
        lines = [
            f"文体：{self.name}。{self.purpose}".rstrip("。") + "。",
            f"参考结构：{'、'.join(part.title for part in self.structure)}。",
            f"语气：{self.tone.rstrip('。')}。" if self.tone else "",
            *(f"要求：{one.rstrip('。')}。" for one in self.constraints),
            self.advice,
        ]
        return "\n".join(line for line in lines if line)


def load(*folders: Path) -> tuple[Template, ...]:
    """The templates of all `*.md` files; a later folder's replaces an earlier one's of the same name.

    Raises ConfigError on a folder that cannot be read and on what is no template.
    """
    found = (read(path) for folder in folders for path in _files(folder))
    return tuple({template.name: template for template in found}.values())


def _files(folder: Path) -> Sequence[Path]:
    if not folder.is_dir():
        raise ConfigError(f"reports.templates: there is no folder {folder}")
    return sorted(folder.glob("*.md"))


def read(path: Path) -> Template:
    """One template. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
        front = _FRONT.match(text)
        head = yaml.safe_load(front["head"]) if front else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"the template {path} cannot be read: {error}") from None
    if front is None or not isinstance(head, dict):
        raise ConfigError(f"the template {path} has no front matter between two lines of ---")
    template = convert(head, Template, where=path.name)
    if not template.structure or not template.name.strip():
        raise ConfigError(f"the template {path} needs a name and a structure of at least one section")
    return msgspec.structs.replace(template, advice=(front["body"] or "").strip())


def named(text: str, templates: Iterable[Template]) -> Template | None:
    """The template that a text names, by the longest of its triggers; None where it names none."""
    lowered = text.lower()
    hits = [
        (len(trigger), -order, template)
        for order, template in enumerate(templates)
        for trigger in (*template.triggers, template.name)
        if trigger.lower() in lowered
    ]
    return max(hits, key=lambda hit: hit[:2])[2] if hits else None
