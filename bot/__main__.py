"""kantu serve | ask | compare | route | doctor | dead | models | bench"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bot import __version__
from bot.errors import ConfigError, KantuError

if TYPE_CHECKING:
    from bot.config import Config

# Heavy modules are imported by the command that needs them: `kantu --help` is instant.


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script; returns the exit status: 0 well, 1 it failed, 2 wrong arguments or configuration."""
    options = _parser().parse_args(arguments)
    try:
        config = _load(options.config)
        logging.basicConfig(
            level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
        )
        if config.privacy.redact:
            _redact_logs()
        return options.run(options, config)
    except ConfigError as error:
        print(f"kantu: {error}", file=sys.stderr)
        return 2
    except KantuError as error:
        print(f"kantu: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _redact_logs() -> None:
    """On the handlers: a filter of the root logger would miss what its children log."""
    from bot.redact import RedactingFilter

    for handler in logging.getLogger().handlers:
        handler.addFilter(RedactingFilter())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kantu", description="看图: a Chinese chat bot for pictures and questions")
    parser.add_argument("--version", action="version", version=f"kantu {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--config", metavar="FILE", help="configuration (default: $KANTU_CONFIG, ./config.yaml, or built-in defaults)"
    )

    serve = commands.add_parser("serve", parents=[shared], help="run the service")
    serve.set_defaults(run=_serve)

    ask = commands.add_parser("ask", parents=[shared], help="ask about pictures, here and now")
    ask.add_argument("words", nargs="+", metavar="PICTURE… QUESTION", help="picture files, then the question")
    ask.add_argument("--model", choices=("auto", "light", "heavy"), default="auto")
    ask.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    ask.set_defaults(run=_ask)

    compare = commands.add_parser("compare", parents=[shared], help="ask both configured models the same question")
    compare.add_argument("words", nargs="+", metavar="PICTURE… QUESTION", help="picture files, then the question")
    compare.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    compare.add_argument("--html", metavar="OUT", type=Path, help="also write a page that stands alone")
    compare.add_argument("--tokens", type=_count, default=1024, metavar="N", help="length of an answer (default: 1024)")
    compare.set_defaults(run=_compare)

    doctor = commands.add_parser("doctor", parents=[shared], help="check the set-up; says how to mend what is wrong")
    doctor.add_argument(
        "--simulate", metavar="PLATFORM", help="run the whole path against a fake chat platform on this machine instead"
    )
    doctor.set_defaults(run=_doctor)

    route = commands.add_parser("route", parents=[shared], help="say which model would answer each message of a file")
    route.add_argument(
        "--jsonl", metavar="FILE", required=True, help="a JSON object per line: text, images, chat, history"
    )
    route.set_defaults(run=_route)

    dead = commands.add_parser("dead", parents=[shared], help="list dead letters, or try one again")
    dead.add_argument("--retry", metavar="KIND/ID", help="event/12 or delivery/7")
    dead.set_defaults(run=_dead)

    bench = commands.add_parser("bench", parents=[shared], help="measure how fast a configured model answers")
    bench.add_argument("size", choices=("light", "heavy", "compare"), help="one model, or both beside each other")
    bench.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    bench.add_argument("--tokens", type=_count, default=128, metavar="N", help="length of an answer (default: 128)")
    bench.set_defaults(run=_bench)

    _add_models(commands, shared)
    return parser


def _add_models(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],  # pyright: ignore[reportPrivateUsage]
    shared: argparse.ArgumentParser,
) -> None:
    models = commands.add_parser("models", help="list, fetch, quantise and try models of the local engine")
    actions = models.add_subparsers(required=True, metavar="ACTION", dest="action")

    def action(name: str, help: str, model: str = "a folder or an id") -> argparse.ArgumentParser:
        parser = actions.add_parser(name, parents=[shared], help=help)
        if model:
            parser.add_argument("model", metavar="MODEL", help=model)
        parser.set_defaults(run=_models)
        return parser

    action("list", "what is in the caches of Hugging Face and ModelScope", "")
    action("info", "size, family and memory needed")
    pull = action("pull", "fetch a model; goes on where it was broken off", "an id, such as ZhipuAI/GLM-4.6V-Flash")
    pull.add_argument("--from", dest="hub", choices=("huggingface", "modelscope"), default="modelscope")
    quantize = action("quantize", "make a smaller copy once, for fast loading")
    quantize.add_argument("--weights", choices=("int8", "int4", "fp8"), required=True)
    verify = action("verify", "load a model and ask about pictures with known answers")
    verify.add_argument("--weights", choices=("auto", "bf16", "fp32", "fp8", "int8", "int4"), default="auto")
    verify.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda or cuda:N")


def _load(given: str | None) -> Config:
    from bot.config import load

    named = given or os.environ.get("KANTU_CONFIG")
    if named:
        return load(Path(named))
    default = Path("config.yaml")
    return load(default if default.exists() else None)


def _serve(_options: argparse.Namespace, config: Config) -> int:
    import uvloop

    return uvloop.run(serve_until_signal(config))


async def serve_until_signal(config: Config) -> int:
    from bot.app import Service

    _raise_file_limit()
    service = await Service.open(config)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await service.start()
    except OSError as error:
        await service.stop()
        raise ConfigError(
            f"cannot listen on {config.server.host}:{config.server.port}: {error.strerror}; set server.port"
        ) from error
    _tame_collector()
    print(f"看图已启动: http://{config.server.host}:{service.port}/  (Ctrl-C 停止)", flush=True)
    await stop.wait()
    await service.stop()
    return 0


def _tame_collector() -> None:
    """What is loaded stays: looking through it for garbage again and again only delays acknowledgements."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _raise_file_limit() -> None:
    """A thousand questions that wait for a model are a thousand connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else max(soft, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _ask(options: argparse.Namespace, config: Config) -> int:
    names, question = _pictures_and_question(options.words)
    return asyncio.run(_ask_once(names, question, options, config))


def _compare(options: argparse.Namespace, config: Config) -> int:
    from bot.compare import run

    names, question = _pictures_and_question(options.words)
    return asyncio.run(run(config, names, question, as_json=options.json, page=options.html, tokens=options.tokens))


def _pictures_and_question(words: Sequence[str]) -> tuple[Sequence[str], str]:
    """A last word that is a file is one more picture."""
    *names, question = words
    return (words, "") if _is_file(question) else (names, question)


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        # A question may be longer than a file's name can be.
        return False


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


async def _ask_once(names: Sequence[str], question: str, options: argparse.Namespace, config: Config) -> int:
    from bot.app import Core
    from bot.clock import Clock
    from bot.question import ask
    from bot.terminal import TerminalDraft, read_pictures

    pictures = read_pictures(names)
    clock = Clock()
    core = Core.build(config, clock)
    draft = TerminalDraft(quiet=options.json)
    try:
        result = await ask(
            core.dispatcher, core.media, pictures, question, model=options.model, draft=draft, clock=clock
        )
    finally:
        draft.close()
        await core.close()
    if options.json:
        print(json.dumps(result.to_dict(), ensure_ascii=False, indent=1))
    else:
        draft.finish(result)
    return 0


def _doctor(options: argparse.Namespace, config: Config) -> int:
    if options.simulate:
        from bot.simulate import simulate

        return asyncio.run(simulate(options.simulate, config))
    from bot.doctor import examine

    return asyncio.run(examine(config))


def _route(options: argparse.Namespace, _config: Config) -> int:
    from bot.router.jsonl import route_lines

    try:
        with Path(options.jsonl).open(encoding="utf-8") as file:
            for line in route_lines(file):
                print(line)
    except (OSError, ValueError) as error:
        print(f"kantu: {options.jsonl}: {error}", file=sys.stderr)
        return 1
    return 0


def _dead(options: argparse.Namespace, config: Config) -> int:
    return asyncio.run(_dead_letters(options.retry, config))


async def _dead_letters(retry: str | None, config: Config) -> int:
    from bot.clock import Clock
    from bot.store import Store

    store = await Store.open(config.store, Path(config.data_dir), Clock(), owner=False)
    try:
        if retry is None:
            for letter in await store.dead_letters():
                print(
                    f"{letter.kind}/{letter.id}\t{letter.state}\t{letter.attempts}\t{letter.key}\t{letter.lane}\t{letter.error}"
                )
            return 0
        kind, _, number = retry.partition("/")
        if kind in ("event", "delivery") and number.isdecimal() and await store.retry_dead(kind, int(number)):
            print(f"{retry} is queued again")
            return 0
        print(f"kantu: there is no dead letter {retry}; `kantu dead` lists them", file=sys.stderr)
        return 1
    finally:
        await store.close()


def _bench(options: argparse.Namespace, config: Config) -> int:
    if options.size == "compare":
        from bot.bench_compare import bench_compare

        return asyncio.run(bench_compare(config, as_json=options.json, tokens=options.tokens))
    from bot.bench import bench

    return asyncio.run(bench(config, options.size, as_json=options.json, tokens=options.tokens))


def _models(options: argparse.Namespace, config: Config) -> int:
    from bot.models_command import run

    return run(options, config)


if __name__ == "__main__":
    sys.exit(main())
