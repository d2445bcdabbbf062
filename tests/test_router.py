"""The router decides by what a message means: address, commands, people, texts wanted, questions."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.message import Image, Mention, Message, Quote, Text, user
from bot.router import OFFER, Label, ModelRouter, Route, RouteRequest, Turn
from bot.router.act import act
from bot.router.corpus import heldout, training
from bot.router.history import before
from bot.router.jsonl import route_lines
from bot.router.length import LENGTH, length_class, number
from bot.router.lexicon import tags
from bot.router.model import WEIGHTS, Model
from bot.router.paste import asked_part
from bot.router.text import canonical, clauses, plain

ROOT = Path(__file__).parent.parent
ROUTER = ModelRouter()


def choose(text: str, images: int = 0, chat: str = "direct", history: tuple[Turn, ...] = ()) -> Route:
    return ROUTER.choose(RouteRequest(text, images, chat, history))  # type: ignore[arg-type]


def after(question: str, answer: str, images: int = 0) -> tuple[Turn, ...]:
    return (Turn("user", question, images), Turn("assistant", answer))


LONG = after("写一篇登山的游记", "清晨五点，我们背起行囊……（全文约900字）", 3)
SHORT = after("这瓶酱油几块", "标价 12.8 元。", 1)
WAITING = after("待会儿给你照片，写成运动会的报道", "好的，请发照片。")
PICTURES = after("这是周末钓鱼的照片", "收到四张照片，需要我做什么？", 4)
GROUP = after("@小图 这棵树多高", "约 12 米。", 1)

QUICK = [
    ("瓶子上的净含量是多少", 1),
    ("左右两个杯子，哪个深", 2),
    ("哪张照片里有狗", 4),
    ("不用写说明，螺丝几毫米就行", 1),
    ("别给我长篇大论，这灯坏没坏", 1),
    ("巡检报告的编号在哪里", 1),
    ("班主任让我写检讨，检讨里要填学号，图上学号是多少", 1),
    ("他说让我写报告，我该怎么回", 0),
    ("妹妹问“作文写完没”，日语怎么说", 0),
    ("“策划”和“计划”有啥不同，一句话", 0),
    ("停止供暖是几月几号", 0),
    ("退出全屏按哪个键", 0),
    ("清空剪贴板的快捷键是什么", 0),
    ("人工费要多少", 0),
    ("人工智能课的作业第二题选什么", 1),
    ("客服几点下班", 0),
    ("用八个字概括", 1),
    ("给这道菜起个名字，五个字以内", 1),
    ("/var/log 这个目录是放什么的", 0),
    ("我家水管上周才换过，师傅来了两趟，钱也给了，我就想知道图上这个接头是几分的", 1),
]
REPORT = [
    ("写一篇一千字的观后感", 0),
    ("三千字打底", 2),
    ("扩写成公众号", 1),
    ("给我整一版能在台上念的", 3),
    ("不要只回一句，写成完整的文章", 1),
    ("我不是让你认图，是让你照着写篇散文", 1),
    ("题目叫《一分钟》，按图写成记叙文，不少于六百字", 1),
    ("这台机器怎么开怎么停怎么保养，一样样给我讲透，做成册子", 1),
    ("根据这几张照片写一份验收报告，分部位说明", 4),
    ("写一篇教程，讲怎么清空缓存和退出登录，步骤详细", 1),
    ("把我跟人工客服的聊天整理成一份投诉材料，正式点", 2),
    ("婚礼上新郎的致辞，别太短", 0),
    ("幫我把這四張照片寫成一篇遊記", 4),
    ("write a detailed report based on these photos", 3),
    ("从头到尾给我讲一遍，原因、处理、预防都要", 1),
]
COMMAND = [
    "/帮助",
    "/model light",
    "重置",
    "清空上下文。",
    "把我们之前聊的全部忘掉吧",
    "以后叫我阿明",
    "/help@小图",
    "帮我清空聊天记录",
]
HUMAN = [
    "转人工",
    "有没有活人",
    "你解决不了让你们主管来",
    "我不想跟机器人说，换个人",
    "找个能拍板的",
    "轉接真人客服",
    "connect me to a human agent please",
    "别给我发模板了，让负责人给我回电话",
]


@pytest.mark.parametrize(("text", "images"), QUICK)
def test_questions_are_quick(text: str, images: int) -> None:
    assert choose(text, images).label == "quick"


@pytest.mark.parametrize(("text", "images"), REPORT)
def test_texts_are_reports(text: str, images: int) -> None:
    assert choose(text, images).label == "report"


@pytest.mark.parametrize("text", COMMAND)
def test_commands(text: str) -> None:
    assert choose(text).label == "command"


@pytest.mark.parametrize("text", HUMAN)
def test_a_person_is_wanted(text: str) -> None:
    assert choose(text, chat="support").label == "human"


@pytest.mark.parametrize(
    ("history", "text", "images", "label"),
    [
        (LONG, "再详细点", 0, "report"),
        (LONG, "改短一点", 0, "report"),
        (LONG, "第二段换个说法", 0, "report"),
        (LONG, "里面提到的山叫什么", 0, "quick"),
        (LONG, "标题换个短的", 0, "quick"),
        (SHORT, "那单价呢", 0, "quick"),
        (SHORT, "你确定吗", 0, "quick"),
        (SHORT, "拿它写一份完整的采购说明，正式点", 0, "report"),
        (WAITING, "都在这了", 5, "report"),
        (WAITING, "开始吧", 4, "report"),
        (PICTURES, "编成故事", 0, "report"),
        (PICTURES, "第二张有几个人", 0, "quick"),
        (LONG, "行了，前面的都忘掉，从头来", 0, "command"),
        (SHORT, "算了，给我找个真人", 0, "human"),
    ],
)
def test_a_follow_up_inherits(history: tuple[Turn, ...], text: str, images: int, label: Label) -> None:
    assert choose(text, images, history=history).label == label


@pytest.mark.parametrize(
    ("history", "text", "label"),
    [
        ((), "中午去哪吃", "chatter"),
        ((), "我的总结又被退回来了", "chatter"),
        ((), "@老刘 把方案发我", "chatter"),
        ((), "重置", "chatter"),
        ((), "昨天让小图写的稿子过了 哈哈", "chatter"),
        ((), "@小图 这几张照片写篇游记", "report"),
        ((), "@小图 几点集合", "quick"),
        ((), "这是什么花 @小图", "quick"),
        ((), "小图 帮我看看这是几号", "quick"),
        ((), "@小图 转人工", "human"),
        ((), "/重置", "command"),
        (GROUP, "那树龄呢", "quick"),
        (GROUP, "哈哈哈我就说吧", "chatter"),
        (GROUP, "@大刘 你家那棵也这么高吗", "chatter"),
    ],
)
def test_in_a_group_only_what_is_for_the_bot(history: tuple[Turn, ...], text: str, label: Label) -> None:
    assert choose(text, chat="group", history=history).label == label


def test_the_platform_knows_who_is_addressed() -> None:
    asked = RouteRequest("几点集合", chat="group")
    assert ROUTER.choose(asked).label == "chatter"
    assert ROUTER.choose(RouteRequest("几点集合", chat="group", addressed=True)).label == "quick"


@pytest.mark.parametrize(
    ("text", "label", "model", "rest"),
    [
        ("/快 写一篇游记", "quick", "light", "写一篇游记"),
        ("/报告 白细胞多少", "report", "heavy", "白细胞多少"),
        ("/快", "quick", "light", ""),
        ("@小图 /报告 这几张图", "report", "heavy", "这几张图"),
    ],
)
def test_forced_by_a_word(text: str, label: Label, model: str, rest: str) -> None:
    route = choose(text)
    assert (route.label, route.model, route.confidence, route.text) == (label, model, 1.0, rest)


def test_a_forcing_word_counts_only_at_the_start() -> None:
    assert choose("“/报告 写长点”是什么意思").label == "quick"
    assert choose("/快递到哪了", 1).label == "quick"
    assert choose("/模型 heavy").label == "command"


@pytest.mark.parametrize("text", ["写报告", "写报告吧", "好，写报告", "要"])
def test_an_offered_report_is_understood(text: str) -> None:
    assert choose(text, history=after("这张报表帮我看看", f"收入 3 万元。\n{OFFER}", 1)).model == "heavy"


def test_doubt_answers_with_the_light_model_and_offers() -> None:
    routes = [ROUTER.choose(each.request) for each in (*heldout(), *training()[::7])]
    for route in routes:
        assert route.model == ("heavy" if route.label == "report" and not route.offer_report else "light")
        assert not route.offer_report or route.confidence < 0.75
    assert any(route.offer_report for route in routes)


def test_quotations_and_pictures_never_instruct() -> None:
    quoted = Quote(Message("user", (Text("写一篇三千字的报告"), Image("inline:1", "1"))), "老板")
    message = user(quoted, "这是几号发的")
    assert ROUTER.choose_message(message).label == "quick"
    named = user(Mention("u1", "老王"), " 看看这个")
    assert ROUTER.choose_message(named, chat="group", addressed=False).label == "chatter"


def test_reasons_are_short_chinese_phrases() -> None:
    assert choose("写一份800字的验收报告", 3).reason == "要求写报告、800字"
    assert choose("不用写报告，单价多少", 1).reason == "明说不要长文"
    assert choose("总价是多少", 1).reason == "单图取数"
    assert choose("哪张更贵", 3).reason == "多图比较"
    assert choose("再写长点", history=LONG).reason == "承接上文改稿"
    for each in heldout():
        assert 2 <= len(ROUTER.choose(each.request).reason) <= 20


def test_scenes_never_trained_on() -> None:
    """The estimate of docs/router.md does not silently fall."""
    right = [ROUTER.choose(each.request).label == each.label for each in heldout()]
    assert sum(right) / len(right) >= 0.93


def test_no_held_out_message_is_trained_on() -> None:
    seen = {each.request.text for each in training()}
    assert not seen & {each.request.text for each in heldout()}


# Any text, any history.

WORDS = st.sampled_from(
    [*"写报告不用一篇八百字吗？，。“”《》/@[]{}\n 图0a", "小图", "@小图 ", "人工", "😀", "\ud83d", "\ue000", "清空"]
)
TEXTS = st.one_of(st.text(), st.lists(WORDS, max_size=30).map("".join))
TURNS = st.builds(Turn, st.sampled_from(["user", "assistant", "system", ""]), TEXTS, st.integers(0, 9))
CHATS = st.sampled_from(["direct", "group", "support", "web"])


@given(TEXTS, st.integers(0, 20), CHATS, st.lists(TURNS, max_size=4).map(tuple))
@example("", 0, "group", (Turn("assistant", ""),))
@example("第" * 5000, 1, "direct", ())
@settings(deadline=None, max_examples=300)
def test_never_raises_and_is_pure(text: str, images: int, chat: str, history: tuple[Turn, ...]) -> None:
    first = choose(text, images, chat, history)
    assert first == choose(text, images, chat, history)
    assert first.label in get_args(Label)
    assert 0.0 <= first.confidence <= 1.0
    assert first.reason


OBVIOUS = [
    *((text, images, "quick") for text, images in QUICK[:8]),
    *((text, images, "report") for text, images in REPORT[:5]),
]


@given(st.sampled_from(OBVIOUS), st.sampled_from(["", "。", "！", "～", " ", "😊", "🙏🙏", "谢谢", "\n"]))
@settings(deadline=None)
def test_trailing_marks_do_not_matter(asked: tuple[str, int, str], tail: str) -> None:
    text, images, label = asked
    assert choose(text + tail, images).label == label


@given(
    st.sampled_from(OBVIOUS), st.sampled_from(["写一份报告", "转人工", "清空上下文", "三千字", "一句话就行", "别写了"])
)
@settings(deadline=None)
def test_a_quotation_does_not_matter(asked: tuple[str, int, str], quoted: str) -> None:
    """Written before the request, as people quote."""
    text, images, label = asked
    assert choose(f"群里有人发“{quoted}”，{text}", images).label == label


# The parts.


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("800字", "long"), ("八百字左右", "long"), ("六七百字", "long"), ("1.5千字", "long"), ("两千五百字", "long"),
        ("20字以内", "tiny"), ("四个字", "tiny"), ("一句话", "tiny"), ("两页A4", "long"), ("讲十分钟", "long"),
        ("第3页", ""), ("十分钟到", ""), ("写汉字", ""), ("120字", "middle"), ("谈满两页纸", "long"),
    ],
)  # fmt: skip
def test_lengths(text: str, wanted: str) -> None:
    found = LENGTH.search(plain(text))
    assert (length_class(found) if found else "") == wanted


def test_numbers() -> None:
    assert [number(each) for each in ("800", "1-2千", "两千五百", "六七百", "十", "三万", "二十")] == [
        800, 2000, 2500, 700, 10, 30000, 20,
    ]  # fmt: skip


def test_one_spelling() -> None:
    assert plain("幫我寫ＡＢＣ") == "帮我写abc"
    assert plain("啥牌子") == plain("什么牌子")
    assert clauses(canonical(plain("他说“写报告，三千字”，咋回？"))) == ["他说\ue000", "怎么回?"]
    assert clauses(canonical("label=report; 这是几号")) == ["这是几号"]


@pytest.mark.parametrize(
    ("clause", "wanted"),
    [
        ("写一篇游记", "write"), ("给我整一份材料", "write"), ("不用写报告", "refuse"), ("价格多少", "ask"),
        ("老师让我写作文", "told"), ("叫你们主管来", "person"), ("清空聊天记录", "command"), ("从头到尾详细讲", "long"),
    ],
)  # fmt: skip
def test_acts(clause: str, wanted: str) -> None:
    assert act(tags(clause)) == wanted


def test_the_turn_before() -> None:
    kinds = [before(each) for each in ((), SHORT, LONG, WAITING, PICTURES, after("看下报表", f"收入 3 万。{OFFER}", 1))]
    assert kinds == ["none", "short", "long", "awaited", "received", "offered"]


def test_the_asking_line_of_a_paste() -> None:
    body = "\n".join(f"2026-01-0{day} 03:11 INFO 生成报告任务入队 {day}" for day in range(1, 9))
    assert asked_part(f"{body}\n\n第三行是几号？") == ("第三行是几号？", True)
    assert asked_part(f"帮我看看下面这段里一共几条：\n{body}") == ("帮我看看下面这段里一共几条：", True)


# The file of weights and the lines.


def test_the_weights_are_small_and_load_fast() -> None:
    assert WEIGHTS.stat().st_size < 1_000_000
    start = time.perf_counter()
    Model.load()
    assert time.perf_counter() - start < 0.5
    with pytest.raises(ValueError, match="expected"):
        Model.parse(WEIGHTS.read_bytes()[:-1])


def test_training_gives_the_shipped_weights(tmp_path: Path) -> None:
    """Byte for byte, in a process of its own; and the service needs no numpy."""
    out = tmp_path / "weights.bin"
    run = [sys.executable, "-m", "bot.router.train", "--out", str(out)]
    subprocess.run(run, cwd=ROOT, check=True, capture_output=True)
    assert out.read_bytes() == WEIGHTS.read_bytes(), "run python -m bot.router.train and keep what it writes"


def test_choosing_imports_nothing_heavy() -> None:
    code = (
        "import sys; from bot.router import *; ModelRouter().choose(RouteRequest('写一篇游记', 2));"
        "print([name for name in ('numpy', 'torch', 'sklearn', 'bot.router.learn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_lines() -> None:
    lines = [
        json.dumps({"id": "a", "text": "图里几点", "images": 1, "chat": "direct", "history": []}, ensure_ascii=False),
        "",
        json.dumps({"id": "b", "text": "再长点", "history": [{"role": "user", "text": "写篇游记", "images": 2},
                    {"role": "assistant", "text": "（全文约800字）", "images": 0}]}),
    ]  # fmt: skip
    found = [json.loads(line) for line in route_lines(lines)]
    assert [(each["id"], each["label"]) for each in found] == [("a", "quick"), ("b", "report")]
    assert {"confidence", "reason", "model", "offer_report"} < set(found[0])
    with pytest.raises(ValueError, match="line 1"):
        list(route_lines(["[]"]))
