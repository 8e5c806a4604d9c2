"""Archives of receipts: one PDF is unpacked, within bounds; an unreadable archive is refused with a clear reason."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile

import pytest

from protocols.canon.statement import Receipt
from protocols.kit import archives
from protocols.kit.archives import FILE_BYTES_MAX, MEMBERS_MAX, only_member, only_pdf, pdf
from protocols.kit.errors import ProtocolError

PDF = b"%PDF-1.4 receipt"


def packed(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return made.getvalue()


def refused(data: bytes) -> str:
    with pytest.raises(ProtocolError) as caught:
        only_member(data)
    assert caught.value.text
    return caught.value.reason


def test_the_only_pdf_of_an_archive_is_the_receipt() -> None:
    data = packed(("read.me", b"x"), ("2026/", b""), ("2026/A1.PDF", PDF))
    assert only_member(data) == Receipt(PDF, "application/pdf", "A1.PDF")
    assert only_pdf(data, "all.zip").name == "A1.PDF"
    assert only_pdf(PDF, "a.pdf") == pdf(PDF, "a.pdf") == Receipt(PDF, "application/pdf", "a.pdf")
    assert only_member(packed(("a.pdf", PDF), method=zipfile.ZIP_STORED)).data == PDF


def test_the_member_that_is_wanted_is_found_among_others() -> None:
    data = packed(("K1.pdf", PDF), ("K2.pdf", b"no PDF"))
    assert only_member(data, lambda name: name == "K1.pdf").data == PDF
    for wanted, reason in (("K2.pdf", "value"), ("K3.pdf", "missing")):
        with pytest.raises(ProtocolError) as caught:
            only_member(data, lambda name, wanted=wanted: name == wanted)  # type: ignore[misc]
        assert caught.value.reason == reason


def test_none_and_two_are_told_apart() -> None:
    assert refused(packed(("a.txt", PDF))) == "missing"
    assert refused(packed()) == "missing"
    assert refused(packed(("a.pdf", PDF), ("b/a.pdf", PDF))) == "ambiguous"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("at", [None, 40, 50, 60])
def test_a_packing_that_no_bank_uses_is_refused_whole_or_broken(method: int, at: int | None) -> None:
    data = bytearray(packed(("a.pdf", PDF * 100), method=method))
    if at is not None:
        data[at] ^= 0xFF
    assert refused(bytes(data)) == "value"


def test_a_bomb_is_refused_before_it_grows() -> None:
    """A file of 400 MB in 400 kB, alone and beside the wanted one, costs a few MB at most."""
    zeros = bytes(1_048_576)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("bomb.pdf", "w", force_zip64=True) as member:
            member.write(b"%PDF-")
            for _ in range(400):
                member.write(zeros)
        archive.writestr("K1.pdf", PDF)
    data = made.getvalue()
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError) as caught:
            only_member(data, lambda name: name == "bomb.pdf")
        assert only_member(data, lambda name: name == "K1.pdf").data == PDF
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.reason == "frame_too_long"
    assert peak < 6 * FILE_BYTES_MAX, f"{peak} bytes"


def test_the_largest_receipt_is_taken() -> None:
    largest = b"%PDF-".ljust(FILE_BYTES_MAX)
    assert only_member(packed(("a.pdf", largest))).data == largest
    assert refused(packed(("a.pdf", largest + b" "))) == "frame_too_long"


def test_a_list_of_too_many_files_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end record states the number of files; if the number is false, the list itself shows it."""
    many = packed(*((f"{number}.txt", b"") for number in range(MEMBERS_MAX)), ("a.pdf", PDF))
    assert refused(many) == "frame_too_long"
    end = many.rfind(b"PK\x05\x06")
    lying = many[: end + 8] + struct.pack("<HH", 1, 1) + many[end + 12 :]
    assert refused(lying) == "frame_too_long"
    monkeypatch.setattr(archives, "ARCHIVE_BYTES_MAX", 1_000)
    assert refused(packed(("a.pdf", bytes(2_000)), method=zipfile.ZIP_STORED)) == "frame_too_long"


def test_unreadable_archives_are_refused() -> None:
    whole = packed(("a.pdf", PDF * 50))
    for broken in (b"", b"PK", b"PK\x05\x06", b"PK\x03\x04broken", whole[:-30], whole[20:]):
        assert refused(broken) == "value"
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= 0x41
        try:
            found = only_member(bytes(data))
        except ProtocolError:
            continue
        assert found.data == PDF * 50, f"byte {at} is changed, and another receipt comes out"
    locked = bytearray(whole)
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(mark) + flags] |= 1
    assert refused(bytes(locked)) == "value"


def test_chinese_names_are_read_with_the_mark_of_utf8_and_without() -> None:
    """Windows programs write GBK names without a mark, and folders with a backslash, which GBK uses in characters."""
    assert only_member(packed(("回单/誠信.pdf", PDF))).name == "誠信.pdf"
    plain = packed(("xxxxx/yyyyyy.pdf", PDF))
    name = "回单".encode("gbk") + b"\\" + "誠信誠".encode("gbk") + b".pdf"
    assert len(name) == 15
    marked = plain.replace(b"xxxxx/yyyyyy.pdf"[-15:], name)
    assert only_member(marked).name == "誠信誠.pdf"
