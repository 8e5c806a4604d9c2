"""Mistakes of 浦发 SPDB's clients, written from the bank's page by a reader who did not know the twin's rules.

Each mistake is one that the programmer of an ERP makes who knows the page badly, or another bank's interface well.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import partial

from tests.protocols.banks.mistakes import Mistake
from tests.protocols.banks.spdb.client_mistakes import (
    BODIES,
    HOLDER,
    OWN_PAYEE,
    VOUCHER,
    clear_body,
    framed,
    packet,
    posted,
    request,
    signature,
)
from tests.protocols.banks.spdb.paper import DEBTOR

STRANGER = "0000021001000000077"
PAY, BATCH, FIND = "8801", "8800", "8804"
SIGNED_WRONG, USED_TODAY, OTHER_NAME = "EYY9994", "EYY8990", "EGG0346"


def mistakes() -> tuple[Mistake, ...]:
    """Mistakes in every part of the page: length, packet, signature, payments, batches, questions."""
    return (
        *_lengths(),
        *_packets(),
        *_signatures(),
        *_sign_port(),
        *_accounts(),
        *_amounts_and_days(),
        *_flags_and_texts(),
        *_batches(),
        *_records(),
        *_authorisations(),
        *_balances_and_entries(),
    )


def _changed(name: str, operation: str, place: str, text: str | None, *, named: str = "") -> Mistake:
    """A good request with another text at `place`. A finding must name the last part of it, or `named`."""
    return _together(name, named or place.rpartition("/")[2], operation, {place: text})


def _together(name: str, place: str, operation: str, changes: Mapping[str, str | None], *, code: str = "") -> Mistake:
    return Mistake(name, partial(request, operation, changes), place, code=code)


def _paid(name: str, place: str, text: str | None) -> Mistake:
    """A single payment with another text at `place`."""
    return _changed(name, PAY, place, text)


def _good() -> bytes:
    return clear_body(PAY).encode("gb18030")


def _lengths() -> tuple[Mistake, ...]:
    document = packet(PAY, _good())
    short = len(document)
    return (
        Mistake("a length of eight digits", lambda: framed(document, f"{short + 8:08d}"), "length"),
        Mistake("a length in hexadecimal", lambda: framed(document, f"{short + 6:06x}"), "length"),
        Mistake("a length that counts a line end", lambda: framed(document, f"{short + 8:06d}"), "length"),
        Mistake("PAB's flag before the length", lambda: framed(document, f"0{short + 6:<6d}"), "length"),
    )


def _packets() -> tuple[Mistake, ...]:
    good = packet(PAY, _good())
    before = partial(request, PAY, {"head/packetID": "20260105101600000077"})
    repeated = partial(request, PAY, {"head/packetID": "20260105101600000077", "elecChequeNo": VOUCHER[:-2] + "77"})
    whole = good.decode("gb18030")

    def written(text: str) -> bytes:
        return framed(text.encode("gb18030"))

    return (
        _paid("a packetID like a UUID", "head/packetID", "0f8fad5b-d9cb-469f-a165-70867728950e"),
        Mistake("a packetID used a second time today", repeated, "packetID", code=USED_TODAY, before=(before,)),
        _paid("a packet without transCode", "head/transCode", None),
        _paid("a transCode that the page does not have", "head/transCode", "8802"),
        _changed("a transCode in small letters", "DO48", "head/transCode", "do48"),
        _paid("a timeStamp without a time", "head/timeStamp", "2026-01-05"),
        _paid("a packet without timeStamp", "head/timeStamp", None),
        Mistake("a packet without head", partial(written, whole.replace("head>", "header>")), "head"),
        Mistake("a packet cut off", partial(written, whole[: len(whole) // 2]), "packet"),
    )


def _signatures() -> tuple[Mistake, ...]:
    text = clear_body(PAY)
    declared = f"<?xml version='1.0' encoding='GBK'?>{text}"
    inner = text.removeprefix("<body>").removesuffix("</body>")
    other = clear_body("4402").encode("gb18030")
    by_hand = base64.b64encode(_good()).decode("ascii")

    def signed(content: str, charset: str = "gb18030") -> bytes:
        return framed(packet(PAY, content.encode(charset)))

    return (
        Mistake("a signed text with its declaration", partial(signed, declared), "signature"),
        Mistake("a signed text without its body element", partial(signed, inner), "body"),
        Mistake("the whole packet signed", lambda: signed(packet(PAY, _good(), sign="").decode("gb18030")), "body"),
        Mistake("a signed text with an ampersand", partial(signed, text.replace("测试", "A&B")), "body"),
        Mistake("a signed text with two bodies", partial(signed, text + text), "body"),
        Mistake("a question's signature under a payment's code", lambda: framed(packet(PAY, other)), "elecChequeNo"),
        Mistake(
            "the text in Base64 as its signature",
            lambda: framed(packet(PAY, b"", sign=by_hand)),
            "signature",
            code=SIGNED_WRONG,
        ),
        Mistake(
            "a signature cut to 1000 characters",
            lambda: framed(packet(PAY, b"", sign=signature(_good())[:1000])),
            "signature",
            code=SIGNED_WRONG,
        ),
        Mistake(
            "a signature encoded twice",
            lambda: framed(packet(PAY, b"", sign=base64.b64encode(signature(_good()).encode()).decode())),
            "signature",
            code=SIGNED_WRONG,
        ),
    )


def _sign_port() -> tuple[Mistake, ...]:
    return (
        Mistake("a text to sign sent as text/plain", lambda: posted(_good()), "Content-Type", port="sign"),
        Mistake(
            "an answer to verify that is no Base64",
            lambda: posted(b"<body/>", "INFOSEC_VERIFY_SIGN/1.0"),
            "signature",
            port="sign",
        ),
        Mistake(
            "a text to sign fetched by GET", lambda: posted(_good(), "INFOSEC_SIGN/1.0", "GET"), "method", port="sign"
        ),
    )


def _accounts() -> tuple[Mistake, ...]:
    inside = {"payeeAcctNo": OWN_PAYEE, "sysFlag": "0", "payeeBankName": "浦发银行某支行"}
    return (
        _paid("a payment without the payer's account", "acctNo", ""),
        _paid("the payer's short name", "acctName", HOLDER[2:]),
        _paid("a payment without the payee's name", "payeeName", ""),
        _together("the payer's account under another spelling", "acctNo", PAY, {"acctNo": None, "AcctNo": DEBTOR}),
        _together(
            "a payee at this bank under another name",
            "payeeName",
            PAY,
            {**inside, "payeeName": "示例乙公司"},
            code=OTHER_NAME,
        ),
        _paid("a bank's number of eleven digits", "payeeBankNo", "10210009999"),
        _paid("a bank's number in letters", "payeeBankNo", "ICBKCNBJXXX1"),
    )


def _amounts_and_days() -> tuple[Mistake, ...]:
    def amount(name: str, text: str) -> Mistake:
        return _together(name, "amount", PAY, {"amount": text, "totalAmount": text})

    return (
        amount("an amount of nothing", "0.00"),
        amount("a negative amount", "-1.00"),
        amount("an amount with a thousands separator", "1,000.00"),
        amount("an amount with tenths of a fen", "1.005"),
        amount("an amount with a currency", "CNY1.00"),
        amount("an amount with an exponent", "1E2"),
        amount("an amount in full-width digits", "１．００"),
        amount("no amount", ""),
        _paid("a single payment with its sum in fen", "totalAmount", "1.00"),
        _paid("a single payment without a count", "totalNumber", None),
        _paid("a single payment with its count in words", "totalNumber", "一"),
        _paid("a schedule in two months", "bespeakDate", "20260305"),
        _paid("a schedule for no day of the calendar", "bespeakDate", "20260132"),
    )


def _flags_and_texts() -> tuple[Mistake, ...]:
    return (
        _paid("a payment without payeeType", "payeeType", ""),
        _paid("a payment without remitLocation", "remitLocation", ""),
    )


def _batches() -> tuple[Mistake, ...]:
    def twice() -> bytes:
        text, line = clear_body(BATCH), clear_body(BATCH).partition("<lists>")[2].partition("</list>")[0] + "</list>"
        doubled = text.replace("</lists>", f"</lists><lists>{line}</lists>")
        return framed(packet(BATCH, doubled.encode("gb18030")))

    def unlisted() -> bytes:
        text = clear_body(BATCH).replace("<lists>", "").replace("</lists>", "")
        return framed(packet(BATCH, text.encode("gb18030")))

    none = {"totalNumber": "0", "totalAmount": "0.00"}
    return (
        Mistake("a batch without lines", partial(request, BATCH, none, rows=()), "list"),
        Mistake("lines outside their lists", unlisted, "list"),
        Mistake("lines in two lists", twice, "list"),
        _changed("a batch with its sum in fen", BATCH, "totalAmount", "2"),
        _changed("a batch without a sum", BATCH, "totalAmount", None),
        _changed("a line without a voucher", BATCH, "list[2]/elecChequeNo", ""),
        _changed("a line under another payer's name", BATCH, "list[2]/acctName", "示例丙公司"),
        _changed("a line without the payee's account", BATCH, "list[1]/payeeAcctNo", None),
        _changed("a line without the payee's name", BATCH, "list[2]/payeeName", ""),
        _changed("a line with three decimals", BATCH, "list[2]/amount", "0.010"),
        _together("a line of nothing", "amount", BATCH, {"list[2]/amount": "0.00", "totalAmount": "0.01"}),
        _together("a line that takes money", "amount", BATCH, {"list[2]/amount": "-0.01", "totalAmount": "0.00"}),
        _changed("a line's schedule with slashes", BATCH, "list[2]/bespeakDate", "2026/01/06"),
    )


def _records() -> tuple[Mistake, ...]:
    return (
        _changed("records in pages of nothing", FIND, "queryNumber", "0"),
        _changed("all records at once", FIND, "queryNumber", "ALL"),
        _changed("records without a place", FIND, "beginNumber", ""),
        _changed("records of no account", FIND, "acctNo", ""),
        _changed("records from the end to the beginning", FIND, "endDate", "20260104", named="beginDate"),
        _changed("records to the 31st of September", FIND, "endDate", "20260931"),
    )


def _authorisations() -> tuple[Mistake, ...]:
    packages, single = "DO48", "EY03"
    return (
        _changed("decisions from place 0", packages, "beginNumber", "0"),
        _changed("decisions of two months", packages, "beginDate", "20251105", named="Date"),
        _changed("decisions from the end to the beginning", packages, "endDate", "20260104", named="beginDate"),
        _changed("decisions without a beginning", packages, "beginDate", None),
        _changed("a decision from the end to the beginning", single, "endDate", "20260101", named="beginDate"),
        _changed("a decision without its type", single, "transType", ""),
        _changed("a decision about somebody else's account", single, "acctNo", STRANGER),
        _changed("a decision about a day with hyphens", single, "beginDate", "2026-01-05"),
    )


def _balances_and_entries() -> tuple[Mistake, ...]:
    ask, entries = "4402", "8924"

    def renamed(name: str) -> bytes:
        text = clear_body(ask).replace(' name="acctList"', name)
        return framed(packet(ask, text.encode("gb18030")))

    def flat() -> bytes:
        fields = "".join(f"<{name}>{text}</{name}>" for name, text in {**BODIES[ask], "acctNo": OWN_PAYEE}.items())
        return framed(packet(ask, f"<body>{fields}</body>".encode("gb18030")))

    return (
        Mistake("a balance without its lists", flat, "list"),
        Mistake("balances in a list of another name", partial(renamed, ' name="acctBalanceList"'), "lists"),
        _changed("a balance of an empty number", ask, "list[2]/acctNo", ""),
        _changed("entries of no account", entries, "acctNo", ""),
        _changed("entries from the end to the beginning", entries, "endDate", "20260104", named="beginDate"),
        _changed("entries from place 0", entries, "beginNumber", "0"),
        _changed("entries from a day with hyphens", entries, "beginDate", "2026-01-05"),
    )
