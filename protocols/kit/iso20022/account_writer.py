"""Writes camt.052, camt.053 and camt.054 for an ERP that reads ISO 20022."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.kit.iso20022.account import AccountEntry, AccountReport, CamtBalance, TransactionDetail
from protocols.kit.iso20022.names import VERSIONS, MessageVersion
from protocols.kit.iso20022.parts import (
    Side,
    amount,
    document,
    group,
    leaf,
    moment,
    written_account,
    written_agent,
    written_party,
)
from protocols.kit.xmldoc import Markup, el

_ROWS: Final = {"camt.052": "Rpt", "camt.053": "Stmt", "camt.054": "Ntfctn"}


def write_reports(message_id: str, created: datetime, reports: Sequence[AccountReport], name: str) -> bytes:
    """The message `name` (as `camt.053.001.08`) with all of `reports`, fit for its schema.

    Raises ProtocolError "value". Findings are not written, because they belong to the reader.
    """
    version = VERSIONS[name]
    head = el("GrpHdr", el("MsgId", message_id), el("CreDtTm", moment(created)))
    return document(version, head, *(_report(one, version, created) for one in reports))


def _report(one: AccountReport, version: MessageVersion, created: datetime) -> Markup:
    count = None if one.sequence is None else el("ElctrncSeqNb", str(one.sequence))
    span = (
        None
        if one.first is None or one.last is None
        else el("FrToDt", el("FrDtTm", f"{one.first}T00:00:00"), el("ToDtTm", f"{one.last}T23:59:59"))
    )
    balances = [] if version.kind == "camt.054" else [_balance(each) for each in one.balances]
    return el(
        _ROWS[version.kind],
        el("Id", one.id),
        count,
        el("CreDtTm", moment(one.created or created)),
        span,
        written_account("Acct", one.account, one.currency),
        balances,
        [_entry(each, version) for each in one.entries],
    )


def _money(money: Money) -> tuple[Markup, Markup]:
    return (
        amount("Amt", Money(abs(money.minor), money.currency)),
        el("CdtDbtInd", "DBIT" if money.minor < 0 else "CRDT"),
    )


def _balance(one: CamtBalance) -> Markup:
    assert one.on is not None, "a balance is of a day"
    return el("Bal", el("Tp", el("CdOrPrtry", el("Cd", one.kind))), _money(one.amount), el("Dt", el("Dt", f"{one.on}")))


def _entry(one: AccountEntry, version: MessageVersion) -> Markup:
    booked = None
    if one.booked_at is not None:
        booked = el("BookgDt", el("DtTm", moment(one.booked_at)))
    elif one.booked_on is not None:
        booked = el("BookgDt", el("Dt", f"{one.booked_on}"))
    details = [_detail(each, one, version) for each in one.details]
    return el(
        "Ntry",
        leaf("NtryRef", one.reference),
        amount("Amt", one.amount),
        el("CdtDbtInd", "CRDT" if one.direction is Direction.CREDIT else "DBIT"),
        el("RvslInd", "true") if one.reversal else None,
        el("Sts", el("Cd", one.status)) if version.modern else el("Sts", one.status),
        booked,
        None if one.value_on is None else el("ValDt", el("Dt", f"{one.value_on}")),
        leaf("AcctSvcrRef", one.bank_reference),
        _code(one.bank_code),
        el("NtryDtls", details) if details else None,
        leaf("AddtlNtryInf", one.text),
    )


def _code(code: str) -> Markup:
    parts = code.split("/")
    if len(parts) == 3:
        family = el("Fmly", el("Cd", parts[1]), el("SubFmlyCd", parts[2]))
        return el("BkTxCd", el("Domn", el("Cd", parts[0]), family))
    return el("BkTxCd", el("Prtry", el("Cd", code or "NOTPROVIDED")))


def _detail(one: TransactionDetail, entry: AccountEntry, version: MessageVersion) -> Markup:
    refs = group(
        "Refs",
        leaf("MsgId", one.message_id),
        leaf("AcctSvcrRef", one.bank_reference),
        leaf("PmtInfId", one.group_id),
        leaf("InstrId", one.instruction_id),
        leaf("EndToEndId", one.end_to_end_id),
    )
    direction = el("CdtDbtInd", "CRDT" if entry.direction is Direction.CREDIT else "DBIT")
    money: list[Markup] = []
    if one.amount is not None and version.modern:
        money = [amount("Amt", one.amount), direction]
    elif one.amount is not None:
        money = [el("AmtDtls", el("TxAmt", amount("Amt", one.amount)))]
    parties = group("RltdPties", *_party("Dbtr", one.debtor, version), *_party("Cdtr", one.creditor, version))
    sides = (("Dbtr", one.debtor), ("Cdtr", one.creditor))
    agents = group("RltdAgts", *(written_agent(f"{tag}Agt", version, side) for tag, side in sides if side is not None))
    reference = None if not one.creditor_reference else el("Strd", el("CdtrRefInf", el("Ref", one.creditor_reference)))
    why = one.reasons[0] if one.reasons else None
    code = None if why is None or not why.code else el("Rsn", el("Cd" if len(why.code) == 4 else "Prtry", why.code))
    back = None if not one.returned else el("RtrInf", code, None if why is None else leaf("AddtlInf", why.text[:105]))
    return el("TxDtls", refs, money, parties, agents, group("RmtInf", leaf("Ustrd", one.text[:140]), reference), back)


def _party(tag: str, side: Side | None, version: MessageVersion) -> tuple[Markup | None, Markup | None]:
    if side is None:
        return None, None
    who = written_party("Pty" if version.modern else tag, side)
    number = side.party.account.clear
    return (el(tag, who) if version.modern else who), (written_account(f"{tag}Acct", number) if number else None)
