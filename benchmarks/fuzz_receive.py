"""Feeds every adapter's `receive` with broken requests: only `Rejected` may come out, in bounded time and memory.

    python benchmarks/fuzz_receive.py [--seconds 120] [--seed 1] [platform ...]

Starts from the requests of tests/vectors_*.py. Half of the tries break a whole request (body, headers, query) and leave
the checks as they are. The other half go behind them: signatures count as right, and what a request decrypts to is
replaced by a broken text of that platform, since a fuzzer never guesses a key but an insider has one.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import json
import random
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from platform_vectors import Json, adapter, terms

from bot.adapter import Adapter, Request
from bot.errors import Rejected

TESTS = Path(__file__).resolve().parents[1] / "tests"
#: Where a platform decrypts or verifies outside of bot.signing: (module, class, attribute, what takes its place).
DOORS = (
    ("bot.envelope", "Envelope", "open", "text"),
    ("adapters.feishu.adapter", "Adapter", "_decrypted", "text"),
    ("adapters.qq.signature", "Signer", "verifies", "true"),
)
ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1 << 31,
        1 << 63,
        10**30,
        1.5,
        -0.0,
        "",
        " ",
        "0",
        "1",
        "-1",
        "1e9",
        "\u0000",
        "\ud800",
    ),
    *(
        "NaN",
        "１２",
        "\u202e\u200b\xa0",
        "@",
        "@_user_1",
        "<@!1>",
        "[CQ:at,qq=1]",
        "&#91;",
        "https://x\\@y/",
        "a" * 5000,
    ),
    *([], {}, [[]], [{}], [None], {"": {}}, {"text": None}, [1, "a", None], "😀" * 50, "]]>", "<!DOCTYPE a>"),
)
TOKENS = (b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"[" * 70, b"{", b"}", b'"', b"<![CDATA[", b"]]>", b"&#0;", b"\\u0000")


@dataclass
class Seeds:
    """What one platform's fuzzing starts from: requests with their adapters, and texts that were decrypted."""

    requests: list[tuple[Adapter, Request]] = field(default_factory=list[tuple[Adapter, Request]])
    texts: list[bytes] = field(default_factory=list[bytes])


@dataclass
class Outcome:
    """What came of it: how often each reason was given, the slowest try (seconds), and the crashes."""

    tries: int = 0
    reasons: Counter[str] = field(default_factory=Counter[str])
    slowest: float = 0.0
    grown: int = 0
    crashes: list[str] = field(default_factory=list[str])


def seeds_of(name: str) -> Seeds:
    """Run a vectors file once and keep its requests and what they decrypt to."""
    data: Json = importlib.import_module(name).vectors()
    found = terms(data["platform"])
    assert found is not None
    adapters = {config: adapter(found, data, secrets) for config, secrets in data["secrets"].items()}
    seeds = Seeds()
    with _listening(seeds.texts):
        for case in data["cases"]:
            request = case["request"]
            headers = {key.lower(): value for key, value in request["headers"].items()}
            body = base64.b64decode(request["body_b64"])
            made = Request(request["method"], request["path"], request["query"], headers, body, case["now"])
            seeds.requests.append((adapters[case["config"]], made))
            _receive(adapters[case["config"]], made)
    return seeds


def fuzz(name: str, *, seed: int, seconds: float = 1e9, tries: int = 1 << 62) -> Outcome:
    """Until the time or the tries are used up."""
    seeds, dice, outcome = seeds_of(name), random.Random(f"{seed} {name}"), Outcome()
    end, before = time.monotonic() + seconds, _memory()
    while outcome.tries < tries and time.monotonic() < end:
        outcome.tries += 1
        target, request = dice.choice(seeds.requests)
        if dice.random() < 0.5:
            _try(outcome, target, _broken_request(request, dice))
        elif seeds.texts and target.receive and dice.random() < 0.9:
            with _open_doors(_broken_text(dice.choice(seeds.texts), dice)):
                _try(outcome, target, request)
        else:
            with _open_doors(b"{}"):
                _try(outcome, target, _with_body(request, _broken_text(request.body, dice)))
    outcome.grown = _memory() - before
    return outcome


def _try(outcome: Outcome, target: Adapter, request: Request) -> None:
    start = time.perf_counter()
    reason = _receive(target, request)
    outcome.slowest = max(outcome.slowest, time.perf_counter() - start)
    outcome.reasons[reason.partition(":")[0]] += 1
    if reason.startswith("crash"):
        outcome.crashes.append(
            f"{reason}\n  {request.method} {request.query} {request.headers} {request.body[:2000]!r}"
        )


def _receive(target: Adapter, request: Request) -> str:
    try:
        received = target.receive(request)
    except Rejected as error:
        return error.reason
    except Exception as error:
        return f"crash: {type(error).__name__}: {error}"
    # Everything that is let in must be fit for the store.
    for event in received.events:
        try:
            repr(event).encode()
            str(event).encode("utf-8")
        except UnicodeEncodeError as error:
            return f"crash: {error}"
        if "\x00" in repr(event):
            return "crash: U+0000 was let in"
    return received.ignored or ("accepted" if received.events else "handshake")


def _broken_request(request: Request, dice: random.Random) -> Request:
    choice = dice.randrange(5)
    headers, query = dict(request.headers), dict(request.query)
    if choice == 0 and headers:
        headers[dice.choice(list(headers))] = _odd_text(dice)
    elif choice == 1 and query:
        query[dice.choice(list(query))] = _odd_text(dice)
    elif choice == 2 and (headers or query):
        (headers if headers else query).pop(dice.choice(list(headers or query)))
    else:
        return _with_body(request, _broken_text(request.body, dice))
    return Request(request.method, request.path, query, headers, request.body, request.now)


def _with_body(request: Request, body: bytes) -> Request:
    return Request(request.method, request.path, request.query, request.headers, body, request.now)


def _odd_text(dice: random.Random) -> str:
    return str(
        dice.choice([*(one for one in ODD if isinstance(one, str)), "9" * 400, "-1", "\udcff", "é", "A" * 43, "=" * 4])
    )


def _broken_text(text: bytes, dice: random.Random) -> bytes:
    """Its values replaced where it is JSON or XML, else (and now and then) its bytes."""
    for _ in range(dice.randrange(1, 4) if len(text) < 100_000 else 1):
        kind = dice.random()
        if kind < 0.6 and text.lstrip()[:1] in (b"{", b"["):
            text = _broken_json(text, dice)
        elif kind < 0.6 and text.lstrip()[:1] == b"<":
            text = _broken_xml(text, dice)
        elif kind < 0.62:
            text = dice.choice(
                (b'{"a":' * 5000, b"[" * 100_000, text[:5000] * 200, b'{"t":"' + b"a" * 5_000_000 + b'"}', b"")
            )
        else:
            text = _broken_bytes(text, dice)
    return text[:6_000_000]


def _broken_bytes(text: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(text) + 1)
    choice = dice.randrange(4)
    if choice == 0:
        return text[:at]
    if choice == 1:
        return text[:at] + dice.choice(TOKENS) + text[at:]
    if choice == 2:
        return text[:at] + bytes([dice.randrange(256)]) + text[at + 1 :]
    return text[:at] + text[dice.randrange(len(text) + 1) :]


def _broken_json(text: bytes, dice: random.Random) -> bytes:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _broken_bytes(text, dice)
    places = list(_places(value, 0))
    if not places:
        return json.dumps(dice.choice(ODD)).encode()
    holder, key = dice.choice(places)
    choice = dice.randrange(4)
    if choice == 0 and isinstance(holder, dict):
        del holder[key]
    elif choice == 1 and isinstance(holder[key], str) and holder[key][:1] in ("{", "["):
        # Texts that are JSON themselves (Feishu's content) are broken inside.
        holder[key] = _broken_json(holder[key].encode(errors="replace"), dice).decode(errors="replace")
    elif choice == 2 and len(text) < 100_000:
        holder[key] = [holder[key]] * dice.randrange(1, 400)
    else:
        holder[key] = dice.choice(ODD)
    return json.dumps(value, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")


def _places(value: Any, depth: int) -> Iterator[tuple[Any, Any]]:
    if depth > 30:
        return
    if isinstance(value, dict):
        for key in value:
            yield value, key
            yield from _places(value[key], depth + 1)
    elif isinstance(value, list):
        for at in range(min(len(value), 50)):
            yield value, at
            yield from _places(value[at], depth + 1)


def _broken_xml(text: bytes, dice: random.Random) -> bytes:
    values = list(re.finditer(rb">([^<>]*)<|<!\[CDATA\[(.*?)\]\]>", text, re.DOTALL))
    if not values:
        return _broken_bytes(text, dice)
    found = dice.choice(values)
    group = 1 if found[1] is not None else 2
    odd = _odd_text(dice).encode("utf-8", "replace")
    return text[: found.start(group)] + odd + text[found.end(group) :]


@contextmanager
def _listening(texts: list[bytes]) -> Iterator[None]:
    """Keep what is decrypted."""
    with _patched("text", lambda real: _kept(real, texts)):
        yield


def _kept(real: Callable[..., bytes], texts: list[bytes]) -> Callable[..., bytes]:
    def call(*arguments: Any) -> bytes:
        text = real(*arguments)
        texts.append(text)
        return text

    return call


@contextmanager
def _open_doors(text: bytes) -> Iterator[None]:
    """Signatures count as right, ages as young, and everything decrypts to `text`."""
    with (
        mock.patch("bot.signing.equal", lambda given, expected: True),
        mock.patch("bot.signing.check_age", lambda now, sent, age: None),
        _patched("true", lambda real: lambda *_: True),
        _patched("text", lambda real: lambda *_: text),
    ):
        yield


@contextmanager
def _patched(kind: str, change: Callable[[Any], Any]) -> Iterator[None]:
    changed: list[tuple[Any, str, Any]] = []
    for module, owner, attribute, door in DOORS:
        if door == kind and module.partition(".adapter")[0] in sys.modules:
            holder = getattr(importlib.import_module(module), owner)
            changed.append((holder, attribute, getattr(holder, attribute)))
            setattr(holder, attribute, change(getattr(holder, attribute)))
    try:
        yield
    finally:
        for holder, attribute, real in changed:
            setattr(holder, attribute, real)


def _memory() -> int:
    """The highest resident size so far, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def platforms() -> Sequence[str]:
    """Names of the vectors files."""
    return sorted(path.stem for path in TESTS.glob("vectors_*.py"))


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("platforms", nargs="*")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    names = [f"vectors_{name}" for name in options.platforms] or platforms()
    failed = 0
    for name in names:
        outcome = fuzz(name, seed=options.seed, seconds=options.seconds)
        failed += len(outcome.crashes)
        reasons = ", ".join(f"{reason} {count}" for reason, count in outcome.reasons.most_common())
        print(
            f"{name.removeprefix('vectors_')}: {outcome.tries} tries, {len(outcome.crashes)} crashes, slowest "
            f"{outcome.slowest * 1000:.0f} ms, memory +{outcome.grown // 1024} MiB ({reasons})",
            *outcome.crashes[:5],
            sep="\n  ",
            flush=True,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
