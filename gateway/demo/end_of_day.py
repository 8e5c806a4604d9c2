"""The demo's end of day, when the banks commit no faults.

It asks each bank for the day's statement, a receipt of one entry and the branches, if the bank offers them, and
compares the answers with the simulators' own records.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from hashlib import sha256
from importlib import import_module
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from gateway import capabilities
from gateway.control.client import NoDaemon, Refused
from gateway.demo import site as demo_site
from gateway.demo.asking import CommandSender
from gateway.demo.erp import ReceivedNews
from gateway.demo.orders import RECEIPT, STATEMENT
from gateway.demo.report import PromiseCheck
from gateway.demo.texts import phrase
from gateway.kernel.clock import Clock
from gateway.kernel.tasks import sleep
from gateway.simbank.ledger import CHINA
from gateway.simbank.record import Execution, read_executions
from protocols.canon.money import Money
from protocols.trial import trial

READY = {STATEMENT: "statement.ready", RECEIPT: "receipt.ready"}
PATIENCE_S = 60.0
SETTLES_S = 45.0
"""The time by which a statement may be behind the books, because some banks make their files at intervals."""
_LOOKS_UP = "示例"


@dataclass(frozen=True, slots=True)
class DayTotals:
    """An account's entries of one bank day, counted."""

    count: int = 0
    credit_minor: int = 0
    debit_minor: int = 0

    def plus(self, minor: int, *, out: bool) -> DayTotals:
        """The totals with one more entry."""
        credit, debit = (0, minor) if out else (minor, 0)
        return DayTotals(self.count + 1, self.credit_minor + credit, self.debit_minor + debit)


def totals(executions: Iterable[Execution], account: str, day: date, now_ms: int) -> DayTotals:
    """The totals of an account's day by the bank's record: money out, money in, and money that came back."""
    found = DayTotals()
    for one in executions:
        asked = one.instruction
        if one.refused or account not in (asked.debtor_account, asked.creditor_account):
            continue
        out = (asked.debtor_account == account) is not asked.collects
        for at_ms, way in ((one.decided_ms, out), (one.returned_ms, not out)):
            if at_ms is not None and at_ms <= now_ms and _day(at_ms) == day:
                found = found.plus(asked.amount.minor, out=way)
    return found


def _day(at_ms: int) -> date:
    return datetime.fromtimestamp(at_ms / 1000, CHINA).date()


def told(said: Mapping[str, Any]) -> DayTotals:
    """The totals that a statement states."""
    credit, debit = (Money.parse(said[name]).minor for name in ("credit_sum", "debit_sum"))
    return DayTotals(int(said["count"]), credit, debit)


def receipt_subject(line: Mapping[str, Any], account: str, *, by_payment: bool) -> dict[str, Any]:
    """The key with which a receipt of this entry is asked for: its payment, or the entry itself."""
    if by_payment:
        return {"payment": line["matched_payment"]}
    return {"account": account, "bank_date": line["bank_date"], "bank_line_id": line["bank_line_id"]}


def _by_payment(bank: str) -> bool:
    return trial(bank).demo.get("receipts_of") == "payment"


def receipt_faults(line: Mapping[str, Any], said: Mapping[str, Any]) -> Iterator[str]:
    """The faults of a receipt, compared with the entry that it is about."""
    data = base64.b64decode(said["data"])
    if sha256(data).hexdigest() != said["sha256"] or len(data) != said["size"]:
        yield "the receipt is not the file that its checksum and size are of"
    if str(line["amount"]).encode() not in data:
        yield f"the receipt does not name the amount {line['amount']}"


def branch_faults(said: Mapping[str, Any], known: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The faults of an answer about branches, compared with the known ones."""
    found, wanted = {(one["cnaps"], one["name"]) for one in said["branches"]}, set(known)
    if found != wanted:
        yield f"the directory has {len(found)} branches, the bank's own has {len(wanted)}"


@dataclass(slots=True)
class EndOfDay:
    """Asks the banks for statements, receipts and branches, and compares the answers with the simulators' records.
    `ask` asks everything once; `check` then gives the findings.

    `look_up` asks a bank for the branches whose name has a text in it. Raises NoDaemon, Refused.
    """

    clock: Clock
    asking: CommandSender
    look_up: Callable[[str, str], Awaitable[Mapping[str, Any]]]
    site: demo_site.Site
    _good: dict[str, int] = field(default_factory=dict)
    _faults: list[str] = field(default_factory=list)

    async def ask(self, banks: Sequence[str]) -> None:
        """Ask all banks at once. Raises the error of one of them."""
        asked = [Deferred.fromCoroutine(self._ask(bank)) for bank in banks]
        try:
            await DeferredList(asked, fireOnOneErrback=True, consumeErrors=True)
        finally:
            for one in asked:
                one.cancel()

    async def _ask(self, bank: str) -> None:
        questions, line = capabilities.tried(bank).questions, None
        if questions.lines is not None:
            line = await self._statement(bank)
        if questions.receipt is not None and trial(bank).demo.get("receipts_today", True):
            await self._receipt(bank, line)
        if questions.directory is not None:
            await self._directory(bank)

    async def _receipt(self, bank: str, line: Mapping[str, Any] | None) -> None:
        if line is None:
            self._faults.append(f"{bank}: {RECEIPT}: no entry to ask about")
            return
        subject = receipt_subject(line, demo_site.account_numbers(bank, 1)[0], by_payment=_by_payment(bank))
        said = await self._put(RECEIPT, subject | {"max_wait": "PT1M"})
        self._judge(bank, RECEIPT, said, lambda body: receipt_faults(line, body))

    @property
    def check(self) -> PromiseCheck:
        """The promise about the end of the day, with all findings."""
        good = ", ".join(f"{count} {name}" for name, count in self._good.items()) or "nothing"
        found = phrase("{good} as the banks have them", good=good)
        promise = phrase("statements, receipts and branches are the banks' own")
        return PromiseCheck(
            promise, not self._faults, "; ".join([str(found), *self._faults]) if self._faults else found
        )

    async def _statement(self, bank: str) -> Mapping[str, Any] | None:
        """Compare the day of the bank's first account; returns the last entry of money out, if there is one."""
        account, until_s = demo_site.account_numbers(bank, 1)[0], self.clock.monotonic_s() + SETTLES_S
        while True:
            day = _day(self.clock.now_ms())
            said = await self._put(STATEMENT, {"account": account, "date": day.isoformat(), "limit": 1000})
            late = self.clock.monotonic_s() > until_s
            if said is None or said.name != READY[STATEMENT]:
                if late or said is None:
                    break
            elif told(said.said) == self._truth(bank, account, day) or late:
                break
            await sleep(self.clock, 2.0)

        def faults(body: Mapping[str, Any]) -> Iterator[str]:
            truth = self._truth(bank, account, day)
            if told(body) != truth:
                yield f"the statement has {told(body)}, the books {truth}"

        self._judge(bank, STATEMENT, said, faults)
        lines = said.said.get("lines", []) if said is not None else []
        of_payment = _by_payment(bank)
        return next(
            (
                one
                for one in reversed(lines)
                if one["direction"] == "debit" and (one.get("matched_payment") or not of_payment)
            ),
            None,
        )

    def _truth(self, bank: str, account: str, day: date) -> DayTotals:
        return totals(read_executions(self.site.ledger(bank)), account, day, self.clock.now_ms())

    async def _directory(self, bank: str) -> None:
        text = str(trial(bank).demo.get("looks_up", _LOOKS_UP))
        try:
            said = await self.look_up(bank, text)
        except (NoDaemon, Refused) as error:
            self._faults.append(f"{bank}: directory: {error}")
            return
        branches = import_module(f"protocols.banks.{bank}.twin").BRANCHES
        known = [(cnaps, name) for cnaps, name in branches if text in name]
        self._note(bank, "directory", branch_faults(said, known))

    def _judge(
        self, bank: str, key: str, said: ReceivedNews | None, faults: Callable[[Mapping[str, Any]], Iterator[str]]
    ) -> None:
        if said is None:
            self._faults.append(f"{bank}: {key}: no answer in {PATIENCE_S:g} s")
        elif said.name != READY[key]:
            self._faults.append(f"{bank}: {key}: {json.dumps(said.said.get('error', said.name), ensure_ascii=False)}")
        else:
            self._note(bank, READY[key], faults(said.said))

    def _note(self, bank: str, name: str, faults: Iterator[str]) -> None:
        found = [f"{bank}: {fault}" for fault in faults]
        self._faults += found
        if not found:
            self._good[name] = self._good.get(name, 0) + 1

    async def _put(self, key: str, fields: Mapping[str, Any]) -> ReceivedNews | None:
        """Send one question; returns its answer, or None after PATIENCE_S seconds."""
        body = json.dumps(dict(fields), ensure_ascii=False).encode()
        return await self.asking.put(key, body, {READY[key]}, PATIENCE_S)
