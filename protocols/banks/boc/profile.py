"""The profile of 中国银行, as data: limits, replay rule, page size, and what is only reconstructed."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Final

from protocols.bank import FACTS, Profile, Replay, ReplayRule
from protocols.banks.boc.options import Options
from protocols.banks.boc.payment import AMOUNT_MOST
from protocols.banks.boc.requests import ACCOUNT_BYTES, NAME_BYTES, PAGE_LINES, TEXT_BYTES
from protocols.canon.limits import FieldLimit, Limits, ReferenceForm
from protocols.canon.order import Channel, Kind
from protocols.kit.china import CNAPS, gbk_limits

RECONSTRUCTED: Final = (
    "the whole protocol: from public clients and pieces of the bank's text, not from the bank's own manual",
    "the list of codes, with those of a repeated insid, of one that is not known and of refusals: options (codes)",
    "how long insid may be, and for how long a repeat is refused",
    "the date range of b2e0012 (written like b2e0035's); notenum as the rows of one page",
    "direction 1 as money in and 2 as money out in an entry; transid as its key; stpamt as money frozen",
    "bocflag and acttyp of b2e0061; toibkn of a transfer between own accounts; toaddr left empty",
    "b2e0078: its elements from a message that a client logged, its answer from clients; that b2e0007 tells of it",
    "that money in under an insid is a payment that came back; how the file of b2e0500 is fetched, and its tratype",
    "how many orders one b2e0007 may ask about; how far back past balances go",
    "pace, hours and time-outs",
)


def profile(options: Options) -> Profile:
    """The bank's profile under these options."""
    # The bytes carry a session's token. How the bank answers a repeated insid is not public.
    rule = ReplayRule(
        policy=Replay.NEVER, not_found_quarantine=timedelta(seconds=options.not_found_quarantine_s), not_found_count=3
    )
    plain = limits(options)
    kinds = (Kind.PAYMENT, Kind.TRANSFER, Kind.BATCH_ITEM, *((Kind.PAYROLL_ITEM,) if options.payroll else ()))
    organisations = (*_fields(), FieldLimit("/creditor/kind", pattern="corporate"))
    return Profile(
        name="boc",
        title="Bank of China",
        title_zh="中国银行",
        limits=plain,
        replay=dict.fromkeys(kinds, rule),
        # A row of b2e0007 holds only our insid and a status.
        unstated=dict.fromkeys(kinds, frozenset(FACTS)),
        # Each message of the enquiry after a batch has a number of its own.
        serials_per_word=-(-options.batch_lines // options.enquiry_lines),
        page_lines=PAGE_LINES,
        history_days=options.history_days,
        enquiry_deadline=timedelta(hours=24),
        reconstructed=RECONSTRUCTED,
        guessed=frozenset({"payroll", "returns", "receipts"}),
        kind_limits={
            Kind.TRANSFER: replace(plain, fields=_fields(number=False)),
            Kind.BATCH_ITEM: replace(plain, fields=organisations),
            **({Kind.PAYROLL_ITEM: replace(plain, fields=_payroll_fields(options))} if options.payroll else {}),
            **({} if options.persons else {Kind.PAYMENT: replace(plain, fields=organisations)}),
        },
        past_balance_days=options.past_balance_days,
        poll_every=timedelta(seconds=options.poll_every_s),
    )


def limits(options: Options) -> Limits:
    """The limits that intake checks before it accepts an order. Lengths are GBK bytes, whatever charset the messages
    have."""
    reference = ReferenceForm(length=options.reference_chars, prefix=options.reference_prefix)
    most = options.max_amount_minor or AMOUNT_MOST
    return gbk_limits(_fields(), (Channel.AUTO, Channel.SAME_BANK), options.timing.pace(), reference, most)


def _payroll_fields(options: Options) -> tuple[FieldLimit, ...]:
    """The fields of a payroll line. It needs the payee bank's number, unless the payee banks here in a province that is
    known."""
    if options.payroll_province:
        names = "|".join(map(re.escape, options.own_names))
        return _fields(unless=(("/channel", "^same_bank$"), ("/creditor/bank_name", f"^$|{names}")))
    known = "|".join(map(re.escape, options.payroll_provinces))
    return _fields(unless=(("/creditor/bank_name", known),) if known else ())


def _fields(*, number: bool = True, unless: tuple[tuple[str, str], ...] = ()) -> tuple[FieldLimit, ...]:
    """The fields of an order. `number`: whether the payee bank's 12 digits are required, by which the bank routes;
    `unless` names the exceptions."""
    return (
        FieldLimit("/debtor/account", max_bytes=ACCOUNT_BYTES, required=True),
        FieldLimit("/debtor/name", max_bytes=NAME_BYTES, required=True),
        FieldLimit("/creditor/account", max_bytes=ACCOUNT_BYTES, required=True),
        FieldLimit("/creditor/name", max_bytes=NAME_BYTES, required=True),
        FieldLimit("/creditor/bank_name", max_bytes=NAME_BYTES),
        FieldLimit("/creditor/cnaps", pattern=CNAPS, required=number, required_unless=unless),
        FieldLimit("/purpose", max_bytes=TEXT_BYTES),
    )
