"""The place of a page in a walk over entries."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Direction, Line
from protocols.kit.errors import ProtocolError
from protocols.kit.paging import PageCursor
from protocols.kit.walk import WalkPlace, counted, entered, line_key, number_of

DAY = date(2026, 11, 24)


def line(key: str, balance: int = 0) -> Line:
    return Line(AccountNumber("1"), key, Direction.DEBIT, Money(1), DAY, balance=Money(balance))


def test_a_place_is_text_and_back() -> None:
    for place in (
        WalkPlace(DAY),
        WalkPlace(DAY, 21, "K-1", 2, "abc"),
        WalkPlace(DAY, 2, "K", 1, "abc", DAY, "2002", 9, "ef"),
    ):
        assert WalkPlace.of(place.text()) == place
    with pytest.raises(ProtocolError):
        WalkPlace(DAY, key="a b").text()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "20261124 1 0",
        "20261124   x 0 0   ",
        "20261199   1 0 0   ",
        "20261124   1 0 0 a b c d",
        "20261124 x  1 0 0   ",
        "20261124   1 0 x   ",
    ],
)
def test_another_text_is_no_place(text: str) -> None:
    with pytest.raises(ProtocolError):
        WalkPlace.of(text)


def test_entries_of_one_key_are_counted_over_the_page_s_end() -> None:
    first = WalkPlace(DAY).counted([line("a"), line("b"), line("b", 1)])
    then = WalkPlace(DAY).onward(first, 5)
    assert then is not None
    assert [one.occurrence for one in first] == [0, 0, 1]
    assert [one.occurrence for one in then.counted([line("b", 2), line("a")])] == [2, 0]
    assert (then.number, then.day) == (4, DAY)


def test_a_leg_keeps_its_last_day_and_its_kind() -> None:
    place = WalkPlace(DAY, last=date(2026, 11, 26), kind="2002")
    then = place.onward(place.counted([line("a")]), 2)
    assert then is not None
    assert (then.day, then.last, then.kind, then.number) == (DAY, date(2026, 11, 26), "2002", 2)
    assert (place.begun, then.begun) == (False, True)


def test_the_walk_ends_with_the_total() -> None:
    assert WalkPlace(DAY).onward([line("a")], 1) is None
    assert WalkPlace(DAY).onward([], 0) is None
    assert WalkPlace(DAY, 4).onward([line("a")], 3) is None


def test_a_bank_that_tells_nothing_or_the_same_again_is_found_out() -> None:
    page = [line("a"), line("b")]
    then = WalkPlace(DAY).onward(page, 9)
    assert then is not None
    for lines in ([], page):
        with pytest.raises(ProtocolError) as caught:
            then.onward(then.counted(lines), 9)
        assert caught.value.reason == "paging"
    assert then.onward(then.counted([line("a", 5), line("b", 6)]), 9) is not None


def test_entries_that_a_growing_list_moved_to_the_next_page_are_told_once() -> None:
    """In a list with the newest entry first, new entries move old ones to later pages; in a list with the oldest first,
    they only come at the end."""
    then = WalkPlace(DAY).onward(WalkPlace(DAY).counted([line("d", 4), line("c", 3)]), 4)
    assert then is not None and then.total == 4
    assert then.told_again([line("b", 2), line("a", 1)], 4) == 0
    assert then.told_again([line("c", 3), line("b", 2)], 5) == 1
    assert then.told_again([line("d", 4), line("c", 3)], 6) == 2
    assert then.told_again([line("e", 5), line("f", 6)], 6) == 0, "they were added at the end"
    assert then.told_again([line("c", 9), line("e", 5)], 5) == 0, "another entry of the same number"


def test_where_nobody_can_tell_whether_an_entry_came_twice_the_walk_begins_again() -> None:
    then = WalkPlace(DAY).onward(WalkPlace(DAY).counted([line("d", 4), line("c", 3)]), 4)
    bare = WalkPlace(DAY).onward([replace(line("c"), balance=None)], 4)
    assert then is not None and bare is not None
    for place, lines, total in (
        (then, [line("b", 2)], 3),
        (then, [line("b", 2), line("c", 3)], 5),
        (then, [line("c", 3), line("c", 3)], 5),
        (bare, [replace(line("c"), balance=None)], 5),
    ):
        with pytest.raises(ProtocolError) as caught:
            place.told_again(lines, total)
        assert caught.value.reason == "paging"


def test_a_walk_is_entered_at_its_beginning_or_where_its_cursor_says() -> None:
    begun = entered(None, "q", lambda: "here")
    assert begun == PageCursor("here", 1, "q")
    gone_on = begun.then("there")
    assert entered(gone_on.encode(), "q", lambda: "here") == gone_on
    with pytest.raises(ProtocolError):
        entered(gone_on.encode(), "another question", lambda: "here")


# ---- keys with direction and amount ----------------------------------------------------------------------------------


def keyed(number: str, minor: int, direction: Direction = Direction.DEBIT) -> Line:
    key = line_key(DAY, (number, ""), direction, minor, DAY)
    return Line(AccountNumber("0000000000000000017"), key, direction, Money(minor), DAY)


def test_entries_of_one_number_have_keys_of_their_own_whichever_is_told_first() -> None:
    three = [keyed("7", 101), keyed("7", 101, Direction.CREDIT), keyed("7", 150)]
    names = [{one.bank_line_id for one in counted(some)} for some in (three, three[::-1])]
    assert names[0] == names[1] and len(names[0]) == 3
    assert {number_of(one) for one in names[0]} == {number_of(keyed("7", 1).bank_line_id)}


def test_entries_of_days_before_the_change_keep_their_keys() -> None:
    assert line_key(DAY, ("7", "", "1"), Direction.DEBIT, 101, DAY + timedelta(days=1)) == f"{DAY:%Y%m%d}-7-1"
    assert number_of(f"{DAY:%Y%m%d}-7-1") == f"{DAY:%Y%m%d}-7-1"


@pytest.mark.parametrize("size", [1, 2, 3])
def test_alike_entries_with_another_between_them_are_counted_over_the_page_s_end(size: int) -> None:
    lines = [keyed("6", 101), keyed("7", 101), keyed("7", 150), keyed("7", 101), keyed("7", 150), keyed("7", 101)]
    lines = [replace(one, text=f"{place}") for place, one in enumerate(lines)]
    whole = counted(lines)
    place, found = WalkPlace(DAY), list[Line]()
    for start in range(0, len(lines), size):
        page = place.counted(lines[start : start + size])
        found += page
        following = place.onward(page, len(lines))
        place = place if following is None else WalkPlace.of(following.text())
    assert tuple(found) == whole
    assert len({(one.bank_line_id, one.occurrence) for one in found}) == len(lines)
