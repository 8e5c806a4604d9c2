"""Whether the person whom an order names as its maker has made it, by the present state of the journal.

A name that only the ERP states proves nothing. The maker is known if the person signed the order, or if the policy in
force trusts the sender to authenticate makers (`makers SENDER`), and if the person is a maker of the account now.
Otherwise the maker is unknown, and an order of an unknown maker needs two approvers.
"""

from __future__ import annotations

from base64 import b64decode

from gateway.approvals.rows import approval_policies
from gateway.approvals.rules.makers import to_sign
from gateway.kernel.commit.store import Tx
from gateway.payments.rows.judged_orders import MadeOrder
from gateway.people.rows import entitlements
from gateway.people.rows.entitlements import EntitledPerson
from gateway.people.rows.persons import No
from gateway.people.rules.roles import PersonRole

_MAKER = frozenset({PersonRole.MAKER})
_PERSON, _SIGNED = "maker_person", "maker_signed"


def known(tx: Tx, made: MadeOrder, environment: str) -> str | None:
    """The maker's name, if that person made the order and may make it; None otherwise, or if it is not known."""
    order = made.order
    if order.maker is None:
        return None
    if order.maker_signature is None and made.sender not in approval_policies.in_force(tx).maker_senders:
        return None
    found = _entitled(tx, order.maker)
    if isinstance(found, No) or not found.grants.where(_MAKER).covers(made.company, order.ours.account.clear):
        return None
    # A wrong signature counts as no signature, even from a trusted sender.
    return order.maker if order.maker_signature is None or _signed(tx, made, environment, found) else None


def _entitled(tx: Tx, name: str) -> EntitledPerson | No:
    key = _PERSON, name
    if key not in tx.memo:
        tx.memo[key] = entitlements.of_name(tx.raw, name, tx.now_ms)
    found: EntitledPerson | No = tx.memo[key]
    return found


def _signed(tx: Tx, made: MadeOrder, environment: str, found: EntitledPerson) -> bool:
    """True if the person's present key made the signature. The lines of a batch share one signature, which is verified
    once."""
    key = _SIGNED, made.sender, made.order.maker, made.order.maker_signature, made.fingerprint
    if key not in tx.memo:
        octets = to_sign(environment, made.sender, made.fingerprint)
        tx.memo[key] = found.person.signed(b64decode(made.order.maker_signature or ""), octets)
    return bool(tx.memo[key])
