"""The profile of 浦发银行, as data: limits, replay rule, page size, and what is only reconstructed."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from protocols.bank import Profile, Replay, ReplayRule
from protocols.banks.spdb.options import Options
from protocols.banks.spdb.table import SIGN
from protocols.canon.limits import FieldLimit, Limits, ReferenceForm
from protocols.canon.order import Channel, Kind, Urgency
from protocols.kit.china import CNAPS, gbk_limits

REFERENCE_DIGITS: Final = 20
"""A payment's reference is its packetID and its elecChequeNo: packetID has at most 20 characters (banks/spdb.md 2)."""
RECONSTRUCTED: Final = (
    "the whole protocol: from public clients and pieces of real messages, not from the bank's own manual",
    "what an elecChequeNo used twice is answered with; all returnCodes but the few samples: options, without a value",
    "8924: what it is asked and how its rows are laid out, from a public client's model of both",
    "where the rows of DO48 and EY03 stand, and that EY03 names the elecChequeNo it speaks of",
    "singleOrBatchFlag, bespeakDate of a payment that is not scheduled, remitLocation, payPurpose, payeeBankSelectFlag",
    "the writing of days in 8804, DO48 and EY03 (yyyyMMdd)",
    "that the reason of a returned payment says 退票; without it the row looks like a refused one",
    "that a reason always stands in |<…> at the end of the note, as in the one sample",
    "that 8804 answers about 28 days at once, which is asked only where web-bank users authorise",
    "lengths of fields, amounts, pace, hours, time-outs, and how far back 8804 answers",
)


def kinds(options: Options) -> tuple[Kind, ...]:
    """The kinds of order this customer may send, single ones first."""
    payroll = (Kind.PAYROLL_ITEM,) if options.payroll_purpose else ()
    return (Kind.PAYMENT, Kind.TRANSFER, Kind.BATCH_ITEM, *payroll)


def profile(options: Options) -> Profile:
    """The bank's profile under these options."""
    # A packetID is refused again only on the same day. How the bank answers a repeated elecChequeNo is not published.
    rule = ReplayRule(
        policy=Replay.NEVER,
        not_found_quarantine=timedelta(seconds=options.not_found_after_s),
        not_found_count=2,
        same_day=True,
    )
    inside = limits(options, payee_bank=False)
    return Profile(
        name="spdb",
        title="Shanghai Pudong Development Bank",
        title_zh="浦发银行",
        limits=limits(options),
        replay=dict.fromkeys(kinds(options), rule),
        serials_per_word=1,
        page_lines=options.enquiry_rows,
        history_days=options.history_days,
        enquiry_deadline=timedelta(hours=24),
        returns_watch=timedelta(days=7),
        reconstructed=RECONSTRUCTED,
        guessed=frozenset({"payroll", "entries", "returns"}),
        kind_limits={Kind.TRANSFER: inside, Kind.PAYROLL_ITEM: inside},
    )


def limits(options: Options, *, payee_bank: bool = True) -> Limits:
    """The limits that intake checks before it accepts an order. `payee_bank`: whether the payee bank's name is
    required."""
    unless = () if payee_bank else (("/creditor/cnaps", "^$"),)
    fields = (
        FieldLimit("/debtor/account", required=True),
        FieldLimit("/debtor/name", max_bytes=options.max_name_bytes, required=True),
        FieldLimit("/creditor/account", required=True),
        FieldLimit("/creditor/name", max_bytes=options.max_name_bytes, required=True),
        FieldLimit("/creditor/bank_name", options.max_bank_name_bytes, required=True, required_unless=unless),
        FieldLimit("/creditor/cnaps", pattern=CNAPS),
        # The bank appends the reason of a refusal to this text, so our text must not look like one.
        FieldLimit("/purpose", max_bytes=options.max_purpose_bytes, pattern=f"(?!.*{SIGN}).*"),
    )
    reference = ReferenceForm(REFERENCE_DIGITS, "0123456789", options.reference_prefix)
    # The form has no field for the rail or the urgency.
    return gbk_limits(
        fields,
        (Channel.AUTO, Channel.SAME_BANK),
        options.timing.pace(),
        reference,
        options.max_amount_minor,
        hours=options.opening.hours(),
        urgencies=(Urgency.NORMAL,),
    )
