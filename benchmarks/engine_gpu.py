"""The local engine at full size on one card: GLM-4.6V-Flash's or XComposer2-VL-7B's shape, random weights.

    python benchmarks/engine_gpu.py [--model xcomposer2] [--weights bf16,fp8,int8,int4] [--stall 512,1024] [--both]
                                    [--peers] [--json OUT]

Prints, in one run: the card's copy bandwidth and what reading the weights once would take at it (the limit), then per
kind of weight: start to first answer, first token of a new picture (GLM: 972 tokens, XComposer2: 1,225) and of a second
question
about it, milliseconds per token at 1 to 64 sequences, and memory. First tokens count from the moment the prompt is
encoded: reading a PNG takes the CPU. Guesses (prompt lookup): tokens per second of one and of eight answers where all
guesses are right, and where all are wrong, as ratios of none made. --stall: for chunks of so many prompt tokens, the
longest step of eight running answers while a prompt with a picture of 972 and one of 6,132 tokens comes in, and the
first token of the former. --both: both models in INT4 on the card at once, contexts of 8,192 and 32,768 tokens: peak
memory, and the first token of questions while a report is read and written. --peers: transformers' `generate` in the
same run. The weights are random: this says nothing about what is answered.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from collections.abc import Sequence as List
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pictures

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import full_size_glm
import full_size_xcomposer2

from bot.engine.base import GenerateRequest, SamplingParams
from bot.engine.local.cache import BlockCache
from bot.engine.local.linear import make_dense, make_packed
from bot.engine.local.lookup import Lookup
from bot.engine.local.loop import Loop
from bot.engine.local.model import Model
from bot.engine.local.runner import Runner
from bot.engine.local.sampler import Defaults, Sampler
from bot.engine.local.scheduler import GUESSES
from bot.engine.local.sequence import Row, Sequence
from bot.message import Image, system, user

BLOCK = 16
CHUNK = 512
CONTEXT = 8192
#: Without one, XComposer2 is given one of 700 bytes, each of them a token here.
SYSTEM = system("短答")
#: a token that is said again and again
SAID = 1000
BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Bench:
    """One engine without its thread: steps are taken by hand."""

    def __init__(
        self, kind: str, folder: Path, blocks: int, chunk: int = CHUNK, guesses: int = 0, model: str = "glm"
    ) -> None:
        torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        self.model: Model = build(model, kind, folder)
        # Random weights end an answer at random.
        self.model.stop_ids = frozenset()
        self.loaded = time.perf_counter() - started
        self.runner = Runner(self.model, blocks, BLOCK)
        self.loop = Loop(self.runner, BlockCache(blocks, BLOCK), Sampler(Defaults()), most_running=64, chunk=chunk)
        self.loop.scheduler.guesses = guesses
        self.runner.warm()
        self.numbers = iter(range(1 << 30))
        self.first_answer(self.submit(picture(0), "这是什么？", 8))
        torch.cuda.synchronize()
        self.start = time.perf_counter() - started

    def submit(self, data: bytes, text: str, tokens: int, salt: str = "") -> Sequence:
        """A question about a picture; nothing ends it before `tokens`."""
        number = next(self.numbers)
        sha256 = f"{hash(data) & (1 << 64) - 1:016x}"
        shown = user(Image(sha256=sha256, index=1), text)
        prompt = self.model.encode(GenerateRequest((SYSTEM, shown), {sha256: data}))
        one = Sequence(
            number, prompt, SamplingParams(temperature=0.0), salt or str(number), "quick", tokens, lambda _: None
        )
        self.loop.submit(one)
        return one

    def first_answer(self, one: Sequence) -> float:
        """Seconds from being submitted to the first token; then to the end."""
        torch.cuda.synchronize()
        started = time.perf_counter()
        while one.new_tokens == 0 and not one.finish:
            self.step()
        torch.cuda.synchronize()
        first = time.perf_counter() - started
        while not one.finish:
            self.step()
        return first

    def step(self) -> None:
        self.loop.take()
        self.loop.step()

    def until(self, running: List[Sequence], tokens: int) -> None:
        """Until each has said so many. Raises RuntimeError where one ends before."""
        while any(one.new_tokens < tokens for one in running):
            ended = [one for one in running if one.finish]
            if ended:
                raise RuntimeError(f"{ended[0].finish} after {ended[0].new_tokens} tokens: {ended[0].error}")
            self.step()


def build(model: str, kind: str, folder: Path) -> Model:
    """One of the two, in a folder of its own."""
    full_size = {"glm": full_size_glm.full_size, "xcomposer2": full_size_xcomposer2.full_size}[model]
    return full_size(folder / model, torch.device("cuda"), make_dense if kind == "bf16" else make_packed(kind))


@cache
def picture(seed: int, size: tuple[int, int] = (1008, 756)) -> bytes:
    """Noise, as PNG. size: width and height in pixels."""
    pixels = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), np.uint8)
    buffer = io.BytesIO()
    Pictures.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def copy_bandwidth() -> float:
    """Bytes a second, read and written."""
    source = torch.empty(4 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    times: list[float] = []
    for _ in range(12):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        target.copy_(source)
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1000)
    return 2 * source.numel() / statistics.median(times[2:])


def decode(bench: Bench, batch: int, steps: int = 100) -> float:
    """Seconds per step with `batch` answers under way, each about a picture and of the same length."""
    running = [
        bench.submit(picture(1 + number % 4), f"第{number}个问题", steps + 250, f"d{number}") for number in range(batch)
    ]
    bench.until(running, 8)
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(steps):
        bench.step()
    torch.cuda.synchronize()
    seconds = (time.perf_counter() - started) / steps
    for one in running:
        bench.loop.cancel(one)
    bench.step()
    return seconds


def measure(kind: str, folder: Path, bandwidth: float, model: str) -> dict[str, Any]:
    """All figures of one kind of weight."""
    bench = Bench(kind, folder, blocks=64 * (1408 if model == "glm" else 1792) // BLOCK, chunk=2048, model=model)
    found: dict[str, Any] = {"model": model, "weights": kind, "load_s": bench.loaded, "start_s": bench.start}
    found["model_gb"] = weight_bytes(bench.model) / 1e9
    found["limit_ms"] = 1000 * found["model_gb"] * 1e9 / bandwidth
    new, again = [], []
    for number in range(6):
        data = picture(100 + number)
        new.append(bench.first_answer(bench.submit(data, "这张图里有什么？请逐项说明。" * 2, 2, f"n{number}")))
        again.append(bench.first_answer(bench.submit(data, "右下角的金额是多少元？", 2, f"n{number}")))
    found["first_token_new_ms"] = 1000 * statistics.median(new[1:])
    found["first_token_again_ms"] = 1000 * statistics.median(again[1:])
    found["ms_per_token"] = {batch: 1000 * decode(bench, batch) for batch in BATCHES}
    found["tokens_per_s"] = {batch: 1000 * batch / ms for batch, ms in found["ms_per_token"].items()}
    found["guessing"] = {batch: guessing(bench, batch, found["ms_per_token"][batch]) for batch in (1, 8)}
    found["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
    return found


class Fixed(Lookup):
    """Guesses that are all right or all wrong."""

    def __init__(self, token: int) -> None:
        super().__init__()
        self.token = token

    def guess(self, tokens: List[int], most: int) -> list[int]:
        return [self.token] * most


class Same(Sampler):
    """Picks as always, and then says the same token."""

    def pick(self, logits: torch.Tensor, rows: List[Row]) -> list[int]:
        return [SAID] * len(super().pick(logits, rows))


def guessing(bench: Bench, batch: int, plain_ms: float) -> dict[str, float]:
    """Tokens per second beside those without guesses."""
    found: dict[str, float] = {}
    sampler = bench.loop._sampler
    bench.loop._sampler = Same(Defaults())
    bench.loop.scheduler.guesses = GUESSES
    for name, token in (("right", SAID), ("wrong", SAID + 1)):
        running = [bench.submit(picture(1), f"第{number}个问题", 1000, f"g{number}") for number in range(batch)]
        for one in running:
            one.lookup = Fixed(token)
        bench.until(running, 8)
        torch.cuda.synchronize()
        started, before = time.perf_counter(), sum(one.new_tokens for one in running)
        for _ in range(40):
            bench.step()
        torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        found[name] = (sum(one.new_tokens for one in running) - before) / seconds * plain_ms / 1000 / batch
        for one in running:
            bench.loop.cancel(one)
        bench.step()
    bench.loop._sampler = sampler
    bench.loop.scheduler.guesses = 0
    return found


def stall(folder: Path, chunk: int) -> dict[str, Any]:
    """Eight answers under way when a prompt with a picture comes in."""
    bench = Bench("bf16", folder, 16 * 8192 // BLOCK, chunk)
    found: dict[str, Any] = {"chunk": chunk}
    alone = [bench.first_answer(bench.submit(picture(200 + n), "这是什么？", 2, f"a{n}")) for n in range(4)]
    found["first_token_alone_ms"] = 1000 * statistics.median(alone[1:])
    running = [bench.submit(picture(1), f"第{number}个问题", 4000, f"s{number}") for number in range(8)]
    bench.until(running, 8)
    for name, size in (("972", (1008, 756)), ("6132", (2352, 2044))):
        longest, firsts = 0.0, []
        for number in range(3):
            new = bench.submit(picture(300 + number, size), "这是什么？", 2, f"{name}{number}")
            times: list[float] = []
            while new.new_tokens == 0 and not new.finish:
                started = time.perf_counter()
                bench.step()
                torch.cuda.synchronize()
                times.append(time.perf_counter() - started)
            if number:
                longest, firsts = max(longest, *times), [*firsts, sum(times)]
        found[f"longest_step_{name}_ms"] = 1000 * longest
        found[f"first_token_{name}_ms"] = 1000 * statistics.median(firsts)
    return found


def weight_bytes(model: Any) -> int:
    """What a decode step reads: the layers' products and the head."""
    return sum(one.nbytes for one in model.products())


def small_memory(kind: str, folder: Path) -> float:
    """Gigabytes at most with 4 sequences of 8,192 tokens."""
    gc.collect()
    torch.cuda.empty_cache()
    bench = Bench(kind, folder, blocks=4 * CONTEXT // BLOCK)
    decode(bench, 4, steps=20)
    return torch.cuda.max_memory_allocated() / 1e9


def both(folder: Path) -> dict[str, Any]:
    """Light and heavy in INT4 on one card, each with its thread; questions come while a report is read and written."""
    torch.cuda.reset_peak_memory_stats()
    light = Bench("int4", folder, 4 * CONTEXT // BLOCK)
    heavy = Bench("int4", folder, 4 * CONTEXT // BLOCK, model="xcomposer2")
    found: dict[str, Any] = {"both": "int4", "peak_gb": torch.cuda.max_memory_allocated() / 1e9}
    for bench in (light, heavy):
        bench.loop.start()
        timed(bench, picture(500), 4)
    alone = [timed(light, picture(510 + number), 4) for number in range(8)]
    report = [heavy.submit(picture(600 + number), "写一份报告" * 400, 1500, f"r{number}") for number in range(2)]
    firsts: list[float] = []
    while any(one.new_tokens < 1400 for one in report) and len(firsts) < 40:
        firsts.append(timed(light, picture(520 + len(firsts)), 32))
    for one in report:
        heavy.loop.cancel(one)
    found |= {
        "report_tokens": sum(one.new_tokens for one in report),
        "question_alone_ms": 1000 * statistics.median(alone),
        "question_beside_report_ms": 1000 * statistics.median(firsts),
        "question_beside_report_worst_ms": 1000 * max(firsts),
        "questions": len(firsts),
        "peak_gb_working": torch.cuda.max_memory_allocated() / 1e9,
    }
    for bench in (light, heavy):
        bench.loop.stop()
        bench.loop.join()
    return found


def timed(bench: Bench, data: bytes, tokens: int) -> float:
    """Seconds to the first token of a question to an engine whose thread runs; returns at its end."""
    told: list[float] = []
    ended = threading.Event()

    def emit(one: Sequence) -> None:
        if one.new_tokens and not told:
            told.append(time.perf_counter())
        if one.finish:
            ended.set()

    shown = user(Image(sha256=f"{hash(data) & (1 << 64) - 1:016x}", index=1), "右下角的金额是多少元？")
    prompt = bench.model.encode(GenerateRequest((SYSTEM, shown), {shown.images[0].sha256: data}))
    number = next(bench.numbers)
    one = Sequence(number, prompt, SamplingParams(temperature=0.0), str(number), "quick", tokens, emit)
    started = time.perf_counter()
    bench.loop.submit(one)
    ended.wait()
    return told[0] - started


def transformers_generate(folder: Path) -> Iterator[dict[str, Any]]:
    """Its `generate` with the same shape, weights random as well."""
    from transformers import Glm4vConfig, Glm4vForConditionalGeneration

    full_size_glm.write_folder(folder)
    config = Glm4vConfig.from_pretrained(folder)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = Glm4vForConditionalGeneration(config).eval()
    torch.set_default_dtype(torch.float32)
    for batch in (1, 8):
        seconds = {count: _generate(model, batch, count) for count in (8, 32, 96)}
        yield {"peer": "transformers generate", "batch": batch, "ms_per_token": 1000 * (seconds[96] - seconds[32]) / 64}


def _generate(model: Any, batch: int, count: int) -> float:
    ids = torch.randint(1000, 100_000, (batch, 1038), device="cuda")
    torch.cuda.synchronize()
    started = time.perf_counter()
    with torch.inference_mode():
        model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, min_new_tokens=count,
            do_sample=False, pad_token_id=0, eos_token_id=None,
        )  # fmt: skip
    torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="bf16,fp8,int8,int4")
    parser.add_argument("--model", choices=("glm", "xcomposer2"), default="glm")
    parser.add_argument("--stall", default="")
    parser.add_argument("--both", action="store_true")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    bandwidth = copy_bandwidth()
    rows: list[dict[str, Any]] = [{"card": torch.cuda.get_device_name(), "copy_TBps": bandwidth / 1e12}]
    print(json.dumps(rows[0]), flush=True)
    with tempfile.TemporaryDirectory() as name:
        for chunk in filter(None, options.stall.split(",")):
            rows.append(stall(Path(name), int(chunk)))
            print(json.dumps(rows[-1]), flush=True)
            gc.collect()
            torch.cuda.empty_cache()
        for kind in filter(None, options.weights.split(",")):
            try:
                rows.append(measure(kind, Path(name), bandwidth, options.model))
                if kind == "int4" and options.model == "glm":
                    rows[-1]["peak_gb_4_sequences_8192"] = small_memory(kind, Path(name))
            except Exception as error:
                rows.append({"weights": kind, "error": f"{type(error).__name__}: {error}"[:500]})
            print(json.dumps(rows[-1]), flush=True)
            gc.collect()
            torch.cuda.empty_cache()
        if options.both:
            rows.append(both(Path(name)))
            print(json.dumps(rows[-1]), flush=True)
        if options.peers:
            for row in transformers_generate(Path(name)):
                rows.append(row)
                print(json.dumps(row), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
