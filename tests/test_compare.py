"""`kantu compare` and `kantu bench compare`: tiny models, fakes, the terminal's columns, the page."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from fakes import FakeEngine
from hypothesis import given
from hypothesis import strategies as st
from pictures import drawing, encoded
from tiny_glm import write_tiny_glm

from bot import bench_compare, compare
from bot.__main__ import main
from bot.bench_compare import A10G, A10G_BYTES_PER_SECOND, Column
from bot.bench_table import render as render_table
from bot.clock import Clock
from bot.columns import bar, beside, pad, printable, width, wrap
from bot.compare import Comparison, Side, only_one, sizes
from bot.compare_page import render_page
from bot.config import BreakerConfig, Config, ModelsConfig, parse
from bot.engine.base import Engine
from bot.engine.chain import EngineChain
from bot.engine.local.device import Device, examine
from bot.errors import ConfigError, EngineUnavailable, RequestRejected
from bot.message import Image

pytestmark = pytest.mark.filterwarnings(r"ignore::FutureWarning:transformers\..*")
TWO = {"light": {"engine": "local", "model": "a"}, "heavy": {"engine": "local", "model": "b"}}


@pytest.fixture(scope="module", autouse=True)
def _light() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("compare")
    return write_tiny_glm(root / "small", layers=1), write_tiny_glm(root / "large", seed=1, layers=2)


@pytest.fixture
def config(models: tuple[Path, Path], tmp_path: Path) -> str:
    """A configuration with two tiny models."""
    light, heavy = (
        {"engine": "local", "model": str(folder), "weights": "fp32", "context_tokens": 4096, "sequences": 2}
        for folder in models
    )
    path = tmp_path / "config.yaml"
    data = {"data_dir": str(tmp_path / "data"), "models": {"light": light, "heavy": heavy}}
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return str(path)


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "图.png"
    path.write_bytes(encoded(drawing(120, 80)))
    return str(path)


class Shown(HTMLParser):
    """tags: all of the page. sources: of its pictures. text: what is read."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


# ---------------------------------------------------------------- kantu compare


def test_two_models_answer_the_same_question(
    config: str, picture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "out.html"
    command = ["compare", picture, "图里有什么？", "--tokens", "12", "--config", config]
    assert main([*command, "--json", "--html", str(page)]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert (found["question"], found["same"], found["note"]) == ("图里有什么？", False, "")
    assert [(one["width"], one["height"]) for one in found["pictures"]] == [(120, 80)]
    for role, name in (("light", "small"), ("heavy", "large")):
        side = found[role]
        assert (side["role"], side["engine"], side["error"]) == (role, name, "")
        assert 0 < side["completion_tokens"] <= 12
        assert side["prompt_tokens"] > 10
        assert 0 < side["first_token"] <= side["total"]
        assert set(side["memory"]) == {"weights", "cache"}
        assert f"{name}：首字" in captured.err
    assert found["light"]["memory"]["weights"] < found["heavy"]["memory"]["weights"]
    shown = Shown(page.read_text(encoding="utf-8"))
    assert [source.partition(",")[0] for source in shown.sources] == ["data:image/png;base64"]
    assert "图里有什么？" in shown.text


def test_the_answers_are_those_of_each_model_alone(
    config: str, picture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def asked(path: str) -> dict[str, Any]:
        assert main(["compare", picture, "什么？", "--tokens", "8", "--json", "--config", path]) == 0
        return json.loads(capsys.readouterr().out)

    both = asked(config)
    data = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
    for role in ("light", "heavy"):
        alone = Path(config).with_name(f"{role}.yaml")
        alone.write_text(yaml.safe_dump({**data, "models": {"light": data["models"][role]}}), encoding="utf-8")
        found = asked(str(alone))
        assert found["same"]
        assert found["light"]["answer"] == found["heavy"]["answer"] == both[role]["answer"]


def test_with_no_configuration_it_says_that_both_are_the_reader(
    picture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KANTU_CONFIG", raising=False)
    assert main(["compare", picture, "这张图片多大？"]) == 0
    shown = capsys.readouterr().out
    assert "都是内置识别引擎" in shown
    assert shown.count("reader") == 2
    assert "重模型 reader" not in shown
    # It reads; it does not generate, and has no speed of its own.
    assert "词元/秒" not in shown


@pytest.mark.parametrize(
    ("models", "one"),
    [
        ({}, True),
        ({"light": TWO["light"]}, True),
        ({"light": TWO["light"], "heavy": TWO["light"]}, True),
        ({"light": {"engine": "reader"}, "heavy": {"engine": "reader", "processes": 2}}, True),
        ({"heavy": TWO["heavy"]}, False),
        (TWO, False),
    ],
)
def test_one_model_in_two_places_is_noticed(models: dict[str, Any], one: bool) -> None:
    section: ModelsConfig = parse({"models": models}, {}).models
    assert bool(only_one(section)) is one
    assert len(sizes(section)) == 2 - one


def fake_chain(light: Engine, heavy: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake engines in the place of the configured ones, built as the configuration says otherwise."""

    def build(config: Config, clock: Clock) -> EngineChain:
        return EngineChain(light, heavy, None, BreakerConfig(), clock, fallback=config.models.fallback)

    monkeypatch.setattr(compare, "build_engines", build)
    monkeypatch.setattr(bench_compare, "build_engines", build)


async def test_a_model_that_is_away_is_not_answered_for_by_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    light, heavy = FakeEngine("轻"), FakeEngine("重")
    heavy.errors = [EngineUnavailable("显存不足")]
    fake_chain(light, heavy, monkeypatch)
    config = parse({"data_dir": str(tmp_path), "models": TWO}, {})
    found = await compare.compare(config, [], "你好", tokens=5)
    assert [(side.engine, side.answer, side.error) for side in found.sides] == [
        ("轻", "好的", ""),
        ("重", "", "显存不足"),
    ]
    assert "没有回答：显存不足" in compare.render(found, 100)
    assert len(light.requests) == 1


async def test_pictures_are_scaled_to_what_a_model_holds_and_too_long_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = FakeEngine("小", context_tokens=1500), FakeEngine("大", context_tokens=100_000)
    fake_chain(small, large, monkeypatch)
    config = parse({"data_dir": str(tmp_path), "models": TWO}, {})
    data = encoded(drawing(2000, 2000))
    await compare.compare(config, [data], "什么？", tokens=64)
    assert small.requests[0].max_sides
    assert not large.requests[0].max_sides
    assert len(large.requests[0].pictures) == 1
    found = await compare.compare(config, [], "长" * 5000, tokens=64)
    assert "太长" in found.sides[0].error
    assert found.sides[1].answer == "好的"


def test_bad_arguments_are_refused_before_anything_is_loaded(
    config: str, picture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> EngineChain:
        pytest.fail("an engine was built")

    monkeypatch.setattr(compare, "build_engines", refuse)
    for words in (
        [picture, "问", "--html", str(tmp_path / "no" / "x.html")],
        [picture, "问", "--html", str(tmp_path)],
        [str(tmp_path / "none.png"), "问"],
        [" "],
    ):
        assert main(["compare", *words, "--config", config]) == 1
        assert capsys.readouterr().err.startswith("kantu: ")
    with pytest.raises(SystemExit):
        main(["compare", picture, "问", "--tokens", "0", "--config", config])


# ---------------------------------------------------------------- how it looks


LIGHT = Side("light", "小", answer="短的回答", first_token=0.1, tokens_per_second=10.0, completion_tokens=4)
HEAVY = Side("heavy", "大", answer="长的回答，" * 30, first_token=0.2, tokens_per_second=5.0, completion_tokens=90)
FOUND = Comparison("问什么？", (), (), (LIGHT, HEAVY))


@pytest.mark.parametrize("columns", [24, 60, 75, 76, 100, 200])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    lines = compare.render(FOUND, columns).splitlines()
    assert max(map(width, lines)) <= columns
    assert any("小" in line and "大" in line for line in lines) is (columns >= 76)
    assert "".join(HEAVY.answer.split()) in "".join("".join(line.rpartition("│")[2].split()) for line in lines)


WORDS = st.text(st.sampled_from("看图kantu 12，。「」\n\té\u0301😀"), max_size=200)


@given(WORDS, st.integers(4, 60))
def test_wrapping_loses_nothing_but_spaces(text: str, columns: int) -> None:
    lines = wrap(text, columns)
    assert all(width(line) <= columns for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@given(WORDS, WORDS, st.integers(20, 100))
def test_the_middle_line_stands_straight(left: str, right: str, columns: int) -> None:
    lines = beside(left, right, columns).splitlines()
    assert len({width(line.partition("│")[0]) for line in lines}) == 1
    assert all(width(line) <= columns for line in lines)


def test_closing_marks_do_not_begin_a_line() -> None:
    assert wrap("一二三，四五", 6) == ["一二", "三，四", "五"]
    assert wrap("  缩进 word", 9) == ["  缩进", "word"]


@given(st.floats(0, 1), st.floats(0, 1))
def test_bars_are_as_long_as_their_values(one: float, other: float) -> None:
    assert width(bar(one, 40)) <= 40
    assert bool(bar(one, 40)) is (one > 0)
    assert width(bar(min(one, other), 40)) <= width(bar(max(one, other), 40))
    assert width(pad(bar(one, 40), 40)) == 40


def test_what_a_terminal_would_obey_is_taken_out() -> None:
    assert printable("\x1b[31m红\x07\u202e\ud800字\r\n") == "[31m红字\n"
    assert "\x1b" not in compare.render(replace(FOUND, sides=(replace(LIGHT, answer="\x1b]0;x\x07"),)), 80)


def test_the_page_escapes_everything_and_stands_alone() -> None:
    data = encoded(drawing())
    image = Image(sha256="0" * 64, mime_type="image/png", width=64, height=48, index=1)
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&\ud800"
    sides = (Side("light", evil, answer=evil, first_token=1.0), Side("heavy", "x", error=evil))
    page = render_page(Comparison(evil, (image,), (data,), sides, note=evil))
    shown = Shown(page.encode().decode())
    assert "script" not in shown.tags
    assert shown.sources == [f"data:image/png;base64,{base64.b64encode(data).decode()}"]
    assert shown.text.count("<script>alert(1)</script>") == 5
    assert "default-src 'none'" in page


# ---------------------------------------------------------------- kantu bench compare


def test_bench_compare_measures_both(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "compare", "--tokens", "4", "--config", config]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["note"] == ""
    light, heavy = found["models"]
    assert [light["engine"], heavy["engine"]] == ["small", "large"]
    for one in (light, heavy):
        assert one["error"] == ""
        assert "fp32 on cpu" in one["loaded"]
        assert one["context_tokens"] == 4096
        assert one["measured"]["tokens_per_second"] > 0
        assert one["measured"]["follow_up_cached_tokens"] > 100
        assert one["pictures"]["error"] == ""
        assert one["pictures"]["prompt_tokens"] > 2 * one["measured"]["prompt_tokens"]
        assert one["turns"]["cached_tokens"] > one["measured"]["prompt_tokens"]
        assert {kind: known["trouble"] for kind, known in one["kinds"].items()} == dict.fromkeys(
            ("int8", "fp8", "int4"), ""
        )
        assert one["device"]["copied"] > 0
    assert light["disk"]["checkpoint"] < heavy["disk"]["checkpoint"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "█" in shown
    assert "INT4 ✓" in shown


def test_quantised_copies_are_counted(config: str, models: tuple[Path, Path], tmp_path: Path) -> None:
    from bot.engine.local.load import quantize

    copy = quantize(str(models[0]), "int8", tmp_path / "data")
    loaded = compare_config(config)
    device = Device("x", 1e12, 1 << 40, {"int8": "", "int4": ""})
    disk, kinds = bench_compare._files(loaded.models.light, device, tmp_path / "data")  # pyright: ignore[reportArgumentType]
    assert disk["int8"] == sum(file.stat().st_size for file in copy.iterdir())
    assert set(disk) == {"checkpoint", "int8"}
    assert kinds["int4"].bytes < kinds["int8"].bytes
    tight = replace(device, bytes=kinds["int8"].bytes - 1)
    _, kinds = bench_compare._files(loaded.models.light, tight, tmp_path / "data")  # pyright: ignore[reportArgumentType]
    assert (bool(kinds["int8"].trouble), bool(kinds["int4"].trouble)) == (True, False)


def compare_config(path: str) -> Config:
    return parse(yaml.safe_load(Path(path).read_text(encoding="utf-8")), {})


def test_the_published_figures_scale_with_the_bandwidth() -> None:
    same = A10G["light"].scaled(A10G_BYTES_PER_SECOND)
    assert same == A10G["light"]
    faster = A10G["light"].scaled(5 * A10G_BYTES_PER_SECOND)
    assert faster.tokens_per_second == pytest.approx(5 * 45)
    assert faster.first_token == pytest.approx(1.8 / 5)
    assert faster.follow_up == pytest.approx(0.1)
    assert faster.memory == same.memory
    assert A10G["heavy"].scaled(1e12).follow_up is None


def test_the_table_says_what_meets_its_expectation() -> None:
    measured = bench_compare.Measured("x", tokens_per_second=100.0, first_token=0.2, memory={"weights": 10**9})
    column = Column("light", "x", measured=measured, expected=A10G["light"].scaled(A10G_BYTES_PER_SECOND))
    slow = replace(column, role="heavy", measured=replace(measured, tokens_per_second=10.0))
    lines = render_table([column, slow], "", 100).splitlines()
    place = lines.index("速度")
    assert lines[place + 1].endswith("100.0 词元/秒  ✓")
    assert lines[place + 2].endswith("45.0 词元/秒")
    assert lines[place + 3].endswith("10.0 词元/秒  ✗")
    drawn = [line.count("█") for line in lines[place + 1 : place + 4]]
    assert drawn[0] > drawn[1] > drawn[2]
    assert all(width(line) <= 40 for line in render_table([column, slow], "", 40).splitlines())


async def test_a_model_that_fails_leaves_the_others_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    light, heavy = FakeEngine("轻"), FakeEngine("重")
    light.errors = [RequestRejected("坏了")]
    fake_chain(light, heavy, monkeypatch)
    openai = {"engine": "openai", "base_url": "http://127.0.0.1:1", "model": "m"}
    config = parse({"data_dir": str(tmp_path), "models": {"light": openai, "heavy": {**openai, "model": "n"}}}, {})
    first, second = await bench_compare.measure_all(config, 4)
    assert (first.error, first.measured) == ("坏了", None)
    assert second.measured is not None
    assert second.device is None
    shown = render_table([first, second], "", 80)
    assert "没有回答：坏了" in shown
    assert "A10G" not in shown


async def test_a_feat_that_does_not_fit_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    from bot.measure import several_pictures, several_turns

    engine = FakeEngine("x")
    engine.errors = [RequestRejected("一张就够了")]
    assert (await several_pictures(engine, 4)).error == "一张就够了"
    assert len(engine.requests[0].pictures) == 3
    turns = await several_turns(engine, 4)
    assert turns.error == ""
    assert [len(request.messages) for request in engine.requests[1:]] == [1, 3, 5, 7]
    assert len({request.cache_salt for request in engine.requests[1:]}) == 1


def test_a_device_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    found = examine("cpu")
    assert found.copied > 0
    assert found.kinds == {"int8": "", "fp8": "", "int4": ""}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="cuda:1"):
        examine("cuda:1")


def test_a_kind_that_computes_wrongly_is_no_support(monkeypatch: pytest.MonkeyPatch) -> None:
    from bot.engine.local import device

    def broken(kind: str) -> Any:
        if kind == "int8":
            return lambda name, weight, bias: lambda x: torch.zeros(len(x), len(weight))
        raise RuntimeError("no kernel image is available\nmore")

    monkeypatch.setattr(device, "make_packed", broken)
    found = examine("cpu")
    assert "off" in found.kinds["int8"]
    assert found.kinds["int4"] == "RuntimeError: no kernel image is available"


def test_measuring_needs_no_web_stack() -> None:
    code = (
        "import sys\n"
        "for name in ('aiohttp', 'msgspec', 'openai', 'yaml', 'sqlalchemy'): sys.modules[name] = None\n"
        "import bot.measure, bot.engine.local.device, bot.engine.local.load\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent, check=False)
    assert done.returncode == 0


async def test_devices_are_tried_before_models_are_loaded(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    async def tried(name: str) -> None:
        order.append(name)

    class Noting(FakeEngine):
        async def start(self) -> None:
            order.append(self.name)

    monkeypatch.setattr(bench_compare, "_examine", tried)
    fake_chain(Noting("轻"), Noting("重"), monkeypatch)
    await asyncio.wait_for(bench_compare.measure_all(compare_config(config), 4), 30)
    assert order == ["auto", "轻", "重"]
