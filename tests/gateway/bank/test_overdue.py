"""An answer is overdue by what the lane is used to; the trouble names the payment and since when."""

from __future__ import annotations

from gateway.bank.answer_times import LEAST_S, UNKNOWN_S, AnswerTimes


def test_the_limit_follows_the_slowest_of_the_last_answers() -> None:
    times = AnswerTimes()
    assert times.limit_s(60.0) == UNKNOWN_S and times.limit_s(6.0) == 3.0
    times.note(0.1)
    assert times.limit_s(60.0) == LEAST_S
    times.note(9.0)
    assert times.limit_s(60.0) == 27.0 and times.limit_s(30.0) == 15.0
    for _ in range(200):
        times.note(2.0)
    assert times.limit_s(60.0) == 6.0
