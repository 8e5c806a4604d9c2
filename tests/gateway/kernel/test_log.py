"""The log: one JSON object per line, and no account number in it, however the line was made."""

from __future__ import annotations

import io
import json
import logging
import random
import re
from collections.abc import Callable, Iterator
from threading import Thread

import pytest
import structlog
from twisted.logger import LogLevel, formatEvent
from twisted.python.failure import Failure

from gateway.kernel import log
from protocols.canon.party import AccountNumber, Name


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, object]]]]:
    stream = io.StringIO()
    log.start("info", stream, bridge_twisted=False)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    structlog.reset_defaults()


def numbers(seed: int, count: int) -> list[str]:
    source = random.Random(seed)
    return ["".join(source.choices("0123456789", k=source.randint(12, 32))) for _ in range(count)]


WAYS = (
    "account {}",
    "account={}",
    "'{}'",
    '{{"account": "{}"}}',
    "<AcctNo>{}</AcctNo>",
    "账号{}付款",
    "[{}]",
    "{}",
    "({},)",
    "a/{}/b",
    "x: {}.",
    "\t{}\n",
)


@pytest.mark.parametrize("way", WAYS)
def test_numbers_are_masked_whatever_is_round_them(way: str) -> None:
    for number in numbers(20261124, 300):
        shown = log.masked(way.format(number))
        assert number not in shown
        # At most the first six and the last four stay.
        assert not re.search(r"[0-9]{7,}", shown), shown
        assert re.sub(r"[0-9*]", "", shown) == re.sub(r"[0-9]", "", way.format(number))


def test_long_numbers_are_masked_even_inside_words() -> None:
    for number in numbers(7, 300):
        if len(number) >= 15:
            for way in ("ACCT{}", "{}X", "acct-{}", "v1.{}", "_{}_"):
                assert number not in log.masked(way.format(number))


def test_numbers_in_groups_are_masked() -> None:
    source = random.Random(3)
    for _ in range(200):
        groups = ["".join(source.choices("0123456789", k=4)) for _ in range(source.choice([3, 4, 5]))]
        for mark in (" ", "-"):
            assert mark.join(groups) not in log.masked(f"card {mark.join(groups)} refused")


@pytest.mark.parametrize(
    "kept",
    [
        "01M8768RDZZ1PBXYBEY0X4ZV58",
        "01a20e64-640d-7042-9cfa-f3e3db771fa7",
        "2026-11-24T16:31:37.823Z",
        "192.0.2.10:5672",
        "12345.67",
        "0.123456789012",
        "took 1795537904 ms",
        "2026-11-24 16:31:37",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-01",
    ],
)
def test_ids_times_and_amounts_stay(kept: str) -> None:
    assert log.masked(kept) == kept


def test_a_line_is_one_json_object(lines: Callable[[], list[dict[str, object]]]) -> None:
    log.get("test").info("payment.settled", payment="01M8768RDZZ1PBXYBEY0X4ZV58", order="AP-1", correlation_id="c-1\n2")
    (line,) = lines()
    assert line["event"] == "payment.settled"
    assert line["part"] == "test"
    assert line["level"] == "info"
    assert (line["payment"], line["order"], line["correlation_id"]) == ("01M8768RDZZ1PBXYBEY0X4ZV58", "AP-1", "c-1\n2")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:.]+Z", str(line["ts"]))


def test_every_way_into_a_line_is_masked(lines: Callable[[], list[dict[str, object]]]) -> None:
    number = "0000000000000000017"
    logger = log.get("test")
    logger.info("one", account=AccountNumber(number), name=Name("示例甲公司"), text=f"to {number}", many=[number])
    structlog.contextvars.bind_contextvars(bound=number)
    try:
        raise ValueError(f"account {number} is closed")
    except ValueError as error:
        logger.error(f"two {number}", error=error, exc_info=error)
    finally:
        structlog.contextvars.clear_contextvars()
    log._Bridge(log.get("twisted"))(
        {"log_level": LogLevel.warn, "log_format": "cannot pay {number}", "number": number, "log_namespace": "x"}
    )
    log._Bridge(log.get("twisted"))(
        {"log_level": LogLevel.critical, "log_format": "lost", "log_failure": Failure(ValueError(number))}
    )
    said = json.dumps(lines(), ensure_ascii=False)
    assert len(lines()) == 4
    assert number not in said
    assert "示例甲公司" not in said
    assert "000000*********0017" in said
    assert formatEvent({"log_format": "x", "log_namespace": "x"}) == "x"


def test_what_a_library_says_is_a_line_too_and_once() -> None:
    log.start("info", io.StringIO(), bridge_twisted=False)
    log.start("info", stream := io.StringIO(), bridge_twisted=False)
    logging.getLogger("psycopg").warning("the connection of %s is lost", "0000000000000042")
    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["level"], line["event"], line["source"]) for line in said] == [("warning", "library", "psycopg")]
    assert "the connection of" in str(said[0]["text"]) and "0000000000000042" not in str(said[0]["text"])


def test_a_long_text_keeps_its_end(lines: Callable[[], list[dict[str, object]]]) -> None:
    log.get("test").error("broken", error="start " + "x" * 10_000 + " what went wrong")
    (line,) = lines()
    text = str(line["error"])
    assert text.startswith("start ")
    assert text.endswith("what went wrong")
    assert len(text) < log.MAX_TEXT + 10


def test_levels_below_are_not_written(lines: Callable[[], list[dict[str, object]]]) -> None:
    log.get("test").debug("quiet")
    assert lines() == []


def test_priorities_of_the_journal() -> None:
    stream = io.StringIO()
    log.start("debug", stream, bridge_twisted=False, priorities=True)
    logger = log.get("test")
    logger.debug("a")
    logger.info("b")
    logger.warning("c")
    logger.error("d")
    structlog.reset_defaults()
    said = stream.getvalue().splitlines()
    assert [line[:3] for line in said] == ["<7>", "<6>", "<4>", "<3>"]
    assert [json.loads(line[3:])["event"] for line in said] == ["a", "b", "c", "d"]


class CountingStream(io.StringIO):
    """A stream that records each call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def write(self, text: str) -> int:
        self.calls.append(text)
        return super().write(text)


def test_lines_of_a_block_are_written_by_one_call_when_it_ends_even_by_an_error() -> None:
    stream = CountingStream()
    log.start("info", stream, bridge_twisted=False)
    logger = log.get("test")

    def events() -> list[list[str]]:
        return [[json.loads(line)["event"] for line in call.splitlines()] for call in stream.calls]

    def says_two_and_fails() -> None:
        with log.together():
            logger.info("one")
            with log.together():
                logger.info("two")
            other = Thread(target=lambda: logger.info("from another thread"))
            other.start()
            other.join()
            assert events() == [["from another thread"]]
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        says_two_and_fails()
    logger.info("three")
    assert events() == [["from another thread"], ["one", "two"], ["three"]]
    structlog.reset_defaults()


def test_without_a_stream_of_ours_a_block_is_nothing() -> None:
    with log.together():
        pass
