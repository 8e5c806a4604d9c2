"""BALANCECHANGENOTICE: the account is read again, whatever the notice says besides."""

from __future__ import annotations

import pytest

from protocols.bank import Pushes
from protocols.canon.party import AccountNumber
from protocols.kit import http
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.cib.paper import bank

BODY = (
    "<BALANCECHANGENOTICE><NOTICE_INFO><ACCTID>000000000000000017</ACCTID><ACCT_NAME>甲公司</ACCT_NAME>"
    "<TRADE_TIME>2017年10月23日    16:22</TRADE_TIME><TRNTYPE>借</TRNTYPE><MEMO/><TRNAMT>1.00</TRNAMT>"
    "<BALAMT>9.00</BALAMT><ATTACHINFO>X1</ATTACHINFO></NOTICE_INFO></BALANCECHANGENOTICE>"
)


def doors() -> Pushes:
    found = bank().pushes
    assert found is not None
    return found


def posted(body: str) -> bytes:
    return http.post("/", "127.0.0.1", "text/xml; charset=GBK", body.encode("gbk"))


@pytest.mark.parametrize("declaration", ["", '<?xml version="1.0" encoding="GBK"?>'])
def test_the_account_of_the_notice_is_read_again(declaration: str) -> None:
    told = doors().read(posted(declaration + BODY))
    assert (told.kind, told.accounts, told.text) == (
        "BALANCECHANGENOTICE",
        (AccountNumber("000000000000000017"),),
        "X1",
    )
    assert not told.references and not told.unread


def test_a_repeat_has_one_mark_and_another_entry_has_another() -> None:
    assert doors().read(posted(BODY)).key == doors().read(posted(BODY)).key
    assert doors().read(posted(BODY)).key != doors().read(posted(BODY.replace("X1", "X2"))).key


@pytest.mark.parametrize("body", ["", "<FOX/>", "<BALANCECHANGENOTICE>", "x"])
def test_a_notice_that_cannot_be_read_is_kept_for_people(body: str) -> None:
    assert doors().read(posted(body)).unread


def test_what_is_no_post_is_refused() -> None:
    with pytest.raises(ProtocolError):
        doors().read(http.request("GET", "/", "127.0.0.1", ()))


def test_it_is_answered_with_200_and_the_connection_ends() -> None:
    assert doors().answer(posted(BODY), 0).startswith(b"HTTP/1.1 200") and doors().closes
