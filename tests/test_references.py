"""Which pictures are meant: cases by meaning, conversations of many turns, and properties."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.message import Image
from bot.references import Known, Reference, resolve
from bot.references.numerals import numbers


def picture(number: int) -> Image:
    return Image("source", f"{number:064x}", "image/png", 100, 100, number)


def pictures(numbers: tuple[int, ...]) -> list[Image]:
    return [picture(number) for number in numbers]


@dataclass(frozen=True)
class Chat:
    """bursts: how many pictures came together, oldest first; what comes with the message has the next numbers."""

    bursts: tuple[int, ...] = ()
    new: tuple[int, ...] = ()
    quoted: tuple[int, ...] = ()
    focus: tuple[int, ...] = ()
    descriptions: dict[int, str] = field(default_factory=dict)

    def resolve(self, text: str) -> Reference:
        known: list[Known] = []
        for turn, size in enumerate(self.bursts, 1):
            for _ in range(size):
                number = len(known) + 1
                known.append(Known(picture(number), turn, self.descriptions.get(number, "")))
        return resolve(text, pictures(self.new), known, pictures(self.quoted), pictures(self.focus))


NOTHING = Chat()
ONE = Chat((1,))
TWO = Chat((1, 1))
FIVE = Chat((1, 1, 1, 1, 1))
MANY = Chat((1,) * 35)
BURST = Chat((1, 1, 3))  # 图3, 图4 and 图5 came together
PAIR = Chat((3, 2))
BURST_4 = Chat((1, 1, 3), focus=(4,))  # and 图4 was talked about
OLD_1 = Chat((1, 1, 3), focus=(1,))  # 图1 was talked about since
NEW = Chat((1, 1, 1), new=(4,))
NEW_2 = Chat((1, 1, 1), new=(4, 5))
NEW_3 = Chat((1, 1, 1), new=(4, 5, 6))
FIRST = Chat(new=(1,))
QUOTED = Chat((1, 1, 3), quoted=(2,))
TOLD = Chat((1, 1, 1), descriptions={1: "一张增值税发票", 2: "窗台上的猫", 3: "超市小票"})

MEANT: dict[str, list[tuple[Chat, str, tuple[int, ...]]]] = {
    "numbers of the conversation": [
        (FIVE, "图3", (3,)),
        (FIVE, "图三", (3,)),
        (FIVE, "图 3 的金额", (3,)),
        (FIVE, "图３里写了什么", (3,)),
        (FIVE, "图③的标题", (3,)),
        (FIVE, "图片2是什么", (2,)),
        (FIVE, "照片4里有几个人", (4,)),
        (FIVE, "截图2报的什么错", (2,)),
        (FIVE, "[图2]翻译一下", (2,)),
        (FIVE, "看图二", (2,)),
        (FIVE, "帮我看看图五下面写的什么", (5,)),
        (FIVE, "图2logo是哪家的", (2,)),
        (FIVE, "图1和图3哪个贵", (1, 3)),
        (FIVE, "图3和图1哪个贵", (1, 3)),
        (FIVE, "图1、3、5加起来多少", (1, 3, 5)),
        (FIVE, "图一跟图二不一样吗", (1, 2)),
        (FIVE, "图1,图4", (1, 4)),
        (FIVE, "图一二三各是什么", (1, 2, 3)),
        (FIVE, "图1和2023年的对比", (1,)),
        (FIVE, "图1和30多条记录", (1,)),
        (FIVE, "compare picture 2 and picture 4", (2, 4)),
        (BURST, "图2", (2,)),
        (MANY, "图十二", (12,)),
        (MANY, "图二十", (20,)),
        (MANY, "图三十的电话", (30,)),
        (MANY, "图三十一和图33", (31, 33)),
    ],
    "ranges": [
        (FIVE, "图1-图3", (1, 2, 3)),
        (FIVE, "图1到图3", (1, 2, 3)),
        (FIVE, "图一到图三", (1, 2, 3)),
        (FIVE, "图2至4分别是什么", (2, 3, 4)),
        (FIVE, "图2~图4", (2, 3, 4)),
        (FIVE, "图2～4", (2, 3, 4)),
        (FIVE, "图4到图2", (2, 3, 4)),
        (FIVE, "图1-3", (1, 2, 3)),
        (FIVE, "第2到第4张", (2, 3, 4)),
        (FIVE, "第1张图到第3张图", (1, 2, 3)),
    ],
    "the n-th": [
        (FIVE, "第3张图", (3,)),
        (FIVE, "第二张的金额", (2,)),
        (FIVE, "第 2 幅画的是什么", (2,)),
        (FIVE, "第一个图片里的电话", (1,)),
        (FIVE, "第一、三张", (1, 3)),
        (FIVE, "第一张和第三张哪个清楚", (1, 3)),
        (FIVE, "第一张图和第四张图", (1, 4)),
        (FIVE, "第一张和最后一张", (1, 5)),
        (BURST, "第二张", (4,)),
        (BURST, "第一张图的金额", (3,)),
        (BURST, "第三张和第一张", (3, 5)),
        (BURST, "第五张", (5,)),
        (BURST_4, "第三张呢", (5,)),
        (OLD_1, "第二张呢", (2,)),
        (PAIR, "第二张", (5,)),
        (NEW_2, "第二张是什么", (5,)),
        (NEW_3, "第一张和第三张", (4, 6)),
        (MANY, "第三十二张", (32,)),
        (FIVE, "2号图", (2,)),
        (BURST, "P2和P3哪个好看", (4, 5)),
        (FIVE, "P30手机", (5,)),
        (BURST, "图2里面第二张发票", (2,)),
        (BURST, "这些图里第二张", (3, 4, 5)),
    ],
    "from either end": [
        (FIVE, "前两张", (1, 2)),
        (FIVE, "前3张", (1, 2, 3)),
        (FIVE, "头两张图", (1, 2)),
        (FIVE, "首张", (1,)),
        (FIVE, "第一次发的图", (1,)),
        (FIVE, "最开始那张", (1,)),
        (FIVE, "最早发的照片", (1,)),
        (FIVE, "后两张", (4, 5)),
        (FIVE, "最后一张", (5,)),
        (FIVE, "最后那张图", (5,)),
        (FIVE, "最后两张", (4, 5)),
        (FIVE, "最新的图", (5,)),
        (FIVE, "倒数第二张", (4,)),
        (FIVE, "倒数两张", (4, 5)),
        (BURST, "前两张", (3, 4)),
        (BURST, "后两张", (4, 5)),
        (BURST, "中间那张", (4,)),
        (NEW_3, "中间那张写的啥", (5,)),
        (NEW_3, "最后一张", (6,)),
    ],
    "counted back": [
        (FIVE, "上面两张对比一下", (4, 5)),
        (BURST, "上面两张对比一下", (4, 5)),
        (FIVE, "以上三张图", (3, 4, 5)),
        (FIVE, "刚才发的两张", (4, 5)),
        (NEW_2, "上面两张对比一下", (4, 5)),
        (NEW, "之前两张和这张放一起", (2, 3, 4)),
        (FIVE, "上一张", (5,)),
        (FIVE, "上张图", (5,)),
        (FIVE, "上上张", (4,)),
        (FIVE, "上上上张", (3,)),
        (FIVE, "前一张呢", (5,)),
        (NEW, "和上一张比呢", (3, 4)),
        (FIVE, "刚才那张", (5,)),
        (FIVE, "刚刚发的照片", (5,)),
        (FIVE, "上图是什么意思", (5,)),
        (FIVE, "上面那张", (5,)),
        (BURST, "刚发的图都是什么", (3, 4, 5)),
        (BURST_4, "刚才那张", (4,)),
        (NEW, "刚才那张和这张哪个贵", (3, 4)),
        (FIRST, "刚才那张是什么", (1,)),
        (FIVE, "之前那张", (5,)),
        (BURST_4, "之前那张", (3,)),
        (NEW, "跟之前那张一样吗", (3, 4)),
        (BURST_4, "下一张", (5,)),
    ],
    "so many": [
        (FIVE, "这三张", (3, 4, 5)),
        (BURST, "这三张哪张贵", (3, 4, 5)),
        (BURST, "三张截图哪张金额对不上", (3, 4, 5)),
        (PAIR, "这两张谁拍的", (4, 5)),
        (PAIR, "两张对比一下", (4, 5)),
        (TWO, "两张一样吗", (1, 2)),
        (TWO, "这俩图有什么区别", (1, 2)),
        (NEW_2, "这两张哪张更贵", (4, 5)),
        (NEW, "这两张一样吗", (3, 4)),
        (NEW_3, "三张照片写一篇游记", (4, 5, 6)),
        (ONE, "这三张发票一共多少", (1,)),
        (ONE, "打印两张多少钱", (1,)),
        (FIVE, "三张都翻译", (3, 4, 5)),
    ],
    "groups": [
        (FIVE, "所有图片总结一下", (1, 2, 3, 4, 5)),
        (BURST, "全部图", (1, 2, 3, 4, 5)),
        (BURST, "每张说一句", (3, 4, 5)),
        (BURST, "哪张最便宜", (3, 4, 5)),
        (BURST_4, "哪一张最便宜", (3, 4, 5)),
        (FIVE, "哪些图有金额", (1, 2, 3, 4, 5)),
        (FIVE, "哪张是发票", (1, 2, 3, 4, 5)),
        (NEW_2, "每张图配一段", (4, 5)),
        (PAIR, "这些图讲了什么", (4, 5)),
        (NEW, "哪张更好看", (3, 4)),
    ],
    "the others": [
        (Chat((1, 2), focus=(2,)), "另一张呢", (3,)),
        (Chat((2, 1), focus=(1,)), "另外一张呢", (2,)),
        (Chat((1, 1), focus=(1,)), "另一张", (2,)),
        (BURST_4, "另外两张", (3, 5)),
        (BURST_4, "其他几张呢", (3, 5)),
        (BURST_4, "其余的图", (3, 5)),
        (Chat((1,), new=(2,)), "和另一张比呢", (1, 2)),
    ],
    "left out": [
        (FIVE, "不是图1，是图2", (2,)),
        (FIVE, "我说的不是图5，是上上张", (4,)),
        (FIVE, "除了图1都翻译", (2, 3, 4, 5)),
        (BURST, "除了第一张和第三张", (4,)),
        (BURST, "别看图3，其余的不变", (4, 5)),
        (FIVE, "图1是不是发票", (1,)),
        (TWO, "不是图2", (1,)),
        (FIVE, "要不要看图3", (3,)),
    ],
    "new pictures": [
        (NEW, "这是什么", (4,)),
        (NEW, "", (4,)),
        (NEW, "谢谢", (4,)),
        (NEW, "这张呢", (4,)),
        (NEW, "和图1比一下", (1, 4)),
        (NEW, "图1呢", (1, 4)),
        (NEW, "图4是什么", (4,)),
        (NEW_2, "图4里的电话", (4,)),
        (NEW_3, "这是什么", (4, 5, 6)),
        (NEW, "除了这张还有别的办法吗", (4,)),
        (NEW, "除了图1都翻译", (3, 4)),
    ],
    "quoted pictures": [
        (QUOTED, "这张多少钱", (2,)),
        (QUOTED, "它是什么颜色", (2,)),
        (QUOTED, "多少钱", (2,)),
        (QUOTED, "这个怎么读", (2,)),
        (QUOTED, "和图5比呢", (2, 5)),
        (QUOTED, "图5的金额", (5,)),
        (Chat((1, 1), quoted=(1,), new=(3,)), "和这个一样吗", (1, 3)),
        (Chat((1,), quoted=(5, 6)), "第二张呢", (6,)),
    ],
    "compared with what is talked about": [
        (FIVE, "和图1比呢", (1, 5)),
        (BURST_4, "它和图1哪个贵", (1, 4)),
        (BURST_4, "图1和这个哪个贵", (1, 4)),
        (BURST_4, "那跟上一张比呢", (3, 4)),
        (BURST_4, "这张和图1比", (1, 4)),
        (BURST_4, "对比图1和图2", (1, 2)),
        (BURST_4, "图1这个人是谁", (1,)),
        (QUOTED, "图1、图3的金额", (1, 3)),
        (QUOTED, "图1和这个比", (1, 2)),
        (PAIR, "这张和那张哪个清楚", (4, 5)),
    ],
    "left to the model": [
        (BURST, "红色那张多少钱", (3, 4, 5)),
        (BURST_4, "最贵的那张", (3, 4, 5)),
        (FIVE, "左边那张", (1, 2, 3, 4, 5)),
        (BURST, "这图啥意思", (3, 4, 5)),
    ],
    "by description": [
        (TOLD, "那张发票多少钱", (1,)),
        (TOLD, "有猫的那张", (2,)),
        (TOLD, "小票那张", (3,)),
    ],
    "follow-ups": [
        (FIVE, "多少钱", (5,)),
        (FIVE, "那单价呢", (5,)),
        (BURST, "那单价呢", (3, 4, 5)),
        (BURST_4, "多少钱", (4,)),
        (OLD_1, "再详细点", (1,)),
        (FIVE, "这张多少钱", (5,)),
        (FIVE, "?", (5,)),
        (FIVE, "你看看", (5,)),
    ],
    "content, not a reference": [
        (FIVE, "图3-2 的说明", (5,)),
        (FIVE, "图2.1是什么", (5,)),
        (FIVE, "图2a画的什么", (5,)),
        (FIVE, "如图9所示是什么意思", (5,)),
        (FIVE, "附图1在哪一页", (5,)),
        (FIVE, "这页里的图1是什么意思", (5,)),
        (FIVE, "地图2楼怎么走", (5,)),
        (FIVE, "@小图 四格都在这了", (5,)),
        (FIVE, "这张图3个人都是谁", (5,)),
        (FIVE, "图3张够不够", (5,)),
        (FIVE, "图一样吗", (5,)),
        (FIVE, "图二维码扫不出来", (5,)),
        (FIVE, "截图一下怎么弄", (5,)),
        (FIVE, "第二张表的合计", (5,)),
        (BURST, "第二张表的合计", (4,)),
        (FIVE, "第三张发票号是多少", (3,)),
        (ONE, "第三张发票号是多少", (1,)),
        (FIVE, "《图1研究》的作者", (5,)),
        (FIVE, "他说“把图1和图2都发给我看看”是什么意思", (5,)),
        (FIVE, "桌上一张纸写了什么", (5,)),
    ],
    "no picture needed": [
        (NOTHING, "图3的金额", ()),
        (NOTHING, "写一首诗", ()),
        (FIVE, "谢谢", ()),
        (FIVE, "好的，谢谢你！", ()),
        (FIVE, "你好", ()),
        (FIVE, "讲个笑话", ()),
        (FIVE, "今天星期几", ()),
        (FIVE, "/帮助", ()),
    ],
}
CASES = [pytest.param(*case, id=f"{group}: {case[1]}") for group, cases in MEANT.items() for case in cases]

ASKED = [
    (FIVE, "图9", "没有图9。现在有图1、图2、图3、图4、图5，请说图几。"),
    (FIVE, "图2和图9", "没有图9。"),
    (FIVE, "第七张", "没有图7。"),
    (FIVE, "图99999999999999999999", "没有这个编号的图。"),
    (FIVE, "图0", "没有图0。"),
    (FIVE, "倒数第八张", "没有倒数第8张。"),
    (MANY, "图40", "没有图40。现在有图1到图35共35张，请说图几。"),
    (ONE, "上面两张对比一下", "没有2张图片可选。"),
    (BURST, "这张多少钱", "你说的是哪一张？现在有图3、图4、图5，请说图几。"),
    (BURST, "刚才那张", "你说的是哪一张？"),
    (BURST, "另一张", "你说的是哪一张？"),
    (BURST_4, "另一张", "你说的是哪一张？"),
    (PAIR, "中间那张", "你说的是哪一张？现在有图4、图5，请说图几。"),
    (FIVE, "不是图1", "你说的是哪一张？现在有图2"),
    (ONE, "上上张", "前面没有这张图。"),
]


@pytest.mark.parametrize(("chat", "text", "meant"), CASES)
def test_meant(chat: Chat, text: str, meant: tuple[int, ...]) -> None:
    found = chat.resolve(text)
    assert (tuple(image.index for image in found.images), found.ask) == (meant, "")


@pytest.mark.parametrize(("chat", "text", "ask"), ASKED)
def test_asked(chat: Chat, text: str, ask: str) -> None:
    found = chat.resolve(text)
    assert found.images == ()
    assert found.ask.startswith(ask)
    assert found.ask.endswith("请说图几。")


@pytest.mark.parametrize(
    ("token", "values"),
    [("7", [7]), ("十", [10]), ("十五", [15]), ("三十", [30]), ("九十九", [99]), ("一百零二", [102]), ("一二", [1, 2])],
)
def test_numerals(token: str, values: list[int]) -> None:
    assert numbers(token) == values


class Conversation:
    """Turn by turn, as the bot would: each turn's pictures become the focus of the next."""

    def __init__(self) -> None:
        self.known: list[Known] = []
        self.focus: tuple[Image, ...] = ()
        self.turn = 0

    def say(self, text: str, sent: int = 0) -> tuple[int, ...]:
        self.turn += 1
        new = [picture(len(self.known) + 1 + number) for number in range(sent)]
        found = resolve(text, new, self.known, focus=self.focus, turn=self.turn)
        self.known += [Known(image, self.turn) for image in new]
        self.focus = found.images or self.focus
        return tuple(image.index for image in found.images)


def test_thirty_turns() -> None:
    chat = Conversation()
    turns: list[tuple[str, int, tuple[int, ...]]] = [
        ("你好", 0, ()),
        ("这是什么", 1, (1,)),
        ("多少钱", 0, (1,)),
        ("那单价呢", 0, (1,)),
        ("谢谢", 0, ()),
        ("这张呢", 1, (2,)),
        ("和图1比哪个贵", 0, (1, 2)),
        ("哪个更新", 0, (1, 2)),
        ("三张发票一共多少", 3, (3, 4, 5)),
        ("第二张是哪天开的", 0, (4,)),
        ("第三张呢", 0, (5,)),
        ("第一张的税号", 0, (3,)),
        ("另外两张呢", 0, (4, 5)),
        ("图1的抬头是什么", 0, (1,)),
        ("第二张呢", 0, (2,)),
        ("电话多少", 0, (2,)),
        ("讲个笑话", 0, ()),
        ("刚才那张的地址", 0, (2,)),
        ("最后一张", 0, (5,)),
        ("这是什么", 1, (6,)),
        ("跟上一张一样吗", 0, (5, 6)),
        ("上面两张对比一下", 0, (5, 6)),
        ("图9", 0, ()),
        ("图3到图5的合计", 0, (3, 4, 5)),
        ("哪张最贵", 0, (3, 4, 5)),
        ("两张照片一样吗", 2, (7, 8)),
        ("第二张清楚吗", 0, (8,)),
        ("另一张呢", 0, (7,)),
        ("所有图片按时间排一下", 0, (1, 2, 3, 4, 5, 6, 7, 8)),
        ("图一的金额再说一遍", 0, (1,)),
        ("倒数第二张和图二", 0, (2, 7)),
    ]
    for number, (text, sent, meant) in enumerate(turns, 1):
        assert (number, text, chat.say(text, sent)) == (number, text, meant)


def test_one_picture_a_turn_for_thirty_turns() -> None:
    chat = Conversation()
    for number in range(1, 31):
        assert chat.say("这是什么", 1) == (number,)
    for number, numeral in ((1, "一"), (12, "十二"), (20, "二十"), (29, "二十九"), (30, "三十")):
        assert chat.say(f"图{number}的金额") == (number,)
        assert chat.say(f"第{numeral}张图呢") == (number,)


def test_a_picture_with_numbers_nowhere_counts_by_place() -> None:
    new = [Image("a", "1"), Image("b", "2")]
    assert resolve("图2写了什么", new, []).images == (new[1],)
    assert resolve("图3", new, []).ask == "没有图3。请把图片再发一次。"


def test_a_quoted_picture_is_found_by_its_bytes() -> None:
    known = [Known(picture(1), 1), Known(picture(2), 2)]
    quoted = Image("elsewhere", picture(1).sha256)
    assert resolve("多少钱", [], known, [quoted]).images == (picture(1),)


# ---------------------------------------------------------------- properties

_CHATS = st.builds(
    Chat,
    bursts=st.lists(st.integers(1, 4), max_size=4).map(tuple),
    new=st.lists(st.integers(20, 23), max_size=3, unique=True).map(tuple),
    quoted=st.lists(st.integers(1, 9), max_size=2, unique=True).map(tuple),
    focus=st.lists(st.integers(1, 4), max_size=3, unique=True).map(tuple),
)
_PIECES = (
    "图 图片 第 张 幅 个 一 二 三 十 两 俩 百 1 2 3 ９ - 到 和 、 ， 上 前 后 最 倒数 面 刚才 之 那 这 些 几 哪 每 "
    "所有 另 其他 不是 除了 的 发 表 跟 它 比"
).split(" ")
_TEXTS = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(_PIECES), max_size=12).map("".join))


@settings(max_examples=600, deadline=None)
@given(_CHATS, _TEXTS)
def test_any_text_gives_known_pictures_once_each_or_a_question(chat: Chat, text: str) -> None:
    found = chat.resolve(text)
    there = {*range(1, sum(chat.bursts) + 1), *chat.new, *chat.quoted, *chat.focus}
    indexes = [image.index for image in found.images]
    assert len(set(indexes)) == len(indexes)
    assert set(indexes) <= there
    assert not (found.ask and found.images)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 40), st.data())
def test_numbers_mean_the_same_however_pictures_came(total: int, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(1, 5), min_size=total, max_size=total))
    bursts: list[int] = []
    while sum(bursts) < total:
        bursts.append(min(cuts[len(bursts)], total - sum(bursts)))
    first, last = sorted(data.draw(st.tuples(st.integers(1, total), st.integers(1, total))))
    chat = Chat(tuple(bursts))
    assert [image.index for image in chat.resolve(f"图{first}到图{last}").images] == list(range(first, last + 1))


@pytest.mark.parametrize(
    "text", ["图1" * 20_000, "哈" * 50_000 + "图", "\0" * 9999, "上" * 50_000, "第一和" * 9000, "\ud800图"]
)
def test_hostile_texts_take_no_time(text: str) -> None:
    FIVE.resolve(text)
