"""What keeps a browser's requests honest: cookies, tokens in forms, origins, limits, and the headers of each answer."""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping

from starlette.datastructures import MutableHeaders

MOST_BODY_BYTES = 65_536
SESSION_COOKIE, VISIT_COOKIE, LANGUAGE_COOKIE = "__Host-session", "__Host-visit", "__Host-language"
OIDC_COOKIE = "__Host-oidc"
"""What a sign-in at an identity provider must bring back."""
_CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CSP, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
    # Not `no-referrer`: a browser would then name no origin with a form, and origins are looked at.
    "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}  # fmt: skip
_HSTS = "max-age=31536000"
_MOST_VISITORS = 10_000


class FormTokens:
    """Tokens in forms, by a key that lives as long as the process: a form of an earlier one is shown again."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def of(self, visit: str, nonce: str) -> str:
        """The token of a browser's visit and session."""
        return hmac.digest(self._key, f"{visit}\n{nonce}".encode(), "sha256").hex()

    def fits(self, given: str, visit: str, nonce: str) -> bool:
        """Whether a form came from a page that this process showed this browser."""
        return bool(visit) and hmac.compare_digest(given.encode(), self.of(visit, nonce).encode())


def from_elsewhere(headers: Mapping[str, str], origin: str) -> bool:
    """Whether a browser says that a form was sent by another site's page."""
    said, site = headers.get("origin"), headers.get("sec-fetch-site")
    return said not in (None, origin) or site not in (None, "same-origin", "none")


def protect(headers: MutableHeaders, origin: str) -> None:
    """Put the headers of protection on an answer."""
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    if origin.startswith("https:"):
        headers["Strict-Transport-Security"] = _HSTS


class VisitorLimits:
    """So many requests a second for each visitor, with `burst` at once. Those seen longest ago are forgotten."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._seen: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admits(self, visitor: str, now_s: float) -> bool:
        """Whether this visitor may ask now; it is counted if so."""
        tokens, at_s = self._seen.pop(visitor, (float(self._burst), now_s))
        tokens = min(float(self._burst), tokens + max(now_s - at_s, 0.0) * self._per_second)
        admitted = tokens >= 1.0
        self._seen[visitor] = (tokens - 1.0 if admitted else tokens, now_s)
        if len(self._seen) > _MOST_VISITORS:
            self._seen.popitem(last=False)
        return admitted


def new_visit() -> str:
    """The id of a browser's visit: a form's token is bound to it."""
    return secrets.token_hex(16)
