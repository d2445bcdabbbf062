"""A report as HTML, Markdown, Word and PDF: all of its text, its pictures, its findings, and nothing that acts."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import os
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import docx as python_docx
import pytest
from docx.enum.text import WD_COLOR_INDEX, WD_UNDERLINE
from docx.oxml.ns import qn
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import drawing, encoded, noise
from PIL import Image as Pillow
from PIL import ImageFile

from bot.documents import apart, docx, markdown, pdf
from bot.documents.checklist import checklist
from bot.documents.html import evidence, render
from bot.documents.pictures import shrunk
from bot.errors import DocumentFailed, MediaError
from bot.message import Image
from bot.report import Finding, Report, Section

PICTURES = {"a" * 64: encoded(drawing(640, 480)), "b" * 64: encoded(drawing(300, 900).convert("RGB"), "JPEG")}

TEXT = """采购**120台**设备，见[图1]和[图9]。

![图1](图1)

### 明细

3. 单价1280元
4. `E-04` 告警
   - 内层 80元

| 项目 | 数值 |
|---|---:|
| 金额 | 153,600 |

> 引用 ~~划掉~~ [手册](https://example.com/a?b=1&c=2)
"""

HOSTILE = """<script>window.hit = 1</script><img src=x onerror="window.hit=2"><svg onload=alert(1)>
[甲](javascript:alert(1)) [乙](JaVaScRiPt:alert(1)) [丙](data:text/html;base64,PHNjcmlwdD4=) [丁](vbscript:x)
[戊](java&#115;cript:alert(1)) <javascript:alert(1)> [己](//evil.example/x) [庚](file:///etc/passwd)
![图1](http://evil.example/x.png) ![x](data:image/svg+xml,<svg/onload=alert(1)>) ![y](/static/icon.svg)
<!-- 注释 <script>alert(1)</script> --> &lt;script&gt;alert(1)&lt;/script&gt; <style>*{display:none}</style>
<a href="https://evil.example" onclick="alert(1)">x</a> <iframe src="https://evil.example"></iframe>
\ue000\ue010\ue001 \ue000\ue011 &#xE000;&#xE010;&#57345; `&#xE000;` ![&#xE000;&#xE019;](x)

[图1]: javascript:alert(1)
"""
HOSTILE += "\n\n" + "> " * 300 + "深\n\n" + "[" * 2000 + "\n\n" + "*a_" * 2000


def report(text: str = TEXT, *marked: str, missing: str = "", title: str = "三月报告<i>") -> Report:
    """Each of `marked` is found in picture 1, `missing` in none."""
    findings = [Finding(0, text.index(one), text.index(one) + len(one), 1, (10, 20, 90, 40)) for one in marked]
    if missing:
        findings.append(Finding(0, text.rindex(missing), text.rindex(missing) + len(missing)))
    images = {1: Image("", "a" * 64, "image/png", 640, 480, 1), 2: Image("", "b" * 64, "image/jpeg", 300, 900, 2)}
    sections = (Section("一、情况", text), Section("", "第二节。"))
    return Report("R" * 32, title, sections, images, tuple(findings), "仅供参考。", "", 1.7e9, 1.8e9)


FULL = report(TEXT, "120台", "1280元", "E-04", "153,600", missing="80元")


async def load_picture(sha256: str) -> bytes:
    if sha256 not in PICTURES:
        raise MediaError("absent", "不在了")
    return PICTURES[sha256]


def url(number: int) -> str:
    return f"/r/{'R' * 32}/{number}"


class Elements(HTMLParser):
    """Every start tag with its attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.marks: dict[str, str] = {}
        self._mark = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "mark":
            self._mark = dict(attrs)["data-finding"] or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "mark":
            self._mark = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._mark:
            self.marks[self._mark] = self.marks.get(self._mark, "") + data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_html_has_text_pictures_and_marks() -> None:
    page = Elements(render(FULL, url))
    assert page.marks == {"0": "120台", "1": "1280元", "2": "E-04", "3": "80元", "4": "153,600"}
    assert [one.get("class") for one in page.all("mark")] == [None, None, None, "unfound", None]
    assert [one["src"] for one in page.all("img")] == [url(1), url(2)]
    assert [one["href"] for one in page.all("a")] == ["#picture-1", "https://example.com/a?b=1&c=2"]
    assert page.all("a")[1]["rel"] == "noopener noreferrer nofollow"
    assert page.all("ol") == [{"start": "3"}]
    assert "[图9]" in page.text and "仅供参考。" in page.text
    assert [tag for tag, _ in page.tags if tag.startswith("h")] == ["h2", "h3"]


def test_the_list_of_evidence_begins_with_what_has_none() -> None:
    page = Elements(evidence(FULL))
    assert [one["data-finding"] for one in page.all("li")] == ["3", "0", "1", "2", "4"]
    assert page.all("li")[1]["data-box"] == "10.0,20.0,90.0,40.0"
    assert "未找到依据" in page.text and "图1 左上" in page.text
    assert evidence(report()) == ""
    assert [entry.before for entry in checklist(FULL)] == ["采购", "单价", "", "内层", "金额"]


def test_hostile_markdown_becomes_text() -> None:
    page = Elements(render(report(HOSTILE, "注释"), url))
    assert {tag for tag, _ in page.tags} <= set("h2 p span img a mark em strong blockquote br code".split())
    assert {one["src"] for one in page.all("img")} == {url(1), url(2)}
    assert {one["href"] for one in page.all("a")} <= {"#picture-1", "#picture-2"}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "style"]
    assert page.marks == {"0": "注释"}
    assert "<script>window.hit = 1</script>" in page.text
    assert not re.search("[\ue000-\ue01f]", page.text)


PIECES = [
    "**",
    "*",
    "`",
    "[图1]",
    "![图1](图1)",
    "|",
    "\n",
    "\n\n",
    "- ",
    "1. ",
    "> ",
    "#",
    "\\",
    "1280",
    "甲",
    " ",
    "_",
    "\ue000",
    "<b>",
    "&lt;",
    "&#xE000;&#xE010;",
    "[x](http://a/1280)",
    "```\n",
    "|-|-|\n",
]


@given(st.lists(st.sampled_from(PIECES), max_size=40), st.randoms(use_true_random=False))
def test_marks_change_nothing_but_themselves(pieces: list[str], chance: Any) -> None:
    """Whatever is marked, the tags nest and nothing is lost or leaks; numbers are marked whole."""
    text = "".join(pieces)
    findings = tuple(
        Finding(0, match.start(), match.end()) for match in re.finditer("1280", text) if chance.random() < 0.6
    )
    plain = Report("x", "题", (Section("", text),))
    marked = Report("x", "题", (Section("", text),), findings=findings)
    with_marks = render(marked, url)
    assert re.sub(r"</?mark[^>]*>", "", with_marks) == render(plain, url)
    assert set(Elements(with_marks).marks.values()) <= {"1280"}
    assert "http://a/" not in text or "%EE" not in with_marks


@given(st.lists(st.tuples(st.integers(-1, 2), st.integers(-2, 40), st.integers(-2, 40)), max_size=6))
def test_findings_of_another_text_do_no_harm(spans: list[tuple[int, int, int]]) -> None:
    findings = tuple(Finding(section, start, end) for section, start, end in spans)
    shown = Report("x", "题", (Section("", "**甲** 1280 ~~图~~ `1`"), Section("", "乙")), findings=findings)
    plain = Report("x", "题", shown.sections)
    assert Elements(render(shown, url)).text == Elements(render(plain, url)).text


async def test_markdown_names_the_pictures() -> None:
    text = (await markdown.write(FULL, load_picture)).decode()
    assert text.startswith("# 三月报告<i>\n\n## 一、情况\n\n采购**120台**设备")
    assert "![图1](图1.png)" in text and text.rstrip().endswith("内层**80元**")
    assert "未找到依据" not in (await markdown.write(report(), load_picture)).decode()


async def test_word_opened_again() -> None:
    document = python_docx.Document(io.BytesIO(await docx.write(FULL, load_picture)))
    styles = [(paragraph.style.name, paragraph.text) for paragraph in document.paragraphs if paragraph.text]
    assert styles[:3] == [
        ("Title", "三月报告<i>"),
        ("Heading 1", "一、情况"),
        ("Normal", "采购120台设备，见[图1]和[图9]。"),
    ]
    for style in (
        ("Caption", "图1"),
        ("Heading 2", "明细"),
        ("List Number", "单价1280元"),
        ("List Bullet 2", "内层 80元"),
    ):
        assert style in styles
    assert ("Intense Quote", "仅供参考。") in styles
    assert len(document.inline_shapes) == 2
    table, found = document.tables
    assert [[cell.text for cell in row.cells] for row in table.rows] == [["项目", "数值"], ["金额", "153,600"]]
    assert [row.cells[1].text for row in found.rows] == ["出处", "未找到依据", *["图1 左上"] * 4]
    assert found.rows[1].cells[0].text == "内层80元"


async def test_word_marks_findings_and_sets_chinese_fonts() -> None:
    document = python_docx.Document(io.BytesIO(await docx.write(FULL, load_picture)))
    runs = {run.text: run.font for paragraph in document.paragraphs for run in paragraph.runs}
    assert runs["80元"].highlight_color == WD_COLOR_INDEX.YELLOW
    assert runs["1280元"].underline == WD_UNDERLINE.DOTTED and runs["120台"].bold
    for name in ("Normal", "Title", "Heading 1", "List Number"):
        assert document.styles[name].element.rPr.rFonts.get(qn("w:eastAsia")) == "微软雅黑"


@given(st.text(st.characters(), max_size=30), st.text("*`[图1](图1)!|-\n> #~12.\x00\ud800\uffff&;", max_size=60))
@settings(max_examples=25, deadline=None)
def test_word_takes_any_text(title: str, text: str) -> None:
    for written in (text, title):
        shown = Report("x", title, (Section(title, written),), {1: Image("", "a" * 64)}, notice=title)
        assert python_docx.Document(io.BytesIO(docx.build(shown, {1: PICTURES["a" * 64]}))).inline_shapes
        assert "图1" in render(shown, url)
        assert pdf.page_of(shown, {}).encode()


async def test_word_lists_begin_where_the_text_says() -> None:
    text = "1. 甲\n2. 乙\n\n中间\n\n1. 丙\n\n结束\n\n7. 丁"
    document = python_docx.Document(io.BytesIO(await docx.write(report(text), load_picture)))
    numbers = [p._p.pPr.numPr.numId.val for p in document.paragraphs if p.style.name == "List Number"]
    assert numbers[0] == numbers[1] and len(set(numbers)) == 3
    starts = {
        num.numId: [override.startOverride.val for override in num.lvlOverride_lst]
        for num in document.part.numbering_part.element.num_lst
    }
    assert [starts[number] for number in dict.fromkeys(numbers)] == [[1], [1], [7]]


async def test_pdf_read_back(tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(await pdf.write(FULL, load_picture))
    text = run("pdftotext", "-layout", path, "-")
    for words in (
        "三月报告<i>",
        "采购120台设备，见[图1]和[图9]。",
        "单价1280元",
        "153,600",
        "仅供参考。",
        "未找到依据",
        "1/2",
    ):
        assert words in text.replace(" / ", "/"), words
    assert len(re.findall(r"(?m)^ +\d+ +\d+ image", run("pdfimages", "-list", path))) == 2
    assert re.search(r"3\. +单价", text) and re.search(r"4\. +E-04", text)
    fonts = run("pdffonts", path).splitlines()[2:]
    assert all("CJK" in font and font.split()[-5] == "yes" for font in fonts), "each is there, and embedded"


async def test_hostile_markdown_in_every_file(tmp_path: Path) -> None:
    """Nothing is fetched, nothing breaks, the words are there."""
    hostile = report(HOSTILE, "注释", title=HOSTILE[:80])
    for write in (docx.write, pdf.write, markdown.write):
        data = await write(hostile, load_picture)
        assert b"evil.example" not in data or write is markdown.write
        if write is docx.write:
            assert len(python_docx.Document(io.BytesIO(data)).inline_shapes) == 2


async def test_a_table_that_never_ends() -> None:
    rows = "\n".join(f"| {number} | {number * 7} |" for number in range(3000))
    text = f"| a | b |\n|---|---|\n{rows}"
    document = python_docx.Document(io.BytesIO(await docx.write(report(text), load_picture)))
    assert len(document.tables[0].rows) == 3001
    assert (await pdf.write(report(text), load_picture)).startswith(b"%PDF")


async def test_pictures_that_are_gone_are_said_to_be() -> None:
    async def gone(sha256: str) -> bytes:
        raise MediaError("absent", "不在了")

    document = python_docx.Document(io.BytesIO(await docx.write(FULL, gone)))
    assert not document.inline_shapes
    assert [p.text for p in document.paragraphs if "不在了" in p.text] == ["图1 已经不在了。", "图2 已经不在了。"]
    assert "图1 已经不在了。" in pdf.page_of(FULL, {})


def test_the_pdf_fetches_nothing_but_its_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    # Importing WeasyPrint, which is done in a process of its own, makes Pillow take broken pictures.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", ImageFile.LOAD_TRUNCATED_IMAGES)
    fetch = pdf._fetcher({1: PICTURES["a" * 64]})
    assert fetch("picture:1").read() == PICTURES["a" * 64]
    for address in ("picture:2", "picture:x", "file:///etc/passwd", "https://example.com/", "data:text/plain,x", ""):
        with pytest.raises(ValueError, match="own pictures"):
            fetch(address)


async def test_without_weasyprint_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DocumentFailed, match=r"pip install 'kantu\[pdf\]'"):
        await pdf.write(FULL, load_picture)


def test_a_number_that_begins_a_list_item_stays_one() -> None:
    for text in ("1280. 甲", "> 12801. 甲", "- 1280) 甲"):
        finding = Finding(0, text.index("1280"), text.index("1280") + 4)
        marked, plain = (Report("x", "题", (Section("", text),), findings=some) for some in ((finding,), ()))
        assert render(marked, url) == render(plain, url)


def test_large_pictures_shrink() -> None:
    large = encoded(noise(2600, 900), "JPEG", quality=95)
    small = shrunk(large)
    with Pillow.open(io.BytesIO(small)) as picture:
        assert max(picture.size) <= 2100 and abs(picture.width / picture.height - 2600 / 900) < 0.01
    assert len(small) < len(large) and shrunk(PICTURES["a" * 64]) == PICTURES["a" * 64]


async def test_the_process_is_stopped_when_it_takes_too_long() -> None:
    with pytest.raises(DocumentFailed, match="太长"):
        await apart.run("bot.documents.docx", FULL, {}, seconds=0.01)


async def test_a_process_that_fails_says_so_and_holds_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KANTU_TOKEN", "geheim")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "tells.py").write_text("import os\nbuild = lambda: repr(dict(os.environ)).encode()\n")
    assert b"geheim" not in await apart.run("tells")
    assert "KANTU_TOKEN" in os.environ
    (tmp_path / "fails.py").write_text("print('noise')\ndef build():\n    raise ValueError('no')\n")
    with pytest.raises(DocumentFailed, match="失败") as caught:
        await apart.run("fails")
    assert "ValueError: no" in str(caught.value.__cause__)
    await asyncio.gather(*(apart.run("tells") for _ in range(4)))


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
