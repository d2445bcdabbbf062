"""From what a text names to the pictures that are meant."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from bot.message import Image
from bot.references.names import AND, compared, mentions
from bot.references.scene import Known, Pictures, Scene, Unclear, survey, without

#: Characters looked at, at either end: a longer text is a paste, and what it says about pictures is content.
_READ = 2000
_BEFORE = 12

_EXCEPT = re.compile(r"(?:除了?|除去|排除|去掉|忽略|跳过|不管|别看|(?<![要看用])不(?:要看?|看|用看))$")
_NOT = re.compile(r"(?:^|[,。.;!?\s]|[说问指要看发]的)(?:并|才)?不是$")
_WITH_IT = re.compile(r"[和与跟同比](?:它|这个)|(?:它|这个)[和与跟同比]")
_SMALL_TALK = re.compile(
    r"(?:你好|您好|hi|hello|嗨|哈喽|在吗|在么|谢谢?|多谢|感谢|thanks?|thx|好的?|行|嗯|ok|okay|收到|明白|知道|懂|辛苦|"
    r"再见|拜拜?|晚安|早安|早上好|上午好|中午好|下午好|晚上好|哈|6{2,}|没事|不用|不客气|厉害|真棒|[你您们啊呀哦噢啦了呢吧的\W])++",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(
    r"你是谁|你叫什么|你(?:会|能)(?:做|干)?(?:什么|啥)|[讲说]个?笑话|天气怎|今天(?:是)?(?:星期|周|礼拜|几号)|现在几点"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """The pictures meant, in the conversation's order; or none and `ask`, a Chinese question back to the user."""

    images: Pictures
    ask: str = ""


@dataclass(frozen=True, slots=True)
class _Named:
    """meant: pictures named. gone: pictures left out; refused: one of them by 不是, which says nothing of the rest.
    beside: what is named is joined to something that is not (和图1比)."""

    meant: Pictures
    gone: Pictures
    refused: bool
    beside: bool


def resolve(
    text: str,
    new: Sequence[Image],
    known: Sequence[Known],
    quoted: Sequence[Image] = (),
    focus: Sequence[Image] = (),
    turn: int | None = None,
) -> Reference:
    """The pictures that `text` means, by the table of this package; never raises.

    new: sent along. known: earlier ones, oldest first. quoted: in a message replied to. focus: what the previous
    turn was about. turn: the number of this turn, where known.
    """
    scene = survey(new, known, quoted, focus, turn)
    if not scene.everything:
        return Reference(())
    # Full-width digits and letters are digits and letters.
    words = unicodedata.normalize("NFKC", text)
    if len(words) > 2 * _READ:
        words = f"{words[:_READ]}\0{words[-_READ:]}"
    try:
        return Reference(scene.ordered(_meant(words, scene)))
    except Unclear as unclear:
        return Reference((), str(unclear))


def names_pictures(text: str) -> bool:
    """The text names pictures in some way (图2, 第二张, 刚才那张, 这张 …)."""
    return bool(mentions(unicodedata.normalize("NFKC", text)[: 2 * _READ]))


def _meant(text: str, scene: Scene) -> Pictures:
    named = _named(text, scene)
    if not named.meant:
        return _rest(named, scene) if named.gone else _unnamed(text, scene)
    if set(named.meant) <= set(scene.here):
        return without(named.meant, named.gone)
    along = (scene.here or scene.topic) if scene.new or named.beside else ()
    return without((*along, *named.meant), named.gone)


def _named(text: str, scene: Scene) -> _Named:
    meant: list[Image] = []
    gone: list[Image] = []
    refused = out = False
    beside = _WITH_IT.search(text) is not None
    end = 0
    for mention in mentions(text):
        before = text[max(0, mention.start - _BEFORE) : mention.start]
        denied = _NOT.search(before) is not None
        # 除了图1和第三张: the exception goes on.
        goes_on = out and re.fullmatch(rf"\s*{AND}\s*", text[end : mention.start]) is not None
        out = denied or goes_on or _EXCEPT.search(before) is not None
        refused |= denied
        end = mention.end
        beside |= not meant and compared(before)
        (gone if out else meant).extend(mention.pick(mention.match, scene))
    return _Named(tuple(meant), tuple(gone), refused, beside)


def _rest(named: _Named, scene: Scene) -> Pictures:
    """All at hand but those left out."""
    if scene.here and set(scene.here) <= set(named.gone):
        # 除了这张还有别的办法吗: what was sent for the question cannot all be left out.
        return scene.here
    left = without(scene.group, named.gone) or without(scene.everything, named.gone)
    if len(left) > 1 and named.refused:
        raise scene.unclear(among=left)
    return left


def _unnamed(text: str, scene: Scene) -> Pictures:
    words = text.strip()
    if scene.here:
        return scene.here
    small_talk = re.search(r"\w", words) is not None and _SMALL_TALK.fullmatch(words) is not None
    return () if small_talk or _ELSEWHERE.search(words) or words.startswith("/") else scene.topic
