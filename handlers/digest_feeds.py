"""What feeds published: titles with their links, summed up by a model where there is one; broken feeds named."""

from __future__ import annotations

from collections.abc import Sequence

from bot.errors import EngineError
from bot.feeds import Entry, gather
from bot.handler import Context
from bot.subscription import Due
from handlers.digest_checks import checked
from handlers.digest_condense import Condenser, Task
from handlers.digest_text import Digest, section
from handlers.digest_transcript import Transcript, cut, neutral

_TASK = Task(
    notes="你是“看图”，负责整理资讯。把下面的资讯记成要点，每条一行，保留来源、数字和名称。",
    final="""你是“看图”，负责写资讯简报。根据材料写 3 到 8 条“- ”开头的短句，重要的在前，说同一件事的合并，写明来源。
不写标题、开场白和结束语，不超过 400 字。""",
)
_LISTED = 20
_TEXT = 600
_SHOWN = 60
_NO_FETCH = "（这里不能访问网络，取不到订阅的内容）"


async def feeds_digest(due: Due, context: Context) -> Digest | None:
    """None where nothing is new and nothing is broken."""
    if context.fetch is None:
        return Digest(_NO_FETCH)
    found = await gather(context.fetch, due.subscription.sources, due.since, due.until)
    problems = [f"- {neutral(problem)}" for problem in found.problems]
    if not found.entries:
        return Digest(section("没有取到的来源", problems)) if problems else None
    transcript = Transcript(due)
    condenser = Condenser(context.engines, context.cache_salt)
    summary = await _summary(found.entries, transcript, condenser)
    listed = [_listed(entry, transcript, bare=bool(summary)) for entry in found.entries[:_LISTED]]
    over = len(found.entries) - _LISTED
    parts = [f"{len(found.entries)} 条新内容。", summary]
    parts += [section("全部内容", [*listed, *([f"- 另有 {over} 条"] if over > 0 else [])])]
    parts += [section("没有取到的来源", problems)]
    return Digest("\n\n".join(filter(None, parts)), (), condenser.note, condenser.model, condenser.usage)


async def _summary(entries: Sequence[Entry], transcript: Transcript, condenser: Condenser) -> str:
    if not condenser.able:
        return ""
    lines = [_line(entry, transcript) for entry in entries]
    try:
        return checked(await condenser.write(lines, _TASK), lines)
    except EngineError:
        condenser.note = "（模型暂时不可用，没有写摘要）"
        return ""


def _line(entry: Entry, transcript: Transcript) -> str:
    text = cut(neutral(entry.text), _TEXT)
    return f"[{transcript.time(entry.at or 0.0)}] {neutral(entry.feed)}：{neutral(entry.title)}。{text}"


def _listed(entry: Entry, transcript: Transcript, *, bare: bool) -> str:
    """bare: the text is summed up elsewhere."""
    text = "" if bare or not entry.text or entry.text == entry.title else f"：{cut(neutral(entry.text), _SHOWN)}"
    link = f" {entry.link}" if entry.link else ""
    return f"- {neutral(entry.feed)}《{cut(neutral(entry.title), _SHOWN)}》{text}{link}"
