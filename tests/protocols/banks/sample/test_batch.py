"""Many orders in one message: each result is compared with its order, and an order without a result stays in doubt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lxml import etree

from gateway.simbank.ledger import BookingRules
from protocols.canon.order import Bundle, Item, Kind
from protocols.canon.outcome import Fate
from protocols.canon.query import BundleFateQuestion, SentBundle
from protocols.kit import dsig
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.sample.paper import keys, stage, xmlsec_signed
from tests.world.dialogue import NOON, BankAndTwin, order_of, sent_of

OWN = "BATCH000000000000001"
NS = "{urn:sample-bank:1}"


def refs(count: int) -> list[str]:
    return [f"BATCHITEM{n:011}" for n in range(1, count + 1)]


def bundle(count: int = 3, kind: Kind = Kind.BATCH_ITEM, **given: str) -> Bundle:
    """Orders that differ only in their references."""
    return Bundle(
        kind,
        tuple(
            Item(order_of({"amount": "5.00", "kind": kind.value, "item": str(n), **given}), reference)
            for n, reference in enumerate(refs(count), start=1)
        ),
    )


def send(made: BankAndTwin, orders: Bundle, reference: str = OWN) -> Any:
    return made.talk(made.bank.bundles[orders.kind].word(orders, made.context(reference)))


def sent(orders: Bundle, serials: tuple[str, ...] = ()) -> SentBundle:
    items = tuple(sent_of(item.order, item.reference, NOON.date(), serials) for item in orders.items)
    return SentBundle(OWN, NOON.date(), 1, serials, items)


def ask(made: BankAndTwin, orders: Bundle) -> Any:
    return made.talk(made.bank.bundles[orders.kind].fate(BundleFateQuestion(sent(orders)), made.context()))


def changed(change: Callable[[etree._Element], None]) -> Callable[[bytes], bytes]:
    """An answer with its body changed and signed again by the bank itself."""

    def tamper(answer: bytes) -> bytes:
        root = etree.fromstring(answer)
        signature = root.find(f"{{{dsig.DS}}}Signature")
        assert signature is not None
        root.remove(signature)
        change(root)
        return xmlsec_signed(etree.tostring(root), keys().bank)

    return tamper


def test_identical_items_have_a_result_each() -> None:
    made = stage()
    fates = send(made, bundle(3))
    assert [fates[reference].fate for reference in refs(3)] == [Fate.SETTLED] * 3
    assert len({outcome.bank_serial for outcome in fates.values()}) == 3
    assert len(made.ledger.executions) == 3


def test_the_same_message_again_books_nothing_and_is_a_duplicate_for_each() -> None:
    made = stage()
    send(made, bundle(2))
    again = send(made, bundle(2))
    assert {outcome.fate for outcome in again.values()} == {Fate.DUPLICATE} and len(made.ledger.executions) == 2


@pytest.mark.parametrize("given", [{"from": "0000000000000000099"}, {"payee": "x" * 200}])
def test_a_refused_message_is_refused_for_each(given: dict[str, str]) -> None:
    made = stage()
    fates = send(made, bundle(2, Kind.BATCH_ITEM, **given))
    assert [fates[reference].fate for reference in refs(2)] == [Fate.FAILED] * 2
    assert not made.ledger.executions


def test_an_unknown_code_is_doubt_for_each() -> None:
    made = stage()
    made.tamper = changed(lambda root: _set(root, "Code", "Z999"))
    fates = send(made, bundle(2))
    assert {(one.fate, one.listed) for one in fates.values()} == {(Fate.UNKNOWN, False)}


def _set(root: etree._Element, name: str, text: str, place: int = 0) -> None:
    list(root.iter(f"{NS}{name}"))[place].text = text


def _drop(root: etree._Element) -> None:
    results = list(root.iter(f"{NS}Result"))
    rows = results[0].getparent()
    assert rows is not None
    rows.remove(results[0])
    _set(root, "Count", str(len(results) - 1))


def test_an_item_without_a_result_has_no_word() -> None:
    made = stage()
    made.tamper = changed(_drop)
    assert sorted(send(made, bundle(3))) == refs(3)[1:]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda root: _set(root, "Reference", "BATCH000000000000009"), "correlation"),
        (lambda root: _set(root, "Reference", refs(3)[0], 2), "correlation"),
        (lambda root: _set(root, "Reference", "BATCHITEM00000000099", 1), "correlation"),
        (lambda root: _set(root, "Amount", "6.00"), "correlation"),
        (lambda root: _set(root, "Count", "4"), "value"),
    ],
    ids=["another message", "a result twice", "a stranger", "another amount", "another count"],
)
def test_an_answer_about_something_else_is_none(change: Callable[[etree._Element], None], reason: str) -> None:
    made = stage()
    made.tamper = changed(change)
    with pytest.raises(ProtocolError) as failed:
        send(made, bundle(3))
    assert failed.value.reason == reason


def test_an_unknown_status_is_doubt_for_its_item_alone() -> None:
    made = stage()
    made.tamper = changed(lambda root: _set(root, "Status", "X", 1))
    fates = send(made, bundle(3))
    assert [fates[reference].fate for reference in refs(3)] == [Fate.SETTLED, Fate.UNKNOWN, Fate.SETTLED]
    assert fates[refs(3)[1]].listed is False


def test_an_unknown_batch_is_not_found_for_each_and_other_refusals_are_about_the_question() -> None:
    made = stage()
    assert {one.fate for one in ask(made, bundle(2)).values()} == {Fate.NOT_FOUND}
    made.tamper = changed(lambda root: _set(root, "Code", "L100"))
    with pytest.raises(Declined) as declined:
        ask(made, bundle(2))
    assert declined.value.outcome == "rate_limited"


def test_a_stored_answer_is_read_as_it_was() -> None:
    made = stage(conduct=BookingRules(refuse_share=0.5, seed="2"))
    orders = bundle(6)
    fates = send(made, orders)
    assert {one.fate for one in fates.values()} == {Fate.SETTLED, Fate.FAILED}, "a partial success"
    serial = (str(made._serial),)
    answer = made.said[-1].answer
    read = made.bank.bundles[orders.kind].read
    assert read(sent(orders, serial), answer) == fates
    with pytest.raises(ProtocolError, match="correlation"):
        read(sent(orders, ("1",)), answer)


def test_a_collection_names_its_agreement() -> None:
    made = stage()
    orders = bundle(2, Kind.COLLECTION, to="0000000000000000017", payee="示例甲公司", **{"from": "0000000000000000033"})
    fates = send(made, orders)
    assert {one.fate for one in fates.values()} == {Fate.SETTLED}
    assert b"<Agreement>A1</Agreement>" in made.said[-1].request
    assert {one.instruction.collects for one in made.ledger.executions} == {True}
    assert {one.instruction.debtor_account for one in made.ledger.executions} == {"0000000000000000017"}


def test_count_and_sum_are_the_banks_affair_too() -> None:
    made = stage(cheap=True)
    orders = bundle(2)
    conversation = made.bank.bundles[orders.kind].word(orders, made.context(OWN))
    step: Any = next(conversation)
    while not hasattr(step, "data"):
        step = conversation.send(made.signers[step.key](step.octets))
    body = step.data[8:].replace(b"<Sum>10.00</Sum>", b"<Sum>10.01</Sum>")
    said = made.exchange("business", b"%08d" % len(body) + body)
    assert b"<Code>M300</Code>" in said and not made.ledger.executions
