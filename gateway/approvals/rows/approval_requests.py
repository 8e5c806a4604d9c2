"""Requests for approval: the payments that wait for approvers, as the canonical form that they sign, with the need.

A request is about one order, or about a whole batch (`subject` is its id). Only its state ever changes. If the order or
batch has changed, the request is void and another one is made.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from gateway.approvals.rules import approval_digest
from gateway.approvals.rules.approval_bands import ApprovalNeed, stricter
from gateway.approvals.rules.approval_digest import ApprovalSubject
from gateway.kernel.commit import audit, registers, sender_names
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.driver import first_row, rows
from gateway.kernel.sql.sealed import SealBroken, row_seal
from gateway.kernel.sql.vault import Vault, VaultError
from gateway.kernel.sql.vaults import vault_of
from gateway.register.approval_terms import ApprovalTerms

_C = schema.approval_requests.c
_SEAL = row_seal(schema.approval_requests)
_M = schema.meta.c
_INSTANCE = "approval_instance"
_INSTANCE_ROW = select(_M.value).where(_M.name == _INSTANCE)
_ABOUT = (
    select(schema.approval_requests)
    .where(_C.sender == bindparam("b_sender"), _C.subject == bindparam("b_subject"))
    .order_by(_C.request.desc())
)
_LATEST = _ABOUT.limit(1)
_REQUESTED = "approval.requested"
_IN_TRAIL = select(schema.audit).where(
    schema.audit.c.object_id == bindparam("b_object"), schema.audit.c.entry == _REQUESTED
)
_PAGE = 200


class RequestState(StrEnum):
    """The state of an approval request. An OPEN request whose time is over counts as expired; it has no row of its own
    for that."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """A request for approval. `form` is the canonical form, `digest` its SHA-256, `need` what the policy asked for when
    it was made."""

    request: str
    sender: str
    subject: str
    maker: str | None
    state: RequestState
    made_ms: int
    escalates_ms: int | None
    expires_ms: int
    digest: str
    form: bytes
    need: ApprovalNeed

    def is_open(self, now_ms: int) -> bool:
        """True while the request can be approved."""
        return self.state is RequestState.OPEN and now_ms < self.expires_ms


def open_request(
    tx: Tx, about: ApprovalSubject, subject: str, need: ApprovalNeed, terms: ApprovalTerms, until_ms: int | None
) -> ApprovalRequest:
    """Store a request that `subject` be approved. Completes `about` with the journal's own facts."""
    key = tx.entropy.ulid(tx.now_ms)
    form = approval_digest.canonical(replace(about, environment=terms.environment, instance=instance(tx), nonce=key))
    expires_ms = tx.now_ms + terms.valid_ms
    made = ApprovalRequest(
        request=key,
        sender=about.sender,
        subject=subject,
        maker=about.maker or None,
        state=RequestState.OPEN,
        made_ms=tx.now_ms,
        escalates_ms=tx.now_ms + terms.escalates_ms,
        expires_ms=expires_ms if until_ms is None else min(expires_ms, until_ms),
        digest=approval_digest.digest(form),
        form=form,
        need=need,
    )
    insert_new(tx.raw, schema.approval_requests, _columns(tx, made))
    audit.append(
        tx,
        f"policy:{about.policy}",
        _REQUESTED,
        _object(made.sender, made.subject),
        {
            "request": key,
            "digest": made.digest,
            "maker": made.maker,
            "policy": about.policy,
            "need": _need_text(need),
            "expires_ms": made.expires_ms,
        },
    )
    return made


def instance(tx: Tx) -> str:
    """The random name of this journal, made when it is first asked for; a copy of the database has the same."""
    if _INSTANCE not in tx.memo:
        found = first_row(tx.raw, _INSTANCE_ROW, {})
        if found is None:
            insert_new(tx.raw, schema.meta, {"name": _INSTANCE, "value": tx.entropy.ulid(tx.now_ms)})
            found = first_row(tx.raw, _INSTANCE_ROW, {})
        assert found is not None, "it was written in this transaction"
        tx.memo[_INSTANCE] = found.value
    return str(tx.memo[_INSTANCE])


def latest(conn: Connection, sender: str, subject: str) -> ApprovalRequest | None:
    """The last request about an order or batch, whatever its state. Raises SealBroken if it was altered."""
    row: Any = first_row(conn, _LATEST, {"b_sender": sender, "b_subject": subject})
    return None if row is None else _read(conn, row)


def about(conn: Connection, sender: str, subject: str) -> list[ApprovalRequest]:
    """All requests about an order or batch, the last first. Those of a batch may name different lines of it."""
    return [_read(conn, row) for row in rows(conn, _ABOUT, {"b_sender": sender, "b_subject": subject})]


def naming(conn: Connection, sender: str, subject: str, order: str) -> ApprovalRequest | None:
    """The last request that names this order: by itself, or as a line of the batch `subject`."""
    return next((one for one in about(conn, sender, subject) if order in orders_of(one)), None)


def lost_need(tx: Tx, sender: str, subject: str, since_ms: int) -> ApprovalNeed:
    """The approvers that lost requests about an order or batch needed. A request is lost if the audit trail names it
    and SQL deleted or altered its row. Each is reported once.

    Requests from before `since_ms` were about a payment with the same id whose retention is over. Raises SealBroken if
    an entry of the audit trail was altered.
    """
    need = ApprovalNeed()
    try:
        former = sender_names.former_senders(tx.raw, sender)
        for name, until_ms in ((sender, sys.maxsize), *former.items()):
            asked = tx.raw.execute(_IN_TRAIL, {"b_object": _object(name, subject)}).all()
            for one in audit.opened(asked, tx.vault):
                if since_ms <= one.at_ms <= until_ms and _is_lost(tx, one.detail["request"], former.keys() - {sender}):
                    need = stricter(need, _need_said(one.detail["need"]))
    except VaultError:
        raise SealBroken(schema.audit.name, _object(sender, subject)) from None
    return need


def _is_lost(tx: Tx, key: str, former: Collection[str]) -> bool:
    try:
        found = fetch(tx.raw, key)
        # A row that still has a former name of the sender is an older version, put back after the renaming.
        if found is not None and found.sender not in former:
            return False
        broken = SealBroken(_SEAL.table, key, "was deleted, or is an earlier version of itself")
    except SealBroken as error:
        broken = error
    registers.report(tx.vault, broken, "what it is about stays held, and needs at least the approvers that it needed")
    return True


def orders_of(request: ApprovalRequest) -> frozenset[str]:
    """The ids of the orders that a request names."""
    return _orders(request.form)


@lru_cache(maxsize=16)
def _orders(form: bytes) -> frozenset[str]:
    return frozenset(line.order for line in approval_digest.parse(form).lines)


def fetch(conn: Connection, request: str, *, lock: bool = False) -> ApprovalRequest | None:
    """The approval request with this key. With `lock`, other transactions that lock it wait until this one ends. Raises
    SealBroken if it was altered."""
    wanted = select(schema.approval_requests).where(_C.request == request)
    row = conn.execute(wanted.with_for_update() if lock else wanted).first()
    return None if row is None else _read(conn, row)


def listing(conn: Connection, states: Sequence[RequestState] = (), before: str = "") -> Iterator[ApprovalRequest]:
    """All requests, the newest first, read while the caller iterates; `states` empty: in any state. `before` is the key
    of a request: only older ones."""
    wanted = select(schema.approval_requests).order_by(_C.request.desc()).limit(_PAGE)
    if states:
        wanted = wanted.where(_C.state.in_([one.value for one in states]))
    if before:
        wanted = wanted.where(_C.request < before)
    page = conn.execute(wanted).all()
    while page:
        for row in page:
            try:
                read = _read(conn, row)
            except SealBroken as error:
                registers.report(
                    vault_of(conn), error, "this request takes no approval; have it asked anew: bankgw approvals renew"
                )
            else:
                yield read
        page = conn.execute(wanted.where(_C.request < page[-1].request)).all()


def settle(tx: Tx, request: ApprovalRequest, state: RequestState, actor: str, detail: dict[str, Any]) -> bool:
    """Move a request to another state, once. False if it is not in the state that it was read in."""
    columns = _columns(tx, replace(request, state=state))
    moved = tx.fresh.execute(
        update(schema.approval_requests)
        .where(_C.request == request.request, _C.state == request.state.value)
        .values({name: columns[name] for name in ("state", "body", "seal")})
    )
    if moved.rowcount != 1:
        return False
    audit.append(
        tx,
        actor,
        f"approval.request_{state.value}",
        _object(request.sender, request.subject),
        {"request": request.request, **detail},
    )
    return True


def move_sender(tx: Tx, old: str, new: str) -> int:
    """Move the requests of the sender `old` to `new`, sealed again. Their signed forms still name `old`, so that they
    no longer match and approvers are asked anew."""
    moved = 0
    for row in tx.fresh.execute(select(schema.approval_requests).where(_C.sender == old)).all():
        columns = _columns(tx, replace(_read(tx.raw, row), sender=new))
        values = {name: columns[name] for name in ("sender", "body", "seal")}
        tx.fresh.execute(update(schema.approval_requests).where(_C.request == row.request).values(values))
        moved += 1
    return moved


def _object(sender: str, subject: str) -> str:
    return f"{sender}/{subject}"


def _need_text(need: ApprovalNeed) -> list[str]:
    return [f"{count} of {group}" for group, count in need.of_group]


def _need_said(texts: Sequence[str]) -> ApprovalNeed:
    """The need in a text that `_need_text` wrote."""
    said = (text.partition(" of ") for text in texts)
    return ApprovalNeed(tuple((group, int(count)) for count, _of, group in said))


def _columns(tx: Tx, request: ApprovalRequest) -> dict[str, Any]:
    body = json.dumps(
        {
            "form": request.form.decode("ascii"),
            "need": [list(one) for one in request.need.of_group],
            "state": request.state.value,
            "maker": request.maker,
            "expires_ms": request.expires_ms,
            "sender": request.sender,
            "subject": request.subject,
        }
    ).encode()
    return _SEAL.with_seal(
        tx.vault,
        {
            "request": request.request,
            "sender": request.sender,
            "subject": request.subject,
            "maker": request.maker,
            "state": request.state.value,
            "made_ms": request.made_ms,
            "escalates_ms": request.escalates_ms,
            "expires_ms": request.expires_ms,
            "digest": request.digest,
            "body": tx.vault.seal(body, _aad(request.request)),
        },
    )


def seal_old_row(tx: Tx, row: Any) -> dict[str, Any]:
    """Check a request's row from before schema 17, and return the values that seal it. See unsealed_rows."""
    _read(tx.fresh, row)
    return {"seal": _SEAL.over(tx.vault, dict(row._mapping))}


def _read(conn: Connection, row: Any) -> ApprovalRequest:
    """A row of the requests' table as a value. Raises SealBroken if the row was altered."""
    _SEAL.check(vault_of(conn), row)
    try:
        made = _opened(vault_of(conn), row.request, row.made_ms, row.escalates_ms, row.body)
    except VaultError:
        raise SealBroken(_SEAL.table, row.request) from None
    # A row from before schema 17 has no seal: its clear columns must agree with the sealed body.
    there = (row.sender, row.subject, row.maker, row.state, row.expires_ms, row.digest)
    sealed = (made.sender, made.subject, made.maker, made.state.value, made.expires_ms, made.digest)
    if there != sealed:
        raise SealBroken(_SEAL.table, row.request)
    return made


@lru_cache(maxsize=16)
def _opened(vault: Vault, request: str, made_ms: int, escalates_ms: int | None, sealed: bytes) -> ApprovalRequest:
    """The request in a sealed body. Cached, because each line of a batch reads the same request at its send."""
    said = json.loads(vault.open(sealed, _aad(request)))
    form = said["form"].encode("ascii")
    return ApprovalRequest(
        request,
        said["sender"],
        said["subject"],
        said["maker"],
        RequestState(said["state"]),
        made_ms,
        escalates_ms,
        said["expires_ms"],
        approval_digest.digest(form),
        form,
        ApprovalNeed(tuple((group, count) for group, count in said["need"])),
    )


def _aad(request: str) -> bytes:
    return f"approval_requests/body/{request}".encode()
