"""The alarms before a certificate expires: each is raised once at its threshold, also across restarts."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry

from gateway.kernel.meters import Meters
from gateway.watch.certificate_alarms import CRL_DAYS, DAYS, FILE, CertificateAlarms

DAY = 86_400
END = 1_000 * DAY
CLIENT = {("pab", "client"): float(END)}


def rung(meters: Meters) -> float:
    return meters.registry.get_sample_value("bankgw_alarms_total", {"alarm": "certificate_ends"}) or 0.0


def test_each_threshold_rings_once_day_by_day_with_a_restart_every_day(tmp_path: Path) -> None:
    meters, days = Meters(CollectorRegistry()), []
    for left in range(60, -3, -1):
        before = rung(meters)
        alarms = CertificateAlarms(meters, tmp_path)
        for _look in range(3):
            alarms.tell_ending(CLIENT, END - left * DAY)
        if rung(meters) > before:
            assert rung(meters) == before + 1
            days.append(left)
    assert tuple(days) == DAYS


def test_what_was_away_for_weeks_rings_once_for_all_it_missed(tmp_path: Path) -> None:
    meters = Meters(CollectorRegistry())
    CertificateAlarms(meters, tmp_path).tell_ending(CLIENT, END - 5 * DAY)
    assert rung(meters) == 1
    CertificateAlarms(meters, tmp_path).tell_ending(CLIENT, END - 4 * DAY)
    assert rung(meters) == 1
    CertificateAlarms(meters, tmp_path).tell_ending(CLIENT, END - 3 * DAY)
    assert rung(meters) == 2


def test_a_new_certificate_begins_anew_and_the_old_one_is_forgotten(tmp_path: Path) -> None:
    meters = Meters(CollectorRegistry())
    alarms = CertificateAlarms(meters, tmp_path)
    alarms.tell_ending(CLIENT, END - 2 * DAY)
    alarms.tell_ending({("pab", "client"): float(END + 700 * DAY)}, END - DAY)
    assert rung(meters) == 1 and (tmp_path / FILE).read_text() == "{}"
    alarms.tell_ending({("pab", "client"): float(END + 700 * DAY)}, END + 660 * DAY)
    assert rung(meters) == 2


def test_of_a_revocation_list_only_the_last_days_count(tmp_path: Path) -> None:
    meters, days = Meters(CollectorRegistry()), []
    for left in range(60, -1, -1):
        before = rung(meters)
        CertificateAlarms(meters, tmp_path).tell_ending({("pab", "crl"): float(END)}, END - left * DAY)
        days += [left] if rung(meters) > before else []
    assert tuple(days) == CRL_DAYS


def test_a_broken_note_is_no_fault(tmp_path: Path) -> None:
    for text in ("", "[]", '{"a": "b"}', "nonsense"):
        (tmp_path / FILE).write_text(text)
        meters = Meters(CollectorRegistry())
        CertificateAlarms(meters, tmp_path).tell_ending(CLIENT, END - 2 * DAY)
        assert rung(meters) == 1
    CertificateAlarms(Meters(CollectorRegistry()), None).tell_ending(CLIENT, END)
