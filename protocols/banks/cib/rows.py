"""Rows of an account's entries: STMTTRN elements, and the fixed rows of FSTMTTRN, 530 bytes with their newline.

Fixed rows are cut out of the answer as bytes, before anything is decoded. Otherwise a name that the bank cut in half a
character would take bytes of the next field, because widths count bytes, not characters (banks/cib.md 4.2).

The balance beside an entry is not read. The bank says that it cannot be used as the day's balance, because an evening's
entries may be booked for the next day; a day would be closed with wrong figures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lxml import etree

from protocols.banks.cib.fox import check_currency, moment
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, Name
from protocols.canon.statement import Direction, Line
from protocols.kit.charset import GBK
from protocols.kit.china import moment_or_none
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import Column, Layout, amount_minor, parse_date, plain
from protocols.kit.xmldoc import value, value_or

FIXED: Final = Layout(
    (
        Column("core_serial", 30),  # 核心流水
        Column("voucher_group", 10),  # 传票组
        Column("voucher_number", 3),  # 组内
        Column("day", 8),  # 日期
        Column("clock", 6),  # 时间
        Column("region", 2),  # 地区
        Column("branch", 3),  # 机构
        Column("operation", 4),  # 交易码
        Column("accounting", 4),  # 记账码
        Column("teller_serial", 8),  # 柜员流水
        Column("channel", 3),  # 渠道
        Column("voucher", 10),  # 凭证
        Column("client", 10),  # 客户
        Column("balance", 15),  # 余额
        Column("amount", 15),  # 金额
        Column("currency", 2),  # 币种
        Column("cash", 1),  # 现转
        Column("side", 1),  # 借贷: 0 debit, 1 credit
        Column("correction", 1),  # 冲补
        Column("corrected", 1),  # 被冲
        Column("summary", 3),  # 摘要
        Column("other_voucher", 32),  # 对方凭证
        Column("other_account", 32),  # 对方账号
        Column("other_name", 120),  # 对方户名
        Column("other_bank_number", 14),  # 对方行号
        Column("other_bank", 70),  # 对方行名
        Column("route", 1),  # 邮路
        Column("purpose", 60),  # 用途
        Column("remark", 60),  # 备注
    ),
    GBK,
)
ROW_BYTES: Final = FIXED.width
_KEY: Final = slice(FIXED.place("voucher_group")[0], FIXED.place("voucher_number")[1])
assert ROW_BYTES == 529, "the bank's samples have 529 bytes and a newline"
_CDATA: Final = re.compile(rb"<!\[CDATA\[(.*?)\]\]>\s*(?=</TRANLIST)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Split:
    """An answer without its rows of fixed width, and those rows."""

    document: bytes
    rows: tuple[bytes, ...]


def split(document: bytes) -> Split:
    """Cut the rows of fixed width out of an answer of any size. Raises "ambiguous" on two lists.

    The bytes of the marks cannot be half of a character in GB18030.
    """
    blocks = _CDATA.findall(document)
    if len(blocks) > 1:
        raise ProtocolError("ambiguous", "more than one list of rows")
    if not blocks:
        return Split(document, ())
    rows = tuple(line for line in blocks[0].split(b"\n") if line.strip())
    return Split(_CDATA.sub(b"", document), rows)


def _row(line: bytes) -> bytes:
    """The row in a line. A row may begin with blanks, so that only the surplus blanks of a line that is too long are
    removed.
    """
    line = line.removesuffix(b"\r") if len(line) != ROW_BYTES else line
    indent, row = line[: max(len(line) - ROW_BYTES, 0)], line[-ROW_BYTES:]
    if len(row) != ROW_BYTES or indent.strip(b" \t"):
        raise ProtocolError("frame_length", f"a row of {len(line)} bytes, not {ROW_BYTES}")
    return row


def line_of_fixed(row: bytes, account: AccountNumber) -> Line:
    """A line with a row of fixed width, as an entry of `account`.

    Raises ProtocolError if it has another size, or if key, side, amount or day is missing or odd.
    """
    row = _row(row)
    cells = FIXED.unpack(row)
    check_currency(cells["currency"])
    if cells["side"] not in ("0", "1"):
        raise ProtocolError("value", f"a row's side is {cells['side']!r}, neither 0 nor 1")
    if not cells["voucher_group"] or not cells["voucher_number"]:
        raise ProtocolError("missing", "a row without the bank's voucher")
    day = parse_date(cells["day"])
    return Line(
        account=account,
        # The cells keep their widths in the id: without them group 1, number 23 and group 12, number 3 would be one
        # entry.
        bank_line_id=cells["day"] + plain(FIXED.charset.decode(row[_KEY])).replace(" ", "-"),
        direction=Direction.DEBIT if cells["side"] == "0" else Direction.CREDIT,
        amount=Money(amount_minor(cells["amount"], signed=True)),
        bank_date=day,
        booked_at=moment_or_none(day, cells["clock"]),
        counterparty_account=AccountNumber(cells["other_account"]) if cells["other_account"] else None,
        counterparty_name=Name(plain(cells["other_name"])) if cells["other_name"] else None,
        counterparty_bank=plain(cells["other_bank"]) or None,
        text=plain(" ".join(filter(None, (cells["summary"], cells["purpose"], cells["remark"])))),
    )


def line_of_element(row: etree._Element, account: AccountNumber, reference_in: str) -> Line:
    """A STMTTRN as an entry of `account`. `reference_in` is the element with our reference, "" if there is none."""
    side, at = value(row, "TRNTYPE"), moment(value(row, "DTACCT"))
    if side not in ("DEBIT", "CREDIT"):
        raise ProtocolError("value", f"an entry's TRNTYPE is {side!r}, neither DEBIT nor CREDIT")
    if at is None:
        raise ProtocolError("value", f"an entry's DTACCT is {value(row, 'DTACCT')!r}")
    key = value(row, "ATTACHINFO")
    if not key:
        raise ProtocolError("missing", "an entry without ATTACHINFO, the bank's key")
    check_currency(value_or(row, "CURRENCY"))
    other, name = value_or(row, "CORRELATE_ACCTID"), plain(value_or(row, "CORRELATE_NAME"))
    words = value_or(row, "MEMO") or " ".join(filter(None, (value_or(row, "SUMMDESC"), value_or(row, "PURPOSE"))))
    return Line(
        account=account,
        bank_line_id=key,
        direction=Direction.DEBIT if side == "DEBIT" else Direction.CREDIT,
        amount=Money(amount_minor(value(row, "TRNAMT"), signed=True)),
        bank_date=at.date(),
        booked_at=at,
        counterparty_account=AccountNumber(other) if other else None,
        counterparty_name=Name(name) if name else None,
        counterparty_bank=plain(value_or(row, "CORRELATE_BANKNAME")) or None,
        text=plain(words),
        reference=(value_or(row, reference_in) or None) if reference_in else None,
    )
