"""Sign in through the company's identity provider: send the browser there and take it back. The daemon judges the
provider's answer.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.responses import RedirectResponse, Response

from gateway.control.client import Refused
from gateway.kernel import log
from gateway.web.shared.protection import OIDC_COOKIE
from gateway.web.shared.site import PageRequest, WebRoute
from gateway.web.shared.token_endpoint import NoToken, id_token

BACK = "/sign-in/oidc/back"
_MOST_CODE = 4_096
_log = log.get("console")


def routes() -> Sequence[WebRoute]:
    """The routes for signing in through an identity provider: to the provider, and back."""
    return (
        WebRoute("GET", "/sign-in/oidc", begin, open=True, sparing=True),
        WebRoute("GET", BACK, back, open=True, sparing=True),
    )


def begin(visit: PageRequest) -> Response:
    """Send the browser to the provider. A cookie of this host keeps the values that the provider must return
    unchanged."""
    said = visit.daemon.post("web", "oidc", "begin")
    state, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
    visit.cookies[OIDC_COOKIE] = f"{state}.{verifier}.{said['nonce']}"
    asked = {
        "response_type": "code",
        "scope": "openid",
        "client_id": said["client_id"],
        "redirect_uri": _here(visit),
        "state": state,
        "nonce": said["nonce"],
        "code_challenge": challenge(verifier),
        "code_challenge_method": "S256",
    }
    return RedirectResponse(f"{said['authorize_url']}?{urlencode(asked)}", 303)


def back(visit: PageRequest) -> Response:
    """Handle the browser's return from the provider; it brings a code if the person signed in there."""
    kept = visit.request.cookies.get(OIDC_COOKIE, "").split(".")
    visit.cookies[OIDC_COOKIE] = ""
    state, code = visit.asked("state"), visit.asked("code")
    # An attacker who sends a browser here with a code of his own does not have its cookie.
    if len(kept) != 3 or not state or not hmac.compare_digest(state.encode(), kept[0].encode()):
        return _refused(visit, 403, visit.text("oidc_not_begun"))
    if not 0 < len(code) <= _MOST_CODE:
        return _refused(visit, 403, visit.text("oidc_no"))
    try:
        said = _session(visit, code, kept[1], kept[2])
    except NoToken as error:
        _log.warning("oidc.no_token", why=str(error))
        return _refused(visit, 502, visit.text("oidc_away"))
    except Refused as error:
        return _refused(visit, error.status, str(error))
    visit.sign_in_with(said["token"])
    return visit.go("/")


def _session(visit: PageRequest, code: str, verifier: str, nonce: str) -> Any:
    # The daemon gives the token endpoint again, so that no cookie and no query string can name another one.
    place = visit.daemon.get("place")["oidc"] or {}
    token = id_token(
        place.get("token_url", ""),
        {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": _here(visit),
            "client_id": place.get("client_id", ""),
            "code_verifier": verifier,
        },
    )
    return visit.daemon.post("web", "sign-in", "oidc", id_token=token, nonce=nonce)


def challenge(verifier: str) -> str:
    """The S256 challenge of a PKCE verifier (RFC 7636)."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _here(visit: PageRequest) -> str:
    return f"{visit.place['console_origin']}{BACK}"


def _refused(visit: PageRequest, status: int, why: str) -> Response:
    return visit.show("sign-in.html", status, why=why, name="")
