"""Protection of a browser's requests: cookies, tokens in forms, origins, limits, and the headers of each answer."""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping

from starlette.datastructures import MutableHeaders

MOST_BODY_BYTES = 65_536
SESSION_COOKIE, VISIT_COOKIE, LANGUAGE_COOKIE = "__Host-session", "__Host-visit", "__Host-language"
OIDC_COOKIE = "__Host-oidc"
"""The values that a sign-in at an identity provider must bring back."""
_CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`, because a browser would then send no origin with a form, and origins are checked.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
_HSTS = "max-age=31536000"
_MOST_VISITORS = 10_000


class FormTokens:
    """Makes and checks tokens for forms. Their key lasts as long as the process, so a form of an earlier process must
    be shown again."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def of(self, visit: str, nonce: str) -> str:
        """The token of a form for a visit and a session."""
        return hmac.digest(self._key, f"{visit}\n{nonce}".encode(), "sha256").hex()

    def fits(self, given: str, visit: str, nonce: str) -> bool:
        """Whether a form came from a page that this process showed this browser."""
        return bool(visit) and hmac.compare_digest(given.encode(), self.of(visit, nonce).encode())


def from_elsewhere(headers: Mapping[str, str], origin: str) -> bool:
    """Whether the browser says that a page of another site sent the form."""
    said, site = headers.get("origin"), headers.get("sec-fetch-site")
    return said not in (None, origin) or site not in (None, "same-origin", "none")


def protect(headers: MutableHeaders, origin: str) -> None:
    """Add the protecting headers to an answer."""
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    if origin.startswith("https:"):
        headers["Strict-Transport-Security"] = _HSTS


class VisitorLimits:
    """A limit of requests a second for each visitor, with `burst` requests at once. If there are too many visitors,
    those seen longest ago are forgotten."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._seen: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admits(self, visitor: str, now_s: float) -> bool:
        """Whether this visitor may make a request now. A permitted request is counted."""
        tokens, at_s = self._seen.pop(visitor, (float(self._burst), now_s))
        tokens = min(float(self._burst), tokens + max(now_s - at_s, 0.0) * self._per_second)
        admitted = tokens >= 1.0
        self._seen[visitor] = (tokens - 1.0 if admitted else tokens, now_s)
        if len(self._seen) > _MOST_VISITORS:
            self._seen.popitem(last=False)
        return admitted


def new_visit() -> str:
    """The id of a browser's visit, to which a form's token is bound."""
    return secrets.token_hex(16)
