"""Charset traps: mislabelled GB18030, characters a bank does not have, halves of characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.kit.charset import GB2312, GB18030, GBK, UTF8, Charset, Unencodable
from protocols.kit.errors import ProtocolError

ALL = [GBK, GB2312, GB18030, UTF8]


@pytest.mark.parametrize("char", ["䶮", "€", "𠮷", "ǹ", "😀", "\ud800"])
def test_characters_outside_gbk_are_refused_before_anything_is_signed(char: str) -> None:
    with pytest.raises(Unencodable) as caught:
        GBK.encode(f"王{char}")
    assert caught.value.reason == "unencodable"
    assert (caught.value.char, caught.value.position) == (char, 1)
    assert caught.value.codepoint == f"U+{ord(char):04X}"
    assert GBK.first_unencodable(f"王{char}") == (1, char)
    assert not GBK.fits(f"王{char}", 100)


@pytest.mark.parametrize("char", ["䶮", "€", "𠮷"])
def test_gb18030_and_utf8_carry_them(char: str) -> None:
    for charset in (GB18030, UTF8):
        assert charset.decode(charset.encode(char)) == char
        assert charset.first_unencodable(char) is None


def test_gb18030_bytes_declared_gb2312_are_read_and_noted() -> None:
    for text in ("麤", "䶮", "𠮷", "朱镕基"):
        data = text.encode("gb18030")
        assert GB2312.decode(data) == text
        assert GB2312.decode_wider(data).text == text
        assert GB2312.decode_wider(data).repaired
    assert not GB2312.decode_wider("中文".encode("gb2312")).repaired
    assert not GBK.decode_wider("麤".encode("gbk")).repaired


def test_whatever_we_can_write_reads_back_as_itself() -> None:
    """For every Unicode character and each charset: the character is refused, or is read back unchanged."""
    for charset in (*ALL, Charset("GB2312", encoder="gb2312"), Charset("cp936")):
        for codepoint in range(0x20, 0x30000):
            char = chr(codepoint)
            if charset.first_unencodable(char) is None and char != "\ufeff":
                assert charset.decode(charset.encode(char)) == char, (charset, char)


def test_the_label_gb2312_writes_gbk_unless_the_bank_means_it() -> None:
    assert GB2312.encode("镕") == "镕".encode("gbk")
    strict = Charset("GB2312", encoder="gb2312")
    assert strict.first_unencodable("朱镕基") == (1, "镕")
    assert strict.first_unencodable("a―b") == (1, "―")


@pytest.mark.parametrize(
    "data", [b"\xef\xbb\xbf<a/>", b"\xff\xfe<\x00a\x00", b"\xfe\xff\x00<", b"\x84\x31\x95\x33<a/>"]
)
@pytest.mark.parametrize("charset", ALL)
def test_byte_order_marks_are_refused(charset: Charset, data: bytes) -> None:
    with pytest.raises(ProtocolError, match="charset"):
        charset.decode(data)


@pytest.mark.parametrize("data", [b"\xc0\xaf", b"\xed\xa0\x80", b"\xff", "中".encode("gbk"), b"\xe4\xb8"])
def test_utf8_is_strict(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="charset"):
        UTF8.decode(data)


@pytest.mark.parametrize("data", [b"\x80", b"\xff", b"\x81", b"\x81\x20", b"a\xfe"])
def test_gbk_is_strict_too(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="charset"):
        GBK.decode(data)


def test_unknown_charsets() -> None:
    for name in ("UTF-16", "utf-7", "BIG5", "latin-1", ""):
        with pytest.raises(ProtocolError, match="charset"):
            Charset(name)


def test_lengths_count_bytes() -> None:
    assert GBK.byte_length("货款a") == 5
    assert UTF8.byte_length("货款a") == 7
    assert GBK.fits("货款a", 5)
    assert not GBK.fits("货款a", 4)


@given(
    st.text(alphabet=st.sampled_from("a货款麤龙€𠮷0䶮"), max_size=12),
    st.integers(0, 40),
    st.sampled_from([GB18030, UTF8]),
)
def test_cutting_never_splits_a_character_and_takes_all_that_fits(text: str, max_bytes: int, charset: Charset) -> None:
    cut = charset.cut(text, max_bytes)
    assert text.startswith(cut)
    assert charset.byte_length(cut) <= max_bytes
    if cut != text:
        assert charset.byte_length(text[: len(cut) + 1]) > max_bytes


def test_a_field_cut_by_the_bank_loses_only_the_half_character() -> None:
    data = "交易受理成功".encode("gbk")
    assert GBK.decode_cut(data[:7]) == "交易受"
    assert GBK.decode_cut(data) == "交易受理成功"
    with pytest.raises(ProtocolError, match="charset"):
        GBK.decode_cut(b"\xff" + data[:7])


def test_families_of_labels() -> None:
    assert GBK.same_family("gb18030")
    assert GBK.same_family("GB2312")
    assert not GBK.same_family("UTF-8")
    assert UTF8.same_family("utf-8")
    assert not UTF8.same_family("ISO-8859-1")
