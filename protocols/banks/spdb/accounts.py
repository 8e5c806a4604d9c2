"""Questions about accounts: 4402 balance, the payments that came back, and the probe.

Returns have no message of their own: the bank sets a payment's 8804 row from 4 to 8 when it comes back (退票).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from lxml import etree

from protocols.bank import Context, Conversation
from protocols.banks.spdb.enquiry import Enquiry
from protocols.banks.spdb.envelope import FrontEnd, Refused
from protocols.banks.spdb.options import Options
from protocols.banks.spdb.requests import BALANCE, QueryFilter
from protocols.banks.spdb.rows import row_of
from protocols.banks.spdb.table import reason_of, row_word
from protocols.canon.money import Money
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, ReturnsQuestion
from protocols.canon.statement import Balance, Return, ReturnsPage
from protocols.kit.china import check_renminbi, money_or_none
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import plain
from protocols.kit.meanings import Meanings
from protocols.kit.paging import Offset, PageCursor
from protocols.kit.xmldoc import el, several, value, value_or


@dataclass(frozen=True, slots=True)
class Accounts:
    """Asks questions about the accounts of one customer."""

    options: Options
    front: FrontEnd
    enquiry: Enquiry
    meanings: Meanings

    def balance(self, question: BalanceQuestion, context: Context) -> Conversation[Balance]:
        """The present balance of one account, by 4402. Raises Declined if the bank answers with a code, or without the
        account."""
        check_renminbi("spdb", question.currency)
        if question.on is not None and question.on < context.bank_date:
            raise ProtocolError("value", "spdb tells no balance of a past day here: its form is not public")
        row = yield from self._row(question.account, context)
        return Balance(
            question.account,
            book=money_or_none(row, "balance"),
            available=money_or_none(row, "canUseBalance"),
            frozen=money_or_none(row, "freezeBalance"),
        )

    def probe(self, context: Context) -> Conversation[None]:
        """Ask for the balance of an own account, because the bank has no message for a probe. Both ports must work for
        that."""
        yield from self._row(AccountNumber(self.options.probe_account), context)

    def _row(self, account: AccountNumber, context: Context) -> Conversation[etree._Element]:
        body = el("body", el("lists", el("list", BALANCE.elements(account.clear)), name="acctList"))
        told = yield from self.front.ask("4402", body, self.front.packet_ids(context), context)
        if isinstance(told, Refused):
            self.meanings.decline("4402", "head", told.code, told.text)
        rows = several(told, "lists/list")
        if not rows:
            raise Declined("4402", "", "the bank tells no account", "retry")
        if len(rows) > 1 or value(rows[0], "acctNo") != account.clear:
            raise ProtocolError("correlation", "4402: the answer is not about the one account that was asked")
        return rows[0]

    def returns(self, question: ReturnsQuestion, context: Context) -> Conversation[ReturnsPage]:
        """One page of returns by 8804: the account's rows with status 8, each confirmed by its voucher.

        Only the caller knows whether such a row was once 4; for a payment that never settled it means a refusal. A
        voucher of which the bank has another record is left out, because the money of the other one may have moved.
        Raises Declined, "paging".

        If single payments and batches have different flags, the rows of one flag are read after those of the other.
        """
        if question.first > question.last:
            return ReturnsPage(())
        flags = dict.fromkeys((self.options.single_flag, self.options.batch_flag))
        walks = [QueryFilter(question.account.clear, question.first, question.last, flag) for flag in flags]
        asked, at = self._place(walks, question.cursor)
        packet_ids = self.front.packet_ids(context)
        rows, following = yield from self.enquiry.page(asked, at, packet_ids, context)
        found: list[Return] = []
        ours_alone = [row for row in rows if value_or(row, "acctNo", asked.account) in ("", asked.account)]
        for voucher in dict.fromkeys(value_or(row, "elecChequeNo") for row in ours_alone if self._is_back(row)):
            records: list[etree._Element] = []
            for walk in walks:
                records += yield from self.enquiry.rows(replace(walk, voucher=voucher), packet_ids, context)
            ours = [record for record in records if value_or(record, "elecChequeNo") == voucher]
            if ours and all(self._is_back(record) for record in ours):
                row = row_of(ours[0])
                found.append(Return(voucher, Money(row.amount_minor), None, plain(reason_of(row.note)[1])))
        if following is None and asked is not walks[-1]:
            following = Offset(self.options.enquiry_rows).first(walks[-1].mark())
        return ReturnsPage(tuple(found), None if following is None else following.encode())

    def _place(self, walks: Sequence[QueryFilter], cursor: str | None) -> tuple[QueryFilter, PageCursor]:
        """The walk that a page belongs to, and the place in it. Raises "paging" for a cursor of another question."""
        if cursor is None:
            return walks[0], Offset(self.options.enquiry_rows).first(walks[0].mark())
        for asked in walks[:-1]:
            with suppress(ProtocolError):
                return asked, PageCursor.decode(cursor, asked.mark())
        return walks[-1], PageCursor.decode(cursor, walks[-1].mark())

    def _is_back(self, row: etree._Element) -> bool:
        if not value_or(row, "elecChequeNo") or value_or(row, "transStatus") != "8":
            return False
        word = row_word(self.meanings, "8", value_or(row, "note"))
        return word.fate in (Fate.FAILED, Fate.RETURNED)
