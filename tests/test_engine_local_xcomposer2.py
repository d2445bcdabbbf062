"""The InternLM-XComposer2 family against a slow decoder, CLIP of transformers, and SentencePiece itself."""

from __future__ import annotations

import asyncio
import hashlib
import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import drawing, encoded
from safetensors.torch import load_file, save_file
from tiny_xcomposer2 import CONFIG, TOWER, slow_logits, write_tiny_xcomposer2, write_tokenizer
from torch import Tensor

from benchmarks import engine_equivalence as equivalence
from bot.engine.base import GenerateRequest, SamplingParams
from bot.engine.local.engine import LocalEngine
from bot.engine.local.linear import make_packed
from bot.engine.local.model import Model, Prompt
from bot.engine.local.models.xcomposer2 import XComposer2, load
from bot.engine.local.models.xcomposer2_pictures import PictureReader
from bot.engine.local.models.xcomposer2_prompt import reference_segments
from bot.engine.local.models.xcomposer2_tokenizer import Tokenizer
from bot.engine.local.runner import Runner
from bot.errors import ConfigError, RequestRejected
from bot.message import Image, Message, assistant, system, user

CPU = torch.device("cpu")
CLOSE = 1e-4
DATA = {number: encoded(drawing(60 + 31 * number, 150 - 23 * number)) for number in range(1, 4)}
SHOWN = {number: Image(sha256=hashlib.sha256(data).hexdigest(), index=number) for number, data in DATA.items()}
KNOWN = {SHOWN[number].sha256: data for number, data in DATA.items()}


def request(*messages: Message, new: int = 12, **settings: Any) -> GenerateRequest:
    sampling = SamplingParams(temperature=0.0, repetition_penalty=1.0, max_tokens=new)
    said = messages if messages[0].role == "system" else (system("短答"), *messages)
    return GenerateRequest(said, KNOWN, sampling, **settings)


TURNS = (user(SHOWN[1], "这是什么？"), assistant("一只猫"), user("颜色呢"))
REQUESTS = {
    "text": request(user("please describe 订单 12.50 元")),
    "one picture": request(system("短答"), user(SHOWN[1], "请描述图片")),
    "several pictures": request(user(SHOWN[2], "和", SHOWN[3], SHOWN[1], "比较")),
    "several turns": request(*TURNS),
    "a picture in a later turn": request(*TURNS, assistant("红"), user(SHOWN[3], "这张呢")),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_xcomposer2(tmp_path_factory.mktemp("xcomposer2"))


@pytest.fixture(scope="module")
def model(folder: Path) -> XComposer2:
    return load(folder, CPU, torch.float32)


@torch.no_grad()
def embedded(model: Model, prompt: Prompt, answer: list[int]) -> tuple[Tensor, Tensor]:
    """Embeddings with the features in them, and which are a picture's."""
    x = model.embed(torch.tensor([*prompt.ids, *answer]))
    seen = torch.zeros(len(x), dtype=torch.bool)
    features = [one for some in model.see([span.picture for span in prompt.spans]) for one in some]
    for span, found in zip(prompt.spans, features, strict=True):
        rows = slice(span.start, span.start + span.picture.tokens)
        x[rows], seen[rows] = found, True
    return x, seen


def truth(folder: Path, model: Model, asked: GenerateRequest) -> list[int]:
    """Greedy ids, each computed from the beginning."""
    tensors = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    prompt, answer = model.encode(asked), list[int]()
    while len(answer) < (asked.sampling.max_tokens or 0):
        x, seen = embedded(model, prompt, answer)
        answer.append(int(slow_logits(tensors, config, x, seen)[-1].argmax()))
        if answer[-1] in model.stop_ids:
            break
    return answer


def told(model: Model, ids: list[int]) -> str:
    return model.decode_text([one for one in ids if one not in model.stop_ids])


async def say(engine: LocalEngine, asked: GenerateRequest) -> str:
    return (await engine.generate(asked)).text


# ---------------------------------------------------------------- the whole engine


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_key_value_heads": 1},
        {"num_key_value_heads": 4, "bias": True},
        {"hidden_size": 96, "num_attention_heads": 6, "num_key_value_heads": 3},
    ],
    ids=str,
)
async def test_answers_are_the_slow_decoders(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = write_tiny_xcomposer2(tmp_path, changes=changes, seed=3)
    model = load(folder, CPU, torch.float32)
    wanted = {name: told(model, truth(folder, model, asked)) for name, asked in REQUESTS.items()}
    for chunk in (7, 512):
        engine = LocalEngine(model, blocks=400, block_size=4, chunk=chunk)
        # Together, then once more from the cache.
        for _ in range(2):
            answers = await asyncio.gather(*(say(engine, asked) for asked in REQUESTS.values()))
            assert dict(zip(REQUESTS, answers, strict=True)) == wanted
        await engine.close()


def test_the_script_finds_every_way_equal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--device", "cpu", "--dtype", "float32", "--new", "6"]
    assert equivalence.main([str(folder), *options]) == 0
    assert capsys.readouterr().out.count(" ok\n") == 8


async def test_a_second_question_computes_its_new_tokens_only(model: XComposer2) -> None:
    engine = LocalEngine(model, blocks=400, block_size=4)
    first = await engine.generate(request(user(SHOWN[1], "这是什么？")))
    again = await engine.generate(request(user(SHOWN[1], "颜色呢")))
    other = await engine.generate(request(user(SHOWN[2], "这是什么？")))
    end = model.encode(request(user(SHOWN[1], "x"))).spans[0]
    assert first.usage.cached_tokens == 0
    assert again.usage.cached_tokens >= end.start + end.picture.tokens
    assert other.usage.cached_tokens == end.start
    fresh = LocalEngine(model, blocks=400, block_size=4)
    assert await say(fresh, request(user(SHOWN[2], "这是什么？"))) == other.text
    await engine.close()
    await fresh.close()


async def test_a_cache_that_is_too_small_changes_no_answer(folder: Path, model: XComposer2) -> None:
    wanted = {name: told(model, truth(folder, model, asked)) for name, asked in REQUESTS.items()}
    longest = max(len(model.encode(asked).ids) for asked in REQUESTS.values()) + 14
    engine = LocalEngine(model, blocks=longest // 4 + 1, block_size=4, chunk=50)
    answers = await asyncio.gather(*(say(engine, replace(one, cache_salt=name)) for name, one in REQUESTS.items()))
    assert dict(zip(REQUESTS, answers, strict=True)) == wanted
    await engine.close()


@torch.no_grad()
def logits_of(model: Model, prompt: Prompt, seen: bool = True) -> Tensor:
    from bot.engine.local.attention import BlockAttention, Part

    runner = Runner(model, 40, 16, graphs=False)
    x, _ = embedded(model, prompt, [])
    n = len(x)
    spans = [slice(one.start, one.start + one.picture.tokens) for one in prompt.spans] if seen else []
    attend = BlockAttention(runner.memory, torch.arange(n), [Part(0, n, n, torch.arange(-(-n // 16)))])
    return model.logits(model.layers(x, prompt.positions, attend, spans))


def test_plora_counts_on_pictures_and_nowhere_else(folder: Path, tmp_path: Path, model: XComposer2) -> None:
    tensors = load_file(folder / "model.safetensors")
    for name in tensors:
        if "Plora_B" in name:
            tensors[name] = torch.randn(tensors[name].shape, generator=torch.Generator().manual_seed(1))
    for file in ("config.json", "tokenizer.model"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    save_file(tensors, tmp_path / "model.safetensors")
    changed = load(tmp_path, CPU, torch.float32)
    text, picture = (model.encode(REQUESTS[name]) for name in ("text", "one picture"))
    assert torch.equal(logits_of(model, text), logits_of(changed, text))
    start = picture.spans[0].start
    before, after = logits_of(model, picture), logits_of(changed, picture)
    assert torch.equal(before[:start], after[:start])
    assert float((before[start:] - after[start:]).abs().min(-1).values.max()) > 0
    assert torch.equal(logits_of(model, picture, seen=False), logits_of(changed, picture, seen=False))


@pytest.mark.parametrize(("kind", "bound"), [("int8", 0.05), ("fp8", 0.2), ("int4", 0.6)])
def test_quantised_logits_stay_near(folder: Path, model: XComposer2, kind: str, bound: float) -> None:
    prompt = model.encode(REQUESTS["one picture"])
    dense = logits_of(model, prompt)
    packed = logits_of(load(folder, CPU, torch.float32, make_packed(kind)), prompt)
    error = float((packed - dense).pow(2).mean().sqrt() / dense.std())
    assert 0 < error < bound


def test_rotation_beyond_the_context_grows_with_the_length(tmp_path: Path) -> None:
    changes = {"max_position_embeddings": 20, "rope_scaling": {"type": "dynamic", "factor": 2.0}, "rope_theta": 1000}
    folder = write_tiny_xcomposer2(tmp_path, changes=changes)
    model = load(folder, CPU, torch.float32)
    tensors, config = load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())
    prompt = model.encode(REQUESTS["one picture"])
    x, seen = embedded(model, prompt, [])
    assert len(x) > 40
    far = (logits_of(model, prompt) - slow_logits(tensors, config, x, seen)).abs().max()
    assert float(far) < CLOSE
    # Token by token each knows of itself only, as the tokens of an answer do.
    alone = replace(prompt, positions=torch.arange(len(x)).expand(2, -1))
    wanted = slow_logits(tensors, config, x, seen, last=list(range(len(x))))
    assert float((logits_of(model, alone) - wanted).abs().max()) < CLOSE
    assert float((logits_of(model, alone) - logits_of(model, prompt)).abs().max()) > 0.01


# ---------------------------------------------------------------- files


def test_torch_files_and_shards_are_the_same_model(folder: Path, tmp_path: Path, model: XComposer2) -> None:
    prompt = model.encode(REQUESTS["several pictures"])
    for bins in (1, 3):
        other = write_tiny_xcomposer2(tmp_path / str(bins), bins=bins)
        if bins == 1:
            (other / "pytorch_model.bin.index.json").unlink()
            (other / "pytorch_model-00001-of-00001.bin").rename(other / "pytorch_model.bin")
        assert torch.equal(logits_of(load(other, CPU, torch.float32), prompt), logits_of(model, prompt))


class Evil:
    def __reduce__(self) -> Any:
        return print, ("run",)


def test_code_in_torch_files_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_tiny_xcomposer2(tmp_path, bins=1)
    torch.save({"model.norm.weight": Evil()}, folder / "pytorch_model-00001-of-00001.bin")
    with pytest.raises(ConfigError, match="holds more than tensors"):
        load(folder, CPU, torch.float32)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("model.layers.1.feed_forward.w2.Plora_A.weight", None, "lack the tensor model.layers.1.feed_forward.w2.P"),
        ("vision_proj.0.bias", None, "lack the tensor vision_proj.0.bias"),
        ("model.layers.0.attention.wo.weight", torch.zeros(3, 3), r"wo.weight has shape \(3, 3\)"),
        ("model.layers.7.attention.wo.weight", torch.zeros(3, 3), "unexpected tensors model.layers.7.attention.wo"),
        ("model.layers.0.attention.wo.qweight", torch.zeros(3, 3), "AWQ"),
    ],
)
def test_errors_name_the_tensor(folder: Path, tmp_path: Path, name: str, change: Tensor | None, said: str) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors.pop(name, None)
    if change is not None:
        tensors[name] = change
    for file in ("config.json", "tokenizer.model"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ConfigError, match=said):
        load(tmp_path, CPU, torch.float32)


PRODUCTS = ("wqkv.weight", "wo.weight", "w1.weight", "w2.weight", "w3.weight")


def pack_gptq(weight: Tensor, group: int, dice: torch.Generator, *, order: bool) -> tuple[dict[str, Tensor], Tensor]:
    """A weight [outputs, inputs] as auto-gptq stores it, and what it is then worth; nibble by nibble."""
    outputs, inputs = weight.shape
    groups = torch.arange(inputs) // group
    if order:
        groups = groups[torch.randperm(inputs, generator=dice)]
    count = int(groups.max()) + 1
    scale = (0.02 + 0.02 * torch.rand(count, outputs, generator=dice)).half()
    zero = torch.randint(1, 17, (count, outputs), generator=dice)
    worth = torch.zeros(outputs, inputs)
    words = torch.zeros(inputs // 8, outputs, dtype=torch.int64)
    zeros = torch.zeros(count, outputs // 8, dtype=torch.int64)
    for i in range(inputs):
        of = int(groups[i])
        q = (weight[:, i] / scale[of].float() + zero[of]).round().clamp(0, 15).long()
        words[i // 8] |= q << (4 * (i % 8))
        worth[:, i] = scale[of].float() * (q - zero[of])
    for o in range(outputs):
        zeros[:, o // 8] |= (zero[:, o] - 1) << (4 * (o % 8))

    def signed(values: Tensor) -> Tensor:
        return torch.where(values >= 1 << 31, values - (1 << 32), values).int()

    found = {"qweight": signed(words), "qzeros": signed(zeros), "scales": scale, "g_idx": groups.int()}
    return found | {"bias": torch.zeros(outputs).half()}, worth


@pytest.mark.parametrize(("group", "order"), [(32, False), (16, True), (96, False)])
def test_gptq_checkpoints(folder: Path, tmp_path: Path, group: int, order: bool) -> None:
    dice = torch.Generator().manual_seed(4)
    tensors, dense = load_file(folder / "model.safetensors"), dict[str, Tensor]()
    packed = dict(tensors)
    for name, tensor in tensors.items():
        if name.startswith("model.layers.") and name.endswith(PRODUCTS):
            stem = name.removesuffix(".weight")
            parts, dense[name] = pack_gptq(tensor, group, dice, order=order)
            del packed[name]
            packed |= {f"{stem}.linear.{part}": value for part, value in parts.items()}
    folders = {}
    kinds = {"packed": packed, "dense": tensors | dense}
    files = {"packed": f"gptq_model-4bit-{group}g.safetensors", "dense": "model.safetensors"}
    for kind, weights in kinds.items():
        folders[kind] = tmp_path / kind
        folders[kind].mkdir()
        for one in ("config.json", "tokenizer.model"):
            (folders[kind] / one).write_bytes((folder / one).read_bytes())
        save_file(weights, folders[kind] / files[kind])
    prompt = load(folders["dense"], CPU, torch.float32).encode(REQUESTS["one picture"])
    both = [logits_of(load(folders[kind], CPU, torch.float32), prompt) for kind in ("packed", "dense")]
    assert float((both[0] - both[1]).abs().max()) < CLOSE


# ---------------------------------------------------------------- pictures


def test_the_tower_is_clips(folder: Path, model: XComposer2) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"transformers\..*")
        from transformers import CLIPVisionConfig, CLIPVisionModel

        sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
        config = CLIPVisionConfig(**sizes, image_size=56, patch_size=14)
        theirs = CLIPVisionModel(config).eval()
    tensors = {
        name.removeprefix(f"{TOWER}."): tensor
        for name, tensor in load_file(folder / "model.safetensors").items()
        if name.startswith(TOWER)
    }
    names = theirs.state_dict()
    prefix = "vision_model." if any(name.startswith("vision_model.") for name in names) else ""
    missing, unexpected = theirs.load_state_dict(
        {f"{prefix}{name}": one for name, one in tensors.items()}, strict=False
    )
    assert not unexpected
    assert all("position_ids" in name for name in missing)
    pixels = torch.stack([PictureReader(model._config).read(one, KNOWN[one]).pixels[0] for one in KNOWN])
    with torch.no_grad():
        wanted = theirs(pixels, output_hidden_states=True).hidden_states[-1][:, 1:]
        assert float((model.sight.tower(pixels) - wanted).abs().max()) < CLOSE


@pytest.mark.parametrize("variant", ["4khd", "2.5"])
def test_tiles_are_counted_as_they_are_seen(tmp_path: Path, variant: str) -> None:
    model = load(write_tiny_xcomposer2(tmp_path, variant=variant), CPU, torch.float32)
    for width, height in ((90, 40), (40, 90), (300, 300), (1, 700)):
        data = encoded(drawing(width, height))
        sha256 = hashlib.sha256(data).hexdigest()
        picture = model._reader.read(sha256, data, several=True)
        assert picture.tokens == model._reader.tokens(width, height, several=True)
        if len(picture.pixels) > 8:
            continue
        with torch.no_grad():
            found = [one for some in model.see([picture]) for one in some]
        assert [len(one) for one in found] == [picture.tokens]


def test_pictures_that_cannot_be_read_are_refused(model: XComposer2) -> None:
    with pytest.raises(RequestRejected, match="cannot be read"):
        model._reader.read("0" * 64, b"no picture")


@pytest.mark.parametrize("mode", ["base", "write", "web"])
def test_further_matrices_by_mode(tmp_path: Path, mode: str) -> None:
    folder = write_tiny_xcomposer2(tmp_path, variant="2.5")
    tensors, config = load_file(folder / "model.safetensors"), json.loads((folder / "config.json").read_text())
    for extra in {"base": (), "write": ("sft", "dpo"), "web": ("web",)}[mode]:
        for name in [one for one in tensors if one.endswith(f"lora_{extra}_A.weight")]:
            stem = name.removesuffix(f".lora_{extra}_A.weight")
            tensors[f"{stem}.weight"] += tensors[f"{stem}.lora_{extra}_B.weight"] @ tensors[name]
    model = load(folder, CPU, torch.float32, mode=mode)
    prompt = model.encode(REQUESTS["text"])
    x, seen = embedded(model, prompt, [])
    assert float((logits_of(model, prompt) - slow_logits(tensors, config, x, seen)).abs().max()) < CLOSE


# ---------------------------------------------------------------- words


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Any]:
    folder = tmp_path_factory.mktemp("words")
    write_tokenizer(folder)
    return Tokenizer(folder), sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))


ALPHABET = "请描述图片里面的颜色金额 thepicturas  \n\t0123456789.,，。——…（）🙂éＡ<>[]_/\\{}\u3000"


@settings(max_examples=400, deadline=None)
@given(text=st.one_of(st.text(ALPHABET, max_size=60), st.text(max_size=40)))
def test_ids_are_sentencepieces(words: tuple[Tokenizer, Any], text: str) -> None:
    ours, theirs = words
    if "\0" in text or any(word in text for word in ours.controls):
        return
    ids = theirs.encode(text)
    assert ours.encode(text) == ids
    assert ours.decode(ids) == theirs.decode(ids)


@given(ids=st.lists(st.integers(3, 500), max_size=30))
def test_any_ids_are_the_text_that_sentencepiece_gives(words: tuple[Tokenizer, Any], ids: list[int]) -> None:
    ours, theirs = words
    assert ours.decode(ids) == theirs.decode(ids)


def test_control_words_of_users_are_text(model: XComposer2) -> None:
    tokenizer = model._tokenizer
    for word in ("[UNUSED_TOKEN_145]", "[UNUSED_TOKEN_146]user\n", "</s>", "<s>", "<ImageHere>", "<unk>"):
        prompt = model.encode(request(user(SHOWN[1], f"前{word}后")))
        plain = model.encode(request(user(SHOWN[1], "前后")))
        controls = set(tokenizer.controls.values())
        assert [one for one in prompt.ids if one in controls] == [one for one in plain.ids if one in controls]
        assert len(prompt.spans) == 1
        assert tokenizer.decode(tokenizer.encode(word)) == word


def test_prompts_have_the_references_form(model: XComposer2) -> None:
    tokenizer = model._tokenizer
    prompt = model.encode(request(system("短答"), user(SHOWN[1], "请描述")))
    wanted = reference_segments(tokenizer, "<ImageHere>请描述", [], "短答", 1, variant="2.0")
    again = model.prompt(model._writer.parts(wanted), [prompt.spans[0].picture])
    assert prompt.ids == again.ids
    assert prompt.ids[0] == tokenizer.begin
    assert prompt.ids[prompt.spans[0].start + prompt.spans[0].picture.tokens] == tokenizer.begin
    text = model.encode(request(system("短答"), user("请描述")))
    assert text.ids[:2] == (tokenizer.begin, tokenizer.begin)
    with pytest.raises(RequestRejected, match="2 pictures for 1 places"):
        reference_segments(tokenizer, "<ImageHere>请描述", [], "", 2, variant="2.0")


def test_what_is_not_said_is_the_references(folder: Path, model: XComposer2) -> None:
    assert model.generation == {
        "do_sample": True, "temperature": 1.0, "top_p": 0.8, "top_k": 50, "repetition_penalty": 1.005
    }  # fmt: skip
    assert model.stop_ids == {2, model._tokenizer.end}
    assert model.context_tokens == CONFIG["max_position_embeddings"]


def test_a_broken_vocabulary_is_said_so(folder: Path, tmp_path: Path) -> None:
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    (tmp_path / "tokenizer.model").write_bytes((folder / "tokenizer.model").read_bytes()[:700])
    with pytest.raises(ConfigError, match=r"tokenizer\.model: the tokenizer cannot be read"):
        load(tmp_path, CPU, torch.float32)
