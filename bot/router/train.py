"""Trains the router: `python -m bot.router.train` writes weights.bin, byte for byte the same everywhere.

Two models over the same features: what is wanted (quick, report, command, human), and for groups whether the bot is
spoken to at all. The softness of the probabilities is chosen by cross-validation over scenes.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np

from bot.router import corpus
from bot.router.corpus import Example
from bot.router.features import Features, features, gate_features, read
from bot.router.learn import Array, Matrix, Settings, fit, matrix
from bot.router.model import CONTENT, WEIGHTS, Model, encode
from bot.router.text import NAMES

#: A filled template counts less than a message somebody would write.
_MADE = 0.5
_FOLDS = 3
_SOFTNESS = tuple(round(0.4 + 0.1 * step, 1) for step in range(22))
_CALLS = ("小图 ", "小图，", "小图小图 ", "嘿小图 ", "小图在吗 ", "小图呀 ")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: where to write, and how thoroughly to train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--rounds", type=int, default=Settings().rounds)
    options = parser.parse_args(arguments)
    written = train(corpus.training(), Settings(rounds=options.rounds))
    options.out.write_bytes(written)
    print(f"{options.out}: {len(written)} bytes, SHA-256 {hashlib.sha256(written).hexdigest()}")
    return 0


def train(examples: Sequence[Example], settings: Settings, softness: float | None = None) -> bytes:
    """The contents of a weights file. softness: given, or found by cross-validation over scenes."""
    content = [each for each in examples if each.label != "chatter"]
    wanted = _fit(content, [features(read(each.request)) for each in content], settings)
    gate = list(gate_examples(examples))
    spoken = _fit_gate(gate, [gate_features(read(each.request)) for each in gate], settings)
    tables, scales = zip(*(_as_bytes(row) for row in [*wanted, spoken]), strict=True)
    return encode(tables, scales, softness or softest(content, settings))


def gate_examples(examples: Iterable[Example]) -> Iterator[Example]:
    """Group messages of which the address is open: a name in the text, or the bot has just answered.

    Talk among members is put after an answer of the bot, questions to the bot get its name or such an answer, so
    that only what is said tells them apart.
    """
    after = [*corpus.contexts()["group_fact"], *corpus.contexts()["group_received"]]
    for each in examples:
        request, pick = each.request, crc32(each.request.text.encode())
        named = any(name in request.text for name in NAMES)
        if each.label == "chatter":
            history = request.history if named or request.history else after[pick % len(after)]
            yield replace(each, request=replace(request, history=history))
        elif request.chat == "group" and not request.text.startswith("@小图"):
            yield each
        elif not each.made and not request.text.startswith(("@", "/")):
            yield from _spoken(each, after[pick % len(after)], pick)


def _spoken(each: Example, after: corpus.History, pick: int) -> Iterator[Example]:
    """The same said in a group."""
    request = replace(each.request, chat="group")
    if request.history:
        # Thanks and the like are as often meant for the others.
        if each.label in ("quick", "report") and set(read(each.request).acts) - {"plain"}:
            yield replace(each, request=replace(request, history=after, images=0))
    elif pick % 3 == 0:
        yield replace(each, request=replace(request, text=_CALLS[pick // 3 % len(_CALLS)] + request.text))


def folds(examples: Sequence[Example], count: int = _FOLDS) -> list[list[int]]:
    """Indices of each fold's test examples; a scene is in one fold."""
    found: list[list[int]] = [[] for _ in range(count)]
    for index, each in enumerate(examples):
        found[crc32(each.scene.encode()) % count].append(index)
    return found


def softest(examples: Sequence[Example], settings: Settings) -> float:
    """The divisor of the scores under which unseen scenes are the least surprising."""
    read_once = [features(read(each.request)) for each in examples]
    scores, truth = list[Array](), list[int]()
    for held in folds(examples):
        left = sorted(set(range(len(examples))) - set(held))
        weights = _fit([examples[at] for at in left], [read_once[at] for at in left], settings)
        data = matrix([read_once[at] for at in held], [str(at) for at in held], 1)
        asked = [at for at, index in enumerate(held) if not examples[index].made]
        scores.extend(np.stack([data.times(row[data.kept]) for row in weights], axis=1)[asked])
        truth.extend(CONTENT.index(examples[held[at]].label) for at in asked)
    return min(_SOFTNESS, key=lambda softness: _surprise(scores, truth, softness))


def _surprise(scores: Sequence[Array], truth: Sequence[int], softness: float) -> float:
    """Mean negative log-likelihood, rounded so that the choice does not hang on a last bit."""
    total = 0.0
    for row, right in zip(scores, truth, strict=True):
        logits = [float(score) / softness for score in row]
        highest = max(logits)
        total += math.log(sum(math.exp(score - highest) for score in logits)) + highest - logits[right]
    return round(total / len(truth), 5)


def _fit(examples: Sequence[Example], found: Sequence[Features], settings: Settings) -> Array:
    data = matrix(found, [each.scene for each in examples], settings.seen_in)
    return fit(data, [CONTENT.index(each.label) for each in examples], _weights(examples), len(CONTENT), settings)


def _fit_gate(examples: Sequence[Example], found: Sequence[Features], settings: Settings) -> Array:
    """One column: the score of chatter against being spoken to."""
    data: Matrix = matrix(found, [each.scene for each in examples], 1)
    truth = [int(each.label == "chatter") for each in examples]
    both = fit(data, truth, _balanced(_weights(examples), truth), 2, settings)
    return both[1] - both[0]


def _balanced(weights: Sequence[float], truth: Sequence[int]) -> list[float]:
    """Both answers weigh the same in all: how often groups talk past the bot is not for our lists to say."""
    total = [sum(weight for weight, each in zip(weights, truth, strict=True) if each == answer) for answer in (0, 1)]
    return [weight / total[each] for weight, each in zip(weights, truth, strict=True)]


def _weights(examples: Sequence[Example]) -> list[float]:
    return [_MADE if each.made else 1.0 for each in examples]


def _as_bytes(row: Array) -> tuple[bytes, float]:
    scale = float(f"{float(np.abs(row).max()) / 127.0:.6g}")
    return np.clip(np.rint(row / scale), -127, 127).astype(np.int8).tobytes(), scale


def trained(examples: Sequence[Example], settings: Settings, softness: float) -> Model:
    """A model in memory, for cross-validation."""
    return Model.parse(train(examples, settings, softness))


if __name__ == "__main__":
    sys.exit(main())
