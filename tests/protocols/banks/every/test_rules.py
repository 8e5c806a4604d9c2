"""Rules learnt from practice that no other file here tests: tolerant reading, identities, characters, approvals, dates.

The others: fates in `test_fates.py`, answers nobody has seen in `test_unseen.py` and `test_answers.py`, traps in
`test_faults.py`, lengths in `test_intake.py`; pace, sign-on and lines that fail in `tests/gateway/bank`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from importlib import import_module, resources
from pkgutil import iter_modules
from typing import Any

import pytest

from gateway.kernel.core import flow, states
from gateway.kernel.core.policy import check
from gateway.kernel.core.states import Answered, Event, ScheduleWork, Send, Silent, Source, Work, WorkDone
from gateway.register import registry
from protocols.bank import Replay
from protocols.canon.errors import FieldCode
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Kind
from protocols.canon.outcome import Fate, Outcome, State
from protocols.canon.party import Name
from protocols.kit import codes
from protocols.kit.charset import Charset, Unencodable
from protocols.kit.xmldoc import Content, Markup, el
from protocols.trial import trial
from protocols.twin import Instruction
from tests.protocols.banks.every.bench import EVERY, Table, answering, bundled, kinds, table
from tests.protocols.banks.every.test_intake import route_of, written

UNSIGNED = tuple(name for name in EVERY if not trial(name).keys)
"""Where we sign, answers are signed too, and are read to the letter of a schema."""
GB = tuple(name for name in EVERY if Charset(table(name).bank.profile.limits.charset).decoder == "gb18030")
WIDE = "𬭎"
_TAG = re.compile("<([A-Za-z0-9_]+)")
each_bank = pytest.mark.parametrize("name", EVERY)


# ---- tolerant reading ----


def stranger(tag: str, *children: Content, **attributes: str) -> Markup:
    """An element with one more element inside, which no documentation names."""
    inside = [*children, Markup("<NewSince2027>1</NewSince2027>")] if grown(children) else children
    return el(tag, *inside, **attributes)


def turned(tag: str, *children: Content, **attributes: str) -> Markup:
    """An element whose children are in another order. Children with the same name keep their order."""
    parts = grown(children)
    inside = sorted(parts, key=lambda part: str(_TAG.findall(part)[:1]), reverse=True) if parts else children
    given = [child for child in children if isinstance(child, Mapping)] if parts else []
    return el(tag, *given, *inside, **attributes)


def grown(children: tuple[Content, ...]) -> list[Markup]:
    """The children of an element that holds only elements; none for a leaf or a mixture."""
    parts: list[Markup] = []
    for child in children:
        if child is None or isinstance(child, Mapping):
            continue
        some = [child] if isinstance(child, str) else list(child)
        if not all(isinstance(one, Markup) and (not one or _TAG.match(one)) for one in some):
            return []
        parts += [one for one in some if isinstance(one, Markup) and one]
    return parts


def twins(name: str) -> Iterator[Any]:
    """The modules of a bank's own side."""
    package = import_module(f"protocols.banks.{name}")
    for found in iter_modules(package.__path__):
        if found.name.startswith("twin"):
            yield import_module(f"protocols.banks.{name}.{found.name}")


def day(name: str) -> list[object]:
    """The results of a usual day: fates of single and bundled orders, a balance, entries."""
    understood: list[object] = []
    made = table(name)
    for kind in kinds(name):
        for purpose in ("货款", "货款 #refuse", "货款 #late"):
            reference = made.reference()
            first = made.pay(made.order(kind, purpose=purpose), reference)
            understood += [first.fate, made.fate(reference).fate]
    for kind in bundled(name):
        bundle, reference = made.bundle(kind, ("货款", "货款 #refuse", "货款"))
        for told in (made.pay_bundle(bundle, reference), made.bundle_fate(kind, reference)):
            understood.append([_fate(told, item.reference) for item in bundle.items])
    if made.bank.questions.lines is not None:
        lines = made.walk(made.own[0], made.today, made.today)
        understood.append(Counter((line.direction, line.amount, line.counterparty_account) for line in lines))
    return understood


def _fate(told: Mapping[str, Outcome], reference: str) -> object:
    return told[reference].fate if reference in told else None


@pytest.mark.parametrize("change", [stranger, turned], ids=["an unknown element", "another order"])
@pytest.mark.parametrize("name", UNSIGNED)
def test_answers_are_read_by_name(name: str, change: Callable[..., Markup], monkeypatch: pytest.MonkeyPatch) -> None:
    usual, counted = day(name), Counter[str]()

    def changed(tag: str, *children: Content, **attributes: str) -> Markup:
        made = change(tag, *children, **attributes)
        counted[tag] += made != el(tag, *children, **attributes)
        return made

    for module in twins(name):
        if hasattr(module, "el"):
            monkeypatch.setattr(module, "el", changed)
    assert day(name) == usual
    assert sum(counted.values()) > 10, "the answers were the usual ones"


# ---- identities ----


@pytest.mark.parametrize("name", answering("lines"))
def test_identities_keep_their_zeros(name: str) -> None:
    made = table(name)
    reference, order = made.reference(), made.order(Kind.PAYMENT)
    theirs = order.theirs.account.clear
    assert theirs.startswith("00") and made.own[0].startswith("00")
    made.pay(order, reference)
    [line] = made.walk(made.own[0], made.today, made.today)
    assert line.account.clear == made.own[0]
    assert line.counterparty_account is None or line.counterparty_account.clear == theirs
    assert line.reference in (None, reference)
    assert line.amount == order.amount


# ---- characters ----


@pytest.mark.parametrize("name", GB)
def test_a_character_the_bank_cannot_carry_is_named_with_its_place(name: str) -> None:
    made, named = table(name), 0
    for kind in {*kinds(name), *bundled(name)}:
        usual: Any = made.order(kind)
        order = _renamed(usual, kind, "示例" + WIDE)
        found = [one for one in check(order, route_of(made), made.today) if one.code is FieldCode.CHARSET]
        assert found and WIDE in found[0].detail and "position 3" in found[0].detail, kind
        # A message without a field for the name (citic's transfer) can be written without it.
        refused = refusal(made, order)
        if refused is not None:
            assert refused.char == WIDE and "U+2CB4E" in str(refused) and refused.position >= 2
            named += 1
    assert named and not made.stage.ledger.executions


def refusal(made: Table, order: AnyOrder) -> Unencodable | None:
    """The adapter's error for an order that intake did not check."""
    try:
        written(made, order)
    except Unencodable as refused:
        return refused
    return None


def _renamed(order: Any, kind: Kind, name: str) -> Any:
    side = "debtor" if kind is Kind.COLLECTION else "creditor"
    return replace(order, **{side: replace(getattr(order, side), name=Name(name))})


@pytest.mark.parametrize("name", [name for name in answering("lines") if name in GB])
def test_what_is_wider_than_the_label_is_read_all_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Banks declare GBK or GB2312 and write GB18030."""
    for module in twins(name):
        for label in ("GBK", "GB2312"):
            if hasattr(module, label):
                monkeypatch.setattr(module, label, Charset(label, "gb18030"))
    faults = trial(name).faults
    wide = next((faults[one] for one in ("gb18030", "declares_gb2312", "old_version") if one in faults), {})
    made = table(name, **wide)
    named = "示例麤䶮" + WIDE
    made.stage.ledger.book_once(Instruction("R1", made.own[0], "0000000000000000025", named, Money(100), "货款" + WIDE))
    [line] = made.walk(made.own[0], made.today, made.today)
    seen = f"{line.counterparty_name.clear if line.counterparty_name else ''} {line.text}"
    assert WIDE in seen


# ---- waiting for a person ----

# Words with which a bank says that somebody must approve first, by operation and layer: banks/*.md, section 5.
WAITS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "cib": tuple(
        (operation, layer, word)
        for operation, layer in (("payment", "word"), ("batch", "line"))
        for word in ("AUDITING", "WAIT_FOR_AUDIT", "SEND_BACK")
    ),
    "citic": (("submit", "outer", "AAAAAAB"), ("status", "row", "AAAAAAB"), ("status", "row", "ED02087")),
    "cmb": (("pay", "reqsts", "AUT"), ("pay", "reqsts", "APW")),
    "icbc": (("QPAYENT", "result", "2"), ("QPAYENT", "result", "3")),
    "spdb": (
        ("8804", "status", "2"),
        ("8804", "status", "3"),
        ("8801", "accepted", "5"),
        ("DO48", "package", "5"),
        ("DO48", "package", "9"),
    ),
}


@pytest.mark.parametrize(("name", "word"), [(name, word) for name, words in WAITS.items() for word in words])
def test_waiting_for_an_approval_is_neither_success_nor_failure(name: str, word: tuple[str, str, str]) -> None:
    operation, layer, code = word
    found = codes.load(resources.files(f"protocols.banks.{name}").joinpath("codes.toml").read_bytes(), name)
    assert found.look_up(operation, layer, code) == "pending"


# ---- days ----


@pytest.mark.parametrize("name", answering("lines"))
def test_a_walk_over_midnight_tells_each_entry_once_and_mixes_no_days(name: str) -> None:
    made = table(name)
    made.pay(made.order(Kind.PAYMENT, minor=101), made.reference())
    made.stage.time.later(86_400)
    made.stage.sign_on()
    made.pay(made.order(Kind.PAYMENT, minor=102), made.reference())
    yesterday = made.today - timedelta(days=1)
    found = made.walk(made.own[0], yesterday, made.today)
    assert sorted((line.amount.minor, line.bank_date) for line in found) == [(101, yesterday), (102, made.today)]
    for on, minor in ((yesterday, 101), (made.today, 102)):
        assert [line.amount.minor for line in made.walk(made.own[0], on, on)] == [minor]


# ---- repeats ----


def repeating(name: str) -> list[Kind]:
    """The kinds whose stored bytes may be sent again without a person, by the bank's rules."""
    bank = table(name).bank
    return [
        kind
        for kind, rule in bank.profile.replay.items()
        if rule.policy is not Replay.NEVER and rule.most and kind not in bank.bundles
    ]


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in EVERY for kind in repeating(name)])
def test_a_repeat_that_the_rules_allow_comes_before_people_are_called(name: str, kind: Kind) -> None:
    """A payment is lost without an answer, and every enquiry says "not found", hour after hour."""
    profile = table(name).bank.profile
    rules = registry.rules(profile.replay[kind], profile)
    life = replace(states.born(rules), state=State.READY, send_after_ms=0)
    work_queue: dict[Work, int] = {}

    def meet(event: Event) -> None:
        nonlocal life
        met = flow.step(life, event)
        life = met.life
        for effect in met.effects:
            if isinstance(effect, ScheduleWork):
                work_queue[effect.work] = effect.at_ms
            elif isinstance(effect, WorkDone):
                work_queue.pop(effect.work, None)

    meet(Send(0))
    meet(Silent(60_000, "no_answer"))
    while Work.REPLAY not in work_queue:
        work = min(work_queue, key=lambda one: (work_queue[one], one is not Work.ESCALATE))
        at_ms = work_queue.pop(work)
        assert work is not Work.ESCALATE, f'after {at_ms / 3_600_000:.1f} h, with {life.not_found} "not found"'
        meet(Answered(at_ms + 100, Fate.NOT_FOUND, Source.ENQUIRY, at_ms, day_over=at_ms > 12 * 3_600_000))


def test_some_bank_s_rules_allow_a_repeat() -> None:
    assert [name for name in EVERY if repeating(name)]
