"""Who may use API and page.

With a token: programs send it as `Authorization: Bearer`, people log in with it once and hold a session cookie;
what a cookie changes must come from our own page (Origin and the page's CSRF token).
Without one: whoever reaches the loopback address, as long as it is not a foreign page in a local browser.
Webhooks and health checks are none of this module's business.
"""

from __future__ import annotations

import logging
import math
from typing import Final
from urllib.parse import parse_qs

from aiohttp import web
from aiohttp.typedefs import Handler

from bot import signing
from bot.clock import Clock
from bot.config import ServerConfig
from bot.errors import ConfigError, RequestError
from bot.web.body import read_body
from bot.web.origin import LOOPBACK_NAMES, host_allowed, is_https, is_loopback, same_origin
from bot.web.pages import SECURITY_HEADERS, Pages
from bot.web.problems import problem_of
from bot.web.sessions import LIFETIME, Attempts, Sessions

log = logging.getLogger(__name__)

COOKIE: Final = "kantu_session"
CSRF_HEADER: Final = "X-CSRF-Token"
_LOGIN_BYTES: Final = 8 << 10
_SAFE_METHODS: Final = {"GET", "HEAD", "OPTIONS"}
_EXEMPT: Final = {"/healthz", "/readyz"}
_EXEMPT_BELOW: Final = "/webhook/"
#: Served to anyone who may reach the server: they hold no secret, and the login page needs them; a report's address
#: is its secret.
_OPEN: Final = {"/", "/login", "/static/{name}", "/r/{id}", "/r/{id}/{picture}"}


def check_exposure(config: ServerConfig) -> None:
    """Raises ConfigError when the service would be open to the network without a token."""
    if not config.token and not is_loopback(config.host):
        raise ConfigError(
            f"server.host is {config.host!r}, which others can reach, and server.token is not set: set a token, "
            "or listen on 127.0.0.1"
        )


class Auth:
    """The middleware, the login, and the page behind it."""

    def __init__(self, config: ServerConfig, clock: Clock) -> None:
        self._config = config
        self._token = config.token.reveal()
        self._names = {name.lower() for name in config.allowed_hosts}
        self._sessions = Sessions(clock)
        self._attempts = Attempts(clock)
        self._pages = Pages(config.upload_bytes)

    def routes(self) -> list[web.RouteDef]:
        """The page, its files, login and logout."""
        return [
            web.get("/", self.index),
            web.get("/login", self.index),
            web.post("/login", self.login),
            web.post("/logout", self.logout),
            web.get("/static/{name}", self._pages.static),
        ]

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Admit or refuse; every refusal is JSON, every answer carries the security headers."""
        if _is_exempt(request):
            return await handler(request)
        response = await self._respond(request, handler)
        if not response.prepared:
            # A page may be stricter.
            for name, value in SECURITY_HEADERS.items():
                response.headers.setdefault(name, value)
        return response

    async def index(self, http: web.Request) -> web.Response:
        """The page, or the login."""
        if not self._token:
            return self._pages.index("")
        cookie = self._session(http)
        return self._pages.login() if cookie is None else self._pages.index(self._sessions.csrf(cookie))

    async def login(self, http: web.Request) -> web.StreamResponse:
        """Token in, cookie out. Wrong ones cost ever more time."""
        if not same_origin(http, names=self._names):
            raise RequestError("foreign_origin", "请在本站的页面上登录。", 403)
        given = await self._given_token(http)
        address = http.remote or ""
        wait = math.ceil(self._attempts.wait(address))
        if wait:
            response = self._pages.login(f"试错太多次了，请过 {wait} 秒再试。", 429)
            response.headers["Retry-After"] = str(wait)
            return response
        if self._token and not signing.equal(given, self._token):
            self._attempts.failed(address)
            log.warning("a wrong token was given at the login from %s", address)
            return self._pages.login("令牌不对，请再试一次。", 401)
        self._attempts.succeeded(address)
        return self._logged_in(http)

    async def logout(self, http: web.Request) -> web.Response:
        """End the session."""
        self._sessions.close(http.cookies.get(COOKIE, ""))
        response = web.Response(status=204)
        response.del_cookie(COOKIE, path="/")
        return response

    async def _respond(self, http: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._admit(http)
            return await handler(http)
        except ConnectionError:
            raise
        except web.HTTPException as error:
            if error.status < 400:
                raise
            response = problem_of(error).response()
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response
        except Exception as error:
            return problem_of(error).response()

    def _admit(self, http: web.Request) -> None:
        """Raises RequestError when this request may not be served."""
        if not self._token:
            self._admit_local(http)
        elif _resource(http) not in _OPEN and not self._has_bearer(http):
            self._admit_session(http)

    def _admit_local(self, http: web.Request) -> None:
        if not host_allowed(http, LOOPBACK_NAMES | self._names):
            raise RequestError("foreign_host", "没有设置令牌时，只能用 127.0.0.1 或 localhost 访问。", 403)
        # A link to the page on another site may be followed; nothing else of another site's is served.
        followed = http.method in _SAFE_METHODS and _resource(http) in _OPEN
        if not followed and not same_origin(http):
            raise RequestError("foreign_origin", "不接受其他网站发来的请求。", 403)

    def _has_bearer(self, http: web.Request) -> bool:
        """Whether the right token was sent; a wrong one is refused whatever else the request holds."""
        given = http.headers.get("Authorization")
        if given is None:
            return False
        scheme, _, token = given.partition(" ")
        if scheme.lower() != "bearer" or not signing.equal(token.strip(), self._token):
            raise RequestError("unauthorized", "访问令牌不对。", 401)
        return True

    def _admit_session(self, http: web.Request) -> None:
        cookie = self._session(http)
        if cookie is None:
            raise RequestError("unauthorized", "请先登录，或者带上访问令牌。", 401)
        if http.method in _SAFE_METHODS:
            return
        if not same_origin(http, required=True, names=self._names):
            raise RequestError("foreign_origin", "不接受其他网站发来的请求。", 403)
        if not signing.equal(http.headers.get(CSRF_HEADER, ""), self._sessions.csrf(cookie)):
            raise RequestError("bad_csrf_token", "页面已过期，请刷新后再试。", 403)

    def _session(self, http: web.Request) -> str | None:
        cookie = http.cookies.get(COOKIE)
        return cookie if cookie and self._sessions.valid(cookie) else None

    async def _given_token(self, http: web.Request) -> str:
        body = await read_body(http, _LOGIN_BYTES, self._config.body_timeout)
        fields = parse_qs(body.decode("utf-8", "replace"))
        return fields.get("token", [""])[0].strip()

    def _logged_in(self, http: web.Request) -> web.Response:
        response = web.Response(status=303, headers={"Location": "/", "Cache-Control": "no-store"})
        response.set_cookie(
            COOKIE,
            self._sessions.open(),
            max_age=LIFETIME,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=is_https(http),
        )
        return response


def _resource(http: web.Request) -> str:
    """The pattern that the router matched: unlike the path, no spelling can make it look like another one."""
    resource = http.match_info.route.resource
    return resource.canonical if resource is not None else ""


def _is_exempt(http: web.Request) -> bool:
    resource = _resource(http)
    return resource in _EXEMPT or resource.startswith(_EXEMPT_BELOW)
