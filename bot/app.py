"""The composition root: configuration in, running service out. Adapters and handlers are loaded by name."""

from __future__ import annotations

import asyncio
import base64
import importlib
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from bot import feeds
from bot.adapter import Adapter
from bot.clock import Clock
from bot.config import Config, LocalModel, Model, ModelsConfig, ReaderModel, checked_url, convert
from bot.digests import Digests
from bot.dispatcher import Dispatcher
from bot.engine.base import Engine
from bot.engine.chain import EngineChain
from bot.errors import ConfigError
from bot.fetch import Fetcher
from bot.handler import Handlers
from bot.http import Http
from bot.intake import Intake
from bot.limits import Limiter
from bot.media import MediaStore
from bot.orders import Orders
from bot.router import ModelRouter
from bot.store import Store
from bot.templates import load as load_templates
from bot.web.api import Api
from bot.web.auth import Auth, check_exposure
from bot.web.health import Health
from bot.web.reports import ReportPages
from bot.web.server import Server, make_app
from bot.web.webhooks import Webhooks
from bot.worker import Worker

if TYPE_CHECKING:
    from bot.engine.reader import Line, ReaderEngine

log = logging.getLogger(__name__)

_SWEEP_EVERY = 600.0
_STASH_KEPT = 7 * 86_400.0
#: Seconds after which bytes that came inside a webhook are dropped when no event waits for them.
_STASH_LEFT = 300.0


def load_handlers(names: Sequence[str]) -> list[Handlers]:
    """The tables of `handlers/<name>.py`. Raises ConfigError."""
    return [_attribute(f"handlers.{name}", "on", Handlers, "handlers") for name in names]


def load_adapters(config: Config, http: Http, clock: Clock) -> dict[str, Adapter]:
    """An adapter per section; the section's name is the platform unless it says otherwise. Raises ConfigError."""
    sections = config.adapters if config.adapters is not None else default_adapters(Path(config.data_dir))
    return {name: _adapter(name, section, http, clock) for name, section in sections.items()}


def load_simulated(platform: str) -> Any:
    """A fake platform of `adapters/simulated/`, not started. Raises ConfigError."""
    return _attribute(f"adapters.simulated.{platform}", "Simulated", type, "--simulate")()


def default_adapters(data_dir: Path) -> dict[str, dict[str, Any]]:
    """With no configuration: the generic webhook, with a secret of its own made at the first start."""
    path = data_dir / "webhook-secret"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}\n", encoding="ascii")
    return {"generic": {"secrets": [f"file:{path}"]}}


def _adapter(name: str, section: Mapping[str, Any], http: Http, clock: Clock) -> Adapter:
    platform = str(section.get("platform") or name)
    kind = _attribute(f"adapters.{platform}", "Adapter", type, f"adapters.{name}")
    assert issubclass(kind, Adapter)
    return kind(name, convert(dict(section), kind.Config, where=f"adapters.{name}"), http, clock)


def _attribute(module: str, name: str, kind: type[Any], where: str) -> Any:
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ConfigError(f"{where}: there is no module {module}") from None
    if not isinstance(found, kind):
        raise ConfigError(f"{where}: {module} exports no `{name}`")
    return found


def build_engines(config: Config, clock: Clock) -> EngineChain:
    """Light, heavy and the built-in reader behind both."""
    models = config.models
    folder = Path(config.data_dir)
    local = _local_engines(models, folder)
    light = local.get("light") or _engine(models.light, "light", clock)
    heavy = None if models.heavy is None else local.get("heavy") or _engine(models.heavy, "heavy", clock)
    spare = None
    if models.fallback:
        spare = light if isinstance(models.light, ReaderModel) else _reader()
    masker = _reader() if config.privacy.mask_pictures else None
    return EngineChain(light, heavy, spare, models.breaker, clock, fallback=models.fallback, masker=masker)


def _reader() -> ReaderEngine:
    from bot.engine.reader import ReaderEngine

    return ReaderEngine()


def _page_reader(engines: EngineChain) -> ReaderEngine:
    """What reads pictures for evidence: the chain's own reader where it has one, so that a picture is read once."""
    from bot.engine.reader import ReaderEngine

    return next((engine for engine in engines.engines if isinstance(engine, ReaderEngine)), None) or ReaderEngine()


async def _lines(reader: ReaderEngine, media: MediaStore, sha256: str) -> tuple[Line, ...]:
    page = await reader.read(sha256, await media.load(sha256))
    return page.lines


def _local_engines(models: ModelsConfig, data_dir: Path) -> dict[str, Engine]:
    """Those that run here, by role; on one device they share its memory."""
    from bot.engine.local.household import Household
    from bot.engine.local.load import WaitingEngine
    from bot.engine.local.settings import Settings

    roles = {"light": models.light, "heavy": models.heavy}
    local = {role: model for role, model in roles.items() if isinstance(model, LocalModel)}
    settings = {role: Settings(**msgspec.structs.asdict(model), role=role) for role, model in local.items()}
    memory = None if models.memory_gb is None else int(models.memory_gb * 1e9)
    together = Household(list(settings.values()), memory, models.idle_seconds)
    apart = len({model.device for model in local.values()}) > 1
    return {
        role: WaitingEngine(one, data_dir, Household([one], memory) if apart else together)
        for role, one in settings.items()
    }


def _engine(model: Model, role: str, clock: Clock) -> Engine:
    if isinstance(model, ReaderModel):
        from bot.engine.reader import ReaderEngine

        return ReaderEngine(model)
    assert not isinstance(model, LocalModel), "made by _local_engines"
    from bot.engine.openai import OpenAIEngine

    try:
        return OpenAIEngine(model.model, model, clock)
    except ConfigError as error:
        raise ConfigError(f"models.{role}: {error}") from None


@dataclass(frozen=True, slots=True)
class Core:
    """What answering needs, with or without a service around it."""

    media: MediaStore
    engines: EngineChain
    dispatcher: Dispatcher
    limiter: Limiter | None = None
    reader: ReaderEngine | None = None
    orders: Orders | None = None

    @staticmethod
    def build(config: Config, clock: Clock, store: Store | None = None, fetcher: Fetcher | None = None) -> Core:
        """Starts nothing. store: where a service runs; fetcher: for feeds. Raises ConfigError."""
        folder = Path(config.data_dir)
        # Chats and pictures are nobody else's business.
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        media = MediaStore(folder / "media", config.media, clock=clock)
        engines = build_engines(config, clock)
        reader = _page_reader(engines)
        limiter = store and Limiter(store.usage, config.limits, config.access, clock, config.admins)
        orders = store and Orders(store.subscriptions, config.digests, clock)
        if store is not None:
            store.reports.keep_days = config.reports.keep_days
        dispatcher = Dispatcher(
            load_handlers(config.handlers),
            ModelRouter(),
            engines,
            media.load,
            limiter=limiter,
            facts=store,
            reports=store and store.reports,
            templates=load_templates(Path(config.reports.templates)) if config.reports.templates else (),
            report_url=checked_url("reports.public_url", config.reports.public_url, optional=True),
            read_picture=lambda sha256: _lines(reader, media, sha256),
            orders=orders,
            fetch=fetcher and (lambda url: fetcher.document(url, feeds.ACCEPT, feeds.LONGEST)),
        )
        return Core(media, engines, dispatcher, limiter, reader, orders)

    async def close(self) -> None:
        """End workers and connections."""
        await self.engines.close()
        if self.reader is not None:
            await self.reader.close()
        await self.media.close()


class Service:
    """The running service. `start`, then `stop`; built by `open`."""

    def __init__(self, config: Config, clock: Clock, core: Core, store: Store, fetcher: Fetcher) -> None:
        self.config = config
        self.store = store
        self._core = core
        self._fetcher = fetcher
        self._adapters = load_adapters(config, fetcher, clock)
        self._digests = Digests(store, config.digests, self._adapters, core.dispatcher, clock)
        if core.orders is not None:
            core.orders.serve(self._adapters, self._digests.configured)
        self._worker = Worker(
            store,
            self._adapters,
            Intake(store, core.media),
            core.dispatcher,
            config.worker,
            clock,
            shared_sessions=config.conversations.group_sessions == "shared",
            limiter=core.limiter,
            redacted=config.privacy.redact,
            digests=self._digests,
        )
        self._webhooks = Webhooks(self._adapters, store, core.media, clock, config.server.body_timeout)
        self._server = Server(self._app(clock), config.server)
        self._tasks: list[asyncio.Task[None]] = []
        self.port = 0

    @staticmethod
    async def open(config: Config, clock: Clock | None = None) -> Service:
        """Open the store and load everything the configuration names. Raises ConfigError."""
        clock = clock or Clock()
        check_exposure(config.server)
        store = await Store.open(config.store, Path(config.data_dir), clock)
        try:
            fetcher = Fetcher(config.media)
            return Service(config, clock, Core.build(config, clock, store, fetcher), store, fetcher)
        except BaseException:
            await store.close()
            raise

    def _app(self, clock: Clock) -> web.Application:
        server = self.config.server
        api = Api(self._core.dispatcher, self._core.media, self._fetcher, server, clock)
        health = Health(self.store, self._adapters, lambda: self._webhooks.open, lambda: self._worker.running)
        auth = Auth(server, clock)
        reports = ReportPages(self.store.reports.page, self._core.media.load, clock, self.config.limits.timezone)
        routes = [*self._webhooks.routes(), *health.routes(), *auth.routes(), *api.routes(), *reports.routes()]
        return make_app(routes, [auth.middleware], server.upload_bytes)

    async def start(self) -> None:
        """Listen and work. Raises OSError when the port is taken."""
        await self._digests.prepare()
        self.port = await self._server.start()
        self._tasks = [asyncio.create_task(self._worker.run()), asyncio.create_task(self._sweep_forever())]
        self._tasks += [asyncio.create_task(one) for one in (self._core.engines.start(), self._digests.run())]
        for adapter in self._adapters.values():
            self._tasks.append(asyncio.create_task(adapter.run(self.store)))

    async def stop(self) -> None:
        """Accept nothing more, finish or hand back what runs, close. Within `server.stop_timeout` and a little."""
        self._webhooks.open = False
        await self._worker.stop(self.config.server.stop_timeout)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.stop()
        for adapter in self._adapters.values():
            await adapter.close()
        await self._fetcher.close()
        await self._core.close()
        await self.store.close()

    async def _forget_old(self) -> None:
        kept = self.config.conversations
        for sha256 in await self.store.expire(kept.keep_days, kept.keep_turns):
            await self._core.media.delete(sha256)

    async def _drop_stashes(self) -> None:
        for sha256 in await self._core.media.stashed(_STASH_LEFT):
            if not await self.store.awaits(sha256):
                await self._core.media.drop_stash(sha256)

    async def _sweep_forever(self) -> None:
        while True:
            try:
                await self.store.sweep()
                await self._core.media.sweep(_STASH_KEPT)
                await self._forget_old()
                await self._drop_stashes()
            except Exception:
                log.exception("the sweep failed; trying again in an hour")
            await asyncio.sleep(_SWEEP_EVERY)
