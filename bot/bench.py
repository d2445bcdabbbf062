"""`kantu bench light|heavy`: how fast a configured model answers, as a table or as JSON; any engine."""

from __future__ import annotations

import json
from dataclasses import asdict

from bot.app import build_engines
from bot.clock import Clock
from bot.config import Config
from bot.engine.chain import Size
from bot.measure import Measured, measure


async def bench(config: Config, size: Size, *, as_json: bool, tokens: int) -> int:
    """Measure and print. Raises EngineError where there is no answer."""
    engines = build_engines(config, Clock())
    engine = engines.engine(size)
    try:
        found = await measure(engine, tokens)
    finally:
        await engines.close()
    print(json.dumps(asdict(found), ensure_ascii=False, indent=1) if as_json else _table(found))
    return 0


def _table(found: Measured) -> str:
    rows = [
        ("engine", found.engine),
        ("start-up", f"{found.start_seconds:.2f} s"),
        ("first question: first token", f"{found.first_answer_first_token:.3f} s"),
        (f"question with a picture ({found.prompt_tokens} tokens): first token", f"{found.first_token:.3f} s"),
        ("then", f"{found.tokens_per_second:.1f} tokens/s"),
        (
            f"follow-up ({found.follow_up_cached_tokens} tokens cached): first token",
            f"{found.follow_up_first_token:.3f} s",
        ),
        (f"{found.at_once} questions at once", f"{found.at_once_tokens_per_second:.1f} tokens/s"),
        ("memory of this process, at most", f"{found.process_bytes / 1e9:.2f} GB"),
        *((f"of the engine: {name}", f"{size / 1e9:.2f} GB") for name, size in found.memory.items()),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
