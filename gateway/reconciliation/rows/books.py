"""The ERP's bank journal (企业银行日记账) of an account: its portions come into force once their totals agree.

A book covers a period. It is in force if its rows lead from its opening to its closing balance, if the previous book
ends with its opening balance, and if no row is in another book. A book of the same period replaces the previous one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.vaults import vault_of
from gateway.people.rows.persons import No
from gateway.reconciliation.rows import balance_tables
from protocols.canon.statement import Direction

ARRIVING, IN_FORCE, REPLACED, WITHDRAWN = "arriving", "in_force", "replaced", "withdrawn"
_B, _R = schema.books.c, schema.book_rows.c


@dataclass(frozen=True, slots=True)
class BookHead:
    """The head of a book, without its rows. Amounts are minor units of `currency`."""

    account: str
    first: date
    last: date
    currency: str
    opening_minor: int
    closing_minor: int
    count: int | None = None
    debit_minor: int | None = None
    credit_minor: int | None = None


@dataclass(frozen=True, slots=True)
class BookEntry:
    """One row of a book. Debit is money out of the bank account. A red entry has a negative amount."""

    id: str
    day: date
    direction: Direction
    amount_minor: int
    party: str = ""
    party_name: str = ""
    reference: str = ""
    voucher: str = ""
    settlement: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class BookRow:
    """A book as the journal has it."""

    book: str
    head: BookHead
    state: str
    at_ms: int


def begin(tx: Tx, head: BookHead, actor: str) -> BookRow | No:
    """Open a book for its rows."""
    if head.first > head.last:
        return No("bad_period", f"the period ends on {head.last} before it begins on {head.first}; nothing was changed")
    if balance_tables.approved_until(tx.read, head.account) >= head.first:
        return No(
            "frozen",
            f"the reconciliation statement of {head.first:%Y-%m} is approved, and so its book stays as "
            "it is; nothing was changed",
        )
    row = BookRow(tx.entropy.ulid(tx.now_ms), head, ARRIVING, tx.now_ms)
    index = tx.vault.blind(head.account)
    insert_new(
        tx.fresh,
        schema.books,
        {
            "book": row.book,
            "account_idx": index,
            "first_day": head.first.isoformat(),
            "last_day": head.last.isoformat(),
            "state": ARRIVING,
            "at_ms": tx.now_ms,
            "body": tx.vault.seal(_written(head), _aad(row.book)),
        },
    )
    audit.append(tx, actor, "book.begun", row.book, _period(head))
    return row


def add(tx: Tx, account: str, book: str, entries: Sequence[BookEntry]) -> No | None:
    """Add rows to the account's arriving book. A row that exists already with the same content is skipped."""
    found = _book(tx.fresh, account, book)
    if found is None or found.state != ARRIVING:
        return No("not_arriving", f"no book {book} takes rows now; begin it again")
    index = tx.vault.blind(found.head.account)
    for entry in entries:
        if not found.head.first <= entry.day <= found.head.last:
            return No("bad_period", f"row {entry.id} of {entry.day} is outside of the period; the portion is refused")
        body = _entry_written(entry)
        there = tx.raw.execute(select(_R.body).where(_R.book == book, _R.row_id == entry.id)).scalar()
        if there is None:
            insert_new(
                tx.raw,
                schema.book_rows,
                {
                    "book": book,
                    "row_id": entry.id,
                    "account_idx": index,
                    "day": entry.day.isoformat(),
                    "body": tx.vault.seal(body, _row_aad(book, entry.id)),
                },
            )
        elif tx.vault.open(there, _row_aad(book, entry.id)) != body:
            return No("twice", f"row {entry.id} comes twice with different content; the portion is refused")
    return None


@dataclass(frozen=True, slots=True)
class JudgedBook:
    """A book whose rows were added up: the reason why it cannot be in force, or the books that it `replaces`.

    The judgement is valid for these `rows` of the book and these `others` in force.
    """

    book: BookRow
    rows: int
    others: tuple[str, ...]
    why_not: No | None
    replaces: tuple[BookRow, ...] = ()


def judge(conn: Connection, account: str, book: str) -> JudgedBook | No:
    """Check a book's totals. It opens every row of the book, so it must not run inside a unit that writes."""
    found = _book(conn, account, book)
    if found is None or found.state != ARRIVING:
        return No("not_arriving", f"no book {book} takes rows now; begin it again")
    others = tuple(one.book for one in in_force(conn, account))
    rows, said = _row_count(conn, book), _why_not(conn, found)
    if isinstance(said, No):
        return JudgedBook(found, rows, others, said)
    return JudgedBook(found, rows, others, None, tuple(said))


def close(tx: Tx, judged: JudgedBook, actor: str) -> BookRow | No | None:
    """Put a book in force if its totals agree; else it is dropped with its rows, and the book before stays.

    None if the book must be judged again, because its rows or the books in force have changed.
    """
    head, book = judged.book.head, judged.book.book
    there = _book(tx.fresh, head.account, book)
    others = tuple(one.book for one in in_force(tx.raw, head.account))
    if there is None or (there.state, _row_count(tx.raw, book), others) != (ARRIVING, judged.rows, judged.others):
        return None
    why = judged.why_not
    if balance_tables.approved_until(tx.read, head.account) >= head.first:
        why = No("frozen", f"the statement of {head.first:%Y-%m} was approved meanwhile; the book is dropped")
    if why is not None:
        tx.fresh.execute(delete(schema.book_rows).where(_R.book == book))
        tx.fresh.execute(delete(schema.books).where(_B.book == book))
        audit.append(tx, actor, "book.refused", book, {"code": why.code, **_period(head)})
        return why
    for older in judged.replaces:
        _end(tx, older, REPLACED)
    tx.fresh.execute(update(schema.books).where(_B.book == book).values(state=IN_FORCE, at_ms=tx.now_ms))
    audit.append(
        tx, actor, "books.in_force", book, {**_period(head), "replaces": [one.book for one in judged.replaces]}
    )
    return BookRow(book, head, IN_FORCE, tx.now_ms)


def withdraw(tx: Tx, account: str, book: str, reason: str, actor: str) -> BookRow | No:
    """Take a book of the account out of force; its rows are deleted."""
    found = _book(tx.fresh, account, book)
    if found is None or found.state != IN_FORCE:
        return No("no_such_book", f"no book {book} is in force; nothing was changed")
    if balance_tables.approved_until(tx.read, found.head.account) >= found.head.first:
        return No("frozen", "its reconciliation statement is approved; nothing was changed")
    _end(tx, found, WITHDRAWN)
    audit.append(tx, actor, "book.withdrawn", book, {**_period(found.head), "reason": reason})
    return BookRow(book, found.head, WITHDRAWN, tx.now_ms)


def in_force(conn: Connection, account: str) -> list[BookRow]:
    """The books of an account that are in force, by period."""
    index = vault_of(conn).blind(account)
    found = conn.execute(
        select(schema.books).where(_B.account_idx == index, _B.state == IN_FORCE).order_by(_B.first_day)
    )
    return [_read(conn, row) for row in found]


def entries(conn: Connection, account: str, last: date) -> list[BookEntry]:
    """The rows of the books in force up to a day."""
    vault = vault_of(conn)
    statement = (
        select(schema.book_rows)
        .join(schema.books, _B.book == _R.book)
        .where(_R.account_idx == vault.blind(account), _R.day <= last.isoformat(), _B.state == IN_FORCE)
        .order_by(_R.day, _R.row_id)
    )
    return [
        _entry(row.row_id, row.day, vault.open(row.body, _row_aad(row.book, row.row_id)))
        for row in conn.execute(statement)
    ]


def rows_of(conn: Connection, book: str, last: date) -> list[BookEntry]:
    """The rows of one book up to a day."""
    vault = vault_of(conn)
    statement = select(schema.book_rows).where(_R.book == book, _R.day <= last.isoformat()).order_by(_R.day, _R.row_id)
    return [
        _entry(row.row_id, row.day, vault.open(row.body, _row_aad(row.book, row.row_id)))
        for row in conn.execute(statement)
    ]


def entries_of(conn: Connection, account: str, ids: Sequence[str]) -> list[BookEntry]:
    """The rows of the books in force that have these ids."""
    vault = vault_of(conn)
    statement = (
        select(schema.book_rows)
        .join(schema.books, _B.book == _R.book)
        .where(_B.account_idx == vault.blind(account), _B.state == IN_FORCE, _R.row_id.in_(ids))
        .order_by(_R.row_id)
    )
    return [
        _entry(row.row_id, row.day, vault.open(row.body, _row_aad(row.book, row.row_id)))
        for row in conn.execute(statement)
    ]


def _why_not(conn: Connection, found: BookRow) -> No | list[BookRow]:
    """The reason why a book cannot come into force, or the books that it would replace."""
    head, vault = found.head, vault_of(conn)
    rows = conn.execute(select(schema.book_rows).where(_R.book == found.book)).all()
    read = [_entry(row.row_id, row.day, vault.open(row.body, _row_aad(row.book, row.row_id))) for row in rows]
    credit = sum(one.amount_minor for one in read if one.direction is Direction.CREDIT)
    debit = sum(one.amount_minor for one in read if one.direction is Direction.DEBIT)
    for name, said, have in (
        ("count", head.count, len(read)),
        ("debit total", head.debit_minor, debit),
        ("credit total", head.credit_minor, credit),
    ):
        if said is not None and said != have:
            return No("totals", f"the book's {name} is {said}, its rows make {have}; it is dropped")
    if head.opening_minor + credit - debit != head.closing_minor:
        return No(
            "totals",
            f"opening {head.opening_minor} and rows of +{credit} and -{debit} do not make the closing "
            f"{head.closing_minor}; the book is dropped",
        )
    others = in_force(conn, head.account)
    same = [one for one in others if (one.head.first, one.head.last) == (head.first, head.last)]
    for one in others:
        if one in same:
            continue
        if one.head.first <= head.last and head.first <= one.head.last:
            return No(
                "overlap",
                f"a book of {one.head.first} to {one.head.last} is in force and overlaps this one, which is dropped",
            )
        if (head.first - one.head.last).days == 1 and one.head.closing_minor != head.opening_minor:
            return No(
                "gap",
                f"the book before closes with {one.head.closing_minor}, this one opens with "
                f"{head.opening_minor}; the book is dropped",
            )
    return _twice(conn, found, same) or same


def _twice(conn: Connection, found: BookRow, replaced: Sequence[BookRow]) -> No | None:
    ours = select(_R.row_id).where(_R.book == found.book)
    other = conn.execute(
        select(func.min(_R.row_id))
        .join(schema.books, _B.book == _R.book)
        .where(
            _R.account_idx == vault_of(conn).blind(found.head.account),
            _B.state == IN_FORCE,
            _R.row_id.in_(ours),
            _R.book.not_in([found.book, *(one.book for one in replaced)]),
        )
    ).scalar()
    return None if other is None else No("twice", f"row {other} stands in another book; the book is dropped")


def _end(tx: Tx, one: BookRow, state: str) -> None:
    tx.fresh.execute(delete(schema.book_rows).where(_R.book == one.book))
    tx.fresh.execute(update(schema.books).where(_B.book == one.book).values(state=state, at_ms=tx.now_ms))


def _book(conn: Connection, account: str, book: str) -> BookRow | None:
    index = vault_of(conn).blind(account)
    found = conn.execute(select(schema.books).where(_B.book == book, _B.account_idx == index)).first()
    return None if found is None else _read(conn, found)


def _row_count(conn: Connection, book: str) -> int:
    return int(conn.execute(select(func.count()).select_from(schema.book_rows).where(_R.book == book)).scalar() or 0)


def _read(conn: Connection, row: Any) -> BookRow:
    said: dict[str, Any] = json.loads(vault_of(conn).open(row.body, _aad(row.book)))
    said.update(first=date.fromisoformat(said["first"]), last=date.fromisoformat(said["last"]))
    return BookRow(row.book, BookHead(**said), row.state, row.at_ms)


def _period(head: BookHead) -> dict[str, str]:
    return {"from": head.first.isoformat(), "to": head.last.isoformat()}


def _written(head: BookHead) -> bytes:
    said = {
        "account": head.account,
        "first": head.first.isoformat(),
        "last": head.last.isoformat(),
        "currency": head.currency,
        "opening_minor": head.opening_minor,
        "closing_minor": head.closing_minor,
        "count": head.count,
        "debit_minor": head.debit_minor,
        "credit_minor": head.credit_minor,
    }
    return json.dumps(said).encode()


_TEXTS = ("party", "party_name", "reference", "voucher", "settlement", "text")


def _entry_written(entry: BookEntry) -> bytes:
    texts = {name: getattr(entry, name) for name in _TEXTS if getattr(entry, name)}
    said = {"direction": entry.direction.value, "amount": entry.amount_minor, "day": entry.day.isoformat(), **texts}
    return json.dumps(said, ensure_ascii=False, sort_keys=True).encode()


def _entry(row_id: str, day: str, body: bytes) -> BookEntry:
    said: Mapping[str, Any] = json.loads(body)
    texts = {name: said[name] for name in _TEXTS if name in said}
    return BookEntry(row_id, date.fromisoformat(day), Direction(said["direction"]), said["amount"], **texts)


def _aad(book: str) -> bytes:
    return b"books/" + book.encode()


def _row_aad(book: str, row_id: str) -> bytes:
    return f"book_rows/{book}/{row_id}".encode()
