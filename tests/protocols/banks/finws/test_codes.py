"""Each response code of the specification, 00 to 32, as answer to an upload, to the same upload again, and to a
question.

Written from what the specification says of a code, not from codes.toml.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lxml import etree

from protocols.banks import finws
from protocols.banks.finws import twin
from protocols.banks.finws.twin_enrolment import Hand, sign_enveloped
from protocols.canon.outcome import Fate
from protocols.kit.declined import Declined
from tests.protocols.banks.finws.paper import DATA, ORDER, SENT, fate, options, pay, stage
from tests.protocols.banks.finws.test_payment import answered
from tests.world.dialogue import BankAndTwin

ALL = [f"{number:02}" for number in range(33)]
NEVER_SAID = {"01", "28"}
"""Numbers the specification leaves out."""
NOT_OF_AN_UPLOAD = {"24", "27"}
"""Nothing to fetch, and cannot be deleted: an upload has no such answer."""
NOBODY_KNOWS = {"23", "26"}
"""Processing error and technical error: the file may be there all the same."""
DELIVERED_BEFORE = {"31", "32"}
REFUSED = set(ALL) - NEVER_SAID - NOT_OF_AN_UPLOAD - NOBODY_KNOWS - DELIVERED_BEFORE - {"00"}


@pytest.mark.parametrize("code", ALL)
def test_to_the_only_copy(code: str) -> None:
    made, said = stage(), answered(stage(), code=code)
    made.tamper = lambda _frame: said
    outcome = pay(made)
    wanted = Fate.PENDING if code == "00" else Fate.FAILED if code in REFUSED else Fate.UNKNOWN
    if code in DELIVERED_BEFORE:
        wanted = Fate.DUPLICATE
    assert (outcome.fate, outcome.code) == (wanted, code)
    assert outcome.listed is (code not in NEVER_SAID | NOT_OF_AN_UPLOAD)


@pytest.mark.parametrize("code", ALL)
def test_to_the_same_bytes_again(code: str) -> None:
    """A refusal of this copy says nothing about the first copy."""
    made = stage()
    outcome = made.bank.read(ORDER.kind, SENT, answered(made, code=code))
    wanted = Fate.PENDING if code == "00" else Fate.DUPLICATE if code in DELIVERED_BEFORE else Fate.UNKNOWN
    assert (outcome.fate, outcome.code) == (wanted, code)
    assert outcome.listed is (code not in NEVER_SAID | NOT_OF_AN_UPLOAD)


@pytest.fixture
def saying(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the bank answer every request with a code, properly signed."""

    def say(code: str) -> None:
        def altered(document: bytes, key: bytes, hand: Hand) -> bytes:
            root = etree.fromstring(document)
            found = root.find(f"{DATA}ResponseCode")
            assert found is not None
            found.text = code
            return sign_enveloped(etree.tostring(root), key)

        monkeypatch.setattr(twin, "sign_enveloped", altered)

    return say


def ask_each(made: BankAndTwin) -> dict[str, Callable[[], object]]:
    """Ask every question; the bank would answer each with 00."""
    files = finws.files(options())
    turn = files.wire.turn(made.context())
    [status] = made.talk(files.listing("pain.002.001.03", turn))
    _, request = made.talk(files.upload("report.txt", b"hello", "R1", turn))
    made.exchange("business", request)
    [waiting] = made.talk(files.listing("report.txt", turn))
    return {
        "list": lambda: made.talk(files.listing("pain.002.001.03", turn)),
        "fetch": lambda: made.talk(files.download(status, turn)),
        "take back": lambda: made.talk(files.delete(waiting, made.context())),
        "rights": lambda: made.talk(files.user_info(made.context())),
    }


@pytest.mark.parametrize("code", [code for code in ALL if code != "00"])
def test_to_a_question(code: str, saying: Callable[[str], None]) -> None:
    """A fault that may pass soon leads to another try. A fault that a person must correct does not."""
    made = stage(other_types=["report.txt"])
    pay(made)
    asked = ask_each(made)
    saying(code)
    again = code in NOBODY_KNOWS | DELIVERED_BEFORE | NEVER_SAID
    if code == "24":
        del asked["list"]
    for what, ask in asked.items():
        with pytest.raises(Declined) as declined:
            ask()
        assert (declined.value.code, declined.value.outcome) == (code, "retry" if again else "failed"), what


def test_nothing_there_is_an_empty_list() -> None:
    made = stage()
    files = finws.files(options())
    assert made.talk(files.listing("pain.002.001.03", files.wire.turn(made.context()))) == ()
    assert b"<m:ResponseCode>24<" in made.said[-1].answer


@pytest.mark.parametrize("code", [code for code in ALL if code not in ("00", "24")])
def test_no_code_to_a_question_decides_a_payment(code: str, saying: Callable[[str], None]) -> None:
    made = stage()
    pay(made)
    saying(code)
    with pytest.raises(Declined):
        fate(made)
