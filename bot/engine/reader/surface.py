"""Questions about the whole picture: all its text, its title, its size, its colours, what it contains."""

from __future__ import annotations

import re

from bot.engine.reader.contents import Contents
from bot.engine.reader.finding import Finding
from bot.engine.reader.layout import Block
from bot.engine.reader.page import Box, Colour, Line
from bot.engine.reader.question import Question

_TRANSCRIBE = re.compile(
    r"(?:提取|识别|抄写?|转写|转录|摘录|念|读|打|翻录|复制|输出)(?:一?下|出来?|成)?.{0,8}(?:文字|文本|内容|字)"
    r"|(?:文字|文本|内容|字).{0,6}(?:提取|识别|抄|转写|转成|读出|念|打出|发给我|复制|列出|输出)|全文|完整(?:文字|内容)|OCR|ocr"
    r"|有(?:什么|哪些|啥)(?:文字|字|内容)|(?:文字|字)(?:是|有)(?:什么|哪些|啥)"
)
_WRITTEN = re.compile(r"写了?(?:的)?(?:是)?(?:什么|啥|哪些|些什么)|上面(?:写|有)|写着(?:什么|啥)")


def transcribe(question: Question, page: Contents) -> Finding | None:
    """All text in reading order."""
    text = question.text
    bare = _WRITTEN.search(text) and not _content(_WRITTEN.sub("", text))
    if not (_TRANSCRIBE.search(text) or bare) or re.search(r"格", text):
        return None
    if not page.page.lines:
        return Finding("图中没有读到文字", ())
    return Finding(full_text(page), page.page.lines)


def _content(text: str) -> str:
    return re.sub(
        r"[\s?？。!！,，]|这|张|图片?|截图|里面?|中|上面?|的|都|请|帮我|看看|一下|它|页面|照片|纸|单子|屏幕", "", text
    )


def full_text(page: Contents) -> str:
    """Rows side by side become one line; wrapped lines become one paragraph."""
    shown: set[int] = set()
    home = {id(line): block for block in page.blocks for line in block.lines}
    row_of = {id(line): row for row in page.rows for line in row}
    out: list[str] = []
    for line in page.page.lines:
        if id(line) in shown:
            continue
        block, row = home[id(line)], row_of[id(line)]
        group = block.lines if len(block.lines) > 1 else _free(row, home, shown)
        shown |= {id(item) for item in group}
        out.append(block.text if len(block.lines) > 1 else "  ".join(item.text for item in group))
    return "\n".join(out)


def _free(row: tuple[Line, ...], home: dict[int, Block], shown: set[int]) -> tuple[Line, ...]:
    return tuple(line for line in row if len(home[id(line)].lines) == 1 and id(line) not in shown)


# --- looks -----------------------------------------------------------------------------------------------

_SIZE = re.compile(r"分辨率|像素|(?:图片?|截图|照片|图标).{0,4}(?:尺寸|多大|宽高|长宽|大小)|多宽|多高(?!.*[人山楼])")
_COLOUR = re.compile(
    r"主色|主要颜色|主体颜色|色调|(?:图标|图片|整体|画面|背景|底色|logo|这张图|头像|符号|图案|页面).{0,6}(?:颜色|什么色|色)|底色|主要是什么颜色"
)
_HAS_TEXT = re.compile(r"(?:有没有|是否有|有无|含不含|包含)(?:文)?字|有(?:文)?字[吗么嘛]")


def look(question: Question, page: Contents) -> Finding | None:
    """Size, colours, whether there is text: measured, not read."""
    text = question.text
    if _SIZE.search(text):
        return Finding(f"图片大小：{page.page.width}×{page.page.height} 像素", ())
    if _HAS_TEXT.search(text):
        count = sum(len(line.text) for line in page.page.lines)
        return Finding(f"有文字，读到 {len(page.page.lines)} 行共 {count} 个字符" if count else "没有读到文字", ())
    if re.search(r"多大|尺寸|大小", text) and not page.page.lines:
        return Finding(f"图片大小：{page.page.width}×{page.page.height} 像素", ())
    bare = re.search(r"什么颜色|啥颜色|颜色是", text) and not page.page.lines and page.page.width <= 512
    if not (_COLOUR.search(text) or bare) or not page.page.colours:
        return None
    return _colour(text, page)


def _colour(text: str, page: Contents) -> Finding:
    found = page.page.colours
    if re.search(r"背景|底色", text) and page.page.background:
        return Finding(f"背景色：{page.page.background}", ())
    if re.search(r"符号|图案|字母|线条", text) and len(found) > 1:
        return Finding(f"底色 {_share(found[0])}，图案 {_share(found[1])}", ())
    main = _main(found)
    rest = "、".join(_share(colour) for colour in found if colour is not main)
    return Finding(f"主色：{_share(main)}" + (f"；其他：{rest}" if rest else ""), ())


def _main(found: tuple[Colour, ...]) -> Colour:
    """The largest colour that is not white, black or grey, if it is more than a trifle."""
    bright = [c for c in found if c.name not in ("白色", "黑色", "灰色") and c.share > 0.12]
    return bright[0] if bright else found[0]


def _share(colour: Colour) -> str:
    return f"{colour.name}（{colour.hex}，约 {round(100 * colour.share)}%）"


# --- title and contents ----------------------------------------------------------------------------------

_TITLE = re.compile(r"标题|题目(?:是|叫)|题名|(?:文章|漫画|图表|这篇|故事|作品|表)的?(?:名字|名称|叫什么)|主题是")
_SUMMARY = re.compile(
    r"(?:讲|介绍|内容|表达|描述)了?(?:的是|的|是)?(?:什么|啥|哪些)|主要内容|总结|概括|概述|摘要|这是(?:一?张)?(?:什么|啥)(?:图|页面|单|表|东西|截图|文件)?|是什么(?:图|页面|单据|报告|表|截图)"
)


def title(question: Question, page: Contents) -> Finding | None:
    """The line set largest near the top."""
    found = headline(page) if _TITLE.search(question.text) else None
    return None if found is None else Finding(f"标题：{found.text}", found.lines)


def headline(page: Contents) -> Block | None:
    """The largest words in the upper part of a page, or None on a page without words."""
    upper = [
        b for b in page.blocks if b.box.top < 0.4 * page.page.height and re.search(r"[\u4e00-\u9fffA-Za-z]{2}", b.text)
    ]
    if not upper:
        return None
    tallest = max(block.lines[0].box.height for block in upper)
    first = next(block for block in upper if block.lines[0].box.height > 0.85 * tallest)
    row = [b for b in upper if len(b.lines) == 1 and _continues_title(first.lines[0].box, b.lines[0].box)]
    return Block((*first.lines, *(b.lines[0] for b in row))) if len(first.lines) == 1 and row else first


def _continues_title(first: Box, other: Box) -> bool:
    """The rest of one centred title, which a wide space or a bracket cut off."""
    level = first.overlap_y(other) > 0.7 * first.height and abs(first.height - other.height) < 0.25 * first.height
    return level and -first.height < other.left - first.right < 1.5 * first.height


def summary(question: Question, page: Contents) -> Finding | None:
    """Title, fields and first sentences, in the page's own words."""
    if not _SUMMARY.search(question.text) or sum(len(line.text) for line in page.page.lines) < 15:
        return None
    found = headline(page)
    parts = [f"标题：{found.text}"] if found else []
    parts += [
        f"{fact.key}：{fact.value}"
        for fact in page.facts
        if not fact.table and not (found and fact.lines[0] in found.lines)
    ][:6]
    if len(parts) < 4:
        prose = [
            block for block in page.blocks if len(block.text) >= 6 and block is not found and not _in_facts(block, page)
        ]
        parts += [f"「{block.text}」" for block in prose[:5]]
    return Finding("按图中文字：\n" + "\n".join(parts), page.page.lines, 0.8)


def _in_facts(block: Block, page: Contents) -> bool:
    return any(block.lines[0] in fact.lines for fact in page.facts)
