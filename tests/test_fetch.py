"""Fetching: pictures only from public addresses and within limits; posts that say whether they may have arrived."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import ClientTimeout, web
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from bot.config import MediaConfig
from bot.errors import BadPicture, FetchFailed, NetworkError
from bot.fetch import Fetcher
from bot.fetch.targets import check, is_public
from bot.http import HttpAnswer

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LIMITS = MediaConfig(max_bytes=100_000, fetch_timeout=20.0)


@dataclass
class Server:
    """A server on loopback that answers every connection in one way and counts them."""

    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list[bytes])

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.place}/a.png"


@contextlib.asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[Server]:
    """Raw bytes: a well-behaved server library would not lie about lengths."""
    server = Server()
    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            server.requests.append(await reader.readuntil(b"\r\n\r\n"))
            await answer(reader, writer)

    def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.create_task(handle(reader, writer)))

    listener = await asyncio.start_server(start, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield server
    for task in handlers:
        task.cancel()
    await asyncio.gather(*handlers, return_exceptions=True)


def saying(head: str, body: bytes = b"") -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 " + head.encode().replace(b"\n", b"\r\n") + b"\r\n\r\n" + body)
        await writer.drain()

    return answer


def redirect(location: str) -> Answer:
    return saying(f"302 Found\nContent-Length: 0\nConnection: close\nLocation: {location}")


class Names(AbstractResolver):
    """A resolver that sends every name to chosen addresses, one after another, as a hostile DNS would."""

    def __init__(self, port: int, *addresses: str) -> None:
        self.port = port
        self.addresses = addresses
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_UNSPEC) -> list[ResolveResult]:
        self.asked.append(host)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=self.port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in self.addresses
        ]

    async def close(self) -> None:
        return


@contextlib.asynccontextmanager
async def fetching(
    *servers: Server, config: MediaConfig = LIMITS, names: Names | None = None
) -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(config, allow_private=[server.place for server in servers], resolver=names)
    try:
        yield fetcher
    finally:
        await fetcher.close()


async def failure(fetcher: Fetcher, url: str, hosts: frozenset[str] | None = None) -> FetchFailed:
    with pytest.raises(FetchFailed) as caught:
        await fetcher.picture(url, hosts=hosts)
    assert any("\u4e00" <= letter <= "\u9fff" for letter in str(caught.value))
    assert not any(letter in "0123456789" for letter in str(caught.value)), "no address in the sentence"
    return caught.value


# --- addresses --------------------------------------------------------------------------------------------------

PRIVATE = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254",
    "168.63.129.16", "169.254.169.254", "169.254.0.23", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1",
    "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1",
    "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::",
    "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
    "", "localhost", "127.1", "0177.0.0.1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "223.5.5.5", "2400:3200::1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_that_is_public(address: str) -> None:
    assert is_public(address)


SPELLINGS = [
    "http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://①②⑦.0.0.1/", "http://１２７.0.0.1/",
    "http://127。0。0。1/", "http://user@127.0.0.1/", "http://user:word@example.com/", "http://@example.com/",
    "http://example.com\\@127.0.0.1/", "http://127.0.0.1\\.example.com/", "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/", "http://[::1]/", "http://[::]/", "http://[fe80::1%25eth0]/", "http://2130706433/",
    "http://0x7f000001/", "http://0x7f.1/", "http://127.1/", "http://0177.0.0.1/", "http://127.0.0.01/",
    "http://127.0.0.1./", "http://example.com./", "http://0/", "http://example.com:22/", "http://example.com:0/",
    "http://example.com:65536/", "http://example.com:/", "http://exa mple.com/", "http://example.com/a\r\nHost: b",
    "http://example.com/\t", " http://example.com/", "http://example.com/\0", "http://example.com/\udcff",
    "http:///etc/passwd", "http:example.com", "//example.com/", "file:///etc/passwd", "ftp://example.com/",
    "gopher://127.0.0.1:6379/_FLUSHALL", "data:image/png;base64,AA==", "javascript:1", "", "http://" + "a" * 5000,
    "http://exa%6dple.com/", "http://127.0.0.1%2f.example.com/", "http://example..com/", "http://[127.0.0.1]/",
]  # fmt: skip


async def test_no_spelling_reaches_loopback() -> None:
    async with serving(saying("200 OK\nContent-Length: 0")) as server:
        names = Names(server.port, "127.0.0.1")
        async with fetching(names=names) as fetcher:
            for spelling in SPELLINGS:
                error = await failure(fetcher, spelling.format(port=server.port))
                assert error.code in {"bad_url", "forbidden_address"}, spelling
                assert not error.retry
        assert server.connections == 0 and names.asked == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "169.254.169.254"])
async def test_a_public_name_with_a_private_address(address: str) -> None:
    async with serving(saying("200 OK\nContent-Length: 0")) as server:
        async with fetching(names=Names(server.port, address)) as fetcher:
            error = await failure(fetcher, "http://pictures.example.com/a.png")
            assert (error.code, error.retry) == ("forbidden_address", False)
        assert server.connections == 0


async def test_a_name_that_mixes_private_addresses() -> None:
    async with serving(saying("200 OK\nContent-Length: 0")) as server:
        names = Names(server.port, "127.0.0.1", "10.0.0.1", "::1")
        async with fetching(names=names) as fetcher:
            assert (await failure(fetcher, "https://pictures.example.com/")).code == "forbidden_address"
        assert server.connections == 0


async def test_a_name_that_changes_its_address_between_requests() -> None:
    """The guard looks at each address dialled, so an earlier, better answer of the resolver counts for nothing."""
    async with serving(redirect("http://rebound.example.com/")) as server:
        names = Names(server.port, "127.0.0.1")
        fetcher = Fetcher(LIMITS, allow_private=["first.example.com"], resolver=names)
        assert (await failure(fetcher, "http://first.example.com/")).code == "forbidden_address"
        assert names.asked == ["first.example.com", "rebound.example.com"]
        assert server.connections == 1
        await fetcher.close()


@given(st.one_of(st.text(), st.from_regex(r"https?://[^/]{0,20}(/.*)?", fullmatch=True)))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(FetchFailed):
        target = check(text, hosts=None, trusted=())
        assert target.url.scheme in {"http", "https"} and target.url.port in {80, 443}
        assert target.url.user is None and str(target.url).isascii()


def test_a_signed_url_is_not_rewritten() -> None:
    url = "https://cos.example.com/a%2Fb.png?sign=a%2Bb+c%3D%7e&x='(1)'|"
    assert str(check(url, hosts=None, trusted=()).url) == url
    assert str(check("https://EXAMPLE.com?图=1#part", hosts=None, trusted=()).url) == (
        "https://example.com/?%E5%9B%BE=1"
    )


def test_names_in_other_scripts_are_accepted_in_ascii() -> None:
    assert check("https://xn--fiqs8s.example.com/", hosts=None, trusted=()).host == "xn--fiqs8s.example.com"


# --- redirects and hosts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://169.254.169.254/latest/meta-data/", "forbidden_address"),
        ("http://127.0.0.1:1/", "forbidden_address"),
        ("//[::1]/", "forbidden_address"),
        ("http://user@example.com/", "bad_url"),
        ("file:///etc/passwd", "bad_url"),
        ("http://2130706433/", "bad_url"),
        ("http://exa\u00e9mple.com/", "bad_url"),
    ],
)
async def test_every_redirect_is_checked(location: str, code: str) -> None:
    async with serving(redirect(location)) as server, fetching(server) as fetcher:
        assert (await failure(fetcher, server.url)).code == code
        assert server.connections == 1


async def test_three_redirects_and_no_more() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        step = int(server.requests[-1].split()[1].rpartition(b"/")[2])
        if step == 0:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbytes")
        else:
            writer.write(f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {step - 1}\r\n\r\n".encode())

    async with serving(answer) as server, fetching(server) as fetcher:
        assert await fetcher.picture(f"http://{server.place}/way/3") == b"bytes"
        assert (await failure(fetcher, f"http://{server.place}/way/4")).code == "too_many_redirects"


async def test_only_the_platforms_hosts() -> None:
    hosts = frozenset({"pictures.example.com", ".cdn.example.com", "127.0.0.1"})
    async with serving(redirect("http://elsewhere.example.com/")) as server, fetching(server) as fetcher:
        for url in ("http://example.com/", "http://cdn.example.com.evil.com/", "http://xcdn.example.com/", server.url):
            assert (await failure(fetcher, url, hosts)).code == "forbidden_host"
    for url in ("http://pictures.example.com/", "http://a.b.cdn.example.com/", "https://PICTURES.example.com/"):
        assert check(url, hosts=hosts, trusted=()).url


async def test_the_operators_list_admits_one_place_only() -> None:
    async with (
        serving(saying("200 OK\nContent-Length: 2", b"ok")) as listed,
        serving(saying("200 OK\nContent-Length: 0")) as other,
    ):
        config = MediaConfig(allow_hosts=(listed.place.upper(),))
        async with fetching(config=config) as fetcher:
            assert await fetcher.picture(listed.url) == b"ok"
            assert (await failure(fetcher, other.url)).code == "forbidden_address"
        assert other.connections == 0


# --- limits -----------------------------------------------------------------------------------------------------


async def test_a_picture_arrives_whole_and_without_baggage(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    body = bytes(range(256)) * 300
    head = f"200 OK\nSet-Cookie: a=b\nContent-Encoding: gzip\nConnection: close\nContent-Length: {len(body)}"
    async with serving(saying(head, body)) as server, fetching(server) as fetcher:
        assert await fetcher.picture(server.url) == body, "not unpacked: what is counted is what is kept"
        assert await fetcher.picture(server.url) == body
        for request in server.requests:
            names = {line.partition(b":")[0].lower() for line in request.splitlines()[1:] if line}
            assert names == {b"host", b"accept", b"accept-encoding", b"user-agent"}


async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1000\r\n" + bytes(4096) + b"\r\n")
        await writer.drain()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def dripping(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"\0\0")
        await writer.drain()
        await asyncio.sleep(0.01)


async def test_declared_too_large_is_refused_unread() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n")
        assert await reader.read() == b""  # the other side hangs up without a byte of the body

    async with serving(answer) as server, fetching(server) as fetcher:
        with pytest.raises(BadPicture) as caught:
            await fetcher.picture(server.url)
        assert caught.value.code == "too_many_bytes"


@pytest.mark.parametrize("answer", [endless, saying("200 OK\nConnection: close", bytes(100_001))])
async def test_a_body_that_does_not_end_is_cut(answer: Answer) -> None:
    async with serving(answer) as server, fetching(server) as fetcher:
        with pytest.raises(BadPicture) as caught:
            await fetcher.picture(server.url)
        assert caught.value.code == "too_many_bytes"


@pytest.mark.parametrize("answer", [silent, dripping])
async def test_a_slow_server_is_left(answer: Answer) -> None:
    config = MediaConfig(fetch_timeout=0.3)
    async with serving(answer) as server, fetching(server, config=config) as fetcher:
        error = await failure(fetcher, server.url)
        assert (error.code, error.retry) == ("timeout", True)


@pytest.mark.parametrize(
    ("head", "code", "retry"),
    [
        ("404 Not Found\nContent-Length: 0", "bad_status", False),
        ("403 Forbidden\nContent-Length: 0", "bad_status", False),
        ("302 Found\nContent-Length: 0", "bad_status", False),
        ("304 Not Modified", "bad_status", False),
        ("500 Oops\nContent-Length: 0", "bad_status", True),
        ("503 Busy\nContent-Length: 0", "bad_status", True),
        ("200 OK\nContent-Length: 50", "unreachable", True),
        ("nonsense", "unreachable", True),
        ("200 OK\nX: " + "x" * 100_000, "unreachable", True),
    ],
)
async def test_other_answers(head: str, code: str, retry: bool) -> None:
    async with serving(saying(head)) as server, fetching(server) as fetcher:
        error = await failure(fetcher, server.url)
        assert (error.code, error.retry) == (code, retry)


async def test_nobody_there() -> None:
    async with serving(silent) as server:
        pass
    async with fetching(server) as fetcher:
        error = await failure(fetcher, server.url)
        assert (error.code, error.retry) == ("unreachable", True)
        error = await failure(fetcher, server.url.replace("http:", "https:"))
        assert (error.code, error.retry) == ("unreachable", True)


async def test_no_tls_where_tls_is_due() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        async with fetching(Server(port)) as fetcher:
            error = await failure(fetcher, f"https://127.0.0.1:{port}/")
            assert (error.code, error.retry) == ("tls", False)


# --- posts ------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def platform(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=2048)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_post_arrives_as_it_was_given() -> None:
    async def handler(request: web.Request) -> web.Response:
        text = f"{request.path_qs} {request.headers['X-Token']} {await request.text()}"
        return web.Response(status=418, text=text)

    async with platform(handler) as url, fetching() as fetcher:
        answer = await fetcher.request("POST", f"{url}/send?sign=a%2Bb", body="你好".encode(), headers={"X-Token": "t"})
        assert answer == HttpAnswer(418, "/send?sign=a%2Bb t 你好".encode())


async def test_a_post_follows_no_redirect() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async with platform(handler) as url, fetching() as fetcher:
        assert await fetcher.request("POST", url, body=b"", headers={}) == HttpAnswer(302, b"")


async def test_a_thousand_posts_at_once_reuse_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.fetch.fetcher.CALL_TIMEOUT", ClientTimeout(total=120))  # however busy the machine
    together = asyncio.Barrier(1000)
    peers: set[object] = set()

    async def handler(request: web.Request) -> web.Response:
        peers.add(request.transport and request.transport.get_extra_info("peername"))
        await together.wait()  # nobody is answered before all have arrived
        return web.Response(body=await request.read())

    async with platform(handler) as url, fetching() as fetcher:
        for _ in range(2):
            posts = (fetcher.request("POST", url, body=b"%d" % number, headers={}) for number in range(1000))
            answers = await asyncio.gather(*posts)
            assert answers == [HttpAnswer(200, b"%d" % number) for number in range(1000)]
        assert len(peers) == 1000


async def network_error(fetcher: Fetcher, url: str) -> NetworkError:
    with pytest.raises(NetworkError) as caught:
        await fetcher.request("POST", url, body=b"{}", headers={})
    assert "secret" not in str(caught.value) and caught.value.__cause__ is None
    return caught.value


async def test_a_post_that_never_left() -> None:
    async with serving(silent) as server:
        pass
    async with fetching() as fetcher:
        for url in (f"http://{server.place}/?token=secret", f"https://{server.place}/", "http://[/?secret"):
            assert not (await network_error(fetcher, url)).sent_maybe


@pytest.mark.parametrize(
    "answer",
    [
        saying("200 OK\nContent-Length: 50"),
        saying("nonsense"),
        saying("200 OK\nConnection: close", bytes((1 << 20) + 1)),
        saying("200 OK\nContent-Length: 2000000"),
    ],
)
async def test_a_post_that_may_have_arrived(answer: Answer) -> None:
    async with serving(answer) as server, fetching() as fetcher:
        assert (await network_error(fetcher, f"{server.url}?token=secret")).sent_maybe


@pytest.mark.parametrize("connects", [False, True])
async def test_a_post_that_takes_too_long(connects: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    timeout = ClientTimeout(total=0.5) if connects else ClientTimeout(total=20, connect=0.25)
    monkeypatch.setattr("bot.fetch.fetcher.CALL_TIMEOUT", timeout)
    async with serving(silent) as server, fetching() as fetcher:
        if not connects:
            monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", lambda *_: asyncio.sleep(60))
        assert (await network_error(fetcher, server.url)).sent_maybe is connects


async def test_a_fetcher_can_be_closed_unused_and_twice() -> None:
    fetcher = Fetcher(LIMITS)
    await fetcher.close()
    await fetcher.close()
