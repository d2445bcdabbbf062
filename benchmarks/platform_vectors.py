"""Runs folders of recorded webhook requests through the adapters and compares what comes out.

    python benchmarks/platform_vectors.py DIR [--jsonl OUT] [--http]

A folder holds one JSON file per platform: `secrets` per configuration, and `cases`, each with a request, the
time of its receipt and what is expected. Cases run in order; those of one configuration share one memory of
what was seen. Prints every mismatch and a count per platform; exit status 1 when there is any. An exception in a case
is its outcome `crash`. --http: every request travels through a real server, whose status must be the adapter's.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bot.adapter import Adapter, Received, Request
from bot.clock import Clock
from bot.config import convert
from bot.errors import KantuError, Rejected
from bot.event import MessageEvent
from bot.message import Image, Message, Quote

# The files in vector_terms/ import this module by its name, also when it runs as a script.
sys.modules.setdefault("platform_vectors", sys.modules[__name__])

Json = dict[str, Any]

RESULTS = (
    "outcome",
    "reason",
    "message",
    "response",
    "stream_id",
    "open_kfid",
    "sync_token",
    "reply_url",
    "reply_url_refused",
)


@dataclass(frozen=True)
class Terms:
    """One platform in the files' words; `vector_terms/<platform>.py` exports it as `TERMS`.

    module: our adapter's name. section: from a file's secrets and policy to our configuration. image: a picture, with
    what was received (its `raw` holds sizes that we do not keep). extra: fields of `message` that we keep elsewhere or
    not at all. judge: for what was received without events, when it is no handshake: the whole outcome, or None.
    ignored_key: what tells copies of an ignored event apart (empty: nothing does).
    """

    module: str
    section: Callable[[Json, Json], Json]
    image: Callable[[Image, Received], Json]
    extra: Callable[[MessageEvent, Received], Json] = lambda event, received: {}
    accepted: Callable[[MessageEvent, Received], Json] = lambda event, received: {}
    judge: Callable[[Received], Json | None] = lambda received: None
    ignored_key: Callable[[Received], str] = lambda received: ""


def terms(platform: str) -> Terms | None:
    """The terms of a platform; None when there is no adapter for it."""
    path = Path(__file__).parent / "vector_terms" / f"{platform}.py"
    if not path.exists():
        return None
    spec = importlib.util.spec_from_file_location(f"vector_terms_{platform}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TERMS


@dataclass
class Receiver:
    """One configured adapter and, above it, the memory that the store keeps in a running service."""

    terms: Terms
    adapter: Adapter
    ids: set[str] = field(default_factory=set[str])
    messages: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def run(self, case: Json) -> Json:
        """The outcome of one case, in the files' words."""
        return self.judge(lambda: self.adapter.receive(_request(case)))

    def judge(self, receive: Callable[[], Received]) -> Json:
        """What `receive` comes to, in the files' words."""
        try:
            received = receive()
            return self._judge(received) | {"response": _response(received)}
        except Rejected as error:
            return {"outcome": "rejected", "reason": error.reason}
        except Exception as error:
            return {"outcome": "crash", "reason": repr(error)}

    def _judge(self, received: Received) -> Json:
        if received.ignored:
            return self._ignored(received)
        events = [event for event in received.events if isinstance(event, MessageEvent)]
        if not events:
            return self.terms.judge(received) or {"outcome": "handshake"}
        fresh = [event for event in events if self._remember(event)]
        return self._accepted(fresh[0], received) if fresh else {"outcome": "duplicate"}

    def _ignored(self, received: Received) -> Json:
        key = self.terms.ignored_key(received)
        if key and key in self.ids:
            return {"outcome": "duplicate"}
        if key:
            self.ids.add(key)
        return {"outcome": "ignored", "reason": received.ignored}

    def _accepted(self, event: MessageEvent, received: Received) -> Json:
        message = _message(event, self.terms, received)
        links = {name: message[name] for name in ("reply_url",) if name in message}
        return {"outcome": "accepted", "message": message, **links, **self.terms.accepted(event, received)}

    def _remember(self, event: MessageEvent) -> bool:
        """Whether the event is new; only then is it remembered."""
        second = (event.conversation.key, event.message_id)
        named = event.dedup_message and event.message_id
        if event.id in self.ids or (named and second in self.messages):
            return False
        self.ids.add(event.id)
        if named:
            self.messages.add(second)
        return True


def run_file(data: Json) -> Iterator[tuple[Json, Json]]:
    """Every case with the record of what happened."""
    receivers = make_receivers(data)
    for case in data["cases"]:
        found = receivers[case["config"]]
        outcome = found.run(case) if isinstance(found, Receiver) else unusable(found)
        yield case, record_of(data, case, outcome)


def make_receivers(data: Json) -> dict[str, Receiver | KantuError]:
    """A receiver per configuration, or why it is refused."""
    found = terms(data["platform"])
    assert found is not None
    receivers: dict[str, Receiver | KantuError] = {}
    for name, secrets in data["secrets"].items():
        try:
            receivers[name] = Receiver(found, adapter(found, data, secrets))
        except KantuError as error:
            receivers[name] = error
    return receivers


def unusable(error: KantuError) -> Json:
    return {"outcome": "crash", "reason": f"the configuration is refused: {error}"}


def record_of(data: Json, case: Json, outcome: Json) -> Json:
    return {"platform": data["platform"], "id": case["id"], **{name: outcome.get(name) for name in RESULTS}}


def adapter(found: Terms, data: Json, secrets: Json, http: Any = None) -> Adapter:
    """Our adapter, configured as the file says."""
    module = importlib.import_module(f"adapters.{found.module}")
    section = convert(found.section(secrets, data["policy"]), module.Adapter.Config, environ={})
    return module.Adapter(data["platform"], section, http, Clock())


def mismatches(case: Json, record: Json) -> list[str]:
    """One line for each expected value that differs."""
    expected = case["expect"]
    names = ["outcome", *(name for name in RESULTS[1:] if name in expected)]
    return [
        f"{record['id']}: {name}: expected {_short(expected[name])}, got {_short(record[name])}"
        for name in names
        if record[name] != expected[name]
    ]


def _request(case: Json) -> Request:
    request = case["request"]
    headers = {name.lower(): value for name, value in request["headers"].items()}
    body = base64.b64decode(request["body_b64"])
    return Request(request["method"], request["path"], request["query"], headers, body, case["now"])


def _response(received: Received) -> Json | None:
    ack = received.ack
    if not ack.body:
        return {"text": ""} if ack.status == 200 else None
    return {"json": json.loads(ack.body)} if "json" in ack.content_type else {"text": ack.body.decode()}


def _message(event: MessageEvent, words: Terms, received: Received) -> Json:
    def image(one: Image) -> Json:
        return words.image(one, received)

    quotes = [part.message for part in event.message.parts if isinstance(part, Quote)]
    return {
        "platform": event.conversation.platform,
        "conversation": {"id": event.conversation.chat_id, "type": event.conversation.chat_type},
        "sender": {"id": event.sender.id} | ({"name": event.sender.name} if event.sender.name else {}),
        "message_id": event.message_id,
        "dedup_key": event.id,
        **_content(event.message, image),
        "mentions": [{"id": m.user_id, "name": m.name, "is_bot": m.is_bot} for m in event.mentions],
        "mentioned_bot": any(mention.is_bot for mention in event.mentions),
        "reply_to": event.reply_to or None,
        "quoted": _content(quotes[0], image) if quotes else None,
        "sent_at": event.timestamp,
        **words.extra(event, received),
    }


def _content(message: Message, image: Callable[[Image], Json]) -> Json:
    own = [part for part in message.parts if isinstance(part, Image)]
    return {"text": message.text, "images": [image(one) for one in own]}


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:600]


def _load(folder: Path) -> Iterator[Json]:
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(data, dict) and "cases" in data:
            yield data


def run_folder(folder: Path, run: Callable[[Json], Iterable[tuple[Json, Json]]]) -> tuple[list[Json], list[str]]:
    """All records and all mismatches; one line per platform is printed on the way."""
    records: list[Json] = []
    wrong: list[str] = []
    for data in _load(folder):
        if terms(data["platform"]) is None:
            print(f"{data['platform']}: no adapter ({len(data['cases'])} cases)")
            continue
        results = list(run(data))
        bad = [line for case, record in results for line in mismatches(case, record)]
        records += [record for _, record in results]
        wrong += bad
        print("\n".join([f"{data['platform']}: {len(results)} cases, {len(bad)} mismatches", *bad]))
    return records, wrong


def _run_file_over_http(data: Json) -> list[tuple[Json, Json]]:
    from vectors_server import serve_file

    return asyncio.run(serve_file(data))


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jsonl", type=Path, help="write one record per case")
    parser.add_argument("--http", action="store_true", help="through a real server on loopback")
    arguments = parser.parse_args()
    records, wrong = run_folder(arguments.folder, _run_file_over_http if arguments.http else run_file)
    if arguments.jsonl:
        lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
        arguments.jsonl.write_text("".join(lines), encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
