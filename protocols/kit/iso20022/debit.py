"""pain.008: a customer's direct debits (collections), written strictly and read as an ERP sends them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from lxml import etree

from protocols.canon.money import Money
from protocols.canon.terms import Remittance
from protocols.kit.errors import ProtocolError
from protocols.kit.iso20022.names import VERSIONS, MessageVersion, expect
from protocols.kit.iso20022.parts import (
    Reader,
    Side,
    amount,
    control_sum,
    document,
    group,
    leaf,
    moment,
    read_side,
    ultimate,
    written_account,
    written_agent,
    written_party,
)
from protocols.kit.iso20022.remittance import structured
from protocols.kit.iso20022.transfer import NOT_PROVIDED
from protocols.kit.xmldoc import Markup, el


@dataclass(frozen=True, slots=True)
class Mandate:
    """The payer's consent: its id, the day it was signed, and the number of the scheme the creditor collects under."""

    id: str
    signed_on: date
    creditor_scheme_id: str = ""


@dataclass(frozen=True, slots=True)
class Debit:
    """One collection from `debtor`."""

    end_to_end_id: str
    amount: Money
    debtor: Side
    mandate: Mandate
    text: str = ""
    instruction_id: str = ""
    remittances: tuple[Remittance, ...] = ()
    purpose: str = ""
    ultimate_debtor: str = ""
    ultimate_creditor: str = ""


@dataclass(frozen=True, slots=True)
class DebitGroup:
    """Collections into one account on one day. `sequence` is FRST, RCUR, OOFF or FNAL; `instrument` CORE or B2B."""

    id: str
    creditor: Side
    on: date
    debits: tuple[Debit, ...]
    sequence: str = "RCUR"
    instrument: str = "CORE"
    service: str = "SEPA"
    charge_bearer: str = ""
    batch_booking: bool | None = None


@dataclass(frozen=True, slots=True)
class DebitFile:
    """A whole pain.008 message."""

    message_id: str
    created: datetime
    initiator: Side
    groups: tuple[DebitGroup, ...]

    @property
    def amounts(self) -> tuple[Money, ...]:
        """Every collection's amount, in order."""
        return tuple(one.amount for group_ in self.groups for one in group_.debits)


def write_debits(file: DebitFile, name: str = "pain.008.001.08") -> bytes:
    """The message in UTF-8, fit for its schema. Raises ProtocolError "value" when something does not fit."""
    head = el(
        "GrpHdr",
        el("MsgId", file.message_id),
        el("CreDtTm", moment(file.created)),
        el("NbOfTxs", str(len(file.amounts))),
        el("CtrlSum", control_sum(file.amounts)),
        written_party("InitgPty", file.initiator),
    )
    version = VERSIONS[name]
    return document(version, head, *(_group(one, version) for one in file.groups))


def _group(one: DebitGroup, version: MessageVersion) -> Markup:
    amounts = [debit.amount for debit in one.debits]
    kind = el(
        "PmtTpInf",
        el("SvcLvl", el("Cd", one.service)),
        el("LclInstrm", el("Cd", one.instrument)),
        el("SeqTp", one.sequence),
    )
    missing = el("FinInstnId", el("Othr", el("Id", NOT_PROVIDED)))
    return el(
        "PmtInf",
        el("PmtInfId", one.id),
        el("PmtMtd", "DD"),
        None if one.batch_booking is None else el("BtchBookg", "true" if one.batch_booking else "false"),
        el("NbOfTxs", str(len(amounts))),
        el("CtrlSum", control_sum(amounts)),
        kind,
        el("ReqdColltnDt", one.on.isoformat()),
        written_party("Cdtr", one.creditor),
        written_account("CdtrAcct", one.creditor.party.account.clear),
        written_agent("CdtrAgt", version, one.creditor) or el("CdtrAgt", missing),
        leaf("ChrgBr", one.charge_bearer),
        [_debit(debit, version) for debit in one.debits],
    )


def _debit(one: Debit, version: MessageVersion) -> Markup:
    scheme = one.mandate.creditor_scheme_id
    scheme_id = (
        None
        if not scheme
        else el("CdtrSchmeId", el("Id", el("PrvtId", el("Othr", el("Id", scheme), el("SchmeNm", el("Prtry", "SEPA"))))))
    )
    mandate = el(
        "DrctDbtTx",
        el("MndtRltdInf", el("MndtId", one.mandate.id), el("DtOfSgntr", one.mandate.signed_on.isoformat())),
        scheme_id,
    )
    agent = written_agent("DbtrAgt", version, one.debtor)
    return el(
        "DrctDbtTxInf",
        el("PmtId", leaf("InstrId", one.instruction_id), el("EndToEndId", one.end_to_end_id)),
        amount("InstdAmt", one.amount),
        mandate,
        ultimate("UltmtCdtr", one.ultimate_creditor),
        agent or el("DbtrAgt", el("FinInstnId", el("Othr", el("Id", NOT_PROVIDED)))),
        written_party("Dbtr", one.debtor),
        written_account("DbtrAcct", one.debtor.party.account.clear),
        ultimate("UltmtDbtr", one.ultimate_debtor),
        el("Purp", el("Cd", one.purpose)) if one.purpose else None,
        group("RmtInf", leaf("Ustrd", one.text), map(structured, one.remittances)),
    )


def read_debits(root: etree._Element) -> DebitFile:
    """The collections that a pain.008 of any version orders. Raises ProtocolError "structure", "missing" or "value"."""
    version = expect(root, "pain.008")
    message = Reader(root, version.namespace).need(version.child)
    head = message.need("GrpHdr")
    initiator = read_side(head.find("InitgPty"), None, None)
    if initiator is None:
        raise ProtocolError("missing", "GrpHdr/InitgPty names nobody")
    created = head.created("CreDtTm")
    return DebitFile(head.must("MsgId"), created, initiator, tuple(_read_group(one) for one in message.all("PmtInf")))


def _read_group(one: Reader) -> DebitGroup:
    creditor = read_side(one.find("Cdtr"), one.find("CdtrAcct"), one.find("CdtrAgt"))
    day = one.day("ReqdColltnDt")
    if creditor is None or day is None:
        raise ProtocolError("missing", "PmtInf without Cdtr or ReqdColltnDt")
    return DebitGroup(
        one.must("PmtInfId"),
        creditor,
        day,
        tuple(_read_debit(each, one) for each in one.all("DrctDbtTxInf")),
        one.text("PmtTpInf/SeqTp"),
        one.choice("PmtTpInf/LclInstrm"),
        one.choice("PmtTpInf/SvcLvl"),
    )


def _read_debit(one: Reader, around: Reader) -> Debit:
    debtor = read_side(one.find("Dbtr"), one.find("DbtrAcct"), one.find("DbtrAgt"))
    money = one.money("InstdAmt")
    signed = one.day("DrctDbtTx/MndtRltdInf/DtOfSgntr")
    if debtor is None or money is None or signed is None:
        raise ProtocolError("missing", f"a collection of {around.must('PmtInfId')} without Dbtr, InstdAmt or mandate")
    scheme = one.text("DrctDbtTx/CdtrSchmeId/Id/PrvtId/Othr/Id") or around.text("CdtrSchmeId/Id/PrvtId/Othr/Id")
    mandate = Mandate(one.must("DrctDbtTx/MndtRltdInf/MndtId"), signed, scheme)
    return Debit(
        one.must("PmtId/EndToEndId"), money, debtor, mandate, one.joined("RmtInf/Ustrd"), one.text("PmtId/InstrId")
    )
