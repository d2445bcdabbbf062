"""What users see does not depend on where a model's text was cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.engine.visible import Visible, visible

# Every tag, things that look like one, and words.
pieces = st.sampled_from(
    [
        "<think>",
        "</think>",
        "<|begin_of_box|>",
        "<|end_of_box|>",
        "<",
        "</",
        "<th",
        "<|",
        "|>",
        "k>",
        "图",
        "a",
        " ",
        "\n",
    ]
)
texts = st.lists(pieces, max_size=12).map("".join)


@st.composite
def cut_texts(draw: st.DrawFn) -> tuple[str, list[str]]:
    text = draw(texts)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)))))
    edges = [0, *cuts, len(text)]
    return text, [text[start:end] for start, end in itertools.pairwise(edges)]


def run(view: Visible, parts: list[str], *, inside: bool = False) -> str:
    return "".join([view.feed(part) for part in parts]) + view.end(inside=inside)


@given(cut_texts(), st.booleans())
def test_any_chunking_of_held_text_is_the_whole(case: tuple[str, list[str]], inside: bool) -> None:
    text, parts = case
    assert run(Visible(hold=True), parts, inside=inside) == visible(text, inside=inside)


@given(cut_texts())
def test_any_chunking_of_flowing_text_is_the_whole_or_says_it_is_not(case: tuple[str, list[str]]) -> None:
    text, parts = case
    view = Visible()
    shown = run(view, parts)
    assert view.too_late or shown == visible(text)


@given(cut_texts())
def test_both_ways_notice_thinking_that_nobody_opened(case: tuple[str, list[str]]) -> None:
    text, parts = case
    flowing, held = Visible(), Visible(hold=True)
    run(flowing, parts)
    run(held, [text])
    assert flowing.unopened == held.unopened


@given(st.text())
def test_text_without_tags_is_left_alone(text: str) -> None:
    if not any(tag in text for tag in ("think>", "_of_box")):
        assert visible(text) == text.lstrip()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>想</think>\n\n答", "答"),
        ("想</think>答", "答"),
        ("<think>想", ""),
        ("答<think>想</think>案", "答案"),
        ("<|begin_of_box|>42<|end_of_box|>", "42"),
        ("<think>a<|begin_of_box|>1<|end_of_box|></think><|begin_of_box|>2<|end_of_box|>", "2"),
        ("1 < 2 <thinking> </thin", "1 < 2 <thinking> </thin"),
        ("<think></think>答", "答"),
        ("<think>a<think>b</think>c</think>d", "cd"),
    ],
)
def test_examples(text: str, expected: str) -> None:
    assert visible(text) == expected
    assert run(Visible(hold=True), list(text)) == expected


def test_thinking_cut_short_stays_hidden_where_answers_start_inside_it() -> None:
    assert visible("想了一半", inside=True) == ""
    assert visible("想</think>答了一半", inside=True) == "答了一半"


def test_flowing_text_goes_out_at_once() -> None:
    view = Visible()
    assert [view.feed(part) for part in ("你", "好<", "th", "e>")] == ["你", "好", "", "<the>"]
