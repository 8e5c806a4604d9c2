"""Many orders in one message: 4018 (payments, asked about with 4015), 4047 (payroll and collection, with 4048).

Both are accepted at once and carried out later; the answer to the submission is never more than "accepted". Each line
has a voucher of its own (SThirdVoucher), which alone identifies it, because lines may be equal in everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from lxml import etree

from protocols.bank import Ask, BundleConversation, Context, Conversation, Fates, Submit
from protocols.banks.pab import requests
from protocols.banks.pab.header import Answer, read_answer
from protocols.banks.pab.payment import LINE, Payments, fee_or_none
from protocols.canon.host_days import HostDays
from protocols.canon.order import Bundle
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import BundleFateQuestion, Sent, SentBundle
from protocols.canon.replaced import replace
from protocols.kit.charset import GBK
from protocols.kit.correlation import CorrelationKeys, CorrelationTags, check_keys
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, digits, plain
from protocols.kit.orders import sent_items
from protocols.kit.xmldoc import ChildTexts, Markup, build, several, value_or

LINES_4018: Final = 500
LINES_4047: Final = 500
PAGES_MAX: Final = 5
_LINE: Final = replace(LINE, reference="", must_name=False)
"""The keys of a row whose voucher is looked up already."""
_AGENCY_KEYS: Final = CorrelationTags(amount="Amount")
"""4048 calls the amount Amount."""


@dataclass(frozen=True, slots=True)
class Batches:
    """Sends and asks about bundles of one enterprise. `payments` has the code that single payments and lines share."""

    payments: Payments

    # ---- 4018: payments, 4015 ------------------------------------------------------------------------------------

    def send(self, bundle: Bundle, context: Context) -> BundleConversation:
        """Send 4018, with at most 500 lines from one account. Raises ProtocolError before anything is sent."""
        body = requests.request_with_rows(
            requests.BATCH,
            requests.BATCH_LINE,
            requests.WrittenBatch.of(bundle, context.reference, self.payments.options),
        )
        return (yield from self._submit("4018", body, bundle, context))

    def fate(self, question: BundleFateQuestion, context: Context) -> Conversation[Fates]:
        """The outcomes of the items, by 4015 with our batch voucher, page by page up to the page that the bank marks as
        the last."""
        sent, found = question.sent, dict[str, Outcome]()
        for page in range(1, PAGES_MAX + 1):
            body = requests.request(
                requests.BATCH_FATE, requests.AskedLines(sent.reference, page, requests.ROWS_OF_4015)
            )
            answer = yield from self._ask("4015", body, page - 1, context)
            if not answer.accepted or answer.body is None:
                return self._all(sent, "4015", answer)
            _about(answer.body, "OrigThirdVoucher", sent.reference)
            rows = several(answer.body, "list")
            found = self._told(sent.items, rows, self.payments.decided, context.host, found)
            if value_or(answer.body, "IsEnd") != "N" or not rows:
                return self._while_open(sent, value_or(answer.body, "batchSTT"), found)
        raise ProtocolError("paging", f"4015 has more than {PAGES_MAX} pages of {requests.ROWS_OF_4015} rows")

    def _while_open(self, sent: SentBundle, batch: str, told: Mapping[str, Outcome]) -> Fates:
        """The outcomes with lines that the answer leaves out. In a batch in process (batchSTT B1) such lines count as
        in process."""
        whole = self.payments.meanings.word("4015", "batchstt", batch)
        if whole.fate is not Fate.PENDING:
            return told
        return {one.reference: whole for one in sent.items} | dict(told)

    # ---- 4047: payroll and collection, 4048 ----------------------------------------------------------------------

    def agency(self, bundle: Bundle, context: Context) -> BundleConversation:
        """Send 4047 under the agreement of the settings or of the order. Raises ProtocolError before anything is
        sent."""
        body = requests.request_with_rows(
            requests.AGENCY,
            requests.AGENCY_LINE,
            requests.WrittenBatch.of(bundle, context.reference, self.payments.options),
        )
        return (yield from self._submit("4047", body, bundle, context))

    def agency_fate(self, question: BundleFateQuestion, context: Context) -> Conversation[Fates]:
        """The outcomes of the items, by 4048 with our batch voucher. The form of the request is reconstructed from that
        of 4015."""
        sent = question.sent
        answer = yield from self._ask("4048", requests.request(requests.AGENCY_FATE, sent.reference), 0, context)
        if not answer.accepted or answer.body is None:
            return self._all(sent, "4048", answer)
        _about(answer.body, "ThirdVoucher", sent.reference)
        batch = value_or(answer.body, "BStt")
        rows = several(answer.body, "list")
        return self._told(sent.items, rows, lambda row: self._agency_row(batch, row), context.host)

    def _agency_row(self, batch: str, row: etree._Element) -> Outcome:
        """The outcome of a row and of the batch's own status (BStt). No line is final before its batch is."""
        options, meanings = self.payments.options, self.payments.meanings
        stt, text = value_or(row, "stt"), plain(value_or(row, "sttInfo"))
        if batch in options.agency_in_process:
            return Outcome(Fate.PENDING, batch, text)
        whole = meanings.word("4048", "bstt", batch)
        refused = bool(stt) and stt in options.agency_refused
        line = Outcome(Fate.FAILED, stt, text) if refused else replace(meanings.word("4048", "stt", stt), text=text)
        line = replace(line, fee=fee_or_none(value_or(row, "Fee"))) if line.fate is Fate.SETTLED else line
        if not whole.listed:
            return replace(whole, text=text)
        if line.fate is Fate.SETTLED and whole.fate is not Fate.SETTLED:
            # The batch failed and its line succeeded: one of the two is wrong.
            return replace(line, fate=Fate.UNKNOWN, listed=False)
        return line

    # ---- what both share -----------------------------------------------------------------------------------------

    def _submit(self, operation: str, body: Markup, bundle: Bundle, context: Context) -> BundleConversation:
        sender = self.payments.sender
        wire = sender.message(operation, build(body, GBK), serial=context.serials[0], now=context.now)
        frame = yield Submit("business", wire, (sender.serial(context.serials[0]),))
        return self._handed_in(operation, frame, context.reference, sent_items(bundle, context))

    def reader(self, operation: str) -> Callable[[SentBundle, bytes], Fates]:
        """The function that reads the stored answer to a bundle that was sent with `operation`."""

        def read(sent: SentBundle, frame: bytes) -> Fates:
            return self._handed_in(operation, frame, sent.reference, sent.items)

        return read

    def _handed_in(self, operation: str, frame: bytes, voucher: str, items: Sequence[Sent]) -> Fates:
        """The same outcome for all lines: accepted, refused as a whole, known already, or doubt."""
        answer = read_answer(frame, operation)
        word = self.payments.meanings.word(operation, "header", answer.code, answer.text)
        if answer.body is not None:
            _about(answer.body, "ThirdVoucher", voucher)
            _same_sums(answer.body, items)
            # The answer to 4018 has our batch voucher, that to 4047 also a number of the bank's (banks/pab.md 9).
            number = value_or(answer.body, "BussFlowNo") if operation == "4047" else ""
            if not number and not value_or(answer.body, "ThirdVoucher"):
                raise ProtocolError("missing", f"the answer to {operation} names no batch")
            word = replace(word, bank_serial=number or None)
        return {one.reference: word for one in items}

    def _ask(self, operation: str, body: Markup, nth: int, context: Context) -> Conversation[Answer]:
        serial = context.serials[min(nth, len(context.serials) - 1)]
        wire = self.payments.sender.message(operation, build(body, GBK), serial=serial, now=context.now)
        return read_answer((yield Ask("business", wire)), operation)

    def _all(self, sent: SentBundle, operation: str, answer: Answer) -> Fates:
        """The same outcome for all lines if the enquiry was answered with a code: not found, or nothing known."""
        if answer.body is not None:
            _about(answer.body, "OrigThirdVoucher" if operation == "4015" else "ThirdVoucher", sent.reference)
        word = self.payments.meanings.word(operation, "header", answer.code, answer.text)
        if word.fate in (Fate.SETTLED, Fate.FAILED):
            word = replace(word, fate=Fate.UNKNOWN)
        return {one.reference: word for one in sent.items}

    def _told(
        self,
        items: Iterable[Sent],
        rows: Iterable[etree._Element],
        decide: Callable[[etree._Element], Outcome],
        host: HostDays,
        before: Mapping[str, Outcome] = MappingProxyType({}),
    ) -> dict[str, Outcome]:
        """The outcomes in the rows, by line voucher, together with those of the pages `before`.

        A voucher that has different outcomes, on one page or on two, is in doubt.
        """
        ours = {one.reference: one for one in items}
        found = dict(before)
        for row in rows:
            # A line of 4048 may have ThirdVoucher as its only name (banks/pab.md 9).
            voucher = value_or(row, "SThirdVoucher") or value_or(row, "ThirdVoucher")
            if not voucher:
                continue  # an unreadable row does not hide other rows; its line gets no outcome, and so stays in doubt
            sent = ours.get(voucher)
            if sent is None:
                raise ProtocolError("correlation", f"a row about {voucher!r}, which is no line of this batch")
            keys = CorrelationKeys.of(sent)
            check_keys(row, keys, _LINE)
            check_keys(row, keys, _AGENCY_KEYS)
            self.payments.check_account_date(ChildTexts(row), keys, host)
            _same_account(row, sent)
            word = decide(row)
            if voucher in found and found[voucher].fate is not word.fate:
                word = replace(word, fate=Fate.UNKNOWN, text="two rows of one voucher disagree", listed=False)
            found[voucher] = word
        return found


def _about(body: etree._Element, tag: str, voucher: str) -> None:
    """Raises "correlation" if the answer names another batch. An answer without a batch is accepted, because its lines
    always name one."""
    stated = value_or(body, tag)
    if stated not in ("", voucher):
        raise ProtocolError("correlation", f"the answer is about batch {stated!r}, not {voucher!r}")


def _same_sums(body: etree._Element, items: Sequence[Sent]) -> None:
    """Raises "correlation" if an answer to 4047 states another account, number of lines or sum than we sent."""
    count, total, account = (value_or(body, tag) for tag in ("TotalNum", "TotalAmount", "SrcAccNo"))
    accounts = {side.clear for one in items for side in (one.debtor, one.creditor)}
    sums = sum(one.amount.minor for one in items)
    other = (count and digits(count) != len(items)) or (total and amount_minor(total) != sums)
    if other or account not in {"", *accounts}:
        raise ProtocolError("correlation", f"the answer is about {count} lines of {total} in all from {account}")


def _same_account(row: etree._Element, sent: Sent) -> None:
    """Raises "correlation" for another account in a 4048. It names the other party's account: a payroll's payee, a
    collection's payer."""
    stated = value_or(row, "OppAccNo")
    if stated not in ("", sent.debtor.clear, sent.creditor.clear):
        raise ProtocolError("correlation", f"voucher {sent.reference}: the row has another OppAccNo")
