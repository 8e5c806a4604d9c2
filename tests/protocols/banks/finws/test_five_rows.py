"""Five answers to each operation of the adapter: nothing there, order unknown, busy, refused, and a code never seen.

The outcomes are those that WebServices Messages 1.05 gives to a code, not those of codes.toml.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from protocols.banks.finws.twin import FinwsTwin
from protocols.banks.finws.twin_rules import TEXTS
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, LinesQuestion, ReturnsQuestion
from protocols.canon.statement import Page, ReturnsPage
from protocols.kit.declined import Declined
from protocols.kit.xmldoc import Content
from protocols.twin import Books
from tests.protocols.banks.every.bench import Table, bundled, kinds, table

NOTHING, BUSY, TECHNICAL, REFUSED, LOCKED, NEVER_SEEN = "24", "23", "26", "12", "10", "77"
Say = Callable[[str], None]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Say:
    """Makes the bank answer everything with a code, in envelope and document, properly signed; "" ends that."""
    said, true = [""], FinwsTwin._signed

    def altered(
        self: FinwsTwin, operation: str, request_id: str, code: str, inside: list[Content] | None, books: Books
    ) -> bytes:
        return true(self, operation, request_id, said[0] or code, None if said[0] else inside, books)

    def set_code(code: str) -> None:
        said[0] = code

    monkeypatch.setattr(FinwsTwin, "_signed", altered)
    for code in FIRST:
        monkeypatch.setitem(TEXTS, code, TEXTS.get(code, "a text of the bank"))
    return set_code


FIRST: Mapping[str, tuple[Fate, bool]] = {
    # Codes that no upload is answered with prove nothing about it.
    NOTHING: (Fate.UNKNOWN, False),
    BUSY: (Fate.UNKNOWN, True),
    TECHNICAL: (Fate.UNKNOWN, True),
    REFUSED: (Fate.FAILED, True),
    LOCKED: (Fate.FAILED, True),
    NEVER_SEEN: (Fate.UNKNOWN, False),
}


@pytest.mark.parametrize("code", FIRST)
@pytest.mark.parametrize("kind", Kind)
def test_to_the_first_copy_of_money(kind: Kind, code: str, say: Say) -> None:
    """The refusals that the specification names end the first copy of a payment, and of each one in a file."""
    at = table("finws")
    say(code)
    if kind in kinds("finws"):
        outcomes = [at.pay(at.order(kind), at.reference())]
    else:
        bundle, reference = at.bundle(kind, ("货款", "运费"))
        outcomes = [*at.pay_bundle(bundle, reference).values()]
        assert len(outcomes) == 2
    assert {(one.fate, one.listed, one.code) for one in outcomes} == {(*FIRST[code], code)}


@pytest.mark.parametrize("code", FIRST)
@pytest.mark.parametrize("kind", kinds("finws"))
def test_no_refusal_ends_a_payment_that_was_sent_again(kind: Kind, code: str, say: Say) -> None:
    at = table("finws")
    reference = at.reference()
    at.pay(at.order(kind), reference)
    [sent] = [one for one in at.stage.said if one.money]
    at.stage.time.later(1)
    say(code)
    [whole] = at.stage.twin.requests("business").feed(sent.request)
    answer = at.stage.frame_of("business", at.stage.twin.answer("business", whole, at.stage.ledger, {}))
    outcome = at.bank.read(kind, at.sent[reference], answer)
    assert (outcome.fate, outcome.listed) == (Fate.UNKNOWN, FIRST[code][1])


def ask_fate(at: Table, kind: Kind) -> Callable[[], Mapping[str, Fate]]:
    """Send an order or a bundle; the function asks for its fates."""
    if kind in kinds("finws"):
        reference = at.reference()
        at.pay(at.order(kind), reference)
        return lambda: {reference: at.fate(reference).fate}
    bundle, reference = at.bundle(kind, ("货款", "运费"))
    at.pay_bundle(bundle, reference)
    return lambda: {name: one.fate for name, one in at.bundle_fate(kind, reference).items()}


@pytest.mark.parametrize("kind", Kind)
def test_an_order_that_no_list_names_is_not_found(kind: Kind, say: Say) -> None:
    """24 for each list; and lists of other files: the payment stays open, and is never failed."""
    at = table("finws")
    ask = ask_fate(at, kind)
    say(NOTHING)
    assert {*ask().values()} == {Fate.NOT_FOUND}
    say("")
    other = table("finws")
    references = [other.reference() for _ in range(20)]
    other.pay(other.order(Kind.PAYMENT), references[-1])
    at.stage.twin = other.stage.twin
    at.stage.ledger = other.stage.ledger
    assert {*ask().values()} == {Fate.NOT_FOUND}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    ("code", "outcome"),
    [(BUSY, "retry"), (TECHNICAL, "retry"), (REFUSED, "failed"), (LOCKED, "failed"), (NEVER_SEEN, "retry")],
)
def test_a_code_to_an_enquiry_leaves_the_payment_alone(kind: Kind, code: str, outcome: str, say: Say) -> None:
    at = table("finws")
    ask = ask_fate(at, kind)
    say(code)
    with pytest.raises(Declined) as declined:
        ask()
    assert (declined.value.code, declined.value.outcome) == (code, outcome)


def questions(at: Table) -> Mapping[str, Callable[[], object]]:
    """Each question about an account, and the probe."""
    account, asks = AccountNumber(at.own[0]), at.bank.questions
    assert asks.balance is not None and asks.lines is not None and asks.returns is not None
    balance, lines, returns = asks.balance, asks.lines, asks.returns
    talk, context = at.stage.talk, at.stage.context
    return {
        "balance": lambda: talk(balance(BalanceQuestion(account), context())),
        "lines": lambda: talk(lines(LinesQuestion(account, at.today, at.today), context())),
        "returns": lambda: talk(returns(ReturnsQuestion(account, at.today, at.today), context())),
        "probe": lambda: talk(at.bank.sessions.probe(context())),
    }


def test_nothing_there_is_an_empty_page_and_no_balance(say: Say) -> None:
    at = table("finws")
    say(NOTHING)
    asked = questions(at)
    assert asked["lines"]() == Page(()) and asked["returns"]() == ReturnsPage((), None, ())
    for name in ("balance", "probe"):
        with pytest.raises(Declined) as declined:
            asked[name]()
        assert (declined.value.code, declined.value.outcome) == (NOTHING, "failed")


@pytest.mark.parametrize("name", ["balance", "lines", "returns", "probe"])
@pytest.mark.parametrize(
    ("code", "outcome"),
    [(BUSY, "retry"), (TECHNICAL, "retry"), (REFUSED, "failed"), (LOCKED, "failed"), (NEVER_SEEN, "retry")],
)
def test_a_code_to_a_question(name: str, code: str, outcome: str, say: Say) -> None:
    at = table("finws")
    say(code)
    with pytest.raises(Declined) as declined:
        questions(at)[name]()
    assert (declined.value.code, declined.value.outcome) == (code, outcome)


def test_each_kind_is_sent_alone_or_with_others() -> None:
    assert {*kinds("finws"), *bundled("finws")} == {*Kind}
