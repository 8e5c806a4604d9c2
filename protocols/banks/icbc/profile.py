"""The profile of 工商银行, as data: limits, replay rule, page size, and what is only reconstructed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from protocols.bank import Profile, Replay, ReplayRule
from protocols.banks.icbc.options import Options
from protocols.canon.limits import FieldLimit, Limits, ReferenceForm
from protocols.canon.order import Channel, Kind
from protocols.kit.china import CNAPS, gbk_limits

RECONSTRUCTED: Final = (
    "the whole protocol: from public clients and pieces of the bank's text, not from the bank's own manual",
    "RetCodes of a repeated fSeqno, of a package that does not exist and of 'no rows': options, without a value",
    "lines a package may have, lengths of fields, amounts, pace, hours and time-outs",
    "PAYPER's line layout (written like PAYENT's) and the answers of PAYPER and PERDIS (read like PAYENT's)",
    "PayType 1 for urgent orders; SysIOFlg from the payee bank's name or number; RecCityName from the settings",
    "LastTranDate of QACCBAL as the work date; its AccBalance as the closing balance of the calendar day before",
    "OnlySequence as the key of an entry, the same today and later; the days that one QHISD may span",
)

_NUMBER: Final = FieldLimit("/creditor/cnaps", pattern=CNAPS)


def kinds(options: Options) -> Iterator[Kind]:
    """The kinds of order this customer may send, single ones first."""
    yield from (Kind.PAYMENT, Kind.TRANSFER, Kind.BATCH_ITEM, Kind.COLLECTION)
    if options.payroll != "none":
        yield Kind.PAYROLL_ITEM


def profile(options: Options) -> Profile:
    """The bank's profile under these options."""
    # The code that refuses a repeated fSeqno is not public. SignTime binds the bytes to one work date.
    rule = ReplayRule(
        policy=Replay.NEVER, not_found_quarantine=timedelta(seconds=options.not_found_after_s), not_found_count=2
    )
    return Profile(
        name="icbc",
        title="Industrial and Commercial Bank of China",
        title_zh="工商银行",
        limits=limits(options),
        replay=dict.fromkeys(kinds(options), rule),
        # A line contains BankRetTime, but its form is not published.
        unstated=dict.fromkeys(kinds(options), frozenset({"day"})),
        serials_per_word=1,
        page_lines=100,
        history_days=options.history_days,
        enquiry_deadline=timedelta(hours=24),
        returns_watch=timedelta(days=7),
        reconstructed=RECONSTRUCTED,
        guessed=frozenset({"payroll", "past balance"}),
        past_balance_days=1 if options.previous_balance else 0,
        kind_limits={
            Kind.TRANSFER: limits(options, payee_bank=False),
            Kind.PAYROLL_ITEM: limits(options, payee_bank=False),
            Kind.COLLECTION: limits(options, payee_bank=False, city=False),
        },
        poll_every=timedelta(minutes=5),
        host_date="TradeDate of QPD" + (", LastTranDate of QACCBAL" if options.work_date == "balance" else ""),
    )


def limits(options: Options, *, payee_bank: bool = True, city: bool = True) -> Limits:
    """The limits that intake checks before it accepts an order.

    `payee_bank`: whether the payee bank's name is required; `city`: whether a payee at another bank needs its city.
    """
    fields = (
        FieldLimit("/debtor/account", required=True),
        FieldLimit("/debtor/name", max_bytes=options.max_name_bytes, required=True),
        FieldLimit("/creditor/account", required=True),
        FieldLimit("/creditor/name", max_bytes=options.max_name_bytes, required=True),
        FieldLimit("/creditor/bank_name", max_bytes=options.max_bank_name_bytes, required=payee_bank),
        _payee_number(options, payee_bank=payee_bank) if city else _NUMBER,
        FieldLimit("/purpose", max_bytes=options.max_purpose_bytes),
    )
    channels, pace = (Channel.AUTO, Channel.SAME_BANK), options.timing.pace()
    reference = ReferenceForm(length=20, prefix=options.reference_prefix)
    return gbk_limits(fields, channels, pace, reference, options.max_amount_minor, hours=options.opening.hours())


def _payee_number(options: Options, *, payee_bank: bool) -> FieldLimit:
    """The payee bank's number.

    The bank's form needs the payee's city. Without `default_city` only the beginning of this number gives it: then a
    payee at another bank must have a number that is in `cities`. Otherwise an order could be accepted and never sent.
    """
    if options.default_city.strip():
        return _NUMBER
    known = "|".join((*options.own_cnaps, *options.cities))
    inside = [("/channel", "^same_bank$"), ("/creditor/bank_name", "|".join(map(re.escape, options.own_names)))]
    if not payee_bank:
        inside.append(("/creditor/bank_name", "^$"))
    return FieldLimit(
        "/creditor/cnaps", pattern=f"(?=[0-9]{{12}}$)(?:{known}).*", required=True, required_unless=tuple(inside)
    )
