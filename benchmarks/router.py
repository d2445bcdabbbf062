"""How well the router chooses: `python benchmarks/router.py [FILE.jsonl]`, Markdown on standard output.

With a FILE (objects with text, images, chat, history, label and tricky) the shipped weights are scored on it. Without
one: our own messages by cross-validation over scenes, each fold trained without its scenes, and the messages of
scenes that are never trained on. A keyword list is scored beside them, as the floor to be above.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parent.parent))

from bot.router import Label, ModelRouter, Route, RouteRequest
from bot.router import router as router_module
from bot.router.corpus import heldout, training
from bot.router.jsonl import request_from_dict
from bot.router.learn import Settings
from bot.router.model import Model
from bot.router.train import folds, trained

LABELS: tuple[Label, ...] = ("quick", "report", "command", "human", "chatter")
_WRITE = re.compile(
    r"写|撰写|报告|总结|方案|新闻稿|公众号|推文|故事|游记|文章|作文|纪要|[三四五六七八九千]百?字|\d{3,}字"
)
_COMMAND = re.compile(r"/|清空|重置|退出|切换|关闭|帮助")
_HUMAN = re.compile(r"人工|真人|客服|投诉")


@dataclass(frozen=True)
class Judged:
    """One message: what it is and what was chosen, in how many seconds."""

    request: RouteRequest
    label: Label
    tricky: bool
    chosen: Label
    confidence: float
    offered: bool = False
    seconds: float = 0.0


def keywords(request: RouteRequest) -> Label:
    """The baseline: a list of words."""
    if request.chat == "group" and "小图" not in request.text:
        return "chatter"
    if _HUMAN.search(request.text):
        return "human"
    if _COMMAND.match(request.text):
        return "command"
    return "report" if _WRITE.search(request.text) else "quick"


def judge(request: RouteRequest, label: Label, tricky: bool) -> Judged:
    """Ask the router, with a clock."""
    start = time.perf_counter()
    route: Route = ModelRouter().choose(request)
    seconds = time.perf_counter() - start
    return Judged(request, label, tricky, route.label, route.confidence, route.offer_report, seconds)


def from_file(path: Path) -> list[Judged]:
    """The labelled messages of a file."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [judge(request_from_dict(row), row["label"], bool(row.get("tricky"))) for row in rows]


def cross_validated(rounds: int) -> Iterator[Judged]:
    """Every written message, judged by a model that has seen nothing of its scene; filled templates are left out."""
    examples = training()
    for held in folds(examples):
        left = set(held)
        settings = Settings(rounds=rounds)
        model = trained([each for at, each in enumerate(examples) if at not in left], settings, Model.load().softness)
        with patch.object(router_module, "weights", lambda model=model: model):
            for each in (examples[at] for at in held):
                if not each.made:
                    yield judge(each.request, each.label, each.tricky)


def share(found: Sequence[Judged]) -> float:
    """The share that was right."""
    return sum(each.chosen == each.label for each in found) / len(found) if found else float("nan")


def summary(found: Sequence[Judged]) -> Iterator[str]:
    """The figures that are accepted against, each with the baseline's."""
    floor = [Judged(each.request, each.label, each.tricky, keywords(each.request), 1.0) for each in found]
    yield "| | router | keyword list |\n|---|---|---|"
    for name, measure in (
        ("all", share),
        ("tricky", lambda each: share([one for one in each if one.tricky])),
        ("quick against report", quick_against_report),
        ("command precision", precision),
        *((label, lambda each, label=label: share([one for one in each if one.label == label])) for label in LABELS),
    ):
        yield f"| {name} | {measure(found):.3f} | {measure(floor):.3f} |"


def quick_against_report(found: Sequence[Judged]) -> float:
    """Accuracy where both the truth and the choice are one of the two."""
    both = ("quick", "report")
    return share([each for each in found if each.label in both and each.chosen in both])


def precision(found: Sequence[Judged]) -> float:
    """The share of chosen commands that are commands."""
    return share([each for each in found if each.chosen == "command"])


def confusion(found: Sequence[Judged]) -> Iterator[str]:
    """A row per truth."""
    counts = Counter((each.label, each.chosen) for each in found)
    yield f"| truth \\ chosen | {' | '.join(LABELS)} |\n|---{'|---' * len(LABELS)}|"
    for label in LABELS:
        yield f"| {label} | {' | '.join(str(counts[label, chosen]) for chosen in LABELS)} |"


def calibration(found: Sequence[Judged]) -> Iterator[str]:
    """Confidence against accuracy, and the expected calibration error."""
    edges = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.001)
    bins = [[each for each in found if low <= each.confidence < high] for low, high in pairwise(edges)]
    yield "| confidence | messages | mean confidence | right |\n|---|---|---|---|"
    error = 0.0
    for (low, high), each in zip(pairwise(edges), bins, strict=True):
        if each:
            mean = sum(one.confidence for one in each) / len(each)
            error += abs(mean - share(each)) * len(each) / len(found)
            yield f"| {low:.2f}–{min(high, 1):.2f} | {len(each)} | {mean:.3f} | {share(each):.3f} |"
    yield f"\nExpected calibration error {error:.3f}; a report offered {sum(each.offered for each in found)} times."


def latency(found: Sequence[Judged]) -> str:
    """Mean and 99th percentile."""
    times = sorted(each.seconds * 1e3 for each in found)
    return f"Latency: mean {sum(times) / len(times):.2f} ms, p99 {times[int(len(times) * 0.99)]:.2f} ms."


def report(title: str, found: Sequence[Judged]) -> str:
    """One section."""
    parts = [summary(found), confusion(found), calibration(found), [latency(found)]]
    return f"### {title} ({len(found)} messages)\n\n" + "\n\n".join("\n".join(part) for part in parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=Settings().rounds)
    parser.add_argument("--errors", action="store_true", help="list what went wrong")
    options = parser.parse_args()
    ModelRouter().choose(RouteRequest("预热"))
    sections = {options.file.name: from_file(options.file)} if options.file else own(options.rounds)
    for title, found in sections.items():
        print(report(title, found))
        for each in found if options.errors else ():
            if each.chosen != each.label:
                print(f"- {each.label} → {each.chosen} {each.confidence:.2f}: {each.request.text[-80:]!r}")


def own(rounds: int) -> dict[str, list[Judged]]:
    """Both of our own estimates."""
    return {
        "Own messages, cross-validated over scenes": list(cross_validated(rounds)),
        "Scenes never trained on": [judge(each.request, each.label, each.tricky) for each in heldout()],
    }


if __name__ == "__main__":
    main()
