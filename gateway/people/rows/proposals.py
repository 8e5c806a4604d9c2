"""Decisions by two persons: one proposes and signs, the other reads the same text and signs, then the decision is
carried out once.

The signed text is made of an `Action`: plain text, one fact per line, in both languages. Its digest covers everything
that matters. The text is made again before the action, in the form in which it was signed, so a proposal whose facts
have changed has another digest and is stale.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select, update

from gateway.kernel.commit import audit, registers
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.sealed import SealBroken, row_seal
from gateway.kernel.sql.vault import VaultError
from gateway.kernel.sql.vaults import vault_of
from gateway.people.rows.persons import Person
from gateway.people.rules.signed_text import digest

_DOMAIN = b"bankgw persons 1"
_C = schema.proposals.c
_SEAL = row_seal(schema.proposals)
_NOW = "it cannot be approved; have it proposed again"


class ProposalKind(StrEnum):
    """The kinds of proposals. About payments and lanes: decide a payment in doubt, release a lane after a restored
    database, end an emergency stop, register an order's payee as known, release a held order, resume a paused lane or
    company.
    About pools: run a pool now, decide about the money of a linked payment that failed. About persons: let a person in,
    change roles, deactivate a person, replace a key. About rules and rows: put an approval policy or a pool in force,
    rebuild rows that SQL altered."""

    RESOLVE = "resolve"
    LEAVE_SAFE_MODE = "resume"  # names that journals and signed texts have had from the start
    RESTART = "restart"
    REGISTER = "register"
    RELEASE = "release"
    RESUME_LANE = "resume_lane"
    RESUME_COMPANY = "resume_company"
    ENROL = "enrol"
    ROLES = "roles"
    DEACTIVATE = "deactivate"
    RESET = "reset"
    POLICY = "policy"
    POOL = "pool"
    POOL_RUN = "pool_run"
    LINK = "link"
    REPAIR = "repair"


class ProposalState(StrEnum):
    """The state of a proposal. One whose row was altered by SQL is ALTERED: nobody can approve it."""

    OPEN = "open"
    DONE = "done"
    WITHDRAWN = "withdrawn"
    ALTERED = "altered"


class Role(StrEnum):
    """The role of a signer. It is part of the signed bytes, so that one signature cannot serve as the other."""

    PROPOSE = "propose"
    APPROVE = "approve"


def to_sign(digested: str, role: Role) -> bytes:
    """The bytes that a person signs in this role for an action's digest."""
    return b"\n".join((_DOMAIN, role.value.encode(), digested.encode()))


@dataclass(frozen=True, slots=True)
class Signature:
    """A person's signature, with the signer's name, UNIX user and key fingerprint."""

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
        """The SHA-256 of the text that the first person signed, hex."""
        return digest(self.text)


def signature_of(person: Person, octets: bytes) -> Signature:
    """A person's signature with the person's present name, user and key."""
    return Signature(person.name, person.uid, person.fingerprint, octets)


def store_proposal(tx: Tx, proposal: Proposal, actor: str) -> bool:
    """Store a new proposal. False if its key exists already."""
    key = proposal.proposal.encode()
    body = json.dumps(
        {"to": proposal.to, "note": proposal.note, "text": proposal.text, "first": proposal.first.detail()},
        ensure_ascii=False,
    ).encode()
    columns = _SEAL.with_seal(
        tx.vault,
        {
            "proposal": proposal.proposal,
            "kind": proposal.kind.value,
            "subject": proposal.subject,
            "state": ProposalState.OPEN.value,
            "made_ms": proposal.made_ms,
            "expires_ms": proposal.expires_ms,
            "body": tx.vault.seal(body, b"proposals/body/" + key),
            "evidence": tx.vault.seal(proposal.evidence, b"proposals/evidence/" + key),
        },
    )
    new = insert_new(tx.fresh, schema.proposals, columns)
    if new:
        registers.note(tx, _name(proposal.proposal), columns["seal"])
        audit.append(tx, actor, "proposal.made", proposal.subject, _detail(proposal, proposal.first))
    return new


def settle(tx: Tx, proposal: Proposal, state: ProposalState, actor: str, detail: dict[str, Any]) -> bool:
    """End an open proposal, once. False if it was ended already; then nothing changes."""
    row = tx.fresh.execute(select(schema.proposals).where(_C.proposal == proposal.proposal)).first()
    if row is None:
        return False
    seal = _SEAL.over(tx.vault, {**row._mapping, "state": state.value})
    ended = tx.fresh.execute(
        update(schema.proposals)
        .where(_C.proposal == proposal.proposal, _C.state == ProposalState.OPEN.value)
        .values(state=state.value, seal=seal)
    )
    if ended.rowcount != 1:
        return False
    registers.note(tx, _name(proposal.proposal), seal)
    audit.append(tx, actor, f"proposal.{state.value}", proposal.subject, {"proposal": proposal.proposal, **detail})
    return True


def signed(tx: Tx, proposal: Proposal, role: Role, signature: Signature, actor: str) -> None:
    """Record in the audit trail of the subject who signed the decision."""
    audit.append(tx, actor, f"persons.{role.value}", proposal.subject, _detail(proposal, signature))


def fetch(conn: Connection, proposal: str) -> Proposal | None:
    """The proposal with this key; ALTERED if its row is not the last one that the gateway wrote."""
    row = conn.execute(select(schema.proposals).where(_C.proposal == proposal)).first()
    return None if row is None else _read(conn, row)


def listing(conn: Connection, limit: int = 200) -> list[Proposal]:
    """The latest proposals, the newest first."""
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
        "proposal": proposal.proposal,
        "kind": proposal.kind.value,
        "to": proposal.to,
        "digest": proposal.digest,
        "evidence_sha256": hashlib.sha256(proposal.evidence).hexdigest() if proposal.evidence else None,
        "reason": proposal.note,
        **signature.detail(),
    }


def _name(proposal: str) -> str:
    return registers.names(_SEAL.table, (proposal,))


def _read(conn: Connection, row: Any) -> Proposal:
    try:
        _SEAL.check(vault_of(conn), row)
        registers.check(conn, _name(row.proposal), row.seal)
        return _proposal(conn, row)
    except (SealBroken, VaultError) as error:
        broken = error if isinstance(error, SealBroken) else SealBroken(_SEAL.table, row.proposal)
        registers.report(vault_of(conn), broken, _NOW)
        kind = row.kind if row.kind in set(ProposalKind) else ProposalKind.RESOLVE
        return Proposal(
            row.proposal,
            ProposalKind(kind),
            row.subject,
            "",
            "",
            b"",
            "",
            Signature("", -1, "", b""),
            row.made_ms,
            row.expires_ms,
            ProposalState.ALTERED,
        )


def seal_old_row(tx: Tx, row: Any) -> dict[str, Any]:
    """Check a proposal's row from before schema 17, and return the values that seal it. See unsealed_rows."""
    _proposal(tx.fresh, row)
    seal = _SEAL.over(tx.vault, dict(row._mapping))
    registers.note(tx, _name(row.proposal), seal)
    return {"seal": seal}


def _proposal(conn: Connection, row: Any) -> Proposal:
    vault, key = vault_of(conn), row.proposal.encode()
    said = json.loads(vault.open(row.body, b"proposals/body/" + key))
    first = said["first"]
    return Proposal(
        row.proposal,
        ProposalKind(row.kind),
        row.subject,
        said["to"],
        said["note"],
        vault.open(row.evidence, b"proposals/evidence/" + key),
        said["text"],
        Signature(first["person"], first["uid"], first["key"], b64decode(first["octets"])),
        row.made_ms,
        row.expires_ms,
        ProposalState(row.state),
    )
