"""The reasons why a signing key makes no signature. Such a failure never puts a payment in doubt, because without a
signature nothing was sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocols.kit.errors import CannotAsk

REMEDIES = {
    "pin_wrong": "the token refused the PIN; it is not asked again by itself, so that it does not lock: write the "
    "right PIN, then reload the settings",
    "pin_locked": "the token has locked the PIN: its security officer unlocks it; then reload the settings",
    "pin_last_try": "one wrong PIN more would lock the token: log in once by hand with the right PIN, then reload the "
    "settings",
    "pin_unusable": "the token takes no such PIN, or wants a new one: set it with the vendor's tool, write it, then "
    "reload the settings",
    "pin_unreadable": "the secret that `pin` names cannot be read: check its place; it is tried again by itself",
    "token_gone": "plug the token in, or start the HSM's client; it is found again by itself",
    "token_full": "the token has no room for a session: end other programs that use it; it is tried again by itself",
    "no_such_key": "the token has no such private key: compare `label` and `id` with the token's list (pkcs11-tool -O)",
    "ambiguous_key": "several private keys of the token fit: give both `label` and `id`",
    "no_module": "the PKCS#11 library cannot be loaded: check `module`, and install bankgw with the extra `pkcs11`",
    "token_error": "the token failed: look at the vendor's log; it is tried again by itself",
    "no_answer": "the key did not answer in time: look at the token or the service; it is tried again by itself",
    "service_away": "the signing service cannot be reached: start it, or mend the way to it; it is tried by itself",
    "service_refused": "the signing service refused: its log says why; it is tried again by itself",
    "signer_away": "the signer process cannot be reached: start bankgw-signer; it is tried again by itself",
    "signer_refused": "the signer process signs nothing now: its log says why; it is tried again by itself",
    "octets_refused": "the signing service does not sign this message: its log says why; look at the order",
    "bad_answer": "the signing service answered what its interface does not have: compare it with docs/do/keys.md",
    "wrong_signature": "the signature does not verify with the certificate in the settings: key and certificate do not "
    "belong together. Nothing was sent with it",
}
"""The remedy by the reason why a key makes no signature."""


class SigningFailed(Exception):  # noqa: N818 - an outcome: nothing was signed
    """A token or a signing service made no signature. `lasting`: only an operator ends it; trying again by itself may
    do harm, as with a wrong PIN."""

    def __init__(self, reason: str, detail: str, *, lasting: bool = False) -> None:
        assert reason in REMEDIES, f"{reason} is not a known reason"
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.lasting = lasting


@dataclass(frozen=True, slots=True)
class KeyTrouble:
    """A key that makes no signature now. `since_ms` is when that was seen first."""

    reason: str
    detail: str
    since_ms: int
    lasting: bool = False

    @property
    def remedy(self) -> str:
        """The remedy for the operator."""
        return REMEDIES[self.reason]

    @property
    def cause(self) -> str:
        """The reason and the observed fault, as text for people."""
        return f"{self.reason}: {self.detail}"


class NotSigned(CannotAsk):
    """A conversation's step needs a signature, and its key makes none now. Nothing was sent for this step; the order
    stays ready, the question is put again."""

    def __init__(self, key: str, trouble: KeyTrouble) -> None:
        super().__init__(f"key {key} signs nothing now: {trouble.cause}; {trouble.remedy}", "key_gone")
        self.key = key
        self.trouble = trouble
