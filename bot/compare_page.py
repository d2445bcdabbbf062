"""A comparison as an HTML page that stands alone: styles and pictures inside, no script, nothing fetched.

Everything a model or a user wrote is escaped; the page's own policy forbids scripts as well.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from html import escape

from bot.columns import printable
from bot.compare import Comparison, Side
from bot.measure import show_bytes
from bot.message import Image

_STYLE = """
:root { --paper: #faf9f6; --card: #fff; --ink: #1e2422; --soft: #5d6763; --line: #e3e1da; --tint: #edf3ef;
  --light: #1d6f5a; --heavy: #b0702a; --wrong: #b3261e; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --paper: #141716; --card: #1d2120; --ink: #e8ebe9; --soft: #9aa5a0;
  --line: #303634; --tint: #232927; --light: #5fc2a2; --heavy: #e0a463; --wrong: #ff9a8f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.7 system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC", sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { margin: 0; font-size: .875rem; font-weight: 600; color: var(--soft); letter-spacing: .08em; }
.question { margin: .25rem 0 1.25rem; font-size: 1.5rem; font-weight: 600; line-height: 1.45; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.pictures { display: flex; flex-wrap: wrap; gap: .75rem; margin-bottom: 1.5rem; }
figure { margin: 0; }
figure img { display: block; max-width: 100%; max-height: 18rem; border: 1px solid var(--line); border-radius: .75rem;
  background: #fff; }
figcaption { margin-top: .25rem; color: var(--soft); font-size: .8125rem; }
.note { margin: 0 0 1.5rem; padding: .75rem 1rem; border-left: 3px solid var(--heavy); background: var(--tint);
  border-radius: 0 .5rem .5rem 0; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); gap: 1.25rem; }
section { --accent: var(--light); padding: 1.25rem 1.5rem 1.5rem; background: var(--card); min-width: 0;
  border: 1px solid var(--line); border-top: 4px solid var(--accent); border-radius: .75rem; }
section.heavy { --accent: var(--heavy); }
h2 { margin: 0 0 .75rem; font-size: 1.125rem; overflow-wrap: anywhere; }
h2 small { margin-right: .5rem; color: var(--accent); font-size: .875rem; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .125rem 1rem; margin: 0 0 1rem; font-size: .875rem; }
dt { color: var(--soft); }
dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; }
.bars { margin: 0 0 1.25rem; padding: .75rem 0; border-block: 1px solid var(--line); font-size: .8125rem; }
.bars div { display: grid; grid-template-columns: 3rem 1fr 7.5rem; align-items: center; gap: .75rem; }
.bars span:first-child { color: var(--soft); }
.bars i { display: block; height: .5rem; border-radius: .25rem; background: var(--accent); }
.bars b { font-weight: 500; text-align: right; font-variant-numeric: tabular-nums; }
.answer { white-space: pre-wrap; overflow-wrap: anywhere; }
.answer.error { color: var(--wrong); }
.cut { color: var(--soft); font-size: .8125rem; }
footer { margin-top: 2rem; color: var(--soft); font-size: .8125rem; }
"""


def render_page(found: Comparison) -> str:
    """The whole page."""
    pictures = "".join(map(_picture, found.images, found.pictures))
    sides = "".join(_section(side, found.sides) for side in found.sides)
    note = f'<p class="note">{_text(found.note)}</p>' if found.note else ""
    return f"""<!doctype html>
<html lang="zh-CN">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>看图 · 模型对比</title>
<style>{_STYLE}</style>
</head>
<body><main>
<h1>看图 · 模型对比</h1>
<p class="question">{_text(found.question)}</p>
{f'<div class="pictures">{pictures}</div>' if pictures else ""}
{note}
<div class="sides">{sides}</div>
<footer>模型依次回答，互不影响；首字是提问到第一个字的时间，速度不含首字。</footer>
</main></body>
</html>
"""


def _text(text: str) -> str:
    return escape(printable(text))


def _picture(image: Image, data: bytes) -> str:
    inside = base64.b64encode(data).decode("ascii")
    return (
        f'<figure><img alt="图{image.index}" src="data:{escape(image.mime_type)};base64,{inside}">'
        f"<figcaption>图{image.index}　{image.width}×{image.height}</figcaption></figure>"
    )


def _section(side: Side, sides: tuple[Side, ...]) -> str:
    rows = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in side.figures())
    role, _, name = side.title.partition(" ")
    return (
        f'<section class="{side.role}"><h2><small>{_text(role)}</small>{_text(name)}</h2>'
        f"{'' if side.error else _bars(side, sides)}<dl>{rows}</dl>{_answer(side)}</section>"
    )


def _answer(side: Side) -> str:
    if side.error:
        return f'<p class="answer error">没有回答：{_text(side.error)}</p>'
    cut = '<p class="cut">（到了长度上限，没有写完）</p>' if side.finish_reason == "length" else ""
    return f'<div class="answer">{_text(side.answer)}</div>{cut}'


def _bars(side: Side, sides: tuple[Side, ...]) -> str:
    """Both sides' bars have one scale."""

    def row(name: str, value: Callable[[Side], float], shown: str) -> str:
        largest = max(value(one) for one in sides)
        share = 100 * value(side) / largest if largest else 0.0
        return f'<div><span>{name}</span><i style="width:{share:.1f}%"></i><b>{shown}</b></div>' if share else ""

    rows = (
        row("首字", lambda one: one.first_token, f"{side.first_token:.3f} 秒"),
        row("速度", lambda one: one.tokens_per_second, f"{side.tokens_per_second:.1f} 词元/秒"),
        row("占用", lambda one: sum(one.memory.values()), show_bytes(sum(side.memory.values()))),
    )
    return f'<div class="bars">{"".join(rows)}</div>' if any(rows) else ""
