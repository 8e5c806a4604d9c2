"""Mistakes of 兴业 CIB's clients, written from the bank's page by a reader who did not know the twin's rules.

Each mistake is one that the programmer of an ERP makes who knows the page badly, or another bank's interface well.
"""

from __future__ import annotations

from functools import partial

from tests.protocols.banks.cib.client_mistakes import (
    GOOD,
    HOLDER,
    LINES,
    LOG_ON,
    PAYER,
    TODAY,
    TOMORROW,
    YESTERDAY,
    batch,
    line,
    request,
)
from tests.protocols.banks.mistakes import Mistake

STRANGER = "000000000000000099"
INFO, TO = "XFERRQ/XFERINFO", "XFERRQ/XFERINFO/ACCTTO"
WAGES, CLAIMS = "RPAYOFFRQ/RPAYOFFINFO", "GATHERRQ/GATHERINFO"
PERIOD = "SCUSTSTMTRQ/INCTRAN"
LINES_MOST, WAGES_MOST = 100, 300


def mistakes() -> tuple[Mistake, ...]:
    """Mistakes in every part of the page: carrier, log-on, payments, bundles, questions, receipts."""
    return (
        *_carrier(),
        *_log_on(),
        *_shape(),
        *_accounts(),
        *_amounts_and_texts(),
        *_rails_and_days(),
        *_pool_and_fast(),
        *_realtime_batches(),
        *_async_batches(),
        *_payrolls(),
        *_collections(),
        *_enquiries(),
        *_entries(),
        *_balances_and_receipts(),
    )


def _changed(name: str, operation: str, path: str, text: str | None, *, code: str = "", place: str = "") -> Mistake:
    """A good request with another text at `path`. Without `place`, the last name of the path is the place."""
    named = place or path.rpartition("@")[2].rpartition("/")[2]
    return Mistake(name, partial(request, operation, {path: text}), named, code=code)


def _paid(name: str, below: str, text: str | None, *, code: str = "") -> Mistake:
    """A payment (XFERTRN) with another text at `below` its XFERINFO."""
    return _changed(name, "XFERTRN", f"{INFO}/{below}", text, code=code)


def _replaced(name: str, place: str, operation: str, old: str, new: str) -> Mistake:
    return Mistake(name, partial(request, operation, replaced=(old, new)), place)


def _carrier() -> tuple[Mistake, ...]:
    return (
        Mistake(
            "a form's Content-Type",
            partial(request, "XFERTRN", headers={"Content-Type": "application/x-www-form-urlencoded"}),
            "Content-Type",
        ),
        Mistake("a GET with a body", partial(request, "XFERTRN", method="GET"), "method"),
    )


def _log_on() -> tuple[Mistake, ...]:
    pay = "XFERTRN"
    twice = "</SONRQ><SONRQ><CID>1100000001</CID></SONRQ>"
    return (
        _changed("another company's CID", pay, "SONRQ/CID", "1100000002"),
        _changed("no CID", pay, "SONRQ/CID", None),
        _changed("a user of nobody", pay, "SONRQ/USERID", "erp02", code="2000"),
        _changed("a password in other case", pay, "SONRQ/USERPASS", "Secret", code="15500"),
        _changed("no password and no USERKEY", pay, "SONRQ/USERPASS", None),
        _changed("GENUSERKEY as a word", pay, "SONRQ/GENUSERKEY", "false"),
        _changed("DTCLIENT without separators", pay, "SONRQ/DTCLIENT", "20261124120000"),
        _changed("DTCLIENT without a time", pay, "SONRQ/DTCLIENT", TODAY),
        _replaced("two log-ons in one message", "SONRQ", pay, "</SONRQ>", twice),
        _replaced(
            "the user before the customer",
            "SONRQ",
            pay,
            "<CID>1100000001</CID><USERID>erp01</USERID>",
            "<USERID>erp01</USERID><CID>1100000001</CID>",
        ),
        _replaced(
            "no log-on at all",
            "SONRQ",
            "CURRACCTQUERYTRN",
            f"<SIGNONMSGSRQV1><SONRQ>{LOG_ON}</SONRQ></SIGNONMSGSRQV1>",
            "",
        ),
    )


def _shape() -> tuple[Mistake, ...]:
    pay = "XFERTRN"
    return (
        Mistake("an operation without RQ at its end", partial(request, pay, tag="XFERTRN"), "XFERTRN"),
        Mistake("an operation in small letters", partial(request, pay, tag="xfertrnrq"), "xfertrnrq"),
        Mistake("a payment without TRNUID", partial(request, pay, trnuid=""), "TRNUID"),
        Mistake("a TRNUID of 31 characters", partial(request, pay, trnuid="P" * 31), "TRNUID"),
        Mistake(
            "a TRNUID like a UUID with hyphens",
            partial(request, pay, trnuid="0f8fad5b-d9cb-469f-a165-70867728950e"),
            "TRNUID",
        ),
        Mistake("a root element in small letters", lambda: request(pay).replace(b"FOX>", b"fox>"), "FOX"),
        _replaced(
            "the memo before the purpose",
            "PURPOSE",
            pay,
            "<PURPOSE>货款</PURPOSE><MEMO>PO-77</MEMO>",
            "<MEMO>PO-77</MEMO><PURPOSE>货款</PURPOSE>",
        ),
        _replaced(
            "the payee's name before its account",
            "ACCTID",
            pay,
            "<ACCTID>0000000000000025</ACCTID><NAME>示例乙公司</NAME>",
            "<NAME>示例乙公司</NAME><ACCTID>0000000000000025</ACCTID>",
        ),
        _replaced(
            "two amounts in one payment",
            "TRNAMT",
            pay,
            "<TRNAMT>1024.50</TRNAMT>",
            "<TRNAMT>1024.50</TRNAMT><TRNAMT>1.00</TRNAMT>",
        ),
        _replaced("a payment with two XFERINFO", "XFERINFO", pay, "</XFERRQ>", GOOD[pay].removeprefix("<XFERRQ>")),
        _replaced(
            "XFERINFO without XFERRQ around it",
            "XFERRQ",
            pay,
            GOOD[pay],
            GOOD[pay].removeprefix("<XFERRQ>").removesuffix("</XFERRQ>"),
        ),
        _replaced(
            "INTERBANK and LOCAL as elements",
            "INTERBANK",
            pay,
            '<ACCTTO INTERBANK="N" LOCAL="N">',
            "<ACCTTO><INTERBANK>N</INTERBANK><LOCAL>N</LOCAL>",
        ),
        _replaced(
            "TRNUID behind the content",
            "TRNUID",
            pay,
            f"<TRNUID>MISTAKE-1</TRNUID>{GOOD[pay]}",
            f"{GOOD[pay]}<TRNUID>MISTAKE-1</TRNUID>",
        ),
    )


def _accounts() -> tuple[Mistake, ...]:
    return (
        _paid("a payer's account of 19 digits", "ACCTFROM/ACCTID", "0" + PAYER),
        _paid("a payment without the payer's account", "ACCTFROM/ACCTID", None),
        _paid("the payer's short name", "ACCTFROM/NAME", "甲公司", code="2002"),
        _paid("a payment without the payee's account", "ACCTTO/ACCTID", None),
        _paid("a payee's account in groups of four", "ACCTTO/ACCTID", "6222 0210 0000 0025"),
        _paid("a payee's account with an underscore", "ACCTTO/ACCTID", "6222_0025"),
        _paid("a payee's account of 33 digits", "ACCTTO/ACCTID", "6" * 33),
        _paid("a payee's name with an ampersand", "ACCTTO/NAME", "A&B 公司"),
        _paid("this bank's name for another bank", "ACCTTO/BANKDESC", "兴业银行福州分行"),
        _paid("a bank's name of 26 Chinese characters", "ACCTTO/BANKDESC", "行" * 26),
        _paid("a bank's number of eleven digits", "ACCTTO/BANKNUM", "10534500000"),
        _paid("a SWIFT code as the bank's number", "ACCTTO/BANKNUM", "ICBKCNBJXXX1"),
        _paid("a city of 16 Chinese characters", "ACCTTO/CITY", "市" * 16),
        _paid("LOCAL in small letters", "ACCTTO@LOCAL", "n"),
        _paid("a payee without LOCAL", "ACCTTO@LOCAL", None),
    )


def _amounts_and_texts() -> tuple[Mistake, ...]:
    return (
        _paid("an amount with tenths of a fen", "TRNAMT", "1024.505", code="2006"),
        _paid("an amount with a decimal comma", "TRNAMT", "1024,50", code="2006"),
        _paid("a negative amount", "TRNAMT", "-1024.50"),
        _paid("an amount with an exponent", "TRNAMT", "1.0E3", code="2006"),
        _paid("a payment without an amount", "TRNAMT", None),
        _paid("the currency as an account's 01", "CURSYM", "01"),
        _paid("a payment without a purpose", "PURPOSE", None),
        _paid("a purpose with a sign of less", "PURPOSE", "a<b"),
        _paid("a memo of 31 Chinese characters", "MEMO", "注" * 31),
        _paid("a memo with a sign of more", "MEMO", "PO>77"),
        Mistake("a character outside GBK", partial(request, "XFERTRN", {f"{INFO}/MEMO": "谢谢😀"}), "MEMO"),
    )


def _rails_and_days() -> tuple[Mistake, ...]:
    small = {f"{INFO}/TRNAMT": "10.00"}
    return (
        Mistake(
            "an instant payment without the bank's number",
            partial(request, "XFERTRN", {f"{INFO}/PMTMODE": "SUPER", f"{TO}/BANKNUM": None, **small}),
            "BANKNUM",
        ),
        _paid("a PMTMODE of another bank", "PMTMODE", "FAST"),
        _paid("a DTDUE of yesterday", "DTDUE", YESTERDAY),
        _paid("a DTDUE that is no day", "DTDUE", "2026-11-31"),
    )


def _pool_and_fast() -> tuple[Mistake, ...]:
    pool, fast = "XPMTTRN", "ICTRANSFERTRN"
    return (
        _changed("a pool without its centre's account", pool, "XMPTRQ/FUNDACCT/ACCTID", None),
        _changed("a pool's payment without an amount", pool, "XMPTRQ/XFERINFO/TRNAMT", None),
        _replaced(
            "XPMTRQ, which only the answer spells so",
            "XMPTRQ",
            fast,
            GOOD[fast],
            GOOD[fast].replace("XMPTRQ", "XPMTRQ"),
        ),
        _replaced("a fast payment inside XFERRQ", "XMPTRQ", fast, GOOD[fast], GOOD["XFERTRN"]),
        _changed("a fast payment from somebody else's account", fast, "XMPTRQ/XFERINFO/ACCTFROM/ACCTID", STRANGER),
        _changed("a fast payment without a purpose", fast, "XMPTRQ/XFERINFO/PURPOSE", None),
    )


def _realtime_batches() -> tuple[Mistake, ...]:
    many, body = "RBATCHTRSFRTRN", "RQBODY"
    first = "<XFERINFO>" + GOOD[many].partition("<XFERINFO>")[2].partition("</XFERINFO>")[0] + "</XFERINFO>"
    more = "".join(first.replace("<INDX>1<", f"<INDX>{number}<") for number in range(3, LINES_MOST + 2))
    sums = {f"{body}/TOTALCOUNT": str(LINES_MOST + 1), f"{body}/TOTALAMOUNT": f"{LINES_MOST + 2}.00"}
    return (
        _changed("a batch with a count of one too many", many, f"{body}/TOTALCOUNT", "3", code="51027"),
        _changed("a batch with its sum multiplied by a hundred", many, f"{body}/TOTALAMOUNT", "300.00", code="51027"),
        _changed("a batch without a sum", many, f"{body}/TOTALAMOUNT", None),
        _changed("BIZTYPE 4", many, f"{body}/BIZTYPE", "4"),
        _changed("a batch from somebody else's account", many, f"{body}/ACCTFROM/ACCTID", STRANGER),
        _changed("a batch in CNY", many, f"{body}/CURSYM", "CNY"),
        Mistake(
            "a batch of 101 lines", partial(request, many, sums, replaced=("</RQBODY>", more + "</RQBODY>")), "XFERINFO"
        ),
        _changed("two lines of one number", many, f"{body}/XFERINFO[2]/INDX", "1"),
        _changed("a line's number of six digits", many, f"{body}/XFERINFO[2]/INDX", "100002"),
        _changed("a line's use of 31 Chinese characters", many, f"{body}/XFERINFO[2]/USE", "用" * 31),
        _changed("a line's remark of 26 Chinese characters", many, f"{body}/XFERINFO[2]/REMARK", "注" * 26),
        _changed("a line without the payee's name", many, f"{body}/XFERINFO[2]/ACCTTO/NAME", None),
        _changed("a line to another bank without its name", many, f"{body}/XFERINFO[2]/ACCTTO/BANKDESC", None),
        Mistake(
            "a line of nothing",
            partial(request, many, {f"{body}/XFERINFO[2]/TRNAMT": "0.00", f"{body}/TOTALAMOUNT": "1.00"}),
            "TRNAMT",
        ),
    )


def _async_batches() -> tuple[Mistake, ...]:
    one = {"RQBODY/TOTALCOUNT": "1", "RQBODY/TOTALAMOUNT": "1.00"}
    most = tuple(line(number) for number in range(1, LINES_MOST + 2))
    sums = {"RQBODY/TOTALCOUNT": str(LINES_MOST + 1), "RQBODY/TOTALAMOUNT": f"{LINES_MOST + 1}.00"}

    def of_one(name: str, row: str, place: str = "XFERINFOTEXT") -> Mistake:
        return Mistake(name, partial(batch, row, changes=one), place)

    return (
        Mistake("an async batch of 101 lines", partial(batch, *most, changes=sums), "XFERINFOTEXT"),
        Mistake(
            "two async lines of one number", partial(batch, LINES[0], LINES[1].replace("2|", "1|", 1)), "XFERINFOTEXT"
        ),
        of_one("a line without its last bar", line().removesuffix("|")),
        of_one("a line with a cell too few", line().replace("|台州|", "|", 1)),
        of_one("a line with a bar inside its use", line(use="货|款")),
        of_one("a line with commas", line().replace("|", ",")),
        of_one("a line's flag of this bank as 0", line(inside="0")),
        of_one("an async line's bank number of eleven digits", line(number_of_bank="10534500000")),
        of_one("a line's amount with a separator", line(amount="1,000.00")),
        of_one("a line's amount with three decimals", line(amount="1.000")),
        of_one("a negative line", line(amount="-1.00")),
        of_one("an async line without the payee's name", line(name="")),
        of_one("an async line without the payee's account", line(account="")),
        of_one("an async line to another bank with this bank's name", line(bank="兴业银行台州分行")),
        of_one("an async line's name of 26 Chinese characters", line(name="名" * 26)),
        Mistake(
            "an async batch from somebody else's account",
            partial(batch, *LINES, changes={"RQBODY/ACCTFROM/ACCTID": STRANGER}),
            "ACCTID",
        ),
    )


def _payrolls() -> tuple[Mistake, ...]:
    pay, row = "RPAYOFFTRN", f"{WAGES}/RPAYOFFLIST/RPAYOFF[2]"
    first = "<RPAYOFF>" + GOOD[pay].partition("<RPAYOFF>")[2].partition("</RPAYOFF>")[0] + "</RPAYOFF>"
    more = "".join(first.replace("<INDX>1<", f"<INDX>{number}<") for number in range(3, WAGES_MOST + 2))
    sums = {f"{WAGES}/TOTALCOUNT": str(WAGES_MOST + 1), f"{WAGES}/TOTALAMOUNT": f"{WAGES_MOST + 2}.00"}
    end = "</RPAYOFFLIST>"
    return (
        _changed("a payroll's DESCRIPTION in words", pay, f"{WAGES}/DESCRIPTION", "工资"),
        _changed("a payroll with a wrong sum", pay, f"{WAGES}/TOTALAMOUNT", "2.00", code="51027"),
        _changed("a payroll in 30 days", pay, f"{WAGES}/DTDUE", "2026-12-24"),
        _changed("a payroll's remark of 26 Chinese characters", pay, f"{WAGES}/REMARK", "注" * 26),
        _changed("a payroll from somebody else's account", pay, f"{WAGES}/ACCTFROM/ACCTID", STRANGER),
        Mistake("a payroll of 301 cards", partial(request, pay, sums, replaced=(end, more + end)), "RPAYOFF"),
        _changed("two cards of one number", pay, f"{row}/INDX", "1"),
        _changed("a card's number of eleven digits", pay, f"{row}/INDX", "10000000002"),
        _changed("a wage without a name", pay, f"{row}/ACCTNAME", None),
        _changed("a card of another bank with 19 digits", pay, f"{row}/ACCTID", "0000020000000000025"),
        _changed("a wage without an amount", pay, f"{row}/TRNAMT", None),
        _replaced(
            "wages outside their list",
            "RPAYOFFLIST",
            pay,
            GOOD[pay],
            GOOD[pay].replace("<RPAYOFFLIST>", "").replace(end, ""),
        ),
    )


def _collections() -> tuple[Mistake, ...]:
    take, row = "GATHERTRN", f"{CLAIMS}/PAYINFO[2]"
    return (
        _changed("a collection to somebody else's account", take, f"{CLAIMS}/ACCTTO/ACCTID", STRANGER),
        _changed("a BIZCODE without its zeros", take, f"{CLAIMS}/BIZCODE", "100"),
        _changed("LIMITDAYS 0", take, f"{CLAIMS}/LIMITDAYS", "0"),
        _changed("a claim without a contract", take, f"{row}/CONTRACTID", None),
        _changed("a contract's number of 61 characters", take, f"{row}/CONTRACTID", "H" * 61),
        _changed("a claim's number of nine digits", take, f"{row}/INDX", "100000002"),
        _changed("a claim without the payer's account", take, f"{row}/ACCTFROM/ACCTID", None),
        _changed("a claim's purpose of 16 Chinese characters", take, f"{row}/PURPOSE", "费" * 16),
        _changed("a claim with three decimals", take, f"{row}/APPLYAMT", "8.000"),
        _changed("two claims of one number", take, f"{row}/INDX", "1"),
    )


def _enquiries() -> tuple[Mistake, ...]:
    ask = "XFERINQTRN"
    return (
        _changed("an enquiry with an empty CLIENTREF", ask, "XFERINQRQ/CLIENTREF", ""),
        _changed("an enquiry about 31 characters", ask, "XFERINQRQ/CLIENTREF", "P" * 31),
        _changed(
            "a payroll's enquiry under its own TRNUID",
            "RPAYOFFINQTRN",
            "XFERINQRQ/CLIENTREF",
            "MISTAKE-1",
            place="TRNUID",
        ),
        _replaced(
            "an enquiry in a payment's element", "XFERINQRQ", ask, GOOD[ask], GOOD[ask].replace("XFERINQRQ", "XFERRQ")
        ),
    )


def _entries() -> tuple[Mistake, ...]:
    ask, file = "SCUSTSTMTTRN", "FSTMTTRN"
    return (
        _changed("entries of somebody else's account", ask, "SCUSTSTMTRQ/ACCTFROM/ACCTID", STRANGER),
        _changed("entries without an account", ask, "SCUSTSTMTRQ/ACCTFROM/ACCTID", None),
        _changed("entries to tomorrow", ask, f"{PERIOD}/DTEND", TOMORROW),
        _changed("entries from the end to the beginning", ask, f"{PERIOD}/DTEND", "2026-11-20", place="DTSTART"),
        _changed("entries from a day without separators", ask, f"{PERIOD}/DTSTART", "20261123"),
        _changed("entries without an end", ask, f"{PERIOD}/DTEND", None),
        _changed("entries without a page", ask, f"{PERIOD}/PAGE", None),
        _changed("entries of TRNTYPE DEBIT", ask, f"{PERIOD}/TRNTYPE", "DEBIT"),
        _changed("entries of version 3.0", ask, "SCUSTSTMTRQ/VERSION", "3.0"),
        _changed("file rows in pages of 50", file, f"{PERIOD}/NUM", "50"),
        Mistake(
            "file rows with their amounts reversed",
            partial(request, file, {f"{PERIOD}/MINAMT": "99.00", f"{PERIOD}/MAXAMT": "0.01"}),
            "AMT",
        ),
        _replaced(
            "file rows in an element FSTMTRQ",
            "SCUSTSTMTRQ",
            file,
            GOOD[file],
            GOOD[file].replace("SCUSTSTMTRQ", "FSTMTRQ"),
        ),
    )


def _balances_and_receipts() -> tuple[Mistake, ...]:
    past, ask = "HISBALQUERYRQ/HISBALQUERYINFO", "HISBALQUERYTRN"
    job, files = "ELECTRONICRECEIPTTRN", "ASYNRECEIPTINFOTRN"
    return (
        _changed("a balance of somebody else's account", "CURRACCTQUERYTRN", "RQBODY/ACCTID", STRANGER),
        _changed("a balance of 33 digits", "CURRACCTQUERYTRN", "RQBODY/ACCTID", "0" * 15 + PAYER),
        _replaced(
            "a balance with the account outside its body",
            "RQBODY",
            "CURRACCTQUERYTRN",
            f"<RQBODY><ACCTID>{PAYER}</ACCTID></RQBODY>",
            f"<ACCTID>{PAYER}</ACCTID>",
        ),
        _changed("past balances of two years", ask, f"{past}/DTSTART", "2024-11-23", code="6000", place="DTEND"),
        _changed("past balances from the end to the beginning", ask, f"{past}/DTEND", "2026-11-20", place="DTSTART"),
        _changed("past balances of 19 digits", ask, f"{past}/ACCTID", "0" + PAYER),
        _changed("past balances under another name", ask, f"{past}/ACCTNAME", HOLDER + "分公司"),
        _changed("a receipt without a day", job, "RQBODY/RECEIPTDATE", None),
        _changed("a receipt's type without its zero", job, "RQBODY/RECEIPT_TYPE", "1"),
        _changed("a receipt of somebody else's account", job, "RQBODY/ACCTID", STRANGER),
        Mistake(
            "a second receipt job under a new TRNUID",
            partial(request, job, trnuid="MISTAKE-3"),
            "RECEIPT",
            code="2002",
            before=(partial(request, job, trnuid="MISTAKE-2"),),
        ),
        _changed("receipt files from page 0", files, "RQBODY@PAGE", "0"),
        _changed("receipt files of no job", files, "RQBODY/CLT_REF_NO", ""),
    )
