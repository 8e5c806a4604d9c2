"""Many orders in one message: 4018 (payments, asked about with 4015), 4047 (payroll and collection, with 4048).

Both are taken at once and carried out later; the answer to handing them in is never more than "accepted". Each line
has a voucher of its own (SThirdVoucher), by which alone it is found again: lines may be alike in everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from lxml import etree

from protocols.bank import Ask, BundleConversation, Context, Conversation, Fates, Submit
from protocols.banks.pab.header import Answer, read_answer
from protocols.banks.pab.payment import LINE, Payments, fee_or_none
from protocols.canon.order import AnyOrder, Bundle, CollectionDetail, Item, Kind, PayrollItemDetail
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import BundleFateQuestion, Sent, SentBundle
from protocols.canon.replaced import replace
from protocols.kit.charset import GBK
from protocols.kit.correlation import CorrelationKeys, CorrelationTags, check_keys
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, amount_text, digits, plain
from protocols.kit.xmldoc import Markup, build, el, leaf, leaves, several, value_or

LINES_4018: Final = 500
LINES_4047: Final = 500
_ROWS_A_PAGE: Final = 500
PAGES_MAX: Final = 5
_LINE: Final = replace(LINE, reference="", must_name=False)
"""The keys of a row whose voucher is looked up already."""
AGENCY_LINE: Final = CorrelationTags(amount="Amount")
"""4048 calls the amount Amount."""
_COLLECT, _PAY = "0", "1"
Leaves = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Batches:
    """Sends and asks about bundles of one enterprise. `payments` has what single payments and lines share."""

    payments: Payments

    # ---- 4018: payments, 4015 ------------------------------------------------------------------------------------

    def send(self, bundle: Bundle, context: Context) -> BundleConversation:
        """4018, at most 500 lines from one account. Raises ProtocolError before anything is sent."""
        ours = bundle.items[0].order.debtor
        first = self._line(bundle.items[0])
        head: Leaves = (
            ("ThirdVoucher", context.reference), ("totalCts", str(len(bundle.items))),
            ("totalAmt", amount_text(bundle.sum_minor)), ("BatchSummary", ""), ("BSysFlag", first["SysFlag"]),
            ("CcyCode", "RMB"), ("OutAcctNo", ours.account.clear), ("OutAcctName", ours.name.clear),
            ("OutAcctAddr", ""), ("PayType", "0"), ("BizFlag1", ""), ("BookingDate", ""),
        )  # fmt: skip
        rows = [el("HOResultSet4018R", _leaves(self._line(item).items())) for item in bundle.items]
        return (yield from self._submit("4018", head, rows, bundle, context))

    def _line(self, item: Item) -> Mapping[str, str]:
        """A line of 4018: what a 4004 would say, without our own side."""
        single = dict(self.payments.fields(item.order, item.reference))
        return {
            "SThirdVoucher": item.reference, "CstInnerFlowNo": single["CstInnerFlowNo"],
            "InAcctBankNode": single["InAcctBankNode"], "InAcctRecCode": "", "InAcctNo": single["InAcctNo"],
            "InAcctName": single["InAcctName"], "InAcctBankName": single["InAcctBankName"],
            "InAcctProvinceCode": "", "InAcctCityName": "", "TranAmount": single["TranAmount"],
            "UseEx": single["UseEx"], "UnionFlag": single["UnionFlag"], "AddrFlag": single["AddrFlag"],
            "SysFlag": single["SysFlag"], "MainAcctNo": "",
        }  # fmt: skip

    def fate(self, question: BundleFateQuestion, context: Context) -> Conversation[Fates]:
        """4015 by our batch voucher, page by page until the bank says that it was the last."""
        sent, found = question.sent, dict[str, Outcome]()
        for page in range(1, PAGES_MAX + 1):
            body = el("Result", _leaves((
                ("OrigThirdVoucher", sent.reference), ("QueryType", "0"), ("PageCts", str(_ROWS_A_PAGE)),
                ("PageNo", str(page)))))  # fmt: skip
            answer = yield from self._ask("4015", body, page - 1, context)
            if not answer.accepted or answer.body is None:
                return self._all(sent, "4015", answer)
            _about(answer.body, "OrigThirdVoucher", sent.reference)
            rows = several(answer.body, "list")
            found = self._told(sent.items, rows, self.payments.decided, found)
            if value_or(answer.body, "IsEnd") != "N" or not rows:
                return self._while_open(sent, value_or(answer.body, "batchSTT"), found)
        raise ProtocolError("paging", f"4015 has more than {PAGES_MAX} pages of {_ROWS_A_PAGE} rows")

    def _while_open(self, sent: SentBundle, batch: str, told: Mapping[str, Outcome]) -> Fates:
        """A batch in process (batchSTT B1) may tell of no line yet: those are in process, too."""
        whole = self.payments.meanings.word("4015", "batchstt", batch)
        if whole.fate is not Fate.PENDING:
            return told
        return {one.reference: whole for one in sent.items} | dict(told)

    # ---- 4047: payroll and collection, 4048 ----------------------------------------------------------------------

    def agency(self, bundle: Bundle, context: Context) -> BundleConversation:
        """4047 under the agreement of the settings or of the order. Raises ProtocolError before anything is sent."""
        first, options = bundle.items[0].order, self.payments.options
        agreements = {_agreement(item.order) or options.agreement for item in bundle.items}
        if len(agreements) != 1:
            raise ProtocolError("value", "4047 carries one agreement; these lines name several")
        across = any(not self.payments.stays(item.order) for item in bundle.items)
        head: Leaves = (
            ("ThirdVoucher", context.reference), ("AGREE_NO", agreements.pop()), ("BusiType", options.agreement_item),
            ("PayType", _COLLECT if bundle.kind is Kind.COLLECTION else _PAY), ("Currency", "RMB"),
            ("OthBankFlag", "Y" if across else "N"), ("SrcAccNo", first.ours.account.clear),
            ("TotalNum", str(len(bundle.items))), ("TotalAmount", amount_text(bundle.sum_minor)), ("SettleType", "1"),
        )  # fmt: skip
        rows = [el("HOResultSet4047R", _leaves(self._agency_line(item))) for item in bundle.items]
        return (yield from self._submit("4047", head, rows, bundle, context))

    def _agency_line(self, item: Item) -> Leaves:
        order, other = item.order, item.order.theirs
        document = order.detail.payee_document if isinstance(order.detail, PayrollItemDetail) else None
        self.payments.check(order)
        return (
            ("SThirdVoucher", item.reference), ("CstInnerFlowNo", self.payments.inner_id(order)),
            ("OthAreaFlag", ""), ("IdType", "1" if document else ""), ("IdNo", document.clear if document else ""),
            ("OppBankName", other.bank_name or ""), ("OppAccNo", other.account.clear), ("OppAccName", other.name.clear),
            ("OppBranchId", other.cnaps or ""), ("Province", ""), ("City", ""),
            ("Amount", amount_text(order.amount.minor)), ("PostScript", order.purpose), ("RemarkFCR", ""),
        )  # fmt: skip

    def agency_fate(self, question: BundleFateQuestion, context: Context) -> Conversation[Fates]:
        """4048 by our batch voucher. The request's own form is reconstructed after 4015's."""
        sent = question.sent
        body = el("Result", _leaves((("ThirdVoucher", sent.reference),)))
        answer = yield from self._ask("4048", body, 0, context)
        if not answer.accepted or answer.body is None:
            return self._all(sent, "4048", answer)
        _about(answer.body, "ThirdVoucher", sent.reference)
        batch = value_or(answer.body, "BStt")
        return self._told(sent.items, several(answer.body, "list"), lambda row: self._agency_row(batch, row))

    def _agency_row(self, batch: str, row: etree._Element) -> Outcome:
        """What a row says beside the batch's own status (BStt): no line is decided before its batch is."""
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
            # The batch failed and its line went well: one of the two is wrong.
            return replace(line, fate=Fate.UNKNOWN, listed=False)
        return line

    # ---- what both share -----------------------------------------------------------------------------------------

    def _submit(
        self, operation: str, head: Leaves, rows: list[Markup], bundle: Bundle, context: Context
    ) -> BundleConversation:
        body = build(el("Result", _leaves(head), rows), GBK)
        sender = self.payments.sender
        wire = sender.message(operation, body, serial=context.serials[0], now=context.now)
        frame = yield Submit("business", wire, (sender.serial(context.serials[0]),))
        items = [_sent(item, context) for item in bundle.items]
        return self._handed_in(operation, frame, context.reference, items)

    def reader(self, operation: str) -> Callable[[SentBundle, bytes], Fates]:
        """How the stored answer to a bundle sent with `operation` is read."""

        def read(sent: SentBundle, frame: bytes) -> Fates:
            return self._handed_in(operation, frame, sent.reference, sent.items)

        return read

    def _handed_in(self, operation: str, frame: bytes, voucher: str, items: Sequence[Sent]) -> Fates:
        """One word for all lines: accepted, refused as a whole, known already, or doubt."""
        answer = read_answer(frame, operation)
        word = self.payments.meanings.word(operation, "header", answer.code, answer.text)
        if answer.body is not None:
            _about(answer.body, "ThirdVoucher", voucher)
            _same_sums(answer.body, items)
            # 4018 answers with our batch voucher, 4047 with a number of the bank's as well (banks/pab.md 9).
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
        """The enquiry was answered with a code: not found, or nothing about the payments at all."""
        if answer.body is not None:
            _about(answer.body, "OrigThirdVoucher" if operation == "4015" else "ThirdVoucher", sent.reference)
        word = self.payments.meanings.word(operation, "header", answer.code, answer.text)
        if word.fate in (Fate.SETTLED, Fate.FAILED):
            word = replace(word, fate=Fate.UNKNOWN)
        return {one.reference: word for one in sent.items}

    def _told(
        self, items: Iterable[Sent], rows: Iterable[etree._Element], decide: Callable[[etree._Element], Outcome],
        before: Mapping[str, Outcome] = MappingProxyType({}),
    ) -> dict[str, Outcome]:  # fmt: skip
        """What the rows say, by line voucher, together with the pages `before`.

        A voucher told of twice in different words, on one page or on two, is in doubt.
        """
        ours = {one.reference: one for one in items}
        found = dict(before)
        for row in rows:
            # A line of 4048 may be named by ThirdVoucher alone (banks/pab.md 9).
            voucher = value_or(row, "SThirdVoucher") or value_or(row, "ThirdVoucher")
            if not voucher:
                continue  # it hides no other row; the line that it may be about is not told of, and is in doubt
            sent = ours.get(voucher)
            if sent is None:
                raise ProtocolError("correlation", f"a row about {voucher!r}, which is no line of this batch")
            check_keys(row, CorrelationKeys.of(sent), _LINE)
            check_keys(row, CorrelationKeys.of(sent), AGENCY_LINE)
            _same_account(row, sent)
            word = decide(row)
            if voucher in found and found[voucher].fate is not word.fate:
                word = replace(word, fate=Fate.UNKNOWN, text="two rows of one voucher disagree", listed=False)
            found[voucher] = word
        return found


def _sent(item: Item, context: Context) -> Sent:
    order = item.order
    return Sent(item.reference, context.bank_date, context.attempt, (), order.amount, order.debtor.account,
                order.creditor.account)  # fmt: skip


def _leaves(fields: Iterable[tuple[str, str]]) -> list[Markup]:
    return leaves(fields, GBK, leaf)


def _about(body: etree._Element, tag: str, voucher: str) -> None:
    """Raises "correlation" if the answer names another batch. Not every answer names one; the lines do in any case."""
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
    """4048 names the other party's account: the payee's of a payroll, the payer's of a collection."""
    stated = value_or(row, "OppAccNo")
    if stated not in ("", sent.debtor.clear, sent.creditor.clear):
        raise ProtocolError("correlation", f"voucher {sent.reference}: the row has another OppAccNo")


def _agreement(order: AnyOrder) -> str:
    detail = order.detail
    if isinstance(detail, CollectionDetail | PayrollItemDetail):
        return detail.agreement or ""
    return ""
