"""Every operation with every fault of a bank's twin: each fate that the adapter reports agrees with the bank's books.

What the twins can do is data (`[faults]` of each trial.toml). `FIELD` names the traps that were met at real banks, and
where each is played; what the server does to any bank's bytes is in gateway/simbank/faults.py.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gateway.simbank.faults import BankFault
from gateway.simbank.ledger import BookingRules
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion
from protocols.kit.errors import ProtocolError
from protocols.trial import trial
from tests.protocols.banks.every.bench import EVERY, FINAL, Table, bundled, kinds, sent_of, table

R = TypeVar("R")
HERE = Path(__file__).parent
FAULTS = [(name, fault) for name in EVERY for fault in trial(name).faults]
LATER_S = 3_600.0
# The bank leaves these out of its answers, so no reader can know them.
HIDES = {("cmb", "sweeps"), ("finws", "late_entries")}

# A trap and the place where it is played: a bank's own fault, a control word of the books, or a fault of the server.
FIELD: Mapping[str, tuple[tuple[str, str] | str | BankFault, ...]] = {
    "a length counted in characters": (
        ("cmb", "counts_characters"),
        ("pab", "counts_characters"),
        ("spdb", "counts_characters"),
    ),
    "a length that is not the message's": (("cmb", "counts_characters"), ("pab", "counts_characters"), BankFault.HALF),
    "an answer cut short, or without its end": (BankFault.HALF,),
    "another encoding than the one declared": (("citic", "gb18030"), ("cmb", "gb18030"), ("icbc", "declares_gb2312")),
    "a raw ampersand": (("icbc", "raw_ampersand"),),
    "a text cut in the middle of a character": (("pab", "wordy"), ("cib", "cut_names")),
    "names that differ between versions": (("boc", "old_version"), ("cib", "lower_size")),
    "an empty result": (("icbc", "empty_result"), ("spdb", "empty_list")),
    "a message taken with a line refused": ("#refuse",),
    "a line taken under a message refused": (("icbc", "message_refused"), ("cmb", "call_fails"), ("boc", "refuses")),
    "a repeated key refused, also in the clothes of a failure": (("cib", "used"), ("cmb", "refuse_bare")),
    "taken, silent, and done later": (BankFault.DROP_AFTER, "#late"),
    "taken, and refused later": ("#late-refuse",),
    "success, and the money back days later": ("#return", BankFault.LATE_RETURN),
    "one reference twice": (("cmb", "twice"), ("spdb", "two_records")),
    "an enquiry that knows nothing for a while": ("#hide", BankFault.HIDE, ("cmb", "blind")),
    "a token that ends in the middle": (("boc", "token_ends"), ("boc", "forgets")),
    "a limit on the rate": (("cmb", "too_fast"), ("pab", "rate_limit")),
    "an answer about another request": (
        BankFault.OTHERS_ANSWER,
        ("boc", "another"),
        ("citic", "another"),
        ("icbc", "others_package"),
        ("pab", "others_voucher"),
        ("spdb", "others_packet"),
    ),
    "a front end's own error for an answer": (("icbc", "error_code_after_booking"), ("pab", "trouble_after_booking")),
    "HTTP 500 after booking": tuple(
        (bank, fault) for bank, fault in FAULTS if fault in ("http_500", "http_500_after_booking")
    ),
    "an answer after our patience, with the booking done": (BankFault.DELAY,),
    "another work date": (("icbc", "work_date_ahead"),),
    "a page that repeats": (
        ("boc", "stuck"),
        ("cib", "round"),
        ("citic", "stuck"),
        ("cmb", "stuck"),
        ("icbc", "cursor_repeats"),
        ("pab", "page_repeats"),
        ("spdb", "page_repeats"),
    ),
    "entries of the day that differ at its end": (("cmb", "sweeps"),),
    "a sign that contradicts the side": (("cmb", "signed"), ("icbc", "both_columns")),
    "an enquiry that worked, about a payment that did not": (
        ("citic", "contradicts"),
        ("icbc", "enquiry_line_refused"),
    ),
    "an order that waits for a person": (("citic", "approval"), ("cib", "unsigned"), ("spdb", "waits_for_authoriser")),
    "a code that nobody knows": (
        ("boc", "unlisted"),
        ("citic", "unlisted"),
        ("pab", "unlisted_status"),
        ("cib", "error_number"),
    ),
    "lines in another order, or not all of them": (
        ("cib", "turned"),
        ("cib", "lost_line"),
        ("icbc", "lines_reversed"),
        ("icbc", "last_line_silent"),
        ("pab", "last_line_silent"),
        ("spdb", "rows_reversed"),
        ("boc", "lone"),
        ("citic", "no_keys"),
    ),
    "a batch said to be done before its lines are": (("cmb", "whole_batch"),),
    "no answer's body": (("spdb", "head_only"),),
    "lines alike in account, name and amount, of which one fails": ("#refuse",),
    "one row where there are usually many": (("boc", "lone"),),
    "a front end that sends again by itself, after we gave up": (BankFault.HIDE,),
}


# Peculiarities in every answer of some bank's side. They have no switch, and each test of that bank meets them.
HABITS: Mapping[str, tuple[str, bytes]] = {
    "Base64 in lines": ("icbc", rb"reqData=[0-9A-Za-z+/]{76}\r\n"),
    "two blanks in the XML declaration": ("icbc", rb"<\?xml  version"),
    "a blank before the end of the XML declaration": ("pab", rb" \?>"),
    "another id than ours where an echo belongs": ("pab", rb"\A(?=.{67}[0-9A-Z]{20})(?!.{67}GW)"),
    "elements of which nobody told us": ("cib", rb"<NEWFIELD>"),
    "a charset in the header that is not the document's": ("boc", rb"charset=ISO-8859-1"),
}
# Traps of banks that are not here: TransCode for CCTransCode and no echo of ReqSeqNo (abc), LANGUAGE for LANGUAGES (ccb),
# "ErrMsg:" as plain text (cmb's cloud mode), a list of one that is an object (JSON). Five wrong passwords that lock an
# operator are tests/protocols/banks/cib/test_twin.py and boc/test_session.py; no lane tries so often
# (tests/gateway/bank/test_login.py).


@pytest.mark.parametrize("habit", HABITS)
def test_what_a_bank_always_does_is_in_its_answers(habit: str) -> None:
    name, pattern = HABITS[habit]
    said = calm(name)
    inside = [base64.b64decode(one.partition(b"reqData=")[2]) for one in said if b"reqData=" in one]
    assert any(re.search(pattern, one, re.DOTALL) for one in (*said, *inside))


def test_every_trap_of_the_field_is_a_switch() -> None:
    words = {"#refuse", "#late", "#late-refuse", "#return", "#hide"}
    for trap, places in FIELD.items():
        assert places, trap
        for place in places:
            assert isinstance(place, BankFault) or place in words or place in FAULTS, f"{trap}: no such switch {place}"


def switches(name: str) -> set[str]:
    """The names of the faults in the twin's own code, in any of the usual forms."""
    twin = import_module(f"protocols.banks.{name}.twin")
    conduct = getattr(twin, "BookingRules", None)
    named = {one.name for one in fields(conduct) if one.type in ("bool", bool)} if conduct else set()
    return (named | set(getattr(twin, "FAULTS", ()))) - {"cheap"}


@pytest.mark.parametrize("name", EVERY)
def test_the_trial_knows_every_switch_of_its_twin(name: str) -> None:
    played: set[str] = set()
    for options in trial(name).faults.values():
        played |= options.keys() | set(options.get("faults", ()))
    assert switches(name) <= played


def tried(word: Callable[[], R]) -> R | None:
    """The result of the conversation; None if the answer was invalid, which leaves the outcome unknown."""
    try:
        return word()
    except ProtocolError:
        return None


def borne_out(moved: int, said: Iterable[Outcome | None], what: str) -> None:
    """Check that the bank's books contradict no final outcome."""
    for one in said:
        if one is not None and one.fate in FINAL:
            assert (one.fate is Fate.FAILED) == (moved == 0), f"{what}: {one.fate} {one.code!r}, moved {moved} times"


def asked_again(made: Table, ask: Callable[[], R]) -> list[R | None]:
    """The results of an enquiry at once and of one later, each after a fresh sign-on if the bank has ended the
    session."""
    said = []
    for wait_s in (0.0, LATER_S):
        made.stage.time.later(wait_s)
        tried(made.stage.sign_on)
        said.append(tried(ask))
    return said


def play_one(made: Table, kind: Kind, purpose: str) -> None:
    reference = made.reference()
    first = tried(lambda: made.pay(made.order(kind, purpose=purpose), reference))
    said = [first, *asked_again(made, lambda: made.fate(reference))]
    said.append(tried(lambda: made.pay(made.order(kind, purpose=purpose), reference)))
    borne_out(made.executions(reference), said, f"{made.name} {kind} {purpose}")
    never = made.reference()
    made.sent[never] = sent_of(made.order(kind), never, made.today)
    asked = tried(lambda: made.fate(never))
    assert asked is None or asked.fate not in FINAL, f"{made.name} {kind}: {asked.fate} of what nobody sent"


def play_bundle(made: Table, kind: Kind) -> None:
    bundle, reference = made.bundle(kind, ("货款", "货款 #refuse", "货款"))
    first = tried(lambda: made.pay_bundle(bundle, reference))
    told = [first, *asked_again(made, lambda: made.bundle_fate(kind, reference))]
    for item, moved in zip(bundle.items, made.lines_carried_out(bundle, reference), strict=True):
        said = [fates.get(item.reference) for fates in told if fates is not None]
        borne_out(moved, said, f"{made.name}, a line of {kind}")


def ask_accounts(made: Table, hides: bool) -> None:
    ask = made.bank.questions.balance
    account, books = made.own[0], made.stage.ledger
    if ask is not None:
        balance = tried(lambda: made.stage.talk(ask(BalanceQuestion(AccountNumber(account)), made.stage.context())))
        held = books.holding(account)
        assert held is not None
        assert balance is None or {balance.book, balance.available} <= {None, held.book, held.book - held.frozen}
    if made.bank.questions.lines is not None:
        lines = tried(lambda: made.walk(account, made.today, made.today))
        told = Counter((line.direction, line.amount) for line in lines or ())
        kept = Counter((entry.direction, entry.amount) for entry in books.entries(account, made.today, made.today))
        assert told <= kept, f"{made.name}: entries that are none"
        assert lines is None or hides or told == kept or made.findings, (
            f"{made.name}: entries are missing, and nothing was said"
        )
    tried(made.returns)


def play(name: str, options: Mapping[str, Any], *, hides: bool = False) -> list[bytes]:
    """Run every operation, valid and invalid, against a twin with these options; returns all its answers."""
    heard: list[bytes] = []
    for kind in kinds(name):
        for purpose in ("货款", "货款 #refuse"):
            made = table(name, BookingRules(), **options)
            play_one(made, kind, purpose)
            heard += [one.answer for one in made.stage.said]
    for kind in bundled(name):
        made = table(name, BookingRules(), **options)
        play_bundle(made, kind)
        heard += [one.answer for one in made.stage.said]
    made = table(name, BookingRules(), **options)
    ask_accounts(made, hides)
    for minor in (100, 200, 300, 400):
        tried(lambda minor=minor: made.pay(made.order(Kind.PAYMENT, minor=minor), made.reference()))  # type: ignore[misc]
        tried(made.stage.sign_on)
    ask_accounts(made, hides)
    return heard + [one.answer for one in made.stage.said]


@cache
def calm(name: str) -> list[bytes]:
    """The answers of every operation without a fault."""
    return play(name, {})


@pytest.mark.parametrize(("name", "fault"), FAULTS)
def test_no_fault_makes_a_fate_that_the_books_do_not_bear_out(name: str, fault: str) -> None:
    options = trial(name).faults[fault]
    if play(name, options, hides=(name, fault) in HIDES) == calm(name):
        # The fault needs a setting or a number of pages that this bench lacks: the bank's own tests must play it.
        [switch] = options.get("faults", [next(iter(options))])
        own = "".join(file.read_text() for file in (HERE.parent / name).glob("test_*.py"))
        assert re.search(rf"\b{switch}\b", own), "the switch changes no answer, here or anywhere"


def test_the_judge_sees_a_wrong_fate() -> None:
    borne_out(1, [None, Outcome(Fate.UNKNOWN), Outcome(Fate.SETTLED)], "right")
    borne_out(0, [Outcome(Fate.FAILED), Outcome(Fate.NOT_FOUND)], "right")
    for moved, fate in ((1, Fate.FAILED), (0, Fate.SETTLED), (0, Fate.RETURNED)):
        with pytest.raises(AssertionError):
            borne_out(moved, [Outcome(fate)], "wrong")
