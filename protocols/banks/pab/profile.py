"""The profile of 平安银行, as data: limits, replay rule, page size, and what is only reconstructed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from protocols.bank import Profile, Replay, ReplayRule
from protocols.banks.pab.batch import PAGES_MAX
from protocols.banks.pab.options import Options
from protocols.banks.pab.requests import PURPOSE_CHARS, SWEEP, VOUCHER_CHARS
from protocols.canon.limits import FieldLimit, Limits, ReferenceForm
from protocols.canon.order import Channel, Kind
from protocols.kit.china import CNAPS, gbk_limits

NEXT_DAY: Final = timedelta(hours=24)
"""An enquiry that finds nothing proves nothing before the next day (banks/COMMON-B.md 2.6)."""

DEADLINE: Final = NEXT_DAY + timedelta(hours=6)
"""People are called only after the two "not found" of the next day had their time, for then nothing is repeated."""

RECONSTRUCTED: Final = (
    "the whole protocol: from public clients and their logs of 2016, not from the bank's own manual",
    "ThirdVoucher is refused when used again, for ever (MA4045)",
    "pace, window, hours and time-outs",
    "lengths of names and of the payee bank's name; which fields of 4004 must be filled",
    "UnionFlag from the payee bank's name or number, AddrFlag from the settings",
    "how far back 4013 answers; whether 4008 and 4013 give an entry the same number",
    "the meaning of Send* (payer) and Acct* (payee) in 4008; the time from which entries have the next accounting date",
    "the request of 4048, and that its rows carry our line vouchers; OthBankFlag Y and N of 4047; IdType 1",
    "values of stt and BStt in 4048 but 0000, 3 and 4: options (agency_refused, agency_in_process)",
    "ThirdVoucher of 4019 is the batch where SThirdVoucher is filled",
    "IsEnd is missing on the only page of a 4015 answer; an empty InAcctCityName is accepted by 4018",
    "the first page of 4019 is 1",
    "KHKF03 and KHKF04: elements, their order and lengths, that a known OrderNumber is refused with MA4045",
    "the rows of the batch files KHKF01, KHKF02 and KHKF05, which are not public",
    "4052: its answer; that 4005 tells of a 4052 by its ThirdVoucher, and that a known one is refused",
    "401802: that it knows the lines of a 4018 and of 400401 alike; how a line without a receipt yet is answered",
    "files (FILE01 to FILE03, F001): their state codes but F0, the encryption with RandomPwd, the rows of the files",
    "pushes: the elements of their bodies, and the body of our answer",
)


def profile(options: Options) -> Profile:
    """The bank's profile under these options."""
    rule = ReplayRule(policy=Replay(options.replay), not_found_quarantine=NEXT_DAY, not_found_count=2, window=None)
    plain = limits(options)
    return Profile(
        name="pab",
        title="Ping An Bank",
        title_zh="平安银行",
        limits=plain,
        # No page says that a known OrderNumber of KHKF03, or a voucher of 4052, is refused for ever.
        replay={
            Kind.PAYMENT: replace(rule, policy=Replay.NEVER) if options.fast_pay_item else rule,
            Kind.TRANSFER: replace(rule, policy=Replay.NEVER) if options.sweeps == SWEEP else rule,
        },
        # Lines of 4015 and 4048 have no day.
        unstated=dict.fromkeys((Kind.BATCH_ITEM, Kind.PAYROLL_ITEM, Kind.COLLECTION), frozenset({"day"})),
        serials_per_word=PAGES_MAX,
        page_lines=options.page_lines,
        history_days=options.history_days,
        enquiry_deadline=DEADLINE,
        returns_watch=timedelta(days=7),
        reconstructed=RECONSTRUCTED,
        guessed=frozenset({"instant", "sweep", "receipts", "pushes"}),
        sweeps=options.sweeps == "4052",
        kind_limits={
            Kind.TRANSFER: replace(plain, fields=_fields(options, bank_name=False)),
            Kind.PAYROLL_ITEM: replace(plain, fields=_agency_fields(options, "creditor")),
            Kind.COLLECTION: replace(plain, fields=_agency_fields(options, "debtor")),
        },
        past_balance_days=100,
        host_date="TranDate of 4008" if options.today_lines == "4008" else "AcctDate of today's entries (4013)",
    )


def limits(options: Options) -> Limits:
    """The limits that intake checks before it accepts an order."""
    channels = frozenset(Channel) - (frozenset() if options.fast_pay_item else {Channel.INSTANT})
    reference = ReferenceForm(length=VOUCHER_CHARS, prefix=options.reference_prefix)
    return gbk_limits(_fields(options), channels, options.timing.pace(), reference, options.max_amount_minor)


def _fields(options: Options, *, bank_name: bool = True) -> tuple[FieldLimit, ...]:
    """The fields of an order. `bank_name`: whether the payee's bank must be named. A transfer without name and number
    stays in this bank."""
    return (
        FieldLimit("/debtor/account", required=True),
        FieldLimit("/debtor/name", max_bytes=options.max_name_bytes, required=True),
        FieldLimit("/creditor/account", required=True),
        FieldLimit("/creditor/name", max_bytes=options.max_name_bytes, required=True),
        FieldLimit(
            "/creditor/bank_name",
            max_bytes=options.max_bank_name_bytes,
            required=True,
            required_unless=() if bank_name else (("/creditor/cnaps", "^$"),),
        ),
        FieldLimit("/creditor/cnaps", pattern=CNAPS),
        FieldLimit("/purpose", max_chars=PURPOSE_CHARS),
    )


def _agency_fields(options: Options, other: str) -> tuple[FieldLimit, ...]:
    """The fields of a line of 4047. Of our side it has only the account. The other party (`other`) banks here if no
    bank is named."""
    return (
        FieldLimit("/debtor/account", required=True),
        FieldLimit("/creditor/account", required=True),
        FieldLimit(f"/{other}/name", max_bytes=options.max_name_bytes, required=True),
        FieldLimit(f"/{other}/bank_name", max_bytes=options.max_bank_name_bytes),
        FieldLimit(f"/{other}/cnaps", pattern=CNAPS),
        FieldLimit("/purpose", max_chars=PURPOSE_CHARS),
    )
