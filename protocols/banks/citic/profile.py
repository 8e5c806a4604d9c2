"""The profile of 中信银行, as data: limits, replay rule, page size, and what is only reconstructed."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Final

from protocols.bank import FACTS, Profile, Replay, ReplayRule
from protocols.banks.citic.options import Options
from protocols.banks.citic.requests import (
    AMOUNT_MOST,
    LINE_TEXT_BYTES,
    NAME_BYTES,
    PAGE_LINES,
    PAYEE_CHARS,
    PAYER_CHARS,
    REFERENCE_CHARS,
    TEXT_BYTES,
)
from protocols.banks.citic.routing import HEAD_OFFICES
from protocols.canon.limits import FieldLimit, Limits, ReferenceForm
from protocols.canon.order import Channel, Kind
from protocols.kit.china import CNAPS, gbk_limits

RECONSTRUCTED: Final = (
    "the protocol: from the bank's manual V5 and samples of 2009 in public collections; nothing tried at the bank",
    "the server's status list, with the code of a repeated clientID: options (codes); others from clients' code lists",
    "cityFlag, and citicbankFlag 0 for a payee at this bank; currencyID of renminbi",
    "that a line of DLSALDET states its employeeNo, one of DLAGEDET its abstract; the order of DLBATDET's rows",
    "what DLBATCOL, DLSALCOL and DLAGECOL are asked with and say; which ends of CP07815 to 25 are successes",
    "that preFlg, preDate and preTime stand in the head of DLPAYBAT and DLAGENTF",
    "clientID, totalNumber and totalAmount of DLAGENTF; that DLAGEDET is asked page by page like DLSALDET",
    "the lines that a batch, a payroll or a collection may have; that payroll pays cards of this bank only",
    "a receipt's transeqNo is its entry's tranNo",
    "that oriNum of an entry is the clientID of an order or batch, and that returned ones have it",
    "that DLCIDSTT tells of CMMANSWP and CMDWNSWP by their clientID; both messages' elements are a public client's",
    "tranNo with sumTranNo as the key of an entry; how far back entries and past balances go",
    "in which order DLTRNALL tells entries, and which lists state totalRecords; the bank's holidays (an option)",
    "pace, hours, time-outs, and the path of the HTTP request",
)


def profile(options: Options, kinds: frozenset[Kind]) -> Profile:
    """The bank's profile under these options, for the kinds of order that it then carries."""
    # How the bank answers a repeated clientID is not public, and the front end may send a message again by itself.
    rule = ReplayRule(
        policy=Replay.NEVER, not_found_quarantine=timedelta(seconds=options.not_found_quarantine_s), not_found_count=3
    )
    plain = limits(options)
    return Profile(
        name="citic",
        title="China CITIC Bank",
        title_zh="中信银行",
        limits=plain,
        replay={kind: rule for kind in Kind if kind in kinds},
        # DLCIDSTT answers with a status alone, so it is asked twice (`confirm`).
        unstated={kind: frozenset(FACTS if kind in (Kind.PAYMENT, Kind.TRANSFER) else ("day",)) for kind in kinds},
        serials_per_word=1,
        page_lines=PAGE_LINES,
        history_days=options.history_days,
        enquiry_deadline=timedelta(hours=24),
        reconstructed=RECONSTRUCTED,
        guessed=frozenset({"collection", "sweep", "returns"}),
        sweeps=options.pooled,
        kind_limits={
            kind: changed
            for kind, changed in (
                (Kind.TRANSFER, replace(plain, fields=_fields(bank=False))),
                (
                    Kind.BATCH_ITEM,
                    replace(plain, channels=plain.channels - {Channel.SAME_BANK}, fields=_fields(number=True)),
                ),
                (Kind.PAYROLL_ITEM, replace(plain, fields=_fields(bank=False, text=False, text_bytes=LINE_TEXT_BYTES))),
                (Kind.COLLECTION, replace(plain, fields=_collection_fields())),
            )
            if kind in kinds
        },
        past_balance_days=options.past_balance_days,
        poll_every=timedelta(seconds=options.poll_every_s),
    )


def limits(options: Options) -> Limits:
    """The limits that intake checks before it accepts an order. Lengths are GBK bytes."""
    channels = frozenset(Channel) - {Channel.INSTANT}
    reference = ReferenceForm(length=REFERENCE_CHARS, prefix=options.reference_prefix)
    most = options.max_amount_minor or AMOUNT_MOST
    return gbk_limits(_fields(unless=_known_bank(options)), channels, options.timing.pace(), reference, most)


def _known_bank(options: Options) -> tuple[tuple[str, str], ...]:
    """The values of orders that need no payee bank number: they name this bank, or one whose head office's number is
    known."""
    names = "|".join(map(re.escape, (*options.own_names, *HEAD_OFFICES)))
    return (("/channel", "^same_bank$"), ("/creditor/bank_name", names))


def _fields(
    *,
    bank: bool = True,
    number: bool = False,
    text: bool = True,
    text_bytes: int = TEXT_BYTES,
    unless: tuple[tuple[str, str], ...] = (),
) -> tuple[FieldLimit, ...]:
    """The fields of an order. `bank`, `number`, `text`: whether the payee bank's name, its 12 digits and the purpose
    are required; `unless` names the exceptions for the digits."""
    return (
        FieldLimit("/debtor/account", max_bytes=PAYER_CHARS, required=True),
        FieldLimit("/creditor/account", max_bytes=PAYEE_CHARS, required=True),
        FieldLimit("/creditor/name", max_bytes=NAME_BYTES, required=True),
        FieldLimit("/creditor/bank_name", max_bytes=NAME_BYTES, required=bank),
        FieldLimit("/creditor/cnaps", pattern=CNAPS, required=number or bool(unless), required_unless=unless),
        FieldLimit("/purpose", max_bytes=text_bytes, required=text),
    )


def _collection_fields() -> tuple[FieldLimit, ...]:
    """The fields of a collection. The other party is the debtor, and its text shares the abstract with our
    reference."""
    return (
        FieldLimit("/debtor/account", max_bytes=PAYER_CHARS, required=True),
        FieldLimit("/debtor/name", max_bytes=NAME_BYTES, required=True),
        FieldLimit("/creditor/account", max_bytes=PAYER_CHARS, required=True),
        FieldLimit("/purpose", max_bytes=LINE_TEXT_BYTES),
    )
