"""The ends of passwords and UKeys, by the settings of a lane."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from gateway.bank.credential_expiry import credential_ends
from gateway.settings import read_settings
from tests.gateway.cli import site as sites


def test_a_credential_ends_with_its_last_day_in_the_zone_of_the_settings(tmp_path: Path) -> None:
    site = sites.make(tmp_path / "site")
    before = read_settings(site.settings).settings
    assert credential_ends(before) == {}
    (bank_name, bank), *_ = before.banks.items()
    (lane_name, lane), *_ = bank.lanes.items()
    lanes = {lane_name: lane.model_copy(update={"expires": {"ukey": date(2027, 6, 30)}})}
    banks = {bank_name: bank.model_copy(update={"lanes": lanes})}
    found = credential_ends(before.model_copy(update={"banks": banks, "zone": "Asia/Shanghai"}))
    # The first of July in Shanghai begins at 16:00 of the day before in UTC.
    assert found == {(f"{bank_name}.{lane_name}", "ukey"): datetime(2027, 6, 30, 16, tzinfo=UTC).timestamp()}
