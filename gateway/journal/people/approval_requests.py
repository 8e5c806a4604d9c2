"""Requests for approval: what waits for approvers, as the canonical form that they sign, with what it needs.

A request is about one order, or about a whole batch (`subject` is its id). It is never changed but for its state; where
what it is about has changed, it is void and another one is made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from gateway.journal.commit import audit
from gateway.journal.commit.store import Tx
from gateway.journal.sql import schema
from gateway.journal.sql.databases import insert_new
from gateway.journal.sql.driver import first_row, rows
from gateway.journal.sql.vault import Vault
from gateway.journal.sql.vaults import vault_of
from gateway.people import approval_digest
from gateway.people.approval_bands import ApprovalNeed
from gateway.people.approval_digest import ApprovalSubject
from gateway.people.approval_terms import ApprovalTerms

_C = schema.approval_requests.c
_M = schema.meta.c
_INSTANCE = "approval_instance"
_INSTANCE_ROW = select(_M.value).where(_M.name == _INSTANCE)
_ABOUT = (
    select(schema.approval_requests)
    .where(_C.sender == bindparam("b_sender"), _C.subject == bindparam("b_subject"))
    .order_by(_C.request.desc())
)  # fmt: skip
_LATEST = _ABOUT.limit(1)
_PAGE = 200


class RequestState(StrEnum):
    """An OPEN request whose time is over counts as expired; it has no row of its own for that."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """`form` is the canonical form, `digest` its SHA-256, `need` what the policy asked for when it was made."""

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
        """True while it can be approved."""
        return self.state is RequestState.OPEN and now_ms < self.expires_ms


def open_request(
    tx: Tx, about: ApprovalSubject, subject: str, need: ApprovalNeed, terms: ApprovalTerms, until_ms: int | None
) -> ApprovalRequest:
    """Write down that `subject` waits for approvers. `about` is completed with what is the journal's to say."""
    key = tx.entropy.ulid(tx.now_ms)
    form = approval_digest.canonical(
        replace(about, environment=terms.environment, instance=instance(tx), nonce=key)
    )  # fmt: skip
    expires_ms = tx.now_ms + terms.valid_ms
    made = ApprovalRequest(
        request=key, sender=about.sender, subject=subject, maker=about.maker or None, state=RequestState.OPEN,
        made_ms=tx.now_ms, escalates_ms=tx.now_ms + terms.escalates_ms,
        expires_ms=expires_ms if until_ms is None else min(expires_ms, until_ms), digest=approval_digest.digest(form),
        form=form, need=need,
    )  # fmt: skip
    insert_new(tx.raw, schema.approval_requests, _columns(tx, made))
    audit.append(tx, f"policy:{about.policy}", "approval.requested", _object(made), {
        "request": key, "digest": made.digest, "maker": made.maker, "policy": about.policy, "need": _need_text(need),
        "expires_ms": made.expires_ms,
    })  # fmt: skip
    return made


def instance(tx: Tx) -> str:
    """The name of this journal, made when it is first asked for; a copy of the database has the same."""
    if _INSTANCE not in tx.memo:
        found = first_row(tx.raw, _INSTANCE_ROW, {})
        if found is None:
            insert_new(tx.raw, schema.meta, {"name": _INSTANCE, "value": tx.entropy.ulid(tx.now_ms)})
            found = first_row(tx.raw, _INSTANCE_ROW, {})
        assert found is not None, "it was written in this transaction"
        tx.memo[_INSTANCE] = found.value
    return str(tx.memo[_INSTANCE])


def latest(conn: Connection, sender: str, subject: str) -> ApprovalRequest | None:
    """The last request about an order or batch, whatever its state. VaultError if it was altered."""
    row: Any = first_row(conn, _LATEST, {"b_sender": sender, "b_subject": subject})
    return None if row is None else _read(conn, row)


def about(conn: Connection, sender: str, subject: str) -> list[ApprovalRequest]:
    """All requests about an order or batch, the last first. Those of a batch may name different lines of it."""
    return [_read(conn, row) for row in rows(conn, _ABOUT, {"b_sender": sender, "b_subject": subject})]


def naming(conn: Connection, sender: str, subject: str, order: str) -> ApprovalRequest | None:
    """The last request that names this order: by itself, or as a line of the batch `subject`."""
    return next((one for one in about(conn, sender, subject) if order in orders_of(one)), None)


def orders_of(request: ApprovalRequest) -> frozenset[str]:
    """The ids of the orders that a request names."""
    return _orders(request.form)


@lru_cache(maxsize=16)
def _orders(form: bytes) -> frozenset[str]:
    return frozenset(line.order for line in approval_digest.read(form).lines)


def fetch(conn: Connection, request: str, *, lock: bool = False) -> ApprovalRequest | None:
    """One request; with `lock`, others who lock it wait until this transaction ends. VaultError if it was altered."""
    wanted = select(schema.approval_requests).where(_C.request == request)
    row = conn.execute(wanted.with_for_update() if lock else wanted).first()
    return None if row is None else _read(conn, row)


def listing(
    conn: Connection, states: Sequence[RequestState] = (), before: str = ""
) -> Iterator[ApprovalRequest]:
    """All requests, the newest first, read as they are asked for; `states` empty: in any state. `before` is the key of
    a request: only older ones."""
    wanted = select(schema.approval_requests).order_by(_C.request.desc()).limit(_PAGE)
    if states:
        wanted = wanted.where(_C.state.in_([one.value for one in states]))
    if before:
        wanted = wanted.where(_C.request < before)
    page = conn.execute(wanted).all()
    while page:
        yield from (_read(conn, row) for row in page)
        page = conn.execute(wanted.where(_C.request < page[-1].request)).all()


def settle(tx: Tx, request: ApprovalRequest, state: RequestState, actor: str, detail: dict[str, Any]) -> bool:
    """Move a request to another state, once. False if it is not in the state that it was read in."""
    body = replace(request, state=state)
    moved = tx.fresh.execute(
        update(schema.approval_requests)
        .where(_C.request == request.request, _C.state == request.state.value)
        .values(state=state.value, body=_columns(tx, body)["body"])
    )  # fmt: skip
    if moved.rowcount != 1:
        return False
    audit.append(tx, actor, f"approval.request_{state.value}", _object(request), {"request": request.request, **detail})
    return True


def move_sender(tx: Tx, old: str, new: str) -> int:
    """Move the requests of the sender `old` to `new`, sealed again. Their forms still say `old`: what they ask for is
    no longer what was signed, so that approvers are asked anew."""
    moved = 0
    for row in tx.fresh.execute(select(schema.approval_requests).where(_C.sender == old)).all():
        columns = _columns(tx, replace(_read(tx.raw, row), sender=new))
        values = {name: columns[name] for name in ("sender", "body")}
        tx.fresh.execute(update(schema.approval_requests).where(_C.request == row.request).values(values))
        moved += 1
    return moved


def _object(request: ApprovalRequest) -> str:
    return f"{request.sender}/{request.subject}"


def _need_text(need: ApprovalNeed) -> list[str]:
    return [f"{count} of {group}" for group, count in need.of_group]


def _columns(tx: Tx, request: ApprovalRequest) -> dict[str, Any]:
    body = json.dumps({
        "form": request.form.decode("ascii"), "need": [list(one) for one in request.need.of_group],
        "state": request.state.value, "maker": request.maker, "expires_ms": request.expires_ms,
        "sender": request.sender, "subject": request.subject,
    }).encode()  # fmt: skip
    return {
        "request": request.request, "sender": request.sender, "subject": request.subject, "maker": request.maker,
        "state": request.state.value, "made_ms": request.made_ms, "escalates_ms": request.escalates_ms,
        "expires_ms": request.expires_ms, "digest": request.digest, "body": tx.vault.seal(body, _aad(request.request)),
    }  # fmt: skip


def _read(conn: Connection, row: Any) -> ApprovalRequest:
    made = _opened(vault_of(conn), row.request, row.made_ms, row.escalates_ms, row.body)
    # The sealed request is authentic; the clear columns beside it must agree with it.
    there = (row.sender, row.subject, row.maker, row.state, row.expires_ms, row.digest)
    sealed = (made.sender, made.subject, made.maker, made.state.value, made.expires_ms, made.digest)
    assert there == sealed, f"approval request {row.request}: columns were altered"
    return made


@lru_cache(maxsize=16)
def _opened(vault: Vault, request: str, made_ms: int, escalates_ms: int | None, sealed: bytes) -> ApprovalRequest:
    """A request out of its sealed body. Kept, because each line of a batch asks for the same one as it is sent."""
    said = json.loads(vault.open(sealed, _aad(request)))
    form = said["form"].encode("ascii")
    return ApprovalRequest(
        request, said["sender"], said["subject"], said["maker"], RequestState(said["state"]), made_ms, escalates_ms,
        said["expires_ms"], approval_digest.digest(form), form,
        ApprovalNeed(tuple((group, count) for group, count in said["need"])),
    )  # fmt: skip


def _aad(request: str) -> bytes:
    return f"approval_requests/body/{request}".encode()
