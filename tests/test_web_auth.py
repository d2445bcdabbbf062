"""Who may use API and page: tokens, sessions, foreign pages, guessing."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse, CookieJar, web
from aiohttp.test_utils import TestClient, TestServer
from fakes import FakeClock

from bot.config import Secret, ServerConfig
from bot.errors import ConfigError
from bot.web.auth import COOKIE, Auth, check_exposure
from bot.web.origin import host_allowed, same_origin
from bot.web.pages import SECURITY_HEADERS
from bot.web.server import make_app
from bot.web.sessions import LIFETIME, Attempts, Sessions

TOKEN = "令牌 correct-horse"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Site:
    """A server with the login, one endpoint that changes something, and a webhook."""

    def __init__(self, token: str = TOKEN, **options: Any) -> None:
        self.clock = FakeClock()
        self.auth = Auth(ServerConfig(token=Secret(token), **options), self.clock)
        self.client: TestClient[Any, Any]
        self.origin = ""

    async def start(self) -> None:
        app = make_app(self.auth.routes(), [self.auth.middleware], 1 << 20)
        app.add_routes([web.post("/infer", ok), web.get("/api/dead", ok), web.get("/boom", boom)])
        app.add_routes([web.route("*", "/webhook/{name}", ok), web.get("/healthz", ok), web.get("/readyz", ok)])
        self.client = TestClient(TestServer(app), cookie_jar=CookieJar(unsafe=True))
        await self.client.start_server()
        self.origin = str(self.client.make_url("/")).rstrip("/")

    async def call(self, path: str, method: str = "POST", **options: Any) -> ClientResponse:
        async with self.client.request(method, path, allow_redirects=False, **options) as response:
            await response.read()
            return response

    async def status(self, path: str = "/infer", method: str = "POST", **headers: str) -> int:
        """Header names are written with _ here."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await self.call(path, method, headers=named)).status

    async def login(self, token: str = TOKEN, **headers: str) -> ClientResponse:
        return await self.call("/login", data={"token": token}, headers={"Origin": self.origin, **headers})

    async def csrf(self) -> str:
        found = re.search(r'csrf-token" content="(\w*)"', await (await self.call("/", "GET")).text())
        return found[1] if found else "no page"


async def ok(request: web.Request) -> web.Response:
    return web.Response(text="ok")


async def boom(request: web.Request) -> web.Response:
    raise ZeroDivisionError("secret")


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    await site.start()
    yield site
    await site.client.close()


@pytest.fixture
async def local() -> AsyncIterator[Site]:
    """No token is set."""
    site = Site("", allowed_hosts=("Kantu.Test", "other.test:9000"))
    await site.start()
    yield site
    await site.client.close()


@pytest.mark.parametrize(
    ("host", "token", "fine"),
    [
        ("127.0.0.1", "", True),
        ("127.9.9.9", "", True),
        ("localhost", "", True),
        ("::1", "", True),
        ("0.0.0.0", "", False),
        ("::", "", False),
        ("", "", False),
        ("10.0.0.5", "", False),
        ("kantu.example.com", "", False),
        ("0.0.0.0", "t", True),
    ],
)
def test_exposure(host: str, token: str, fine: bool) -> None:
    config = ServerConfig(host=host, token=Secret(token))
    if fine:
        check_exposure(config)
    else:
        with pytest.raises(ConfigError, match=r"server\.token"):
            check_exposure(config)


async def test_programs_send_the_token(site: Site) -> None:
    assert await site.status(**BEARER) == 200
    assert await site.status("/api/dead", "GET", Authorization=f"bearer  {TOKEN}") == 200


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer ", "Bearer x", f"Basic {TOKEN}", TOKEN, "Bearer 令牌", "Bearer \udcff"]
)
async def test_anything_else_is_refused(site: Site, given: str) -> None:
    headers = {"Authorization": given} if given else {}
    response = await site.call("/infer", headers=headers)
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    error = (await response.json())["error"]
    assert error["reason"] == "unauthorized"
    assert not error["message"].isascii()


@pytest.mark.parametrize("path", ["/nothing", "/webhook/../infer", "/webhook", "/static/../infer", "/healthz/x"])
async def test_no_spelling_of_a_path_gets_past(site: Site, path: str) -> None:
    assert await site.status(path) == 401


async def test_webhooks_and_health_checks_look_after_themselves(site: Site, local: Site) -> None:
    for one in (site, local):
        for path, method in (("/webhook/generic", "POST"), ("/healthz", "GET"), ("/readyz", "GET")):
            assert await one.status(path, method, Host="evil.test", Origin="https://evil.test") == 200


async def test_login_gives_a_cookie_and_the_page(site: Site) -> None:
    assert "访问令牌" in await (await site.call("/", "GET")).text()
    response = await site.login()
    assert (response.status, response.headers["Location"]) == (303, "/")
    cookie = response.cookies[COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (True, "Strict", "/", "")
    assert len(await site.csrf()) == 64
    assert await site.status("/api/dead", "GET") == 200


async def test_cookies_are_secure_behind_tls(site: Site) -> None:
    host = site.origin.removeprefix("http://")
    response = await site.login(Origin=f"https://{host}")
    assert response.cookies[COOKIE]["secure"] is True


async def test_what_a_cookie_changes_comes_from_our_page(site: Site) -> None:
    await site.login()
    csrf = await site.csrf()
    assert await site.status(X_CSRF_Token=csrf, Origin=site.origin) == 200
    assert await site.status(X_CSRF_Token=csrf) == 403
    assert await site.status(Origin=site.origin) == 403
    assert await site.status(X_CSRF_Token="令牌", Origin=site.origin) == 403
    assert await site.status(X_CSRF_Token=csrf, Origin="https://evil.test") == 403
    assert await site.status(X_CSRF_Token=csrf, Origin="null") == 403
    assert await site.status(X_CSRF_Token=csrf, Origin=site.origin, Sec_Fetch_Site="same-site") == 403


async def test_a_wrong_bearer_is_not_saved_by_a_cookie(site: Site) -> None:
    await site.login()
    assert await site.status("/api/dead", "GET", Authorization="Bearer x") == 401


async def test_sessions_end(site: Site) -> None:
    await site.login()
    csrf = await site.csrf()
    response = await site.call("/logout", headers={"X-CSRF-Token": csrf, "Origin": site.origin})
    assert response.status == 204
    assert await site.status("/api/dead", "GET") == 401
    cookie = (await site.login()).cookies[COOKIE].value
    site.clock.move(LIFETIME)
    assert await site.status("/api/dead", "GET", Cookie=f"{COOKIE}={cookie}") == 401


async def test_foreign_cookies_and_tokens(site: Site) -> None:
    for cookie in ("", "x", "\udcff", "a" * 5000):
        assert await site.status("/api/dead", "GET", Cookie=f"{COOKIE}={cookie}") == 401
    assert (await site.login("")).status == 401
    assert (await site.call("/login", data=b"token=%ff%fe&&==", headers={"Origin": site.origin})).status == 401
    assert (await site.call("/login", data=b"x" * 9000)).status == 413
    assert (await site.login(Origin="https://evil.test")).status == 403


async def test_guessing_costs_time(site: Site) -> None:
    for _ in range(5):
        assert (await site.login("x")).status == 401
    locked = await site.login()
    assert (locked.status, locked.headers["Retry-After"]) == (429, "1")
    site.clock.move(1)
    assert (await site.login("x")).status == 401
    assert (await site.login()).headers["Retry-After"] == "2"
    site.clock.move(2)
    assert (await site.login()).status == 303


def test_attempts_are_counted_per_network_and_bounded() -> None:
    clock = FakeClock()
    attempts = Attempts(clock)
    for _ in range(40):
        attempts.failed("2001:db8::1")
    assert attempts.wait("2001:db8::ffff") == 900
    assert attempts.wait("2001:db8:1::1") == 0
    for number in range(5000):
        attempts.failed(f"10.0.{number // 250}.{number % 250}")
    assert attempts.wait("2001:db8::1") == 0
    for _ in range(9):
        attempts.failed("odd name")
    clock.move(4000)
    attempts.failed("odd name")
    assert attempts.wait("odd name") == 0


def test_sessions_are_bounded_and_kept_as_hashes() -> None:
    sessions = Sessions(FakeClock())
    cookies = [sessions.open() for _ in range(1001)]
    assert [sessions.valid(cookie) for cookie in (cookies[0], cookies[1], cookies[-1])] == [False, True, True]
    held = repr(vars(sessions))
    assert not any(cookie in held for cookie in cookies)
    assert sessions.csrf(cookies[1]) != sessions.csrf(cookies[2])


async def test_without_a_token_local_pages_and_programs_are_served(local: Site) -> None:
    port = local.origin.rpartition(":")[2]
    assert await local.status() == 200
    assert await local.status("/", "GET", Sec_Fetch_Site="none") == 200
    assert await local.status(Origin=local.origin, Sec_Fetch_Site="same-origin") == 200
    for host in (f"localhost:{port}", f"[::1]:{port}", "[::1]", "LOCALHOST", "kantu.test:1", "other.test:9000"):
        assert await local.status(Host=host) == 200, host
    assert await local.csrf() == ""


async def test_without_a_token_foreign_pages_are_not(local: Site) -> None:
    for host in ("evil.test", "127.0.0.1.evil.test", "localhost.", "127.0.0.1@evil.test", "[::2]", "", "other.test:1"):
        assert await local.status(Host=host) in {400, 403}, host
    for origin in (
        "https://evil.test",
        "null",
        "http://127.0.0.1:1",
        "file://",
        "http://[",
        "",
        f"{local.origin}.evil.test",
    ):
        assert await local.status(Origin=origin) == 403, origin
    for site in ("cross-site", "same-site", "nonsense"):
        assert await local.status("/api/dead", "GET", Sec_Fetch_Site=site) == 403
        assert await local.status("/infer", "POST", Sec_Fetch_Site=site) == 403
        # A link to the page may be followed from anywhere.
        assert await local.status("/", "GET", Sec_Fetch_Site=site) == 200


async def test_login_without_a_token_leads_to_the_page(local: Site) -> None:
    assert (await local.login("x")).status == 303


@pytest.mark.parametrize("path", ["/", "/static/page.js", "/static/absent.js", "/api/dead"])
async def test_every_answer_has_the_security_headers(site: Site, path: str) -> None:
    response = await site.call(path, "GET")
    assert SECURITY_HEADERS.items() <= response.headers.items()
    policy = response.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


@pytest.mark.parametrize(
    ("name", "kind"),
    [("page.js", "text/javascript"), ("page.css", "text/css"), ("icon.svg", "image/svg+xml")],
)
async def test_files_are_sent_again_only_when_changed(site: Site, name: str, kind: str) -> None:
    first = await site.call(f"/static/{name}", "GET")
    assert (first.status, first.headers["Content-Type"]) == (200, f"{kind}; charset=utf-8")
    assert first.headers["Cache-Control"] == "no-cache"
    again = await site.call(f"/static/{name}", "GET", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, await again.text()) == (304, "")


async def test_only_the_page_s_own_files_are_served(site: Site) -> None:
    for name in ("index.html", "..%2fauth.py", "%2e%2e/auth.py", "page.py", "%00"):
        assert await site.status(f"/static/{name}", "GET") in {401, 404}


async def test_refusals_are_json(site: Site) -> None:
    for path, method, status in (("/nothing", "GET", 404), ("/infer", "GET", 405), ("/boom", "GET", 500)):
        response = await site.call(path, method, headers=BEARER)
        error = (await response.json())["error"]
        assert response.status == status
        assert "secret" not in error["message"]
    assert (await site.call("/infer", "GET", headers=BEARER)).headers["Allow"] == "POST"


class Headers:
    """As much of a request as the checks read."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        from multidict import CIMultiDict

        self.headers = CIMultiDict(pairs)


def test_default_ports_go_without_saying() -> None:
    for host, origin in (
        ("a.test", "https://a.test:443"),
        ("a.test:80", "http://A.test"),
        ("a.test:443", "https://a.test"),
    ):
        assert same_origin(Headers(("Host", host), ("Origin", origin)))  # pyright: ignore[reportArgumentType]
    assert not same_origin(Headers(("Host", "a.test:8080"), ("Origin", "http://a.test")))  # pyright: ignore[reportArgumentType]


def test_behind_a_proxy_that_renames_the_host() -> None:
    request: Any = Headers(("Host", "127.0.0.1:8080"), ("Origin", "https://kantu.test"))
    assert not same_origin(request)
    assert same_origin(request, names={"kantu.test"})


def test_two_hosts_are_none() -> None:
    request: Any = Headers(("Host", "localhost"), ("Host", "evil.test"))
    assert not host_allowed(request, {"localhost", "evil.test"})
