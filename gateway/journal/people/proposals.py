"""Decisions by two persons: one proposes and signs, another reads the same text and signs, then it is carried out once.

The signed text is an `Action`: plain text, one fact per line. Its digest covers everything that matters. The text is
made again before the action, so a proposal whose facts have changed has another digest and is stale.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select, update

from gateway.journal.commit import audit
from gateway.journal.commit.store import Tx
from gateway.journal.people.persons import Person
from gateway.journal.sql import schema
from gateway.journal.sql.databases import insert_new
from gateway.journal.sql.vaults import vault_of

HEADING = "bankgw action 1"
_DOMAIN = b"bankgw persons 1"
_C = schema.proposals.c


class ProposalKind(StrEnum):
    """What can be proposed: decide a payment in doubt, release a lane after a restored database, end an emergency stop,
    register an order's payee as known, release what is held, or resume a lane that was paused; run a pool now, or
    decide about the money of a linked payment that failed; let a person in, change roles, deactivate a person, or take
    a new key; put another approval policy or pool in force."""

    RESOLVE = "resolve"
    LEAVE_SAFE_MODE = "resume"  # as journals and signed words have had it from the start
    RESTART = "restart"
    REGISTER = "register"
    RELEASE = "release"
    RESUME_LANE = "resume_lane"
    ENROL = "enrol"
    ROLES = "roles"
    DEACTIVATE = "deactivate"
    RESET = "reset"
    POLICY = "policy"
    POOL = "pool"
    POOL_RUN = "pool_run"
    LINK = "link"


class ProposalState(StrEnum):
    """The state of a proposal."""

    OPEN = "open"
    DONE = "done"
    WITHDRAWN = "withdrawn"


class Role(StrEnum):
    """The role of a signer. It is part of the signed bytes, so that one signature cannot serve as the other."""

    PROPOSE = "propose"
    APPROVE = "approve"


@dataclass(frozen=True, slots=True)
class Action:
    """What is signed: named facts, in order."""

    facts: tuple[tuple[str, str], ...]

    def text(self) -> str:
        """The text, one fact per line; a value with a line break is escaped as in JSON."""
        return "".join(f"{line}\n" for line in (HEADING, *(f"{name}: {_plain(value)}" for name, value in self.facts)))

    def digest(self) -> str:
        """SHA-256 of the text, hex."""
        return digest(self.text())


def digest(text: str) -> str:
    """SHA-256 of an action's text, hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def to_sign(digested: str, role: Role) -> bytes:
    """The bytes that a person signs for an action's digest."""
    return b"\n".join((_DOMAIN, role.value.encode(), digested.encode()))


def _plain(value: str) -> str:
    return value if value.isprintable() else json.dumps(value, ensure_ascii=True)


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature, with the signer's name, UNIX user and key fingerprint."""

    person: str
    uid: int
    key: str
    octets: bytes

    def detail(self) -> dict[str, Any]:
        """The signature as stored in the audit trail."""
        return {**asdict(self), "octets": b64encode(self.octets).decode()}


@dataclass(frozen=True, slots=True)
class Proposal:
    """`to` is the decision about the subject, `note` its reason, `evidence` the file's bytes, empty if none is
    required."""

    proposal: str
    kind: ProposalKind
    subject: str
    to: str
    note: str
    evidence: bytes
    text: str
    first: Signature
    made_ms: int
    expires_ms: int
    state: ProposalState = ProposalState.OPEN

    @property
    def digest(self) -> str:
        """SHA-256 of the text that the first person signed, hex."""
        return digest(self.text)


def signature_of(person: Person, octets: bytes) -> Signature:
    """A signature with the person's present name, user and key."""
    return Signature(person.name, person.uid, person.fingerprint, octets)


def write(tx: Tx, proposal: Proposal, actor: str) -> bool:
    """Store a new proposal. False if its key exists already."""
    key = proposal.proposal.encode()
    body = json.dumps({
        "to": proposal.to, "note": proposal.note, "text": proposal.text, "first": proposal.first.detail(),
    }, ensure_ascii=False).encode()  # fmt: skip
    new = insert_new(tx.fresh, schema.proposals, {
        "proposal": proposal.proposal, "kind": proposal.kind.value, "subject": proposal.subject,
        "state": ProposalState.OPEN.value, "made_ms": proposal.made_ms, "expires_ms": proposal.expires_ms,
        "body": tx.vault.seal(body, b"proposals/body/" + key),
        "evidence": tx.vault.seal(proposal.evidence, b"proposals/evidence/" + key),
    })  # fmt: skip
    if new:
        audit.append(tx, actor, "proposal.made", proposal.subject, _detail(proposal, proposal.first))
    return new


def settle(tx: Tx, proposal: Proposal, state: ProposalState, actor: str, detail: dict[str, Any]) -> bool:
    """End an open proposal, once. False if it was ended already; then nothing changed."""
    ended = tx.fresh.execute(
        update(schema.proposals).where(_C.proposal == proposal.proposal, _C.state == ProposalState.OPEN.value)
        .values(state=state.value)
    )  # fmt: skip
    if ended.rowcount != 1:
        return False
    audit.append(tx, actor, f"proposal.{state.value}", proposal.subject, {"proposal": proposal.proposal, **detail})
    return True


def signed(tx: Tx, proposal: Proposal, role: Role, signature: Signature, actor: str) -> None:
    """Record in the audit trail of the subject who signed the decision."""
    audit.append(tx, actor, f"persons.{role.value}", proposal.subject, _detail(proposal, signature))


def fetch(conn: Connection, proposal: str) -> Proposal | None:
    """One proposal. VaultError if it was altered."""
    row = conn.execute(select(schema.proposals).where(_C.proposal == proposal)).first()
    return None if row is None else _read(conn, row)


def listing(conn: Connection, limit: int = 200) -> list[Proposal]:
    """The newest first."""
    statement = select(schema.proposals).order_by(_C.proposal.desc()).limit(limit)
    return [_read(conn, row) for row in conn.execute(statement)]


def open_about(conn: Connection, kind: ProposalKind, subject: str, now_ms: int) -> str | None:
    """The key of an open proposal of this kind about this subject that has not expired."""
    statement = select(_C.proposal).where(
        _C.subject == subject, _C.kind == kind.value, _C.state == ProposalState.OPEN.value, _C.expires_ms > now_ms
    )
    return conn.execute(statement.limit(1)).scalar()


def _detail(proposal: Proposal, signature: Signature) -> dict[str, Any]:
    return {
        "proposal": proposal.proposal, "kind": proposal.kind.value, "to": proposal.to, "digest": proposal.digest,
        "evidence_sha256": hashlib.sha256(proposal.evidence).hexdigest() if proposal.evidence else None,
        "reason": proposal.note, **signature.detail(),
    }  # fmt: skip


def _read(conn: Connection, row: Any) -> Proposal:
    vault, key = vault_of(conn), row.proposal.encode()
    said = json.loads(vault.open(row.body, b"proposals/body/" + key))
    first = said["first"]
    return Proposal(
        row.proposal, ProposalKind(row.kind), row.subject, said["to"], said["note"],
        vault.open(row.evidence, b"proposals/evidence/" + key), said["text"],
        Signature(first["person"], first["uid"], first["key"], b64decode(first["octets"])),
        row.made_ms, row.expires_ms, ProposalState(row.state),
    )  # fmt: skip
