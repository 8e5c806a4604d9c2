"""The ISO 20022 files inside the messages: one payment out, reports about payments and accounts back.

What is written is pain.001 of the version the bank's `type_payment` names, checked against its schema before it is
signed. What is read is any version of pain.002 and camt.052/053/054, leniently, with findings.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from lxml import etree

from protocols.bank import Context
from protocols.canon.order import AnyOrder, Urgency
from protocols.canon.party import Address, Party
from protocols.kit.charset import UTF8
from protocols.kit.iso20022 import account, report, transfer
from protocols.kit.iso20022.account import AccountReport
from protocols.kit.iso20022.parts import Side
from protocols.kit.iso20022.report import StatusReport
from protocols.kit.iso20022.transfer import Transfer, TransferFile, TransferGroup
from protocols.kit.xmldoc import parse

PAYMENT_FORMS: Final = ("pain.001.001.03", "pain.001.001.09")
_NODES_MAX: Final = 200_000
_MAX_BYTES: Final = 8_388_608
_CHARGES: Final = "SLEV"


def payment_file(
    order: AnyOrder, context: Context, debtor_bic: str, name: str, address: Address | None = None
) -> bytes:
    """A pain.001 with this one payment in it; MsgId, PmtInfId and EndToEndId are all our reference.

    `address` is where the payer lives. Raises ProtocolError "value" for what does not fit the schema.
    """
    reference = context.reference
    payer = Side(replace(order.debtor, bic=debtor_bic, address=address))
    paid = Transfer(reference, order.amount, Side(order.creditor), order.purpose)
    urgent = order.urgency is Urgency.URGENT
    group = TransferGroup(reference, payer, context.bank_date, (paid,), urgent, charge_bearer=_CHARGES)
    initiator = Side(Party(order.debtor.account, order.debtor.name))
    return transfer.write(TransferFile(reference, context.now, initiator, (group,)), name)


def document(data: bytes) -> etree._Element:
    """A file's root, within limits. Raises ProtocolError."""
    return parse(data, UTF8, max_bytes=_MAX_BYTES, max_nodes=_NODES_MAX)


def status(data: bytes) -> StatusReport:
    """A pain.002. Raises ProtocolError."""
    return report.read(document(data))


def accounts(data: bytes) -> tuple[AccountReport, ...]:
    """What a camt.052, 053 or 054 says about each account. Raises ProtocolError."""
    return account.read(document(data))
