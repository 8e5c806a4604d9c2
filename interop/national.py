"""Judges our messages under a country's rules by that country's schema: SPS (SIX) and DK, stricter than ISO's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from lxml import etree

from interop.jbank import iban
from interop.peer import CHECKOUT, PeerDisagrees
from interop.samples import Samples
from protocols.bank import Context
from protocols.banks.finws import iso
from protocols.canon.money import Money
from protocols.canon.order import (
    AnyOrder,
    BatchItemDetail,
    Channel,
    CollectionDetail,
    Item,
    Kind,
    Order,
    PaymentDetail,
    PayrollItemDetail,
    Urgency,
)
from protocols.canon.party import AccountNumber, Address, Name, Party
from protocols.canon.terms import DebitTerms, Remittance, Terms

ADDRESS = Address("FI", "Helsinki", "00100", "Esimerkkikatu", "1")
OURS = Party(AccountNumber(iban(17)), Name("Esimerkki Oy"))
THEIRS = Party(AccountNumber(iban(25)), Name("Müller & Söhne"), bic="BBBBFIHH", address=ADDRESS)
NAMELESS = replace(THEIRS, bic=None, bank_name="Example Bank", address=None)
RF = "RF18539007547034"
FULL = Terms("PAYER-17", "SUPP", "", (Remittance(RF),), Name("Example Group"), Name("Third Oy"))
CONTEXT = Context("FILE0000000000000001", 1, date(2026, 11, 24), datetime(2026, 11, 24, 9, 30, tzinfo=UTC), (1,))


def _payments(with_text: bool, instant: bool) -> Iterator[AnyOrder]:
    """One payment of each kind: the smallest, with all terms, urgent, a payee whose bank is known by name, fees,
    instant.
    """
    one, item = Money(123_456, "EUR"), BatchItemDetail("B1", 1)
    yield Order("1", OURS, THEIRS, one, item, "Invoice 0931")
    yield Order("2", OURS, THEIRS, one, item, f"Invoice {RF}" if with_text else "", terms=FULL)
    yield Order("3", OURS, NAMELESS, one, item, RF, Urgency.URGENT, terms=Terms(remittances=(Remittance(RF),)))
    yield Order("4", OURS, THEIRS, one, item, "", terms=Terms(charge_bearer="SHAR"))
    if instant:
        yield Order("5", OURS, THEIRS, one, item, "Now", channel=Channel.INSTANT)


def _files(writing: iso.Writing, *, with_text: bool, instant: bool) -> Iterator[tuple[str, bytes]]:
    orders = list(_payments(with_text, instant))
    lines = tuple(Item(order, f"LINE{number:016d}") for number, order in enumerate(orders))
    yield "batch", writing.file(CONTEXT.reference, Kind.BATCH_ITEM, lines, CONTEXT)
    pays = tuple(
        Item(Order(str(n), OURS, THEIRS, Money(n, "EUR"), PayrollItemDetail("B1", n)), f"LINE{n:016d}") for n in (1, 2)
    )
    yield "payroll", writing.file(CONTEXT.reference, Kind.PAYROLL_ITEM, pays, CONTEXT)
    alone = Item(Order("1", OURS, THEIRS, Money(100, "EUR"), PaymentDetail(), "Invoice"), CONTEXT.reference)
    yield "payment", writing.file(CONTEXT.reference, Kind.PAYMENT, (alone,), CONTEXT)


def sps(samples: Samples) -> str:
    """pain.001.001.09.ch.03 of SIX."""
    schema = _schema("l10n_ch_pain_credit_transfer/data/pain.001.001.09.ch.03.xsd")
    writing = iso.Writing("AAAAFIHH", iso.PAYMENT_FORMS[1], address=ADDRESS, rules=iso.SPS, batch_booking=True)
    count = 0
    for name, data in _files(writing, with_text=True, instant=True):
        _judged(schema, name, etree.fromstring(data))
        count += 1
    return f"{count} files taken, each refused with a wrong country"


def dk(samples: Samples) -> str:
    """pain.001.003.03 and pain.008.003.02 of DFÜ agreement 2.7. The newer schemas under ISO's names are
    not available.
    """
    writing = iso.Writing(
        "AAAAFIHH",
        address=ADDRESS,
        rules=iso.DK,
        service="SEPA",
        batch_booking=True,
        creditor_scheme="DE98ZZZ09999999999",
    )
    schema, count = _schema("account_payment_sepa_credit_transfer/data/pain.001.003.03.xsd"), 0
    for name, data in _files(writing, with_text=False, instant=False):
        _judged(schema, name, etree.fromstring(data.replace(b"pain.001.001.03", b"pain.001.003.03")))
        count += 1
    schema = _schema("account_payment_sepa_direct_debit/data/pain.008.003.02.xsd")
    mandates = (DebitTerms("2026-01-02", "FRST"), DebitTerms("2025-01-02", "RCUR", "B2B"))
    fees = tuple(
        Item(
            Order(str(n), THEIRS, OURS, Money(n, "EUR"), CollectionDetail(f"M-{n}", "B1", n, one), "Fee"),
            f"LINE{n:016d}",
        )
        for n, one in enumerate(mandates, start=1)
    )
    data = writing.file(CONTEXT.reference, Kind.COLLECTION, fees, CONTEXT)
    _judged(schema, "collections", etree.fromstring(data.replace(b"pain.008.001.02", b"pain.008.003.02")))
    return f"{count + 1} files taken (instant payments are younger than its schema), each refused with a wrong country"


def _schema(name: str) -> etree.XMLSchema:
    found = _found(name)
    if not found:
        raise PeerDisagrees(f"no {name}; `make interop` tries to install it")
    return etree.XMLSchema(etree.parse(str(found[0])))


def _found(name: str) -> list[Path]:
    return list((CHECKOUT / ".venv-interop").glob(f"lib/python3*/site-packages/odoo/addons/{name}"))


def _judged(schema: etree.XMLSchema, name: str, root: etree._Element) -> None:
    if not schema.validate(root):
        raise PeerDisagrees(f"{name}: {'; '.join(str(one.message)[:200] for one in list(schema.error_log)[:3])}")
    country = root.find(".//{*}PstlAdr/{*}Ctry")
    if country is None:
        raise PeerDisagrees(f"{name} names no country")
    country.text = "Finland"
    if schema.validate(root):
        raise PeerDisagrees(f"{name} is taken with the country Finland")
