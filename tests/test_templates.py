"""Templates of reports: files with front matter, chosen by the words of a request."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import FakeEngine, message_event

from bot.app import Core
from bot.clock import Clock
from bot.config import BreakerConfig, Config, ReportsConfig
from bot.dispatcher import Dispatcher
from bot.engine.chain import EngineChain
from bot.errors import ConfigError
from bot.router import ModelRouter
from bot.templates import Template, load, named, read
from handlers import ask
from handlers.report import shipped

HEAD = "---\nname: 周报\ntriggers: [周报]\nstructure:\n  - {title: 本周, share: 2}\n  - {title: 下周}\n---\n"


def template(folder: Path, text: str, name: str = "weekly.md") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_every_kind_of_report_ships() -> None:
    assert {one.name for one in shipped()} == {
        *("新闻稿", "图文博客", "公众号", "小红书", "巡检报告", "实验报告", "会议纪要"),
        *("医学检查解读", "漫画分镜故事", "PRD", "总结"),
    }
    assert all(one.purpose and one.tone and one.constraints and len(one.structure) > 2 for one in shipped())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("根据图1写一篇新闻稿", "新闻稿"),
        ("换成新闻口吻", "新闻稿"),
        ("写个公众号推文", "公众号"),
        ("帮我发条小红书笔记", "小红书"),
        ("按这几张图写设备巡检报告", "巡检报告"),
        ("整理成会议纪要", "会议纪要"),
        ("解读一下这张化验单", "医学检查解读"),
        ("把四格漫画写成分镜脚本", "漫画分镜故事"),
        ("写一份prd", "PRD"),
        ("写成图文博客", "图文博客"),
        ("写份实验报告", "实验报告"),
    ],
)
def test_the_words_of_a_request_choose(text: str, name: str) -> None:
    found = named(text, shipped())
    assert found is not None
    assert found.name == name


def test_nothing_is_chosen_by_words_that_name_none() -> None:
    assert named("写800字", shipped()) is None


def test_a_template_is_read_with_its_advice(tmp_path: Path) -> None:
    found = read(template(tmp_path, HEAD + "多写成绩。\n"))
    assert (found.name, found.advice) == ("周报", "多写成绩。")
    assert [(one.title, one.share) for one in found.structure] == [("本周", 2.0), ("下周", 1.0)]
    assert "多写成绩" in found.instructions


def test_a_later_folder_replaces_by_name(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder, tone in ((first, "甲"), (second, "乙")):
        folder.mkdir()
        template(folder, HEAD.replace("---\nname", f"---\ntone: {tone}\nname"))
    assert [one.tone for one in load(first, second)] == ["乙"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("# 没有头部", "front matter"),
        (HEAD.replace("triggers", "trigers"), "did you mean 'triggers'"),
        (HEAD.replace("{title: 本周, share: 2}", "{title: 本周, share: -1}"), "share"),
        ("---\nname: 空\nstructure: []\n---\n", "at least one section"),
        ("---\nname: [\n---\n", "cannot be read"),
    ],
)
def test_what_is_no_template_is_refused_with_its_file(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as raised:
        load(template(tmp_path, text).parent)
    assert "weekly.md" in str(raised.value)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        load(tmp_path / "none")


async def test_the_operators_template_writes_reports(tmp_path: Path) -> None:
    engine = FakeEngine()
    chain = EngineChain(engine, None, None, BreakerConfig(), Clock())
    own: tuple[Template, ...] = load(template(tmp_path, HEAD + "多写成绩。").parent)

    async def no_picture(sha256: str) -> bytes:
        raise AssertionError(sha256)

    dispatcher = Dispatcher([ask.on], ModelRouter(), chain, no_picture, templates=own)
    reply = await dispatcher.answer(message_event(1, "/报告 写一份周报"))
    assert reply is not None
    assert "多写成绩。" in engine.requests[-1].messages[0].text
    # The model planned nothing: the template's structure stands in.
    assert "本周" in engine.requests[-1].messages[-2].text


def test_a_broken_template_stops_the_start(tmp_path: Path) -> None:
    template(tmp_path, "# 没有头部")
    config = Config(data_dir=str(tmp_path / "data"), handlers=("ask",), reports=ReportsConfig(templates=str(tmp_path)))
    with pytest.raises(ConfigError, match="front matter"):
        Core.build(config, Clock())


def test_pages_need_an_address_that_browsers_know(tmp_path: Path) -> None:
    config = Config(data_dir=str(tmp_path), handlers=("ask",), reports=ReportsConfig(public_url="kantu.example.com"))
    with pytest.raises(ConfigError, match=r"reports\.public_url"):
        Core.build(config, Clock())
