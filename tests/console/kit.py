"""A browser without a network: keeps cookies, sends forms, follows redirections."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

from gateway.people.rules import one_time_codes
from gateway.web.shared.site import WebSite
from tests.console.world_gateway import CONSOLE
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import Hand
from tests.gateway.people.test_people_acts import PASSWORD


@dataclass
class PageAnswer:
    """The answer to a browser's request."""

    status: int
    headers: Mapping[str, str]
    set_cookies: Sequence[str]
    body: str
    path: str

    @property
    def form_token(self) -> str:
        found = re.search(r'name="form_token" value="([0-9a-f]{64})"', self.body)
        assert found is not None, self.body
        return found.group(1)


@dataclass
class Browser:
    """Keeps cookies and follows redirections inside its site."""

    site: WebSite
    origin: str = CONSOLE
    language: str = "en"
    cookies: dict[str, str] = field(default_factory=dict)
    last: PageAnswer | None = None

    def get(self, path: str, **headers: str) -> PageAnswer:
        return self._follow(self.send("GET", path, headers=headers))

    def post(self, path: str, *, form_token: str | None = None, **form: str) -> PageAnswer:
        """Send a form of the page that was opened last."""
        token = form_token if form_token is not None else self.last.form_token if self.last is not None else ""
        body = urlencode({"form_token": token, **form}).encode()
        return self._follow(self.send("POST", path, body, {"origin": self.origin, "sec-fetch-site": "same-origin"}))

    def _follow(self, answer: PageAnswer) -> PageAnswer:
        while answer.status == 303:
            answer = self.send("GET", answer.headers["location"])
        self.last = answer
        return answer

    def send(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> PageAnswer:
        """Send one request unchanged."""
        split = urlsplit(path)
        given = {
            "host": self.origin.partition("://")[2],
            "accept-language": self.language,
            "cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
            "content-type": "application/x-www-form-urlencoded",
            **(headers or {}),
        }
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": unquote(split.path),
            "raw_path": split.path.encode(),
            "query_string": split.query.encode(),
            "root_path": "",
            "client": ("192.0.2.7", 1234),
            "server": ("console.example", 443),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }
        told = asyncio.run(_asked(self.site, scope, body))
        return self._heard(told, path)

    def _heard(self, told: Sequence[Mapping[str, Any]], path: str) -> PageAnswer:
        pairs = [(name.decode().lower(), value.decode()) for name, value in told[0]["headers"]]
        set_cookies = [value for name, value in pairs if name == "set-cookie"]
        for one in set_cookies:
            name, _eq, value = one.partition(";")[0].partition("=")
            if "Max-Age=0" in one or value in ("", '""'):
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value.strip('"')
        body = b"".join(one.get("body", b"") for one in told[1:]).decode()
        return PageAnswer(told[0]["status"], dict(pairs), set_cookies, body, path)


async def _asked(site: WebSite, scope: Any, body: bytes) -> list[Any]:
    told: list[Any] = []
    pieces = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return pieces.pop(0) if pieces else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        told.append(message)

    try:
        await site.application(scope, receive, send)
    except RuntimeError:
        # The server logs the error of a page. The answer is complete by then.
        assert told, "it died without an answer"
    return told


def enter(browser: Browser, operator: Operator, one: Hand, secret: str) -> PageAnswer:
    """Sign in with the password and the next one-time code."""
    operator.world.run(31)
    step = operator.ports.clock.now_ms() // 1000 // one_time_codes.STEP_S
    browser.get("/sign-in")
    return browser.post(
        "/sign-in", person=one.name, password=PASSWORD, one_time_code=one_time_codes.code_at(secret, step)
    )
