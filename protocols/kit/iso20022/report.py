"""pain.002: a bank's status report on a file, its groups and each payment in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lxml import etree

from protocols.canon.money import Money
from protocols.canon.outcome import Fate, Outcome
from protocols.kit.errors import ProtocolError
from protocols.kit.iso20022.names import VERSIONS, expect
from protocols.kit.iso20022.parts import (
    Reader,
    Side,
    StatusReason,
    amount,
    document,
    leaf,
    moment,
    read_reasons,
    written_party,
)
from protocols.kit.readable import readable
from protocols.kit.xmldoc import Markup, el

PARTLY: Final = "PART"
_Said = tuple[str, tuple["StatusReason", ...], str]
FATES: Final[Mapping[str, Fate]] = {
    "ACSC": Fate.SETTLED,
    "ACCC": Fate.SETTLED,
    "RJCT": Fate.FAILED,
    "RCVD": Fate.PENDING,
    "ACTC": Fate.PENDING,
    "ACCP": Fate.PENDING,
    "ACSP": Fate.PENDING,
    "ACWC": Fate.PENDING,
    "ACWP": Fate.PENDING,
    "PDNG": Fate.PENDING,
    "PATC": Fate.PENDING,
    PARTLY: Fate.PENDING,
    "ACFC": Fate.PENDING,
    "PRES": Fate.PENDING,
    "RCVC": Fate.PENDING,
    "RVNA": Fate.PENDING,
    "RVNM": Fate.PENDING,
    "RVMC": Fate.PENDING,
    "RVCM": Fate.PENDING,
}
"""ISO 20022 external payment transaction status codes (ExternalPaymentTransactionStatus1Code) that decide anything.

PART means that some payments were taken and some refused. For a payment that the report does not name, it only means
that the bank has the file. A code that is not here is doubt.
"""
VERIFIED: Final[Mapping[str, str]] = {
    "RCVC": "payee verified: the name matches",
    "RVMC": "payee verified: the name matches closely",
    "RVNM": "payee verified: the name does not match",
    "RVNA": "the payee could not be verified",
    "RVCM": "payees verified: not all names match",
}
"""Statuses of Verification of Payee, which comes before a SEPA payment.

None of them is final: the bank waits for an instruction to go on, or goes on. A person who may confirm at the bank
reads the status in the event.
"""
DUPLICATES: Final = frozenset({"AM05", "DU01", "DU02", "DU03", "DU04", "DU05"})
"""ISO 20022 external status reasons for a repeat. They mean that the first message arrived, so they are never a
refusal.
"""


@dataclass(frozen=True, slots=True)
class PaymentStatus:
    """One payment's status in the report. Ids are the original's; `status` may be empty if only a reason is stated."""

    end_to_end_id: str
    status: str
    reasons: tuple[StatusReason, ...] = ()
    instruction_id: str = ""
    amount: Money | None = None
    bank_reference: str = ""


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """A group's status (OrgnlPmtInfAndSts). `status` is empty if only its payments have one. `findings`: parts that
    cannot be read."""

    id: str
    status: str = ""
    reasons: tuple[StatusReason, ...] = ()
    payments: tuple[PaymentStatus, ...] = ()
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A whole pain.002 about the message `original_id`. `findings`: unreadable parts, which are left out.

    A payment without a line may be in one of the unreadable parts, so that the status of the rest must not be applied
    to it.
    """

    message_id: str
    created: datetime
    original_id: str
    original_name: str
    status: str = ""
    reasons: tuple[StatusReason, ...] = ()
    groups: tuple[GroupStatus, ...] = ()
    findings: tuple[str, ...] = ()


def read_status(root: etree._Element) -> StatusReport:
    """A pain.002 of any version. An unreadable line hides no other line.

    Raises ProtocolError "structure", "missing" or "value" for a report that does not name its message.
    """
    version = expect(root, "pain.002")
    message = Reader(root, version.namespace).need(version.child)
    head, original = message.need("GrpHdr"), message.need("OrgnlGrpInfAndSts")
    status, odd = _status(original, "GrpSts", "the file's status")
    groups = tuple(map(_read_group, message.all("OrgnlPmtInfAndSts")))
    return StatusReport(
        head.must("MsgId"),
        head.created("CreDtTm"),
        original.must("OrgnlMsgId"),
        original.text("OrgnlMsgNmId"),
        *status,
        groups,
        (*odd, *(each for one in groups for each in one.findings)),
    )


def _status(one: Reader, tag: str, what: str) -> tuple[tuple[str, tuple[StatusReason, ...]], tuple[str, ...]]:
    """A status with its reasons; None with the reason if it cannot be read."""
    try:
        return (one.text(tag), read_reasons(one.all("StsRsnInf"))), ()
    except ProtocolError as error:
        return ("", ()), (f"{what} cannot be read ({error})",)


def _read_group(one: Reader) -> GroupStatus:
    status, odd = _status(one, "PmtInfSts", "a group's status")
    payments, unread = readable(one.all("TxInfAndSts"), _read_payment, "TxInfAndSts")
    try:
        name = one.text("OrgnlPmtInfId")
    except ProtocolError as error:
        name, status, odd = "", ("", ()), (*odd, f"a group's number cannot be read ({error})")
    return GroupStatus(name, *status, tuple(payments), (*odd, *unread))


def _read_payment(one: Reader) -> PaymentStatus:
    return PaymentStatus(
        one.text("OrgnlEndToEndId"),
        one.text("TxSts"),
        read_reasons(one.all("StsRsnInf")),
        one.text("OrgnlInstrId"),
        one.money("OrgnlTxRef/Amt/InstdAmt") or one.money("OrgnlTxRef/InstdAmt"),
        one.text("AcctSvcrRef"),
    )


def said_of(report: StatusReport, end_to_end_id: str, group_id: str = "") -> Outcome | None:
    """The status of one payment in the report: that of its own line, else of its group, else of the file. None if there
    is none.

    A payment with two different statuses is in doubt. A refusal whose reason is a repeat is a duplicate. `group_id` ""
    is any group.
    """
    own, rest = said_by_payment(report, group_id)
    return own.get(end_to_end_id, rest)


def said_by_payment(report: StatusReport, group_id: str = "") -> tuple[Mapping[str, Outcome | None], Outcome | None]:
    """As `said_of`, for all payments at once: the statuses by EndToEndId, and the status of payments without a line."""
    groups = [one for one in report.groups if not group_id or one.id == group_id]
    lines: dict[str, list[_Said]] = {}
    for line in (each for one in groups for each in one.payments):
        lines.setdefault(line.end_to_end_id, []).append((line.status, line.reasons, line.bank_reference))
    alone = group_id or len(groups) == 1
    rest: list[_Said] = [(one.status, one.reasons, "") for one in groups if one.status and alone]
    if not rest and report.status:
        rest = [(report.status, report.reasons, "")]
    if report.findings:
        rest = []
    return {name: _agreed(said) for name, said in lines.items()}, _agreed(rest)


def _agreed(said: list[_Said]) -> Outcome | None:
    found = [_outcome(*one) for one in said if one[0] or one[1]]
    if not found:
        return None
    if len({one.fate for one in found}) > 1:
        words = ", ".join(one.code for one in found)
        return Outcome(Fate.UNKNOWN, found[0].code, f"the report says different things of this payment: {words}")
    return found[0]


def _outcome(status: str, reasons: tuple[StatusReason, ...], bank_reference: str) -> Outcome:
    fate = FATES.get(status, Fate.UNKNOWN)
    if fate is Fate.FAILED and any(one.code in DUPLICATES for one in reasons):
        fate = Fate.DUPLICATE
    code = "/".join([status, *(one.code for one in reasons if one.code)])
    verified = VERIFIED.get(status, "")
    text = "; ".join(filter(None, (verified, *(one.text for one in reasons))))
    return Outcome(fate, code, text, bank_reference or None, listed=status in FATES)


def write_status(report: StatusReport, name: str = "pain.002.001.12", initiator: Side | None = None) -> bytes:
    """The message in UTF-8, fit for its schema. Raises ProtocolError "value"."""
    version = VERSIONS[name]
    head = el(
        "GrpHdr",
        el("MsgId", report.message_id),
        el("CreDtTm", moment(report.created)),
        None if initiator is None else written_party("InitgPty", initiator),
    )
    original = el(
        "OrgnlGrpInfAndSts",
        el("OrgnlMsgId", report.original_id),
        el("OrgnlMsgNmId", report.original_name),
        leaf("GrpSts", report.status),
        _reasons(report.reasons),
    )
    return document(version, head, original, *(_group(one) for one in report.groups))


def _group(one: GroupStatus) -> Markup:
    lines = [
        el(
            "TxInfAndSts",
            leaf("OrgnlInstrId", each.instruction_id),
            el("OrgnlEndToEndId", each.end_to_end_id),
            leaf("TxSts", each.status),
            _reasons(each.reasons),
            leaf("AcctSvcrRef", each.bank_reference),
            None if each.amount is None else el("OrgnlTxRef", el("Amt", amount("InstdAmt", each.amount))),
        )
        for each in one.payments
    ]
    return el(
        "OrgnlPmtInfAndSts", el("OrgnlPmtInfId", one.id), leaf("PmtInfSts", one.status), _reasons(one.reasons), lines
    )


def _reasons(reasons: tuple[StatusReason, ...]) -> list[Markup]:
    return [
        el(
            "StsRsnInf",
            el("Rsn", el("Cd" if len(one.code) == 4 and one.code.isalnum() else "Prtry", one.code))
            if one.code
            else None,
            [el("AddtlInf", part) for part in _pieces(one.text)],
        )
        for one in reasons
    ]


def _pieces(text: str, most: int = 105) -> list[str]:
    return [text[at : at + most] for at in range(0, len(text), most)]
