"""Mistakes of 招商 CMB's clients in front-end mode, written from the bank's page by a reader who did not know the twin's rules.

Each mistake is one that the programmer of an ERP makes who reads the page badly, or who brings the habits of another
bank's interface, or of this bank's cloud mode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from protocols.judge import RuleKind
from tests.protocols.banks.cmb.client_mistakes import (
    GOOD,
    OTHER,
    OWN,
    SISTER,
    Part,
    changed,
    document,
    framed,
    many,
    request,
)
from tests.protocols.banks.mistakes import Mistake

_PAY, _BIG, _BIG_LINE, _AGENT, _AGENT_LINE = "DCOPDPAYX", "NTAGCAGCX1", "NTAGCDTLY1", "SDKATSRQX", "SDKATDRQX"
_NOBODY = "769900000019999"


def _one(name: str, operation: str, key: str, content: str | None, place: str = "", code: str = "") -> Mistake:
    """A good request of `operation` with another content at `key`, which is INTERFACE/FIELD."""
    wrong = partial(request, operation, {key: content})
    return Mistake(name, wrong, place or key.rpartition("/")[2], code=code)


def _some(name: str, place: str, operation: str, changes: Mapping[str, str | None], code: str = "") -> Mistake:
    """A good request of `operation` with several changes."""
    return Mistake(name, partial(request, operation, changes), place, code=code)


def _pay(name: str, field: str, content: str | None) -> Mistake:
    """A good direct payment with another content in `field`."""
    return _one(name, "DCPAYMNT", f"{_PAY}/{field}", content)


def _parts(name: str, place: str, operation: str, parts: Sequence[Part]) -> Mistake:
    """A request of `operation` with these interfaces."""
    return Mistake(name, partial(framed, document(operation, parts)), place)


def _text(
    name: str, place: str, operation: str, old: str, new: str, rule: RuleKind | None = None, code: str = ""
) -> Mistake:
    """A good request of `operation` in whose XML `old` became `new`."""
    text = changed(operation)
    assert old in text, (operation, old)
    return Mistake(name, partial(framed, text.replace(old, new)), place, rule, code)


def _second_line(field: str, content: str, operation: str = "DCPAYMNT") -> Mistake:
    """Two payments in a message, the second with another content in `field`."""
    head, (tag, leaves) = GOOD[operation]
    lines = [(tag, leaves), (tag, {**leaves, "YURREF": "GW20260105000099", field: content})]
    return _parts(f"second line {field} {content[:12]!r}", f"[2]/{field}", operation, [head, *lines])


def mistakes() -> tuple[Mistake, ...]:
    """Mistakes in every part of the page: transport, envelope, payments, transfers, payrolls, enquiries, entries."""
    return (
        *_transport_and_envelope(),
        *_heads(),
        *_references_and_parties(),
        *_amounts_and_texts(),
        *_routes(),
        *_many_lines(),
        *_transfers(),
        *_big_batches(),
        *_agent_requests(),
        *_enquiries(),
        *_balances_and_entries(),
        *_notices_and_receipts(),
    )


def _transport_and_envelope() -> tuple[Mistake, ...]:
    by_characters = changed("DCOPRTRF")
    counted = str(len(by_characters)).ljust(8).encode() + by_characters.encode("gbk")
    two_heads = [GOOD["DCPAYMNT"][0], ("SDKPAYRQX", {"BUSCOD": "N02031", "BUSMOD": "00009"}), GOOD["DCPAYMNT"][1]]
    return (
        Mistake("length in characters", lambda: counted, "", RuleKind.FRAME, "-3"),
        Mistake(
            "UTF-8 under a declaration of GBK", partial(framed, changed("DCPAYMNT"), "utf-8"), "", RuleKind.CHARSET
        ),
        Mistake("no XML at all", partial(framed, "FUNNAM=DCPAYMNT&LGNNAM=U01"), "", RuleKind.FRAME, "-3"),
        Mistake(
            "JSON of the cloud mode", partial(framed, '{"request":{"head":{"funcode":"BB1PAYOP"}}}'), "", None, "-3"
        ),
        _text("root misspelt", "CMBSDK", "NTQRYSTY", "CMBSDKPGK>", "CMBSDKPKG>"),
        _text("root in small letters", "CMBSDK", "NTQADINF", "CMBSDKPGK>", "cmbsdkpgk>"),
        _text("a bare ampersand", "", "DCPAYMNT", "乙公司", "甲&乙公司", RuleKind.FRAME, "-3"),
        _text("a name with a less-than sign", "", "DCPAYMNT", "乙公司", "乙<公司", RuleKind.FRAME, "-3"),
        _text(
            "crossed elements", "", "NTQADINF", "</ACCNBR></NTQADINFX>", "</NTQADINFX></ACCNBR>", RuleKind.FRAME, "-3"
        ),
        _text("INFO called HEAD", "INFO", "NTQRYSTY", "INFO>", "HEAD>"),
        _text("two payees in a payment", "CRTACC", "DCPAYMNT", "<CRTNAM>", "<CRTACC>0000000000000033</CRTACC><CRTNAM>"),
        _text("two YURREF in a payment", "YURREF", "DCPAYMNT", "<EPTDAT>", "<YURREF>GW20260105000002</YURREF><EPTDAT>"),
        _text("interface without its X", "DCOPDPAY", "DCPAYMNT", "DCOPDPAYX>", "DCOPDPAY>"),
        _text("interface of the answer", "NTQADINFZ", "NTQADINF", "NTQADINFX>", "NTQADINFZ>"),
        _text("interface of the approved payment", "DCPAYREQX", "DCPAYMNT", "DCOPDPAYX>", "DCPAYREQX>"),
        _text("interface of a list", "LIST", "DCPAYMNT", "DCOPDPAYX>", "LIST>"),
        _text("fields in small letters", "YURREF", "DCPAYMNT", "YURREF>", "yurRef>"),
        _parts("two heads in a message", "SDKPAYRQX", "DCPAYMNT", two_heads),
        _text("text outside GBK as a reference", "NUSAGE", "DCPAYMNT", "货款", "货款&#128512;"),
    )


def _heads() -> tuple[Mistake, ...]:
    return (
        _one("function in small letters", "NTQADINF", "INFO/FUNNAM", "ntqadinf"),
        _one("function of the cloud mode", "DCPAYMNT", "INFO/FUNNAM", "BB1PAYOP"),
        _one("function Login in front-end mode", "ListMode", "INFO/FUNNAM", "Login"),
        _one("function XmlComm in front-end mode", "ListMode", "INFO/FUNNAM", "XmlComm"),
        _one("function of an enquiry over a payment", "DCPAYMNT", "INFO/FUNNAM", "NTQRYSTY", _PAY),
        _one("user in Chinese", "DCPAYMNT", "INFO/LGNNAM", "财务一", code="-4"),
        _one("user in small letters", "NTQADINF", "INFO/LGNNAM", "u01", code="-4"),
        _one("user left out", "NTQRYSTY", "INFO/LGNNAM", None),
        _one("format of another generation", "DCPAYMNT", "INFO/DATTYP", "3"),
        _one("format in words", "NTQADINF", "INFO/DATTYP", "XML"),
        _one("business code of approved payments", "DCPAYMNT", "SDKPAYRQX/BUSCOD", "N02040"),
        _one("business code of payrolls", "DCPAYMNT", "SDKPAYRQX/BUSCOD", "N03010"),
        _one("business code left out", "DCPAYMNT", "SDKPAYRQX/BUSCOD", None),
        _one("business mode is a blank", "DCPAYMNT", "SDKPAYRQX/BUSMOD", " "),
        _one("no head of the transfer", "DCOPRTRF", "SDKPAYRQX", None, "SDKPAYRQX"),
    )


def _references_and_parties() -> tuple[Mistake, ...]:
    here = {f"{_PAY}/BNKFLG": "Y", f"{_PAY}/CRTACC": SISTER, f"{_PAY}/CRTBNK": "", f"{_PAY}/CRTADR": ""}
    first = partial(request, "DCPAYMNT", {f"{_PAY}/YURREF": "GW20261124000777"})
    again = partial(request, "DCPAYMNT", {f"{_PAY}/YURREF": "GW20261124000777", f"{_PAY}/TRSAMT": "321.00"})
    return (
        _pay("reference left out", "YURREF", None),
        _pay("reference is a UUID with hyphens", "YURREF", "7b0f5a52-9f0d-4a2f-8a06-0f6f4f1f2a11"),
        _pay("reference in Chinese", "YURREF", "付款二〇二六〇一"),
        Mistake("reference of another payment", again, "YURREF", before=(first,)),
        _pay("payer's account of nobody", "DBTACC", _NOBODY),
        _pay("payer's account in groups of four", "DBTACC", "7699 0000 0010 001"),
        _pay("payer's account left empty", "DBTACC", ""),
        _pay("payer's branch in words", "DBTBBK", "东莞"),
        _pay("payee's account left out", "CRTACC", None),
        _pay("payee's account in full-width digits", "CRTACC", "００００２５"),
        _pay("payee's account is the payer's", "CRTACC", OWN),
        _pay("payee without a name", "CRTNAM", None),
        _pay("payee's name of 63 bytes", "CRTNAM", "示例" * 15 + "公x"),
        _some("payee here under another's name", "CRTNAM", "DCPAYMNT", {**here, f"{_PAY}/CRTNAM": "示例庚公司"}),
        _some(
            "long name of 201 bytes", "LRVEAN", "DCPAYMNT", {f"{_PAY}/CRTNAM": "", f"{_PAY}/LRVEAN": "名" * 100 + "a"}
        ),
    )


def _amounts_and_texts() -> tuple[Mistake, ...]:
    amounts = {
        "with separators": "1,234.56",
        "with three decimals": "123.450",
        "in full-width digits": "１２３．４５",
        "with a currency sign": "￥123.45",
        "of zero": "0",
        "below zero": "-123.45",
        "with a plus sign": "+123.45",
        "as a power of ten": "1.2E2",
        "with its unit": "123.45元",
        "with the point only": "123.",
        "of 16 digits": "1234567890123456.00",
        "left empty": "",
    }
    return (
        *(_pay(f"amount {name}", "TRSAMT", text) for name, text in amounts.items()),
        _pay("currency RMB", "CCYNBR", "RMB"),
        _pay("currency 01 of another bank", "CCYNBR", "01"),
        _pay("currency US dollar", "CCYNBR", "32"),
        _pay("usage of 63 bytes", "NUSAGE", "货" * 31 + "x"),
        _pay("memo of 201 bytes", "BUSNAR", "附" * 100 + "x"),
        _pay("expected day with hyphens", "EPTDAT", "2026-11-25"),
        _pay("expected day of 31 November", "EPTDAT", "20261131"),
        _pay("expected time with a colon", "EPTTIM", "09:30"),
        _pay("expected time of 25 hours", "EPTTIM", "250000"),
    )


def _routes() -> tuple[Mistake, ...]:
    no_bank = {f"{_PAY}/CRTBNK": None, f"{_PAY}/BRDNBR": "102584000002"}
    return (
        _pay("channel of the cloud mode", "STLCHN", "Q"),
        _pay("channel as a number", "STLCHN", "1"),
        _pay("same-bank flag as a number", "BNKFLG", "0"),
        _pay("same-bank flag left out", "BNKFLG", None),
        _some("another bank by its number only", "CRTBNK", "DCPAYMNT", no_bank),
        _pay("another bank without the payee's address", "CRTADR", None),
        _pay("payee's bank of 64 bytes", "CRTBNK", "某行" * 16),
        _pay("payee's address of 63 bytes", "CRTADR", "广东" * 15 + "省x"),
        _pay("type of a payroll", "TRSTYP", "BYSA"),
        _pay("type of the cloud mode's channel", "TRSTYP", "G"),
        _pay("name check in letters", "RCVCHK", "Y"),
    )


def _many_lines() -> tuple[Mistake, ...]:
    head, (tag, leaves) = GOOD["DCPAYMNT"]
    twins = [head, (tag, leaves), (tag, {**leaves, "TRSAMT": "5.00"})]
    return (
        _parts("one reference on two lines", "YURREF", "DCPAYMNT", twins),
        _parts("transfer without a line", "DCOPRTRFX", "DCOPRTRF", GOOD["DCOPRTRF"][:1]),
        Mistake("2000 payments", partial(many, "DCPAYMNT", _PAY, 2000, "YURREF"), _PAY),
        _second_line("TRSAMT", "1,000.00"),
        _second_line("DBTACC", _NOBODY),
        _second_line("CRTACC", ""),
        _second_line("CRTADR", ""),
        _second_line("NUSAGE", "款" * 32),
    )


def _transfers() -> tuple[Mistake, ...]:
    line = "DCOPRTRFX"
    return (
        _one("transfer amount in fen with a point", "DCOPRTRF", f"{line}/TRSAMT", "100.000"),
        _one("transfer into itself", "DCOPRTRF", f"{line}/CRTACC", OWN),
        _one("transfer from another's account", "DCOPRTRF", f"{line}/DBTACC", OTHER),
        _one("transfer to a branch in words", "DCOPRTRF", f"{line}/CRTBBK", "深圳"),
        _one("transfer in Hong Kong dollars", "DCOPRTRF", f"{line}/CCYNBR", "21"),
        _one("transfer reference of 31 bytes", "DCOPRTRF", f"{line}/YURREF", "GW2026010500000200000000000000X"),
        _one("transfer usage of 64 bytes", "DCOPRTRF", f"{line}/NUSAGE", "调拨" * 16),
        _one("transfer without an account", "DCOPRTRF", f"{line}/CRTACC", None),
        Mistake("100 transfers", partial(many, "DCOPRTRF", line, 100, "YURREF"), line),
        _parts("transfer by the interface of a payment", _PAY, "DCOPRTRF", GOOD["DCPAYMNT"]),
    )


def _big_batches() -> tuple[Mistake, ...]:
    mode, head, one, two = GOOD["NTAGCSAL"]
    later = {f"{_BIG}/BEGTAG": "N", f"{_BIG}/REQNBR": ""}
    return (
        _one("payroll sum off by a fen", "NTAGCSAL", f"{_BIG}/TTLAMT", "3.01"),
        _one("payroll count of one line", "NTAGCSAL", f"{_BIG}/TTLCNT", "1"),
        _one("payroll sum of this part is another", "NTAGCSAL", f"{_BIG}/CURAMT", "2.00"),
        _one("payroll count of this part is another", "NTAGCSAL", f"{_BIG}/CURCNT", "20"),
        _one("payroll without a number of parts", "NTAGCSAL", f"{_BIG}/TTLNUM", None),
        _one("payroll begin flag as a number", "NTAGCSAL", f"{_BIG}/BEGTAG", "1"),
        _one("payroll end flag left out", "NTAGCSAL", f"{_BIG}/ENDTAG", None),
        _some("payroll's later part without its number", "REQNBR", "NTAGCSAL", later),
        _one("payroll of collection kind", "NTAGCSAL", f"{_BIG}/TRSTYP", "AYTX"),
        _one("payroll in a currency by name", "NTAGCSAL", f"{_BIG}/CCYNBR", "RMB"),
        _one("payroll market in words", "NTAGCSAL", f"{_BIG}/CCYMKT", "钞"),
        _one("payroll from an account of nobody", "NTAGCSAL", f"{_BIG}/ACCNBR", _NOBODY),
        _one("payroll usage of 43 bytes", "NTAGCSAL", f"{_BIG}/NUSAGE", "十一月工资" * 4 + "abc"),
        _one("payroll reference of 31 bytes", "NTAGCSAL", f"{_BIG}/YURREF", "PAYROLL-2026-11-GROUP-DIVISION1"),
        _one("payroll group flag as a number", "NTAGCSAL", f"{_BIG}/GRTFLG", "0"),
        _one("payroll without its mode", "NTAGCSAL", "NTBUSMODY/BUSMOD", None, "BUSMOD"),
        _one("payroll line number of 4 digits", "NTAGCSAL", f"{_BIG_LINE}[2]/TRXSEQ", "0002", "[2]/TRXSEQ"),
        _one("collection line number twice", "NTAGCACL", f"{_BIG_LINE}[2]/TRXSEQ", "00000001", "TRXSEQ"),
        _one("payroll line amount in words", "NTAGCSAL", f"{_BIG_LINE}[2]/TRSAMT", "贰元", "[2]/TRSAMT"),
        _one("payroll line without a name", "NTAGCSAL", f"{_BIG_LINE}[2]/ACCNAM", None, "[2]/ACCNAM"),
        _one("agency pay line at another bank not named", "NTAGCAPY", f"{_BIG_LINE}[2]/BNKFLG", "N", "[2]/EACBNK"),
        _one("payroll line text of 43 bytes", "NTAGCSAL", f"{_BIG_LINE}[2]/TRSDSP", "工" * 21 + "x", "[2]/TRSDSP"),
        _one("payroll line fast flag as a number", "NTAGCSAL", f"{_BIG_LINE}/FSTFLG", "1", "FSTFLG"),
        _parts("payroll without a line", _BIG_LINE, "NTAGCSAL", [mode, head]),
        _parts(
            "payroll with the lines of AgentRequest", _AGENT_LINE, "NTAGCSAL", [mode, head, *GOOD["AgentRequest"][1:]]
        ),
        _parts("payroll without its head", _BIG, "NTAGCSAL", [mode, one, two]),
        _one("collection of payroll kind", "NTAGCACL", f"{_BIG}/TRSTYP", "BYTF"),
        _one("collection line of nothing", "NTAGCACL", f"{_BIG_LINE}/TRSAMT", "0.00", "TRSAMT"),
    )


def _agent_requests() -> tuple[Mistake, ...]:
    no_mode = {f"{_AGENT}/BUSMOD": None, f"{_AGENT}/MODALS": None}
    return (
        _one("agency business of payments", "AgentRequest", f"{_AGENT}/BUSCOD", "N02031"),
        _one("agency business left out", "AgentRequest", f"{_AGENT}/BUSCOD", None),
        _one("agency on an expected day", "AgentRequest", f"{_AGENT}/EPTDAT", "20261201"),
        _one("agency sum of another list", "AgentRequest", f"{_AGENT}/SUM", "30.00"),
        _one("agency total of another list", "AgentRequest", f"{_AGENT}/TOTAL", "3"),
        _one("agency total of 5 digits", "AgentRequest", f"{_AGENT}/TOTAL", "00002"),
        _one("agency memo of 43 bytes", "AgentRequest", f"{_AGENT}/MEMO", "工资" * 10 + "abc"),
        _one("agency reference left empty", "AgentRequest", f"{_AGENT}/YURREF", ""),
        _one("agency kind of a collection", "AgentRequest", f"{_AGENT}/TRSTYP", "AYTX"),
        _one("agency group flag in words", "AgentRequest", f"{_AGENT}/GRTFLG", "否"),
        _some("agency without a mode", "BUSMOD", "AgentRequest", no_mode),
        _one(
            "agency line text of 22 bytes",
            "AgentRequest",
            f"{_AGENT_LINE}[2]/TRSDSP",
            "工资奖金补贴补助合计共",
            "[2]/TRSDSP",
        ),
        _one("agency line bank flag as a number", "AgentRequest", f"{_AGENT_LINE}/BNKFLG", "1", "BNKFLG"),
        _one("agency line name of 64 bytes", "AgentRequest", f"{_AGENT_LINE}/CLTNAM", "丁" * 32, "CLTNAM"),
        _one("agency line without an account", "AgentRequest", f"{_AGENT_LINE}[2]/ACCNBR", None, "[2]/ACCNBR"),
        _one("agency line of three decimals", "AgentRequest", f"{_AGENT_LINE}[2]/TRSAMT", "2.000", "[2]/TRSAMT"),
        _parts("agency without a line", _AGENT_LINE, "AgentRequest", GOOD["AgentRequest"][:1]),
    )


def _enquiries() -> tuple[Mistake, ...]:
    one, many_ = "NTQRYSTYX1", "NTQRYSTNY1"
    days = ("BGNDAT", "ENDDAT")

    def period(operation: str, interface: str, first: str, last: str) -> dict[str, str | None]:
        return dict(zip((f"{interface}/{name}" for name in days), (first, last), strict=True))

    return (
        _some("status over a month", "DAT", "NTQRYSTY", period("NTQRYSTY", one, "20261024", "20261124")),
        _some("status with the days reversed", "DAT", "NTQRYSTY", period("NTQRYSTY", one, "20261124", "20261120")),
        _some("status of last winter", "DAT", "NTQRYSTY", period("NTQRYSTY", one, "20260105", "20260106")),
        _one("status without a reference", "NTQRYSTY", f"{one}/YURREF", None),
        _one("status by a part of the reference", "NTQRYSTY", f"{one}/YURREF", "GW2026010500000100000000000000*"),
        _one("status without a business code", "NTQRYSTY", f"{one}/BUSCOD", ""),
        _one("status from a day with hyphens", "NTQRYSTY", f"{one}/BGNDAT", "2026-11-23"),
        _one("status without a last day", "NTQRYSTY", f"{one}/ENDDAT", None),
        _some("list over a month", "DAT", "NTQRYSTN", period("NTQRYSTN", many_, "20261024", "20261124")),
        _some("list with the days reversed", "DAT", "NTQRYSTN", period("NTQRYSTN", many_, "20261124", "20261120")),
        _one("list by a day in words", "NTQRYSTN", f"{many_}/DATFLG", "经办日"),
        _one("list without a business code", "NTQRYSTN", f"{many_}/BUSCOD", None),
        _one("details of no number", "NTSTLINF", "NTSTLINFX/REQNBR", ""),
        _one("details of a number of 12 digits", "NTSTLINF", "NTSTLINFX/REQNBR", "000000000001"),
        _one("payroll details of no number", "NTAGDINF", "NTAGDINFY1/REQNBR", None),
        _one("agency details of no number", "GetAgentDetail", "SDKATDQYX/REQNBR", None),
        _one("modes of no business", "ListMode", "SDKMDLSTX/BUSCOD", None),
    )


def _balances_and_entries() -> tuple[Mistake, ...]:
    past, day = "NTQABINFY", "SDKRBPTRSX"
    accounts = [("NTQADINFX", {"BBKNBR": "69", "ACCNBR": f"7699000000{n:05d}"}) for n in range(31)]
    return (
        _parts("balances of 31 accounts", "NTQADINFX", "NTQADINF", accounts),
        _parts("balances of no account", "NTQADINFX", "NTQADINF", []),
        _one("balance at a branch in words", "NTQADINF", "NTQADINFX/BBKNBR", "75深圳"),
        _one("balance without an account", "NTQADINF", "NTQADINFX/ACCNBR", None),
        _one("past balance up to tomorrow", "SDKNTQABINF", f"{past}/ENDDAT", "20261125"),
        _one("past balance over 2 months", "SDKNTQABINF", f"{past}/BGNDAT", "20260923", "DAT"),
        _some(
            "past balance reversed", "DAT", "SDKNTQABINF", {f"{past}/BGNDAT": "20261123", f"{past}/ENDDAT": "20261101"}
        ),
        _one("past balance of an account of nobody", "SDKNTQABINF", f"{past}/ACCNBR", _NOBODY),
        _one("entries of several days", "GetTransInfoEX", f"{day}/TRSDAT", "20261120-20261124"),
        _one("entries of no day", "GetTransInfoEX", f"{day}/TRSDAT", None),
        _one("entries from a sequence in words", "GetTransInfoEX", f"{day}/TRSSEQ", "first"),
        _one("entries from sequence -1", "GetTransInfoEX", f"{day}/TRSSEQ", "-1"),
        _one("entries of an account of nobody", "GetTransInfoEX", f"{day}/ACCNBR", _NOBODY),
        _one("entries without a branch", "GetTransInfoEX", f"{day}/BBKNBR", None),
        _some(
            "entries by first and last day",
            "TRSDAT",
            "GetTransInfoEX",
            {f"{day}/TRSDAT": None, f"{day}/BGNDAT": "20261101", f"{day}/ENDDAT": "20261124"},
        ),
    )


def _notices_and_receipts() -> tuple[Mistake, ...]:
    slip = "CSRRCFDFY0"
    return (
        _one("notices by 10", "GetHisNoticeEX", "DCHISMSGX/RECNUM", "10"),
        _one("notices by 5000", "GetHisNoticeEX", "DCHISMSGX/RECNUM", "5000"),
        _one("notices by a number in words", "GetHisNoticeEX", "DCHISMSGX/RECNUM", "all"),
        _one("batch result without its set", "GetBatchPayOprRes", "SDQPYRSTX/RSTSET", None),
        _one("receipts of two months", "SDKCSFDFBRT", f"{slip}/BEGDAT", "20260924", "DAT"),
        _one("receipts with the days reversed", "SDKCSFDFBRT", f"{slip}/ENDDAT", "20261101", "DAT"),
        _one("receipts of a day with strokes", "SDKCSFDFBRT", f"{slip}/BEGDAT", "2026/11/24"),
        _one("receipts without an account", "SDKCSFDFBRT", f"{slip}/EACNBR", None),
    )
