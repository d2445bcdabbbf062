"""From the configuration to a running local engine: checkpoints, weights, loading, failures, memory."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from tiny_glm import write_tiny_glm

from bot.clock import Clock
from bot.config import LocalModel, parse
from bot.engine.base import GenerateRequest, SamplingParams
from bot.engine.local import checkpoint, load, quantize
from bot.engine.local.load import WaitingEngine
from bot.engine.local.placing import Placing, cache_blocks, choose, choose_device
from bot.engine.local.settings import Settings
from bot.engine.local.shards import Shards
from bot.errors import ConfigError, EngineUnavailable
from bot.message import user

pytestmark = pytest.mark.filterwarnings(r"ignore::FutureWarning:transformers\..*")
CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def _light() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_glm(tmp_path_factory.mktemp("load") / "tiny-glm")


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "tiny-glm"))


def settings(folder: Path | str, **changes: Any) -> Settings:
    return Settings(str(folder), **{"context_tokens": 512, "sequences": 4, "weights": "fp32", **changes})


def ask(text: str = "你好", **sampling: Any) -> GenerateRequest:
    return GenerateRequest((user(text),), sampling=SamplingParams(temperature=0, max_tokens=6, **sampling))


def test_the_configuration_and_the_engine_agree_on_defaults() -> None:
    config = parse({"models": {"light": {"engine": "local"}}}, {}).models.light
    assert isinstance(config, LocalModel)
    assert config.model == "ZhipuAI/GLM-4.6V-Flash"
    assert Settings(**msgspec.structs.asdict(config)) == Settings(config.model)


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "cuda0"])
def test_an_unknown_device_is_refused_by_the_configuration(device: str) -> None:
    with pytest.raises(ConfigError, match=r"models\.light\.device"):
        parse({"models": {"light": {"engine": "local", "device": device}}}, {})


def place_in_huggingface(folder: Path, root: Path, name: str) -> Path:
    repository = root / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / "abc"
    snapshot.parent.mkdir(parents=True)
    shutil.copytree(folder, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    return snapshot


def test_a_checkpoint_is_found_as_folder_and_in_both_caches(folder: Path, tmp_path: Path) -> None:
    environ = {"HF_HOME": str(tmp_path / "hf"), "MODELSCOPE_CACHE": str(tmp_path / "ms")}
    assert checkpoint.find(str(folder), environ) == folder
    with pytest.raises(ConfigError, match=r"kantu models pull a/B\.1"):
        checkpoint.find("a/B.1", environ)
    scope = tmp_path / "ms" / "models" / "a" / "B___1"
    shutil.copytree(folder, scope)
    assert checkpoint.find("a/B.1", environ) == scope
    snapshot = place_in_huggingface(folder, tmp_path / "hf" / "hub", "zai-org/X")
    assert checkpoint.find("zai-org/X", environ) == checkpoint.find("ZhipuAI/X", environ) == snapshot
    assert dict(checkpoint.listed(environ)) == {"a/B.1": scope, "zai-org/X": snapshot}
    with pytest.raises(ConfigError, match="neither a folder"):
        checkpoint.find("/no/such", environ)


def test_what_the_files_say(folder: Path) -> None:
    facts = checkpoint.look(folder)
    assert (facts.model_type, facts.family, set(facts.sizes)) == ("glm4v", "glm4v", {"F32"})
    shards = Shards(folder, CPU, torch.float32)
    total = sum(
        int(torch.tensor(shards.leave(name)).prod()) for name in list(checkpoint.header(folder / "model.safetensors"))
    )
    assert facts.values == total
    assert 0 < facts.layer_values < facts.values
    assert (
        facts.weight_bytes("int4")
        < facts.weight_bytes("int8")
        < facts.weight_bytes("bf16")
        < facts.weight_bytes("fp32")
    )


def test_an_unknown_family_is_named_with_those_known(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))
    with pytest.raises(ConfigError, match=r"'llama' is not known; known: glm46v, glm4v"):
        load.load(settings(folder), folder.parent)


def test_a_checkpoint_that_is_cut_short_or_lacks_a_file_is_said_so(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ConfigError, match="cut short"):
        checkpoint.look(folder)
    weights.unlink()
    with pytest.raises(ConfigError, match="not complete"):
        checkpoint.look(folder)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, (0.0, 1.0, 0, 1.0)),
        ({"do_sample": False, "temperature": 0.8}, (0.0, 1.0, 0, 1.0)),
        ({"do_sample": True, "temperature": 0.8, "top_p": 0.6, "top_k": 2}, (0.8, 0.6, 2, 1.0)),
        ({"do_sample": True, "repetition_penalty": 1.1}, (1.0, 1.0, 0, 1.1)),
    ],
)
def test_sampling_defaults_are_the_checkpoints_own(said: dict[str, Any], expected: tuple[float, ...]) -> None:
    found = load.defaults(said)
    assert (found.temperature, found.top_p, found.top_k, found.repetition_penalty) == expected


async def test_the_first_request_waits_for_the_model(folder: Path) -> None:
    engine = WaitingEngine(settings(folder), folder.parent)
    assert engine.name == "tiny-glm"
    assert engine.memory() == {}
    assert "not loaded yet" in await engine.check()
    two = await asyncio.gather(engine.generate(ask()), engine.generate(ask()))
    assert two[0].text == two[1].text
    assert 0 < two[0].usage.completion_tokens <= 6
    assert engine.context_tokens == 512
    assert set(engine.memory()) == {"weights", "cache"}
    assert "fp32 on cpu" in await engine.check()
    engine.forget("nobody")
    await engine.close()


async def test_a_failed_load_is_told_to_whoever_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = WaitingEngine(settings(tmp_path / "none"), tmp_path)
    await engine.start()
    for _ in range(2):
        with pytest.raises(EngineUnavailable, match=r"cannot be loaded: .*neither a folder"):
            await engine.generate(ask())
    write_tiny_glm(tmp_path / "none", layers=1)
    monkeypatch.setattr(load, "_AGAIN", -1.0)
    assert (await engine.generate(ask())).usage.completion_tokens
    await engine.close()


async def test_closing_gives_up_a_load(folder: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(EngineUnavailable, match="given up"):
        load.load(settings(folder), folder.parent, stop)
    engine = WaitingEngine(settings(folder), folder.parent)
    task = asyncio.create_task(engine.start())
    await asyncio.sleep(0)
    await engine.close()
    await task


async def test_forgetting_drops_the_cached_prompt(folder: Path) -> None:
    engine = WaitingEngine(settings(folder), folder.parent)
    request = GenerateRequest((user("天地玄黄宇宙洪荒" * 4),), sampling=SamplingParams(max_tokens=2), cache_salt="s")
    assert (await engine.generate(request)).usage.cached_tokens == 0
    assert (await engine.generate(request)).usage.cached_tokens > 0
    engine.forget("s")
    assert (await engine.generate(request)).usage.cached_tokens == 0
    await engine.close()


def logits(folder: Path, data_dir: Path, weights: str) -> torch.Tensor:
    """Of the last token of a fixed prompt, by the engine's own model."""
    placing = Placing(CPU, weights, torch.float32)
    model, _ = load._model(folder, placing, data_dir, settings(folder), threading.Event())
    seen: list[torch.Tensor] = []
    prompt = model.encode(ask("天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。"))
    with torch.inference_mode():

        def attend(layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            q, k, v = (one.transpose(0, 1)[None] for one in (query, key, value))
            found = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            return found[0].transpose(0, 1)

        x = model.layers(model.embed(torch.tensor(prompt.ids)), prompt.positions, attend, ())
        seen.append(model.logits(x))
    return seen[0]


#: how far quantised logits may be from dense ones, as a share of the dense logits' own spread
BOUNDS = {"int8": 0.05, "fp8": 0.2, "int4": 0.5}


@pytest.mark.parametrize("kind", BOUNDS)
def test_a_quantised_model_stays_near_the_dense_one(folder: Path, kind: str) -> None:
    dense = logits(folder, folder.parent, "fp32")
    # Rows are many tokens in many contexts; the error is the root mean square over all of them.
    packed = logits(folder, folder.parent, kind)
    error = (packed - dense).pow(2).mean().sqrt() / dense.std()
    assert 0 < error < BOUNDS[kind]


@pytest.mark.parametrize("kind", BOUNDS)
def test_a_copy_computes_what_quantising_on_the_way_does(folder: Path, kind: str) -> None:
    on_the_way = logits(folder, folder.parent, kind)
    copy = load.quantize(str(folder), kind, folder.parent)
    assert copy == folder / f"kantu-{kind}"
    assert quantize.find_copy(folder, kind, folder.parent) == copy
    assert torch.equal(logits(folder, folder.parent, kind), on_the_way)
    before = (copy / "kantu.json").stat().st_mtime_ns
    assert load.quantize(str(folder), kind, folder.parent) == copy
    assert (copy / "kantu.json").stat().st_mtime_ns == before


def test_a_copy_of_another_checkpoint_or_without_its_files_is_not_used(folder: Path, tmp_path: Path) -> None:
    copy = load.quantize(str(folder), "int8", tmp_path)
    about = json.loads((copy / "kantu.json").read_text())
    (copy / "kantu.json").write_text(json.dumps({**about, "source": "0" * 64}))
    assert quantize.find_copy(folder, "int8", tmp_path) is None
    (copy / "kantu.json").write_text(json.dumps(about))
    (copy / "packed-00000.safetensors").unlink()
    assert quantize.find_copy(folder, "int8", tmp_path) is None
    assert quantize.find_copy(folder, "int8", tmp_path) is None
    assert load.quantize(str(folder), "int8", tmp_path) == copy


def test_where_the_checkpoint_cannot_be_written_to_the_copy_goes_to_the_data_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = quantize.os.access
    monkeypatch.setattr(quantize.os, "access", lambda path, mode: Path(path) != folder and real(path, mode))
    data = tmp_path / "data"
    copy = load.quantize(str(folder), "int4", data)
    assert copy.is_relative_to(data / "models")
    assert quantize.find_copy(folder, "int4", data) == copy
    with pytest.raises(ConfigError, match="int3"):
        load.quantize(str(folder), "int3", data)


def test_a_copy_in_several_files_is_read_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_the_way = logits(folder, tmp_path, "int8")
    monkeypatch.setattr(quantize, "_FILE_BYTES", 20_000)
    copy = load.quantize(str(folder), "int8", tmp_path)
    assert len(list(copy.glob("*.safetensors"))) > 2
    assert torch.equal(logits(folder, tmp_path, "int8"), on_the_way)


FACTS = checkpoint.Facts(
    Path("x"), "glm4v", "glm4v", 0, {}, values=10_000_000_000, layer_values=8_000_000_000, table_values=600_000_000
)


@pytest.mark.parametrize(
    ("memory", "expected"), [(100e9, "fp32"), (50e9, "bf16"), (30e9, "int8"), (17e9, "int4"), (1e9, "int4")]
)
def test_auto_takes_the_best_that_fits_on_the_cpu(
    memory: float, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.engine.local.placing.free_bytes", lambda device: int(1e12))
    placing = choose(FACTS, "auto", CPU, int(memory), 1 << 30)
    assert placing.weights == expected
    assert placing.dtype == (torch.bfloat16 if expected == "bf16" else torch.float32)


@pytest.mark.parametrize(("free", "expected"), [(40e9, "bf16"), (22e9, "int8"), (15e9, "int4"), (8e9, "int4")])
def test_auto_takes_the_best_that_fits_on_a_card(free: float, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.engine.local.placing.free_bytes", lambda device: int(free))
    placing = choose(FACTS, "auto", torch.device("cuda", 0), None, 335_544_320)
    assert (placing.weights, placing.dtype) == (expected, torch.bfloat16)


def test_a_card_that_is_not_there_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(ConfigError, match="cuda:1 is not there"):
        choose_device("cuda:1")


def test_the_cache_takes_what_is_wanted_or_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    placing = Placing(CPU, "fp32", torch.float32)
    assert cache_blocks(placing, 1000, 50, None, 0, 10) == 50
    assert cache_blocks(placing, 1000, 50, 130_000, 100_000, 10) == 30
    with pytest.raises(ConfigError, match="no memory for the cache"):
        cache_blocks(placing, 1000, 50, 105_000, 100_000, 10)
    monkeypatch.setattr("bot.engine.local.placing.free_bytes", lambda device: (2 << 30) + 20_000)
    card = Placing(torch.device("cuda", 0), "bf16", torch.bfloat16)
    assert cache_blocks(card, 1000, 50, None, 0, 10) == 20


async def test_the_service_builds_it_by_configuration(folder: Path) -> None:
    from bot.app import build_engines

    section = {"engine": "local", "model": str(folder), "weights": "fp32", "context_tokens": 512, "sequences": 2}
    config = parse({"data_dir": str(folder.parent / "data"), "models": {"light": section}}, {})
    engines = build_engines(config, Clock())
    assert isinstance(engines.engine("light"), WaitingEngine)
    await engines.start()
    assert "tiny-glm" in await engines.engine("light").check()
    engines.forget("nobody")
    await engines.close()
