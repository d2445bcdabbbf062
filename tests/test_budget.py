"""What is sent always fits; what is lost goes in order; the question stays whole."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.budget import Fitted, estimate_picture, estimate_text, fit
from bot.message import Image, Mention, Message, Part, Quote, Text, assistant, system, user

SYSTEM = system("你是“看图”，一个回答图片问题的中文助手。")


def picture(number: int, width: int = 1000, height: int = 1000) -> Image:
    return Image("source", f"{number:064x}", "image/png", width, height, number)


def flat(parts: Sequence[Part]) -> list[Part]:
    """Parts with quotes opened."""
    return [inner for part in parts for inner in (flat(part.message.parts) if isinstance(part, Quote) else [part])]


def words(message: Message) -> str:
    return "".join(part.text for part in flat(message.parts) if isinstance(part, Text))


def weigh(fitted: Fitted, shrink: Mapping[str, int]) -> int:
    """The total, counted apart from the code under test."""
    total = 0
    for part in flat([part for message in fitted.messages for part in message.parts]):
        if isinstance(part, Text):
            total += estimate_text(part.text)
        elif isinstance(part, Image):
            side = shrink.get(part.sha256, 0)
            scale = min(1.0, side / max(part.width, part.height, 1)) if side else 1.0
            size = (side, side) if side and not part.width * part.height else (part.width * scale, part.height * scale)
            total += estimate_picture(math.ceil(size[0]), math.ceil(size[1]))
    return total


# ---------------------------------------------------------------- properties

_texts = st.text(alphabet="图片多少钱abc12 ，\n[]😀", max_size=60)
# The bytes fix the size.
_SIZES = ((0, 0), (20, 30), (400, 3000), (1080, 12000), (4000, 3000), (900, 0), (1000, 1000), (300, 200))
_pictures = st.integers(1, 8).map(lambda number: picture(number, *_SIZES[number - 1]))
_leaf: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, _texts), _pictures, st.builds(Mention, st.just("u"), st.text(max_size=4))
)
_parts: st.SearchStrategy[Part] = st.one_of(
    _leaf, st.builds(lambda parts: Quote(Message("user", tuple(parts)), "小王"), st.lists(_leaf, max_size=3))
)
_messages = st.lists(_parts, max_size=4)
_turns = st.lists(st.tuples(_messages, _texts), max_size=7).map(
    lambda turns: [message for asked, said in turns for message in (user(*asked), assistant(said))]
)
_cases = st.fixed_dictionaries(
    {
        "history": _turns,
        "question": _messages.map(lambda parts: user(*parts, "多少钱？")),
        "needed": st.lists(_pictures, max_size=4),
        "wanted": st.sets(st.integers(1, 8).map(lambda number: f"{number:064x}")),
        "descriptions": st.dictionaries(st.integers(1, 8).map(lambda number: f"{number:064x}"), _texts),
        "summary": st.sampled_from(["", "谈过一张发票，金额 300 元。"]),
        "summarising": st.booleans(),
    }
)


@settings(max_examples=150, deadline=None)
@given(_cases, st.integers(0, 12_000), st.integers(0, 2000))
def test_what_is_sent_fits_and_is_whole(case: dict, context: int, answer: int) -> None:
    fitted = fit(SYSTEM, context_tokens=context, answer_tokens=answer, **case)
    history, question = case["history"], case["question"]
    if not fitted.messages:
        assert fitted.problem
        assert fitted.left_out == len(history)
        return
    assert weigh(fitted, fitted.shrink) <= fitted.tokens <= context - answer
    assert fitted.messages[0].text.startswith(SYSTEM.text)
    assert words(fitted.messages[-1]).endswith("多少钱？")
    said = [part for part in flat(question.parts) if not isinstance(part, Image)]
    assert [part for part in flat(fitted.messages[-1].parts) if part in said] == said
    assert [message.role for message in fitted.messages[1:-1]] == [one.role for one in history[fitted.left_out :]]
    shown = [part.sha256 for message in fitted.messages for part in flat(message.parts) if isinstance(part, Image)]
    needed = {image.sha256 for image in case["needed"]}
    assert sorted(shown) == sorted(fitted.pixels)
    assert fitted.pixels <= case["wanted"] | needed
    assert fitted.shrink.keys() <= fitted.pixels
    assert bool(fitted.problem) == bool(needed - fitted.pixels)
    assert not fitted.summarise or case["summarising"]


@settings(max_examples=80, deadline=None)
@given(_cases, st.integers(0, 12_000), st.integers(0, 12_000))
def test_a_larger_context_never_loses_more(case: dict, one: int, other: int) -> None:
    less, more = (fit(SYSTEM, context_tokens=tokens, answer_tokens=0, **case) for tokens in sorted((one, other)))
    assert more.left_out <= less.left_out
    assert more.pixels >= less.pixels
    assert len(more.messages) >= len(less.messages)
    for sha256, side in more.shrink.items():
        assert sha256 not in less.pixels or less.shrink[sha256] <= side


@settings(max_examples=60, deadline=None)
@given(_cases)
def test_nothing_is_lost_where_all_fits(case: dict) -> None:
    fitted = fit(SYSTEM, context_tokens=10**6, answer_tokens=0, **case)
    assert fitted.left_out == 0
    assert not fitted.problem
    assert not fitted.shrink
    sent = {image.sha256 for one in (*case["history"], case["question"]) if one.role == "user" for image in one.images}
    assert fitted.pixels == (case["wanted"] & sent) | {image.sha256 for image in case["needed"]}


@settings(max_examples=80, deadline=None)
@given(_cases, st.integers(300, 6000))
def test_a_call_with_the_summary_loses_nothing_more(case: dict, context: int) -> None:
    first = fit(SYSTEM, context_tokens=context, answer_tokens=0, **{**case, "summarising": True})
    if not first.summarise:
        return
    again = {**case, "history": case["history"][first.left_out :], "summary": "摘" * 400}
    second = fit(SYSTEM, context_tokens=context, answer_tokens=0, **again)
    assert second.left_out == 0
    assert "此前对话的摘要：摘摘" in second.messages[0].text
    assert second.pixels >= first.pixels


@given(st.text(), st.text())
def test_text_counts_add_up(first: str, second: str) -> None:
    assert estimate_text(first + second) <= estimate_text(first) + estimate_text(second)
    assert estimate_text(first) >= len(first) / 3


@given(st.integers(1, 6000), st.integers(1, 6000))
def test_a_picture_never_takes_more_tokens_than_counted(width: int, height: int) -> None:
    if max(width, height) > 200 * min(width, height):
        return  # refused by the model
    assert scaled_by_the_model(width, height) <= estimate_picture(width, height)


def scaled_by_the_model(width: int, height: int) -> int:
    """Tokens after GLM-4.6V's scaling: sides to the nearest 28, the area then down or up to its limits."""
    grow = max(1.0, 28 / width, 28 / height)
    width, height = int(width * grow), int(height * grow)
    columns, rows = round(width / 28), round(height / 28)
    area = 2 * 784 * columns * rows
    if area > 9_633_792 or area < 12_544:
        down = area > 9_633_792
        scale = math.sqrt((9_633_792 if down else 12_544) / (2 * width * height)) / 28
        snap = math.floor if down else math.ceil
        columns, rows = max(1, snap(width * scale)), max(1, snap(height * scale))
    return columns * rows


# ---------------------------------------------------------------- examples


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("金额多少", 4),
        ("金额：1234元", 8),
        ("hello", 2),
        ("a b", 3),
        ("12", 2),
        ("😀", 4),
        ("привет", 12),
        ("안녕", 4),
        ("\ud800", 2),
    ],
)
def test_text_estimate(text: str, tokens: int) -> None:
    assert estimate_text(text) == tokens


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [(280, 280, 100), (281, 280, 110), (4000, 3000, 6144), (1, 1, 9), (0, 0, 6144), (28, 28, 9), (1080, 2400, 39 * 86)],
)
def test_picture_estimate(width: int, height: int, tokens: int) -> None:
    assert estimate_picture(width, height) == tokens


def talk(turns: int, size: int = 100) -> list[Message]:
    """`turns` turns with a picture each and answers of `size` characters."""
    return [
        message
        for turn in range(1, turns + 1)
        for message in (user(picture(turn), f"问题{turn}"), assistant(f"{turn}" + "答" * size))
    ]


def test_unneeded_pixels_go_first_the_oldest_before_the_newer() -> None:
    history = talk(4)
    wanted = {image.sha256 for message in history for image in message.images}
    lines = {picture(1).sha256: "一张\n发票[2024]", picture(2).sha256: "小票"}
    needed = [picture(3)]
    fitted = fit(
        SYSTEM,
        history,
        user("多少钱"),
        needed=needed,
        wanted=wanted,
        context_tokens=3800,
        answer_tokens=200,
        descriptions=lines,
    )
    assert fitted.pixels == {picture(3).sha256, picture(4).sha256}
    assert fitted.left_out == 0
    assert fitted.messages[1] == user(Text("[图1：一张 发票【2024】]"), "问题1")
    assert fitted.messages[5] == history[4]


def test_old_turns_become_material_and_half_of_them_at_once() -> None:
    history = talk(10, 300)
    fitted = fit(SYSTEM, history, user("单价呢"), needed=[picture(10)], context_tokens=4600, answer_tokens=1000)
    assert len(fitted.summarise) == 10
    assert not fitted.dropped
    assert fitted.summarise[0] == user("[图1]", "问题1")
    assert fitted.messages[1].text.endswith("问题6")


def test_a_needed_picture_of_a_lost_turn_moves_to_the_question() -> None:
    history = talk(10, 300)
    fitted = fit(SYSTEM, history, user("图1的单价呢"), needed=[picture(1)], context_tokens=4600, answer_tokens=1000)
    assert fitted.messages[-1] == user(picture(1), "图1的单价呢")
    gone = fit(SYSTEM, [], user("图1的单价呢"), needed=[picture(1)], context_tokens=4600, answer_tokens=1000)
    assert gone.messages[-1] == user(picture(1), "图1的单价呢")


def test_what_cannot_even_be_summarised_is_dropped() -> None:
    history = talk(10, 300)
    fitted = fit(
        SYSTEM,
        history,
        user("单价呢"),
        needed=[picture(10)],
        context_tokens=4600,
        answer_tokens=1000,
        material_tokens=700,
    )
    assert (len(fitted.dropped), len(fitted.summarise)) == (6, 4)
    without = fit(
        SYSTEM,
        history,
        user("单价呢"),
        needed=[picture(10)],
        context_tokens=4600,
        answer_tokens=1000,
        summarising=False,
    )
    assert without.summarise == ()
    assert len(without.dropped) == 10


def test_a_photo_is_made_smaller_before_history_is_lost() -> None:
    photo = picture(99, 4000, 3000)
    fitted = fit(SYSTEM, talk(3), user(photo, "这是什么"), needed=[photo], context_tokens=8192, answer_tokens=1024)
    assert (fitted.left_out, fitted.shrink) == (0, {})
    fitted = fit(SYSTEM, talk(15), user(photo, "这是什么"), needed=[photo], context_tokens=8192, answer_tokens=1024)
    assert fitted.left_out == 0
    assert fitted.shrink == {photo.sha256: 1792}


def test_a_long_screenshot_keeps_its_width() -> None:
    long = picture(1, 1080, 12000)
    fitted = fit(SYSTEM, talk(9), user(long, "总结"), needed=[long], context_tokens=8192, answer_tokens=2048)
    width = 1080 * fitted.shrink[long.sha256] / 12000
    assert width > 400


def test_many_pictures_are_made_smaller_then_left_out_from_the_end() -> None:
    many = [picture(number, 1080, 2400) for number in range(1, 10)]
    some = fit(SYSTEM, [], user(*many, "比一比"), needed=many, context_tokens=8192, answer_tokens=1024)
    assert len(some.pixels) == 9
    assert set(some.shrink) == some.pixels
    assert not some.problem
    few = fit(SYSTEM, [], user(*many, "比一比"), needed=many, context_tokens=2048, answer_tokens=512)
    assert few.pixels == {image.sha256 for image in many[: len(few.pixels)]}
    assert 0 < len(few.pixels) < 9
    assert few.problem.endswith("图9；请分开再问。")
    assert "[图9]" in few.messages[-1].text


def test_a_question_too_long_is_not_sent() -> None:
    fitted = fit(SYSTEM, talk(2), user("长" * 9000), needed=[], context_tokens=8192, answer_tokens=1024)
    assert fitted.messages == ()
    assert "太长" in fitted.problem


def test_the_same_picture_twice_is_shown_once_where_it_came_last() -> None:
    again = Image("other", picture(1).sha256, "image/png", 1000, 1000, 5)
    fitted = fit(SYSTEM, talk(1), user(again, "这是什么"), needed=[again], context_tokens=8192, answer_tokens=1024)
    assert fitted.messages[1] == user("[图1]", "问题1")
    assert fitted.messages[-1] == user(again, "这是什么")


def test_a_summary_is_part_of_the_one_system_message() -> None:
    fitted = fit(SYSTEM, [], user("好"), needed=[], context_tokens=900, answer_tokens=100, summary="谈过发票")
    assert [message.role for message in fitted.messages] == ["system", "user"]
    assert fitted.messages[0].text == f"{SYSTEM.text}\n\n此前对话的摘要：谈过发票"


def test_other_counters_are_used() -> None:
    fitted = fit(
        SYSTEM,
        talk(2),
        user("好"),
        needed=[picture(1)],
        context_tokens=400,
        answer_tokens=100,
        count_text=len,
        count_picture=lambda width, height: 10,
    )
    assert fitted.left_out == 0
    assert fitted.pixels == {picture(1).sha256}
