"""The ISO 20022 files inside the messages: orders out, reports about payments and accounts back.

Files are written as pain.001 or pain.008 of the version that the contract names, and checked against its schema before
they are signed. Any version of pain.002 and camt.052/053/054 is read, leniently, with findings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import groupby
from typing import Final, TypeVar

from lxml import etree

from protocols.bank import Context
from protocols.banks.finws.files import File
from protocols.banks.finws.messages import Packed
from protocols.canon.order import AnyOrder, Channel, CollectionDetail, Item, Kind, PayrollItemDetail, Urgency
from protocols.canon.party import Address, Name, Party
from protocols.canon.terms import Remittance
from protocols.kit.charset import UTF8
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import plain
from protocols.kit.iso20022 import account, debit, report, schema, stream, transfer
from protocols.kit.iso20022.account import AccountReport
from protocols.kit.iso20022.debit import Debit, DebitFile, DebitGroup, Mandate
from protocols.kit.iso20022.parts import Side
from protocols.kit.iso20022.report import StatusReport
from protocols.kit.iso20022.transfer import INSTANT, SALARY, Transfer, TransferFile, TransferGroup
from protocols.kit.xmldoc import parse

PAYMENT_FORMS: Final = ("pain.001.001.03", "pain.001.001.09")
COLLECTION_FORMS: Final = ("pain.008.001.02", "pain.008.001.08")
SERVICES: Final = ("NURG", "SEPA")
ISO, DK, SPS = "iso", "dk", "sps"
RULES: Final = (ISO, DK, SPS)
PAYER_S, OURS = "payer", "reference"
PART_ENTRIES: Final = 5_000
_NODES_MAX: Final = 200_000
_MAX_BYTES: Final = 8_388_608
_SHARED: Final = "SLEV"
_Key = TypeVar("_Key")
_SEQUENCE, _INSTRUMENT = "RCUR", "CORE"


@dataclass(frozen=True, slots=True)
class Writing:
    """The form in which the contract wants files written.

    `bic` is the bank's own, `address` that of the account's holder, `service` the level of payments that are not
    urgent. `end_to_end`: the number that goes to the payee as EndToEndId: the payer's if there is one, or always our
    reference, for a bank whose reports name payments by nothing else. `batch_booking` None leaves the choice to the
    bank. `rules`: ISO's own schema, or the stricter German (DK) or Swiss (SPS) one.
    """

    bic: str
    form: str = PAYMENT_FORMS[0]
    collection_form: str = COLLECTION_FORMS[0]
    address: Address | None = None
    service: str = SERVICES[0]
    end_to_end: str = PAYER_S
    batch_booking: bool | None = None
    creditor_scheme: str = ""
    rules: str = ISO

    def file(self, reference: str, kind: Kind, items: Sequence[Item], context: Context) -> bytes:
        """Write orders of one kind and own account as one file, whose MsgId is `reference`.

        Each order's InstrId is its own reference. Orders that differ in speed, rail or fees are in groups of their own.
        Raises ProtocolError "value" or "missing" for an order that does not fit.
        """
        if kind is Kind.COLLECTION:
            return self._collections(reference, items, context)
        ours, groups = items[0].order.debtor, list[TransferGroup]()
        parted = _grouped(items, _speed)
        for group_id, (key, members) in zip(group_ids(reference, len(parted)), parted.items(), strict=True):
            urgent, instrument, bearer = key
            fees = bearer if bearer and self.service != SERVICES[1] else _SHARED
            groups.append(
                TransferGroup(
                    group_id,
                    self._own(ours),
                    context.bank_date,
                    tuple(self._transfer(each) for each in members),
                    urgent,
                    SALARY if kind is Kind.PAYROLL_ITEM else "",
                    fees,
                    self.batch_booking,
                    instrument,
                    self.service,
                )
            )
        return transfer.write_transfers(
            TransferFile(reference, context.now, _initiator(ours), tuple(groups)), self.form
        )

    def _collections(self, reference: str, items: Sequence[Item], context: Context) -> bytes:
        ours, groups = items[0].order.creditor, list[DebitGroup]()
        parted = _grouped(items, _scheme)
        for group_id, (key, members) in zip(group_ids(reference, len(parted)), parted.items(), strict=True):
            sequence, instrument = key
            groups.append(
                DebitGroup(
                    group_id,
                    self._own(ours),
                    context.bank_date,
                    tuple(self._debit(each) for each in members),
                    sequence,
                    instrument,
                    charge_bearer=_SHARED,
                    batch_booking=self.batch_booking,
                )
            )
        return debit.write_debits(
            DebitFile(reference, context.now, _initiator(ours), tuple(groups)), self.collection_form
        )

    def _own(self, ours: Party) -> Side:
        return self._side(replace(ours, bic=self.bic, address=self.address))

    def _side(self, party: Party) -> Side:
        """The party in the form that the rules allow: DK takes a bank by its BIC only, and two lines of an address."""
        where = party.address
        if self.rules != DK:
            return Side(party)
        if where is not None:
            told = (f"{where.street} {where.building}".strip(), f"{where.postcode} {where.town}".strip(), *where.lines)
            where = Address(where.country, lines=tuple(line[:70] for line in told if line)[:2])
        return Side(replace(party, bank_name=None, cnaps=None, address=where))

    def _said(self, order: AnyOrder) -> tuple[str, tuple[Remittance, ...]]:
        """The payee's text and the structured references. Raises "value" for content that the rules exclude."""
        text, parts = _text(order), order.terms.remittances
        fits = len(parts) <= 1
        if self.rules == DK and parts:
            fits = fits and not text and not parts[0].invoice and parts[0].amount is None
        if self.rules == ISO or fits:
            return text, parts
        if all((one.reference or one.invoice) in order.purpose for one in parts):
            return order.purpose, ()
        raise ProtocolError("value", f"the rules {self.rules} take one reference by itself; say others in the text")

    def _id(self, item: Item) -> str:
        told = item.order.terms.end_to_end_id
        return told if told and self.end_to_end == PAYER_S else item.reference

    def _transfer(self, item: Item) -> Transfer:
        order, terms, detail = item.order, item.order.terms, item.order.detail
        purpose, (text, parts) = terms.purpose_code, self._said(order)
        if not purpose and isinstance(detail, PayrollItemDetail) and _is_code(detail.purpose_code):
            purpose = detail.purpose_code or ""
        return Transfer(
            self._id(item),
            order.amount,
            self._side(order.creditor),
            text,
            item.reference,
            parts,
            purpose,
            _name(terms.ultimate_debtor),
            _name(terms.ultimate_creditor),
        )

    def _debit(self, item: Item) -> Debit:
        order, terms, detail = item.order, item.order.terms, item.order.detail
        assert isinstance(detail, CollectionDetail), "only collections are collected"
        if not detail.terms.signed_on:
            raise ProtocolError("missing", f"{item.reference}: a direct debit needs the day its mandate was signed on")
        text, parts = self._said(order)
        mandate = Mandate(
            detail.agreement, date.fromisoformat(detail.terms.signed_on), detail.terms.scheme_id or self.creditor_scheme
        )
        return Debit(
            self._id(item),
            order.amount,
            self._side(order.debtor),
            mandate,
            text,
            item.reference,
            parts,
            terms.purpose_code,
            _name(terms.ultimate_debtor),
            _name(terms.ultimate_creditor),
        )


def members(kind: Kind, items: Sequence[Item]) -> str:
    """The group of each item in its file, as text: "2x1,1x2" is two items in group 1, then one in group 2.

    "" if there is one group only.
    """
    key = _scheme if kind is Kind.COLLECTION else _speed
    place = {name: number for number, name in enumerate(_grouped(items, key), start=1)}
    if len(place) < 2:
        return ""
    runs = groupby(place[key(each.order)] for each in items)
    return ",".join(f"{len(list(run))}x{number}" for number, run in runs)


def groups_of(reference: str, told: str, items: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The items of each group by its PmtInfId, from the text of `members`; {} if the text does not fit these items."""
    runs = [run.split("x") for run in told.split(",")] if told else [[str(len(items)), "1"]]
    if not all(len(run) == 2 and all(one.isdecimal() for one in run) for run in runs):
        return {}
    if sum(int(count) for count, _ in runs) != len(items):
        return {}
    places = [int(number) for count, number in runs for _ in range(int(count))]
    names = group_ids(reference, len(set(places)))
    found: dict[str, list[str]] = {name: [] for name in names}
    for item, place in zip(items, places, strict=True):
        if not 1 <= place <= len(names):
            return {}
        found[names[place - 1]].append(item)
    return {name: tuple(each) for name, each in found.items()}


def _grouped(items: Iterable[Item], key: Callable[[AnyOrder], _Key]) -> dict[_Key, list[Item]]:
    found: dict[_Key, list[Item]] = {}
    for item in items:
        found.setdefault(key(item.order), []).append(item)
    return found


def _speed(order: AnyOrder) -> tuple[bool, str, str]:
    urgent = order.urgency is Urgency.URGENT or order.channel is Channel.LARGE_VALUE
    return urgent, INSTANT if order.channel is Channel.INSTANT else "", order.terms.charge_bearer


def _scheme(order: AnyOrder) -> tuple[str, str]:
    terms = order.detail.terms if isinstance(order.detail, CollectionDetail) else None
    return (terms.sequence if terms else "") or _SEQUENCE, (terms.instrument if terms else "") or _INSTRUMENT


def group_ids(reference: str, count: int) -> list[str]:
    """PmtInfId of each group of a file. If there is only one group, it has the file's own number."""
    return [reference] if count == 1 else [f"{reference}-{number}" for number in range(1, count + 1)]


def _text(order: AnyOrder) -> str:
    """The text for the payee; empty if it only repeats a reference that is sent in its own element."""
    repeats = {one.reference or one.invoice for one in order.terms.remittances}
    return "" if order.purpose in repeats else order.purpose


def _is_code(word: str | None) -> bool:
    return word is not None and len(word) == 4 and word.isascii() and word.isalpha() and word.isupper()


def _name(name: Name | None) -> str:
    return "" if name is None else name.clear


def _initiator(ours: Party) -> Side:
    return Side(Party(ours.account, ours.name))


def document(data: bytes) -> etree._Element:
    """The root of a file, parsed within limits and without its comments. Raises ProtocolError.

    Permitted files have comments; some official samples do. The file is sent as base64 in a signed document, so that
    its own comments do not affect the signature's canonical form.
    """
    return parse(data, UTF8, max_bytes=_MAX_BYTES, max_nodes=_NODES_MAX, drop_comments=True)


def status(data: bytes | Packed) -> tuple[StatusReport, tuple[str, ...]]:
    """A pain.002, and the findings about it: its faults against the schema, and parts that cannot be read. Raises
    ProtocolError."""
    root = document(data.whole(_MAX_BYTES) if isinstance(data, Packed) else data)
    said = report.read_status(root)
    return said, (*schema.misfits(root), *said.findings)


def accounts(data: bytes | Packed) -> Iterator[AccountReport]:
    """The reports of a camt.052, 053 or 054 about each account, with the findings. Raises ProtocolError.

    A report in a file that is too large for memory comes in several parts, each with some of its entries.
    """
    if isinstance(data, Packed):
        yield from (part.report for part in stream.parts(data.pieces(), PART_ENTRIES))
        return
    root = document(data)
    found = schema.misfits(root)
    yield from (replace(one, findings=(*found, *one.findings)) for one in account.read_reports(root))


def unread(file: File, error: ProtocolError) -> str:
    """A sentence about a file that cannot be read."""
    return f"{file.kind} {plain(file.reference)} cannot be read and is left out ({error})"
