"""Rules that every bank must keep, whatever its protocol: the books decide, and the adapter claims no more than the
books say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from gateway.simbank.ledger import BookingRules
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.every.bench import EVERY, FINAL, Table, answering, bundled, kinds, table

SINGLE = [(name, kind) for name in EVERY for kind in kinds(name)]
TOGETHER = [(name, kind) for name in EVERY for kind in bundled(name)]
UNDECIDED = frozenset({Fate.PENDING, Fate.UNKNOWN})
each_single = pytest.mark.parametrize(("name", "kind"), SINGLE, ids=str)
each_bundle = pytest.mark.parametrize(("name", "kind"), TOGETHER, ids=str)
each_bank = pytest.mark.parametrize("name", EVERY)


def sent(name: str, kind: Kind, purpose: str, conduct: BookingRules = BookingRules()) -> tuple[Table, str, Fate]:
    made = table(name, conduct)
    reference = made.reference()
    return made, reference, made.pay(made.order(kind, purpose=purpose), reference).fate


@each_single
def test_what_is_booked_is_settled_and_never_failed(name: str, kind: Kind) -> None:
    made, reference, first = sent(name, kind, "货款")
    assert first in UNDECIDED | {Fate.SETTLED}
    assert made.fate(reference).fate is Fate.SETTLED
    assert made.executions(reference) == 1


@each_single
def test_what_is_refused_is_failed_and_never_settled(name: str, kind: Kind) -> None:
    made, reference, first = sent(name, kind, "货款 #refuse")
    assert first in UNDECIDED | {Fate.FAILED}
    asked = made.fate(reference).fate
    assert asked in UNDECIDED | {Fate.FAILED, Fate.NOT_FOUND}
    assert Fate.FAILED in (first, asked), "a clear no was never understood"
    assert made.executions(reference) == 0


@each_single
def test_what_is_not_decided_is_not_called_so(name: str, kind: Kind) -> None:
    made, reference, first = sent(name, kind, "货款 #late")
    assert first in UNDECIDED
    assert made.fate(reference).fate in UNDECIDED
    made.stage.time.later(60)
    assert made.fate(reference).fate is Fate.SETTLED


@each_single
def test_a_late_no_is_a_no_only_when_it_comes(name: str, kind: Kind) -> None:
    made, reference, first = sent(name, kind, "货款 #late-refuse")
    assert first in UNDECIDED
    assert made.fate(reference).fate in UNDECIDED
    made.stage.time.later(60)
    assert made.fate(reference).fate is Fate.FAILED


@each_single
def test_not_found_is_not_failed(name: str, kind: Kind) -> None:
    made, reference, _first = sent(name, kind, "货款 #hide")
    assert made.fate(reference).fate in UNDECIDED | {Fate.NOT_FOUND}
    made.stage.time.later(120)
    assert made.fate(reference).fate is Fate.SETTLED


@each_single
def test_a_payment_nobody_sent_is_not_failed(name: str, kind: Kind) -> None:
    made, reference, _ = sent(name, kind, "货款")
    never = made.reference()
    made.sent[never] = made.sent[reference].__class__(
        **{field: getattr(made.sent[reference], field) for field in made.sent[reference].__slots__}
        | {"reference": never}
    )
    assert made.fate(never).fate in UNDECIDED | {Fate.NOT_FOUND}


@each_single
def test_the_same_reference_again_moves_nothing_and_is_never_a_no(name: str, kind: Kind) -> None:
    made, reference, _ = sent(name, kind, "货款")
    again = made.pay(made.order(kind), reference)
    assert again.fate in UNDECIDED | {Fate.DUPLICATE, Fate.SETTLED}
    assert made.executions(reference) == 1


@each_single
def test_money_that_came_back_is_told_where_the_bank_tells_it(name: str, kind: Kind) -> None:
    made, reference, _ = sent(name, kind, "货款 #return")
    made.fate(reference)
    made.stage.time.later(3_600)
    fate = made.fate(reference).fate
    listed = [one for one in made.returns() if one.reference == reference]
    assert fate in (Fate.SETTLED, Fate.RETURNED, Fate.REVERSED)
    if made.bank.questions.returns is not None and kind is not Kind.COLLECTION:
        assert listed or fate is not Fate.SETTLED, "the bank has a question about returns, and it told nothing"
    assert all(one.amount in (None, made.sent[reference].amount) for one in listed)


@each_single
def test_two_alike_are_two(name: str, kind: Kind) -> None:
    made = table(name)
    fates = {}
    for purpose in ("货款", "货款 #refuse", "货款"):
        reference = made.reference()
        made.pay(made.order(kind, purpose=purpose), reference)
        fates[reference] = purpose
    for reference, purpose in fates.items():
        said = made.fate(reference).fate
        assert said is Fate.SETTLED if purpose == "货款" else said is not Fate.SETTLED


@each_bundle
def test_each_line_of_a_bundle_has_its_own_fate(name: str, kind: Kind) -> None:
    made = table(name)
    bundle, reference = made.bundle(kind, ("货款", "货款 #refuse", "货款", "货款 #late"))
    first = made.pay_bundle(bundle, reference)
    asked = made.bundle_fate(kind, reference)
    wanted = [{Fate.SETTLED}, {Fate.FAILED}, {Fate.SETTLED}, UNDECIDED]
    # A bank may hold back every line's status until the whole bundle is done.
    at_once = all(one.fate in UNDECIDED for one in asked.values())
    for item, allowed in zip(bundle.items, wanted, strict=True):
        if item.reference in first:
            assert first[item.reference].fate in UNDECIDED | allowed
        assert item.reference in asked, f"{item.reference} was not spoken of"
        assert at_once or asked[item.reference].fate in allowed, item.reference
    made.stage.time.later(60)
    later = made.bundle_fate(kind, reference)
    assert [later[item.reference].fate for item in bundle.items] == [
        Fate.SETTLED,
        Fate.FAILED,
        Fate.SETTLED,
        Fate.SETTLED,
    ]
    assert set(first) | set(asked) <= {item.reference for item in bundle.items}
    assert made.lines_carried_out(bundle, reference) == [1, 0, 1, 1]


@each_bundle
def test_a_bundle_again_moves_nothing(name: str, kind: Kind) -> None:
    made = table(name)
    bundle, reference = made.bundle(kind, ("货款", "货款"))
    made.pay_bundle(bundle, reference)
    again = made.pay_bundle(bundle, reference)
    assert all(one.fate in UNDECIDED | {Fate.DUPLICATE, Fate.SETTLED} for one in again.values())
    assert made.lines_carried_out(bundle, reference) == [1, 1]


@each_bundle
def test_a_bundle_nobody_sent_is_not_failed(name: str, kind: Kind) -> None:
    made = table(name)
    bundle, reference = made.bundle(kind, ("货款", "货款"))
    made.pay_bundle(bundle, reference)
    other, never = made.bundle(kind, ("货款", "货款"))
    known = made.bundles[reference]
    made.bundles[never] = known.__class__(
        never,
        known.bank_date,
        1,
        (),
        tuple(
            one.__class__(item.reference, one.bank_date, 1, (), one.amount, one.debtor, one.creditor)
            for one, item in zip(known.items, other.items, strict=True)
        ),
    )
    assert all(one.fate in UNDECIDED | {Fate.NOT_FOUND} for one in made.bundle_fate(kind, never).values())


@pytest.mark.parametrize("name", answering("balance"))
def test_the_balance_is_the_books(name: str) -> None:
    made = table(name)
    ask = made.bank.questions.balance
    assert ask is not None
    made.pay(made.order(Kind.PAYMENT), made.reference())
    said = made.stage.talk(ask(BalanceQuestion(AccountNumber(made.own[0])), made.stage.context()))
    held = made.stage.ledger.holding(made.own[0])
    assert held is not None
    stated = [one for one in (said.book, said.available) if one is not None]
    assert stated and set(stated) <= {held.book, held.book - held.frozen}
    with pytest.raises(Declined):
        made.stage.talk(ask(BalanceQuestion(AccountNumber("0000000000000000000")), made.stage.context()))


@pytest.mark.parametrize("name", answering("balance"))
def test_a_past_day_s_balance_is_told_where_the_profile_says_so_and_nowhere_else(name: str) -> None:
    made = table(name)
    ask, day = made.bank.questions.balance, made.today
    assert ask is not None
    made.pay(made.order(Kind.PAYMENT), made.reference())
    held = made.stage.ledger.holding(made.own[0])
    assert held is not None
    made.stage.time.later(86_400)
    made.stage.sign_on()
    made.pay(made.order(Kind.PAYMENT, minor=4_321), made.reference())
    question = BalanceQuestion(AccountNumber(made.own[0]), on=day)
    if made.bank.profile.past_balance_days:
        assert made.stage.talk(ask(question, made.stage.context())).book == held.book
    else:
        with pytest.raises((Declined, ProtocolError)):
            made.stage.talk(ask(question, made.stage.context()))


@pytest.mark.parametrize("name", answering("lines"))
def test_every_entry_is_told_once(name: str) -> None:
    made = table(name)
    assert made.walk(made.own[0], made.today, made.today) == [], "no entries are an empty page"
    count = made.bank.profile.page_lines + 3
    for _ in range(min(count, 120)):
        made.pay(made.order(Kind.PAYMENT, minor=100), made.reference())
    found = made.walk(made.own[0], made.today, made.today)
    wanted = made.stage.ledger.entries(made.own[0], made.today, made.today)
    assert sorted(line.amount.minor for line in found) == sorted(entry.amount.minor for entry in wanted)
    keys = [(line.bank_line_id, line.bank_date, line.occurrence) for line in found]
    assert len(set(keys)) == len(keys), "two entries with one key"
    assert {line.direction for line in found} == {entry.direction for entry in wanted}


TELLS_ITS_TIME = ("finws", "sample")


@each_bank
def test_a_probe_is_answered(name: str) -> None:
    made = table(name)
    asked = made.stage.context()
    told = made.stage.talk(made.bank.sessions.probe(asked))
    assert (told is not None) is (name in TELLS_ITS_TIME)
    assert told is None or abs((told - asked.now).total_seconds()) < 5


def said_again(made: Table, reference: str) -> Iterator[Callable[[], Fate]]:
    """The payment's fate by both ways of asking."""
    yield lambda: made.fate(reference).fate


@each_single
def test_asking_changes_nothing(name: str, kind: Kind) -> None:
    made, reference, _ = sent(name, kind, "货款")
    fates = [made.fate(reference).fate for _ in range(4)]
    assert all(one == other for one, other in pairwise(fates))
    assert set(fates) <= FINAL
