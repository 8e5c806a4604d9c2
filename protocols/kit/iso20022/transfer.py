"""pain.001: a customer's credit transfers, written strictly and read as an ERP or a client sends them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

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
from protocols.kit.iso20022.remittance import read_structured, structured
from protocols.kit.xmldoc import Markup, el

URGENT: Final = "URGP"
NORMAL: Final = "NURG"
_FAST: Final = frozenset({URGENT, "SDVA"})
SEPA: Final = "SEPA"
INSTANT: Final = "INST"
SALARY: Final = "SALA"
NOT_PROVIDED: Final = "NOTPROVIDED"
TRANSFER: Final = "TRF"


@dataclass(frozen=True, slots=True)
class Transfer:
    """One credit transfer. `end_to_end_id` travels to the payee; `text` is unstructured, `remittances` is structured.

    An id has at most 35 characters, the text 140. If `urgent`, `instrument`, `category` and `charge_bearer` are stated,
    they take precedence over those of the group.
    """

    end_to_end_id: str
    amount: Money
    creditor: Side
    text: str = ""
    instruction_id: str = ""
    remittances: tuple[Remittance, ...] = ()
    purpose: str = ""
    ultimate_debtor: str = ""
    ultimate_creditor: str = ""
    charge_bearer: str = ""
    urgent: bool | None = None
    instrument: str = ""
    category: str = ""


@dataclass(frozen=True, slots=True)
class TransferGroup:
    """Transfers from one account on one day (PmtInf). `category` SALA marks salaries, `instrument` INST is instant.

    `urgent` asks for URGP; `service` is the level of transfers that are not urgent (NURG, SEPA). `at` is the hour, if
    one is requested.
    """

    id: str
    debtor: Side
    on: date
    transfers: tuple[Transfer, ...]
    urgent: bool = False
    category: str = ""
    charge_bearer: str = ""
    batch_booking: bool | None = None
    instrument: str = ""
    service: str = NORMAL
    at: datetime | None = None
    ultimate_debtor: str = ""


@dataclass(frozen=True, slots=True)
class TransferFile:
    """A whole pain.001 message."""

    message_id: str
    created: datetime
    initiator: Side
    groups: tuple[TransferGroup, ...]

    @property
    def amounts(self) -> tuple[Money, ...]:
        """Every transfer's amount, in order."""
        return tuple(one.amount for group_ in self.groups for one in group_.transfers)


def write_transfers(file: TransferFile, name: str = "pain.001.001.09") -> bytes:
    """The message in UTF-8, fit for its schema. Raises ProtocolError "value" when something does not fit."""
    version = VERSIONS[name]
    head = el(
        "GrpHdr",
        el("MsgId", file.message_id),
        el("CreDtTm", moment(file.created)),
        el("NbOfTxs", str(len(file.amounts))),
        el("CtrlSum", control_sum(file.amounts)),
        written_party("InitgPty", file.initiator),
    )
    return document(version, head, *(_group(one, version) for one in file.groups))


def _group(one: TransferGroup, version: MessageVersion) -> Markup:
    amounts = [transfer.amount for transfer in one.transfers]
    day = one.on.isoformat()
    kind = _kind(one.urgent, one.service, one.instrument, one.category)
    hour = None if one.at is None or not version.modern else el("DtTm", moment(one.at))
    agent = written_agent("DbtrAgt", version, one.debtor)
    return el(
        "PmtInf",
        el("PmtInfId", one.id),
        el("PmtMtd", "TRF"),
        None if one.batch_booking is None else el("BtchBookg", "true" if one.batch_booking else "false"),
        el("NbOfTxs", str(len(amounts))),
        el("CtrlSum", control_sum(amounts)),
        kind,
        el("ReqdExctnDt", (hour or el("Dt", day)) if version.modern else day),
        written_party("Dbtr", one.debtor),
        written_account("DbtrAcct", one.debtor.party.account.clear, amounts[0].currency if amounts else ""),
        # The schema wants the payer's bank in any case.
        agent or el("DbtrAgt", el("FinInstnId", el("Othr", el("Id", NOT_PROVIDED)))),
        ultimate("UltmtDbtr", one.ultimate_debtor),
        leaf("ChrgBr", one.charge_bearer),
        [_transfer(transfer, version) for transfer in one.transfers],
    )


def _kind(urgent: bool | None, service: str, instrument: str, category: str) -> Markup | None:
    """The element PmtTpInf, which states speed and rail."""
    return group(
        "PmtTpInf",
        None if urgent is None else el("InstrPrty", "HIGH" if urgent else "NORM"),
        None if urgent is None else el("SvcLvl", el("Cd", URGENT if urgent else service)),
        el("LclInstrm", el("Cd", instrument)) if instrument else None,
        el("CtgyPurp", el("Cd", category)) if category else None,
    )


def _transfer(one: Transfer, version: MessageVersion) -> Markup:
    return el(
        "CdtTrfTxInf",
        el("PmtId", leaf("InstrId", one.instruction_id), el("EndToEndId", one.end_to_end_id)),
        _kind(one.urgent, NORMAL, one.instrument, one.category),
        el("Amt", amount("InstdAmt", one.amount)),
        leaf("ChrgBr", one.charge_bearer),
        ultimate("UltmtDbtr", one.ultimate_debtor),
        written_agent("CdtrAgt", version, one.creditor),
        written_party("Cdtr", one.creditor),
        written_account("CdtrAcct", one.creditor.party.account.clear),
        ultimate("UltmtCdtr", one.ultimate_creditor),
        el("Purp", el("Cd", one.purpose)) if one.purpose else None,
        group("RmtInf", leaf("Ustrd", one.text), map(structured, one.remittances)),
    )


def read_transfers(root: etree._Element) -> TransferFile:
    """The transfers in a pain.001 of any version.

    Raises ProtocolError "structure", "missing" or "value". `miscounted` judges counts and sums.
    """
    version = expect(root, "pain.001")
    message = Reader(root, version.namespace).need(version.child)
    head = message.need("GrpHdr")
    initiator = read_side(head.find("InitgPty"), None, None)
    if initiator is None:
        raise ProtocolError("missing", "GrpHdr/InitgPty names nobody")
    groups = tuple(_read_group(one) for one in message.all("PmtInf"))
    return TransferFile(head.must("MsgId"), head.created("CreDtTm"), initiator, groups)


def _read_group(one: Reader) -> TransferGroup:
    debtor = read_side(one.find("Dbtr"), one.find("DbtrAcct"), one.find("DbtrAgt"))
    day = one.day("ReqdExctnDt")
    if debtor is None or day is None:
        raise ProtocolError("missing", "PmtInf without Dbtr or ReqdExctnDt")
    method = one.text("PmtMtd")
    if method not in ("", TRANSFER):
        raise ProtocolError("value", f"PmtMtd of {one.must('PmtInfId')} is {method}: only transfers (TRF) are sent")
    booking, service = one.text("BtchBookg"), _service(one)
    return TransferGroup(
        one.must("PmtInfId"),
        debtor,
        day,
        tuple(_read_transfer(each, one) for each in one.all("CdtTrfTxInf")),
        bool(_urgent(one)),
        one.choice("PmtTpInf/CtgyPurp"),
        one.text("ChrgBr"),
        None if not booking else booking in ("true", "1"),
        one.choice("PmtTpInf/LclInstrm"),
        NORMAL if service in _FAST else service or NORMAL,
        one.moment("ReqdExctnDt"),
        one.text("UltmtDbtr/Nm"),
    )


def _service(one: Reader) -> str:
    """The service level. Newer versions allow several, and one about the speed comes first."""
    levels = [each.text("Cd", "Prtry") for each in one.all("PmtTpInf/SvcLvl")]
    return next((level for level in levels if level in _FAST), levels[0] if levels else "")


def _urgent(one: Reader) -> bool | None:
    """True or False according to a priority or service level; None if neither is given."""
    priority, service = one.text("PmtTpInf/InstrPrty"), _service(one)
    return None if not priority and not service else priority == "HIGH" or service in _FAST


def _read_transfer(one: Reader, around: Reader) -> Transfer:
    creditor = read_side(one.find("Cdtr"), one.find("CdtrAcct"), one.find("CdtrAgt"))
    money = one.money("Amt/InstdAmt")
    if creditor is None or money is None:
        raise ProtocolError("missing", f"a transfer of {around.must('PmtInfId')} without Cdtr or InstdAmt")
    return Transfer(
        one.must("PmtId/EndToEndId"),
        money,
        creditor,
        one.joined("RmtInf/Ustrd"),
        one.text("PmtId/InstrId"),
        tuple(filter(None, map(read_structured, one.all("RmtInf/Strd")))),
        one.choice("Purp"),
        one.text("UltmtDbtr/Nm"),
        one.text("UltmtCdtr/Nm"),
        one.text("ChrgBr"),
        _urgent(one),
        one.choice("PmtTpInf/LclInstrm"),
        one.choice("PmtTpInf/CtgyPurp"),
    )


@dataclass(frozen=True, slots=True)
class Miscount:
    """A count or sum that differs from the message's content. `at` is the element below the message's own."""

    at: str
    where: str
    sentence: str


def miscounts(root: etree._Element) -> tuple[Miscount, ...]:
    """The wrong counts and sums of a pain.001 or pain.008; () if all are right.

    Raises ProtocolError for texts that are no amounts.
    """
    version = expect(root, "pain.001", "pain.008")
    message = Reader(root, version.namespace).need(version.child)
    row, path = ("CdtTrfTxInf", "Amt/InstdAmt") if version.kind == "pain.001" else ("DrctDbtTxInf", "InstdAmt")
    found: list[Miscount] = []
    total: list[Money] = []
    for number, one in enumerate(message.all("PmtInf"), start=1):
        amounts = [money for each in one.all(row) if (money := each.money(path)) is not None]
        found += _compare(one, f"PmtInf[{number}]", f"PmtInf {one.text('PmtInfId')}", amounts)
        total += amounts
    return tuple(_compare(message.need("GrpHdr"), "GrpHdr", "GrpHdr", total) + found)


def miscounted(root: etree._Element) -> tuple[str, ...]:
    """The wrong counts and sums as sentences; see `miscounts`."""
    return tuple(f"{one.where}: {one.sentence}" for one in miscounts(root))


def _compare(said: Reader, at: str, where: str, amounts: list[Money]) -> list[Miscount]:
    found: list[Miscount] = []
    count, total = said.text("NbOfTxs"), said.text("CtrlSum")
    if count and (count.lstrip("0") or "0") != str(len(amounts)):
        found.append(Miscount(f"{at}/NbOfTxs", where, f"NbOfTxs is {count}, there are {len(amounts)}"))
    whole, _, fraction = control_sum(amounts).partition(".")
    ours = (whole, fraction.rstrip("0"))
    theirs_whole, _, theirs_fraction = total.partition(".")
    if total and (theirs_whole.lstrip("0") or "0", theirs_fraction.rstrip("0")) != ours:
        sentence = f"CtrlSum is {total}, the amounts sum to {whole}.{fraction}"
        found.append(Miscount(f"{at}/CtrlSum", where, sentence))
    return found
