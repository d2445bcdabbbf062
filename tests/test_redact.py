"""What is private is masked wherever it stands; what only looks like it stays."""

from __future__ import annotations

import io
import logging
import re
import time
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from PIL import Image

from bot.engine.reader.mask import mask_boxes, mask_picture
from bot.engine.reader.page import Box, Line, Page
from bot.redact import RedactingFilter, redact, spans

# ------------------------------------------------------------ generated numbers


def check_character(digits: str) -> str:
    """GB 11643-1999, written the other way round than in the code under test: by the remainder of powers of two."""
    total = 0
    for digit in digits:
        total = (total + int(digit)) * 2 % 11
    return "0123456789X"[(12 - total) % 11]


def luhn_digit(digits: str) -> str:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value // 10 + value % 10
    return str(-total % 10)


def digits(count: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=count, max_size=count)


GAPS = st.sampled_from(["", " ", "-", "  ", "–", "　", " - "])
phones = st.builds(
    lambda second, rest, gap: gap.join((f"1{second}{rest[0]}", rest[1:5], rest[5:])),
    st.sampled_from("3456789"),
    digits(9),
    GAPS,
)
ids = st.builds(
    lambda region, day, order, small: (
        (body := f"{region}{day:%Y%m%d}{order}") + (check_character(body).lower() if small else check_character(body))
    ),
    st.integers(110000, 659999),
    st.dates(date(1900, 1, 1), date(2026, 1, 1)),
    digits(3),
    st.booleans(),
)
cards = st.builds(
    lambda prefix, rest, gap: gap.join(re.findall(".{1,4}", prefix + rest + luhn_digit(prefix + rest))),
    st.sampled_from(["62", "4", "51", "34", "9558", "2221"]),
    st.integers(11, 14).flatmap(digits),
    GAPS,
)
emails = st.builds(
    "@".join,
    st.tuples(
        st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9._%+-]{0,20}[a-zA-Z0-9])?", fullmatch=True),
        st.sampled_from(["qq.com", "163.com", "mail.example.com.cn", "a-b.org"]),
    ),
)
private = st.one_of(phones, ids, cards, emails)
WIDE = str.maketrans("0123456789", "０１２３４５６７８９")
#: Text around a number; what joins it or stands where digits were masked is another number.
around = st.text(st.characters(codec="utf-8", exclude_characters="*@＠", exclude_categories=("Nd",)), max_size=12)


def hidden(number: str, text: str) -> bool:
    """No more of the number can be read than its ends."""
    return number not in text and "*" in text


@given(before=around, number=private, after=around, wide=st.booleans())
@example("手机", "138 1234 4406", "@qq.com", False)
@example("**", "13812344406", "**", False)
def test_any_private_number_is_masked_wherever_it_stands(before: str, number: str, after: str, wide: bool) -> None:
    shown = number.translate(WIDE) if wide and "@" not in number else number
    masked = redact(f"{before}{shown}{after}")
    assert hidden(shown, masked)
    assert len(masked) == len(before) + len(shown) + len(after)
    assert masked.endswith(after)
    local, at, _ = number.partition("@")
    assert sum(map(str.isdigit, masked[len(before) : len(before) + len(local)])) <= (1 if at else 8)


@given(
    st.text() | st.lists(st.one_of(private, digits(4), st.sampled_from([" ", "-", "*", "@", "+86", "x"]))).map("".join)
)
@example("13812344406 5678 9012 3452")
@example("a@b.cn@c.cn")
@example("x***@a.cn")
def test_masking_again_changes_nothing_and_lengths_stay(text: str) -> None:
    once = redact(text)
    assert redact(once) == once
    assert len(once) == len(text)
    assert spans(once) == []


@given(st.text(st.characters(codec="utf-8", exclude_characters="@", exclude_categories=("Nd",))))
def test_text_without_digits_or_addresses_is_unchanged(text: str) -> None:
    assert redact(text) == text


@given(digits(13).map(lambda rest: f"5{rest}"))
def test_an_order_number_that_fails_its_check_stays(number: str) -> None:
    assume(luhn_digit(number[:-1]) != number[-1])
    assert redact(f"订单号{number}，请查收") == f"订单号{number}，请查收"


@given(st.lists(private | st.text(max_size=5)).map(" ".join))
def test_spans_are_in_order_and_apart(text: str) -> None:
    found = spans(text)
    assert all(0 <= one.start < one.end <= len(text) for one in found)
    assert all(left.end <= right.start for left, right in pairwise(found))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("请打13812344406找我", "请打138****4406找我"),
        ("+86 138-1234-4406", "+86 138-****-4406"),
        ("8613812344406", "86138****4406"),
        ("tel:1381-234-4406。", "tel:138*-***-4406。"),
        ("身份证11010519491231002X", "身份证1101**********002X"),
        ("11010519491231002xyz", "1101**********002xyz"),
        ("6222 0212 3456 7894", "6222 **** **** 7894"),
        ("622202 1234567890128", "6222** *********0128"),
        ("３７８２ ８２２４６３ １０００５", "３７８２ ****** *０００５"),
        ("发到zhangsan@example.com吧", "发到z*******@example.com吧"),
        ("a@b.cn", "*@b.cn"),
        ("13812344406、13912344406", "138****4406、139****4406"),
        ("13812344406 13912344406", "138****4406 139****4406"),
        ("13812344406@qq.com", "1**********@qq.com"),
    ],
)
def test_what_remains_is_enough_to_recognise(text: str, masked: str) -> None:
    assert redact(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "SF1012345678901",
        "订单 202611180000012345",
        "1795000000000",
        "2019 2020 2021 2022 2023",
        "电话 010-62345678",
        "12812344406",
        "138123444061",
        "110105194912310021",
        "110105194913310023",
        "¥1,234,567.89，3.14159265358979",
        "192.168.100.200:8080",
        "@所有人 你好",
        "a3f138123444060bc9" + "0" * 14 + "13812344406" + "a" * 21,
        "f47ac10b-58cc-4372-a567-0e02b2c3d479",
    ],
)
def test_what_only_looks_private_stays(text: str) -> None:
    assert redact(text) == text


def test_long_texts_take_time_in_proportion() -> None:
    started = time.process_time()
    for text in (
        "1 " * 50_000,
        "a" * 100_000 + "@",
        "@" * 100_000,
        "a.b@" * 25_000,
        "1" * 100_000,
        "13812344406 " * 8_000,
    ):
        redact(text)
    assert time.process_time() - started < 5


# ------------------------------------------------------------------------- logs


def _logged(message: object, *args: object, error: Exception | None = None) -> str:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, message, args, None)
    if error is not None:
        record.exc_info = (type(error), error, None)
    assert RedactingFilter().filter(record)
    return logging.Formatter().format(record)


def test_logs_are_masked_in_message_arguments_and_exceptions() -> None:
    assert _logged("call %s", 13812344406) == "call 138****4406"
    assert _logged("100% of %s", "z@example.com") == "100% of %s ('*@example.com',)"
    text = _logged("failed", error=ValueError("no such user 13812344406"))
    assert "138****4406" in text
    assert "13812344406" not in text


def test_what_is_not_private_keeps_its_arguments_and_its_exception() -> None:
    error = ValueError("plain")
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "%s of %d", ("a", 5), (ValueError, error, None))
    RedactingFilter().filter(record)
    assert record.args == ("a", 5)
    assert record.exc_info is not None
    assert record.getMessage() == "a of 5"


# --------------------------------------------------------------------- pictures


def test_the_box_covers_the_number_and_little_else() -> None:
    line = Line("电话 13812344406 张三", Box(100, 50, 310, 70))
    (box,) = mask_boxes(Page(400, 100, (line,)))
    # 21 units of 10 pixels: the number stands from 150 to 260.
    assert (box.top, box.bottom) == (50, 70)
    assert 130 <= box.left <= 150
    assert 260 <= box.right <= 285


def test_a_number_found_in_pieces_is_covered_in_each() -> None:
    row = [
        Line(text, Box(left, 10, left + 40, 30))
        for text, left in (("6222", 0), ("0212", 50), ("3456", 100), ("7894", 150))
    ]
    below = Line("6222", Box(0, 50, 40, 70))
    boxes = mask_boxes(Page(200, 80, (*row, below)))
    assert [box.left for box in boxes] == [0, 50, 100, 150]
    assert all(box.bottom == 30 for box in boxes)


def test_upright_lines_are_divided_along_their_height() -> None:
    (box,) = mask_boxes(Page(50, 400, (Line("电话13812344406", Box(10, 0, 30, 300)),)))
    assert (box.left, box.right, box.bottom) == (10, 30, 300)
    assert 65 <= box.top <= 80


@given(st.lists(st.tuples(private | st.text(max_size=8), st.integers(1, 300), st.integers(1, 60)), max_size=4))
def test_boxes_never_leave_their_line(texts: list[tuple[str, int, int]]) -> None:
    lines = tuple(
        Line(text, Box(7, 70 * n, 7 + width, 70 * n + height)) for n, (text, width, height) in enumerate(texts)
    )
    for box in mask_boxes(Page(400, 400, lines)):
        assert any(
            line.box.left <= box.left < box.right <= line.box.right
            and line.box.top <= box.top < box.bottom <= line.box.bottom
            for line in lines
        )


@pytest.mark.parametrize(
    ("kind", "mode"), [("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "L"), ("JPEG", "RGB")]
)
def test_a_masked_picture_has_nothing_left_there(kind: str, mode: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), "white").convert(mode).save(out, kind)
    masked = Image.open(io.BytesIO(mask_picture(out.getvalue(), [Box(8, 8, 32, 24), Box(5, 5, 5, 9)])))
    assert (masked.size, masked.format) == ((64, 48), kind)
    seen = masked.convert("L")
    assert seen.crop((9, 9, 31, 23)).getextrema()[1] < 60
    assert seen.crop((40, 30, 64, 48)).getextrema()[0] > 240


def test_a_picture_without_private_numbers_is_left_as_it_is() -> None:
    assert mask_picture(b"any bytes", []) == b"any bytes"
