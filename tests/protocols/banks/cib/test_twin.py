"""The bytes of the bank's side, read here without the adapter: order of elements, log-on, repeats, lock-out."""

from __future__ import annotations

import pytest

from protocols.banks.cib import twin
from protocols.kit import http
from protocols.twin import Twin
from tests.protocols.banks.cib.paper import DEBTOR, REFERENCE, stage
from tests.protocols.banks.cib.test_payment import GOLDEN

LEDGER = stage().ledger


def answered(document: str, side: Twin, content_type: str = "application/x-fox") -> tuple[int, str]:
    """The bank's side's answer to a document written by hand."""
    wire = http.request("POST", "/", "fep", (("Content-Type", content_type),), document.encode("gbk"))
    [frame] = side.requests("business").feed(wire)
    said = side.answer("business", frame, stage().ledger, {})
    assert said.close
    read = http.parse_answer(said.data)
    return read.status, read.body.decode("gb18030")


def side(**options: object) -> Twin:
    return twin.build({"customer": "1100000001", "user": "erp01", "password": "secret", **options}, {})


def test_the_page_s_sample_is_paid() -> None:
    status, body = answered(GOLDEN, side())
    assert status == 200
    assert body.startswith('<?xml version="1.0" encoding="GBK" standalone="yes"?><FOX><SIGNONMSGSRSV1><SONRS><STATUS>')
    assert f"<XFERTRNRS><TRNUID>{REFERENCE}</TRNUID><STATUS><CODE>0</CODE><SEVERITY>INFO</SEVERITY></STATUS>" in body
    assert "<XFERPRCSTS><XFERPRCCODE>PAYOUT</XFERPRCCODE>" in body
    assert f"<CLIENTREF>{REFERENCE}</CLIENTREF></XFERRS>" in body


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("<CURSYM>RMB</CURSYM><TRNAMT>1024.50</TRNAMT>", "<TRNAMT>1024.50</TRNAMT><CURSYM>RMB</CURSYM>", "2002"),
        (
            "<NAME>甲公司</NAME><BANKDESC>兴业银行</BANKDESC>",
            "<BANKDESC>兴业银行</BANKDESC><NAME>甲公司</NAME>",
            "2002",
        ),
        ("<PURPOSE>货款</PURPOSE>", "<PURPOSE>货款</PURPOSE><DTDUE></DTDUE>", "2002"),
        ("<PURPOSE>货款</PURPOSE>", "<PURPOSE>a&amp;b</PURPOSE>", "2002"),
        ("<PURPOSE>货款</PURPOSE>", f"<PURPOSE>{'长' * 31}</PURPOSE>", "2002"),
        ("中国建设银行台州分行", "兴业银行台州分行", "2002"),
        (DEBTOR, "000000000000000099", "2005"),
        ("1024.50", "10.245", "2006"),
        (f"<TRNUID>{REFERENCE}", f"<TRNUID>{'x' * 31}", "2002"),
        ("XFERTRNRQ", "NOSUCHTRNRQ", "2000"),
    ],
)
def test_what_breaks_the_contract_is_refused(old: str, new: str, code: str) -> None:
    assert old in GOLDEN
    _status, body = answered(GOLDEN.replace(old, new), side())
    assert f"<CODE>{code}</CODE><SEVERITY>ERROR</SEVERITY>" in body
    assert "XFERPRCSTS" not in body


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [("secret", "guess", "15500"), ("erp01", "erp02", "2000"), ("1100000001", "1100000002", "2000")],
)
def test_without_log_on_there_is_no_second_part(old: str, new: str, code: str) -> None:
    _status, body = answered(GOLDEN.replace(old, new), side())
    assert f"<CODE>{code}</CODE>" in body
    assert "SECURITIES_MSGSRSV1" not in body


def test_five_wrong_passwords_lock_the_operator_out() -> None:
    bank = side()
    for _ in range(5):
        assert "登录失败" in answered(GOLDEN.replace("secret", "guess"), bank)[1]
    assert "已锁定" in answered(GOLDEN, bank)[1]


def test_a_right_password_in_between_counts_from_the_beginning() -> None:
    bank = side(lock_after=2)
    tried = ("guess", "secret", "guess", "secret")
    paid = ["PAYOUT" in answered(GOLDEN.replace("secret", password), bank)[1] for password in tried]
    assert paid == [False, True, False, True]


def test_another_content_type_is_no_fox() -> None:
    assert answered(GOLDEN, side(), "text/xml")[0] == 400


def test_an_option_it_does_not_have_is_an_error() -> None:
    with pytest.raises(TypeError):
        side(colour="red")


def test_a_path_without_a_file_is_not_found() -> None:
    bank = side(receipt_path="/receipt/{file_id}")
    for path in ("/receipt/x", "/other", "/"):
        [frame] = bank.requests("business").feed(http.request("GET", path, "fep"))
        assert http.parse_answer(bank.answer("business", frame, LEDGER, {}).data).status == 404
