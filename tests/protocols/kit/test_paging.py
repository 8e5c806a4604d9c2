"""Walks over pages end, and detect a bank that repeats pages."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from protocols.erp.cursor import seal
from protocols.erp.scalars import Cursor
from protocols.kit.errors import ProtocolError
from protocols.kit.paging import (
    PAGES_MAX,
    TOO_MANY_PAGES,
    CursorEcho,
    Offset,
    PageCursor,
    PageNumber,
    PageSeen,
    Paging,
    fingerprint,
)

ASKED = fingerprint("transactions.query", "acct-1", "20260101", "20260131")


def walk(paging: Paging, pages: list[PageSeen]) -> list[str]:
    """The values that were asked with. Each cursor is converted to text and back, as between processes."""
    at: PageCursor | None = paging.first(ASKED)
    asked: list[str] = []
    for seen in pages:
        assert at is not None, "asked for more pages than the walk has"
        asked.append(at.value)
        at = paging.following(PageCursor.decode(at.encode(), ASKED), seen)
    assert at is None, "the walk should be complete"
    return asked


def test_cursor_echo() -> None:
    paging = CursorEcho(start="0")
    assert walk(paging, [PageSeen(10, "J1", more=True), PageSeen(10, "J2", more=True), PageSeen(3, more=False)]) == [
        "0",
        "J1",
        "J2",
    ]
    assert walk(paging, [PageSeen(10, "J1"), PageSeen(0, "J2")]) == ["0", "J1"]
    assert walk(paging, [PageSeen(10, "")]) == ["0"]
    with pytest.raises(ProtocolError, match="paging"):
        walk(paging, [PageSeen(10, "", more=True)])


@pytest.mark.parametrize("round_trip", [["J1", "J1"], ["J1", "J2", "J1"], ["0"], ["J1", "J2", "J3", "J2"]])
def test_a_cursor_that_comes_again_is_an_error(round_trip: list[str]) -> None:
    with pytest.raises(ProtocolError, match="repeats its pages"):
        walk(CursorEcho(start="0"), [PageSeen(10, value, more=True) for value in round_trip])


def test_page_numbers() -> None:
    told = [PageSeen(30, more=True), PageSeen(30, more=True), PageSeen(5, more=False)]
    assert walk(PageNumber(30), told) == ["1", "2", "3"]
    assert walk(PageNumber(30, start=0), [PageSeen(30), PageSeen(29)]) == ["0", "1"]
    assert walk(PageNumber(30), [PageSeen(30, total=60), PageSeen(30, total=60)]) == ["1", "2"]
    with pytest.raises(ProtocolError, match="no rows"):
        walk(PageNumber(30), [PageSeen(0, more=True)])


def test_offsets() -> None:
    assert walk(Offset(50), [PageSeen(50), PageSeen(50), PageSeen(1)]) == ["1", "51", "101"]
    assert walk(Offset(50), [PageSeen(50, total=70), PageSeen(20, total=70)]) == ["1", "51"]
    assert walk(Offset(50, start=0), [PageSeen(20, total=45), PageSeen(25, total=45)]) == ["0", "20"]
    assert walk(Offset(50), [PageSeen(0)]) == ["1"]
    with pytest.raises(ProtocolError, match="no rows"):
        walk(Offset(50), [PageSeen(0, total=7)])


def test_a_walk_has_an_end() -> None:
    at = PageNumber(1).first(ASKED)
    for _ in range(PAGES_MAX - 1):
        following = PageNumber(1).following(at, PageSeen(1, more=True))
        assert following is not None
        at = following
    with pytest.raises(ProtocolError, match="more than 10000 pages") as caught:
        PageNumber(1).following(at, PageSeen(1, more=True))
    assert caught.value.reason == TOO_MANY_PAGES
    assert PageCursor.decode(at.encode(), ASKED) == at


def test_a_cursor_does_not_grow_with_the_walk_and_fits_the_contract() -> None:
    at = PageCursor("0" * 512, 1, ASKED)
    sizes = set[int]()
    for page in range(2, PAGES_MAX + 1):
        at = at.then(f"{page:0512}")
        if page > 9_000:
            sizes.add(len(at.encode()))
    assert PageCursor.decode(at.encode(), ASKED) == at and len(sizes) == 2, "one for each number of digits of the page"
    # As in `transactions.query`: the bank's cursor with a number of lines to skip.
    sealed = seal(bytes(32), ("entries", "kingdee"), json.dumps([at.encode(), 1_000]))
    assert TypeAdapter(Cursor).validate_python(sealed) == sealed


@given(st.integers(0, 300), st.integers(1, 300))
def test_every_circle_is_found_out(before: int, length: int) -> None:
    at, asked, found = PageCursor("0", 1, ASKED), 1, ""
    for step in range(1, 2_000):
        try:
            at = at.then(str(step if step < before else before + (step - before) % length))
        except ProtocolError as error:
            found = str(error)
            break
        asked += 1
    assert "repeats its pages" in found
    assert asked <= before + length if length <= 16 else asked <= 3 * max(before, length) + length + 1


@given(st.text(max_size=100))
def test_cursors_go_round_as_plain_text(value: str) -> None:
    value = value.encode("utf-8", "ignore").decode()
    cursor = PageCursor("first", 1, ASKED).then(value + "x")
    text = cursor.encode()
    assert text.isascii()
    assert text.replace("-", "").replace("_", "").isalnum()
    assert PageCursor.decode(text, ASKED) == cursor


def test_a_cursor_of_another_question_is_refused() -> None:
    text = PageNumber(10).first(ASKED).encode()
    with pytest.raises(ProtocolError, match="another question"):
        PageCursor.decode(text, fingerprint("transactions.query", "acct-2"))
    assert fingerprint("ab", "c") != fingerprint("a", "bc")


@pytest.mark.parametrize(
    "text", ["", "x", "!!!!", "甲", "e30", "bnVsbA", "WzFd", "WzEsMSwxLDEsMV0", "W1tb", "W" * 20_000, "W1tb" * 4_000]
)
def test_made_up_cursors_are_refused(text: str) -> None:
    with pytest.raises(ProtocolError, match="paging"):
        PageCursor.decode(text, ASKED)


@given(st.binary(max_size=60))
def test_garbage_cursors_never_do_anything_else(data: bytes) -> None:
    import base64

    with pytest.raises(ProtocolError, match="paging"):
        PageCursor.decode(base64.urlsafe_b64encode(data).decode(), ASKED)


def test_a_tampered_page_number_is_refused() -> None:
    odd = PageCursor("１", 1, ASKED)
    for paging in (PageNumber(1), Offset(1)):
        with pytest.raises(ProtocolError, match="paging"):
            paging.following(PageCursor.decode(odd.encode(), ASKED), PageSeen(1, more=True))
