"""The message signature: a known vector, and every way in which it may be wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.erp.signature import check_signature, sign

KEY, BODY, ID = b"0123456789abcdef0123456789abcdef", b'{"id":"AP-1"}', "0197d7c5-1b5e-7c33-8d0e-0d4f4c7a2b11"
# printf '%s\n%s' "$ID" "$BODY" | openssl dgst -sha256 -hmac "$KEY"
KNOWN = "68ee1dd8aed9d34a47011eb4c5cb7bd62c6426c9f276f32161ff6cb8f805114a"


def test_the_documented_construction() -> None:
    assert sign(KEY, BODY, ID) == KNOWN
    assert check_signature(KEY, BODY, ID, KNOWN)
    assert check_signature(KEY, BODY, ID, KNOWN.upper())


@pytest.mark.parametrize("header", [None, "", KNOWN[:-1], KNOWN + "0", "0" * 64, "签名", "\ud800", KNOWN[::-1]])
def test_a_wrong_header_is_refused(header: str | None) -> None:
    assert not check_signature(KEY, BODY, ID, header)


def test_another_key_body_or_id_is_refused() -> None:
    assert not check_signature(KEY[::-1], BODY, ID, KNOWN)
    assert not check_signature(KEY, BODY + b" ", ID, KNOWN)
    assert not check_signature(KEY, BODY, ID + "x", KNOWN)
    assert not check_signature(KEY, BODY, None, KNOWN)
    assert not check_signature(KEY, BODY, "", KNOWN)


def test_the_boundary_of_id_and_body_cannot_be_moved() -> None:
    # Without the rule against line feeds, ("a\nb", "c") and ("a", "b\nc") would have one signature.
    assert not check_signature(KEY, b"c", "a\nb", sign(KEY, b"b\nc", "a"))
    for bad in ("", "a\nb"):
        with pytest.raises(ValueError, match="line feeds"):
            sign(KEY, b"c", bad)


@given(st.binary(), st.text(), st.none() | st.text())
def test_any_input_is_answered(body: bytes, message_id: str, header: str | None) -> None:
    assert not check_signature(KEY, body, message_id, header)
