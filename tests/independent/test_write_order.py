"""The order of system calls: for each payment the journal and the permit log are on disk before the bank's socket gets
a byte.

strace writes down every write and sync of the running daemon, in order. The daemon's own word counts for nothing here.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pika
import pytest

from tests.independent.site import Running, not_to_be_had, program, until

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]
PAYMENTS = 12
_CALL = re.compile(r"^(?P<pid>[0-9]+) +(?P<name>[a-z0-9]+)\((?P<rest>.*)$")
_RESUMED = re.compile(r"^(?P<pid>[0-9]+) +<\.\.\. (?P<name>[a-z0-9]+) resumed>")
_WRITES = "write,pwrite64,writev,pwritev,sendto,sendmsg,send"


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that ended: its name and its target, as strace prints them."""

    name: str
    about: str


def calls(trace: str) -> Iterator[Call]:
    """The calls in the order in which syncs ended and writes began, which is the strictest order for both."""
    begun: dict[tuple[str, str], str] = {}
    for line in trace.splitlines():
        if found := _CALL.match(line):
            unfinished = found["rest"].endswith("<unfinished ...>")
            if unfinished and found["name"] in ("fdatasync", "fsync"):
                begun[found["pid"], found["name"]] = found["rest"]
            else:
                yield Call(found["name"], found["rest"])
        elif (found := _RESUMED.match(line)) and (about := begun.pop((found["pid"], found["name"]), None)):
            yield Call(found["name"], about)


@contextmanager
def traced(pid: int, file: Path) -> Iterator[None]:
    """strace on a running process."""
    command = [
        program("strace"),
        "-f",
        "-yy",
        "-s",
        "200",
        "-p",
        str(pid),
        "-e",
        f"trace={_WRITES},fdatasync,fsync",
        "-o",
        str(file),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        first = strace.stderr.readline()
        if "attached" not in first:
            strace.kill()
            not_to_be_had(f"strace may not look at our own daemon here: {first}")
        try:
            yield
        finally:
            strace.terminate()


def pay(channel: pika.adapters.blocking_connection.BlockingChannel, site: Running, number: int) -> None:
    body = {
        "id": f"ORDER-OF-WRITES-{number}",
        "debtor": {"account": site.account("sample"), "name": "示例甲公司"},
        "creditor": {"account": f"00000000000000{number:05d}", "name": "示例乙公司", "bank_name": "示例银行"},
        "amount": f"{number}.01",
        "currency": "CNY",
    }
    properties = pika.BasicProperties(user_id=site.erp.user, content_type="application/json", delivery_mode=2)
    channel.basic_publish("bankgw.commands", "payment.submit", json.dumps(body).encode(), properties)


def judged(trace: str, bank_port: int) -> list[str]:
    """The payments in the order in which their bytes were sent. Fails at the first byte that was sent too early."""
    wal = permits = False
    written: list[str] = []
    synced: list[str] = []
    left: list[str] = []
    for call in calls(trace):
        if call.name in ("fdatasync", "fsync"):
            wal = wal or "journal" in call.about
            if "permits" in call.about:
                assert wal, "the permit log was synced before the journal"
                permits, synced = True, synced + written
                written = []
        elif "permits" in call.about:
            assert wal, f"a permit was written before the journal was on disk: {call}"
            written += re.findall(r"sample[^ /]*/([0-9A-Z]+) [0-9]+ [0-9]+", call.about)
        elif f":{bank_port}]" in call.about:
            assert permits and synced, f"a byte left for the bank before its permit was on disk: {call}"
            left.append(synced.pop(0))
            wal = bool(synced)
    assert not synced and not written, "a permit without its message"
    return left


def test_nothing_leaves_before_it_is_on_disk(site: Running, tmp_path: Path) -> None:
    program("strace")
    port = json.loads(site.site.ready_file("sample").read_text("utf-8"))["ports"]["business"]
    pid = site.daemon.pid
    assert pid is not None
    parameters = pika.URLParameters(site.url)
    before = len(site.booked("sample"))
    with traced(pid, tmp_path / "trace"), pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        for number in range(1, PAYMENTS + 1):
            pay(channel, site, number)
            # One payment at a time, so that each record on the bank's socket belongs to one.
            until(lambda: len(site.booked("sample")) == before + number, 30, f"payment {number} is booked")  # noqa: B023
            time.sleep(0.05)
    left = judged((tmp_path / "trace").read_text("utf-8", "replace"), port)
    booked = [one["reference"] for one in site.booked("sample")][before:]
    assert left == booked and len(set(left)) == PAYMENTS


def test_a_trace_in_another_order_is_noticed() -> None:
    good = [
        '7 pwrite64(5</x/journal.db-wal>, "…", 4096, 0) = 4096',
        "7 fdatasync(5</x/journal.db-wal>) = 0",
        '7 write(6</x/permits.log>, "sample.demo/ABC 1 1 00000000\\n", 30) = 30',
        "7 fdatasync(6</x/permits.log> <unfinished ...>",
        "7 <... fdatasync resumed>) = 0",
        '8 sendto(9<TCP:[127.0.0.1:1->127.0.0.1:99]>, "…", 9, 0, NULL, 0) = 9',
    ]
    assert judged("\n".join(good), 99) == ["ABC"]
    for early in (0, 1, 2, 3, 4):
        bad = [*good[:early], good[5], *good[early:5]]
        with pytest.raises(AssertionError):
            judged("\n".join(bad), 99)
