"""Sign-in through an identity provider: a real one on the loopback, misled browsers, and a hostile console."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from gateway.control.client import Refused
from gateway.settings import OidcSettings
from gateway.web.console.oidc_pages import challenge
from gateway.web.console.pages import routes
from gateway.web.console.texts import TEXTS
from gateway.web.shared.site import WebSite
from tests.console.conftest import House
from tests.console.kit import Browser, PageAnswer
from tests.console.world_gateway import CONSOLE, WorldGateway
from tests.gateway.approvals.test_approval_holds import OVER, submit
from tests.gateway.cli.control_operator import Operator

PLACE = f"{CONSOLE}/sign-in/oidc/back"


@dataclass
class Provider:
    """An identity provider: `/authorize` is played by `signed_in`, `/token` is a real server."""

    key: RSAKey
    now_s: Any = None
    port: int = 0
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    changed: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    asked: list[dict[str, str]] = field(default_factory=list)

    def signed_in(self, address: str, subject: str = "00u1") -> str:
        """The token endpoint's answer to this form."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert (
            asked["redirect_uri"] == PLACE
            and asked["response_type"] == "code"
            and asked["code_challenge_method"] == "S256"
        )
        code = f"code-{len(self.codes)}"
        self.codes[code] = {**asked, "sub": subject}
        return f"/sign-in/oidc/back?code={code}&state={asked['state']}"

    def token(self, form: dict[str, str]) -> tuple[int, Any]:
        """The answer of the token endpoint."""
        self.asked.append(form)
        begun = self.codes.pop(form.get("code", ""), None)
        if (
            begun is None
            or challenge(form["code_verifier"]) != begun["code_challenge"]
            or form["redirect_uri"] != PLACE
        ):
            return 400, {"error": "invalid_grant"}
        now_s = int(self.now_s())
        claims = {
            "iss": f"http://127.0.0.1:{self.port}",
            "aud": begun["client_id"],
            "sub": begun["sub"],
            "nonce": begun["nonce"],
            "iat": now_s,
            "exp": now_s + 300,
            **self.changed,
        }
        return self.status, {"id_token": jwt.encode({"alg": "RS256", "kid": "k1"}, claims, self.key)}


@contextmanager
def served(provider: Provider) -> Iterator[None]:
    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
            status, said = provider.token({name: values[0] for name, values in form.items()})
            body = json.dumps(said).encode()
            self.send_response(status)
            if status == 307:
                self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_given: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    provider.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@dataclass
class OidcHouse:
    """A console with an identity provider that knows SUN as 00u1."""

    provider: Provider
    gateway: WorldGateway
    site: WebSite
    operator: Operator

    def begin(self, browser: Browser) -> str:
        answer = browser.send("GET", "/sign-in/oidc")
        assert answer.status == 303, answer.body
        return answer.headers["location"]

    def enter(self, browser: Browser, subject: str = "00u1") -> PageAnswer:
        return browser.get(self.provider.signed_in(self.begin(browser), subject))


@pytest.fixture
def provided(four_eyes: Operator, tmp_path: Path) -> Iterator[OidcHouse]:
    clock = four_eyes.ports.clock
    provider = Provider(RSAKey.generate_key(2048, {"kid": "k1"}), lambda: clock.now_ms() / 1000)
    (tmp_path / "jwks.json").write_text(json.dumps(KeySet([provider.key]).as_dict(private=False)))
    with served(provider):
        base = f"http://127.0.0.1:{provider.port}"
        settings = OidcSettings.model_validate(
            {
                "issuer": base,
                "client_id": "bankgw",
                "authorize_url": f"{base}/authorize",
                "token_url": f"{base}/token",
                "keys_file": tmp_path / "jwks.json",
                "persons": {"sun": "00u1", "nobody": "00u2"},
            }
        )
        gateway = WorldGateway(four_eyes, oidc=settings)
        site = WebSite(
            "gateway.web.console", TEXTS, gateway, "console_origin", routes(), clock.monotonic_s, clock.now_ms
        )
        yield OidcHouse(provider, gateway, site, four_eyes)


def test_a_person_signs_in_looks_and_signs_nothing(provided: OidcHouse) -> None:
    browser = Browser(provided.site)
    assert 'href="/sign-in/oidc"' in browser.get("/sign-in").body
    planted = browser.cookies["__Host-visit"]
    assert provided.enter(browser).path == "/" and "__Host-oidc" not in browser.cookies
    assert browser.cookies["__Host-visit"] != planted
    assert ("web:sun", "sign_in.done") in provided.operator.trail("person:sun")
    submit(provided.operator, "AP-1", OVER, maker="zhao")
    assert browser.get("/payments").status == 200
    assert browser.get("/reports/payments/csv").path.startswith("/step-up"), "a file wants a factor of ours"
    assert "code_verifier" in provided.provider.asked[0] and "client_secret" not in provided.provider.asked[0]


def test_without_a_provider_there_is_none(house: House) -> None:
    browser = house.browser()
    assert "/sign-in/oidc" not in browser.get("/sign-in").body
    assert (
        browser.send("GET", "/sign-in/oidc").status == 404
        and browser.get("/sign-in/oidc/back?code=x&state=y").status == 403
    )


def test_a_code_is_good_in_the_browser_that_began_and_once(provided: OidcHouse) -> None:
    """Login fixation: an attacker's code opens no session in a victim's browser."""
    attacker, victim = Browser(provided.site), Browser(provided.site)
    back = provided.provider.signed_in(provided.begin(attacker))
    assert victim.get(back).status == 403 and "__Host-session" not in victim.cookies
    provided.begin(victim)
    assert victim.get(back).status == 403 and provided.provider.asked == []
    assert attacker.get(back).path == "/"
    attacker.cookies.pop("__Host-session")
    assert attacker.get(back).status == 403


@pytest.mark.parametrize(
    "query", ["", "?code=x", "?state=x", "?error=access_denied&state=x", "?code=x&state=", "?code=x&state=%C3%A9"]
)
def test_a_return_that_was_not_begun_is_refused(provided: OidcHouse, query: str) -> None:
    browser = Browser(provided.site)
    provided.begin(browser)
    assert browser.get(f"/sign-in/oidc/back{query}").status == 403
    assert "__Host-session" not in browser.cookies and provided.provider.asked == []


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "http://evil.example"},
        {"aud": "other"},
        {"nonce": "other"},
        {"exp": 1},
        {"sub": "00u9"},
        {"sub": "00u2"},
        {"sub": None},
    ],
)
def test_a_token_that_does_not_hold_opens_nothing_and_is_noted(provided: OidcHouse, changed: dict[str, Any]) -> None:
    provided.provider.changed = changed
    browser = Browser(provided.site)
    answer = provided.enter(browser)
    assert answer.status == 403 and "__Host-session" not in browser.cookies
    assert ("web:", "sign_in.failed") in provided.operator.trail("person:?") or (
        "web:nobody",
        "sign_in.failed",
    ) in provided.operator.trail("person:?")


@pytest.mark.parametrize("status", [307, 400, 500])
def test_a_token_endpoint_that_says_no_opens_nothing(provided: OidcHouse, status: int) -> None:
    provided.provider.status = status
    browser = Browser(provided.site)
    assert provided.enter(browser).status == 502 and "__Host-session" not in browser.cookies


def test_a_hostile_console_opens_no_session(provided: OidcHouse) -> None:
    """The console has no nonce that the provider signed, or a used one, or one for another purpose."""
    daemon = provided.gateway.daemon("")
    begun = daemon.post("web", "oidc", "begin")
    now_s = int(provided.operator.ports.clock.now_ms() / 1000)
    claims = {
        "iss": f"http://127.0.0.1:{provided.provider.port}",
        "aud": "bankgw",
        "sub": "00u1",
        "nonce": begun["nonce"],
        "iat": now_s,
        "exp": now_s + 300,
    }
    good = jwt.encode({"alg": "RS256", "kid": "k1"}, claims, provided.provider.key)
    own = jwt.encode({"alg": "RS256", "kid": "k1"}, claims, RSAKey.generate_key(2048, {"kid": "k1"}))
    other = daemon.post("web", "challenge", page="console", purpose="sign_in")["challenge"]
    for nonce, token, code in (
        (begun["nonce"], own, "sign_in_failed"),
        (begun["nonce"], good, "no_challenge"),
        ("", good, "missing"),
        (other, good, "no_challenge"),
        ("AAAA", good, "no_challenge"),
    ):
        with pytest.raises(Refused) as caught:
            daemon.post("web", "sign-in", "oidc", id_token=token, nonce=nonce)
        assert caught.value.code == code
        provided.operator.world.run(2)
    late = daemon.post("web", "oidc", "begin")["nonce"]
    provided.operator.world.run(601)
    with pytest.raises(Refused):
        daemon.post("web", "sign-in", "oidc", id_token=good, nonce=late)


def test_nothing_secret_stands_in_an_address_or_a_log(provided: OidcHouse, capsys: pytest.CaptureFixture[str]) -> None:
    browser = Browser(provided.site)
    address = provided.begin(browser)
    verifier = browser.cookies["__Host-oidc"].split(".")[1]
    assert verifier not in address and not re.search(r"secret|verifier|token", urlsplit(address).query)
    browser.get(provided.provider.signed_in(address))
    said = capsys.readouterr()
    assert verifier not in said.out + said.err and "code-0" not in said.out + said.err
