"""The place of a page in a walk over entries."""

from __future__ import annotations

from datetime import date

import pytest

from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Direction, Line
from protocols.kit.errors import ProtocolError
from protocols.kit.paging import PageCursor
from protocols.kit.walk import Place, entered

DAY = date(2026, 11, 24)


def line(key: str, balance: int = 0) -> Line:
    return Line(AccountNumber("1"), key, Direction.DEBIT, Money(1), DAY, balance=Money(balance))


def test_a_place_is_text_and_back() -> None:
    for place in (Place(DAY), Place(DAY, 21, "K-1", 2, "abc"), Place(DAY, 2, "K", 1, "abc", DAY, "2002", 9)):
        assert Place.of(place.text()) == place
    with pytest.raises(ProtocolError):
        Place(DAY, key="a b").text()


@pytest.mark.parametrize("text", ["", "x", "20261124 1 0", "20261124   x 0 0  ", "20261199   1 0 0  ", "20261124   1 0 0 a b c", "20261124 x  1 0 0  ",
                                  "20261124   1 0 x  "])
def test_another_text_is_no_place(text: str) -> None:
    with pytest.raises(ProtocolError):
        Place.of(text)


def test_entries_of_one_key_are_counted_over_the_page_s_end() -> None:
    first = Place(DAY).counted([line("a"), line("b"), line("b", 1)])
    then = Place(DAY).onward(first, 5)
    assert then is not None
    assert [one.occurrence for one in first] == [0, 0, 1]
    assert [one.occurrence for one in then.counted([line("b", 2), line("a")])] == [2, 0]
    assert (then.number, then.day) == (4, DAY)


def test_a_leg_keeps_its_last_day_and_its_kind() -> None:
    place = Place(DAY, last=date(2026, 11, 26), kind="2002")
    then = place.onward(place.counted([line("a")]), 2)
    assert then is not None
    assert (then.day, then.last, then.kind, then.number) == (DAY, date(2026, 11, 26), "2002", 2)
    assert (place.begun, then.begun) == (False, True)


def test_the_walk_ends_with_the_total() -> None:
    assert Place(DAY).onward([line("a")], 1) is None
    assert Place(DAY).onward([], 0) is None
    assert Place(DAY, 4).onward([line("a")], 3) is None


def test_a_bank_that_tells_nothing_or_the_same_again_is_found_out() -> None:
    page = [line("a"), line("b")]
    then = Place(DAY).onward(page, 9)
    assert then is not None
    for lines in ([], page):
        with pytest.raises(ProtocolError) as caught:
            then.onward(then.counted(lines), 9)
        assert caught.value.reason == "paging"
    assert then.onward(then.counted([line("a", 5), line("b", 6)]), 9) is not None


def test_a_list_that_changed_during_the_walk_is_told_apart_from_one_that_grew_at_its_end() -> None:
    """Newest first, a new entry moves one that we have to the next page: counted on, it would be an entry of its own."""
    then = Place(DAY).onward(Place(DAY).counted([line("c"), line("b")]), 3)
    assert then is not None and then.total == 3
    for lines, total in (([line("b"), line("a")], 4), ([line("a")], 2)):
        with pytest.raises(ProtocolError) as caught:
            then.onward(then.counted(lines), total)
        assert caught.value.reason == "paging"
    assert then.onward(then.counted([line("d"), line("e")]), 4) is None
    assert then.onward(then.counted([line("b", 7)]), 3) is None, "the list has not grown: two entries of one key"


def test_a_walk_is_entered_at_its_beginning_or_where_its_cursor_says() -> None:
    begun = entered(None, "q", lambda: "here")
    assert begun == PageCursor("here", 1, "q")
    gone_on = begun.then("there")
    assert entered(gone_on.encode(), "q", lambda: "here") == gone_on
    with pytest.raises(ProtocolError):
        entered(gone_on.encode(), "another question", lambda: "here")
