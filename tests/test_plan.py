"""A reply as the messages that a platform takes."""

from __future__ import annotations

from fakes import message_event

from bot.adapter import Limits
from bot.event import Reply
from bot.message import Text
from bot.pieces import measure
from bot.plan import plan, shown

REPORT = "# 设备 巡检/报告\n\n" + "设备运行正常，没有发现问题。" * 200


def test_keys_are_stable_and_differ_between_events_and_pieces() -> None:
    reply = Reply((Text("一。" * 90),), footer="脚注")
    first, again, other = (plan(reply, message_event(n), Limits(text_length=64)) for n in (1, 1, 2))
    assert first == again
    assert len({one.key for one in first + other}) == len(first) + len(other) > 4
    assert "脚注" in first[-1].text


def test_pieces_are_counted_as_the_platform_counts() -> None:
    pieces = plan(Reply((Text(REPORT),)), message_event(1), Limits(text_length=2048, text_unit="bytes"))
    assert len(pieces) > 3
    assert all(measure(one.text, "bytes") <= 2048 for one in pieces)


def test_a_long_report_goes_out_as_a_short_text_and_a_file_where_files_are_taken() -> None:
    text, file = plan(Reply((Text(REPORT),), report=True, handover=True), message_event(1), Limits(files=True))
    assert len(text.text) < 400
    assert "见附件《设备 巡检 报告.md》" in text.text
    assert file.file is not None
    assert file.file.content.decode("utf-8-sig") == REPORT
    assert (text.handover, file.handover) == (False, True)
    assert all(one.file is None for one in plan(Reply((Text(REPORT),), report=True), message_event(1), Limits()))


def test_the_short_text_beside_a_file_is_counted_as_the_platform_counts() -> None:
    limits = Limits(text_length=200, text_unit="bytes", files=True)
    texts = plan(Reply((Text(REPORT),), report=True), message_event(1), limits)
    assert all(measure(one.text, "bytes") <= 200 for one in texts)
    assert texts[-1].file is not None


def test_a_report_that_fits_stays_whole_beside_its_file() -> None:
    text, file = plan(Reply((Text(REPORT),), report=True), message_event(1), Limits(text_length=5000, files=True))
    assert text.text.startswith("【设备 巡检/报告】")
    assert text.text.endswith("问题。")
    assert file.file is not None
    (short,) = plan(Reply((Text("# 简报\n好"),), report=True), message_event(1), Limits(files=True))
    assert short.file is None


def test_an_unfinished_text_is_cut_to_the_length() -> None:
    assert shown("**粗**", Limits()) == "粗"
    assert shown("图" * 100, Limits(text_length=60, text_unit="bytes")) == "图" * 19 + "…"
