"""The ring keeps the newest records within its size, survives a killed process, and shows nothing without its key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.bank.exchange_ring import ExchangeRing
from gateway.kernel.sql.vault import Vault

KEY = b"k" * 32


def vault(name: str = "v1", key: bytes = KEY) -> Vault:
    return Vault({name: key}, name)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.ring"))


def test_records_come_back_in_their_order_with_their_numbers(tmp_path: Path) -> None:
    ring = ExchangeRing(tmp_path, "sample.main", 65_536, vault())
    for text in (b"one", b"", b"three"):
        ring.append(text)
    assert list(ring.records_after()) == [(1, b"one"), (2, b""), (3, b"three")]
    assert list(ring.records_after(after=2)) == [(3, b"three")] and ring.last == 3


def test_it_never_grows_over_its_size_and_keeps_at_least_half(tmp_path: Path) -> None:
    ring = ExchangeRing(tmp_path, "sample.main", 20_000, vault())
    for number in range(500):
        ring.append(b"%d" % number + b"x" * 100)
        assert sum(one.stat().st_size for one in files(tmp_path)) <= 20_000
    kept = list(ring.records_after())
    assert [number for number, _ in kept] == list(range(kept[0][0], 501))
    each = 12 + 29 + 16 + 103
    assert len(kept) >= 10_000 // each - 1


def test_what_stood_there_before_is_never_taken_for_a_record(tmp_path: Path) -> None:
    ring = ExchangeRing(tmp_path, "sample.main", 4_000, vault())
    for number in range(1, 200):
        ring.append(b"x" * (number * 7 % 50))
        again = [found for found, _record in ExchangeRing(tmp_path, "sample.main", 4_000, vault()).records_after()]
        assert again == list(range(again[0], number + 1))


def test_the_next_life_goes_on_behind_the_last_record(tmp_path: Path) -> None:
    first = ExchangeRing(tmp_path, "sample.main", 4_000, vault())
    for _ in range(30):
        first.append(b"x" * 200)
    before = list(first.records_after())
    # It is not closed: a killed process closes nothing.
    second = ExchangeRing(tmp_path, "sample.main", 4_000, vault())
    assert list(second.records_after()) == before
    second.append(b"after")
    assert list(second.records_after())[-1] == (31, b"after")


def test_a_record_that_was_not_written_whole_is_cut_off(tmp_path: Path) -> None:
    ring = ExchangeRing(tmp_path, "sample.main", 65_536, vault())
    for text in (b"one", b"two"):
        ring.append(text)
    path = files(tmp_path)[0]
    os.truncate(path, path.stat().st_size - 5)
    again = ExchangeRing(tmp_path, "sample.main", 65_536, vault())
    again.append(b"new")
    assert list(again.records_after()) == [(1, b"one"), (2, b"new")]


def test_bytes_on_the_disk_are_sealed_and_bound_to_lane_and_number(tmp_path: Path) -> None:
    ring = ExchangeRing(tmp_path, "sample.main", 65_536, vault())
    ring.append(b"0000123456789012345")
    octets = files(tmp_path)[0].read_bytes()
    assert b"0000123456789012345" not in octets
    assert files(tmp_path)[0].stat().st_mode & 0o777 == 0o600
    (tmp_path / "other.main.0.ring").write_bytes(octets)
    assert list(ExchangeRing(tmp_path, "other.main", 65_536, vault()).records_after()) == []
    assert list(ExchangeRing(tmp_path, "sample.main", 65_536, vault(key=b"z" * 32)).records_after()) == []


def test_a_full_disk_loses_the_record_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = ExchangeRing(tmp_path, "sample.main", 65_536, vault())
    ring.append(b"one")
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: whole(file, data[:7], at))
    ring.append(b"lost")
    monkeypatch.undo()
    ring.append(b"three")
    assert [record for _number, record in ring.records_after()] == [b"one", b"three"]


def test_a_record_larger_than_half_is_left_out(tmp_path: Path) -> None:
    ring = ExchangeRing(tmp_path, "sample.main", 2_000, vault())
    ring.append(b"x" * 1_200)
    ring.append(b"small")
    assert [record for _number, record in ring.records_after()] == [b"small"]
