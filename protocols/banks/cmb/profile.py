"""The profile of 招商银行 in front-end mode, as data: limits, replay rule, page size, what is only reconstructed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from protocols.bank import Profile, Replay, ReplayRule
from protocols.banks.cmb.options import Options
from protocols.banks.cmb.payment import REFERENCE_CHARS
from protocols.banks.cmb.requests import AGENCY_TEXT_BYTES, BANK_NAME_BYTES, LONG_NAME_BYTES, NAME_BYTES, PURPOSE_BYTES
from protocols.canon.limits import MONEY, QUESTION, FieldLimit, Limits, ReferenceForm
from protocols.canon.order import Channel, Kind
from protocols.kit.china import CNAPS, gbk_limits

AMOUNT_MOST: Final = 10**13 - 1
"""Type M is 13.2, read as 13 digits of which two are decimals; the page does not say which way it counts."""

RECONSTRUCTED: Final = (
    "the protocol: from the bank's guide of front-end 4.3.1 as public repositories keep it; nothing tried at the bank",
    "CRTFLG, TRSTYP of collections, CCYMKT, CNVNBR and GRTFLG: values or meaning not public",
    "CRTADR of a payee at another bank: orders carry no address",
    "that a payment which no enquiry shows may be sent again: the bank's cloud documents only, so not by default",
    "a repeat is refused with NCB4241 for as long as the window of the bank's cloud mode, 13 months",
    "STSCOD S, F, C and I of GetAgentDetail: the letters are public, their meanings are not; C is doubt",
    "the element in which NTAGCINY is asked, named after its sisters; the end of NTAGDINF's pages",
    "SDKCSFDFBRT: its elements from samples in public clients' tests; that TRSSEQ of a receipt is its entry's REFNBR",
    "where a notice carries RSTSET, and that GetHisNoticeEX tells it again",
    "lines a payroll or collection message may have; how far back entries and past balances go",
    "whether HTTP WEB answers with a form; the path of the HTTP request",
    "hours, cut-offs and time-outs",
)


def profile(options: Options, kinds: frozenset[Kind]) -> Profile:
    """The bank's profile under these options, for the kinds of order that it then carries."""
    single = ReplayRule(
        policy=Replay(options.replay),
        not_found_quarantine=timedelta(seconds=options.not_found_quarantine_s),
        not_found_count=2,
        window=timedelta(days=7),
    )
    never = replace(single, policy=Replay.NEVER)
    singles = (Kind.PAYMENT, Kind.TRANSFER)
    plain = limits(options)
    return Profile(
        name="cmb",
        title="China Merchants Bank (front-end mode)",
        title_zh="招商银行（前置机模式）",
        limits=plain,
        replay={kind: single if kind in singles else never for kind in Kind if kind in kinds},
        # The lines of payrolls and collections have no day.
        unstated={kind: frozenset({"day"}) for kind in (Kind.PAYROLL_ITEM, Kind.COLLECTION) if kind in kinds},
        serials_per_word=1,
        page_lines=100,
        history_days=options.history_days,
        enquiry_deadline=timedelta(hours=24),
        returns_watch=timedelta(days=7),
        reconstructed=RECONSTRUCTED,
        guessed=frozenset({"collection", "returns", "receipts"}),
        kind_limits={
            kind: replace(plain, fields=_agency_fields(kind) if kind is not Kind.TRANSFER else _fields(bank_name=False))
            for kind in (Kind.PAYROLL_ITEM, Kind.COLLECTION, Kind.TRANSFER)
            if kind in kinds
        },
        past_balance_days=options.past_balance_days,
        poll_every=timedelta(seconds=options.poll_every_s),
    )


def limits(options: Options) -> Limits:
    """The limits that intake checks before it accepts an order. Lengths are GBK bytes (type Z of the guide)."""
    pace = options.timing.pace({MONEY: options.submit_apart_s, QUESTION: options.query_apart_s})
    reference = ReferenceForm(length=REFERENCE_CHARS, prefix=options.reference_prefix)
    most = options.max_amount_minor or AMOUNT_MOST
    return gbk_limits(_fields(), (Channel.AUTO, Channel.SAME_BANK), pace, reference, most)


def _fields(*, bank_name: bool = True) -> tuple[FieldLimit, ...]:
    """The fields of an order. `bank_name`: whether the payee's bank must be named. A transfer without it stays inside
    this bank."""
    return (
        FieldLimit("/debtor/account", required=True),
        FieldLimit("/creditor/account", required=True),
        FieldLimit("/creditor/name", max_bytes=LONG_NAME_BYTES, required=True),
        FieldLimit("/creditor/bank_name", max_bytes=BANK_NAME_BYTES, required=bank_name),
        FieldLimit("/creditor/cnaps", pattern=CNAPS),
        FieldLimit("/purpose", max_bytes=PURPOSE_BYTES),
    )


def _agency_fields(kind: Kind) -> tuple[FieldLimit, ...]:
    """The fields of a line of a payroll or a collection. The other party's name and the line's text are shorter than in
    a payment."""
    other = "debtor" if kind is Kind.COLLECTION else "creditor"
    return (
        FieldLimit("/debtor/account", required=True),
        FieldLimit("/creditor/account", required=True),
        FieldLimit(f"/{other}/name", max_bytes=NAME_BYTES, required=True),
        FieldLimit("/purpose", max_bytes=AGENCY_TEXT_BYTES),
    )
