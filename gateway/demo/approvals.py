"""The demo's approvals: a policy in force, persons with their own keys, signatures that the ERP sends, and a count.

The count judges of every sent payment whether enough approvers signed it. It uses the bands and the keys that are
written here, and none from the journal.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from gateway.approvals.rows import approval_policies, approval_requests, approvals
from gateway.approvals.rows.approval_requests import ApprovalRequest, RequestState
from gateway.approvals.rows.approvals import ApprovalDecision, to_sign
from gateway.approvals.rules import approval_digest, approval_text
from gateway.approvals.rules.approval_digest import ApprovalLine
from gateway.control.client import ControlClient, NoDaemon, Refused
from gateway.control.offline import journal_access, journal_writer
from gateway.demo import evidence
from gateway.demo.erp import Erp
from gateway.demo.orders import DemoOrder, amount_text
from gateway.demo.report import PromiseCheck
from gateway.demo.stage import SENDER
from gateway.demo.texts import phrase
from gateway.demo.verdict import Journalled
from gateway.kernel.clock import Clock
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Tx
from gateway.kernel.tasks import sleep
from gateway.people.rows import persons
from gateway.people.rules import grants as grants_text
from gateway.settings import load
from protocols.canon.outcome import State

MAKER, APPROVERS = "zhao", ("qian", "sun")
APPROVE = "payment.approve"
FREE_MINOR, ONE_MINOR = 3_000_000, 8_000_000
"""Two amounts. Up to the first nobody approves, up to the second one person does, above it two."""
POLICY = (
    f"CNY 0..{amount_text(FREE_MINOR)} 0; CNY {amount_text(FREE_MINOR)}..{amount_text(ONE_MINOR)} 1; "
    f"CNY {amount_text(ONE_MINOR)}.. 2; makers {SENDER}"
)
PersonKeys = Mapping[str, Ed25519PrivateKey]
"""The private key of each person."""
_GRANTS = {MAKER: "maker@*", **dict.fromkeys(APPROVERS, "approver@*"), "li": "security_admin", "wang": "system_admin"}
_FIRST_UID = 2_000_000_001
_ACTOR = "demo"
_ALONE = ("payment", "transfer")
_LOOK_S, _AGAIN_S, _PATIENCE_S = 0.3, 6.0, 5.0


def put_in_force(settings_file: Path) -> PersonKeys:
    """Enrol the persons and put the policy in force, before the daemon's first start. Raises NotWritten, NoAccess."""
    settings, keys = load(settings_file), {name: Ed25519PrivateKey.generate() for name in _GRANTS}
    url, vault = journal_access.url_of(settings, None), journal_access.vault_of(settings, None)
    journal_writer.commit_offline(settings, url, vault, lambda tx: _write(tx, keys))
    return keys


def _write(tx: Tx, keys: PersonKeys) -> None:
    for n, (name, given) in enumerate(_GRANTS.items()):
        made = persons.enrol(tx, name, _FIRST_UID + n, keys[name].public_key().public_bytes_raw(), _ACTOR)
        assert isinstance(made, persons.Person), "the journal is new"
        after = replace(made, enrolled=True, grants=grants_text.parse(given))
        persons.change(tx, after, "person.confirmed", _ACTOR, {"key": after.fingerprint, "roles": given})
    policy = approval_policies.put_in_force(tx, POLICY, "")
    assert policy is not None, "the journal is new"
    audit.append(
        tx, _ACTOR, "policy.in_force", approval_policies.SUBJECT, {"version": policy.version, "text": policy.text()}
    )


# ---- signing ----


class TextDiffers(Exception):
    """The text or digest that the daemon shows differs from the form that is signed."""


def signed(shown: Mapping[str, Any], person: str, key: Ed25519PrivateKey) -> bytes:
    """The body of `payment.approve` for a request as the control API shows it. Raises TextDiffers."""
    form = str(shown["form"]).encode("ascii")
    digest = approval_digest.digest(form)
    words = {language: approval_text.signed_text(form, language) for language in ("en", "zh")}
    if shown["digest"] != digest or shown["words"] != words:
        raise TextDiffers(f"request {shown['request']}")
    signature = b64encode(key.sign(to_sign(digest, ApprovalDecision.APPROVE))).decode()
    return json.dumps({"id": shown["subject"], "person": person, "digest": digest, "signature": signature}).encode()


class Approver:
    """Signs the waiting requests with as many approvers as each needs, and has the ERP send the signatures, until `end`
    is called.

    A signature that is not in the journal after a while is sent again. `unlike` names the requests whose text differs
    from their form: those are not signed. `trouble` gives the reason if signing ended before `end`.
    """

    def __init__(
        self,
        clock: Clock,
        threaded: Callable[[Callable[[], Any]], Deferred[Any]],
        socket: Path,
        erp: Erp,
        run: str,
        keys: PersonKeys,
    ) -> None:
        self.keys = keys
        self.unlike: set[str] = set()
        self.trouble = ""
        self._clock = clock
        self._threaded = threaded
        self._control = ControlClient(socket, _PATIENCE_S)
        self._erp = erp
        self._run = run
        self._shown: dict[str, Mapping[str, Any]] = {}
        self._brought_s: dict[tuple[str, str], float] = {}
        self._messages = 0
        self._signing = Deferred.fromCoroutine(self._sign()).addErrback(self._ended)

    def end(self) -> None:
        """Stop signing."""
        self._signing.cancel()

    def check(self, counted: ApprovalCount) -> PromiseCheck:
        """The promise about approvals, checked with these counts."""
        return counted.check(self.unlike, self.trouble)

    def _ended(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self.trouble = f"signing ended: {failure.value!r}"

    async def _sign(self) -> None:
        while True:
            for one in await self._threaded(self._waiting):
                for person in due(one):
                    await self._bring(str(one["request"]), person)
            await sleep(self._clock, _LOOK_S)

    def _waiting(self) -> Sequence[Mapping[str, Any]]:
        """The requests that wait for approval; fewer or none if the daemon was killed meanwhile."""
        found: list[Mapping[str, Any]] = []
        try:
            for one in self._control.get("approvals")["approvals"]:
                if one["request"] not in self._shown:
                    self._shown[one["request"]] = self._control.get("approvals", one["request"])
                found.append(one)
        except (NoDaemon, Refused, OSError, HTTPException, ValueError):
            # The daemon was killed; the next attempt asks its next process.
            pass
        return found

    async def _bring(self, request: str, person: str) -> None:
        now_s = self._clock.monotonic_s()
        if request in self.unlike or now_s - self._brought_s.get((request, person), -_AGAIN_S) < _AGAIN_S:
            return
        try:
            body = signed(self._shown[request], person, self.keys[person])
        except TextDiffers:
            self.unlike.add(request)
            return
        self._messages += 1
        await self._erp.bring(APPROVE, f"{self._run}-approval-{self._messages}", body)
        self._brought_s[request, person] = now_s


def due(waiting: Mapping[str, Any]) -> list[str]:
    """The persons who still have to sign a request, of as many approvers as it needs."""
    need = max((int(one["approvers"]) for one in waiting["need"]), default=0)
    decided = {one["person"] for one in waiting["decided"]}
    return [person for person in APPROVERS[:need] if person not in decided]


# ---- counting ----


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request in the journal: its lines by order, and the persons with valid signatures, without its maker."""

    state: RequestState
    need: int
    lines: Mapping[str, ApprovalLine]
    signers: frozenset[str]


@dataclass(frozen=True, slots=True)
class ApprovalCount:
    """Orders that left and needed approvers: those with enough and those without. `waiting` are held with open
    requests.
    """

    approved: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()

    def last_words(self) -> str:
        """The part about approvals in the demo's last line."""
        return f", {len(self.approved)} approved, {len(self.without)} without approval"

    def check(self, unlike: Collection[str], trouble: str) -> PromiseCheck:
        """The promise about approvals, checked with these counts. `unlike`: requests whose text differs from their
        form. `trouble`: the reason why signing ended early."""
        found = phrase(
            "{approved} approved, {without} without approval, {waiting} still waiting; {unlike} with words unlike "
            "their form",
            approved=len(self.approved),
            without=len(self.without),
            waiting=len(self.waiting),
            unlike=len(unlike),
        )
        named = "; ".join(filter(None, (", ".join(sorted(self.without)[:5]), trouble)))
        promise = phrase("nothing left that needs approvers whose valid signatures are not there")
        return PromiseCheck(promise, not (self.without or unlike or trouble), f"{found}; {named}" if named else found)


def signed_requests(state: Path, vault_key: Path, keys: PersonKeys) -> list[SignedRequest]:
    """Every request for approval in the journal, with the signatures that these keys made."""
    with evidence.opened(state, vault_key) as conn:
        return [_signed_request(conn, one, keys) for one in approval_requests.listing(conn)]


def _signed_request(conn: Connection, one: ApprovalRequest, keys: PersonKeys) -> SignedRequest:
    about, digest = approval_digest.parse(one.form), approval_digest.digest(one.form)
    given = [(row.person, row.signature) for row in approvals.of_request(conn, one.request)]
    lines = {line.order: line for line in about.lines}
    return SignedRequest(one.state, one.need.approvers, lines, signers(given, digest, about.maker, keys))


def signers(given: Sequence[tuple[str, bytes]], digest: str, maker: str, keys: PersonKeys) -> frozenset[str]:
    """The approvers, other than the maker, whose signature approves this digest."""
    octets = to_sign(digest, ApprovalDecision.APPROVE)
    return frozenset(
        person
        for person, signature in given
        if person in APPROVERS and person != maker and _made(keys[person], signature, octets)
    )


def _made(key: Ed25519PrivateKey, signature: bytes, octets: bytes) -> bool:
    try:
        key.public_key().verify(signature, octets)
    except InvalidSignature:
        return False
    return True


def needed(minor: int) -> int:
    """The number of approvers that an amount needs."""
    return 0 if minor <= FREE_MINOR else 1 if minor <= ONE_MINOR else 2


def count(
    orders: Sequence[DemoOrder],
    journal: Sequence[Journalled],
    at_banks: Collection[str],
    requests: Sequence[SignedRequest],
) -> ApprovalCount:
    """Judge every order that was sent: the journal has a send of it, or a bank has booked it (`at_banks`: payees'
    accounts)."""
    minors = {row.order_id: row.minor for row in journal}
    sent = {row.order_id for row in journal if row.sends}
    wholes: dict[str, int] = {}
    for order in orders:
        wholes[_whole(order)] = wholes.get(_whole(order), 0) + minors.get(order.id, 0)
    approved, without = set[str](), set[str]()
    for order in orders:
        if order.id not in sent and order.creditor not in at_banks:
            continue
        asked = [one for one in requests if order.id in one.lines]
        need = needed(wholes[_whole(order)])
        if asked or need:
            enough = any(_is_enough(one, order, minors.get(order.id, 0), need) for one in asked)
            (approved if enough else without).add(order.id)
    held = {row.order_id for row in journal if row.state is State.HELD}
    waiting = held.intersection(_open(requests)) - approved - without
    return ApprovalCount(frozenset(approved), frozenset(without), frozenset(waiting))


def _whole(order: DemoOrder) -> str:
    return order.id if order.kind in _ALONE else order.id.rpartition("-")[0]


def _is_enough(one: SignedRequest, order: DemoOrder, minor: int, need: int) -> bool:
    line = one.lines[order.id]
    same = line.amount_minor == minor and order.creditor in (line.payee_account, line.debtor_account)
    return same and one.state is RequestState.APPROVED and len(one.signers) >= max(one.need, need, 1)


def _open(requests: Sequence[SignedRequest]) -> Iterator[str]:
    for one in requests:
        if one.state is RequestState.OPEN:
            yield from one.lines
