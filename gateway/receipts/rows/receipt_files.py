"""Receipts (电子回单) of payments and of incoming money: the open searches, the original files, and the receipts that
no bank will give.

A search begins for each settled payment, and for each incoming entry that is no collection of ours, if the bank gives
receipts. It ends with the original file, with a person's statement that there is none, or, for an entry, if its bank
cannot be asked for it. A file is stored as the bank gave it, sealed, with its digest. The key of a search (`payment`)
is the payment's key, or the entry's if `entry` is filled.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, and_, exists, select, update

from gateway.kernel.clock import ulid_from
from gateway.kernel.commit import audit
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.columns import fitting
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.vaults import vault_of
from gateway.payments.rows import lookup
from gateway.people.rows.persons import No
from gateway.receipts.rows import receipt_questions
from gateway.receipts.rows.receipt_questions import RecordedEntry
from protocols.canon.order import Kind
from protocols.canon.outcome import State
from protocols.canon.statement import Direction, Receipt

WAITING, FETCHED, NONE, CANNOT_ASK = "waiting", "fetched", "none", "cannot_ask"
_P, _S, _F, _E = schema.payments.c, schema.receipt_searches.c, schema.receipt_files.c, schema.statement_entries.c
_BUSY = (State.READY.value, State.SENDING.value)


@dataclass(frozen=True, slots=True)
class ReceiptSearch:
    """The search for the receipt of a payment or an entry, begun at `since_ms`. `subject` is the key of the payment or
    entry; `code` is the reason why the last try found none."""

    subject: str
    is_entry: bool
    lane: str
    account_idx: str
    bank_date: str
    state: str
    since_ms: int
    due_ms: int
    tries: int
    code: str | None
    ticket: str | None


@dataclass(frozen=True, slots=True)
class ReceiptFile:
    """The facts about a stored original, without its bytes."""

    receipt: str
    bank: str
    account_idx: str
    payment: str | None
    entry: str | None
    bank_date: str
    sha256: str
    media_type: str
    size: int
    at_ms: int
    name: str


def unsearched(conn: Connection, lane: str, since_ms: int, before_ms: int, most: int) -> list[str]:
    """Settled payments accepted since then, settled before `before_ms`, for whose receipt there is no search yet."""
    begun = exists().where(_S.payment == _P.payment)
    found = conn.execute(
        select(_P.payment)
        .where(
            _P.payment >= ulid_from(since_ms),
            _P.lane == lane,
            _P.state == State.SETTLED.value,
            _P.changed_ms < before_ms,
            ~begun,
        )
        .order_by(_P.payment)
        .limit(most)
    )
    return list(found.scalars())


def begin(tx: Tx, payments: Sequence[str], due_ms: int) -> int:
    """Begin searches for the receipts of these payments. Returns how many are new."""
    begun = 0
    for payment in payments:
        row = lookup.fetch(tx.read, payment)
        question = None if row is None else receipt_questions.of_payment(tx.read, row)
        if row is not None and question is not None:
            begun += insert_new(
                tx.raw, schema.receipt_searches, _searched(tx, row, question.bank_date.isoformat(), WAITING, due_ms)
            )
    return begun


def unsearched_entries(
    conn: Connection, indexes: Sequence[str], first_day: str, before_ms: int, most: int
) -> list[str]:
    """Incoming entries of these accounts since that day, seen before `before_ms`, for whose receipt there is no search
    yet. An entry of an own collection is left out, because it has that payment's receipt."""
    begun = exists().where(_S.payment == _E.entry)
    collected = exists().where(_P.payment == _E.matched_payment, _P.kind == Kind.COLLECTION.value)
    found = conn.execute(
        select(_E.entry)
        .where(
            _E.account_idx.in_(indexes),
            _E.bank_date >= first_day,
            _E.direction == Direction.CREDIT.value,
            _E.seen_ms < before_ms,
            ~begun,
            ~collected,
        )
        .order_by(_E.entry)
        .limit(most)
    )
    return list(found.scalars())


def begin_entries(tx: Tx, lane: str, entries: Sequence[str], due_ms: int) -> int:
    """Begin searches for the receipts of these entries. Returns how many are new."""
    begun = 0
    for key in entries:
        entry = receipt_questions.entry_of(tx.read, key)
        if entry is not None:
            begun += insert_new(
                tx.raw,
                schema.receipt_searches,
                {
                    "payment": key,
                    "entry": key,
                    "lane": lane,
                    "account_idx": entry.account_idx,
                    "bank_date": entry.bank_date.isoformat(),
                    "state": WAITING,
                    "since_ms": tx.now_ms,
                    "due_ms": due_ms,
                    "tries": 0,
                    "code": None,
                    "ticket": None,
                },
            )
    return begun


def due(conn: Connection, lane: str, now_ms: int, most: int) -> list[ReceiptSearch]:
    """The searches of a lane that are due: payments before entries, then the longest due first."""
    found = conn.execute(
        select(schema.receipt_searches)
        .where(_S.lane == lane, _S.state == WAITING, _S.due_ms <= now_ms)
        .order_by(_S.entry.is_not(None), _S.due_ms, _S.payment)
        .limit(most)
    )
    return [_search(conn, row) for row in found]


def busy(conn: Connection, lane: str, now_ms: int) -> bool:
    """True if a payment of the lane is on its way out, so that the bank should not be asked anything else now."""
    going = and_(_P.lane == lane, _P.state.in_(_BUSY), _P.send_after_ms.is_(None) | (_P.send_after_ms <= now_ms))
    return conn.execute(select(_P.payment).where(going).limit(1)).first() is not None


def later(tx: Tx, subject: str, due_ms: int, code: str | None, ticket: str | None = None) -> None:
    """Record that a try brought no file, and when to search again. The bank gives a ticket if it is making the file."""
    sealed = None if ticket is None else tx.vault.seal(ticket.encode(), _aad("ticket", subject))
    tx.fresh.execute(
        update(schema.receipt_searches)
        .where(_S.payment == subject, _S.state == WAITING)
        .values(due_ms=due_ms, tries=_S.tries + 1, code=code, ticket=sealed)
    )


def cannot_ask(tx: Tx, subject: str) -> None:
    """End a search for an entry whose known facts are not enough for a question to its bank."""
    tx.fresh.execute(
        update(schema.receipt_searches)
        .where(_S.payment == subject, _S.state == WAITING)
        .values(state=CANNOT_ASK, code=CANNOT_ASK, ticket=None)
    )


def keep(tx: Tx, row: PaymentRow, bank_date: str, receipt: Receipt, actor: str) -> str | None:
    """Store the original file of a payment's receipt and end its search. None if it is already stored."""
    insert_new(tx.fresh, schema.receipt_searches, _searched(tx, row, bank_date, FETCHED, tx.now_ms))
    where = (row.bank, tx.vault.blind(row.order.ours.account.clear), bank_date)
    return _keep(tx, row.payment, where, {"payment": row.payment, "entry": None}, receipt, actor)


def keep_of_entry(tx: Tx, entry: RecordedEntry, receipt: Receipt, actor: str) -> str | None:
    """Store the original file of an entry's receipt and end its search. None if it is already stored."""
    where = (entry.bank, entry.account_idx, entry.bank_date.isoformat())
    return _keep(tx, entry.entry, where, {"payment": None, "entry": entry.entry}, receipt, actor)


def _keep(
    tx: Tx, subject: str, where: tuple[str, str, str], of: dict[str, str | None], receipt: Receipt, actor: str
) -> str | None:
    tx.fresh.execute(
        update(schema.receipt_searches).where(_S.payment == subject).values(state=FETCHED, code=None, ticket=None)
    )
    # This comes after the update, by which only one of two writers of a search continues.
    name, value = next((name, value) for name, value in of.items() if value is not None)
    if tx.fresh.execute(select(_F.receipt).where(_F[name] == value)).first() is not None:
        return None
    bank, account_idx, bank_date = where
    key, digest = tx.entropy.ulid(tx.now_ms), sha256(receipt.data).hexdigest()
    tx.fresh.execute(
        schema.receipt_files.insert().values(
            {
                "receipt": key,
                "bank": bank,
                "account_idx": account_idx,
                **of,
                "bank_date": bank_date,
                "sha256": digest,
                "media_type": fitting(receipt.media_type, _F.media_type),
                "size": len(receipt.data),
                "at_ms": tx.now_ms,
                "detail": tx.vault.seal(
                    json.dumps({"name": receipt.name}, ensure_ascii=False).encode(), _aad("detail", key)
                ),
                "body": tx.vault.seal(receipt.data, _aad("body", key)),
            }
        )
    )
    audit.append(tx, actor, "receipt.kept", subject, {"sha256": digest, "size": len(receipt.data)})
    return key


def say_none(tx: Tx, subject: str, reason: str, actor: str) -> No | None:
    """Record a person's statement that the bank gives no receipt of this payment or entry (确认无回单)."""
    row = tx.fresh.execute(select(_S.state).where(_S.payment == subject)).first()
    if row is None or row.state != WAITING:
        said = "no receipt of it is looked for" if row is None else f"its receipt is {row.state}"
        return No("not_missing", f"{said}; nothing was changed")
    tx.fresh.execute(update(schema.receipt_searches).where(_S.payment == subject).values(state=NONE))
    audit.append(tx, actor, "receipt.none", subject, {"reason": reason})
    return None


def missing(conn: Connection, indexes: Sequence[str], before_ms: int, most: int) -> list[ReceiptSearch]:
    """The searches of these accounts that began before then and found nothing, the oldest first."""
    found = conn.execute(
        select(schema.receipt_searches)
        # The lanes are named so that the index over lane and state is used.
        .where(
            _S.lane.in_(lookup.lanes(conn)), _S.state == WAITING, _S.account_idx.in_(indexes), _S.since_ms < before_ms
        )
        .order_by(_S.since_ms, _S.payment)
        .limit(most)
    )
    return [_search(conn, row) for row in found]


def listing(
    conn: Connection, indexes: Sequence[str], first: str, last: str, after: str, most: int
) -> list[ReceiptFile]:
    """The files of these accounts with bank dates in a period, by key; `after` is the last key of the page before."""
    found = conn.execute(
        select(*(column for column in _F if column.name != "body"))
        .where(_F.account_idx.in_(indexes), _F.bank_date >= first, _F.bank_date <= last, _F.receipt > after)
        .order_by(_F.receipt)
        .limit(most)
    )
    return [_file(conn, row) for row in found]


def kept(conn: Connection, receipt: str) -> ReceiptFile | None:
    """The facts of a file, without its bytes."""
    row = conn.execute(select(schema.receipt_files).where(_F.receipt == receipt)).first()
    return None if row is None else _file(conn, row)


def original(conn: Connection, receipt: str) -> tuple[ReceiptFile, bytes] | None:
    """A file as the bank gave it. Raises VaultError if it was changed."""
    row = conn.execute(select(schema.receipt_files).where(_F.receipt == receipt)).first()
    if row is None:
        return None
    return _file(conn, row), vault_of(conn).open(row.body, _aad("body", receipt))


def of_payment(conn: Connection, payment: str) -> Receipt | None:
    """The original of a payment's receipt, if it is kept. Raises VaultError if it was changed."""
    key = conn.execute(select(_F.receipt).where(_F.payment == payment)).scalar()
    found = None if key is None else original(conn, key)
    return None if found is None else Receipt(found[1], found[0].media_type, found[0].name)


def _searched(tx: Tx, row: PaymentRow, bank_date: str, state: str, due_ms: int) -> dict[str, Any]:
    return {
        "payment": row.payment,
        "lane": row.lane,
        "account_idx": tx.vault.blind(row.order.ours.account.clear),
        "bank_date": bank_date,
        "state": state,
        "since_ms": tx.now_ms,
        "due_ms": due_ms,
        "tries": 0,
        "code": None,
        "ticket": None,
        "entry": None,
    }


def _search(conn: Connection, row: Any) -> ReceiptSearch:
    ticket = None if row.ticket is None else vault_of(conn).open(row.ticket, _aad("ticket", row.payment)).decode()
    return ReceiptSearch(
        row.payment,
        row.entry is not None,
        row.lane,
        row.account_idx,
        row.bank_date,
        row.state,
        row.since_ms,
        row.due_ms,
        row.tries,
        row.code,
        ticket,
    )


def _file(conn: Connection, row: Any) -> ReceiptFile:
    detail = json.loads(vault_of(conn).open(row.detail, _aad("detail", row.receipt)))
    return ReceiptFile(
        row.receipt,
        row.bank,
        row.account_idx,
        row.payment,
        row.entry,
        row.bank_date,
        row.sha256,
        row.media_type,
        row.size,
        row.at_ms,
        detail["name"],
    )


def _aad(column: str, key: str) -> bytes:
    return f"receipt_files/{column}/{key}".encode()
