"""Books that arrive over the broker. A sender and the sender's id name a book; each of its parts is taken once.

A repeated part is answered with the book's present state. When all parts are there, the book is judged outside of any
unit, and then closed: it is in force, or it is dropped as a whole and its id is free again. See `books`.
"""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from sqlalchemy import Connection, delete, func, select

from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.vaults import vault_of
from gateway.people.rows.persons import No
from gateway.reconciliation.rows import books, decisions
from gateway.reconciliation.rows.books import ARRIVING, IN_FORCE, WITHDRAWN, BookEntry, BookHead, JudgedBook
from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.party import AccountNumber
from protocols.erp.treasury_replies import LedgerState
from protocols.erp.treasury_words import LedgerHead, LedgerRow, SubmitLedger, WithdrawLedger

_L, _P, _R, _B = schema.ledgers.c, schema.ledger_parts.c, schema.book_rows.c, schema.books.c
_CODES = {"frozen": Code.BOOK_FROZEN, "no_such_book": Code.UNKNOWN_BOOK}


def take_part(tx: Tx, sender: str, part: SubmitLedger, actor: str) -> LedgerState | Refusal:
    """Take one part of a book. Nothing of a refused part is written."""
    part_said = tx.vault.blind(json.dumps([_row_fields(one) for one in part.rows], ensure_ascii=False))
    known = _known(tx.fresh, sender, part.id)
    if known is None:
        begun = books.begin(tx, _book_head(part.head), actor)
        if isinstance(begun, No):
            return _refusal(begun)
        book = begun.book
        _note(tx, sender, part, book)
    else:
        book = known.book
        before = _why_not(tx.fresh, sender, part, known, part_said)
        if before is not None:
            return before
        if _part_said(tx.fresh, sender, part) == part_said:
            return _state(tx.fresh, sender, part.id, part.head, book, replayed=True)
    why = books.add(tx, part.head.account.clear, book, [_entry(one) for one in part.rows])
    if why is not None:
        return _refusal(why)
    insert_new(
        tx.fresh,
        schema.ledger_parts,
        {"sender": sender, "ledger": part.id, "part": part.part, "fingerprint": part_said},
    )
    return _state(tx.fresh, sender, part.id, part.head, book)


def judge(conn: Connection, sender: str, part: SubmitLedger) -> JudgedBook | No | None:
    """Check the totals of a whole book, by opening every row; None if the book has been closed or withdrawn
    meanwhile."""
    known = _known(conn, sender, part.id)
    if known is None or _book_state(conn, known.book) != ARRIVING:
        return None
    return books.judge(conn, part.head.account.clear, known.book)


def close(
    tx: Tx, sender: str, part: SubmitLedger, judged: JudgedBook | No | None, actor: str
) -> LedgerState | Refusal | None:
    """Put a judged book in force or drop it; None if it must be judged again."""
    known = _known(tx.fresh, sender, part.id)
    if known is None:
        return Refusal(Code.UNKNOWN_BOOK, f"book {part.id!r} was dropped or withdrawn meanwhile; send it again")
    if _book_state(tx.fresh, known.book) != ARRIVING:
        return _state(tx.fresh, sender, part.id, part.head, known.book, replayed=True)
    if not isinstance(judged, JudgedBook) or judged.book.book != known.book:
        return None
    closed = books.close(tx, judged, actor)
    if closed is None:
        return None
    if isinstance(closed, No):
        _forget(tx, sender, part.id)
        return _refusal(closed)
    return LedgerState(part.id, known.book, part.head, IN_FORCE, part.head.parts, closed_now=True)


def withdraw(tx: Tx, sender: str, command: WithdrawLedger, actor: str) -> LedgerState | Refusal:
    """Withdraw a book, unless its month is approved or a person decided about one of its rows."""
    known = _known(tx.fresh, sender, command.id)
    if known is None:
        return Refusal(Code.UNKNOWN_BOOK, f"sender {sender} has no book {command.id!r}")
    head, state = _head_read(tx.fresh, known), _book_state(tx.fresh, known.book)
    if state == ARRIVING:
        tx.fresh.execute(delete(schema.book_rows).where(_R.book == known.book))
        tx.fresh.execute(delete(schema.books).where(_B.book == known.book))
        _forget(tx, sender, command.id)
        audit.append(tx, actor, "book.withdrawn", known.book, {"reason": command.reason, "arriving": True})
        return LedgerState(command.id, known.book, head, WITHDRAWN, 0)
    if state != IN_FORCE:
        return _state(tx.fresh, sender, command.id, head, known.book, replayed=True)
    decided = _decided(tx.read, head.account.clear, known.book)
    if decided is not None:
        title = f"a person decided about its row {decided[0]} (decision {decided[1]}); undo that first"
        return Refusal(Code.BOOK_MATCHED, f"{title}; nothing was changed")
    done = books.withdraw(tx, head.account.clear, known.book, command.reason, actor)
    if isinstance(done, No):
        return _refusal(done)
    return _state(tx.fresh, sender, command.id, head, known.book)


def _known(conn: Connection, sender: str, ledger: str) -> Any:
    return conn.execute(select(schema.ledgers).where(_L.sender == sender, _L.ledger == ledger)).first()


def _note(tx: Tx, sender: str, part: SubmitLedger, book: str) -> None:
    head = _head_written(part.head)
    insert_new(
        tx.fresh,
        schema.ledgers,
        {
            "sender": sender,
            "ledger": part.id,
            "book": book,
            "account_idx": tx.vault.blind(part.head.account.clear),
            "fingerprint": tx.vault.blind(head),
            "parts": part.head.parts,
            "body": tx.vault.seal(head.encode(), _aad(book)),
        },
    )


def _why_not(conn: Connection, sender: str, part: SubmitLedger, known: Any, part_said: str) -> Refusal | None:
    """The reason why a further part cannot be taken; None if it can be, or if it was taken before."""
    if known.fingerprint != vault_of(conn).blind(_head_written(part.head)):
        return Refusal(Code.ID_CONFLICT, f"book {part.id!r} was begun with another head; nothing was changed")
    before = _part_said(conn, sender, part)
    if before == part_said:
        return None
    if before is not None:
        title = f"part {part.part} of book {part.id!r} came before with other rows; nothing happened"
        return Refusal(Code.ID_CONFLICT, title)
    named = {one.id: n for n, one in enumerate(part.rows)}
    where = (_R.book == known.book, _R.row_id.in_(list(named)))
    there = conn.execute(select(_R.row_id).where(*where)).scalars().all()
    if not there:
        return None
    faults = tuple(
        Fault(f"/rows/{named[id]}/id", FieldCode.REPEATED, "is in another part of the book too")
        for id in sorted(there, key=named.__getitem__)
    )
    return Refusal(Code.VALIDATION, f"{len(faults)} rows came in another part already; the part is refused", faults)


def _part_said(conn: Connection, sender: str, part: SubmitLedger) -> str | None:
    where = (_P.sender == sender, _P.ledger == part.id, _P.part == part.part)
    return conn.execute(select(_P.fingerprint).where(*where)).scalar()


def _book_state(conn: Connection, book: str) -> str:
    return conn.execute(select(_B.state).where(_B.book == book)).scalar() or WITHDRAWN


def _decided(conn: Connection, account: str, book: str) -> tuple[str, str] | None:
    """The first row of the book about which a person decided, and the decision."""
    of_row = {
        id.removeprefix("book:"): one.decision
        for one in decisions.in_force(conn, account)
        for id in one.entries
        if id.startswith("book:")
    }
    if not of_row:
        return None
    there = conn.execute(select(_R.row_id).where(_R.book == book, _R.row_id.in_(list(of_row)))).scalars().all()
    return (min(there), of_row[min(there)]) if there else None


def _state(
    conn: Connection, sender: str, ledger: str, head: LedgerHead, book: str, *, replayed: bool = False
) -> LedgerState:
    where = (_P.sender == sender, _P.ledger == ledger)
    received = int(conn.execute(select(func.count()).select_from(schema.ledger_parts).where(*where)).scalar_one())
    return LedgerState(ledger, book, head, _book_state(conn, book), received, replayed)


def _forget(tx: Tx, sender: str, ledger: str) -> None:
    """Free the id of a dropped book, by deleting all that is left of the book."""
    tx.fresh.execute(delete(schema.ledger_parts).where(_P.sender == sender, _P.ledger == ledger))
    tx.fresh.execute(delete(schema.ledgers).where(_L.sender == sender, _L.ledger == ledger))


def _refusal(no: No) -> Refusal:
    return Refusal(_CODES.get(no.code, Code.BOOK_REFUSED), no.why)


# ---- the ERP's words and the book's ----


def _book_head(head: LedgerHead) -> BookHead:
    return BookHead(
        head.account.clear,
        head.first,
        head.last,
        head.currency,
        head.opening_minor,
        head.closing_minor,
        head.count,
        head.debit_minor,
        head.credit_minor,
    )


def _entry(row: LedgerRow) -> BookEntry:
    return BookEntry(
        row.id,
        row.day,
        row.direction,
        row.amount_minor,
        row.party.clear if row.party else "",
        row.party_name.clear if row.party_name else "",
        row.reference,
        row.voucher,
        row.settlement,
        row.text,
    )


def _head_written(head: LedgerHead) -> str:
    return json.dumps(
        {
            "account": head.account.clear,
            "first": head.first.isoformat(),
            "last": head.last.isoformat(),
            "currency": head.currency,
            "opening_minor": head.opening_minor,
            "closing_minor": head.closing_minor,
            "count": head.count,
            "debit_minor": head.debit_minor,
            "credit_minor": head.credit_minor,
            "parts": head.parts,
        }
    )


def _head_read(conn: Connection, known: Any) -> LedgerHead:
    said: dict[str, Any] = json.loads(vault_of(conn).open(known.body, _aad(known.book)))
    said.update(
        account=AccountNumber(said["account"]),
        first=date.fromisoformat(said["first"]),
        last=date.fromisoformat(said["last"]),
    )
    return LedgerHead(**said)


def _aad(book: str) -> bytes:
    return b"ledgers/" + book.encode()


def _row_fields(row: LedgerRow) -> list[Any]:
    one = _entry(row)
    return [
        one.id,
        one.day.isoformat(),
        one.direction.value,
        one.amount_minor,
        one.party,
        one.party_name,
        one.reference,
        one.voucher,
        one.settlement,
        one.text,
    ]
