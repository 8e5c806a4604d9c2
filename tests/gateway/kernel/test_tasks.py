"""A job that runs for ever continues after an error in one round, and stops when it must."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred

from gateway.kernel.tasks import attempt


class DatabaseAway(Exception):
    """The database cannot be read any more."""


def round_of(error: Exception) -> tuple[BaseException | None, list[str]]:
    """One round that raises this error: its result, and the reported defect."""
    told: list[str] = []
    raised: list[BaseException] = []

    async def act() -> None:
        raise error

    async def job() -> None:
        try:
            await attempt(act, told.append, ends=DatabaseAway)
        except (DatabaseAway, CancelledError) as out:
            raised.append(out)

    Deferred.fromCoroutine(job())
    return raised[0] if raised else None, told


def test_an_unexpected_error_is_told_with_its_place_and_the_next_round_comes() -> None:
    raised, [told] = round_of(KeyError("a row"))
    assert raised is None
    assert "KeyError" in told and "test_tasks.py" in told


@pytest.mark.parametrize("error", [DatabaseAway(), CancelledError()])
def test_cancellation_and_what_ends_the_job_come_out(error: Exception) -> None:
    assert round_of(error) == (error, [])
