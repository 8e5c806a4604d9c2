"""A journal altered by SQL while the daemon runs: the attacks that were once successful, and a few hundred random
alterations."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.world import living_tampering, sim
from tests.world.living_story import BIG_MINOR, HALF_MINOR, PART_MINOR, Acts, LivingStory, Site, Verdict
from tests.world.living_tampering import altered, played
from tests.world.tamper_rows import Alteration, Statement

MOST_CPU_S = 20.0


@pytest.fixture(scope="module")
def begun() -> Iterator[LivingStory]:
    """One node's life at the last of its moments."""
    sim.quiet()
    with living_tampering.living(1, Site.ONE) as moments:
        yield [*moments][-1]


def by_sql(story: LivingStory, *statements: Statement) -> Callable[[], object]:
    """The act of making these statements, which must change a row."""

    def alter() -> None:
        assert altered(story, Alteration("by hand", "by hand", "", statements)), "nothing was changed"

    return alter


def tell(story: LivingStory, acts: Callable[[LivingStory], Acts]) -> Verdict:
    found = played(story, acts)
    assert found.wrong == []
    return found


def test_a_story_without_alterations_shows_no_sign(begun: LivingStory) -> None:
    found = living_tampering.heard(begun, "calm", [])
    assert (found.wrong, found.signs, found.ended, found.halted) == ([], [], 0, 0)


def test_a_policy_that_is_deleted_and_hidden_still_asks_two_approvers(begun: LivingStory) -> None:
    def acts(story: LivingStory) -> Acts:
        newest_gone = by_sql(
            story,
            ("delete from approval_policies where version = 2", ()),
            (
                "delete from audit where entry = 'register.written' and object_id = 'row:approval_policies' and seq = (select "
                "max(seq) from audit where object_id = 'row:approval_policies')",
                (),
            ),
        )
        return [
            (0.5, newest_gone),
            (1.0, partial(story.give, "big", BIG_MINOR, 2)),
            (3.0, partial(story.approve, "ann")),
        ]

    assert any("approval_policies" in one for one in tell(begun, acts).signs)


def test_a_cancelled_order_put_back_without_its_end_is_not_sent(begun: LivingStory) -> None:
    def acts(story: LivingStory) -> Acts:
        [(payment,)] = story.world.query("select payment from payments where order_id = ?", "mid-later-0")
        with closing(sqlite3.connect(story.older[-2])) as db:
            found = db.execute("select * from payments where payment = ?", (payment,))
            state = [one[0] for one in found.description].index("state")
            row = found.fetchone()
            work = db.execute("select * from work where payment = ? and kind = 'send'", (payment,)).fetchone()
        assert row[state] == "ready"
        return [
            (
                0.5,
                by_sql(
                    story,
                    (f"replace into payments values ({', '.join('?' * len(row))})", row),
                    (f"replace into work values ({', '.join('?' * len(work))})", work),
                    ("delete from audit where object_id = ? and entry = 'payment.cancel'", (payment,)),
                ),
            ),
            (1.0, partial(story.give, "small", 12_345, 0)),
            (12.0, lambda: None),
        ]

    tell(begun, acts)


def test_a_deleted_request_is_asked_again_with_what_it_needed(begun: LivingStory) -> None:
    def acts(story: LivingStory) -> Acts:
        return [
            (0.5, partial(story.halves, "new-alike", 1)),
            (2.0, by_sql(story, ("delete from approval_requests where subject = 'new-alike-half-2'", ()))),
            (3.0, partial(story.release, "new-alike-half-2")),
            (5.0, partial(story.approve, "ann")),
        ]

    tell(begun, acts)


def test_a_malformed_row_of_pauses_stops_no_pause(begun: LivingStory) -> None:
    def acts(story: LivingStory) -> Acts:
        malformed = by_sql(story, ("replace into meta (name, value) values ('pauses', ?)", ('{"x": 5}',)))
        return [(0.5, malformed), (1.0, partial(story.pause, "a")), (9.0, partial(story.give, "on-a", 12_345, 0))]

    tell(begun, acts)


def test_a_barred_person_whose_row_is_deleted_stays_barred(begun: LivingStory) -> None:
    def acts(story: LivingStory) -> Acts:
        return [
            (0.2, partial(story.give, "big", BIG_MINOR, 2)),
            (2.0, by_sql(story, ("delete from meta where name = 'barred.gw1'", ()))),
            (3.0, partial(story.approve, "bar")),
        ]

    tell(begun, acts)


def test_sums_of_makers_that_are_deleted_count_after_the_next_start(begun: LivingStory) -> None:
    def acts(story: LivingStory) -> Acts:
        def again() -> None:
            story.world.crash()
            story.world.start()

        return [
            (0.5, by_sql(story, ("delete from usage_counts where scope = 'maker'", ()))),
            (1.0, again),
            (4.0, partial(story.give, "mid-half-3", HALF_MINOR + 3, 2, group="mid-half")),
        ]

    tell(begun, acts)


def test_sums_of_the_day_that_are_deleted_free_no_limit(begun: LivingStory) -> None:
    def acts(story: LivingStory) -> Acts:
        return [
            (0.5, by_sql(story, ("delete from usage_counts", ()))),
            (1.0, partial(story.give, "branch-2", PART_MINOR, 5, user="branch-user")),
            (2.0, by_sql(story, ("update usage_counts set sum_minor = 0", ()))),
            (3.0, partial(story.give, "branch-3", PART_MINOR, 5, user="branch-user")),
            (4.0, partial(story.give, "mid-half-3", HALF_MINOR + 3, 2, group="mid-half")),
        ]

    assert "altered: usage_counts/branch/sender" in tell(begun, acts).signs


def test_an_order_that_was_paid_and_deleted_is_not_paid_again_when_its_erp_gives_it_again(begun: LivingStory) -> None:
    def acts(story: LivingStory) -> Acts:
        [(payment,)] = story.world.query("select payment from payments where order_id = ?", "mid-0")
        every = [
            (f"delete from {table} where payment = ?", (payment,))
            for table in ("attempts", "work", "outbox", "evidence", "payments")
        ]
        return [
            (0.5, by_sql(story, *every, ("delete from audit where object_id = ?", (payment,)))),
            (1.0, partial(story.world.again, "mid-0", fresh=True)),
            (3.0, partial(story.give, "small", 12_345, 1)),
        ]

    assert "altered: payments/kingdee/mid-0" in tell(begun, acts).signs


def test_the_journal_of_the_parent_stays_as_it_is(begun: LivingStory) -> None:
    before = {file: file.read_bytes() for file in Path(begun.world.folder).rglob("*") if file.is_file()}
    played(begun, lambda story: [(0.5, partial(story.give, "small", 12_345, 0))])
    assert {file: file.read_bytes() for file in Path(begun.world.folder).rglob("*") if file.is_file()} == before
    assert not begun.world.query("select 1 from payments where order_id = ?", "small")


def test_a_few_hundred_alterations_of_a_living_journal() -> None:
    sim.quiet()
    began = os.times()
    found = living_tampering.run(144, 7)
    ended = os.times()
    assert found.wrong == [], found.line()
    assert found.went_on >= living_tampering.LEAST_GOING_ON * found.stories, found.line()
    assert found.taken >= 0.8 * found.drawn, found.line()
    assert sum(ended[:4]) - sum(began[:4]) < MOST_CPU_S, found.line()
