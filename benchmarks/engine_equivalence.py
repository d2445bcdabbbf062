"""The local engine against transformers, on any model folder: the same logits however a request is computed.

    python benchmarks/engine_equivalence.py MODEL_DIR [--seed N] [--new 24] [--device cpu] [--dtype bfloat16]

The truth is transformers in float32 (where it lacks a family, that family's own layers at once, without cache): its
greedy answers, and the logits it gives at each of their tokens. The engine is
made to say the same tokens (the next one is right, whatever it picked before), alone, batched, in pieces, cached,
pushed back, with neighbours that are given up, and its logits are compared.

float32: no logit is off by more than a thousandth of their spread, and the token picked is theirs unless theirs was
nearer to a tie than that. bfloat16: the mean error is at most 1.5 times that of transformers itself in bfloat16, the
largest at most twice, and a token differs only where the truth's margin is below that. Prints a table; exit status 1 if
any row fails. --seed: of the pictures and texts asked about. Without --device and --dtype: bfloat16 on CUDA where there
is one, else float32 on the CPU.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import random
import sys
import warnings
from collections.abc import Sequence as List
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image as Pictures
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bot.engine.base import GenerateRequest, SamplingParams
from bot.engine.local.attention import BlockAttention, KeyValues, Part
from bot.engine.local.cache import BlockCache
from bot.engine.local.checkpoint import family_of
from bot.engine.local.linear import make_dense
from bot.engine.local.load import build
from bot.engine.local.lookup import Lookup
from bot.engine.local.loop import Loop
from bot.engine.local.model import Model, Prompt
from bot.engine.local.runner import Runner
from bot.engine.local.sampler import Defaults, Sampler
from bot.engine.local.sequence import Row, Sequence
from bot.engine.local.shards import Shards
from bot.message import Image, Message, assistant, system, user

CLOSE = 1e-3
WORSE = 1.5
BLOCK = 16
WORDS = "图片里有什么颜色左边右边上面下面大小多少为什么请说明比较 the picture shows a red cat on page 27 of 300"


@dataclass
class Case:
    """A request, and what transformers says to it in float32: tokens, and logits [tokens, vocabulary]."""

    name: str
    prompt: Prompt
    answer: list[int] = field(default_factory=list[int])
    logits: Tensor = field(default_factory=lambda: torch.empty(0))


class Teacher(Sampler):
    """Notes the logits and answers with the right token."""

    def __init__(self, cases: List[Case]) -> None:
        super().__init__(Defaults())
        self.cases = {id(case.prompt): case for case in cases}
        self.seen: dict[int, dict[int, Tensor]] = {}

    def pick(self, logits: Tensor, rows: List[Row]) -> list[int]:
        picked: list[int] = []
        for scores, (one, place) in zip(logits.float().cpu(), rows, strict=True):
            right = self.cases[id(one.prompt)].answer
            number = place + 1 - len(one.prompt.ids)
            # A guess stands on what the answer really is, or is of no concern.
            if one.fed(len(one.prompt.ids), place + 1) == right[:number]:
                self.seen.setdefault(one.number, {})[number] = scores.clone()
            picked.append(right[number])
        return picked

    def logits(self, one: Sequence) -> Tensor:
        """Of every token of an answer."""
        return torch.stack([scores for _, scores in sorted(self.seen[one.number].items())])


class Foreteller(Lookup):
    """Guesses what the answer will be; every fifth token wrong."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case

    def guess(self, tokens: List[int], most: int) -> list[int]:
        first = len(tokens) - len(self.case.prompt.ids)
        coming = list(enumerate(self.case.answer))[first : first + most]
        return [1 if number % 5 == 4 else token for number, token in coming]


# ---------------------------------------------------------------- what is asked


def requests(seed: int) -> dict[str, GenerateRequest]:
    """Text, one picture, several of different sizes, several turns."""
    dice = random.Random(seed)
    pictures = [_picture(dice, dice.randint(60, 500), dice.randint(60, 500)) for _ in range(4)]
    known = {hashlib.sha256(data).hexdigest(): data for data in pictures}
    shown = [Image(sha256=sha256, index=number) for number, sha256 in enumerate(known, 1)]

    def text(words: int = 8) -> str:
        return "".join(dice.choice(WORDS.split()) for _ in range(words))

    turns = (system(text()), user(shown[0], text()), assistant(text(20)), user(text()))
    asked: dict[str, tuple[Message, ...]] = {
        "text": (user(text(60)),),
        "one picture": (user(shown[0], text()),),
        "another picture": (user(shown[1], text()),),
        "several pictures": (user(shown[1], shown[2], shown[3], text()),),
        "several turns": turns,
        "a picture in a later turn": (*turns, assistant(text()), user(shown[3], text(), shown[0])),
    }
    return {name: GenerateRequest(messages, known) for name, messages in asked.items()}


def _picture(dice: random.Random, width: int, height: int) -> bytes:
    picture = Pictures.frombytes("RGB", (8, 8), dice.randbytes(192)).resize((width, height))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


# ---------------------------------------------------------------- the truth


class Theirs:
    """transformers."""

    name = "transformers"

    def __init__(self, folder: Path, dtype: torch.dtype, device: torch.device) -> None:
        from transformers import AutoModelForImageTextToText

        self.model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype).to(device).eval()
        self.device = device

    @torch.no_grad()
    def greedy(self, prompt: Prompt, new: int) -> list[int]:
        found = self.model.generate(**self._inputs(prompt, []), max_new_tokens=new, do_sample=False)
        return found[0, len(prompt.ids) :].tolist()

    @torch.no_grad()
    def forced(self, case: Case) -> Tensor:
        """Logits at each token of the answer, in one pass."""
        logits = self.model(**self._inputs(case.prompt, case.answer[:-1])).logits[0]
        return logits[len(case.prompt.ids) - 1 :].float().cpu()

    def _inputs(self, prompt: Prompt, answer: List[int]) -> dict[str, Tensor]:
        ids = torch.tensor([[*prompt.ids, *answer]])
        kinds = torch.zeros_like(ids)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": kinds}
        for span in prompt.spans:
            kinds[0, span.start : span.start + span.picture.tokens] = 1
        if prompt.spans:
            inputs["pixel_values"] = torch.cat([span.picture.pixels for span in prompt.spans])
            inputs["image_grid_thw"] = torch.tensor([(1, *span.picture.grid) for span in prompt.spans])
        return {name: value.to(self.device) for name, value in inputs.items()}


class Whole:
    """A family that transformers does not have: its own layers, everything at once, without cache, graphs and batches.

    That these layers are the reference's is for xcomposer2_parity.py to show.
    """

    name = "the same layers at once"

    def __init__(self, folder: Path, dtype: torch.dtype, device: torch.device) -> None:
        self.model = open_model(folder, dtype, device)

    def greedy(self, prompt: Prompt, new: int) -> list[int]:
        case = Case("", prompt)
        while len(case.answer) < new:
            case.answer.append(0)
            case.answer[-1] = int(self.forced(case)[-1].argmax())
            if case.answer[-1] in self.model.stop_ids:
                break
        return case.answer

    @torch.inference_mode()
    def forced(self, case: Case) -> Tensor:
        model, ids = self.model, [*case.prompt.ids, *case.answer[:-1]]
        x = model.embed(torch.tensor(ids, device=model.device))
        seen = [slice(one.start, one.start + one.picture.tokens) for one in case.prompt.spans]
        features = [one for some in model.see([one.picture for one in case.prompt.spans]) for one in some]
        for rows, found in zip(seen, features, strict=True):
            x[rows] = found.to(x.dtype)
        blocks = -(-len(ids) // BLOCK)
        memory = KeyValues(model.shape, blocks, BLOCK, model.dtype, model.device)
        part = Part(0, len(ids), len(ids), torch.arange(blocks, device=model.device))
        attend = BlockAttention(memory, torch.arange(len(ids), device=model.device), [part])
        known = len(case.prompt.ids)
        said = torch.arange(len(ids) - known) + case.prompt.next_position
        positions = torch.cat([case.prompt.positions, said.expand(model.shape.position_axes, -1)], 1)
        x = model.layers(x, positions.to(model.device), attend, seen)
        return model.logits(x[known - 1 :]).float().cpu()


def truth(folder: Path, dtype: torch.dtype, device: torch.device) -> Theirs | Whole:
    return (Theirs if family_of(folder) == "glm4v" else Whole)(folder, dtype, device)


def open_model(folder: Path, dtype: torch.dtype, device: torch.device) -> Model:
    return build(folder, make_dense, Shards(folder, device, dtype), device, dtype)


def teach(cases: List[Case], teacher: Theirs | Whole, new: int) -> None:
    """Answers and logits of each case."""
    for case in cases:
        case.answer = teacher.greedy(case.prompt, new)
        case.logits = teacher.forced(case)


# ---------------------------------------------------------------- the engine


class Bench:
    """One way to run the engine; steps are taken by hand."""

    def __init__(self, model: Model, cases: List[Case], *, tokens: int, chunk: int = 512, running: int = 64) -> None:
        blocks = -(-tokens // BLOCK)
        self.teacher = Teacher(cases)
        runner = Runner(model, blocks, BLOCK)
        runner.warm()
        self.loop = Loop(runner, BlockCache(blocks, BLOCK), self.teacher, most_running=running, chunk=chunk)
        self.asked: list[tuple[Case, Sequence]] = []

    def ask(self, case: Case, salt: str = "") -> Sequence:
        number = len(self.asked)
        one = Sequence(
            number, case.prompt, SamplingParams(temperature=0), salt, "quick", len(case.answer), lambda _: None
        )
        self.asked.append((case, one))
        self.loop.submit(one)
        return one

    def finish(self) -> None:
        self.loop.run_until_idle()

    def results(self) -> list[tuple[Case, Tensor]]:
        """Logits of all that were not given up."""
        failed = [one.error for _, one in self.asked if one.finish == "failed"]
        assert not failed, failed
        stayed = [(case, one) for case, one in self.asked if one.finish != "cancelled"]
        return [(case, self.teacher.logits(one)) for case, one in stayed]


def ways(model: Model, cases: List[Case]) -> dict[str, list[tuple[Case, Tensor]]]:
    """The logits of every case, computed in every way."""
    longest = max(len(case.prompt.ids) + len(case.answer) for case in cases) + BLOCK
    plenty = 2 * len(cases) * longest
    found: dict[str, list[tuple[Case, Tensor]]] = {}

    def run(name: str, bench: Bench) -> Bench:
        bench.finish()
        found[name] = bench.results()
        return bench

    alone = Bench(model, cases, tokens=plenty, running=1, chunk=1 << 20)
    for number, case in enumerate(cases):
        alone.ask(case, str(number))
    run("alone", alone)

    for name, chunk in (("batched", 1 << 20), ("chunked prefill", 37)):
        bench = Bench(model, cases, tokens=plenty, chunk=chunk)
        for number, case in enumerate(cases):
            bench.ask(case, str(number))
        run(name, bench)

    cached = Bench(model, cases, tokens=plenty)
    for _ in range(2):
        for case in cases:
            cached.ask(case)
        cached.finish()
    assert all(one.cached == len(case.prompt.ids) - 1 for case, one in cached.asked[len(cases) :])
    run("cached", cached)

    guessed = Bench(model, cases, tokens=plenty)
    for number, case in enumerate(cases[:3]):
        guessed.ask(case, str(number)).lookup = Foreteller(case)
    run("guessed", guessed)

    tight = Bench(model, cases, tokens=longest, chunk=64)
    for _ in range(2):
        for case in cases:
            tight.ask(case)
    run("evicted and pushed back", tight)

    left = Bench(model, cases, tokens=plenty, chunk=64)
    for number, case in enumerate(cases):
        left.ask(case, str(number))
        left.ask(case, f"leaves {number}")
    for _ in range(4):
        left.loop.take()
        left.loop.step()
    for _, one in left.asked[1::2]:
        left.loop.cancel(one)
    run("cancelled neighbours", left)

    full = Bench(model, cases, tokens=64 * longest, chunk=2048)
    for number in range(64):
        full.ask(cases[number % len(cases)], str(number))
    run("64 at once", full)
    return found


# ---------------------------------------------------------------- comparing


@dataclass
class Tolerance:
    """mean: of the absolute error of logits, largest: of any, margin: below which tokens may differ."""

    mean: float
    largest: float
    margin: float


def tolerance(cases: List[Case], folder: Path, dtype: torch.dtype, device: torch.device) -> Tolerance:
    if dtype == torch.float32:
        spread = float(torch.cat([case.logits for case in cases]).std())
        return Tolerance(CLOSE * spread, CLOSE * spread, CLOSE * spread)
    other = truth(folder, dtype, device)
    errors = torch.cat([(other.forced(case) - case.logits).abs() for case in cases])
    mean, largest = float(errors.mean()), float(errors.max())
    print(f"{other.name} in {dtype}: mean error {mean:.2e}, largest {largest:.2e}")
    # The largest of many is a matter of luck; the mean is not.
    return Tolerance(WORSE * mean, 2 * largest, 2 * largest)


def compare(name: str, results: list[tuple[Case, Tensor]], allowed: Tolerance) -> bool:
    errors = torch.cat([(ours - case.logits).abs() for case, ours in results])
    picked = torch.cat([ours.argmax(-1) for _, ours in results])
    right = torch.cat([torch.tensor(case.answer) for case, _ in results])
    top = torch.cat([case.logits.topk(2).values for case, _ in results])
    other = picked != right
    margin = float((top[:, 0] - top[:, 1])[other].max()) if bool(other.any()) else 0.0
    mean, largest = float(errors.mean()), float(errors.max())
    fine = mean <= allowed.mean and largest <= allowed.largest and margin <= allowed.margin
    same = len(right) - int(other.sum())
    verdict = "ok" if fine else "FAILS"
    row = f"{name:24} {len(results):4} {same:5}/{len(right):<5} {mean:9.2e} {largest:9.2e} {margin:9.2e}  {verdict}"
    print(row, flush=True)
    return fine


def main(arguments: List[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--new", type=int, default=24)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"))
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    dtype = getattr(torch, options.dtype or ("bfloat16" if device.type == "cuda" else "float32"))
    # TF32 would not be float32.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"transformers\..*")
        model = open_model(options.folder, dtype, device)
        cases = [Case(name, model.encode(one)) for name, one in requests(options.seed).items()]
        teach(cases, truth(options.folder, torch.float32, device), options.new)
        allowed = tolerance(cases, options.folder, dtype, device)
    print(f"{options.folder.name}, {dtype} on {device}, seed {options.seed}")
    print(f"allowed: mean {allowed.mean:.2e}, largest {allowed.largest:.2e}, margin {allowed.margin:.2e}")
    print(f"{'':24} runs  equal tokens   mean   largest    margin where tokens differ")
    return 0 if all([compare(name, found, allowed) for name, found in ways(model, cases).items()]) else 1


if __name__ == "__main__":
    sys.exit(main())
