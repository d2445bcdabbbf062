"""`kantu models` and `kantu bench`, as they are typed."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
import torch
import yaml
from fakes import FakeEngine
from PIL import Image
from tiny_glm import write_tiny_glm

from bot.__main__ import main
from bot.engine.base import GenerateRequest
from bot.errors import EngineUnavailable
from bot.eyetest import SIGHTS, examine, picture
from bot.models_command import verify

pytestmark = pytest.mark.filterwarnings(r"ignore::FutureWarning:transformers\..*")


@pytest.fixture(scope="module", autouse=True)
def _light() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_glm(tmp_path_factory.mktemp("commands") / "tiny", layers=1)


@pytest.fixture
def config(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A configuration with one model in ModelScope's cache: a/Tiny.1."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "ms"))
    shutil.copytree(made, tmp_path / "ms" / "models" / "a" / "Tiny___1")
    light = {"engine": "local", "model": "a/Tiny.1", "weights": "fp32", "context_tokens": 2048, "sequences": 4}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"data_dir": str(tmp_path / "data"), "models": {"light": light}}))
    return str(path)


def test_list_info_and_quantize(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--config", config]) == 0
    row = capsys.readouterr().out.splitlines()[1]
    assert row.split()[:2] == ["a/Tiny.1", "glm4v"]
    assert "F32" in row
    assert main(["models", "quantize", "a/Tiny.1", "--weights", "int4", "--config", config]) == 0
    assert "kantu-int4" in capsys.readouterr().out
    assert main(["models", "list", "--config", config]) == 0
    assert "F32 +int4" in capsys.readouterr().out
    assert main(["models", "info", "a/Tiny.1", "--config", config]) == 0
    shown = capsys.readouterr().out
    assert "memory as int4" in shown
    assert "4096 tokens" in shown
    assert main(["models", "info", "a/None", "--config", config]) == 2
    assert "kantu models pull a/None" in capsys.readouterr().err


def test_nothing_in_the_caches(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(tmp_path / "ms")
    assert main(["models", "list", "--config", config]) == 0
    assert "nothing yet" in capsys.readouterr().out


def test_a_broken_checkpoint_is_listed_as_such(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ms" / "models" / "a" / "Tiny___1" / "model.safetensors").unlink()
    assert main(["models", "list", "--config", config]) == 0
    assert "unusable" in capsys.readouterr().out


def test_verify_says_that_a_random_model_sees_nothing(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["models", "verify", "a/Tiny.1", "--weights", "fp32", "--device", "cpu", "--config", config]
    assert main(command) == 1
    shown = capsys.readouterr().out
    assert f"of {len(SIGHTS)}" in shown
    assert "no real checkpoint" in shown


def test_bench_prints_a_table_and_json(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "light", "--tokens", "4", "--config", config]) == 0
    shown = capsys.readouterr().out
    assert "tokens/s" in shown
    assert main(["bench", "light", "--json", "--tokens", "4", "--config", config]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["engine"] == "Tiny.1"
    assert found["start_seconds"] > 0
    assert found["first_token"] > 0
    assert found["follow_up_cached_tokens"] > 100
    assert found["at_once_tokens_per_second"] > 0
    assert set(found["memory"]) == {"weights", "cache"}


ANSWERS = {
    "word": "ELEPHANT", "number": "7730018256", "mixed code": "KT-4827-QX", "two lines": "second winter",
    "small print": "12.9.31", "left colour": "红色", "right colour": "蓝色", "shape": "三角形", "three discs": "3",
    "seven discs": "七个", "table cell": "4.25", "table count": "Plum", "chart largest": "B", "chart value": "60",
    "clock": "08:45", "arrow": "向右", "error code": "0x80070057",
}  # fmt: skip


def test_there_are_a_dozen_pictures_that_differ_where_they_should() -> None:
    assert len(SIGHTS) >= 12
    assert {sight.name for sight in SIGHTS} == set(ANSWERS)
    for sight in SIGHTS:
        colours = Image.open(BytesIO(picture(sight))).getcolors(1 << 20)
        assert colours is not None
        assert len(colours) > 1


async def test_right_answers_pass_and_wrong_ones_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    by_question = {(sight.question, picture(sight)): ANSWERS[sight.name] for sight in SIGHTS}

    def answer(request: GenerateRequest) -> str:
        (data,) = request.pictures.values()
        return by_question[request.messages[-1].text.strip(), data]

    assert await verify(FakeEngine(answer=answer)) == 0
    assert f"{len(SIGHTS)} of {len(SIGHTS)}" in capsys.readouterr().out
    assert await verify(FakeEngine(answer=lambda request: "不知道")) == 1
    assert f"0 of {len(SIGHTS)}" in capsys.readouterr().out


async def test_an_engine_that_is_away_is_no_score() -> None:
    engine = FakeEngine()
    engine.errors = [EngineUnavailable("away")]
    with pytest.raises(EngineUnavailable):
        await examine(engine)
    engine.errors = []
    outcomes = await examine(engine, SIGHTS[:1])
    assert [one.passed for one in outcomes] == [False]
    await asyncio.sleep(0)
