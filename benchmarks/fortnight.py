"""A simulated fortnight of digests: 300 conversations, 40 subscriptions, three time zones with a change of clocks.

    python benchmarks/fortnight.py [--quick] [--seed N] [--start 2027-03-14] [--json OUT]

Two real processes serve one PostgreSQL database and post to a platform on loopback. They live by a clock in a file
(stepped_clock.py) that is moved from one event to the next, so that a minute is exact however long it takes.
Meanwhile they are restarted, killed with SIGKILL (often in the middle of a digest), and now and then both are down.

What must come is worked out here without the bot's own schedules: every minute of the fortnight is looked at, by what
the clocks on the walls of each zone show. Checked: each digest once, not before its time and within the window after
it, with the span that begins where the last one ended, and with as many messages as were sent in that span.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
import yaml
from aiohttp import web
from private_postgres import private_postgres
from stepped_clock import SteppedClock

HERE = Path(__file__).resolve().parent
KEY = b"0123456789abcdef0123456789abcdef"
ZONES = ("Asia/Shanghai", "America/New_York", "Europe/London")
KINDS = ("support", "feeds", "prompt")
WINDOW, GRACE, LATE = 60.0, 6 * 3600.0, 120.0
#: Simulated seconds after its window at which a digest may still come when its writer was killed: leases must run out.
SLACK = 240.0
_HEADER = re.compile(r"(\d+)月(\d+)日 (\d\d):(\d\d) – (\d+)月(\d+)日 (\d\d):(\d\d)")
_COUNT = re.compile(r"(\d+) 条消息")

Rule = Callable[[datetime], bool]


@dataclass
class Wanted:
    """A subscription: how it is written, and when its wall clock says that it is due."""

    number: int
    written: str
    due: Rule
    zone: str
    kind: str
    ordered: bool
    slots: list[float] = field(default_factory=list)
    first: float = 0.0

    @property
    def chat(self) -> str:
        return f"g{self.number}"

    @property
    def name(self) -> str:
        return f"digest-{self.number}"

    @property
    def offset(self) -> float:
        """As bot.agenda spreads the configuration's; the name of an order is not known before: the window's end."""
        if self.ordered:
            return WINDOW
        part = int.from_bytes(hashlib.sha256(self.name.encode()).digest()[:4], "big") / 2**32
        return part * WINDOW


@dataclass
class Posted:
    """What the platform got: at which simulated time, in real seconds too."""

    chat: str
    text: str
    at: float


def times(text: str) -> set[tuple[int, int]]:
    return {(int(one[:2]), int(one[3:])) for one in text.split()}


def rule(days: Rule, clock: str) -> Rule:
    wanted = times(clock)
    return lambda wall: (wall.hour, wall.minute) in wanted and days(wall)


def last_day(wall: datetime) -> bool:
    return (wall + timedelta(days=1)).month != wall.month


#: Written in Chinese or cron, and what that means.
RULES: list[tuple[str, Rule]] = [
    ("每天18:00", rule(lambda wall: True, "18:00")),
    ("每天早上九点半", rule(lambda wall: True, "09:30")),
    ("工作日上午十点", rule(lambda wall: wall.isoweekday() <= 5, "10:00")),
    ("每周五17点", rule(lambda wall: wall.isoweekday() == 5, "17:00")),
    ("每周一三五 8:15", rule(lambda wall: wall.isoweekday() in (1, 3, 5), "08:15")),
    ("每天凌晨一点半", rule(lambda wall: True, "01:30")),
    ("每天2:30", rule(lambda wall: True, "02:30")),
    ("每月最后一天18:00", rule(last_day, "18:00")),
    ("每月15、20号 9:00", rule(lambda wall: wall.day in (15, 20), "09:00")),
    ("每天上午九点和下午六点", rule(lambda wall: True, "09:00 18:00")),
    ("隔天20:00", rule(lambda wall: wall.date().toordinal() % 2 == 0, "20:00")),
    ("0 9 * * 1-5", rule(lambda wall: wall.isoweekday() <= 5, "09:00")),
    ("周末10点", rule(lambda wall: wall.isoweekday() > 5, "10:00")),
    ("每小时", rule(lambda wall: True, " ".join(f"{hour:02d}:00" for hour in range(24)))),
]


def subscriptions(count: int) -> list[Wanted]:
    """Every third one is ordered in chat; all are in three zones and of four kinds."""
    found: list[Wanted] = []
    for number in range(count):
        written, due = RULES[number % len(RULES)]
        ordered = number % 3 == 2
        kind = "group" if ordered else ("group", KINDS[number // 3 % 3])[number % 3]
        # Hourly ones are a third of all posts: two are enough.
        if written == "每小时" and number >= 2 * len(RULES):
            written, due = RULES[0]
        found.append(Wanted(number, written, due, ZONES[number // 2 % 3], kind, ordered))
    return found


def walk(wanted: list[Wanted], start: float, end: float) -> None:
    """Fill in the slots. A wall minute that is skipped counts as the next; one seen before does not count again."""
    for zone_name in ZONES:
        zone, mine = ZoneInfo(zone_name), [one for one in wanted if one.zone == zone_name]
        before = start - 40 * 86_400
        newest = datetime.fromtimestamp(before - 60, zone).replace(tzinfo=None, fold=0)
        moment = before
        while moment < end:
            wall = datetime.fromtimestamp(moment, zone).replace(tzinfo=None, fold=0)
            shown: list[datetime] = []
            while newest < wall:
                newest += timedelta(minutes=1)
                shown.append(newest)
            for one in mine:
                if any(one.due(each) for each in shown):
                    if moment >= start:
                        one.slots.append(moment)
                    else:
                        one.first = moment
            moment += 60


class Platform:
    """Gets what is posted; knows copies by their key."""

    def __init__(self, clock: SteppedClock) -> None:
        self.clock = clock
        self.posts: dict[str, Posted] = {}
        self.copies = 0
        self.begun = clock.now()

    async def reply(self, request: web.Request) -> web.Response:
        body, key = await request.json(), request.headers["webhook-id"]
        self.copies += key in self.posts
        self.posts.setdefault(key, Posted(body["conversation"]["id"], body["text"], self.clock.now()))
        return web.json_response({"id": f"r{len(self.posts)}"})

    async def feed(self, request: web.Request) -> web.Response:
        """News every three hours."""
        entries: list[str] = []
        for age in range(60):
            at = (self.clock.now() // 10_800 - age) * 10_800
            stamp = datetime.fromtimestamp(at, UTC).isoformat()
            entries.append(f"<entry><id>n{at}</id><title>新闻 {at:.0f}</title><updated>{stamp}</updated></entry>")
        text = f"<feed xmlns='http://www.w3.org/2005/Atom'><title>新闻</title>{''.join(entries)}</feed>"
        return web.Response(text=text, content_type="application/atom+xml")

    def digests(self) -> Iterator[Posted]:
        return (one for one in self.posts.values() if _HEADER.search(one.text))


class Replica:
    """One process. `url` is empty while it is down."""

    def __init__(self, folder: Path, config: dict[str, Any], clock: Path) -> None:
        folder.mkdir()
        self._folder, self._clock = folder, clock
        self._config = folder / "config.yaml"
        self._config.write_text(yaml.safe_dump({**config, "data_dir": str(folder / "data")}, allow_unicode=True))
        self._child: asyncio.subprocess.Process | None = None
        self.url = ""

    async def start(self) -> None:
        log = (self._folder / "log").open("ab")
        command = (str(HERE / "fortnight_replica.py"), str(self._config), str(self._clock))
        self._child = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=log, start_new_session=True
        )
        log.close()
        assert self._child.stdout is not None
        self.url = (await asyncio.wait_for(self._child.stdout.readline(), 60)).decode().strip()
        if not self.url:
            raise SystemExit(f"a replica did not start: {(self._folder / 'log').read_text()[-2000:]}")

    async def stop(self, sign: signal.Signals) -> None:
        assert self._child is not None
        self.url = ""
        if self._child.returncode is None:
            os.killpg(self._child.pid, sign)
        await self._child.communicate()


class Fortnight:
    """Moves the clock, writes messages, breaks processes, and compares."""

    def __init__(self, folder: Path, options: argparse.Namespace, database: str) -> None:
        self.chance = random.Random(options.seed)
        self.options = options
        self.folder = folder
        self.database = database
        self.clock = SteppedClock(folder / "clock")
        self.start = datetime.fromisoformat(options.start).replace(tzinfo=UTC).timestamp()
        self.end = self.start + options.days * 86_400
        self.clock.set(self.start)
        self.wanted = subscriptions(options.subscriptions)
        walk(self.wanted, self.start + 300, self.end)
        self.platform = Platform(self.clock)
        self.replicas: list[Replica] = []
        self.sent: dict[str, list[float]] = defaultdict(list)
        self.down: list[tuple[float, float]] = []
        self.counts: Counter[str] = Counter()
        self.messages = 0

    # ----------------------------------------------------------- the world

    def config(self, base: str) -> dict[str, Any]:
        scheduled = [
            {
                "name": one.name,
                "schedule": one.written,
                "conversation": f"generic/group/{one.chat}",
                "kind": one.kind,
                "title": f"日报{one.number}",
                "timezone": one.zone,
                "prompt": "写一句鼓励" if one.kind == "prompt" else "",
                "sources": [f"{base}/feed"] if one.kind == "feeds" else [],
            }
            for one in self.wanted
            if not one.ordered
        ]
        secret = "whsec_" + base64.b64encode(KEY).decode()
        return {
            "log_level": "WARNING",
            "server": {"port": 0},
            "store": {"url": self.database, "min_free_bytes": 0},
            "worker": {"collect_pictures": 0, "collect_questions": 0, "attempts": 100},
            "media": {"allow_hosts": [base.removeprefix("http://")]},
            "adapters": {"generic": {"secrets": [secret], "reply_url": f"{base}/replies"}},
            "digests": {"window": WINDOW, "grace": GRACE, "parallel": 8, "scheduled": scheduled},
        }

    async def say(self, session: aiohttp.ClientSession, chat: str, text: str, *, to_me: bool, sender: str) -> None:
        """One message, by whichever process is up; again until one has taken it."""
        self.messages += 1
        now = int(self.clock.now())
        name = f"e{self.messages}"
        message: dict[str, Any] = {"id": f"m{self.messages}", "text": text, "images": []}
        if to_me:
            message["mentions"] = [{"id": "bot", "name": "看图", "is_bot": True}]
        where = {"id": chat, "type": "group"}
        body = json.dumps(
            {"conversation": where, "sender": {"id": sender, "name": sender}, "message": message, "sent_at": now}
        ).encode()
        mac = hmac.new(KEY, f"{name}.{now}.".encode() + body, hashlib.sha256).digest()
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(now),
            "webhook-signature": "v1," + base64.b64encode(mac).decode(),
        }
        while True:
            up = [one.url for one in self.replicas if one.url]
            try:
                async with session.post(
                    f"{self.chance.choice(up)}/webhook/generic", data=body, headers=headers
                ) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.02)

    async def chatter(self, session: aiohttp.ClientSession) -> None:
        """Somebody says something in a tenth of the conversations; some ask the bot."""
        now = self.clock.now()
        chats = self.chance.sample(range(self.options.conversations), max(1, self.options.conversations // 10))

        async def one(number: int) -> None:
            asks = number % 7 == 0
            text = "这个月的费用是多少" if asks else f"说一件事 {now:.0f}"
            await self.say(session, f"g{number}", text, to_me=asks, sender=f"u{number % 5}")
            self.sent[f"g{number}"].append(now)

        await asyncio.gather(*map(one, chats))

    async def order(self, session: aiohttp.ClientSession) -> None:
        """What people order in chat: said and confirmed."""
        for one in self.wanted:
            if one.ordered:
                before = len(self.platform.posts)
                for text in (f"/订阅 {one.written}（{one.zone}） 群日报", "确认"):
                    await self.say(session, one.chat, text, to_me=True, sender="u1")
                    for _ in range(4000):
                        if len(self.platform.posts) > before:
                            break
                        await asyncio.sleep(0.005)
                    before += 1
        replies = [one.text for one in self.platform.posts.values()]
        if sum("已订阅" in text for text in replies) != sum(one.ordered for one in self.wanted):
            raise SystemExit(f"an order was not understood: {replies}")

    # ----------------------------------------------------------- the course

    def moments(self) -> list[tuple[float, str]]:
        """(when, what): firings, messages, troubles; troubles fall upon firings."""
        fires = sorted({slot + one.offset + 0.5 for one in self.wanted for slot in one.slots})
        found = [(when, "fire") for when in fires]
        hours = int((self.end - self.start) // 3600)
        found += [(self.start + 3600 * hour + 777.25, "messages") for hour in range(1, hours)]
        troubles = ["restart"] * self.options.restarts + ["kill"] * self.options.kills
        found += zip(self.chance.sample(fires, len(troubles)), troubles, strict=True)
        # Nights without anybody: shorter and longer than what is made up.
        for number in range(self.options.outages):
            when = self.start + (number + 0.7) * (self.end - self.start) / self.options.outages
            found.append((when, "outage"))
        order = {"restart": 0, "kill": 0, "fire": 1, "messages": 2, "outage": 3}
        return sorted(found, key=lambda one: (one[0], order[one[1]]))

    def expected(self, one: Wanted) -> list[tuple[float, bool]]:
        """(slot, late) of all that have to come up to now."""
        found: list[tuple[float, bool]] = []
        for slot in one.slots:
            if slot + one.offset >= self.clock.now():
                break
            found.append((slot, False))
        for began, ended in self.down:
            missed = [slot for slot, _ in found if began < slot + one.offset <= ended]
            kept = [(slot, late) for slot, late in found if slot not in missed]
            if missed and ended - missed[-1] - one.offset <= GRACE:
                kept.append((missed[-1], ended - missed[-1] - one.offset > LATE))
            found = sorted(kept)
        return found

    def outstanding(self) -> int:
        had = Counter(post.chat for post in self.platform.digests())
        return sum(max(0, len(self.expected(one)) - had[one.chat]) for one in self.wanted)

    async def settle(self, session: aiohttp.ClientSession, seconds: float = 30.0) -> None:
        """Until what is due has come and nothing is pending; time goes on only where a killed process held a lane."""
        until, patience = time.monotonic() + seconds, time.monotonic() + 1.0
        while (self.outstanding() or await self.pending(session)) and time.monotonic() < until:
            await asyncio.sleep(0.01)
            if time.monotonic() > patience:
                self.clock.set(self.clock.now() + 1.0)
                await asyncio.sleep(0.05)

    async def pending(self, session: aiohttp.ClientSession) -> int:
        url = next(one.url for one in self.replicas if one.url)
        async with session.get(f"{url}/readyz") as answer:
            return (await answer.json())["pending"]

    async def trouble(self, what: str) -> None:
        """One of the two goes, in the middle of what is just beginning, and comes again."""
        replica = self.chance.choice(self.replicas)
        await asyncio.sleep(self.chance.uniform(0.0, 0.12))
        await replica.stop(signal.SIGKILL if what == "kill" else signal.SIGTERM)
        self.counts[what] += 1
        await replica.start()

    async def outage(self) -> None:
        for replica in self.replicas:
            await replica.stop(signal.SIGKILL)
        began = self.clock.now()
        lasted = self.chance.choice([600.0, 2 * 3600.0, 5 * 3600.0, 11 * 3600.0, 30 * 3600.0])
        self.clock.set(min(began + lasted, self.end - 1800))
        self.down.append((began, self.clock.now()))
        self.counts["outage"] += 1
        await asyncio.gather(*(replica.start() for replica in self.replicas))

    async def run(self) -> dict[str, Any]:
        app = web.Application()
        app.router.add_post("/replies", self.platform.reply)
        app.router.add_get("/feed", self.platform.feed)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        config = self.config(f"http://127.0.0.1:{runner.addresses[0][1]}")
        began = time.monotonic()
        self.replicas = [Replica(self.folder / f"replica{n}", config, self.folder / "clock") for n in range(2)]
        try:
            await asyncio.gather(*(replica.start() for replica in self.replicas))
            async with aiohttp.ClientSession() as session:
                await self.order(session)
                # Time for the other process to learn of it.
                self.clock.set(self.start + 120)
                await asyncio.sleep(0.5)
                for when, what in self.moments():
                    await self.step(session, when, what)
                self.clock.set(max(self.clock.now(), self.end - 1))
                await self.settle(session)
            await asyncio.sleep(1.0)
        finally:
            for replica in self.replicas:
                if replica.url:
                    await replica.stop(signal.SIGTERM)
            await runner.cleanup()
        return self.verdict() | {"seconds": round(time.monotonic() - began, 1)}

    async def step(self, session: aiohttp.ClientSession, when: float, what: str) -> None:
        if when > self.clock.now():
            self.clock.set(when)
        if what in ("restart", "kill"):
            await self.trouble(what)
        elif what == "outage":
            await self.outage()
        elif what == "messages":
            await self.chatter(session)
        await self.settle(session)

    # ---------------------------------------------------------- the verdict

    def verdict(self) -> dict[str, Any]:
        faults: list[str] = []
        waits: list[float] = []
        total: Counter[str] = Counter()
        posts: dict[str, list[Posted]] = defaultdict(list)
        for post in self.platform.digests():
            posts[post.chat].append(post)
        for one in self.wanted:
            expected, came = self.expected(one), posts[one.chat]
            total["expected"] += len(expected)
            total["posted"] += len(came)
            total[one.kind] += len(came)
            if len(came) != len(expected):
                faults.append(f"{one.chat} {one.written} {one.zone}: {len(came)} posts for {len(expected)} times")
                continue
            since = one.first
            for (slot, late), post in zip(expected, came, strict=True):
                waits.append(post.at - slot)
                faults += self.compare(one, post, since, slot, late)
                total["late"] += late
                since = slot
        waits.sort()
        return {
            "faults": faults,
            "subscriptions": len(self.wanted),
            "conversations": self.options.conversations,
            "days": self.options.days,
            "messages": self.messages,
            **total,
            **self.counts,
            "copies": self.platform.copies,
            "wait_p50": waits[len(waits) // 2] if waits else None,
            "wait_max_in_time": max((w for w in waits if w < LATE + WINDOW), default=None),
        }

    def compare(self, one: Wanted, post: Posted, since: float, slot: float, late: bool) -> Iterator[str]:
        what = f"{one.chat} {one.written} {one.zone} {datetime.fromtimestamp(slot, ZoneInfo(one.zone))}"
        header = _HEADER.search(post.text)
        assert header is not None
        if header[0] != f"{_day(since, one.zone)} – {_day(slot, one.zone)}":
            yield f"{what}: span {header[0]}, wanted {_day(since, one.zone)} – {_day(slot, one.zone)}"
        # The offset of an order is not known here: by so much its lateness is.
        close = one.ordered and any(0 <= ended - slot - LATE <= WINDOW for _, ended in self.down)
        if ("补发" in post.text) != late and not close:
            yield f"{what}: late is {not late}"
        if post.at < slot or (not late and post.at > slot + WINDOW + SLACK and not self._was_down(slot)):
            yield f"{what}: posted {post.at - slot:.0f} s after its time"
        if one.kind == "group":
            wanted = sum(since <= at < slot for at in self.sent[one.chat])
            found = _COUNT.search(post.text)
            if wanted != (int(found[1]) if found else 0):
                yield f"{what}: {found[0] if found else 'nothing'}, {wanted} were sent"

    def _was_down(self, slot: float) -> bool:
        return any(began <= slot + WINDOW and slot < ended for began, ended in self.down)


def _day(at: float, zone: str) -> str:
    local = datetime.fromtimestamp(at, ZoneInfo(zone))
    return f"{local.month}月{local.day}日 {local:%H:%M}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a day, seven subscriptions")
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--start", default="2027-03-14", help="the first day; on this one New York's clocks change")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    full = {"days": 14, "subscriptions": 40, "conversations": 300, "restarts": 13, "kills": 12, "outages": 5}
    quick = {"days": 1, "subscriptions": 7, "conversations": 20, "restarts": 1, "kills": 2, "outages": 1}
    for name, value in (quick if options.quick else full).items():
        setattr(options, name, value)
    return options


def main() -> int:
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="fortnight-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with private_postgres(folder / "postgres", fsync=False) as database:
            found = asyncio.run(Fortnight(folder, options, database).run())
    for key, value in found.items():
        if key != "faults":
            print(f"{key:20} {value}")
    print("\n".join(found["faults"][:40]) or "each digest once, in its time, of its span")
    if options.json:
        options.json.write_text(json.dumps(found, ensure_ascii=False, indent=1), encoding="utf-8")
    return 1 if found["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
