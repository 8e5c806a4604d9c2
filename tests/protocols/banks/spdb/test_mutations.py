"""Broken answers: for any bytes the adapter raises ProtocolError or claims no more than they say."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.canon.order import Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import FateQuestion
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.spdb.paper import (
    ASKED,
    AUTHORISED,
    CREDITOR,
    DEBTOR,
    REASON,
    REFERENCE,
    bank,
    context,
    done,
    http_answer,
    leaves,
    listed,
    loop,
    nothing,
    paid,
    refused,
    row,
    sent,
    talk,
    wrapped,
)

BANK, AUTHORISING = bank(), bank(**AUTHORISED)
Asked = Callable[[bytes], Outcome]
CODE = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="<>&"), min_size=1, max_size=8)


def stored(answer: bytes) -> Outcome:
    return BANK.read(Kind.PAYMENT, sent(), answer)


def fated(answer: bytes) -> Outcome:
    assert BANK.questions.fate is not None
    return talk(BANK.questions.fate(FateQuestion(sent()), context()), answer)


def authorised(answer: bytes) -> Outcome:
    assert AUTHORISING.questions.fate is not None
    return talk(AUTHORISING.questions.fate(FateQuestion(sent()), context()), nothing(), answer)


GOLDEN: list[tuple[Asked, bytes]] = [
    (stored, paid("A")),
    (stored, refused("8801", REFERENCE, "EGG0346", "收款人账号户名信息不符")),
    (stored, refused("8801", REFERENCE, "EYY8990", "报文流水号当天必须唯一")),
    (fated, listed(row("4"))),
    (fated, listed(row("8", REASON))),
    (fated, nothing()),
]


def mutants(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Every place with several other bytes in it: its neighbours, digits, XML's own characters, and random ones."""
    chance = random.Random(4437)
    for place, byte in enumerate(data):
        others = {byte ^ 1, byte ^ 0x20, *b"048< ", 0, 0x80, 0xFF, chance.randrange(256)}
        for other in others - {byte}:
            yield place, data[:place] + bytes((other,)) + data[place + 1 :]


@pytest.mark.parametrize(("asked", "golden"), GOLDEN)
def test_one_wrong_byte_anywhere_on_the_wire_changes_no_clear_word(asked: Asked, golden: bytes) -> None:
    honest, refusals = asked(golden).fate, 0
    for place, mutant in mutants(golden):
        if place % (29 if asked is fated else 7):
            continue
        try:
            fate = asked(mutant).fate
        except ProtocolError:
            refusals += 1
            continue
        assert fate is honest or fate is Fate.UNKNOWN
    assert refusals > 10


def resigned(body: bytes) -> bytes:
    """An 8804 answer around a changed body, correctly signed, as if the bank itself made the mistake."""
    inner = f"<body><signature>{wrapped(body).decode()}</signature></body>"
    document = (
        '<?xml version="1.0" encoding="gb2312"?><packet><head><transCode>8804</transCode>'
        f"<packetID>{ASKED}</packetID><returnCode>AAAAAAA</returnCode></head>{inner}</packet>"
    ).encode()
    return http_answer(str(len(document) + 6).ljust(6).encode() + document)


@pytest.mark.parametrize("status", ["4", "8"])
def test_one_wrong_byte_in_a_well_signed_body_changes_no_clear_word_but_by_its_status(status: str) -> None:
    body = f"<body>{loop(row(status, REASON if status == '8' else '货款'))}</body>".encode("gb18030")
    honest = fated(resigned(body)).fate
    own = range(body.index(b"<transStatus>"), body.index(b"</transStatus>"))
    for place, mutant in mutants(body):
        if place % 13 and place not in own:
            continue
        try:
            fate = fated(resigned(mutant)).fate
        except ProtocolError:
            continue
        if fate in (Fate.SETTLED, Fate.FAILED, Fate.RETURNED) and place not in own:
            assert fate is honest


@pytest.mark.parametrize("key", [DEBTOR, CREDITOR, "123.45"])
def test_one_wrong_byte_in_what_names_the_payment_makes_it_no_answer(key: str) -> None:
    body = f"<body>{loop(row('4'))}</body>".encode("gb18030")
    start, tried = body.index(f">{key}<".encode()) + 1, 0
    for place, mutant in mutants(body):
        if start <= place < start + len(key):
            tried += 1
            with pytest.raises(ProtocolError):
                fated(resigned(mutant))
    assert tried > len(key)


@pytest.mark.parametrize(("asked", "golden"), GOLDEN)
def test_cut_off_after_every_byte(asked: Asked, golden: bytes) -> None:
    for length in range(len(golden) - 1):
        if length % 23 and length > 400:
            continue
        cutter = BANK.ports["business"].answers()
        assert cutter.feed(golden[:length]) == []
        if length:
            with pytest.raises(ProtocolError):
                cutter.end()
        with pytest.raises(ProtocolError):
            asked(golden[:length])


@given(st.binary(max_size=600))
def test_any_bytes_at_all(noise: bytes) -> None:
    for asked in (stored, fated):
        for answer in (noise, http_answer(noise), http_answer(str(len(noise) + 6).ljust(6).encode() + noise)):
            with pytest.raises(ProtocolError):
                asked(answer)


@given(CODE)
def test_an_answer_never_seen_before_neither_fails_nor_settles(code: str) -> None:
    known = {"4": Fate.SETTLED, "8": Fate.FAILED, "9": Fate.FAILED}
    outcome = fated(listed(row(code)))
    assert outcome.fate is known.get(code, Fate.PENDING if code in set("0123A") else Fate.UNKNOWN)
    assert outcome.listed or outcome.fate is Fate.UNKNOWN
    taken = stored(paid(code))
    assert taken.fate in (Fate.PENDING, Fate.UNKNOWN)
    assert taken.listed or taken.fate is Fate.UNKNOWN
    web = done("EY03", "369600000000701", leaves({"elecChequeNo": REFERENCE, "transStatus": code}))
    said = authorised(web)
    assert said.fate is not Fate.SETTLED
    assert (said.fate is Fate.FAILED) == (code in ("2", "3", "4", "C", "F"))


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=7, max_size=7))
def test_a_return_code_never_seen_before_is_doubt(code: str) -> None:
    if code in ("AAAAAAA", "EYY8990", "EYY8998", "EGG0346"):
        return
    outcome = stored(refused("8801", REFERENCE, code))
    assert outcome.fate is Fate.UNKNOWN
    assert outcome.listed == (code in ("EYY9994", "B2E0005", "EGG0042", "EGG0050"))
