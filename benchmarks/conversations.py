"""Two hundred group conversations with known right answers, through the real HTTP path of `kantu serve`.

    python benchmarks/conversations.py [--groups 200] [--seed N] [--only burst,number] [--json OUT] [--work DIR]

Members of 3 to 5 send pictures and questions in bursts, mixed, the wrong way round, between one another, quote,
refer to pictures by number, greet, chat among themselves, reset and forget; messages are delivered several times,
the service is killed and restarted. The model is a stub that says what it was given. For every turn the script knows
which pictures, under which numbers, and which earlier turns of that member the model must be given.

Prints Markdown tables and the first mismatches. Exit status 1 unless all is right.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop
import yaml
from echo import Echo
from evidence import Evidence, judge
from harness_profile import KEY
from process import CLIENT_CORES, Process, pin
from report import Section, section
from script import KINDS, Group, write
from stage import Chat, Stage

_RESTARTS = ("kill", "stop", "kill")
_SHOWN = 20


def main() -> int:
    """The command line."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    pin(CLIENT_CORES)
    print(f"seed {options.seed}\n", flush=True)
    groups = [write(number, options.seed, options.only) for number in range(options.groups)]
    with tempfile.TemporaryDirectory(prefix="kantu-conversations-") as folder:
        found, stage, seconds = uvloop.run(_play(groups, options, options.work or Path(folder)))
    tables = [_by_kind(found), _whole(found, stage, groups, seconds)]
    print("\n\n".join(table.markdown() for table in tables))
    _print_mismatches(found)
    if options.json:
        options.json.write_text(json.dumps(_data(options, tables, found), ensure_ascii=False, indent=1) + "\n", "utf-8")
    return 1 if tables[1].broken else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="scripted group conversations with known right answers")
    parser.add_argument("--groups", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--only", default=",".join(KINDS), help="feature classes, separated by commas (default: all)")
    parser.add_argument("--window", type=float, default=0.8, help="collect_pictures, seconds (default: 0.8)")
    parser.add_argument("--at-once", type=int, default=40, help="groups that talk at the same time (default: 40)")
    parser.add_argument("--no-restarts", action="store_true", help="let the service live")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all figures and mismatches here")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep the database and the log here")
    options = parser.parse_args()
    options.only = options.only.split(",")
    unknown = set(options.only) - set(KINDS)
    if unknown:
        parser.error(f"unknown class {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    return options


async def _play(groups: list[Group], options: argparse.Namespace, folder: Path) -> tuple[Evidence, Stage, float]:
    started = time.perf_counter()
    async with Echo(seed=options.seed) as echo, Chat() as chat:
        server = _kantu(folder, echo.url, chat.url, options.window)
        stage = Stage(server, chat, groups, options.window, options.seed)
        try:
            await server.start()
            await stage.play(options.at_once, () if options.no_restarts else _RESTARTS)
        finally:
            server.kill()
        seconds = time.perf_counter() - started
        return judge(groups, chat.answers, echo.calls, stage.slow, stage.stuck), stage, seconds


def _kantu(folder: Path, model: str, replies: str, window: float) -> Process:
    """`kantu serve` with a configuration file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    engine = {"engine": "openai", "base_url": model, "model": "echo"}
    secret = "whsec_" + base64.b64encode(KEY).decode()
    config: dict[str, Any] = {
        "data_dir": str(folder / f"data-{time.time_ns()}"),
        "log_level": "WARNING",
        "server": {"port": "${PORT}"},
        "store": {"min_free_bytes": 0},
        "worker": {"collect_pictures": window, "collect_questions": window, "history_turns": 100},
        "models": {"light": {**engine, "context_tokens": 1_000_000}, "heavy": {**engine, "context_tokens": 1_000_000}},
        "adapters": {"generic": {"secrets": [secret], "reply_url": replies}},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    return Process([sys.executable, "-m", "bot", "serve", "--config", str(path)], folder)


def _by_kind(found: Evidence) -> Section:
    table = Section("conversations by kind", ("kind", "turns", "ask the model", "right pictures", "right history"))
    for kind in KINDS:
        asked = found.asked[kind]
        pictures, history = found.right_pictures[kind], found.right_history[kind]
        shares = (_share(pictures, asked), _share(history, asked))
        table.rows.append((kind, f"{found.judged[kind]:,}", f"{asked:,}", *shares))
    return table


def _share(right: int, asked: int) -> str:
    return f"{100 * right / asked:.2f} %" if asked else ""


def _whole(found: Evidence, stage: Stage, groups: list[Group], seconds: float) -> Section:
    table = section("conversations")
    asked = found.asked.total()
    members = sum(len(group.members) for group in groups)
    said = f"{len(groups):,} / {members:,} / {found.judged.total():,}"
    table.rows.append(("groups / members / turns judged", said, ""))
    posts = f"{stage.posts:,}, of which {stage.copies:,} copies"
    table.rows.append(("webhooks", posts, ""))
    table.rows.append(("restarts", ", ".join(stage.restarts).replace("kill", "kill -9").replace("stop", "SIGTERM"), ""))
    for what, right in (("pictures", found.right_pictures.total()), ("history", found.right_history.total())):
        table.rows.append((f"exactly the right {what}", f"{right:,} of {asked:,}, {_share(right, asked)}", ""))
        table.promised(f"turns without exactly the right {what}", asked - right)
    table.promised("mixed-up members", found.count("mixed"))
    table.promised("answered twice, or before all was said", found.count("twice"))
    table.promised("never answered", found.count("lost"))
    table.promised("not for the bot, but answered", found.count("silence"))
    table.promised("commands and unclear references that asked the model", found.count("words"))
    _add_unjudged(table, found)
    table.measured("longest wait between two messages of a burst", stage.longest, "s", stage.window, digits=2)
    table.measured("time", seconds, "s", digits=0)
    return table


def _add_unjudged(table: Section, found: Evidence) -> None:
    """A busy machine may delay a burst for longer than the service waits for it; it must not hide much."""
    allowed = found.judged.total() // 50
    what = "turns not judged: a burst was sent too slowly, or a reply was lost"
    table.rows.append((what, f"{found.unjudged:,}", f"≤ {allowed:,}"))
    if found.unjudged > allowed:
        table.broken.append(f"{table.name}: {what}: {found.unjudged}, allowed {allowed}")


def _print_mismatches(found: Evidence) -> None:
    """Of each member the first turn that went wrong: what follows it may only follow from it."""
    first = [one for one in found.mismatches if one.first]
    if first:
        shown = min(_SHOWN, len(first))
        print(f"\n{len(found.mismatches)} mismatches, {len(first)} in their member's first; {shown} of them:\n")
        print("\n".join(map(str, first[:_SHOWN])))


def _data(options: argparse.Namespace, tables: list[Section], found: Evidence) -> dict[str, Any]:
    return {
        "seed": options.seed,
        "groups": options.groups,
        "kinds": options.only,
        "tables": {table.name: table.rows for table in tables},
        "mismatches": [
            {name: getattr(one, name) for name in ("what", "kind", "first", "turn", "sent", "expected", "came")}
            for one in found.mismatches
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
