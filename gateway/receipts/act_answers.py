"""Handlers of the acts about receipts: kept and missing ones, the originals, and a person's statement that there is
none.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from gateway.act_ports import Accounts
from gateway.call import Call, Denied, answers
from gateway.kernel.clock import Clock
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Store
from gateway.kernel.core.policy import Route
from gateway.kernel.sql.vaults import vault_of
from gateway.payments.rows import lookup
from gateway.people.refusals import refused
from gateway.receipts.acts import ListReceipts, MissingReceipts, NamedReceipt, NoReceipt, ReceiptPiece
from gateway.receipts.rows import receipt_files, receipt_questions
from gateway.receipts.rows.receipt_files import ReceiptFile, ReceiptSearch
from protocols.canon.party import Name, mask
from protocols.erp.news import instant

PAGE_ROWS, FILE_PIECE = 200, 524_288
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class ReceiptAnswers:
    """Answers the acts about receipts."""

    store: Store
    clock: Clock
    accounts: Accounts

    @answers("receipts.list")
    async def listing(self, call: Call, params: ListReceipts) -> Any:
        """The stored originals with bank dates in a period: of payments, and of incoming money."""
        today = datetime.fromtimestamp(self.clock.now_ms() / 1000, UTC).astimezone(ZoneInfo("Asia/Shanghai")).date()
        last = params.last or today
        first = params.first or last.replace(day=1)
        routes, after = self._routes(call, params), params.after

        def receipts_in_scope(conn: Connection) -> list[dict[str, Any]]:
            indexes = _indexes(conn, routes)
            found = receipt_files.listing(conn, list(indexes), first.isoformat(), last.isoformat(), after, PAGE_ROWS)
            return [_file_told(conn, one, indexes, clear=params.clear) for one in found]

        rows = await self.store.read(receipts_in_scope)
        following = rows[-1]["receipt"] if len(rows) == PAGE_ROWS else None
        return {"from": first.isoformat(), "to": last.isoformat(), "receipts": rows, "next": following}

    @answers("receipts.missing")
    async def missing(self, call: Call, params: MissingReceipts) -> Any:
        """Settled payments and incoming money whose receipt was not found yet, the oldest first, with their age in
        days.
        """
        routes, now_ms = self._routes(call, params), self.clock.now_ms()
        older_ms = now_ms - int(params.older * DAY_MS)

        def missing_in_scope(conn: Connection) -> list[dict[str, Any]]:
            indexes = _indexes(conn, routes)
            found = receipt_files.missing(conn, list(indexes), older_ms, PAGE_ROWS)
            return [_search_told(conn, one, indexes, now_ms, clear=params.clear) for one in found]

        return {"at": instant(now_ms), "missing": await self.store.read(missing_in_scope)}

    @answers("receipts.facts")
    async def show(self, call: Call, params: NamedReceipt) -> Any:
        """Answer with all that is known of one original, without its bytes."""
        routes, receipt = self._routes(call), params.receipt

        def receipt_in_scope(conn: Connection) -> dict[str, Any] | None:
            indexes, found = _indexes(conn, routes), receipt_files.kept(conn, receipt)
            inside = found is not None and found.account_idx in indexes
            return _file_told(conn, found, indexes, clear=params.clear) if found is not None and inside else None

        told = await self.store.read(receipt_in_scope)
        if told is None:
            raise Denied(404, "no_such_receipt", f"there is no receipt {receipt} of your accounts")
        return told

    @answers("receipts.file")
    async def file(self, call: Call, params: ReceiptPiece) -> Any:
        """Answer with a piece of an original, from byte `at` on."""
        receipt, at = params.receipt, int(params.at) if params.at.isdecimal() else 0
        found = await self.store.read(lambda conn: receipt_files.original(conn, receipt))
        routes = self._routes(call)
        inside = found is not None and await self.store.read(
            lambda conn: found[0].account_idx in _indexes(conn, routes)
        )
        if found is None or not inside:
            raise Denied(404, "no_such_receipt", f"there is no receipt {receipt} of your accounts")
        one, data = found
        if sha256(data).hexdigest() != one.sha256:
            raise Denied(500, "changed", "the file does not match its digest; restore the journal from a backup")
        if at == 0:
            detail = {"sha256": one.sha256}
            await self.store.write(lambda tx: audit.append(tx, call.peer.actor, "receipt.shown", receipt, detail))
        end = at + FILE_PIECE
        return {
            "receipt": receipt,
            "size": one.size,
            "sha256": one.sha256,
            "at": at,
            "data": b64encode(data[at:end]).decode(),
            "next": end if end < one.size else None,
        }

    @answers("receipts.none")
    async def say_none(self, call: Call, params: NoReceipt) -> Any:
        """Record that the bank gives no receipt of a payment or of an entry."""
        subject, reason = params.payment, params.reason
        if not await self.store.read(lambda conn: self._inside(conn, call, subject)):
            raise Denied(404, "no_such_payment", f"there is no payment or entry {subject} of your accounts")
        no = await self.store.write(lambda tx: receipt_files.say_none(tx, subject, reason, call.peer.actor))
        if no is not None:
            raise refused(no, actor=call.peer.actor)
        return {"payment": subject, "state": receipt_files.NONE}

    def _inside(self, conn: Connection, call: Call, subject: str) -> bool:
        row = lookup.fetch(conn, subject)
        if row is not None:
            return call.scope.covers(row.company, row.order.ours.account.clear)
        entry = receipt_questions.entry_of(conn, subject)
        return entry is not None and entry.account_idx in _indexes(conn, self._routes(call))

    def _routes(self, call: Call, asked: ListReceipts | MissingReceipts | None = None) -> list[Route]:
        wanted = {} if asked is None else {name: getattr(asked, name) for name in ("bank", "company", "account")}
        return [
            route
            for route in self.accounts().routes.values()
            if call.scope.covers(route.company, route.account)
            and all(one in (None, getattr(route, name)) for name, one in wanted.items())
        ]


def _indexes(conn: Connection, routes: Sequence[Route]) -> dict[str, Route]:
    vault = vault_of(conn)
    return {vault.blind(route.account): route for route in routes}


def _file_told(conn: Connection, one: ReceiptFile, indexes: Mapping[str, Route], *, clear: bool) -> dict[str, Any]:
    return {
        "receipt": one.receipt,
        **_subject_told(conn, one.payment, one.entry, indexes[one.account_idx], clear=clear),
        "bank_date": one.bank_date,
        "name": one.name,
        "media_type": one.media_type,
        "size": one.size,
        "sha256": one.sha256,
        "kept": instant(one.at_ms),
    }


def _search_told(
    conn: Connection, one: ReceiptSearch, indexes: Mapping[str, Route], now_ms: int, *, clear: bool
) -> dict[str, Any]:
    return {
        "subject": one.subject,
        **_subject_told(
            conn,
            None if one.is_entry else one.subject,
            one.subject if one.is_entry else None,
            indexes[one.account_idx],
            clear=clear,
        ),
        "bank_date": one.bank_date,
        "age_days": (now_ms - one.since_ms) // DAY_MS,
        "tries": one.tries,
        "why": one.code or "not asked yet",
        "next": instant(one.due_ms),
    }


def _subject_told(
    conn: Connection, payment: str | None, entry: str | None, route: Route, *, clear: bool
) -> dict[str, Any]:
    """The identifying fields of a payment or an entry; only its key if its retention has ended."""
    row = None if payment is None else lookup.fetch(conn, payment)
    shown = str if clear else mask
    said: dict[str, Any] = {
        "payment": payment,
        "entry": entry,
        "bank": route.bank,
        "company": route.company,
        "account": shown(route.account),
    }
    if row is None:
        came = None if entry is None else receipt_questions.entry_of(conn, entry)
        return (
            said
            if came is None
            else {
                **said,
                "line": came.number,
                "amount": str(came.amount),
                "currency": came.amount.currency,
                "payer": came.party_name if clear else str(Name(came.party_name)),
                "payer_account": shown(came.party) if came.party else "",
            }
        )
    theirs = row.order.theirs
    return {
        **said,
        "order": f"{row.sender}:{row.order.id}",
        "amount": str(row.order.amount),
        "currency": row.order.amount.currency,
        "payee": theirs.name.clear if clear else str(theirs.name),
        "payee_account": shown(theirs.account.clear),
        "reference": row.bank_ref,
        "serial": row.bank_serial,
    }
