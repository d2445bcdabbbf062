"""A report's text as HTML that cannot do anything: no script, no address but http and https, no foreign picture.

The parser takes raw HTML for text; what it builds goes through an allow-list once more (nh3).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from html import escape
from typing import Any, Final

import nh3
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from bot.documents.checklist import UNFOUND, Entry, by_section, checklist
from bot.documents.marked import OPTIONS, Pieces, cleaned, parse, picture_number, unmarked
from bot.message import Image
from bot.report import Report

PictureUrl = Callable[[int], str]

_TAGS: Final = set(
    "p br hr h2 h3 h4 h5 h6 ul ol li blockquote pre code em strong s table thead tbody tr th td a mark img span "
    "div".split()
)
_ATTRIBUTES: Final = {
    "a": {"href", "class"},
    "mark": {"class", "id", "tabindex", "title", "data-finding"},
    "img": {"src", "alt", "width", "height", "loading", "data-picture"},
    "span": {"class", "id"},
    "div": {"class"},
    "ol": {"start"},
    "th": {"class"},
    "td": {"class"},
}
_CITED: Final = re.compile(r"\[图(\d{1,3})\]")
_FIGURE: Final = re.compile(r"#picture-\d{1,3}")
_WEB: Final = re.compile(r"https?://", re.IGNORECASE)
_ALIGNED: Final = {"text-align:center": "centre", "text-align:right": "right"}
_HIGHEST: Final = 3


def render(report: Report, picture_url: PictureUrl) -> str:
    """Sections, pictures that no section places, and the notice. picture_url: the address of a picture by number.

    Findings are `<mark data-finding="0">` (class `unfound` where no picture has them), pictures
    `<span class="picture" id="picture-1">`. The title is left to the caller.
    """
    entries = checklist(report)
    renderer = _Renderer(report.pictures, entries, picture_url)
    parts: list[str] = []
    for index, section in enumerate(report.sections):
        if section.title:
            parts.append(f"<h2>{escape(cleaned(section.title))}</h2>")
        parts.append(renderer.section(section.text, by_section(entries, index)))
    parts += [renderer.picture(number) for number in sorted(report.pictures) if number not in renderer.placed]
    body = _clean("\n".join(parts), {picture_url(number) for number in report.pictures})
    return body + (f'\n<p class="warning">{escape(cleaned(report.notice))}</p>' if report.notice else "")


def evidence(report: Report) -> str:
    """The list of findings, those without evidence first; empty where there are none."""
    entries = checklist(report)
    missing = [entry for entry in entries if not entry.finding.found]
    found = [entry for entry in entries if entry.finding.found]
    parts: list[str] = []
    if missing:
        parts.append(f"<h2>{len(missing)} 处{UNFOUND}，请核对</h2>\n{_list(missing)}")
    if found:
        parts.append(f"<h2>{len(found)} 处在图中找到</h2>\n{_list(found)}")
    return "\n".join(parts)


def _list(entries: Sequence[Entry]) -> str:
    return f'<ul class="findings">\n{"".join(map(_item, entries))}</ul>'


def _item(entry: Entry) -> str:
    finding = entry.finding
    where = ""
    if finding.found and finding.box:
        where = f' data-picture="{finding.picture}" data-box="{",".join(f"{side:.1f}" for side in finding.box)}"'
    kind = "place" if finding.found else "place unfound"
    return (
        f'<li data-finding="{entry.number}"{where}><a href="#finding-{entry.number}">{escape(entry.before)}'
        f"<b>{escape(entry.words)}</b>{escape(entry.after)}</a> "
        f'<span class="{kind}">{escape(entry.place)}</span></li>\n'
    )


class _Renderer(RendererHTML):
    """Tokens to HTML; the parser's renderer calls the method named like the token's type."""

    def __init__(self, pictures: Mapping[int, Image], entries: Sequence[Entry], picture_url: PictureUrl) -> None:
        super().__init__()
        self._pictures = pictures
        self._entries = entries
        self._picture_url = picture_url
        self._pieces = Pieces()
        self._marked: set[int] = set()
        self._links = 0
        self.placed: set[int] = set()

    def section(self, text: str, findings: Mapping[int, Any]) -> str:
        """One section's text."""
        tokens = parse(text, findings)
        for token in tokens:
            if token.type in ("heading_open", "heading_close"):
                token.tag = f"h{max(_HIGHEST, int(token.tag[1]))}"
            if token.type in ("th_open", "td_open"):
                style = str(token.attrs.pop("style", ""))
                token.attrs |= {"class": _ALIGNED[style]} if style in _ALIGNED else {}
        return self.render(tokens, OPTIONS, {})

    def picture(self, number: int) -> str:
        """A picture with its caption; the address to jump to goes to the first place it stands in."""
        image = self._pictures[number]
        name = "" if number in self.placed else f' id="picture-{number}"'
        self.placed.add(number)
        size = f' width="{image.width}" height="{image.height}"' if image.width and image.height else ""
        return (
            f'<span class="picture"{name}><span class="frame"><img src="{escape(self._picture_url(number))}" '
            f'alt="图{number}" data-picture="{number}"{size}></span><span class="caption">图{number}</span></span>'
        )

    def text(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        """Text, with marks and with [图1] leading to the picture."""
        return self._cut(tokens[idx].content, self._cited)

    def code_inline(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        """Code within a line."""
        return f"<code>{self._cut(tokens[idx].content, escape)}</code>"

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        """Code on lines of its own; the language's name is left out."""
        code = f"<pre><code>{self._cut(tokens[idx].content, escape)}</code></pre>\n"
        self._pieces.end_block()
        return code

    fence = code_block

    def renderInline(self, tokens: Sequence[Token], options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        """The contents of one block; what is marked ends with it."""
        shown = super().renderInline(tokens, options, env)
        self._pieces.end_block()
        return shown

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        """Wide tables scroll in a frame of their own."""
        return '<div class="table"><table>\n'

    def table_close(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        """Closes the frame too."""
        return "</table></div>\n"

    def link_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        """Only where it leads to the web."""
        self._links += 1
        return f'<a href="{escape(str(tokens[idx].attrs.get("href", "")))}">'

    def link_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        """Ends a link."""
        self._links -= 1
        return "</a>"

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        """One of the report's pictures; of any other only its words."""
        number = picture_number(str(tokens[idx].attrs.get("src", "")))
        if number in self._pictures and not self._links:
            return self.picture(number)
        return escape(unmarked(tokens[idx].content))

    def _cut(self, content: str, show: Callable[[str], str]) -> str:
        return "".join(
            show(piece) if number is None else self._mark(show(piece), number)
            for piece, number in self._pieces.cut(content)
        )

    def _mark(self, inner: str, number: int) -> str:
        if self._links:
            return inner
        name = "" if number in self._marked else f' id="finding-{number}" tabindex="0"'
        self._marked.add(number)
        entry = self._entries[number]
        kind = "" if entry.finding.found else ' class="unfound"'
        return f'<mark{kind}{name} data-finding="{number}" title="{escape(entry.place)}">{inner}</mark>'

    def _cited(self, text: str) -> str:
        if self._links:
            return escape(text)
        shown: list[str] = []
        at = 0
        for match in _CITED.finditer(text):
            if int(match[1]) in self._pictures:
                shown += [escape(text[at : match.start()]), f'<a class="cite" href="#picture-{int(match[1])}">']
                shown.append(f"图{int(match[1])}</a>")
                at = match.end()
        return "".join([*shown, escape(text[at:])])


def _clean(html: str, pictures: set[str]) -> str:
    def keep(tag: str, name: str, value: str) -> str | None:
        if name == "src":
            return value if value in pictures else None
        if name == "href":
            return value if _WEB.match(value) or _FIGURE.fullmatch(value) else None
        return value

    return nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=keep,
        url_schemes={"http", "https", "picture"},
        link_rel="noopener noreferrer nofollow",
    )
