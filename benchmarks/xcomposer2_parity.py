"""The port of InternLM-XComposer2 against recordings of its reference implementation.

    python benchmarks/xcomposer2_parity.py DIR [--tokenizer FOLDER]

DIR, or each folder in it, holds one of: a checkpoint with cases.json and cases.safetensors (token ids, vision and
projected features, prefill logits, cached decode steps, greedy ids, answers), layers.json and layers.safetensors
(packed 4-bit matrices), preprocess.json with pictures (pixels, tilings), *_weights.safetensors with a .json beside
(towers and merging of tiles), ids.json (the real tokenizer, whose file --tokenizer names). Prints the largest
difference of each case; exit status 1 where one is more than 1e-4 in float32, where ids or texts differ, or where
nothing was found to compare.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image as Pictures
from safetensors.torch import load_file
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bot.engine.base import SamplingParams
from bot.engine.local.attention import BlockAttention, KeyValues, Part
from bot.engine.local.cache import BlockCache
from bot.engine.local.gptq import dequantise
from bot.engine.local.linear import make_dense
from bot.engine.local.loop import Loop
from bot.engine.local.model import Picture, Prompt
from bot.engine.local.models.xcomposer2 import XComposer2, load
from bot.engine.local.models.xcomposer2_config import TOWER, VisionConfig
from bot.engine.local.models.xcomposer2_pictures import PictureReader
from bot.engine.local.models.xcomposer2_prompt import reference_segments
from bot.engine.local.models.xcomposer2_tokenizer import Tokenizer
from bot.engine.local.models.xcomposer2_vision import Tiles, VisionTower, stretched
from bot.engine.local.runner import Runner
from bot.engine.local.sampler import Defaults, Sampler
from bot.engine.local.sequence import Sequence as Asked
from bot.engine.local.shards import Shards
from bot.errors import KantuError

CLOSE = 1e-4
BLOCK = 16
CPU = torch.device("cpu")


@dataclass
class Table:
    """Rows of what was compared."""

    rows: int = 0
    failed: int = 0
    worst: float = 0.0
    allowed: float = CLOSE
    where: str = ""
    seen: set[str] = field(default_factory=set)

    def near(self, what: str, ours: Tensor, theirs: Tensor) -> None:
        """Numbers."""
        if ours.shape != theirs.shape:
            return self._row(what, False, f"shape {tuple(ours.shape)}, wanted {tuple(theirs.shape)}")
        far = float((ours.double() - theirs.double()).abs().max()) if ours.numel() else 0.0
        self.worst = max(self.worst, far)
        self._row(what, far <= self.allowed, f"{far:.2e}")

    def same(self, what: str, ours: object, theirs: object) -> None:
        """Ids and texts."""
        other = f"{str(ours)[:120]!r}, wanted {str(theirs)[:120]!r}"
        self._row(what, ours == theirs, "equal" if ours == theirs else other)

    def passed_over(self, what: str, why: str) -> None:
        """Not compared."""
        print(f"{self.where:28} {what:26} not compared: {why}", flush=True)

    def _row(self, what: str, fine: bool, found: str) -> None:
        self.rows += 1
        self.failed += not fine
        print(f"{self.where:28} {what:26} {found}{'' if fine else '  FAILS'}", flush=True)


# ---------------------------------------------------------------- a checkpoint with cases


class Case:
    """One case of cases.json with its tensors."""

    def __init__(self, name: str, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.name = name
        self.facts = facts
        self.tensors = {key[len(name) + 1 :]: value for key, value in tensors.items() if key.startswith(f"{name}.")}

    def get(self, key: str) -> Tensor | None:
        return self.tensors.get(key)


def checkpoint_cases(folder: Path, table: Table) -> None:
    facts = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / "cases.safetensors")
    kind = str(facts.get("dtype", "float32")).split()[0]
    dtype = getattr(torch, kind, torch.float32)
    table.allowed = CLOSE if dtype == torch.float32 else float(facts.get("tolerance", {}).get("logits", CLOSE))
    model = load(folder, CPU, dtype)
    if (base := tensors.get("pos_embed.base")) is not None:
        wanted = tensors["pos_embed.resized_expected"]
        table.where = "pos_embed"
        table.near("resized", stretched(base, int((len(wanted) - 1) ** 0.5)), wanted)
    for name, one in facts["cases"].items():
        table.where = name
        compare_case(Case(name, one, tensors), model, table, exact=dtype == torch.float32)
    table.allowed = CLOSE


def compare_case(case: Case, model: XComposer2, table: Table, *, exact: bool) -> None:
    pictures = see(case, model, table)
    prompt = prompt_of(case, model, pictures, table)
    embeds, mask = case.get("inputs_embeds"), case.get("im_mask")
    if embeds is None and prompt is None:
        return table.passed_over("everything", "neither embeddings nor a prompt")
    if embeds is not None:
        lengths = _lengths(case, embeds)
        for row, length in enumerate(lengths):
            first = embeds.shape[1] - length
            seen = [] if mask is None else slices(mask[row, first:].tolist())
            compare_row(case, row, embeds[row, first:], seen, model, table, exact=exact)
    if exact and prompt is not None and len(prompt.ids) > 0:
        engine_answers(case, prompt, model, table)


def slices(mask: Sequence[int]) -> list[slice]:
    """Where it is set."""
    edges = [at for at in range(len(mask) + 1) if (mask[at - 1] if at else 0) != (mask[at] if at < len(mask) else 0)]
    return [slice(first, last) for first, last in zip(edges[::2], edges[1::2], strict=True)]


def _lengths(case: Case, embeds: Tensor) -> list[int]:
    """Tokens of each row: padding stands on the left."""
    attention = case.get("attention_mask")
    return [embeds.shape[1]] * len(embeds) if attention is None else attention.sum(1).tolist()


def see(case: Case, model: XComposer2, table: Table) -> list[Picture]:
    """The pictures of a case, their features compared."""
    pixels = case.get("pixel_values")
    if pixels is None:
        return []
    pixels = pixels.to(model.dtype)
    with torch.inference_mode():
        tower = model.sight.tower(pixels)
        if (wanted := case.get("vit_features")) is not None:
            table.near("vision features", tower, wanted)
        if (wanted := case.get("image_features")) is not None:
            table.near("projected features", model.sight.project(tower), wanted)
    return [
        Picture(f"{case.name} {number}", one[None], (1, 1), model._config.vision.grid**2)
        for number, one in enumerate(pixels)
    ]


def prompt_of(case: Case, model: XComposer2, pictures: Sequence[Picture], table: Table) -> Prompt | None:
    """The prompt from its words, its ids compared."""
    facts = case.facts
    if "query" not in facts:
        return None
    history = [(asked, answered) for asked, answered in facts.get("history", [])]
    segments = reference_segments(
        model._tokenizer,
        facts["query"],
        history,
        facts.get("meta_instruction", ""),
        len(pictures),
        variant=model._config.variant,
    )
    short = model._writer.parts(segments)
    if "parts" in facts:
        wanted: list[int | None] = []
        for part in facts["parts"]:
            wanted += part["ids"] if "ids" in part else [None]
        table.same("ids of the prompt", short, wanted)
    if (ids := case.get("input_ids")) is not None:
        table.same("input ids", short, ids[0].tolist())
    return model.prompt(short, pictures)


@torch.inference_mode()
def compare_row(
    case: Case, row: int, x: Tensor, seen: Sequence[slice], model: XComposer2, table: Table, *, exact: bool
) -> None:
    """Logits of the prompt and of cached steps after it, over the engine's own blocks."""
    length = len(x)
    memory = KeyValues(model.shape, -(-(length + 16) // BLOCK), BLOCK, model.dtype, CPU)
    blocks = torch.arange(memory.keys.shape[1])

    def run(x: Tensor, first: int, last: int, seen: Sequence[slice] = ()) -> Tensor:
        places = torch.arange(first, last)
        attend = BlockAttention(memory, places, [Part(0, last - first, last, blocks[: -(-last // BLOCK)])])
        positions = torch.stack([places, torch.full_like(places, last - 1)])
        return model.logits(model.layers(x.to(model.dtype), positions, attend, seen))

    logits = run(x, 0, length, seen)
    name = f" of row {row}" if row or case.facts.get("kind") == "batch" else ""
    wanted = case.tensors["logits"][row, -length:] if case.tensors["logits"].dim() == 3 else case.tensors["logits"]
    table.near(f"prefill logits{name}", logits, wanted)
    compare_memory(case, memory, length, model, table)
    greedy, steps = case.get("greedy_ids"), case.get("decode_logits")
    if greedy is None or steps is None:
        return
    greedy, steps = (greedy[row], steps[row]) if greedy.dim() == 2 else (greedy, steps)
    found = [run(model.embed(greedy[n : n + 1]), length + n, length + n + 1)[0] for n in range(len(steps))]
    table.near(f"decode logits{name}", torch.stack(found), steps)
    if exact:
        table.same(f"first greedy id{name}", int(logits[-1].argmax()), int(greedy[0]))


def compare_memory(case: Case, memory: KeyValues, length: int, model: XComposer2, table: Table) -> None:
    """Keys and values, where they were recorded: ours have the halves of a head as neighbours."""
    size = model.shape.head_size
    back = torch.arange(size).view(2, -1).T.flatten().argsort()
    for number in range(model.shape.layers):
        for kind, ours in (("key", memory.keys), ("value", memory.values)):
            if (wanted := case.get(f"kv_{kind}.{number}")) is not None:
                held = ours[number].flatten(0, 1)[:length].transpose(0, 1)
                table.near(f"{kind}s of layer {number}", held[..., back] if kind == "key" else held, wanted[0])


def engine_answers(case: Case, prompt: Prompt, model: XComposer2, table: Table) -> None:
    """Greedy answers through scheduler, cache and sampler."""
    for key, tensor in case.tensors.items():
        if not key.startswith("greedy_ids") or tensor.dim() != 1:
            continue
        penalty = float(key.partition("_rep")[2] or 1.0)
        table.same(key.replace("_", " "), answer(prompt, model, len(tensor), penalty, stop=False), tensor.tolist())
    chat = case.facts.get("chat")
    if chat is None or chat["kwargs"].get("do_sample"):
        return
    settings = chat["kwargs"]
    found = answer(prompt, model, settings["max_new_tokens"], settings.get("repetition_penalty", 1.0), stop=True)
    table.same("ids of the answer", found, chat["new_ids"])
    table.same("the answer", model.decode_text(found), chat["response"])


def answer(prompt: Prompt, model: XComposer2, most: int, penalty: float, *, stop: bool) -> list[int]:
    blocks = -(-(len(prompt.ids) + most) // BLOCK) + 1
    loop = Loop(
        Runner(model, blocks, BLOCK), BlockCache(blocks, BLOCK), Sampler(Defaults()), most_running=1, chunk=1 << 20
    )
    kept, model.stop_ids = model.stop_ids, model.stop_ids if stop else frozenset()
    one = Asked(0, prompt, SamplingParams(0.0, repetition_penalty=penalty), "", "report", most, lambda _: None)
    loop.submit(one)
    loop.run_until_idle()
    model.stop_ids = kept
    assert one.finish in ("stop", "length"), one.error
    return one.tokens[len(prompt.ids) :]


# ---------------------------------------------------------------- packed matrices


def packed_layers(folder: Path, table: Table) -> None:
    facts = json.loads((folder / "layers.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / "layers.safetensors")
    for name in facts["layers"]:
        table.where = name
        one = Case(name, {}, tensors).tensors
        dense = dequantise(one["qweight"], one["qzeros"], one["scales"], one["g_idx"].long())
        table.near("dense weight", dense, one["dense_in_out"])
        bias = one.get("bias", torch.zeros(1)).float()
        table.near("product", one["x"].float() @ dense + bias, one["y"])


# ---------------------------------------------------------------- pictures


def reader_of(variant: str, side: int, most: int) -> PictureReader:
    config: Any = SimpleNamespace(variant=variant, vision=SimpleNamespace(side=side, grid=side // 14), tiles=most)
    return PictureReader(config)


SIDES = {"2.5": 560, "4khd": 336}


def pictures(folder: Path, table: Table) -> None:
    facts = json.loads((folder / "preprocess.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / "pixels.safetensors")
    for key, wanted in tensors.items():
        name, side, *raw = key.split(".")
        table.where = name
        image = Pictures.open(folder / f"{name}.png").convert("RGB")
        squeezed = image.resize((int(side), int(side)), Pictures.Resampling.BICUBIC)
        if raw:
            table.near(f"bytes at {side}", torch.from_numpy(np.array(squeezed)), wanted)
            continue
        data = (folder / f"{name}.png").read_bytes()
        table.near(f"pixels at {side}", reader_of("2.0", int(side), 0).read("x", data).pixels[0], wanted)
    table.where = "tilings"
    for variant, key in (("2.5", "ixc2.5"), ("4khd", "4khd")):
        found, wanted_rows = [], []
        for row in (one for one in facts.get("hd_table", ()) if key in one):
            width, height = row["size"]
            reader = reader_of(variant, SIDES[variant], row["hd_num"])
            sheet = reader.lay_out(Pictures.new("RGB", (width, height)), row["hd_num"])
            tokens = reader.count((sheet.height // SIDES[variant], sheet.width // SIDES[variant]))
            assert tokens == reader.tokens(width, height)
            found.append(([*sheet.size], tokens))
            wanted_rows.append((row[key], row[f"tokens_{key.removeprefix('ix').removeprefix('c')}"]))
        table.same(f"{len(found)} of {variant}", found, wanted_rows)
    for file, made in facts.get("hd_png", {}).items():
        table.where = file
        called = re.fullmatch(r"(\w+)\((\w+), (\d+)\)", made)
        assert called, made
        variant = "2.5" if called[1] == "Image_transform" else "4khd"
        image = Pictures.open(folder / f"{called[2]}.png").convert("RGB")
        sheet = reader_of(variant, SIDES[variant], int(called[3])).lay_out(image, int(called[3]))
        wanted = Pictures.open(folder / file).convert("RGB")
        table.near("bytes", torch.from_numpy(np.array(sheet)), torch.from_numpy(np.array(wanted)))


# ---------------------------------------------------------------- tiles


class Tensors(Shards):
    """Tensors that lie in no checkpoint."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.folder, self.device, self.dtype = Path("tensors"), CPU, torch.float32
        self._tensors = tensors
        self._where = dict.fromkeys(tensors, "")

    def _file(self, name: str) -> Any:
        return SimpleNamespace(get_tensor=self._tensors.__getitem__)


def tiles(folder: Path, table: Table) -> None:
    for file in sorted(folder.glob("*_weights.safetensors")):
        name = file.name.removesuffix("_weights.safetensors")
        table.where = name
        facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        weights, side = load_file(file), facts["tile"]
        inner = weights[f"{TOWER}.encoder.layers.0.mlp.fc1.weight"].shape[0]
        config = VisionConfig(facts["hidden"], inner, facts["layers"], facts["heads"], facts["patch"], side)
        shards = Tensors(weights)
        tower, merge = VisionTower(config, shards, make_dense), Tiles(config.grid, shards)
        reader = reader_of("4khd", side, 99)
        found: list[Tensor] = []
        with torch.inference_mode():
            for number, (rows, columns) in enumerate(facts["shapes_hw"]):
                cut = reader.cut(formula(number, rows * side, columns * side))
                found.append(merge(torch.cat([tower(one[None]) for one in cut]), (rows, columns)))
        table.same("tokens of each picture", [len(one) for one in found], facts["split"])
        table.near("features", torch.cat(found)[None], load_file(folder / f"{name}_expected.safetensors")["features"])


def formula(k: int, height: int, width: int) -> Tensor:
    """The pixels that the recordings are of."""
    y, x = np.arange(height, dtype=np.float64)[:, None], np.arange(width, dtype=np.float64)[None, :]
    channels = [
        np.sin((0.011 + 0.004 * k) * (c + 1) * x) + np.cos((0.013 + 0.003 * k) * y * (c + 1) + 0.5 * c)
        for c in range(3)
    ]
    return torch.from_numpy(np.stack(channels).astype(np.float32))


# ---------------------------------------------------------------- the real tokenizer


def real_tokenizer(folder: Path, table: Table, where: Path | None) -> None:
    table.where = "tokenizer"
    if where is None:
        return table.passed_over("ids", "the real tokenizer.model is not there (--tokenizer FOLDER)")
    facts = json.loads((folder / "ids.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer(where)
    words = re.compile("(" + "|".join(map(re.escape, sorted(tokenizer.controls, key=len, reverse=True))) + ")")
    for one in facts["encode"]:
        parts = [part for part in words.split(one["text"]) if part]
        ids = [[tokenizer.controls[part]] if part in tokenizer.controls else tokenizer.encode(part) for part in parts]
        table.same(one["text"][:20], [number for part in ids for number in part], one["ids_no_bos"])


KINDS: Sequence[tuple[str, Callable[[Path, Table], None]]] = (
    ("cases.json", checkpoint_cases),
    ("layers.json", packed_layers),
    ("preprocess.json", pictures),
    ("*_weights.safetensors", tiles),
)


def folders(root: Path) -> Iterator[Path]:
    yield root
    yield from sorted(path for path in root.rglob("*") if path.is_dir())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    options = parser.parse_args(arguments)
    table = Table()
    for folder in folders(options.folder):
        for pattern, compare in KINDS:
            if any(folder.glob(pattern)):
                print(f"== {folder.name}", flush=True)
                try:
                    compare(folder, table)
                except (KantuError, KeyError, ValueError, AssertionError, RuntimeError) as error:
                    table.same(f"{pattern}", f"{type(error).__name__}: {error}", "no error")
        if (folder / "ids.json").is_file():
            print(f"== {folder.name}")
            real_tokenizer(folder, table, options.tokenizer)
    print(f"{table.rows} compared, {table.failed} failed; the largest difference {table.worst:.2e}")
    return 1 if table.failed or not table.rows else 0


if __name__ == "__main__":
    sys.exit(main())
