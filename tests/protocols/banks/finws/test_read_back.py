"""The readback of uploads notices a writer that mixes up accounts, amounts or banks. It knows groups and sealed bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from protocols.bank import Context
from protocols.banks.finws import iso
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Bundle, Channel, Item, Kind
from protocols.canon.party import AccountNumber
from protocols.readback import PaidLine, differs, wanted
from protocols.readback.finws import paid_lines
from tests.protocols.banks.every.bench import Table, table
from tests.protocols.banks.finws.client_mistakes import payment_file, request
from tests.protocols.banks.finws.paper import BANK, CREDITOR, DEBTOR, US, stage, submitted_by


def written(at: Table, orders: list[AnyOrder]) -> bytes:
    """The adapter's bytes of these orders."""
    kind, context = orders[0].kind, at.stage.context(at.reference())
    if kind in at.bank.money:
        return submitted_by(at.stage, at.bank.money[kind](orders[0], context))
    items = tuple(Item(one, at.reference()) for one in orders)
    return submitted_by(at.stage, at.bank.bundles[kind].word(Bundle(kind, items), context))


def lines(orders: list[AnyOrder]) -> list[PaidLine]:
    return [wanted(one.debtor.account.clear, one.creditor.account.clear, str(one.amount)) for one in orders]


def parties_swapped(order: AnyOrder) -> AnyOrder:
    return replace(order, debtor=order.creditor, creditor=order.debtor)


def fen_for_yuan(order: AnyOrder) -> AnyOrder:
    return replace(order, amount=Money(order.amount.minor * 100, order.amount.currency))


def bank_for_payee(order: AnyOrder) -> AnyOrder:
    side = "debtor" if order.kind is Kind.COLLECTION else "creditor"
    party = getattr(order, side)
    number = AccountNumber(party.cnaps or "000000000000")
    return replace(order, **{side: replace(party, account=number, cnaps=party.account.clear[:12])})


@pytest.mark.parametrize("mixed_up", [parties_swapped, fen_for_yuan, bank_for_payee])
@pytest.mark.parametrize("kind", Kind)
def test_what_a_writer_mixes_up_is_noticed(
    kind: Kind, mixed_up: Callable[[AnyOrder], AnyOrder], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = table("finws")
    orders = [
        at.order(kind, minor=1_234 + number, number=number) for number in range(1, 3 if kind in at.bank.bundles else 2)
    ]
    approved = lines(orders)
    assert differs("finws", written(at, orders), approved) == ""
    true = iso.Writing.file

    def mistaken(self: iso.Writing, reference: str, of: Kind, items: Sequence[Item], context: Context) -> bytes:
        return true(self, reference, of, tuple(Item(mixed_up(one.order), one.reference) for one in items), context)

    monkeypatch.setattr(iso.Writing, "file", mistaken)
    assert "another" in differs("finws", written(at, orders), approved)


def test_payments_in_several_groups_are_compared_as_a_set() -> None:
    at = table("finws")
    orders = [at.order(Kind.BATCH_ITEM, minor=100 * number, number=number) for number in range(1, 5)]
    mixed = [
        (replace(one, channel=Channel.INSTANT if number % 2 else Channel.AUTO)) for number, one in enumerate(orders)
    ]
    data = written(at, mixed)
    assert [str(one.amount) for one in paid_lines(data)] == ["1.00", "3.00", "2.00", "4.00"]
    assert differs("finws", data, lines(mixed)) == ""
    assert differs("finws", data, lines(mixed)[:-1]) != ""
    assert differs("finws", data, [*lines(mixed)[:-1], lines(mixed)[0]]) != ""


def test_a_sealed_message_cannot_be_read_and_passes() -> None:
    made = stage(
        adapter={"profile": "danske", "encryption_certificate": BANK.certificate_pem.decode()},
        keys={"encryption": BANK.private_pem, "client_encryption": US.certificate_pem},
    )
    order = table("finws").order(Kind.PAYMENT)
    data = submitted_by(made, made.bank.money[Kind.PAYMENT](order, made.context("GOLDEN00000000000001")))
    assert differs("finws", data, lines([order])) == ""


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (request("getUserInfo"), "no upload"),
        (request("uploadFile", content=b"<Document/>"), "neither"),
        (request("uploadFile", {"Compression": None}), "Compression"),
        (request("uploadFile", {"CompressionMethod": "ZIP"}), "GZIP"),
        (request("uploadFile", {"Content": "AAAA"}), "GZIP"),
        (request("uploadFile", content=payment_file({"PmtInf/DbtrAcct/Id/IBAN": "FI2112345600000785"})), "number"),
        (request("uploadFile", content=payment_file({}, ({"Amt/EqvtAmt/Amt": "1.00"},))), "amounts"),
        (b"GET / HTTP/1.1\r\n\r\n", "HTTP"),
    ],
)
def test_other_bytes_cannot_be_read_and_differ(data: bytes, why: str) -> None:
    assert why in differs("finws", data, [wanted(DEBTOR, CREDITOR, "1.00")])


def test_a_client_s_file_is_read_too() -> None:
    assert differs("finws", request("uploadFile"), [wanted(DEBTOR, CREDITOR, "1.00")]) == ""
