"""pain.001: a customer's credit transfers, written strictly and read as an ERP or a client sends them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from lxml import etree

from protocols.canon.money import Money
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
    written_account,
    written_agent,
    written_party,
)
from protocols.kit.xmldoc import Markup, el

URGENT: Final = "URGP"
NORMAL: Final = "NURG"
SALARY: Final = "SALA"
NOT_PROVIDED: Final = "NOTPROVIDED"


@dataclass(frozen=True, slots=True)
class Transfer:
    """One credit transfer. `end_to_end_id` travels to the payee; `text` is unstructured, `creditor_reference` RF or
    national. At most 35 characters an id, 140 the text.
    """

    end_to_end_id: str
    amount: Money
    creditor: Side
    text: str = ""
    instruction_id: str = ""
    creditor_reference: str = ""
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class TransferGroup:
    """Transfers from one account on one day (PmtInf). `category` SALA marks salaries; `urgent` asks for URGP."""

    id: str
    debtor: Side
    on: date
    transfers: tuple[Transfer, ...]
    urgent: bool = False
    category: str = ""
    charge_bearer: str = ""
    batch_booking: bool | None = None


@dataclass(frozen=True, slots=True)
class TransferFile:
    """A whole pain.001."""

    message_id: str
    created: datetime
    initiator: Side
    groups: tuple[TransferGroup, ...]

    @property
    def amounts(self) -> tuple[Money, ...]:
        """Every transfer's amount, in order."""
        return tuple(one.amount for group_ in self.groups for one in group_.transfers)


def write(file: TransferFile, name: str = "pain.001.001.09") -> bytes:
    """The message in UTF-8, fit for its schema. Raises ProtocolError "value" when something does not fit."""
    version = VERSIONS[name]
    head = el(
        "GrpHdr", el("MsgId", file.message_id), el("CreDtTm", moment(file.created)),
        el("NbOfTxs", str(len(file.amounts))), el("CtrlSum", control_sum(file.amounts)),
        written_party("InitgPty", file.initiator),
    )  # fmt: skip
    return document(version, head, *(_group(one, version) for one in file.groups))


def _group(one: TransferGroup, version: MessageVersion) -> Markup:
    amounts = [transfer.amount for transfer in one.transfers]
    day = one.on.isoformat()
    kind = el("PmtTpInf", el("InstrPrty", "HIGH" if one.urgent else "NORM"),
              el("SvcLvl", el("Cd", URGENT if one.urgent else NORMAL)),
              el("CtgyPurp", el("Cd", one.category)) if one.category else None)  # fmt: skip
    agent = written_agent("DbtrAgt", version, one.debtor)
    return el(
        "PmtInf", el("PmtInfId", one.id), el("PmtMtd", "TRF"),
        None if one.batch_booking is None else el("BtchBookg", "true" if one.batch_booking else "false"),
        el("NbOfTxs", str(len(amounts))), el("CtrlSum", control_sum(amounts)), kind,
        el("ReqdExctnDt", el("Dt", day) if version.modern else day),
        written_party("Dbtr", one.debtor),
        written_account("DbtrAcct", one.debtor.party.account.clear, amounts[0].currency if amounts else ""),
        # The schema wants the payer's bank in any case.
        agent or el("DbtrAgt", el("FinInstnId", el("Othr", el("Id", NOT_PROVIDED)))),
        leaf("ChrgBr", one.charge_bearer), [_transfer(transfer, version) for transfer in one.transfers],
    )  # fmt: skip


def _transfer(one: Transfer, version: MessageVersion) -> Markup:
    kind = el("Tp", el("CdOrPrtry", el("Cd", "SCOR")))
    said = one.creditor_reference
    reference = el("Strd", el("CdtrRefInf", kind, el("Ref", said))) if said else None
    return el(
        "CdtTrfTxInf", el("PmtId", leaf("InstrId", one.instruction_id), el("EndToEndId", one.end_to_end_id)),
        el("Amt", amount("InstdAmt", one.amount)), written_agent("CdtrAgt", version, one.creditor),
        written_party("Cdtr", one.creditor), written_account("CdtrAcct", one.creditor.party.account.clear),
        el("Purp", el("Cd", one.purpose)) if one.purpose else None,
        group("RmtInf", leaf("Ustrd", one.text), reference),
    )  # fmt: skip


def read(root: etree._Element) -> TransferFile:
    """What a pain.001 of any version orders.

    Raises ProtocolError "structure", "missing" or "value". Counts and sums are not judged here: `miscounted` does.
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
    booking = one.text("BtchBookg")
    return TransferGroup(
        one.must("PmtInfId"), debtor, day, tuple(_read_transfer(each, one) for each in one.all("CdtTrfTxInf")),
        one.choice("PmtTpInf/SvcLvl") in (URGENT, "SDVA") or one.text("PmtTpInf/InstrPrty") == "HIGH",
        one.choice("PmtTpInf/CtgyPurp"), one.text("ChrgBr"),
        None if not booking else booking in ("true", "1"),
    )  # fmt: skip


def _read_transfer(one: Reader, around: Reader) -> Transfer:
    creditor = read_side(one.find("Cdtr"), one.find("CdtrAcct"), one.find("CdtrAgt"))
    money = one.money("Amt/InstdAmt")
    if creditor is None or money is None:
        raise ProtocolError("missing", f"a transfer of {around.must('PmtInfId')} without Cdtr or InstdAmt")
    return Transfer(
        one.must("PmtId/EndToEndId"), money, creditor, one.joined("RmtInf/Ustrd"),
        one.text("PmtId/InstrId"), one.text("RmtInf/Strd/CdtrRefInf/Ref"), one.choice("Purp"),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Miscount:
    """A count or a sum that is not what the message carries. `at` is the element below the message's own."""

    at: str
    where: str
    sentence: str


def miscounts(root: etree._Element) -> tuple[Miscount, ...]:
    """Where a pain.001 or pain.008 counts or sums other than what it carries; () if all agrees.

    Raises ProtocolError for amounts that are none.
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
    """As `miscounts`, in sentences."""
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
