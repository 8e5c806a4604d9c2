"""Signing in to the console through an identity provider, at the daemon's socket for web pages.

The console only carries: the daemon makes the nonce, takes it once, and believes nothing but the provider's signature
by keys that the settings name. A console that is taken over can open no session of somebody who did not sign in.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Any

from gateway import log
from gateway.control.daemon_handle import DaemonHandle
from gateway.control.server import Call, Denied, Verb
from gateway.control.web_passkeys import SignsIn
from gateway.journal.commit.store import Tx
from gateway.journal.people.entitlements import EntitledPerson
from gateway.people.web_tokens import WebPage
from gateway.settings import OidcSettings

FACTOR = "oidc"
NONCE_MS = 600_000
_NONCE_BYTES, _PURPOSE = 32, "oidc console"
_log = log.get("control.web")


def oidc_verbs(
    daemon_handle: DaemonHandle, settings: OidcSettings | None, sign_in: SignsIn, slow_down: Callable[[], None]
) -> Sequence[Verb]:
    """What the console can ask about it; without settings each answer is a no."""
    acts = _Acts(daemon_handle, settings, sign_in, slow_down)
    return (Verb("POST", "/web/oidc/begin", acts.begin), Verb("POST", "/web/sign-in/oidc", acts.sign_in))


class _Acts:
    def __init__(
        self, daemon_handle: DaemonHandle, settings: OidcSettings | None, sign_in: SignsIn,
        slow_down: Callable[[], None],
    ) -> None:  # fmt: skip
        self._daemon_handle = daemon_handle
        self._settings = settings
        self._sign_in = sign_in
        self._slow_down = slow_down

    def _there(self) -> OidcSettings:
        if self._settings is None:
            raise Denied(404, "no_oidc", "there is no identity provider in the settings (`web.oidc`)")
        return self._settings

    def _now_ms(self) -> int:
        return int(self._daemon_handle.clock.monotonic_s() * 1000)

    async def begin(self, call: Call) -> Any:
        """A nonce for one sign-in, good once and for ten minutes, and where the provider is."""
        provider = self._there()
        self._slow_down()
        octets = await self._daemon_handle.store.write(lambda tx: tx.entropy.bytes(_NONCE_BYTES))
        self._daemon_handle.pending_passkeys.offer(octets, _PURPOSE, self._now_ms(), NONCE_MS)
        return {"nonce": urlsafe_b64encode(octets).rstrip(b"=").decode(), "client_id": provider.client_id,
                "authorize_url": provider.authorize_url, "token_url": provider.token_url}  # fmt: skip

    async def sign_in(self, call: Call) -> Any:
        """Open a session of the console for whom `id_token` is about, if it was made for `nonce`."""
        provider = self._there()
        nonce, token = call.text("nonce"), call.body.get("id_token")
        self._slow_down()
        try:
            octets = urlsafe_b64decode(nonce + "==")
        except ValueError:
            octets = b""
        if not self._daemon_handle.pending_passkeys.take(octets, _PURPOSE, self._now_ms()):
            raise Denied(403, "no_challenge", "this sign-in is not open: each is taken once, within ten minutes")
        person = self._person_of(provider, token if isinstance(token, str) else "", nonce)
        return await self._sign_in(person, WebPage.CONSOLE, FACTOR, _believed)

    def _person_of(self, provider: OidcSettings, token: str, nonce: str) -> str:
        """The person's name; "" for a token that proves nothing, or is about nobody here: a failure in the trail."""
        try:
            from gateway.people import id_tokens  # only here: bankgw[console] brings what it needs
        except ImportError:
            raise Denied(503, "no_oidc", "the daemon needs bankgw[console] to verify an identity provider") from None
        try:
            terms = id_tokens.IdTokenTerms(
                provider.issuer, provider.client_id, provider.keys_file.read_bytes(), provider.algorithms,
                provider.leeway_s, provider.acr,
            )  # fmt: skip
            now_s = self._daemon_handle.clock.now_ms() / 1000
            subject = id_tokens.subject_of(token, terms, nonce, now_s)
        except id_tokens.IdTokenRefused as error:
            _log.warning("oidc.refused", why=str(error))
            return ""
        except OSError as error:
            _log.error("oidc.no_keys", why=error.strerror)
            raise Denied(503, "no_oidc", "the provider's keys cannot be read (`web.oidc.keys_file`)") from None
        known = [person for person, known in provider.persons.items() if known == subject]
        if not known:
            _log.warning("oidc.refused", why="its subject is nobody's here")
        return known[0] if known else ""


def _believed(_tx: Tx, _found: EntitledPerson) -> bool:
    """The provider's word is judged by then; whether the person is enrolled and not locked out is not."""
    return True
