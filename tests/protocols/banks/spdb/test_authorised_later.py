"""Orders that users of the web bank authorise days later, and answers of the web bank on more than one page."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from protocols.canon.order import Bundle, Item, Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import BundleFateQuestion, FateQuestion
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.spdb.paper import (
    AUTHORISED,
    BUNDLE,
    HOST,
    ITEMS,
    NOW,
    OTHER,
    REFERENCE,
    bank,
    body_of,
    bundle,
    context,
    done,
    leaves,
    line,
    listed,
    nothing,
    order,
    paid,
    sent,
    sent_bundle,
    stage,
    steps,
    talk,
)
from tests.world.dialogue import BankAndTwin

KIND = Kind.BATCH_ITEM
DAYS = 86_400


def pay(scene: BankAndTwin) -> Fate:
    return scene.talk(scene.bank.money[Kind.PAYMENT](order(), scene.context(REFERENCE))).fate


def send(scene: BankAndTwin, given: Bundle | None = None, reference: str = BUNDLE) -> None:
    scene.talk(scene.bank.bundles[KIND].word(given or bundle(), scene.context(reference)))


def ask(scene: BankAndTwin) -> Fate:
    fate = scene.bank.questions.fate
    assert fate is not None
    return scene.talk(fate(FateQuestion(sent()), scene.context())).fate


def ask_bundle(scene: BankAndTwin, serial: str | None = None) -> list[Fate]:
    question = BundleFateQuestion(sent_bundle(serial=serial))
    told = scene.talk(scene.bank.bundles[KIND].fate(question, scene.context()))
    return [told[one].fate for one in ITEMS[:3]]


def packet(number: int) -> str:
    return f"3696000000007{number:02d}"


# ---- days ----


def test_what_users_authorise_days_later_is_found() -> None:
    scene = stage(options=AUTHORISED, authorise_s=5 * DAYS)
    pay(scene)
    send(scene)
    scene.time.later(4 * DAYS)
    assert ask(scene) is Fate.PENDING and ask_bundle(scene) == [Fate.PENDING] * 3
    for days in (1, 3, 10):
        scene.time.later(days * DAYS + 60)
        assert ask(scene) is Fate.SETTLED
        assert ask_bundle(scene) == ask_bundle(scene, f"PT{BUNDLE}") == [Fate.SETTLED] * 3


@pytest.mark.parametrize(
    ("days_later", "first", "last"),
    [
        (0, "20260104", "20260106"),
        (1, "20260104", "20260106"),
        (3, "20260104", "20260108"),
        (90, "20260104", "20260201"),
    ],
)
def test_where_users_authorise_the_days_until_today_are_asked_about(days_later: int, first: str, last: str) -> None:
    """The range is a month at most, because DO48 takes no longer ones."""
    now = NOW + timedelta(days=days_later)
    span = f"<beginDate>{first}</beginDate><endDate>{last}</endDate>"
    made = bank(**AUTHORISED)
    assert made.questions.fate is not None
    single = steps(made.questions.fate(FateQuestion(sent()), context(now=now)), nothing())
    many = steps(made.bundles[KIND].fate(BundleFateQuestion(sent_bundle()), context(now=now)), nothing("DO48"))
    asked = [body_of(step) for step in (*single, *many) if step.port == "sign"]
    assert len(asked) == 4 and all(span in one for one in asked)
    assert date.fromisoformat(last) - date.fromisoformat(first) <= timedelta(days=28)


def test_without_authorisation_the_days_around_it_are_enough() -> None:
    fate = bank().questions.fate
    assert fate is not None
    [first, *_] = steps(fate(FateQuestion(sent()), context(now=NOW + timedelta(days=3))))
    assert "<beginDate>20260104</beginDate><endDate>20260106</endDate>" in body_of(first)


def test_lines_that_the_host_does_not_show_yet_are_under_way_once_the_users_said_yes() -> None:
    words = bank(**AUTHORISED).bundles[KIND]
    shown = [listed(line(1), packet_id=packet(1)), *(nothing(packet_id=packet(n)) for n in (2, 3))]
    told = talk(words.fate(BundleFateQuestion(sent_bundle()), context()), package("0", HOST), *shown)
    assert [told[one].fate for one in ITEMS[:3]] == [Fate.SETTLED, Fate.PENDING, Fate.PENDING]
    # The same once the host's number is known; the web bank is not asked any more.
    shown = [listed(line(1), packet_id=packet(0)), *(nothing(packet_id=packet(n)) for n in (1, 2))]
    told = talk(words.fate(BundleFateQuestion(sent_bundle(serial=HOST)), context()), *shown)
    assert [told[one].fate for one in ITEMS[:3]] == [Fate.SETTLED, Fate.PENDING, Fate.PENDING]


# ---- the answer to 8801 ----


@pytest.mark.parametrize("status", ["1", "2", "3", "4"])
def test_under_authorisation_an_answer_may_speak_in_the_web_bank_s_scale(status: str) -> None:
    """In this scale 1 is 通讯失败 and 4 is 授权拒绝, where 8804 has stages and a success."""

    def answered(**options: bool | str) -> Outcome:
        return talk(bank(**options).money[Kind.PAYMENT](order(), context(REFERENCE)), paid(status))

    assert (answered(**AUTHORISED).fate, answered(**AUTHORISED).listed) == (Fate.UNKNOWN, True)
    assert answered().fate is Fate.PENDING


# ---- pages ----


def package(status: str, host: str = "", number: int = 0, name: str = BUNDLE, others: int = 0, total: int = 0) -> bytes:
    """A page of DO48 with this many other packages, and with ours if it is named."""
    rows = [{"packageNo": f"{n:020d}", "transStatus": "5"} for n in range(others)]
    if name:
        rows.append({"packageNo": name, "hostJnlSeqNo": host, "transStatus": status})
    told = "".join(f"<list>{leaves(one)}</list>" for one in rows)
    return done("DO48", packet(number), f"<totalCount>{total or len(rows)}</totalCount><lists>{told}</lists>")


def vouchers(number: int, *told: tuple[str, str], total: int) -> bytes:
    """A page of EY03."""
    rows = "".join(f"<list>{leaves({'elecChequeNo': one, 'transStatus': word})}</list>" for one, word in told)
    return done("EY03", packet(number), f"<totalCount>{total}</totalCount><lists>{rows}</lists>")


def authorisation(*answers: bytes) -> Outcome:
    fate = bank(**AUTHORISED).questions.fate
    assert fate is not None
    return talk(fate(FateQuestion(sent()), context()), nothing(), *answers)


def test_a_package_on_a_later_page_of_the_web_bank_is_found() -> None:
    scene = stage(["others_packages"], options=AUTHORISED, authorise_s=3_600)
    for number in range(11):
        items = [Item(one.order, f"5{number:017d}{place:02d}") for place, one in enumerate(bundle().items)]
        send(scene, Bundle(KIND, tuple(items)), f"{number + 1:020d}")
    send(scene)
    # The web bank has it, so it is not "not found".
    assert ask_bundle(scene) == [Fate.PENDING] * 3


def test_a_record_on_a_later_page_of_the_web_bank_is_seen() -> None:
    others = tuple((f"{n:020d}", "5") for n in range(1, 11))
    assert authorisation(vouchers(1, *others, total=11), vouchers(2, (REFERENCE, "4"), total=11)).fate is Fate.FAILED
    both = (vouchers(1, (REFERENCE, "4"), *others[1:], total=11), vouchers(2, (REFERENCE, "S"), total=11))
    assert authorisation(*both).fate is Fate.UNKNOWN


@pytest.mark.parametrize(
    "answers",
    [
        (vouchers(1, (REFERENCE, "4"), total=2), vouchers(2, total=2)),
        (vouchers(1, (REFERENCE, "4"), total=3), vouchers(2, (REFERENCE, "4"), total=3)),
        (vouchers(1, (OTHER, "4"), total=99), vouchers(2, (OTHER, "4"), total=99)),
    ],
)
def test_rows_that_the_web_bank_counts_and_does_not_tell_are_doubt(answers: tuple[bytes, ...]) -> None:
    with pytest.raises(ProtocolError) as caught:
        authorisation(*answers)
    assert caught.value.reason == "paging"
