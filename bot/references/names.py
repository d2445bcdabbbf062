"""How pictures are named in a text: one pattern and one meaning per way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bot.message import Image
from bot.references.numerals import NO_SUCH, numbers, span
from bot.references.scene import Pictures, Scene, without

Pick = Callable[[re.Match[str], Scene], Pictures]

AND = r"(?:以及|还有|and|[和与跟同及、,/+&])"
#: the text puts what it names beside the message's own pictures
JOINED = re.compile(r"[和与跟同比、]|对照|结合|加上|还有|一起|它|这个?(?!几)")
# 和图1比: with what we talk about.
_COMPARED = re.compile(r"(?:^|[,。.;!?\s再那请就]|把?(?:它们?|这个?))(?:[和与跟同]|加上|还有)$")

_NUM = r"(?:[0-9]++|[〇零一二两俩三四五六七八九十百]++)"
_PIC = r"(?:图片|图像|截图|照片|相片|图|(?i:image|picture|photo|pic))"
_ONE = rf"(?:[张幅]|个(?={_PIC}))"
_TO = r"(?:[-~—–]+|至|到)"
# 图3张 is a count, 图3.2 and 图2a are figures of a document, 图一样 and 图二维码 are words.
_WORD = r"(?<=[一二两三四五六七八九十])(?:下(?![面方边角半])|[乐个样些起点直定般共并致目旦维手次楼国角格])"
_TAIL = rf"(?!\s*[张幅种份页]|\.[0-9]|[A-Za-z](?![A-Za-z])|{_WORD})"
_BARE_TAIL = rf"{_TAIL}(?!\s*[0-9年月日号天时点秒元块%万千百个人岁次条件行列位款家倍]|\s*分(?!别))"
_OPEN, _CLOSE = r"\s*[#\[(【]?\s*", r"\s*[\])】]?"
_LABEL = rf"{_PIC}{_OPEN}{_NUM}{_TAIL}{_CLOSE}"
# 地图, 意图 are words, 附图 is a figure of a document, 这张图3个人 counts people.
_NOT_BEFORE = r"(?<![地企试意贪力版宏海蓝贴草附插题截张幅这那个些小])"
_CHAIN = rf"{_NOT_BEFORE}{_LABEL}(?:\s*(?:{AND}|{_TO})\s*(?:{_LABEL}|{_NUM}{_BARE_TAIL}))*"
_ORDINAL = (
    rf"(?P<back>倒数)?第\s*{_NUM}(?:\s*(?:{_ONE}\s*{_PIC}?)?\s*(?:{AND}|{_TO})\s*(?:倒数)?第?\s*{_NUM})*\s*{_ONE}"
)
_STEP = re.compile(rf"(?P<to>{_TO})?\s*(?P<pic>{_PIC})?{_OPEN}第?\s*(?P<num>{_NUM})")
_COUNTED_THING = re.compile(
    r"(?:电子|增值税)?(?:发票|[小车机门钞]?票|收据|[账订清罚]?单|试?卷|[名银]?[卡片牌]|海报|幻灯|纸|证|表(?!情))"
)
_TABLE = re.compile(r"(?:报|工作)?表(?!情)")
_INSIDE = re.compile(r"(?<![话群天其])[里中文]面?的?$")

#: 图2里第二张发票 (图2 is blanked by then); but 这些图里第二张
_INSIDE_ONE = re.compile(r"(?:(?<!些)图|[0-9页件\0])[里中]面?的?$")
#: 红色的那张: pixels tell; but 我说的那张
_LOOKS = re.compile(r"(?:(?<![说发问传拍要])的|[色边侧]|最[一-鿿]{1,2})$")

_SENT = r"(?:[我你他她])?(?:上传|发送|[发传拍给说问])?(?:给你)?[过了]?的?"
_THAT = r"[这那]?一?"
_EARLIER = r"(?:上[面边方]|以上|上述|刚刚?才?|[之以]前|此前|先前|前面|早先|上次|[这那])"
_SEVERAL = rf"(?![一1]{_ONE})(?P<num>{_NUM})\s*"
#: Book titles and longer quotations are about somebody else's pictures.
_CITED = re.compile(r"《[^《》]*》|“[^“”]{7,}”|「[^「」]{7,}」")


@dataclass(frozen=True, slots=True)
class Mention:
    """A piece of the text that names pictures, and how to tell which."""

    start: int
    end: int
    pick: Pick
    match: re.Match[str]


def mentions(text: str) -> list[Mention]:
    """All of them in reading order; each piece of text is taken by the first rule that fits."""
    left = _CITED.sub(_blank, text)
    found: list[Mention] = []
    for pattern, pick in _RULES:
        found += [Mention(match.start(), match.end(), pick, match) for match in pattern.finditer(left)]
        left = pattern.sub(_blank, left)
    return sorted(found, key=lambda mention: mention.start)


def compared(before: str) -> bool:
    """What follows `before` is named beside something unnamed."""
    return _COMPARED.search(before) is not None


def _blank(match: re.Match[str]) -> str:
    return "\0" * len(match[0])


def _before(match: re.Match[str]) -> str:
    return match.string[max(0, match.start() - 8) : match.start()]


def _after(match: re.Match[str]) -> str:
    return match.string[match.end() : match.end() + 8].lstrip()


# ---------------------------------------------------------------- by number


def _numbered(match: re.Match[str], scene: Scene) -> Pictures:
    """图3, 图1和图3, 图1到3, 图1、2."""
    if _INSIDE.search(_before(match)):
        return ()
    wanted: list[int] = []
    for step in _STEP.finditer(match[0]):
        found = numbers(step["num"])
        if step["to"]:
            if not step["pic"] and step["to"][0] in "-—–" and not _is_range(wanted[-1], found[0], scene):
                return ()
            found = span(wanted[-1], found[0])
        elif not step["pic"]:
            # 图1和30多条: a bare number that is no picture's is content.
            found = [number for number in found if scene.number(number)]
        wanted += found
    as_shown = _before(match).endswith(("如", "见"))
    return () if as_shown and not all(map(scene.number, wanted)) else _by_number(wanted, scene)


def _is_range(first: int, last: int, scene: Scene) -> bool:
    return first < last and None not in (scene.number(first), scene.number(last))


def _by_number(wanted: Iterable[int], scene: Scene) -> Pictures:
    found: list[Image] = []
    for number in wanted:
        image = scene.number(number)
        if image is None:
            raise scene.unclear(f"没有图{number}。" if number < NO_SUCH else "没有这个编号的图。")
        found.append(image)
    return tuple(found)


def _ordinal(match: re.Match[str], scene: Scene) -> Pictures:
    """第二张, 第1、3张, 倒数第二张."""
    wanted: list[int] = []
    for step in _STEP.finditer(match[0]):
        found = numbers(step["num"])
        wanted += span(wanted[-1], found[0]) if step["to"] and wanted else found
    if match["back"]:
        return _from_back(wanted, scene)
    if _INSIDE_ONE.search(_before(match)):
        return ()
    if max(wanted) <= len(scene.counted):
        return tuple(scene.counted[number - 1] for number in wanted if number)
    thing = _after(match)
    content = _TABLE.match(thing) or (_COUNTED_THING.match(thing) and not all(map(scene.number, wanted)))
    return () if content else _by_number(wanted, scene)


def _from_back(wanted: list[int], scene: Scene) -> Pictures:
    if max(wanted) > len(scene.everything):
        raise scene.unclear(f"没有倒数第{max(wanted)}张。")
    return tuple(scene.everything[-number] for number in wanted if number)


def _labelled(match: re.Match[str], scene: Scene) -> Pictures:
    """2号图, P2: as posts label their pictures; what does not exist is content."""
    number = _count(match)
    place = scene.counted[number - 1] if 0 < number <= len(scene.counted) else scene.number(number)
    return (place,) if place else ()


# ---------------------------------------------------------------- so many


def _count(match: re.Match[str]) -> int:
    return numbers(match["num"])[0] if match["num"] else 1


def _last(pool: Pictures, count: int, scene: Scene) -> Pictures:
    if count > len(pool):
        raise scene.unclear(f"没有{count}张图片可选。")
    return pool[-count:] if count else ()


def _newest(match: re.Match[str], scene: Scene) -> Pictures:
    """最后一张, 后两张."""
    return _last(scene.everything, _count(match), scene)


def _first(match: re.Match[str], scene: Scene) -> Pictures:
    """前两张, 首张."""
    count = _count(match)
    pool = scene.counted if len(scene.counted) >= count else scene.everything
    return _last(pool[:count], count, scene)


def _front(match: re.Match[str], scene: Scene) -> Pictures:
    """前面两张: the first of a longer burst, else the last ones before this message."""
    count = _count(match)
    return scene.counted[:count] if len(scene.counted) > count else _last(scene.earlier, count, scene)


def _above(match: re.Match[str], scene: Scene) -> Pictures:
    """上面两张, 之前两张, 这三张."""
    count, where = _count(match), match["where"]
    if where in ("这", "那"):
        # 这三张 of one picture: three things in it.
        return _exactly(count, scene) or scene.everything[-count:] if 0 < count <= len(scene.everything) else ()
    if len(scene.here) == count:
        return scene.here
    before = where in ("之前", "以前", "此前", "先前", "早先", "上次")
    return _last(scene.earlier if before and scene.earlier else scene.everything, count, scene)


def _exactly(count: int, scene: Scene) -> Pictures:
    pools = (scene.here,) if scene.here else (scene.focus, scene.burst)
    return next((pool for pool in (*pools, scene.everything) if len(pool) == count), ())


def _some(match: re.Match[str], scene: Scene) -> Pictures:
    """三张截图, 两张对比一下: so many as there are; otherwise the number counts something else."""
    count = _count(match)
    if count < 2:
        return ()
    enough = match["pic"] is not None and len(scene.here) < count <= len(scene.everything)
    return _exactly(count, scene) or (scene.everything[-count:] if enough else ())


# ---------------------------------------------------------------- by place


def _back(match: re.Match[str], scene: Scene) -> Pictures:
    """上一张, 上上张, 前一张."""
    steps = match["up"].count("上") or 1
    pool = scene.earlier or scene.everything
    if not scene.here and compared(_before(match)) and scene.topic[0] in pool[1:]:
        # 跟上一张比: the one before what we talk about.
        pool = pool[: pool.index(scene.topic[0])]
    if steps > len(pool):
        raise scene.unclear("前面没有这张图。")
    return (pool[-steps],)


def _next(match: re.Match[str], scene: Scene) -> Pictures:
    """下一张: after what is talked about; nothing where that is the last."""
    pool = scene.everything
    place = pool.index(scene.focus[-1]) + 1 if scene.focus and scene.focus[-1] in pool else len(pool)
    return pool[place : place + 1]


def _just_now(match: re.Match[str], scene: Scene) -> Pictures:
    """刚才那张, 刚发的图, 上图."""
    if scene.here and not (scene.earlier and JOINED.search(match.string)):
        return scene.here
    sent = re.search("[发传拍]", match[0]) is not None
    pool = scene.burst if sent or (len(scene.focus) > 1 and len(scene.burst) == 1) else scene.topic
    return _single(pool, scene) if match["one"] else pool


def _previous(match: re.Match[str], scene: Scene) -> Pictures:
    """之前那张."""
    pool = scene.earlier or scene.everything
    if scene.here or not scene.focus or scene.focus[0] not in pool:
        return pool[-1:]
    return (pool[max(pool.index(scene.focus[0]) - 1, 0)],)


def _earliest(match: re.Match[str], scene: Scene) -> Pictures:
    return scene.everything[:1]


def _middle(match: re.Match[str], scene: Scene) -> Pictures:
    pool = scene.group
    if len(pool) % 2 == 0:
        raise scene.unclear(among=pool)
    return (pool[len(pool) // 2],)


# ---------------------------------------------------------------- by what they are beside


def _other(match: re.Match[str], scene: Scene) -> Pictures:
    """另一张, 其余两张, 其他图."""
    done = scene.here or scene.topic
    pools = [without(pool, done) for pool in (scene.siblings, scene.everything)]
    if match["num"] or (match["single"] and not match["some"]):
        pools = [pool for pool in pools if len(pool) == _count(match)]
    for pool in pools:
        if pool:
            return pool
    raise scene.unclear()


def _all(match: re.Match[str], scene: Scene) -> Pictures:
    return scene.everything


def _group(match: re.Match[str], scene: Scene) -> Pictures:
    return scene.group


def _both(match: re.Match[str], scene: Scene) -> Pictures:
    """这张和那张."""
    if scene.here:
        return (*scene.here, *_single(without(scene.topic, scene.here), scene))
    if len(scene.group) != 2:
        raise scene.unclear()
    return scene.group


def _this(match: re.Match[str], scene: Scene) -> Pictures:
    """这张, 那张, 那张发票."""
    that = match[0][0] == "那"
    if scene.here and not (that and scene.earlier and JOINED.search(match.string)):
        return scene.here
    described = _described(match, scene) if that else ()
    if not described and that and _LOOKS.search(_before(match)):
        return scene.group
    return described or (_single(scene.topic, scene) if re.search("[张幅个]", match[0]) else scene.topic)


def _single(pool: Pictures, scene: Scene) -> Pictures:
    if len(pool) > 1:
        raise scene.unclear(among=pool)
    return pool


def _described(match: re.Match[str], scene: Scene) -> Pictures:
    """那张发票, 有猫的那张: the only picture whose description has the word."""
    after = re.split(r"[^一-鿿]", _after(match))[0]
    before = re.split(r"[^一-鿿]", _before(match).removesuffix("的"))[-1]
    words = [after[:size] for size in (4, 3, 2) if len(after) >= size]
    words += [before[-size:] for size in (4, 3, 2, 1) if len(before) >= size]
    for word in words:
        found = [image for image, line in scene.descriptions.items() if word in line]
        if len(found) == 1:
            return tuple(found)
    return ()


#: The first rule that fits a piece of text has it.
_RULES: tuple[tuple[re.Pattern[str], Pick], ...] = tuple(
    (re.compile(pattern), pick)
    for pattern, pick in (
        (_CHAIN, _numbered),
        (_ORDINAL, _ordinal),
        (r"[这该]一?[张幅个].{0,6}?那一?[张幅]", _both),
        (rf"(?:最[后新近末]|末尾|倒数){_SENT}[这那]?(?P<num>{_NUM})?(?:{_ONE}|{_PIC})", _newest),
        (rf"(?<![桌图墙地晚早手线面床身脸头书网页以马纸])(?P<up>上++|(?<![之以目提])前)一?{_ONE}", _back),
        (rf"(?:下|(?<![最之以])后)一{_ONE}", _next),
        (rf"前面{_SEVERAL}{_ONE}", _front),
        (rf"(?:(?<![之以目])前|(?<!镜)头)(?P<num>{_NUM})\s*{_ONE}|首[张图]", _first),
        (rf"(?P<num>{_NUM})号{_PIC}", _labelled),
        (r"(?<![A-Za-z0-9])[Pp](?P<num>[0-9]{1,2})(?![A-Za-z0-9.])", _labelled),
        (rf"(?<![之以然])后面?{_SEVERAL}{_ONE}", _newest),
        (rf"(?P<where>{_EARLIER}){_SENT}[这那]?{_SEVERAL}(?:{_ONE}|{_PIC})", _above),
        (rf"(?:最早|最开始|一开始|最初|开头|起初|第一次){_SENT}{_THAT}(?:{_ONE}|{_PIC})", _earliest),
        (rf"中间的?{_THAT}{_ONE}", _middle),
        (rf"(?:所有|全部|全体)(?:的|这些|发的)*(?:{_PIC}|张)|{_PIC}(?:全部|全都)", _all),
        (
            rf"(?:另外?|其[他它余]|剩[下余]|余下|别(?=的)|还有(?=[一那]张))的?[这那]?"
            rf"(?:(?P<num>{_NUM})|(?P<some>几))?(?:(?P<single>{_ONE})|{_PIC})",
            _other,
        ),
        (rf"[每各哪]一?{_ONE}|哪[几两三]{_ONE}|[这那哪]些{_PIC}|几(?:{_ONE}|个?{_PIC})|{_PIC}都", _group),
        (rf"(?:刚刚?才?|上[面边方]|前面){_SENT}{_THAT}(?:(?P<one>{_ONE})|{_PIC})|(?<![网线以])上图", _just_now),
        (rf"(?:[之以]前|此前|先前|早先|上次){_SENT}{_THAT}(?:{_ONE}|{_PIC})", _previous),
        (rf"[这那该]一?(?:[张幅]|个?{_PIC})", _this),
        (rf"(?<![发再传拍给要写画第])(?P<num>{_NUM})\s*[张幅]\s*(?P<pic>{_PIC}|(?=[都里中比]|分别|一起|对比))?", _some),
    )
)
