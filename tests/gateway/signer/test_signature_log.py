"""The signer's log: what was written is read again, and nothing can be altered, removed or put in between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.control.offline.signature_log import (
    LoggedSignature,
    PaymentSignature,
    QuestionSignature,
    SignatureLog,
    SignatureLogBroken,
    read_signatures,
)
from gateway.kernel.sql.vault import Vault
from tests.gateway.kernel.bench import NOW_MS, vault

PAYMENT = PaymentSignature(NOW_MS, "op_order", "op.main", "KX 1/%", 1, "payment", "CNY", 100, "c" * 64, "o" * 64)
QUESTION = QuestionSignature(NOW_MS + 1, "op_order", "op.main", "Ping", "o" * 64)
DAY_MS = 86_400_000


def write(folder: Path, *signatures: LoggedSignature) -> None:
    log = SignatureLog(folder, vault())
    for one in signatures:
        log.append([one], durable=True)
    log.close()


def read(folder: Path, keys: Vault | None = None, since_ms: int = 0) -> list[LoggedSignature]:
    return list(read_signatures(folder, keys or vault(), since_ms))


def test_what_was_written_is_read_again_over_days_and_restarts(tmp_path: Path) -> None:
    later = replace(QUESTION, at_ms=NOW_MS + DAY_MS)
    write(tmp_path, PAYMENT, QUESTION)
    write(tmp_path, later, PAYMENT)
    write(tmp_path, PAYMENT)
    assert read(tmp_path) == [PAYMENT, QUESTION, later, PAYMENT, PAYMENT]
    assert len(list(tmp_path.glob("*.log"))) == 2
    assert read(tmp_path, since_ms=NOW_MS + DAY_MS) == [later, PAYMENT, PAYMENT]


def test_every_change_of_a_line_is_found(tmp_path: Path) -> None:
    write(tmp_path, PAYMENT, QUESTION, PAYMENT)
    [path] = tmp_path.glob("*.log")
    lines = path.read_bytes().splitlines(keepends=True)
    for changed in (
        [lines[0], lines[1].replace(b"CNY 100 ", b"CNY 900 "), *lines[2:]],
        [lines[0], *lines[2:]],
        lines[1:],
        [lines[0], lines[2], lines[1], lines[3]],
        [*lines[:2], lines[1], *lines[2:]],
        [lines[0].replace(b"H ", b"X "), *lines[1:]],
    ):
        path.write_bytes(b"".join(changed))
        with pytest.raises(SignatureLogBroken, match="altered"):
            read(tmp_path)
        with pytest.raises(SignatureLogBroken):
            SignatureLog(tmp_path, vault())


def test_a_file_in_the_middle_cannot_be_removed(tmp_path: Path) -> None:
    write(tmp_path, *(replace(PAYMENT, at_ms=NOW_MS + day * DAY_MS) for day in range(3)))
    sorted(tmp_path.glob("*.log"))[1].unlink()
    with pytest.raises(SignatureLogBroken):
        read(tmp_path)


def test_another_key_does_not_open_it(tmp_path: Path) -> None:
    write(tmp_path, PAYMENT)
    with pytest.raises(SignatureLogBroken, match="another vault key"):
        read(tmp_path, Vault({"k1": b"x" * 32}, "k1"))


@pytest.mark.parametrize("kept", [0, 5, 60])
def test_a_line_that_a_crash_cut_short_is_left_out(kept: int, tmp_path: Path) -> None:
    write(tmp_path, PAYMENT, replace(PAYMENT, at_ms=NOW_MS + DAY_MS))
    last = sorted(tmp_path.glob("*.log"))[-1]
    last.write_bytes(last.read_bytes()[:kept])
    again = replace(QUESTION, at_ms=NOW_MS + DAY_MS)
    write(tmp_path, again)
    assert read(tmp_path) == [PAYMENT, again]
