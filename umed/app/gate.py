# SPDX-License-Identifier: Apache-2.0
"""Who may speak with the page: whoever opened the link of the terminal, once, in this browser; nobody else.

The server listens on 127.0.0.1 alone, yet other users of the computer, and pages in the same browser, can reach that.
What each rule is against is said where it stands; docs/app.md tells it to people.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_HEADER = "X-Umed-Token"
"""Header that every request which changes something carries; another site cannot set it."""
JOB_HEADER = "X-Umed-Job"
"""Header by which a page says which folders it shows, see :attr:`umed.app.job.Job.stamp`."""
STAYS = 12 * 3600
"""Seconds that the browser keeps the cookie, so that a closed window does not lock its owner out."""
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""What a page of the server may load: nothing from elsewhere, no script that stands in the page."""
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; worker-src blob:; connect-src data: blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
"""A report is one file with its own script. In a sandbox it has no origin: it can neither ask the server nor read the
cookie, whatever stands in it."""
CLOSED = (
    "403: this link has been used, or it is not yours.\n\n"
    "Go back to the tab that you opened first. Or press Enter in the terminal where umed app runs: it prints a new "
    "link, which works once.\n"
)


def forbidden(why: str) -> Response:
    """A refusal."""
    return PlainTextResponse(why, status_code=403)


@dataclass
class Passes:
    """Secrets of one run of the server.

    Args:
        port: of the server.
        cookie: value of the cookie that a redeemed token is exchanged for.
        form: value of :data:`TOKEN_HEADER`, which stands in each page.
        place: first part of every path, and the path of the cookie. Cookies know paths, but no ports: a server of
            another user on this computer that the browser visits would else be sent this one.
    """

    port: int
    cookie: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    form: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    place: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    _token: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def base(self) -> str:
        """First part of every path."""
        return f"/{self.place}"

    @property
    def cookie_name(self) -> str:
        """Of the cookie, another one for each server on this computer."""
        return f"umed-{self.port}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """What a browser may call this server."""
        return (f"127.0.0.1:{self.port}", f"localhost:{self.port}")

    def link(self) -> str:
        """A new link that works once; the one before works no more."""
        with self._lock:
            self._token = secrets.token_urlsafe(32)
            return f"http://127.0.0.1:{self.port}/?token={self._token}"

    def redeem(self, token: str) -> bool:
        """Whether this is the token of the last link; it is void afterwards."""
        with self._lock:
            right = bool(self._token) and hmac.compare_digest(token.encode(), self._token.encode())
            if right:
                self._token = ""
            return right


def policy(response: Response, words: str) -> Response:
    """Give a response a content security policy of its own."""
    response.headers["Content-Security-Policy"] = words
    return response


class Gate:
    """Stands before the application and lets through only what is its owner's.

    Args:
        app: application.
        passes: secrets.
    """

    def __init__(self, app: ASGIApp, passes: Passes) -> None:
        self.app, self.passes = app, passes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            return  # no websockets, no lifespan

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                _harden(MutableHeaders(scope=message))
            await send(message)

        answer = self._refuse(scope)
        await (self.app if answer is None else answer)(scope, receive, guarded)

    def _refuse(self, scope: Scope) -> Response | None:
        """What is answered instead of the application, ``None`` where nothing is."""
        headers, passes = Headers(scope=scope), self.passes
        host = headers.get("host", "")
        if host not in passes.hosts:  # a name that somebody else lets point to 127.0.0.1 (DNS rebinding)
            return forbidden("403: the Host header names another server.\n")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):  # a link or a form of another page
            return forbidden("403: the request comes from another page.\n")
        if scope["method"] not in ("GET", "HEAD"):
            if headers.get("origin", "") not in [f"http://{name}" for name in passes.hosts]:
                return forbidden("403: the Origin header names another page.\n")
            if not _equal(headers.get(TOKEN_HEADER, ""), passes.form):  # forms of other pages cannot send it
                return forbidden("403: the request lacks the token of the page. Load the page again.\n")
        if scope["path"] == "/" and scope["method"] == "GET":
            return self._enter(scope)
        if not _equal(_cookie(headers, passes.cookie_name), passes.cookie):
            return forbidden(CLOSED)
        return None

    def _enter(self, scope: Scope) -> Response:
        """Exchange the token of a link for the cookie."""
        passes = self.passes
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if not passes.redeem(given):
            return forbidden(CLOSED)
        answer = RedirectResponse(f"{passes.base}/", status_code=303)
        answer.set_cookie(
            passes.cookie_name, passes.cookie, max_age=STAYS, path=passes.base, httponly=True, samesite="strict"
        )
        return answer


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _cookie(headers: Mapping[str, str], name: str) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _harden(headers: MutableHeaders) -> None:
    """Headers of every answer."""
    headers.setdefault("Content-Security-Policy", PAGE_POLICY)
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
    if "cache-control" not in headers:
        headers["Cache-Control"] = "no-store"
