"""A site of pages: routes, and the work around each page: session, form token, limits, errors, headers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.control.client import NoDaemon, Refused
from gateway.control.matrix import MATRIX
from gateway.kernel import log
from gateway.people.rules import web_tokens
from gateway.web.shared import protection
from gateway.web.shared.act_fields import fields_of
from gateway.web.shared.gateway_client import GatewaySide, WebGateway
from gateway.web.shared.languages import LANGUAGES, Texts, WebLanguage, chosen, text
from gateway.web.shared.protection import LANGUAGE_COOKIE, SESSION_COOKIE, VISIT_COOKIE, FormTokens, VisitorLimits
from gateway.web.shared.refusal_counts import RefusalCounts

RENEW_MS = 60_000
_SHARED = "gateway.web.shared"
_log = log.get("web")


class PageRefused(Exception):  # noqa: N818 - an answer, not a fault
    """The refusal to show a page: an HTTP status, and the name of the text that gives the reason."""

    def __init__(self, status: int, name: str) -> None:
        super().__init__(name)
        self.status = status
        self.name = name


@dataclass(slots=True)
class PageRequest:
    """One request to a page: the person, the language, the form. `cookies` are set with the answer."""

    site: WebSite
    request: Request
    language: WebLanguage
    token: str
    visit: str
    form: Mapping[str, str]
    place: Mapping[str, Any]
    cookies: dict[str, str] = field(default_factory=dict)
    roles: frozenset[str] | None = None

    def may(self, verb: str) -> bool:
        """Whether a role of this person admits the verb, so that no page offers an action that is refused. The gateway
        judges the request again."""
        if self.roles is None:
            self.roles = frozenset(self.site.roles_of(self))
        return bool(self.roles & MATRIX[verb].roles)

    @property
    def daemon(self) -> GatewaySide:
        """The daemon, with this person's session."""
        return self.site.gateway.daemon(self.token)

    @property
    def query(self) -> GatewaySide:
        """The query process, with this person's session."""
        return self.site.gateway.query(self.token)

    @property
    def nonce(self) -> str:
        """The mark that distinguishes this session from others; "" without one."""
        said = web_tokens.claims(self.token)
        return "" if said is None else str(said.nonce)

    def part(self, name: str) -> str:
        """The value of a named part of the path."""
        return str(self.request.path_params[name])

    def asked(self, name: str, default: str = "") -> str:
        """A value of the query string."""
        return self.request.query_params.get(name, default).strip()

    def asked_all(self, name: str) -> Sequence[str]:
        """All values of one name in the query string."""
        return self.request.query_params.getlist(name)

    def text(self, name: str) -> str:
        """A text in the visit's language."""
        return text(self.site.texts, name, self.language)

    def word(self, kind: str, name: str) -> str:
        """A word of the gateway in the page's language; unchanged if it has no text yet."""
        there = f"{kind}_{name}"
        return self.text(there) if there in self.site.texts else name

    def show(self, template: str, status: int = 200, **values: Any) -> Response:
        """The answer that shows a page."""
        said = web_tokens.claims(self.token)
        made = self.site.templates.get_template(template).render(
            t=self.text,
            word=self.word,
            language=self.language,
            place=self.place,
            path=self.request.url.path,
            person=None if said is None else said.person,
            may=self.may,
            act_fields=partial(fields_of, language=self.language),
            form_token=self.site.form_tokens.of(self.visit, self.nonce),
            **values,
        )
        return HTMLResponse(made, status)

    def go(self, path: str) -> Response:
        """The answer that sends the browser to another page of this site."""
        return RedirectResponse(path, 303)

    def sign_in_with(self, token: str) -> None:
        """Begin a session with a new visit id, so that forms of the earlier visit are invalid."""
        self.token = self.cookies[SESSION_COOKIE] = token
        self.visit = self.cookies[VISIT_COOKIE] = protection.new_visit()

    def keep(self, token: str) -> None:
        """Keep the session in the browser, after the person has shown a factor again."""
        self.token = self.cookies[SESSION_COOKIE] = token

    def sign_out(self) -> None:
        """Forget the session in the browser."""
        self.token = self.cookies[SESSION_COOKIE] = ""
        self.visit = self.cookies[VISIT_COOKIE] = protection.new_visit()


PageAct = Callable[[PageRequest], Response]


@dataclass(frozen=True, slots=True)
class WebRoute:
    """A page: its path as Starlette writes it, its method, the function that makes it. `open`: visitors without a
    session may see it.

    `sparing`: a visitor may request the page only rarely, because it checks a secret or costs much.
    """

    method: str
    path: str
    act: PageAct
    open: bool = False
    sparing: bool = False


class WebSite:
    """A Starlette application of pages. `package` has the folder `templates`; missing templates come from
    gateway.web.shared.

    `origin_name` is the name of this site's own origin in the daemon's answer to `GET /place`.
    """

    def __init__(
        self,
        package: str,
        texts: Texts,
        gateway: WebGateway,
        origin_name: str,
        routes: Sequence[WebRoute],
        now_s: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.texts = texts
        self.gateway = gateway
        self.form_tokens = FormTokens()
        loader = ChoiceLoader([PackageLoader(package), PackageLoader(_SHARED)])
        # Everything is escaped, so that no text of an ERP or a bank becomes markup.
        self.templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
        self._origin_name = origin_name
        self._now_s = now_s
        self._now_ms = now_ms
        self._limits = VisitorLimits(20.0, 100)
        self._sparing = VisitorLimits(0.2, 10)
        self._refusals = RefusalCounts()
        self._place: Mapping[str, Any] = {}
        made = [Route(one.path, self._endpoint(one), methods=[one.method]) for one in routes]
        own = Route("/language/{language}", self._endpoint(WebRoute("GET", "", _choose, open=True)), methods=["GET"])
        static = Mount("/static", self._protected(StaticFiles(packages=[(_SHARED, "static")])))
        self.application = Starlette(routes=[*made, own, static])
        self.application.add_exception_handler(404, self._missing)
        self.application.add_exception_handler(405, self._missing)
        self.application.add_exception_handler(500, self._broken)

    def roles_of(self, visit: PageRequest) -> Iterable[str]:
        """The names of the present roles of a session's person; none without a session."""
        try:
            said = visit.query.get("web", "session") if visit.token else {"roles": ""}
        except (Refused, NoDaemon):
            return ()
        return (part.partition("@")[0] for part in said["roles"].split(";"))

    def _endpoint(self, route: WebRoute) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            began_s = self._now_s()
            response = await self._answer(route, request)
            # Neither the query string nor an id is logged, because either may be a name or a number.
            _log.info(
                "web.answered",
                page=route.path,
                method=route.method,
                status=response.status_code,
                took_ms=round((self._now_s() - began_s) * 1000, 1),
            )
            return response

        return answer

    async def _answer(self, route: WebRoute, request: Request) -> Response:
        cookies = request.cookies
        language = chosen(cookies.get(LANGUAGE_COOKIE, ""), request.headers.get("accept-language", ""))
        known = cookies.get(VISIT_COOKIE, "")
        visit = PageRequest(
            self, request, language, cookies.get(SESSION_COOKIE, ""), known or protection.new_visit(), {}, self._place
        )
        if not known:
            visit.cookies[VISIT_COOKIE] = visit.visit
        try:
            await self._look_at(route, visit, known)
            response = await run_in_threadpool(self._made, route, visit)
        except PageRefused as error:
            self._refusals.add(error.name)
            response = self._error(visit, error.status, visit.text(error.name))
        except Refused as error:
            response = self._refused(visit, error)
        except NoDaemon as error:
            _log.error(
                "web.gateway_away",
                error=str(error),
                action="the page shows this; payments continue without the page; check the daemon: bankgw status",
            )
            response = self._error(visit, 503, visit.text("away"))
        for name, value in visit.cookies.items():
            # Without a value the cookie is deleted. A browser deletes it only if the other attributes are those with
            # which it was set.
            response.set_cookie(
                name, value, max_age=None if value else 0, path="/", secure=True, httponly=True, samesite="lax"
            )
        protection.protect(response.headers, self._origin())
        if counts := self._refusals.due(self._now_s()):
            await run_in_threadpool(self._tell, counts)
        return response

    def _tell(self, counts: Mapping[str, int]) -> None:
        """Ask the daemon to record the refusals of this site, because this process writes nothing."""
        page = self._origin_name.removesuffix("_origin")
        try:
            self.gateway.daemon("").post("web", "page-refusals", page=page, counts=dict(counts))
        except (NoDaemon, Refused) as error:
            self._refusals.untold(counts)
            _log.warning("web.refusals_not_noted", counts=dict(counts), error=str(error))

    async def _look_at(self, route: WebRoute, visit: PageRequest, known: str) -> None:
        request = visit.request
        visitor = request.client.host if request.client is not None else "?"
        limits = [self._limits, self._sparing] if route.sparing else [self._limits]
        if not all(limit.admits(visitor, self._now_s()) for limit in limits):
            raise PageRefused(429, "too_many")
        if not self._place:
            self._place = await run_in_threadpool(self.gateway.daemon("").get, "place")
        visit.place = self._place
        if request.headers.get("host", "") != self._origin().partition("://")[2]:
            raise PageRefused(421, "other_host")
        if route.method == "POST":
            visit.form = await _form(request)
            given = visit.form.get("form_token", "") or request.headers.get("x-form-token", "")
            elsewhere = protection.from_elsewhere(request.headers, self._origin())
            if elsewhere or not self.form_tokens.fits(given, known, visit.nonce):
                raise PageRefused(403, "form_is_old")

    def _made(self, route: WebRoute, visit: PageRequest) -> Response:
        if not route.open:
            said = web_tokens.claims(visit.token)
            if said is None:
                raise Refused(403, "sign_in", "")
            if self._now_ms() - said.seen_ms > RENEW_MS:
                visit.token = visit.cookies[SESSION_COOKIE] = visit.daemon.post("web", "renew")["token"]
        return route.act(visit)

    def _refused(self, visit: PageRequest, error: Refused) -> Response:
        if error.code == "sign_in":
            visit.sign_out()
            return visit.go("/sign-in")
        if error.code == "step_up":
            query = visit.request.url.query
            return visit.go(f"/step-up?back={quote(visit.request.url.path + ('?' + query if query else ''), safe='')}")
        return self._error(visit, error.status, str(error))

    def _error(self, visit: PageRequest, status: int, why: str) -> Response:
        if not visit.place:
            visit.place = dict.fromkeys(("environment", "live", "console_origin", "approval_origin", "approval_rp"), "")
        return visit.show("error.html", status, why=why)

    def _protected(self, files: ASGIApp) -> ASGIApp:
        """Files with the headers of pages. A browser may keep them, and asks whether they have changed."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            async def told(message: Message) -> None:
                if message["type"] == "http.response.start":
                    headers = MutableHeaders(scope=message)
                    headers["Cache-Control"] = "no-cache"
                    protection.protect(headers, self._origin())
                await send(message)

            await files(scope, receive, told)

        return answer

    async def _broken(self, request: Request, _error: Exception) -> Response:
        """Answer a request that failed by a defect of this program. Details are in the log only, not in the answer."""
        response = PlainTextResponse("This page cannot be shown: the console's log says why.", 500)
        protection.protect(response.headers, self._origin())
        return response

    async def _missing(self, request: Request, _error: Exception) -> Response:
        return await self._answer(WebRoute(request.method, "", _nowhere, open=True), request)

    def _origin(self) -> str:
        return str(self._place.get(self._origin_name, ""))


def _nowhere(_visit: PageRequest) -> Response:
    raise PageRefused(404, "no_page")


def _choose(visit: PageRequest) -> Response:
    language = visit.part("language")
    if language not in LANGUAGES:
        raise PageRefused(404, "no_page")
    visit.cookies[LANGUAGE_COOKIE] = language
    return visit.go(inside(visit.asked("back", "/")))


def inside(path: str) -> str:
    """This path if it belongs to this site, never `//other.example` or `/\\other.example`; else the first page."""
    good = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if good else "/"


async def _form(request: Request) -> Mapping[str, str]:
    """The values of a request's form; for a name that is given twice, the last value. Raises PageRefused."""
    octets = b""
    async for piece in request.stream():
        octets += piece
        if len(octets) > protection.MOST_BODY_BYTES:
            raise PageRefused(413, "too_large")
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        raise PageRefused(415, "no_form")
    try:
        return dict(parse_qsl(octets.decode(), keep_blank_values=True, strict_parsing=False, max_num_fields=50))
    except ValueError:
        raise PageRefused(400, "no_form") from None
