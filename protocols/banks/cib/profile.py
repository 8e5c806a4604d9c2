"""The profile of 兴业银行, as data: limits, replay rules, page size, and what is only reconstructed."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from protocols.bank import Profile, Replay, ReplayRule
from protocols.banks.cib.options import Options
from protocols.banks.cib.requests import (
    ACCOUNT_BYTES,
    BANK_BYTES,
    CARD_NAME_BYTES,
    COLLECTION_PURPOSE_BYTES,
    CONTRACT_BYTES,
    NAME_BYTES,
    PAYEE_ACCOUNT,
    REMARK_BYTES,
)
from protocols.banks.cib.statement import PAGE_LINES
from protocols.canon.limits import FieldLimit, Limits, ReferenceForm
from protocols.canon.order import Channel, Kind
from protocols.kit.china import CNAPS, gbk_limits
from protocols.kit.timing import OpeningHours

FORBIDDEN: Final = "<>&"
_BUNDLED: Final = frozenset({Channel.AUTO, Channel.SAME_BANK})
_Fields = tuple[FieldLimit, ...]
RESEND_AFTER: Final = timedelta(minutes=15)
AMOUNT_MAX_MINOR: Final = 99_999_999_999_999_999
"""TRNAMT has 17 digits, 2 of them decimals."""
assert REMARK_BYTES >= 20 and CONTRACT_BYTES >= 20, "our reference must fit a batch line's remark"

RECONSTRUCTED: Final = (
    "where the refusal's text stands in STATUS (MESSAGE), and the form of dates in questions (yyyy-MM-dd)",
    "the head of an async batch is that of a real-time batch; its lines have the same words; its query is itself",
    "the answer to RPAYOFFINQTRN has the payroll's own list; how INQSTATETRN nests its content",
    "how many collections go in one message; TRNTYPE, BIZCODE1, BIZCODE2 of collections",
    "which element of an entry carries our TRNUID (option statement_reference), and the rows of SELTYPE 3",
    "how a receipt's FILE_ID is fetched (option receipt_path)",
    "how BALANCECHANGENOTICE travels (HTTP POST), and what answers it",
    "which 2002 texts are refusals; what ICTRANSFERINQTRN answers (option fast_enquiry)",
    "pace, window and time-outs",
)


def profile(options: Options) -> Profile:
    """The bank's profile under these options."""
    single = ReplayRule(Replay(options.replay), RESEND_AFTER, not_found_count=2, window=None)
    never = ReplayRule(Replay.NEVER, RESEND_AFTER, not_found_count=2)
    batched, payroll, collection = Kind.BATCH_ITEM, Kind.PAYROLL_ITEM, Kind.COLLECTION
    return Profile(
        name="cib",
        title="Industrial Bank",
        title_zh="兴业银行",
        limits=limits(options),
        replay={Kind.PAYMENT: single, Kind.TRANSFER: single, batched: never, payroll: never, collection: never},
        unstated=dict.fromkeys((batched, payroll, collection), frozenset({"day"})),
        serials_per_word=2,
        page_lines=options.file_lines if options.lines == "FSTMT" else PAGE_LINES,
        history_days=options.history_days,
        enquiry_deadline=timedelta(hours=24),
        # A payment in a final state may not be asked about again, and its status never says that the money came back.
        # Entries and returns do.
        returns_watch=timedelta(0),
        reconstructed=RECONSTRUCTED,
        guessed=frozenset({"collection", "returns", "receipts", "pushes"}),
        sweeps=bool(options.fund_account),
        kind_limits={
            # A transfer that names no bank stays inside this one.
            Kind.TRANSFER: _singles(options, (*_here(options, "creditor"), ("/creditor/cnaps", "^$"))),
            batched: _batch(options),
            payroll: _payroll(options),
            collection: _collection(options),
        },
        past_balance_days=365,
        poll_every=timedelta(seconds=options.poll_every_s),
    )


def limits(options: Options) -> Limits:
    """The limits that intake checks before it accepts a payment or a transfer."""
    return _singles(options, _here(options, "creditor"))


def _here(options: Options, side: str) -> tuple[tuple[str, str], ...]:
    """The values of an order which show that the other party banks here, so that its bank need not be named."""
    names, numbers = "|".join(map(re.escape, options.own_names)), "|".join(f"^{one}" for one in options.own_cnaps)
    told = (("/channel", "^same_bank$"), (f"/{side}/bank_name", names), (f"/{side}/cnaps", numbers))
    return tuple(one for one in told if one[1])


def _payer() -> _Fields:
    """The own side of everything that is paid."""
    return (
        FieldLimit("/debtor/account", ACCOUNT_BYTES, forbidden=FORBIDDEN, required=True),
        FieldLimit("/debtor/name", NAME_BYTES, forbidden=FORBIDDEN),
    )


def _payee(unless: tuple[tuple[str, str], ...], forbidden: str = FORBIDDEN, side: str = "creditor") -> _Fields:
    """The other side. Its bank must be named, unless the account is here."""
    return (
        FieldLimit(f"/{side}/account", pattern=PAYEE_ACCOUNT, required=True),
        FieldLimit(f"/{side}/name", NAME_BYTES, forbidden=forbidden, required=True),
        FieldLimit(f"/{side}/bank_name", BANK_BYTES, forbidden=forbidden, required=True, required_unless=unless),
    )


_CREDITOR_CNAPS: Final = FieldLimit("/creditor/cnaps", pattern=CNAPS)


def _singles(options: Options, unless: tuple[tuple[str, str], ...]) -> Limits:
    purpose = FieldLimit("/purpose", options.max_purpose_bytes, forbidden=FORBIDDEN, required=True)
    channels = frozenset({Channel.AUTO, Channel.SAME_BANK, Channel.INSTANT})
    return _limits(options, channels, *_payer(), *_payee(unless), _CREDITOR_CNAPS, purpose)


def _batch(options: Options) -> Limits:
    lines = FORBIDDEN + ("|\r\n" if options.batch == "async" else "")
    payee = _payee(_here(options, "creditor"), lines)
    purpose = FieldLimit("/purpose", options.max_purpose_bytes, forbidden=lines, required=True)
    return _limits(options, _BUNDLED, *_payer(), *payee, _CREDITOR_CNAPS, purpose)


def _payroll(options: Options) -> Limits:
    return _limits(
        options,
        _BUNDLED,
        *_payer(),
        FieldLimit("/creditor/account", ACCOUNT_BYTES, forbidden=FORBIDDEN, required=True),
        FieldLimit("/creditor/name", CARD_NAME_BYTES, forbidden=FORBIDDEN, required=True),
    )


def _collection(options: Options) -> Limits:
    here = _here(options, "debtor")
    return _limits(
        options,
        _BUNDLED,
        FieldLimit("/creditor/account", ACCOUNT_BYTES, forbidden=FORBIDDEN, required=True),
        *_payee(here, side="debtor"),
        FieldLimit("/debtor/cnaps", pattern=CNAPS, required=True, required_unless=here),
        FieldLimit("/purpose", COLLECTION_PURPOSE_BYTES, forbidden=FORBIDDEN),
    )


def _limits(options: Options, channels: frozenset[Channel], *fields: FieldLimit) -> Limits:
    # "No sync at 00:00-01:00" (banks/cib.md 1). No order is sent then either, because its fate could not be asked.
    hours = OpeningHours(options.opens, options.closes).hours(asked_outside=False)
    reference = ReferenceForm(length=20, prefix=options.reference_prefix)
    most = options.max_amount_minor or AMOUNT_MAX_MINOR
    return gbk_limits(fields, channels, options.timing.pace(), reference, most, hours=hours)
