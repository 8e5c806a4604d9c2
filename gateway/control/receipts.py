"""Receipts in the control API: what is kept, what is missing, the originals, and a person's word that there is none."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from gateway.control.daemon_handle import DaemonHandle
from gateway.control.persons import refused
from gateway.control.server import Call, Denied, Verb
from gateway.core.policy import Route
from gateway.journal.commit import audit
from gateway.journal.payments import lookup, receipt_files, receipt_questions
from gateway.journal.payments.receipt_files import ReceiptFile, ReceiptSearch
from gateway.journal.sql.vaults import vault_of
from protocols.canon.party import Name, mask
from protocols.erp.news import instant

PAGE_ROWS, FILE_PIECE = 200, 524_288
DAY_MS = 86_400_000


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """What can be asked about receipts."""
    acts, one = _Acts(daemon_handle), "([^/]+)"
    return (
        Verb("GET", "/receipts", acts.listing), Verb("GET", "/receipts/missing", acts.missing),
        Verb("GET", f"/receipts/{one}/facts", acts.show), Verb("GET", f"/receipts/{one}/file", acts.file),
        Verb("POST", f"/receipts/{one}/none", acts.say_none),
    )  # fmt: skip


class _Acts:
    def __init__(self, daemon_handle: DaemonHandle) -> None:
        self._daemon_handle = daemon_handle

    async def listing(self, call: Call) -> Any:
        """The kept originals with bank dates in a period: of payments, and of money that came in."""
        today = datetime.fromtimestamp(self._daemon_handle.clock.now_ms() / 1000, UTC).astimezone(
            ZoneInfo("Asia/Shanghai")).date()  # fmt: skip
        last = _day(call, "to", today)
        first = _day(call, "from", last.replace(day=1))
        routes, after = self._routes(call), call.query.get("after", "")

        def look(conn: Connection) -> list[dict[str, Any]]:
            indexes = _indexes(conn, routes)
            found = receipt_files.listing(conn, list(indexes), first.isoformat(), last.isoformat(), after, PAGE_ROWS)
            return [_file_told(conn, one, indexes, clear=call.clear) for one in found]

        rows = await self._daemon_handle.store.read(look)
        following = rows[-1]["receipt"] if len(rows) == PAGE_ROWS else None
        return {"from": first.isoformat(), "to": last.isoformat(), "receipts": rows, "next": following}

    async def missing(self, call: Call) -> Any:
        """Settled payments, and money that came in, whose receipt is looked for and not there, the oldest first, with
        their age in days."""
        routes, now_ms = self._routes(call), self._daemon_handle.clock.now_ms()
        older_ms = now_ms - int(call.number("older_days", 0.000_001, 3_650) * DAY_MS)

        def look(conn: Connection) -> list[dict[str, Any]]:
            indexes = _indexes(conn, routes)
            found = receipt_files.missing(conn, list(indexes), older_ms, PAGE_ROWS)
            return [_search_told(conn, one, indexes, now_ms, clear=call.clear) for one in found]

        return {"at": instant(now_ms), "missing": await self._daemon_handle.store.read(look)}

    async def show(self, call: Call) -> Any:
        """What is known of one original, without its bytes."""
        routes, receipt = self._routes(call), call.parts[0]

        def look(conn: Connection) -> dict[str, Any] | None:
            indexes, found = _indexes(conn, routes), receipt_files.kept(conn, receipt)
            inside = found is not None and found.account_idx in indexes
            return _file_told(conn, found, indexes, clear=call.clear) if found is not None and inside else None

        told = await self._daemon_handle.store.read(look)
        if told is None:
            raise Denied(404, "no_such_receipt", f"there is no receipt {receipt} of your accounts")
        return told

    async def file(self, call: Call) -> Any:
        """A piece of an original, from byte `at` on."""
        receipt, at = call.parts[0], int(call.query.get("at", "0")) if call.query.get("at", "0").isdecimal() else 0
        found = await self._daemon_handle.store.read(lambda conn: receipt_files.original(conn, receipt))
        routes = self._routes(call)
        inside = found is not None and await self._daemon_handle.store.read(
            lambda conn: found[0].account_idx in _indexes(conn, routes)
        )
        if found is None or not inside:
            raise Denied(404, "no_such_receipt", f"there is no receipt {receipt} of your accounts")
        one, data = found
        if sha256(data).hexdigest() != one.sha256:
            raise Denied(500, "changed", "the file does not have its digest; restore the journal from a backup")
        if at == 0:
            detail = {"sha256": one.sha256}
            await self._daemon_handle.store.write(
                lambda tx: audit.append(tx, call.peer.actor, "receipt.shown", receipt, detail)
            )
        end = at + FILE_PIECE
        return {"receipt": receipt, "size": one.size, "sha256": one.sha256, "at": at,
                "data": b64encode(data[at:end]).decode(), "next": end if end < one.size else None}  # fmt: skip

    async def say_none(self, call: Call) -> Any:
        """Write down that the bank gives no receipt of a payment or of an entry."""
        subject, reason = call.parts[0], call.text("reason")
        if not await self._daemon_handle.store.read(lambda conn: self._inside(conn, call, subject)):
            raise Denied(404, "no_such_payment", f"there is no payment or entry {subject} of your accounts")
        no = await self._daemon_handle.store.write(
            lambda tx: receipt_files.say_none(tx, subject, reason, call.peer.actor)
        )
        if no is not None:
            raise refused(no, actor=call.peer.actor)
        return {"payment": subject, "state": receipt_files.NONE}

    def _inside(self, conn: Connection, call: Call, subject: str) -> bool:
        row = lookup.fetch(conn, subject)
        if row is not None:
            return call.scope.covers(row.company, row.order.ours.account.clear)
        entry = receipt_questions.entry_of(conn, subject)
        return entry is not None and entry.account_idx in _indexes(conn, self._routes(call))

    def _routes(self, call: Call) -> list[Route]:
        asked = {name: call.query.get(name) for name in ("bank", "company", "account")}
        return [
            route for route in self._daemon_handle.register().routes.values()
            if call.scope.covers(route.company, route.account)
            and all(wanted in (None, getattr(route, name)) for name, wanted in asked.items())
        ]  # fmt: skip


def _indexes(conn: Connection, routes: Sequence[Route]) -> dict[str, Route]:
    vault = vault_of(conn)
    return {vault.blind(route.account): route for route in routes}


def _file_told(conn: Connection, one: ReceiptFile, indexes: Mapping[str, Route], *, clear: bool) -> dict[str, Any]:
    return {
        "receipt": one.receipt,
        **_subject_told(conn, one.payment, one.entry, indexes[one.account_idx], clear=clear),
        "bank_date": one.bank_date, "name": one.name, "media_type": one.media_type, "size": one.size,
        "sha256": one.sha256, "kept": instant(one.at_ms),
    }  # fmt: skip


def _search_told(
    conn: Connection, one: ReceiptSearch, indexes: Mapping[str, Route], now_ms: int, *, clear: bool
) -> dict[str, Any]:
    return {
        "subject": one.subject, **_subject_told(
            conn, None if one.is_entry else one.subject, one.subject if one.is_entry else None,
            indexes[one.account_idx], clear=clear), "bank_date": one.bank_date,
        "age_days": (now_ms - one.since_ms) // DAY_MS, "tries": one.tries, "why": one.code or "not asked yet",
        "next": instant(one.due_ms),
    }  # fmt: skip


def _subject_told(
    conn: Connection, payment: str | None, entry: str | None, route: Route, *, clear: bool
) -> dict[str, Any]:
    """What a payment or an entry is known by; only its key if it is past its retention."""
    row = None if payment is None else lookup.fetch(conn, payment)
    shown = str if clear else mask
    said: dict[str, Any] = {"payment": payment, "entry": entry, "bank": route.bank, "company": route.company,
                            "account": shown(route.account)}  # fmt: skip
    if row is None:
        came = None if entry is None else receipt_questions.entry_of(conn, entry)
        return said if came is None else {
            **said, "line": came.number, "amount": str(came.amount), "currency": came.amount.currency,
            "payer": came.party_name if clear else str(Name(came.party_name)),
            "payer_account": shown(came.party) if came.party else "",
        }  # fmt: skip
    theirs = row.order.theirs
    return {
        **said, "order": f"{row.sender}:{row.order.id}", "amount": str(row.order.amount),
        "currency": row.order.amount.currency, "payee": theirs.name.clear if clear else str(theirs.name),
        "payee_account": shown(theirs.account.clear), "reference": row.bank_ref, "serial": row.bank_serial,
    }  # fmt: skip


def _day(call: Call, name: str, default: date) -> date:
    given = call.query.get(name)
    if given is None:
        return default
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise Denied(400, "bad_day", f"`{name}` is a day as 2026-11-30, not {given!r}") from None
