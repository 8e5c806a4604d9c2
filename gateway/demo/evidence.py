"""Collects the demo's evidence: the banks' ledgers, the gateway's journal, and the raw bytes of its files."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from gateway.demo.verdict import Executed, Journalled
from gateway.kernel.commit import attempts, audit
from gateway.kernel.commit.attempts import StoredEvidence
from gateway.kernel.commit.audit import AuditEntry
from gateway.kernel.commit.rows import AttemptRow
from gateway.kernel.core import flow
from gateway.kernel.core.states import NotSent, Source
from gateway.kernel.sql import databases, vault, vaults
from gateway.payments.rows import bundles
from gateway.payments.rows.timeline import Moment, timeline
from gateway.simbank.record import Execution, read_executions
from protocols.bank import Replay
from protocols.canon.outcome import State
from protocols.erp.routing import EVENTS

JOURNAL = "journal.db"
_SELECT = "SELECT payment, order_id, state, seq, bank, bank_ref, attempt, amount_minor, currency, sender FROM payments"
_UNSENT = frozenset(f"payment.{rule.name}" for rule in flow.TABLE if rule.event is NotSent and rule.after is not None)
"""Entries which say that not one byte of the latest attempt left."""
# The steps of a payment that was never in doubt.
_MOST_WORDS = """
SELECT p.bank, p.order_id FROM payments p JOIN evidence e ON e.payment = p.payment
WHERE p.state = 'settled' AND p.attempt = 1 AND e.source <> 'returns' AND p.sender <> 'treasury'
AND NOT EXISTS (SELECT 1 FROM audit a WHERE a.object_id = p.payment AND a.entry IN
 ('payment.taken_over', 'payment.silent', 'payment.sent_unclear', 'payment.pending_not_found'))
GROUP BY p.payment, p.bank, p.order_id ORDER BY p.bank, count(*) DESC, p.order_id
"""
_SENT, _WORD, _TOLD = "written down, then sent", "bank's word", "told the ERP"
_NEVER = Replay.NEVER.value
_DEFECTS = frozenset(
    {
        "lane.defect",
        "lane.halted",
        "command.defect",
        "question.defect",
        "session.keeper_failed",
        "twisted.failure",
        "daemon.fatal",
        "daemon.not_started",
    }
)
_SIZE = re.compile("^[0-9]+ bytes ?")
_DIGITS = re.compile(rb"[0-9]{12,}")
_TELLING = ("before", "after", "fate", "source", "reason")
_CHARSETS = ("utf-8", "gbk", "utf-16-le")


@dataclass(frozen=True, slots=True)
class EvidenceLine:
    """One line of a payment's file: the actor, the act, and its result."""

    at_ms: int
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class LeakedSecret:
    """A secret that was found readable in a file: the file's name, and a hint at the secret (never the secret
    itself)."""

    file: str
    hint: str


def executed(bank: str, ledger: Path, now_ms: int) -> list[Executed]:
    """The executions of a bank's ledger as of `now_ms`."""
    return [_executed(bank, one, now_ms) for one in read_executions(ledger)]


def _executed(bank: str, one: Execution, now_ms: int) -> Executed:
    asked = one.instruction
    return Executed(
        bank,
        asked.reference,
        asked.debtor_account,
        asked.creditor_account,
        asked.amount.minor,
        one.booked(now_ms),
        asked.amount.currency,
    )


def journalled(state: Path, vault_key: Path) -> list[Journalled]:
    """Every payment in the journal; none if there is no journal yet. Payments that were sent again are opened and
    compared.
    """
    if not (state / JOURNAL).exists():
        return []
    with opened(state, vault_key) as conn:
        return [
            Journalled(
                payment, order, State(name), seq, bank, reference, *sends(conn, payment, count), minor, currency, sender
            )
            for payment, order, name, seq, bank, reference, count, minor, currency, sender in _rows(state, _SELECT)
        ]


def sends(conn: Connection, payment: str, count: int) -> tuple[int, tuple[str, ...]]:
    """The number of sends, and the faults of the repeated ones."""
    if count == 0:
        return 0, ()
    return left(audit.entries_of(conn, vaults.vault_of(conn), payment), attempts.of_payment(conn, payment))


def left(entries: Iterable[AuditEntry], rows: Iterable[AttemptRow]) -> tuple[int, tuple[str, ...]]:
    """The number of sends, and the faults of the repeated ones, from a payment's audit entries and its attempts."""
    numbers: list[int] = []
    for entry in entries:
        if "attempt" in entry.detail:
            numbers.append(int(entry.detail["attempt"]))
        elif entry.entry in _UNSENT and numbers:
            numbers.pop()
    written = {row.attempt: row for row in rows}
    return len(numbers), tuple(unfit([written[number] for number in numbers]))


def unfit(rows: Sequence[AttemptRow]) -> Iterator[str]:
    """The faults of repeated sends: they may carry only the same bytes, and only if a rule permits a repeat."""
    for row in rows[1:]:
        if row.replay_policy == _NEVER:
            yield f"send {row.attempt}: the bank's rules never allow a repeat"
        if row.wire != rows[0].wire:
            yield f"send {row.attempt}: other bytes than those of send {rows[0].attempt}"


def files_of_payments(state: Path, vault_key: Path, payments: Sequence[str]) -> dict[str, list[EvidenceLine]]:
    """The journal's content about some payments, decrypted with the vault's key."""
    with opened(state, vault_key) as conn:
        return {payment: list(_steps(timeline(conn, payment), carrier(conn, payment))) for payment in payments}


def carrier(conn: Connection, payment: str) -> str:
    """The message of the bundle in which a payment was sent, with its size; empty for one that was sent alone."""
    found = bundles.of_payment(conn, payment)
    if found is None or found[0].wire is None:
        return ""
    bundle, members = found
    return f"{len(bundle.wire or b'')} bytes with all {len(members)} orders of {bundle.bank_ref}"


def longest_climbs(state: Path) -> dict[str, str]:
    """For each bank, the settled payment about which the bank gave the most answers before it was settled."""
    found: dict[str, str] = {}
    for bank, order_id in _rows(state, _MOST_WORDS):
        found.setdefault(str(bank), str(order_id))
    return found


def climb(steps: Sequence[EvidenceLine]) -> str:
    """The steps by which a payment's outcome became known, in one line: the bank's answers and the ERP's events."""
    began_ms = next((step.at_ms for step in steps if step.what == _SENT), 0)
    words, said = [], ""
    for step in steps:
        after = f"{(step.at_ms - began_ms) / 1000:.1f} s"
        if step.what == _SENT:
            words.append(f"{after} sent")
        elif step.what.startswith(_WORD):
            # Of the questions whether the money came back, only those with a new answer are steps. The size of the
            # message does not count.
            word = _SIZE.sub("", step.detail)
            if Source.RETURNS.value not in step.what or word != said:
                words.append(f"{after} {step.what.removeprefix(_WORD).strip(' ()')}: {step.detail}")
            said = word
        elif step.what == _TOLD and step.detail.endswith(EVENTS):
            words.append(f"= {step.detail.partition(' ')[0].removeprefix('payment.')}")
    return " ".join(words)


def climb_of(state: Path, vault_key: Path, order_id: str) -> str:
    """As `climb`, for an order in the present journal."""
    ((payment,),) = _rows(state, "SELECT payment FROM payments WHERE order_id = ?", (order_id,))
    return climb(files_of_payments(state, vault_key, (payment,))[payment])


@contextmanager
def opened(state: Path, vault_key: Path) -> Iterator[Connection]:
    """The journal, readable with the vault's key."""
    engine = databases.connect(f"sqlite:///{state / JOURNAL}", connections=1, writing=False)
    vaults.attach(engine, vault.load(vault_key))
    try:
        with engine.connect() as conn:
            yield conn
    finally:
        engine.dispose()


def _steps(moments: Iterable[Moment], carried_by: str = "") -> Iterator[EvidenceLine]:
    for moment in moments:
        what = moment.what
        if isinstance(what, AuditEntry):
            shown = [f"{key}={what.detail[key]}" for key in _TELLING if what.detail.get(key)]
            yield EvidenceLine(moment.at_ms, what.entry, f"{' '.join(shown)} by {what.actor}")
        elif isinstance(what, AttemptRow):
            # An order that travelled in a bundle has no bytes of its own.
            size = f"{len(what.wire)} bytes" if what.wire else carried_by or "0 bytes"
            where = f"{size} to port {what.port}, epoch {what.epoch}"
            yield EvidenceLine(moment.at_ms, _SENT, where)
        elif isinstance(what, StoredEvidence):
            content = what.content
            size = f"{len(content.body)} bytes" if content.body else ""
            said = " ".join(filter(None, (size, content.code, content.note)))
            yield EvidenceLine(moment.at_ms, f"{_WORD} ({content.source.value})", said)
        else:
            addressee = what.exchange or "its reply queue"
            yield EvidenceLine(moment.at_ms, _TOLD, f"{what.headers.get('type', '')} to {addressee}")


def defects(log: Path) -> list[str]:
    """Log lines of all daemon processes that only a defect of the daemon can cause."""
    found = []
    for line in log.read_text("utf-8", "replace").splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            found.append(f"not a line of the log: {line[:200]}")
            continue
        if said.get("event") in _DEFECTS:
            reason = str(said.get("error") or said.get("reason") or said.get("text") or "")
            found.append(f"{said['event']} at {said.get('ts')}: {reason.splitlines()[0] if reason else '-'}")
    return found


def leaks(files: Iterable[Path], numbers: frozenset[str], words: frozenset[str]) -> list[LeakedSecret]:
    """The account numbers and words (names, passwords) that can be read in the raw bytes of the files."""
    found = []
    digits = {number.encode() for number in numbers}
    texts = {word.encode(charset) for word in words for charset in _CHARSETS}
    for file in files:
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            continue
        found += [LeakedSecret(file.name, hint) for hint in _hints(data, digits, texts)]
    return found


def _hints(data: bytes, digits: set[bytes], texts: set[bytes]) -> Iterator[str]:
    lengths = {len(number) for number in digits}
    seen: set[bytes] = set()
    for run in _DIGITS.findall(data):
        for length in lengths:
            seen |= {run[at : at + length] for at in range(len(run) - length + 1)} & digits
    for number in sorted(seen):
        yield f"an account number ending in {number[-4:].decode()}"
    for text in sorted(texts):
        if text in data:
            yield f"a name or password of {len(text)} bytes"


def taken_over(state: Path, from_ms: int, to_ms: int) -> int:
    """The number of payments that a restarted daemon found in `sending` and put in doubt, between two times."""
    query = "SELECT count(*) FROM audit WHERE entry = 'payment.taken_over' AND at_ms >= ? AND at_ms < ?"
    (count,) = _rows(state, query, (from_ms, to_ms))[0]
    return int(count)


def sent_before(state: Path, at_ms: int) -> frozenset[str]:
    """The payments whose first byte left for a bank before a time."""
    found = _rows(state, "SELECT payment FROM payments WHERE first_write_ms < ?", (at_ms,))
    return frozenset(str(payment) for (payment,) in found)


def doubted(state: Path) -> dict[str, frozenset[str]]:
    """Payments that were in doubt at some time, with the names of the steps that put them there."""
    entries = ("payment.taken_over", "payment.silent", "payment.sent_unclear", "payment.pending_not_found")
    query = f"SELECT object_id, entry FROM audit WHERE entry IN ({','.join('?' * len(entries))})"
    found: dict[str, set[str]] = {}
    for payment, entry in _rows(state, query, entries):
        found.setdefault(str(payment), set()).add(str(entry))
    return {payment: frozenset(steps) for payment, steps in found.items()}


def _rows(state: Path, query: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(f"file:{state / JOURNAL}?mode=ro", uri=True)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()
