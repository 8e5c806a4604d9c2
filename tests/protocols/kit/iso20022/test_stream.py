"""Account reports read entry by entry: the result equals that of reading at once, in constant memory."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Iterator

import pytest
from lxml import etree

from protocols.canon.statement import Line
from protocols.kit.errors import ProtocolError
from protocols.kit.iso20022 import account, lines, stream

ISO = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"
HEAD = (
    f'<?xml version="1.0" encoding="UTF-8"?><Document xmlns="{ISO}"><BkToCstmrStmt><GrpHdr><MsgId>1</MsgId>'
    "<CreDtTm>2026-11-24T00:00:00</CreDtTm></GrpHdr>"
)
BALANCE = (
    '<Bal><Tp><CdOrPrtry><Cd>{}</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">{}</Amt><CdtDbtInd>CRDT</CdtDbtInd>'
    "<Dt><Dt>2026-11-23</Dt></Dt></Bal>"
)


def entry(number: int) -> str:
    """Entries of the forms that banks write: with an id of their own, with the previous entry's id, without an id, and
    with two payments."""
    ids = ("", f"<AcctSvcrRef>E{number}</AcctSvcrRef>", f"<AcctSvcrRef>E{number - 1}</AcctSvcrRef>", "")[number % 4]
    refs = f"<Refs><AcctSvcrRef>NOTPROVIDED</AcctSvcrRef><EndToEndId>INV-{number}</EndToEndId></Refs>"
    detail = f"<TxDtls>{refs}</TxDtls>"
    if number % 4 == 3:
        share = '<TxDtls><Refs><AcctSvcrRef>D{}</AcctSvcrRef></Refs><AmtDtls><TxAmt><Amt Ccy="EUR">{}</Amt></TxAmt></AmtDtls></TxDtls>'
        detail = share.format(number, "0.40") + share.format(number - 4, "0.60")
    status = "PDNG" if number % 7 == 6 else "BOOK"
    return (
        f'<Ntry><Amt Ccy="EUR">1.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>{status}</Sts><BookgDt><Dt>2026-11-23</Dt></BookgDt>'
        f"{ids}<BkTxCd><Prtry><Cd>1</Cd></Prtry></BkTxCd><NtryDtls>{detail}</NtryDtls></Ntry>"
    )


def statement(count: int, number: str = "17", closing: str = "") -> Iterator[str]:
    booked = sum(one % 7 != 6 for one in range(count))
    yield f"<Stmt><Id>S{number}</Id><CreDtTm>2026-11-24T00:00:00+02:00</CreDtTm>"
    yield f"<Acct><Id><Othr><Id>{number}</Id></Othr></Id><Ccy>EUR</Ccy></Acct>"
    yield BALANCE.format("OPBD", "0.00") + BALANCE.format("CLBD", closing or f"{booked}.00")
    yield from map(entry, range(count))
    yield "</Stmt>"


def document(*statements: Iterator[str]) -> Iterator[bytes]:
    yield HEAD.encode()
    for one in statements:
        yield from (piece.encode() for piece in one)
    yield b"</BkToCstmrStmt></Document>"


def read(data: bytes, size: int, account_: str = "17") -> tuple[list[Line], list[str]]:
    """All lines and findings of one account, read in parts, each of them from the file's beginning."""
    told: list[Line] = []
    found: list[str] = []
    skip = 0
    while True:
        seen = Counter[str]()
        pieces = (data[at : at + 1000] for at in range(0, len(data), 1000))
        part = next(
            one
            for one in stream.parts(pieces, size, account=account_, skip=skip, seen=seen)
            if one.report.account == account_
        )
        told += stream.lines_of(part, None, seen)
        found += part.report.findings
        skip = part.through
        if part.last:
            return told, found


@pytest.mark.parametrize("size", [1, 3, 10, 1000])
@pytest.mark.parametrize("closing", ["", "5.00"])
def test_in_parts_it_reads_as_at_once(size: int, closing: str) -> None:
    data = b"".join(document(statement(4, "16"), statement(23, closing=closing), statement(0, "18")))
    [_, whole, empty] = account.read_reports(etree.fromstring(data))
    assert read(data, size) == (list(lines.lines(whole)), list(whole.findings))
    assert bool(whole.findings) is bool(closing)
    assert len({(one.bank_line_id, one.occurrence) for one in lines.lines(whole)}) == len(lines.lines(whole))
    assert read(data, size, "18") == ([], list(empty.findings))


def test_all_accounts_of_a_file_come_in_their_order() -> None:
    data = document(statement(4, "16"), statement(0, "18"), statement(5, "17"))
    found = [(one.report.account, one.first, len(one.report.entries), one.last) for one in stream.parts(data, 3)]
    assert found == [
        ("16", 1, 3, False),
        ("16", 4, 1, True),
        ("18", 1, 0, True),
        ("17", 1, 3, False),
        ("17", 4, 2, True),
    ]


def test_memory_does_not_grow_with_the_file() -> None:
    def most(count: int) -> int:
        tracemalloc.start()
        try:
            assert sum(len(one.report.entries) for one in stream.parts(document(statement(count)), 100)) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    most(200)
    assert most(8000) < 1_000_000, "a file of 4 MB"


@pytest.mark.parametrize("piece", [1, 7, 100_000])
@pytest.mark.parametrize("text", ['<!DOCTYPE a [<!ENTITY b "c">]>', '<!ENTITY b "c">', "<!X>"])
def test_document_types_are_refused_wherever_a_piece_ends(piece: int, text: str) -> None:
    data = b"".join(document(statement(2))).replace(b"<Document", text.encode() + b"<Document", 1)
    with pytest.raises(ProtocolError) as refused:
        list(stream.parts((data[at : at + piece] for at in range(0, len(data), piece)), 10))
    assert refused.value.reason in ("doctype", "not_xml")


def test_a_file_that_ends_early_or_is_another_is_refused() -> None:
    data = b"".join(document(statement(5)))
    for wrong in (data[:-30], data.replace(b"camt.053", b"pain.001")):
        with pytest.raises(ProtocolError):
            list(stream.parts([wrong], 10))


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_entries_that_cannot_be_read_are_left_out_as_at_once(size: int) -> None:
    data = b"".join(document(statement(23))).replace(b">1.00<", b">1,00<", 1).replace(b">E5<", b"><X/>E5<", 1)
    [whole] = account.read_reports(etree.fromstring(data))
    assert whole.unread == 2 and len(whole.entries) == 21
    assert read(data, size) == (list(lines.lines(whole)), [*whole.findings[1:], whole.findings[0]])
    assert "off by" in whole.findings[0]


def test_an_endless_entry_is_refused() -> None:
    def endless() -> Iterator[bytes]:
        yield HEAD.encode() + "".join(statement(1)).encode().replace(b"</Ntry></Stmt>", b"")
        while True:
            yield b"<AddtlNtryInf>x</AddtlNtryInf>" * 1000

    with pytest.raises(ProtocolError) as refused:
        list(stream.parts(endless(), 10))
    assert refused.value.reason == "xml_limits"
