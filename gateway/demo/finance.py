"""The demo's finance department: matches statements with books, closes a month, and writes reports beside the page.

The ERP's book arrives by `ledger.submit` and is made from the messages that the ERP got. The gateway reads the entries
from the accounts. Last month of one account comes from a file. The matches are judged by the banks' ledgers
(`book_truth`).
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path

from gateway.control.offline import journal_access, journal_writer
from gateway.demo import book_truth, evidence, pool_sweeps, stage, vouchers
from gateway.demo import site as demo_site
from gateway.demo.asking import CommandSender
from gateway.demo.orders import Story
from gateway.demo.pool_sweeps import DemoPool
from gateway.demo.report import PromiseCheck
from gateway.demo.texts import phrase
from gateway.demo.verdict import Journalled
from gateway.demo.vouchers import LastMonth, ReportedState, Voucher
from gateway.kernel.clock import Clock
from gateway.kernel.commit.store import Tx
from gateway.kernel.tasks import sleep
from gateway.people.rows.persons import No
from gateway.pools.jobs import GATHER, LOOK_S
from gateway.pools.rows import pools
from gateway.reconciliation.rows import balance_tables
from gateway.reconciliation.rows.account_matchings import reconcile
from gateway.reconciliation.rows.reconciled import NoTable, Reconciled, balance_table
from gateway.reconciliation.rules.rows import Matching
from gateway.register import registry as registries
from gateway.register.adapters import load_banks
from gateway.register.registry import Registry
from gateway.settings import load
from gateway.settings.agreement import TREASURY
from gateway.simbank.ledger import CHINA
from gateway.simbank.record import Execution, read_executions
from gateway.statements.rows import statements
from gateway.statements.rows.statements import StatementEnd
from gateway.statements.rules import statement_files
from protocols.canon.money import Money

LEDGER, REPORT = "ledger.submit", "report.request"
OPERATIONS = (LEDGER, REPORT)
"""The operations that the ERP may use for it."""
REPORTS = (("daily", "xlsx"), ("entries", "csv"), ("transfers", "html"))
PREPARES, APPROVES = "li", "wang"
_OPENING_MINOR = Money.parse(demo_site.OPENING).minor
_PATIENCE_S, _ENTRIES_S, _AFTER_SLOT_S = 60.0, 60.0, 45.0


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The results of matching: entries with a voucher, payments with an entry, open ones, and each wrong match."""

    entries: int = 0
    payments: int = 0
    open_vouchers: int = 0
    wrong: tuple[str, ...] = ()

    def last_words(self) -> str:
        """The part about finance in the demo's last line."""
        return f", {self.entries} reconciled, {len(self.wrong)} wrong"


@dataclass(slots=True)
class DemoFinance:
    """The demo's finance department: submits books, has matchings and reports made, and closes a month.

    Call in this order: `prepare`, before the daemon starts; `sweep`, `books` and `reports` while it runs; `judge` when
    it has stopped. `beside` is the folder of the reports, with the beginning of their names.
    """

    clock: Clock
    site: demo_site.Site
    banks: Sequence[str]
    beside: Path
    pools: tuple[DemoPool, ...] = ()
    files: list[Path] = field(default_factory=list)
    reconciliation: Reconciliation = Reconciliation()
    _faults: list[str] = field(default_factory=list)
    _vouchers: list[Voucher] = field(default_factory=list)

    @property
    def watched(self) -> tuple[str, ...]:
        """The ERP's accounts whose entries the gateway reads."""
        return tuple(
            number for bank in self.banks if stage.watched(bank) for number in demo_site.account_numbers(bank, 2)
        )

    @property
    def month(self) -> LastMonth | None:
        """The month that is closed; None without an account whose entries are read."""
        today = self._now().date()
        return vouchers.last_month(self.watched[0], today, _OPENING_MINOR) if self.watched else None

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.now_ms() / 1000, CHINA)

    # ---- before the daemon ----

    def settings(self) -> dict[str, object]:
        """The gateway's settings for finance, beside the usual ones."""
        file = self.site.folder / "days.toml"
        file.write_text(pool_sweeps.calendar(self._now()), "utf-8")
        return {"calendar_file": str(file)}

    def prepare(self) -> None:
        """Put the pools in force, and submit last month's statement from a file, while the daemon is stopped. Raises
        NotWritten, NoAccess."""
        self.pools = pool_sweeps.pools(self.banks, self._now())
        settings = load(self.site.settings)
        url, vault = journal_access.url_of(settings, None), journal_access.vault_of(settings, None)
        journal_writer.commit_offline(settings, url, vault, partial(self._put_in_force, self._registry()))

    def _put_in_force(self, registry: Registry, tx: Tx) -> None:
        for one in self.pools:
            pools.put_in_force(tx, one.name, one.text, "DEMO")
        month = self.month
        if month is None:
            return
        file = self.site.folder / f"statement-{month.first:%Y-%m}.csv"
        file.write_bytes(month.csv())
        route = registry.routes[month.account]
        told = statement_files.from_csv(file.read_bytes(), month.account, route.currency, {}, "utf-8")
        opening, end = (Money(minor, route.currency) for minor in (month.opening_minor, _OPENING_MINOR))
        whole = StatementEnd(month.first, month.last, opening, end, len(told.lines))
        fresh = statements.judge(tx.read, route, whole, told.lines)
        assert not isinstance(fresh, No), "the journal is new"
        statements.record(tx, route, fresh, ())
        refused = statements.close(tx, route, whole, (), PREPARES)
        assert refused is None, "it adds up"

    # ---- beside the daemon ----

    async def sweep(self) -> None:
        """Wait until the runs of all pools are over."""
        patience_s = GATHER.total_seconds() + LOOK_S + 60 + _AFTER_SLOT_S
        until_s = self.clock.monotonic_s() + patience_s
        while self.pools and self.clock.monotonic_s() < until_s:
            runs = self._rows("SELECT run, state FROM pool_runs")
            payments = [state for (state, *_) in self._rows(f"SELECT state FROM payments WHERE sender = '{TREASURY}'")]
            if pool_sweeps.over([state for _run, state in runs], payments, len(self.pools)):
                return
            await sleep(self.clock, 0.5)

    async def books(self, asking: CommandSender, story: Story, heard: Mapping[str, ReportedState]) -> None:
        """Wait until the entries that the banks booked are recorded, then submit the ERP's books."""
        await self._entries()
        day, key, month = self._now().date(), self.site.folder / "secrets" / "vault.key", self.month
        moved = [
            (one.order_id, one.debit, one.credit, one.amount_minor)
            for one in pool_sweeps.moves(self.site.state, key)
            if self._settled(one.order_id)
        ]
        own = frozenset(self.watched)
        made = [*vouchers.of_orders(story.orders, heard, own, day), *vouchers.of_moves(moved, day)]
        self._vouchers = [one for one in made if one.account in own]
        if month is not None:
            self._vouchers += month.book
            await self._bring(asking, month.account, (month.first, month.last), month.opening_minor)
        for account in self.watched:
            opening = month.book_closing_minor if month and account == month.account else _OPENING_MINOR
            await self._bring(asking, account, (day, day), opening)

    def _settled(self, order: str) -> bool:
        return bool(self._rows("SELECT 1 FROM payments WHERE order_id = ? AND state = 'settled'", order))

    async def _bring(self, asking: CommandSender, account: str, days: tuple[date, date], opening_minor: int) -> None:
        rows = [one for one in self._vouchers if one.account == account and days[0] <= one.day <= days[1]]
        book = f"BOOK-{account[-4:]}-{days[1]:%Y%m%d}"
        said = None
        for body in vouchers.submissions(book, account, days, opening_minor, rows):
            said = await asking.put(LEDGER, body, {"ledger.result"}, _PATIENCE_S)
        if said is None or said.said.get("state") != "in_force":
            why = "no answer" if said is None else json.dumps(dict(said.said), ensure_ascii=False)
            self._faults.append(f"the book of {days[0]} to {days[1]} is not in force: {why}")

    async def _entries(self) -> None:
        """Wait until all entries of these accounts at the banks are recorded."""
        until_s = self.clock.monotonic_s() + _ENTRIES_S
        month = self.month
        while self.clock.monotonic_s() < until_s:
            ((recorded,),) = self._rows("SELECT count(*) FROM statement_entries")
            if int(recorded) >= self._booked() + (0 if month is None else len(month.lines)):
                return
            await sleep(self.clock, 1.0)

    def _booked(self) -> int:
        """The number of entries of these accounts at the banks."""
        now_ms, own, count = self.clock.now_ms(), set(self.watched), 0
        for bank in self.banks:
            for one in read_executions(self.site.ledger(bank)):
                sides = (one.instruction.debtor_account in own) + (one.instruction.creditor_account in own)
                times = [at_ms for at_ms in (one.decided_ms, one.returned_ms) if at_ms is not None and at_ms <= now_ms]
                count += 0 if one.refused else sides * len(times)
        return count

    async def reports(self, asking: CommandSender) -> None:
        """Have the gateway make three reports, as an ERP asks for them."""
        for report, form in REPORTS:
            body = json.dumps({"report": report, "form": form, "language": "zh"}).encode()
            said = await asking.put(REPORT, body, {"report.ready"}, _PATIENCE_S)
            if said is None or said.name != "report.ready":
                why = "no answer" if said is None else json.dumps(said.said.get("error"), ensure_ascii=False)
                self._faults.append(f"report {report}: {why}")
                continue
            data = base64.b64decode(said.said["data"])
            if said.said["pages"] == 1 and sha256(data).hexdigest() != said.said["sha256"]:
                self._faults.append(f"report {report} is not the file that its checksum is of")
            file = self.beside.with_name(f"{self.beside.stem}-{report}.{form}")
            file.write_bytes(data)
            self.files.append(file)

    def _rows(self, query: str, *values: object) -> list[tuple[str, ...]]:
        with closing(sqlite3.connect(f"file:{self.site.state / evidence.JOURNAL}?mode=ro", uri=True)) as connection:
            return connection.execute(query, values).fetchall()

    # ---- after the daemon ----

    def balances(self, now_ms: int) -> dict[str, int]:
        """The balances of the accounts of the pools' banks by their banks' ledgers, in minor units."""
        held = {number: _OPENING_MINOR for bank in self.banks for number in demo_site.account_numbers(bank, 2)}
        for bank in self.banks:
            for one in read_executions(self.site.ledger(bank)):
                for account, minor in _effects(one, now_ms):
                    if account in held:
                        held[account] += minor
        return held

    def _registry(self) -> Registry:
        settings = load(self.site.settings)
        return registries.build(settings, load_banks(settings))

    def judge(self, story: Story, journal: Sequence[Journalled], now_ms: int) -> PromiseCheck:
        """Judge every match by the banks' ledgers, and close last month."""
        registry, key = self._registry(), self.site.folder / "secrets" / "vault.key"
        # After its cut-off a bank books on the next day.
        own, last = frozenset(self.watched), self._now().date() + timedelta(days=1)
        with evidence.opened(self.site.state, key) as conn:
            found = [reconcile(conn, registry.routes[one], last, registry.reconciliation) for one in self.watched]
        truth, orders = self._truth(story, journal, own, now_ms), self._orders(journal)
        self.reconciliation = counted(found, orders, truth)
        closed = self._close_month(registry)
        one, faults = self.reconciliation, [*self._faults, *self.reconciliation.wrong, *closed]
        if self.watched and not one.entries:
            faults.append("no entry has its voucher")
        said = phrase(
            "{entries} entries have their voucher, {payments} payments their entry, {open} vouchers are open; "
            "{wrong} wrong; {reports} reports",
            entries=one.entries,
            payments=one.payments,
            open=one.open_vouchers,
            wrong=len(one.wrong),
            reports=len(self.files),
        )
        promise = phrase("statements and books are matched as the ledgers have it, and last month is closed")
        return PromiseCheck(promise, not faults, "; ".join([str(said), *faults[:5]]) if faults else said)

    def _truth(
        self, story: Story, journal: Sequence[Journalled], own: frozenset[str], now_ms: int
    ) -> book_truth.BookTruth:
        truth = book_truth.BookTruth()
        payees = {order.creditor: order.id for order in story.orders if order.creditor not in own}
        for bank in self.banks:
            references = {row.reference: row.order_id for row in journal if row.bank == bank}
            executions = read_executions(self.site.ledger(bank))
            book_truth.add_ledger(truth, executions, payees, references, own, now_ms)
        for line in () if self.month is None else self.month.lines:
            truth.add(line.account, line.direction, line.minor, line.party, line.order)
        return truth

    def _orders(self, journal: Sequence[Journalled]) -> dict[str, str]:
        """The order of each payment and voucher, by its row's id."""
        return {
            **{f"payment:{row.payment}": row.order_id for row in journal},
            **{f"book:{one.id}": one.order for one in self._vouchers},
        }

    def _close_month(self, registry: Registry) -> list[str]:
        """Submit and approve the 余额调节表 of last month; returns the faults."""
        month = self.month
        if month is None:
            return []
        settings, route = load(self.site.settings), registry.routes[month.account]
        url, vault = journal_access.url_of(settings, None), journal_access.vault_of(settings, None)

        def submit_and_approve(tx: Tx) -> str:
            try:
                content = balance_table(tx.read, route, reconcile(tx.read, route, month.last, registry.reconciliation))
            except NoTable as error:
                return error.why
            named = f"{month.first:%Y-%m}"
            made = balance_tables.submit(tx, route.account, named, content, PREPARES)
            if not isinstance(made, No):
                made = balance_tables.approve(tx, route.account, named, made.version, APPROVES)
            if isinstance(made, No):
                return made.why
            open_ = [len(content[name]) for name in balance_tables.ON_THEIR_WAY]
            return "" if sum(open_) == len(month.bank_only) + len(month.book_only) else f"it lists {open_} open items"

        why = journal_writer.commit_offline(settings, url, vault, submit_and_approve)
        return [f"{month.first:%Y-%m} is not closed: {why}"] if why else []


def _effects(one: Execution, now_ms: int) -> Iterator[tuple[str, int]]:
    """The effects of an execution on balances up to now."""
    asked, minor = one.instruction, one.instruction.amount.minor
    if one.refused:
        return
    for at_ms, sign in ((one.decided_ms, -1), (one.returned_ms, 1)):
        if at_ms is not None and at_ms <= now_ms:
            out = sign * (-1 if asked.collects else 1) * minor
            yield asked.debtor_account, out
            yield asked.creditor_account, -out


def counted(found: Sequence[Reconciled], orders: Mapping[str, str], truth: book_truth.BookTruth) -> Reconciliation:
    """Count and judge the matches of all accounts."""
    entries, payments, open_vouchers, wrong = 0, 0, 0, list[str]()
    for one in found:
        book, paid = one.matched[Matching.BOOK], one.matched[Matching.PAYMENTS]
        entries += len({line for match in book.matches for line in match.lines if match.entries})
        payments += len({entry for match in paid.matches for entry in match.entries})
        open_vouchers += len(book.open_entries)
        for matched in (book, paid):
            wrong += book_truth.wrong(matched.matches, one.by_id, orders, truth)
    return Reconciliation(entries, payments, open_vouchers, tuple(wrong))
