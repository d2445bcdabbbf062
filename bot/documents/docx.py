"""A report as a Word document (python-docx): headings, lists, tables, pictures, and a table of the evidence.

Word takes Chinese characters from a style's east-Asian font; without one it picks any. Microsoft YaHei is on every
Windows and named by the other systems' substitutes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from bot.documents import apart
from bot.documents.checklist import Entry, by_section, checklist
from bot.documents.marked import Pieces, cleaned, parse, picture_number, unmarked
from bot.documents.pictures import LoadPicture, load, shrunk
from bot.report import Report

if TYPE_CHECKING:
    from docx.document import Document
    from docx.table import _Cell as Cell  # pyright: ignore[reportPrivateUsage]
    from docx.text.paragraph import Paragraph
    from docx.text.run import Run
    from markdown_it.token import Token

_FONT: Final = "微软雅黑"
_LATIN: Final = "Segoe UI"
_CODE_FONT: Final = "Consolas"
#: headings of a section's own text begin below its title
_HIGHEST: Final = 3
_DEEPEST_LIST: Final = 3
#: centimetres
_WIDEST: Final = 16.0
_HIGHEST_PICTURE: Final = 13.0
_IN_CELL: Final = 4.0


async def write(report: Report, load_picture: LoadPicture) -> bytes:
    """The file. Raises DocumentFailed."""
    return await apart.run(__name__, report, await load(report, load_picture))


def build(report: Report, pictures: Mapping[int, bytes]) -> bytes:
    """The file. Blocks."""
    import docx

    document = docx.Document()
    _set_styles(document)
    document.core_properties.title = cleaned(report.title)[:255]
    document.core_properties.author = "看图"
    document.add_heading(cleaned(report.title), 0)
    entries = checklist(report)
    writer = _Writer(document, pictures, entries)
    for index, section in enumerate(report.sections):
        if section.title:
            document.add_heading(cleaned(section.title), 1)
        writer.section(parse(section.text, by_section(entries, index)))
    for number in sorted(report.pictures):
        if number not in writer.placed:
            writer.picture(number)
    if report.notice:
        document.add_paragraph(cleaned(report.notice), "Intense Quote")
    if entries:
        _add_evidence(document, entries)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def _set_styles(document: Document) -> None:
    from docx.oxml.ns import qn
    from docx.shared import Cm, Pt

    styles: Any = document.styles
    for style in styles:
        if (fonts := getattr(style, "font", None)) is not None and style.name:
            fonts.name = _LATIN
            _set_east_asian(style.element.get_or_add_rPr().get_or_add_rFonts(), _FONT)
    normal = styles["Normal"]
    normal.font.size = Pt(10.5)
    normal.paragraph_format.line_spacing = 1.5
    language = styles.element.find(f".//{qn('w:docDefaults')}//{qn('w:lang')}")
    language.set(qn("w:eastAsia"), "zh-CN")
    for page in document.sections:
        page.page_width, page.page_height = Cm(21), Cm(29.7)
        page.left_margin = page.right_margin = Cm(2.5)
        page.top_margin = page.bottom_margin = Cm(2.3)


def _set_east_asian(fonts: Any, name: str) -> None:
    from docx.oxml.ns import qn

    for theme in ("asciiTheme", "hAnsiTheme", "eastAsiaTheme", "cstheme"):
        fonts.attrib.pop(qn(f"w:{theme}"), None)
    fonts.set(qn("w:eastAsia"), name)


class _Writer:
    """Tokens to paragraphs."""

    def __init__(self, document: Document, pictures: Mapping[int, bytes], entries: Sequence[Entry]) -> None:
        self._document = document
        self._pictures = pictures
        self._entries = entries
        self._pieces = Pieces()
        self._lists: list[str] = []
        self._numberings: list[Any] = []
        self._quoted = 0
        self._fresh_item = False
        self.placed: set[int] = set()

    def section(self, tokens: Sequence[Token]) -> None:
        """One section's text."""
        at = 0
        while at < len(tokens):
            token = tokens[at]
            if token.type == "table_open":
                end = next(place for place in range(at, len(tokens)) if tokens[place].type == "table_close")
                self._table(tokens[at:end])
                at = end
            else:
                self._block(token, tokens[at - 1] if at else token)
            at += 1

    def picture(self, number: int) -> None:
        """A centred picture with its caption."""
        from docx.enum.text import WD_ALIGN_PARAGRAPH

        self.placed.add(number)
        paragraph = self._document.add_paragraph()
        paragraph.alignment = WD_ALIGN_PARAGRAPH.CENTER
        if number in self._pictures:
            paragraph.paragraph_format.keep_with_next = True
            _add_picture(paragraph.add_run(), self._pictures[number], _WIDEST, _HIGHEST_PICTURE)
        caption = self._document.add_paragraph(
            f"图{number}" if number in self._pictures else f"图{number} 已经不在了。", "Caption"
        )
        caption.alignment = WD_ALIGN_PARAGRAPH.CENTER

    def _block(self, token: Token, before: Token) -> None:
        match token.type:
            case "bullet_list_open" | "ordered_list_open":
                self._lists.append("List Bullet" if token.type == "bullet_list_open" else "List Number")
                self._numberings.append(self._numbering(token) if token.type == "ordered_list_open" else None)
            case "bullet_list_close" | "ordered_list_close":
                self._lists.pop()
                self._numberings.pop()
            case "list_item_open":
                self._fresh_item = True
            case "blockquote_open":
                self._quoted += 1
            case "blockquote_close":
                self._quoted -= 1
            case "hr":
                self._document.add_paragraph("————————")
            case "fence" | "code_block":
                self._code(token)
            case "inline":
                self._inline(token, self._paragraph(before))
            case _:
                pass

    def _paragraph(self, opening: Token) -> Paragraph:
        if opening.type == "heading_open":
            level = max(_HIGHEST, int(opening.tag[1])) - 1
            return self._document.add_heading("", level)
        if not self._lists:
            return self._document.add_paragraph(style="Quote" if self._quoted else None)
        depth = min(len(self._lists), _DEEPEST_LIST)
        suffix = "" if depth == 1 else f" {depth}"
        kind = self._lists[-1] if self._fresh_item else "List Continue"
        paragraph = self._document.add_paragraph(style=f"{kind}{suffix}")
        if self._fresh_item and self._numberings[-1] is not None:
            self._number(paragraph, self._numberings[-1])
        self._fresh_item = False
        return paragraph

    def _numbering(self, token: Token) -> Any:
        """A numbering that begins anew: Word would count on from the list before."""
        from docx.oxml.ns import qn

        depth = min(len(self._lists), _DEEPEST_LIST)
        style: Any = self._document.styles["List Number" if depth == 1 else f"List Number {depth}"]
        numbering: Any = self._document.part.numbering_part.element
        used = style.element.pPr.numPr.numId.val
        abstract = next(num for num in numbering.num_lst if num.numId == used).abstractNumId.val
        made = numbering.add_num(abstract)
        start = made.add_lvlOverride(ilvl=0).add_startOverride(int(token.attrs.get("start", 1) or 1))
        assert start.tag == qn("w:startOverride")
        return made.numId

    def _number(self, paragraph: Paragraph, number: Any) -> None:
        element: Any = paragraph._p  # pyright: ignore[reportPrivateUsage]
        properties = element.get_or_add_pPr().get_or_add_numPr()
        properties.get_or_add_numId().val = number
        properties.get_or_add_ilvl().val = 0

    def _code(self, token: Token) -> None:
        paragraph = self._document.add_paragraph()
        self._add(paragraph, token.content.rstrip("\n"), {"code"})
        self._pieces.end_block()

    def _inline(self, token: Token, paragraph: Paragraph) -> None:
        """Text into the paragraph, pictures behind it."""
        numbers = self._run_through(token, paragraph)
        self._pieces.end_block()
        if numbers and not paragraph.text.strip():
            _remove(paragraph)
        for number in numbers:
            self.picture(number)

    def _run_through(self, token: Token, paragraph: Paragraph) -> list[int]:
        """Adds the text; returns the numbers of the pictures in it."""
        looks: set[str] = set()
        numbers: list[int] = []
        for child in token.children or ():
            if child.type == "image":
                number = picture_number(str(child.attrs.get("src", "")))
                if number in self._pictures:
                    numbers.append(number)
                else:
                    self._add(paragraph, unmarked(child.content), looks)
            elif child.type.endswith("_open"):
                looks.add(child.tag)
            elif child.type.endswith("_close"):
                looks.discard(child.tag)
            else:
                broken = child.type in ("softbreak", "hardbreak")
                self._add(
                    paragraph, "\n" if broken else child.content, looks | ({"code"} if child.tag == "code" else set())
                )
        return numbers

    def _add(self, paragraph: Paragraph, content: str, looks: set[str]) -> None:
        for piece, number in self._pieces.cut(content):
            run = paragraph.add_run(piece)
            run.bold = "strong" in looks or None
            run.italic = "em" in looks or None
            run.font.strike = "s" in looks or None
            run.font.underline = "a" in looks or None
            if "code" in looks:
                run.font.name = _CODE_FONT
            if number is not None:
                _show_finding(run, found=self._entries[number].finding.found)

    def _table(self, tokens: Sequence[Token]) -> None:
        rows: list[list[Token]] = []
        for token in tokens:
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(token)
        width = max((len(row) for row in rows), default=0)
        if not width:
            return
        table = self._document.add_table(len(rows), width, "Table Grid")
        # Each look-up of a table's cell by its row and column goes through the whole table.
        cells = [list(row.cells) for row in table.rows]
        for number, row in enumerate(rows):
            for column, token in enumerate(row):
                self._cell(cells[number][column], token, head=number == 0)
        self._document.add_paragraph()

    def _cell(self, cell: Cell, token: Token, *, head: bool) -> None:
        paragraph = cell.paragraphs[0]
        numbers = self._run_through(token, paragraph)
        self._pieces.end_block()
        for number in numbers:
            self.placed.add(number)
            _add_picture(paragraph.add_run(), self._pictures[number], _IN_CELL, _HIGHEST_PICTURE)
        for run in paragraph.runs if head else ():
            run.bold = True


def _add_picture(run: Run, data: bytes, width: float, height: float) -> None:
    """No wider and no higher than so many centimetres."""
    from docx.shared import Cm

    shape: Any = run.add_picture(io.BytesIO(shrunk(data)))
    scale = min(1.0, Cm(width) / shape.width, Cm(height) / shape.height)
    shape.width, shape.height = int(shape.width * scale), int(shape.height * scale)


def _show_finding(run: Run, *, found: bool) -> None:
    """Yellow where no picture has it; a dotted line where one does."""
    from docx.enum.text import WD_COLOR_INDEX, WD_UNDERLINE

    if found:
        run.font.underline = WD_UNDERLINE.DOTTED
    else:
        run.font.highlight_color = WD_COLOR_INDEX.YELLOW


def _remove(paragraph: Paragraph) -> None:
    element: Any = paragraph._p  # pyright: ignore[reportPrivateUsage]
    element.getparent().remove(element)


def _add_evidence(document: Document, entries: Sequence[Entry]) -> None:
    document.add_heading("依据", 1)
    table = document.add_table(1, 2, "Table Grid")
    for cell, words in zip(table.rows[0].cells, ("文中", "出处"), strict=True):
        cell.paragraphs[0].add_run(words).bold = True
    for entry in sorted(entries, key=lambda one: one.finding.found):
        said, place = table.add_row().cells
        paragraph = said.paragraphs[0]
        paragraph.add_run(entry.before)
        words = paragraph.add_run(entry.words)
        words.bold = True
        paragraph.add_run(entry.after)
        place.paragraphs[0].add_run(entry.place)
        if not entry.finding.found:
            _show_finding(words, found=False)
