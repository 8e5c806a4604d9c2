"""Messages that the front end sends unasked: FILE04 and F002, read and answered as the page says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocols.bank import Push, Pushes
from protocols.banks.pab.header import FRAMING, HEADER_BYTES
from protocols.canon.party import AccountNumber
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.pab.paper import ENTERPRISE, bank, framed

NOW_MS = 1_795_500_000_000
DONE = (
    "<Result><TradeSn>GW000000000000000007</TradeSn><FileName>a.txt</FileName><FilePath>/d/a.txt</FilePath>"
    "<Action>1</Action><RandomPwd>s3cret</RandomPwd><SignData/><HashData/></Result>"
)
VOUCHER = "GW000000000000000001"


def doors() -> Pushes:
    found = bank().pushes
    assert found is not None
    return found


def pushed(body: str | None, operation: str = "FILE04", service: str = "01") -> bytes:
    """A message of the front end. Its header may have any answer code."""
    return framed(operation, body, service=service)


def test_the_file_that_is_done_is_told() -> None:
    told = doors().read(pushed(DONE))
    assert (told.kind, told.references, told.accounts, told.unread) == ("FILE04", (), (), False)
    assert told.text == "FILE04 TradeSn=GW000000000000000007 FileName=a.txt Action=1"


def test_payments_and_accounts_are_found_under_the_bank_s_usual_names() -> None:
    body = (
        f"<Result><Account>00000000000017</Account><list><SThirdVoucher>{VOUCHER}</SThirdVoucher></list>"
        f"<list><SThirdVoucher>{VOUCHER}</SThirdVoucher><OutAcctNo>00000000000025</OutAcctNo></list></Result>"
    )
    told = doors().read(pushed(body, "F002"))
    assert told.references == (VOUCHER,)
    assert told.accounts == (AccountNumber("00000000000017"), AccountNumber("00000000000025"))


def test_a_repeat_has_one_mark_and_two_transactions_of_one_body_have_two() -> None:
    """The header's serial distinguishes them; the time and the number of sends do not."""
    once = pushed(DONE)
    again = once[:53] + b"20991231235959" + once[67:194] + b"002" + once[197:]
    assert again != once and doors().read(again) == doors().read(once)
    other = once[:67] + b"Z" * 20 + once[87:]
    assert doors().read(other).key != doors().read(once).key
    assert replace(doors().read(other), key="") == replace(doors().read(once), key="")
    assert doors().read(pushed(DONE.replace("a.txt", "b.txt"))).key != doors().read(once).key
    assert doors().read(pushed(DONE, "F002")).key != doors().read(once).key


def test_a_body_that_cannot_be_read_is_kept_for_people() -> None:
    for body in ("<Result><a></Result>", "no xml", None):
        told = doors().read(pushed(body, "4099"))
        assert (told.kind, told.unread, told.references) == ("other", True, ())
        assert "4099" in told.text


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"A001",
        pushed(DONE)[:-1],
        pushed(DONE) + b" ",
        pushed(DONE, service="02"),
        pushed(DONE).replace(ENTERPRISE.encode(), b"0" * 20),
        b"B001" + pushed(DONE)[4:],
    ],
)
def test_what_is_no_request_of_this_front_end_is_refused(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        doors().read(frame)


def test_it_is_answered_with_service_type_02_its_operation_and_its_serial() -> None:
    request = pushed(DONE)
    answer = doors().answer(request, NOW_MS)
    assert FRAMING.frame_length(answer[:HEADER_BYTES]) == len(answer)
    assert (answer[40:46], answer[51:53], answer[67:87], answer[87:93]) == (b"FILE04", b"02", request[67:87], b"000000")
    assert answer[10:30].decode() == ENTERPRISE


def test_frames_are_cut_one_by_one_and_a_huge_one_is_refused() -> None:
    cutter, frame = doors().requests(), pushed(DONE)
    assert cutter.feed(frame + frame[:100]) == [frame]
    assert cutter.feed(frame[100:]) == [frame]
    with pytest.raises(ProtocolError):
        doors().requests().feed(frame[:30] + b"9999999999" + frame[40:])


def test_no_push_names_more_than_it_may() -> None:
    many = "".join(f"<list><ThirdVoucher>V{number}</ThirdVoucher></list>" for number in range(3_000))
    told: Push = doors().read(pushed(f"<Result>{many}</Result>"))
    assert len(told.references) == 500
