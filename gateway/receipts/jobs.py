"""Fetches the receipts of settled payments and of incoming money without being asked, lane by lane, from banks that
offer it.

It never delays a payment: there is one question at a time on a lane, none while a payment of that lane is on its way
out, and a few in a minute; each has a short time limit, and is asked only within the window in the settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from functools import partial

from sqlalchemy import Connection

from gateway.kernel import log
from gateway.kernel.asking import AskBank, Unavailable
from gateway.kernel.clock import Clock
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Store, StoreFailed, Tx
from gateway.kernel.core.hours import local
from gateway.kernel.sql.vaults import vault_of
from gateway.kernel.tasks import Tasks, attempt, sleep
from gateway.payments.rows import lookup
from gateway.receipts.rows import receipt_files, receipt_questions
from gateway.receipts.rows.receipt_files import ReceiptSearch
from gateway.receipts.rows.receipt_questions import RecordedEntry
from gateway.register.registry import Registry
from gateway.settings import Settings
from protocols.canon.party import AccountNumber
from protocols.canon.query import ReceiptQuestion
from protocols.canon.statement import Receipt, ReceiptLater
from protocols.kit.declined import Declined
from protocols.kit.errors import CannotAsk, ProtocolError

LOOK_S = 60.0
ANSWER_S = 20.0
DAY_MS = 86_400_000
RECENT_MS = 3 * DAY_MS
"""How far back payments are read in each round; the whole period is read once a day."""
AGAIN_MS = (3_600_000, 4 * 3_600_000, DAY_MS)
"""Pauses after the bank had no receipt yet; the last one repeats."""
SILENT_MS = 600_000
AT_ONCE = 100
_log = log.get("erp.receipts")


@dataclass(frozen=True, slots=True)
class FetchTerms:
    """The limits for asking banks for receipts: not before `after_s` seconds have passed, for `days` days, and
    `per_minute` questions a lane, within the local hours from `opens` to `closes` (equal: all day). `incoming`: also
    for entries of incoming money."""

    fetch: bool = True
    after_s: float = 3_600.0
    days: int = 60
    per_minute: int = 6
    opens: time = time(0, 0)
    closes: time = time(0, 0)
    incoming: bool = True

    def open_at(self, now: time) -> bool:
        """True if the time is within the window, which may pass midnight."""
        if self.opens <= self.closes:
            return self.opens == self.closes or self.opens <= now < self.closes
        return now >= self.opens or now < self.closes


def fetch_terms(settings: Settings) -> FetchTerms:
    """Read the limits for asking banks for receipts from the settings."""
    told = settings.receipts
    return FetchTerms(
        told.fetch,
        told.after_s,
        told.days,
        told.per_minute,
        time.fromisoformat(told.opens),
        time.fromisoformat(told.closes),
        told.incoming,
    )


class ReceiptFetching:
    """Fetches receipts lane by lane without being asked. `owns` tells whether this node owns a lane. `registry` and
    `terms` are called each time."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        registry: Callable[[], Registry],
        ask: AskBank,
        owns: Callable[[str], bool],
        terms: Callable[[], FetchTerms],
    ) -> None:
        self._store, self._clock, self._registry = store, clock, registry
        self._ask, self._owns, self._terms = ask, owns, terms
        self._whole_ms: dict[str, int] = {}
        self._tasks = Tasks(
            lambda failure: _log.error(
                "receipts.ended",
                error=str(failure.value),
                action="no receipt is asked for any more until the daemon restarts",
            )
        )

    def start(self, lanes: Iterable[str]) -> None:
        """Begin to fetch the receipts of these lanes, each lane independently."""
        for lane in lanes:
            self._tasks.spawn(self._keep_looking(lane))

    def stop(self) -> None:
        """Stop. The open searches stay in the journal."""
        self._tasks.stop()

    async def _keep_looking(self, lane: str) -> None:
        while True:
            await sleep(self._clock, LOOK_S)
            await attempt(partial(self.fetch_due, lane), partial(self._defect, lane), ends=StoreFailed)

    def _defect(self, lane: str, error: str) -> None:
        _log.error(
            "receipts.failed", lane=lane, error=error, action="the lane's receipts are asked for again in a minute"
        )

    async def fetch_due(self, lane: str) -> None:
        """Begin searches for payments that have settled and for incoming money, then ask for the receipts that are
        due."""
        terms, bank = self._terms(), lane.partition(".")[0]
        known = self._registry().banks.get(bank)
        if not terms.fetch or known is None or known.questions.receipt is None or not self._owns(lane):
            return
        now_ms = self._clock.now_ms()
        if not terms.open_at(local(known.profile.limits.hours, now_ms).time()):
            return
        await self._begin(lane, terms, now_ms)
        due = await self._store.read(lambda conn: receipt_files.due(conn, lane, now_ms, terms.per_minute))
        for search in due:
            if not self._owns(lane) or await self._store.read(partial(receipt_files.busy, lane=lane, now_ms=now_ms)):
                return
            if not await self._fetched(bank, search):
                return

    async def _begin(self, lane: str, terms: FetchTerms, now_ms: int) -> None:
        whole = now_ms - self._whole_ms.get(lane, 0) >= DAY_MS
        since_ms = now_ms - (terms.days * DAY_MS if whole else RECENT_MS)
        before_ms = now_ms - int(terms.after_s * 1000)
        while True:
            found = await self._store.read(
                lambda conn: receipt_files.unsearched(conn, lane, since_ms, before_ms, AT_ONCE)
            )
            if found:
                await self._store.write(partial(receipt_files.begin, payments=found, due_ms=now_ms))
            if len(found) < AT_ONCE:
                break
        if terms.incoming:
            await self._begin_entries(lane, since_ms, before_ms, now_ms)
        if whole:
            self._whole_ms[lane] = now_ms

    async def _begin_entries(self, lane: str, since_ms: int, before_ms: int, now_ms: int) -> None:
        accounts = [route.account for route in self._registry().routes.values() if route.lane == lane]
        first_day = datetime.fromtimestamp(since_ms / 1000, UTC).date().isoformat()

        def unsearched_entries(conn: Connection) -> list[str]:
            indexes = [vault_of(conn).blind(account) for account in accounts]
            return receipt_files.unsearched_entries(conn, indexes, first_day, before_ms, AT_ONCE)

        while found := await self._store.read(unsearched_entries):
            await self._store.write(partial(receipt_files.begin_entries, lane=lane, entries=found, due_ms=now_ms))
            if len(found) < AT_ONCE:
                break

    async def _fetched(self, bank: str, search: ReceiptSearch) -> bool:
        """Ask for one receipt and record the result. False if the bank should get no further question now."""
        known = self._registry()
        found = await self._store.read(lambda conn: _wanted(conn, search, known))
        put = known.banks[bank].questions.receipt
        if found is None or put is None:
            await self._later(search, DAY_MS, "unknown_payment")
            return True
        subject, question = found
        try:
            said = await self._ask(search.lane, "receipt", partial(put, question), ANSWER_S)
        except CannotAsk as error:
            if search.is_entry and error.reason == "missing":
                # Nothing more will be known of an entry; a payment's entry may still come.
                await self._store.write(partial(receipt_files.cannot_ask, subject=search.subject))
            else:
                await self._later(search, DAY_MS, "cannot_ask")
            _log.info("receipt.cannot_ask", subject=search.subject, lane=search.lane, error=error.text)
            return True
        except Unavailable as error:
            await self._later(search, SILENT_MS, error.reason)
            return False
        except Declined as error:
            await self._later(search, _pause(search), error.code)
            return error.outcome != "rate_limited"
        except ProtocolError as error:
            await self._later(search, _pause(search), error.reason)
            _log.warning(
                "receipt.unusable",
                subject=search.subject,
                lane=search.lane,
                error=str(error),
                action="the receipt is not kept, and is asked for again later",
            )
            return True
        if isinstance(said, ReceiptLater):
            wait_ms = max(int(said.after_s * 1000), _pause(search) if search.ticket == said.ticket else 0)
            await self._later(search, wait_ms, "later", said.ticket)
            return True
        await self._store.write(partial(_kept, subject=subject, day=question.bank_date.isoformat(), receipt=said))
        _log.info("receipt.kept", subject=search.subject, lane=search.lane, size=len(said.data))
        return True

    async def _later(self, search: ReceiptSearch, wait_ms: int, code: str, ticket: str | None = None) -> None:
        due_ms = self._clock.now_ms() + max(wait_ms, int(LOOK_S * 1000))
        await self._store.write(
            lambda tx: receipt_files.later(tx, search.subject, due_ms, code[:64], ticket or search.ticket)
        )


def _pause(search: ReceiptSearch) -> int:
    return AGAIN_MS[min(search.tries, len(AGAIN_MS) - 1)]


def _kept(tx: Tx, subject: PaymentRow | RecordedEntry, day: str, receipt: Receipt) -> None:
    if isinstance(subject, RecordedEntry):
        receipt_files.keep_of_entry(tx, subject, receipt, f"node:{tx.node}")
    else:
        receipt_files.keep(tx, subject, day, receipt, f"node:{tx.node}")


def _wanted(
    conn: Connection, search: ReceiptSearch, known: Registry
) -> tuple[PaymentRow | RecordedEntry, ReceiptQuestion] | None:
    """The payment or entry of a search, and the question to its bank. None if the payment or entry is gone."""
    subject: PaymentRow | RecordedEntry | None
    if search.is_entry:
        subject, question = receipt_questions.entry_of(conn, search.subject), None
        vault = vault_of(conn)
        own = [account for account in known.routes if vault.blind(account) == search.account_idx]
        if subject is not None and own:
            question = receipt_questions.of_kept(subject, AccountNumber(own[0]))
    else:
        subject = lookup.fetch(conn, search.subject)
        question = None if subject is None else receipt_questions.of_payment(conn, subject)
    if subject is None or question is None:
        return None
    return subject, question if search.ticket is None else replace(question, ticket=search.ticket)
