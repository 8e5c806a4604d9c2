"""The rules of a bank of the Finnish Web Services for a file of payments: pain.001 and pain.008.

The tables are those of ISO 20022's schemas of these messages. The schema itself finds the faults that the tables leave
out. A bank acknowledges the transfer of a bad file with 00, and refuses the file in its status file (README.md 3). That
the reason is always FF01 is reconstructed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from lxml import etree

from protocols.banks.finws.twin_rules import broken, chars, day, moment, placed, refusal
from protocols.canon.money import BadMoney, Money
from protocols.judge import (
    BankRefusal,
    BothLanguages,
    BrokenForm,
    FieldContradiction,
    FieldRule,
    FieldsOf,
    HeldAccounts,
    RequestFinding,
    RequestRules,
    RowsRule,
    RuleKind,
    TogetherRule,
    ValueForm,
    XmlFields,
    all_of,
    amount,
    digits,
    one_of,
    pattern,
    row_totals,
    text,
    value,
)
from protocols.kit import xmldoc
from protocols.kit.charset import UTF8
from protocols.kit.errors import ProtocolError
from protocols.kit.iso20022 import schema

TRANSFERS: Final = ("pain.001.001.03", "pain.001.001.09")
DEBITS: Final = ("pain.008.001.02", "pain.008.001.08")
REASON, REPEATED = "FF01", "AM05"
"""Reasons of a status file, in ISO 20022's words: a file that breaks a rule, and one that came before (README.md 3)."""
BAD_FILE: Final = BankRefusal("00", f"OK. The status file of this upload then says RJCT, {REASON}.", reconstructed=True)
"""The bank's answer to a file that breaks a rule: it has taken the transfer, and refuses the file afterwards."""
_ISO: Final = "urn:iso:std:iso:20022:tech:xsd:"
_BYTES_MAX: Final = 50_000_000
_NODES_MAX: Final = 1_000_000
_TOLD_MAX: Final = 5

# ---- forms of values ----------------------------------------------------------------------------------------

_ID: Final = chars(35)
_NAME: Final = chars(140)
_CODE_4: Final = chars(4)
_WORD_35: Final = chars(35)
_CURRENCY: Final = pattern("[A-Z]{3}", "is no currency of three letters", "不是三位字母的币种")
_AMOUNT: Final = amount(15, 2)
_SUM: Final = pattern(r"[0-9]{1,18}(\.[0-9]{1,17})?", "is no sum", "不是合计金额")
_TRUTH: Final = one_of("true", "false", "1", "0")
_BIC: Final = pattern("[A-Z]{6}[A-Z2-9][A-NP-Z0-9]([A-Z0-9]{3})?", "is no BIC", "不是 BIC")


def _checked(given: str) -> BrokenForm | None:
    """The check digits of an IBAN are right (ISO 13616, remainder 1 of 97)."""
    moved = given[4:] + given[:4]
    if int("".join(str(int(one, 36)) for one in moved)) % 97 == 1:
        return None
    return BrokenForm(RuleKind.FORM, BothLanguages("has wrong check digits (mod 97)", "IBAN 校验位错误（mod 97）"))


_IBAN: Final = all_of(pattern("[A-Z]{2}[0-9]{2}[0-9A-Z]{1,30}", "is no IBAN", "不是 IBAN"), _checked)
_ACCOUNT: Final = text(max_chars=34, charset="utf-8", alphabet="[0-9A-Za-z]", takes="0-9A-Za-z")


def _field(place: str, form: ValueForm, *, needed: bool = False, guessed: bool = False) -> FieldRule:
    return FieldRule(place, form, f"ISO 20022, schema: {place}", needed, None, guessed)


def _account(of: str) -> tuple[FieldRule, ...]:
    """An account by its IBAN, or by another number; one of the two must be there."""
    iban, other = f"{of}/Id/IBAN", f"{of}/Id/Othr/Id"
    source = f"ISO 20022, schema: {of}/Id; an IBAN by ISO 13616"
    return (
        FieldRule(iban, _IBAN, source, lambda fields: not value(fields, other)),
        FieldRule(other, _ACCOUNT, source),
        _field(f"{of}/Ccy", _CURRENCY),
    )


def _agent(of: str) -> tuple[FieldRule, ...]:
    return (_field(f"{of}/FinInstnId/BIC", _BIC), _field(f"{of}/FinInstnId/BICFI", _BIC))


_SPEED: Final = (
    _field("PmtTpInf/InstrPrty", one_of("HIGH", "NORM")),
    _field("PmtTpInf/SvcLvl/Cd", _CODE_4),
    _field("PmtTpInf/LclInstrm/Cd", _WORD_35),
    _field("PmtTpInf/CtgyPurp/Cd", _CODE_4),
)
_BEARER: Final = _field("ChrgBr", one_of("DEBT", "CRED", "SHAR", "SLEV"))
_GROUP: Final = (
    _field("PmtInfId", _ID, needed=True),
    _field("BtchBookg", _TRUTH),
    _field("NbOfTxs", digits(1, 15)),
    _field("CtrlSum", _SUM),
    *_SPEED,
    _BEARER,
)
_TOLD: Final = (
    _field("Purp/Cd", _CODE_4),
    _field("UltmtDbtr/Nm", _NAME),
    _field("UltmtCdtr/Nm", _NAME),
    # The schema takes several texts of the remittance; the rules of the clearing take one, of 140 characters.
    _field("RmtInf/Ustrd", chars(140)),
)
_PAYMENT_ID: Final = (_field("PmtId/InstrId", _ID), _field("PmtId/EndToEndId", _ID, needed=True))


def _one_day(place: str) -> tuple[FieldRule, ...]:
    """A day by itself, or as a choice of Dt and DtTm."""

    def missing(fields: FieldsOf) -> bool:
        return not (value(fields, f"{place}/Dt") or value(fields, f"{place}/DtTm"))

    source = f"ISO 20022, schema: {place}"
    return (
        FieldRule(place, day, source, missing),
        FieldRule(f"{place}/Dt", day, source),
        FieldRule(f"{place}/DtTm", moment, source),
    )


_TRANSFER: Final = (
    *_PAYMENT_ID,
    _field("Amt/InstdAmt", _AMOUNT, needed=True),
    _field("Amt/InstdAmt@Ccy", _CURRENCY, needed=True),
    *_agent("CdtrAgt"),
    _field("Cdtr/Nm", _NAME, needed=True),
    *_account("CdtrAcct"),
    *_SPEED,
    _BEARER,
    *_TOLD,
)
_DEBIT: Final = (
    *_PAYMENT_ID,
    _field("InstdAmt", _AMOUNT, needed=True),
    _field("InstdAmt@Ccy", _CURRENCY, needed=True),
    _field("DrctDbtTx/MndtRltdInf/MndtId", _ID, needed=True),
    _field("DrctDbtTx/MndtRltdInf/DtOfSgntr", day, needed=True),
    *_agent("DbtrAgt"),
    _field("Dbtr/Nm", _NAME, needed=True),
    *_account("DbtrAcct"),
    *_TOLD,
)


def _own_account(of: str) -> TogetherRule:
    """The file's own account must be one of the bank's."""

    def check(fields: FieldsOf, books: HeldAccounts) -> FieldContradiction | None:
        stated = value(fields, f"{of}/Id/IBAN") or value(fields, f"{of}/Id/Othr/Id")
        if books.holder_of(stated) is not None:
            return None
        return FieldContradiction(f"{of}/Id", stated, "is no account at this bank", "不是本行账户")

    return TogetherRule(
        check, f"README.md 3: a file pays from an own account ({of})", RuleKind.BOOKS, reconstructed=True
    )


def _rows(fields: FieldsOf, row: str) -> list[FieldsOf]:
    return [one for group in fields.rows("PmtInf") for one in group.rows(row)]


def _whole_totals(row: str, amount_at: str) -> TogetherRule:
    """Count and sum of the group header must be those of the whole file."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        rows, count, said = _rows(fields, row), value(fields, "GrpHdr/NbOfTxs"), value(fields, "GrpHdr/CtrlSum")
        if int(count) != len(rows):
            words = (f"is not the file's number of payments, {len(rows)}", f"与文件笔数 {len(rows)} 不符")
            return FieldContradiction("GrpHdr/NbOfTxs", count, *words)
        total = sum(Decimal(value(one, amount_at)) for one in rows)
        if said and Decimal(said) != total:
            return FieldContradiction(
                "GrpHdr/CtrlSum", said, f"is not the file's sum, {total}", f"与文件合计 {total} 不符"
            )
        return None

    return TogetherRule(check, "ISO 20022, schema: GrpHdr/NbOfTxs, GrpHdr/CtrlSum")


def _no_payment_twice(row: str) -> TogetherRule:
    """No two payments of a file may have one number: InstrId, or EndToEndId where there is no InstrId."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        ids = Counter(value(one, "PmtId/InstrId") or value(one, "PmtId/EndToEndId") for one in _rows(fields, row))
        [(most, count)] = ids.most_common(1)
        if count == 1:
            return None
        words = (f"stands {count} times in the file", f"在文件中出现 {count} 次")
        return FieldContradiction(f"{row}/PmtId/InstrId", most, *words)

    return TogetherRule(check, "README.md 3: a payment is found by InstrId or EndToEndId", reconstructed=True)


def _sum_of_currency(row: str, amount_at: str) -> TogetherRule:
    """An amount has no more decimals than its currency."""

    def check(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
        for one in _rows(fields, row):
            said, currency = value(one, amount_at), value(one, f"{amount_at}@Ccy")
            try:
                Money.parse(said, currency)
            except BadMoney:
                words = (f"is no amount of {currency}", f"不是 {currency} 的金额")
                return FieldContradiction(f"{row}/{amount_at}", f"{said} {currency}", *words)
        return None

    return TogetherRule(check, "ISO 4217, decimals of a currency", RuleKind.FORM)


def _no_group_twice(fields: FieldsOf, _books: HeldAccounts) -> FieldContradiction | None:
    ids = Counter(value(one, "PmtInfId") for one in fields.rows("PmtInf"))
    [(most, count)] = ids.most_common(1)
    if count == 1:
        return None
    return FieldContradiction("PmtInf/PmtInfId", most, f"stands {count} times in the file", f"在文件中出现 {count} 次")


def _file(row: str, amount_at: str) -> RequestRules:
    return RequestRules(
        "GrpHdr",
        BAD_FILE,
        (
            _field("GrpHdr/MsgId", _ID, needed=True),
            _field("GrpHdr/CreDtTm", moment, needed=True),
            _field("GrpHdr/NbOfTxs", digits(1, 15), needed=True),
            _field("GrpHdr/CtrlSum", _SUM),
            _field("GrpHdr/InitgPty/Nm", _NAME),
            RowsRule("PmtInf", (), "ISO 20022, schema: PmtInf", 1),
        ),
        (
            _whole_totals(row, amount_at),
            _sum_of_currency(row, amount_at),
            _no_payment_twice(row),
            TogetherRule(_no_group_twice, "README.md 3: PmtInfId has the group's number", reconstructed=True),
        ),
    )


TRANSFER_FILE: Final = _file("CdtTrfTxInf", "Amt/InstdAmt")
TRANSFER_GROUP: Final = RequestRules(
    "pain.001",
    BAD_FILE,
    (
        # A cheque (CHK) or an advice (TRA) is no credit transfer.
        FieldRule("PmtMtd", one_of("TRF"), "README.md 3: transfers only, PmtMtd TRF", True),
        *_GROUP,
        *_one_day("ReqdExctnDt"),
        _field("Dbtr/Nm", _NAME, needed=True, guessed=True),
        *_account("DbtrAcct"),
        *_agent("DbtrAgt"),
        RowsRule("CdtTrfTxInf", _TRANSFER, "ISO 20022, schema: CdtTrfTxInf", 1),
    ),
    (
        row_totals("CdtTrfTxInf", "Amt/InstdAmt", "NbOfTxs", "CtrlSum", "ISO 20022, schema: NbOfTxs, CtrlSum"),
        _own_account("DbtrAcct"),
    ),
)
DEBIT_FILE: Final = _file("DrctDbtTxInf", "InstdAmt")
DEBIT_GROUP: Final = RequestRules(
    "pain.008",
    BAD_FILE,
    (
        FieldRule("PmtMtd", one_of("DD"), "ISO 20022, schema: PmtMtd of a direct debit", True),
        *_GROUP,
        *_one_day("ReqdColltnDt"),
        _field("PmtTpInf/SeqTp", one_of("FRST", "RCUR", "FNAL", "OOFF", "RPRE")),
        _field("Cdtr/Nm", _NAME, needed=True, guessed=True),
        *_account("CdtrAcct"),
        *_agent("CdtrAgt"),
        RowsRule("DrctDbtTxInf", _DEBIT, "ISO 20022, schema: DrctDbtTxInf", 1),
    ),
    (
        row_totals("DrctDbtTxInf", "InstdAmt", "NbOfTxs", "CtrlSum", "ISO 20022, schema: NbOfTxs, CtrlSum"),
        _own_account("CdtrAcct"),
    ),
)


def parsed(content: bytes) -> etree._Element:
    """The root of a file; comments in it are left out, because the file has no signature of its own. Raises
    ProtocolError.
    """
    return xmldoc.parse(content, UTF8, max_bytes=_BYTES_MAX, max_nodes=_NODES_MAX, drop_comments=True)


def message_of(root: etree._Element) -> str:
    """The name of the message ("pain.001.001.03"); "" if no bank accepts such a message."""
    name = etree.QName(root)
    message = (name.namespace or "").removeprefix(_ISO)
    return message if name.localname == "Document" and message in (*TRANSFERS, *DEBITS) else ""


def file_findings(
    content: bytes, books: HeldAccounts, messages: tuple[str, ...] = (*TRANSFERS, *DEBITS)
) -> tuple[RequestFinding, ...]:
    """Every rule that an uploaded file of payments breaks. Places begin with `Content:`.

    `messages`: the ISO messages that the upload's FileType stands for.
    """
    try:
        root = parsed(content)
    except ProtocolError as error:
        rule = RuleKind.CHARSET if error.reason == "charset" else RuleKind.FRAME
        words = (f"cannot be read as XML ({error.text})", "不能作为 XML 读取")
        return (broken("Content:Document", rule, "", words, "README.md 3: files are ISO 20022 XML", BAD_FILE),)
    return tuple(placed("Content:", _file_findings(root, books, messages)))


def _file_findings(root: etree._Element, books: HeldAccounts, messages: tuple[str, ...]) -> list[RequestFinding]:
    message, name = message_of(root), str(root.tag)
    initiations = list(root)
    wanted = "CstmrDrctDbtInitn" if message in DEBITS else "CstmrCdtTrfInitn"
    if message not in messages or [etree.QName(one).localname for one in initiations] != [wanted]:
        words = (f"is none of {', '.join(messages)}", f"不是 {'、'.join(messages)}")
        return [broken("Document", RuleKind.FRAME, name, words, "README.md 7: payment_form, collection_form", BAD_FILE)]
    of_file, of_group = (DEBIT_FILE, DEBIT_GROUP) if message in DEBITS else (TRANSFER_FILE, TRANSFER_GROUP)
    fields = XmlFields(initiations[0])
    found = list(RequestRules(of_file.operation, BAD_FILE, of_file.fields).findings(fields, books))
    for number, group in enumerate(fields.rows("PmtInf"), start=1):
        found += placed(f"PmtInf[{number}]/", of_group.findings(group, books))
    return found or [*of_file.findings(fields, books)] or [*_misfits(root, message)]


def _misfits(root: etree._Element, message: str) -> Iterator[RequestFinding]:
    for one in schema.faults(root, message)[:_TOLD_MAX]:
        words = (f"does not fit the schema of {message}: {one}", f"不符合 {message} 的 schema:{one}")
        yield broken("Document", RuleKind.FRAME, "", words, f"ISO 20022, schema of {message}", BAD_FILE)


def total_findings(content: bytes, total: str, count: str) -> Iterator[RequestFinding]:
    """AmountTotal and TransactionCount of an upload, if given, must be those of its file."""
    try:
        root = parsed(content)
        message = message_of(root)
        row, amount_at = ("DrctDbtTxInf", "InstdAmt") if message in DEBITS else ("CdtTrfTxInf", "Amt/InstdAmt")
        rows = _rows(XmlFields(root[0]), row) if message else []
        summed = sum((Decimal(value(one, amount_at)) for one in rows), Decimal(0))
    except (ProtocolError, ArithmeticError, IndexError):
        return  # the rules of the file say what is wrong
    source = "README.md 2, ApplicationRequest: AmountTotal, TransactionCount"
    wrong = refusal("29", reconstructed=True)
    if rows and count and int(count) != len(rows):
        words = (f"is not the file's number of payments, {len(rows)}", f"与文件笔数 {len(rows)} 不符")
        place = "ApplicationRequest/TransactionCount"
        yield broken(place, RuleKind.TOGETHER, count, words, source, wrong, reconstructed=True)
    if rows and total and Decimal(total) != summed:
        words = (f"is not the file's sum, {summed}", f"与文件合计 {summed} 不符")
        place = "ApplicationRequest/AmountTotal"
        yield broken(place, RuleKind.TOGETHER, total, words, source, wrong, reconstructed=True)
