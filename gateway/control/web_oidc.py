"""Signing in to the console through an identity provider, at the daemon's socket for web pages.

The console only passes values on. The daemon makes the nonce, accepts it once, and trusts only the provider's signature
by keys that the settings name. An attacker who controls the console can open no session of a person who did not sign
in.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

from gateway.call import Call, Denied, answers
from gateway.control.web_passkeys import SessionOpener
from gateway.kernel import log
from gateway.kernel.clock import Clock
from gateway.kernel.commit.store import Store, Tx
from gateway.people.act_answers.pending_passkeys import PendingPasskeys
from gateway.people.rows.entitlements import EntitledPerson
from gateway.people.rules.web_tokens import WebPage
from gateway.settings import OidcSettings

FACTOR = "oidc"
NONCE_MS = 600_000
_NONCE_BYTES, _PURPOSE = 32, "oidc console"
_log = log.get("control.web")


class OidcAnswers:
    """Answers the acts about signing in through an identity provider. It refuses each one if the settings name no
    provider.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        pending: PendingPasskeys,
        settings: OidcSettings | None,
        sign_in: SessionOpener,
        slow_down: Callable[[], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._pending = pending
        self._settings = settings
        self._sign_in = sign_in
        self._slow_down = slow_down

    def _there(self) -> OidcSettings:
        if self._settings is None:
            raise Denied(404, "no_oidc", "there is no identity provider in the settings (`web.oidc`)")
        return self._settings

    def _now_ms(self) -> int:
        return int(self._clock.monotonic_s() * 1000)

    @answers("web.oidc_begin")
    async def begin(self, call: Call) -> Any:
        """A nonce for one sign-in, valid once and for ten minutes, and the provider's address."""
        provider = self._there()
        self._slow_down()
        octets = await self._store.write(lambda tx: tx.entropy.bytes(_NONCE_BYTES))
        self._pending.offer(octets, _PURPOSE, self._now_ms(), NONCE_MS)
        return {
            "nonce": urlsafe_b64encode(octets).rstrip(b"=").decode(),
            "client_id": provider.client_id,
            "authorize_url": provider.authorize_url,
            "token_url": provider.token_url,
        }

    @answers("web.sign_in_oidc")
    async def sign_in(self, call: Call) -> Any:
        """Open a session of the console for the person of `id_token`, if the token was made for `nonce`."""
        provider = self._there()
        nonce, token = call.text("nonce"), call.body.get("id_token")
        self._slow_down()
        try:
            octets = urlsafe_b64decode(nonce + "==")
        except ValueError:
            octets = b""
        if not self._pending.use_once(octets, _PURPOSE, self._now_ms()):
            raise Denied(403, "no_challenge", "this sign-in is not open: each can be used once, within ten minutes")
        person = self._person_of(provider, token if isinstance(token, str) else "", nonce)
        return await self._sign_in(person, WebPage.CONSOLE, FACTOR, _believed)

    def _person_of(self, provider: OidcSettings, token: str, nonce: str) -> str:
        """The name of the token's person; "" for a token that is invalid or names nobody here, which is noted as a
        failure.
        """
        try:
            from gateway.people.rules import id_tokens  # only here: bankgw[console] installs it
        except ImportError:
            raise Denied(503, "no_oidc", "the daemon needs bankgw[console] to verify an identity provider") from None
        try:
            terms = id_tokens.IdTokenTerms(
                provider.issuer,
                provider.client_id,
                provider.keys_file.read_bytes(),
                provider.algorithms,
                provider.leeway_s,
                provider.acr,
            )
            now_s = self._clock.now_ms() / 1000
            subject = id_tokens.subject_of(token, terms, nonce, now_s)
        except id_tokens.IdTokenRefused as error:
            _log.warning("oidc.refused", why=str(error))
            return ""
        except OSError as error:
            _log.error(
                "oidc.no_keys",
                why=error.strerror,
                action=("nobody can sign in through the provider; correct web.oidc.keys_file"),
            )
            raise Denied(503, "no_oidc", "the provider's keys cannot be read (`web.oidc.keys_file`)") from None
        known = [person for person, known in provider.persons.items() if known == subject]
        if not known:
            _log.warning(
                "oidc.refused", why=("the settings have no person with the token's subject (`web.oidc.persons`)")
            )
        return known[0] if known else ""


def _believed(_tx: Tx, _found: EntitledPerson) -> bool:
    """A factor check that always passes, because the provider's token has been verified before.

    Another check judges whether the person is enrolled and not locked out.
    """
    return True
