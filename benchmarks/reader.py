"""How well the built-in engine reads and answers: `python benchmarks/reader.py DIR` or `--synthetic SEED`.

DIR holds pictures and a `facts.json`: a list of {file, scene, must_read: [text], qa: [{q, must: [text or [text]]}]}.
A picture is found by its base name. Recall is the share of `must_read` found on the page, blanks aside. An answer is
right when it holds every `must` item (one of them where it is a list), declined when the engine says so, else wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import platform
import re
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bot.engine.base import GenerateRequest
from bot.engine.reader import ReaderEngine
from bot.message import Image, Text, user


@dataclass
class Asked:
    """One question with its answer and verdict: right, declined or wrong."""

    question: str
    answer: str
    verdict: str


@dataclass
class Result:
    """One picture. seconds: first reading, worker warm."""

    file: str
    scene: str
    seconds: float
    found: int
    expected: int
    missing: list[str]
    asked: list[Asked] = field(default_factory=list[Asked])


def squeeze(text: str) -> str:
    """Without blanks, full-width marks folded: how `must` texts are compared."""
    return re.sub(r"\s+", "", text.translate(str.maketrans("（）：，￥－", "():,¥-")))


def holds(answer: str, must: list[Any]) -> bool:
    """Every item occurs, one of them where it is a list of alternatives."""
    text = squeeze(answer)
    return all(any(squeeze(str(one)) in text for one in (item if isinstance(item, list) else [item])) for item in must)


async def run_picture(engine: ReaderEngine, path: Path, facts: dict[str, Any]) -> Result:
    data = await asyncio.to_thread(path.read_bytes)
    key = hashlib.sha256(data).hexdigest()
    started = time.perf_counter()
    page = await engine.read(key, data)
    seconds = time.perf_counter() - started
    text = squeeze(page.text.replace("\n", ""))
    missing = [item for item in facts["must_read"] if squeeze(item) not in text]
    count = len(facts["must_read"])
    result = Result(path.name, facts["scene"], round(seconds, 2), count - len(missing), count, missing)
    for pair in facts["qa"]:
        message = user(Image(source="", sha256=key, index=1), Text(pair["q"]))
        done = await engine.generate(GenerateRequest((message,), {key: data}))
        verdict = (
            "declined" if done.finish_reason == "declined" else "right" if holds(done.text, pair["must"]) else "wrong"
        )
        result.asked.append(Asked(pair["q"], done.text, verdict))
    return result


async def run(folder: Path) -> list[Result]:
    engine = ReaderEngine()
    facts = json.loads(await asyncio.to_thread((folder / "facts.json").read_text, "utf-8"))
    try:
        results = [await run_picture(engine, folder / Path(entry["file"]).name, entry) for entry in facts]
    finally:
        await engine.close()
    return results


def totals(results: list[Result]) -> dict[str, Any]:
    verdicts = [asked.verdict for result in results for asked in result.asked]
    counts = {name: verdicts.count(name) for name in ("right", "declined", "wrong")}
    found, expected = sum(r.found for r in results), sum(r.expected for r in results)
    return {"recall": f"{found}/{expected}", "questions": len(verdicts), **counts}


def show(results: list[Result], machine: str) -> None:
    for result in results:
        lost = f"  missing {result.missing}" if result.missing else ""
        print(f"{result.file}  {result.scene}  {result.seconds:.2f} s  recall {result.found}/{result.expected}{lost}")
        for asked in result.asked:
            text = asked.answer.splitlines()[0] if asked.verdict == "declined" else asked.answer.replace("\n", " | ")
            print(f"    {asked.verdict:8}  {asked.question}  →  {text}")
    print(totals(results))
    print(machine)


def machine_line() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--synthetic", type=int, metavar="SEED", help="draw and run the generated set")
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args()
    if (options.folder is None) == (options.synthetic is None):
        parser.error("give a folder or --synthetic SEED")
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or synthetic(options.synthetic, Path(scratch))
        results = asyncio.run(run(folder))
    show(results, machine_line())
    if options.json:
        report = {"machine": machine_line(), "totals": totals(results), "pictures": [asdict(r) for r in results]}
        options.json.write_text(json.dumps(report, ensure_ascii=False, indent=1), encoding="utf-8")


def synthetic(seed: int, folder: Path) -> Path:
    from reader_scenes import draw

    return draw(seed, folder)


if __name__ == "__main__":
    main()
