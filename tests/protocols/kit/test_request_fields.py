"""Tables of request fields write in order, and refuse what is missing, too long or not in the charset."""

from __future__ import annotations

import pytest

from protocols.kit.charset import GBK, Unencodable
from protocols.kit.errors import ProtocolError
from protocols.kit.request_fields import RequestField, RequestTable
from protocols.kit.xmldoc import build, el

Subject = dict[str, str]
TABLE: RequestTable[Subject] = RequestTable(
    "4004",
    (
        RequestField("Account", lambda one: one["account"], "page 4", 8, needed="debtor's account"),
        RequestField("Name", lambda one: one["name"], "page 4", 10),
        RequestField("Note", lambda one: one.get("note", ""), "page 4", omitted=True),
        RequestField("Flag", lambda _: "", "page 4"),
    ),
)


def test_fields_are_written_in_their_order() -> None:
    assert TABLE.texts({"account": "17", "name": "甲公司"}) == [("Account", "17"), ("Name", "甲公司"), ("Flag", "")]
    document = build(el("R", TABLE.elements({"account": "17", "name": "<甲>", "note": "n"})), GBK)
    assert "<Account>17</Account><Name>&lt;甲&gt;</Name><Note>n</Note><Flag></Flag>".encode("gbk") in document


@pytest.mark.parametrize(
    ("subject", "reason", "words"),
    [
        ({"account": " ", "name": ""}, "missing", "debtor's account"),
        ({"account": "123456789", "name": ""}, "value", "the debtor's account takes 8 bytes in Account, not 9"),
        ({"account": "1", "name": "甲乙丙丁戊己"}, "value", "the Name takes 10 bytes in Name, not 12"),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_written(subject: Subject, reason: str, words: str) -> None:
    with pytest.raises(ProtocolError, match=words) as raised:
        TABLE.texts(subject)
    assert raised.value.reason == reason


def test_a_character_outside_the_charset_is_refused() -> None:
    with pytest.raises(Unencodable):
        TABLE.texts({"account": "1", "name": "😀"})
