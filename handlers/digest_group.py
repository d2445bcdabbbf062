"""What a group talked about: topics, decisions, open questions, who asked what; its pictures and links.

With a model the talk is summed up; without one it is counted and quoted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from bot.errors import EngineError
from bot.event import File
from bot.handler import Context
from bot.subscription import Due, Seen
from handlers.digest_checks import checked, links_of, without_links
from handlers.digest_condense import Condenser, Task
from handlers.digest_pictures import Album, album, sheet
from handlers.digest_text import Digest, section
from handlers.digest_transcript import Names, Transcript, cut, text_of

_TASK = Task(
    notes="""你是“看图”，负责整理群聊记录。把下面这一段记成要点，每条一行，保留说话人和时间：
谈了哪些话题、定了什么、还有什么没有解决、谁问了什么问题、得到什么答复。提到图片时写图号，如[图1]。""",
    final="""你是“看图”，负责写群聊日报。根据材料写成 Markdown，只用下面四节，没有内容的一节不写：
## 话题
## 决定
## 未解决的问题
## 谁问了什么
每节用“- ”开头的短句，最重要的在前；“谁问了什么”每行写成“- 人名：问题（结果）”。提到图片时写图号，如[图1]。
不写标题，不写开场白和结束语，全文不超过 600 字。""",
)
_ASKS = re.compile(
    r"[?？]|吗[。！!~～\s]*$|^(?:请问|求|谁)|怎么|为什么|如何|哪里|哪个|什么时候|多少|有没有|能不能|可不可以"
)
_DECIDES = re.compile(r"决定|定了|就这么|敲定|确认了|通过了|一致同意|改为|改到|推迟到|提前到|截止")
_MOST_LINES = 8
_QUOTE = 60
_FALLBACK = "（模型暂时不可用，以上为记录摘录）"
_READER = "（没有配置会写文章的模型，以上为记录摘录）"


async def group_digest(due: Due, seen: Sequence[Seen], context: Context) -> Digest | None:
    """None where people said nothing."""
    people = [one for one in seen if one.asker is None]
    if not people:
        return None
    pictures = await album(seen, context)
    transcript = Transcript(due, pictures.numbers or {})
    body, condenser, note = await _body(seen, transcript, pictures, context)
    files: tuple[File, ...] = await sheet(pictures.groups, context, "图片一览") if pictures.groups else ()
    parts = [_counts(people, pictures, transcript), body]
    parts += [section("图片", pictures.lines(transcript)), section("链接", _links(people, transcript.names))]
    return Digest("\n\n".join(filter(None, parts)), files, note, condenser.model, condenser.usage)


async def _body(
    seen: Sequence[Seen], transcript: Transcript, pictures: Album, context: Context
) -> tuple[str, Condenser, str]:
    condenser = Condenser(context.engines, context.cache_salt)
    lines = transcript.lines(seen)
    if not condenser.able or not lines:
        return _extract(seen, transcript), condenser, _READER if lines else ""
    names = {transcript.names.of(one.sender) for one in seen if one.asker is None}
    try:
        text = await condenser.write(lines, _TASK)
    except EngineError:
        return _extract(seen, transcript), condenser, _FALLBACK
    return checked(text, lines, pictures=len(pictures.groups), names=names), condenser, condenser.note


def _counts(people: Sequence[Seen], pictures: Album, transcript: Transcript) -> str:
    speakers = {transcript.names.of(one.sender) for one in people}
    shown = len(pictures.numbers or {}) + pictures.left_out
    return f"{len(people)} 条消息，{len(speakers)} 人发言" + (f"，{shown} 张图片" if shown else "") + "。"


# ------------------------------------------------------------- without a model


def _extract(seen: Sequence[Seen], transcript: Transcript) -> str:
    people = [one for one in seen if one.asker is None]
    speakers = Counter(transcript.names.of(one.sender) for one in people).most_common(_MOST_LINES)
    questions = [one for one in people if one.to_me or _ASKS.search(without_links(text_of(one.message), ()))]
    answers = {one.turn: one for one in seen if one.asker is not None}
    decided = [one for one in people if _DECIDES.search(text_of(one.message)) and one not in questions]
    return "\n\n".join(
        filter(
            None,
            (
                section("发言最多", [f"- {name}：{count} 条" for name, count in speakers]),
                section("可能的决定（原话）", _quoted(decided, transcript)),
                section("谁问了什么", _asked(questions, answers, transcript)),
            ),
        )
    )


def _quoted(found: Sequence[Seen], transcript: Transcript) -> list[str]:
    lines = [f"- {transcript.time(one.at)} {_words(one, transcript)}" for one in found if text_of(one.message)]
    return _limited(lines)


def _words(one: Seen, transcript: Transcript) -> str:
    return f"{transcript.names.of(one.sender)}：{cut(transcript.words(one.message), _QUOTE)}"


def _asked(questions: Sequence[Seen], answers: dict[int, Seen], transcript: Transcript) -> list[str]:
    lines: list[str] = []
    for one in questions:
        if not transcript.words(one.message):
            continue
        answer = answers.get(one.turn) if one.turn else None
        said = cut(transcript.words(answer.message), _QUOTE) if answer else ""
        end = f" → {said}" if said else "（看图没有答复）" if one.to_me else ""
        lines.append(f"- {transcript.time(one.at)} {_words(one, transcript)}{end}")
    return _limited(lines)


def _limited(lines: list[str]) -> list[str]:
    """The newest, and how many more there are."""
    over = len(lines) - 2 * _MOST_LINES
    return [*([f"- 另有较早的 {over} 条"] if over > 0 else []), *lines[-2 * _MOST_LINES :]]


def _links(people: Sequence[Seen], names: Names) -> list[str]:
    found: dict[str, Seen] = {}
    for one in people:
        for link in links_of(text_of(one.message)):
            found.setdefault(link, one)
    return [f"- {names.of(one.sender)}：{link}" for link, one in list(found.items())[: 2 * _MOST_LINES]]
