"""The certificate files of the settings: they are listed and checked, and a new pair replaces an old one."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.bank.signers import read_certificates, read_private_key
from gateway.bank.tls import spki_pin
from gateway.control.offline.certificate_files import NotRotated, faults, listing, rotate, staged, undo
from gateway.settings import Settings
from gateway.simbank.pki import CLIENT_PURPOSE, Authority, new_key, write_certificates, write_key

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
PLACE = "banks.pab.lanes.main.tls"


@dataclass
class Site:
    folder: Path
    root: Authority
    settings: Settings

    def issue(
        self,
        name: str,
        begins: datetime = NOW - timedelta(days=1),
        days: int = 400,
        subject: str = "gateway",
        purpose: x509.ObjectIdentifier = CLIENT_PURPOSE,
    ) -> tuple[Path, Path]:
        key = new_key()
        made = self.root.issue(
            subject, key.public_key(), NOW, purpose=purpose, not_before=begins, not_after=begins + timedelta(days=days)
        )
        files = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        write_certificates(files[0], made)
        write_key(files[1], key)
        return files

    def shown(self) -> x509.Certificate:
        return read_certificates(self.folder / "now.pem")[0]


def of(folder: Path, pins: tuple[str, ...] = (), pushes: dict[str, object] | None = None) -> Settings:
    tls = {
        "ca_file": str(folder / "ca.pem"),
        "certificate": str(folder / "now.pem"),
        "key": {"file": str(folder / "now.key")},
        "pins": list(pins),
    }
    lane = {"host": "127.0.0.1", "ports": {"main": 1}, "tls": tls}
    return Settings.model_validate(
        {
            "state_dir": str(folder / "state"),
            "broker": {"password": {"file": "x"}},
            "journal": {"vault_key": {"file": "x"}},
            "banks": {"pab": {"protocol": "pab", "lanes": {"main": lane}, "pushes": pushes}},
        }
    )


@pytest.fixture
def site(tmp_path: Path) -> Site:
    root = Authority.root("bank root", NOW)
    made = Site(tmp_path, root, of(tmp_path))
    write_certificates(tmp_path / "ca.pem", root.certificate)
    made.issue("now", begins=NOW - timedelta(days=355), days=365)
    return made


def test_the_first_to_end_is_listed_first(site: Site) -> None:
    rows = listing(site.settings, NOW)
    assert [(one.role, one.days_left, one.place) for one in rows] == [("ca", 7, PLACE), ("client", 10, PLACE)]
    assert rows[1].pin == spki_pin(site.shown()) and rows[1].file.endswith("now.pem")


def test_what_ends_soon_and_a_lonely_pin_are_faults(site: Site) -> None:
    assert [(one.place, one.what.partition(": ")[2]) for one in faults(site.settings, NOW)] == [
        (PLACE, "CN=bank root ends in 7 days"),
        (PLACE, "CN=gateway ends in 10 days"),
    ]
    pin = spki_pin(site.shown())
    assert any("one pin" in one.what for one in faults(of(site.folder, (pin,)), NOW))
    assert not any("one pin" in one.what for one in faults(of(site.folder, (pin, "A" * 43 + "=")), NOW))
    assert any("expired" in one.what for one in faults(site.settings, NOW + timedelta(days=11)))


def test_a_new_pair_takes_the_place_and_the_old_one_comes_back(site: Site) -> None:
    old, fresh = site.shown(), site.issue("next")
    (site.folder / "now.key").chmod(0o640)
    done = rotate(site.settings, PLACE, *fresh, NOW)
    assert site.shown() == read_certificates(fresh[0])[0] and done.overlap_days == 10 and done.notes == ()
    assert read_private_key(site.folder / "now.key").public_key() == site.shown().public_key()
    assert stat.S_IMODE((site.folder / "now.key").stat().st_mode) == 0o640
    assert len(done.kept) == 2 and all(Path(one).exists() for one in done.kept)
    assert not list(site.folder.glob("*.new"))
    undo(site.settings, PLACE, NOW + timedelta(hours=1))
    assert site.shown() == old and read_private_key(site.folder / "now.key").public_key() == old.public_key()


def test_what_does_not_fit_changes_nothing(site: Site) -> None:
    old, fresh, other = site.shown(), site.issue("next"), site.issue("other")
    late = site.issue("late", begins=NOW + timedelta(days=3))
    over = site.issue("over", begins=NOW - timedelta(days=9), days=8)
    for pair, why in (
        ((fresh[0], other[1]), "does not belong"),
        (late, "rotate within that time"),
        (over, "does not include today"),
        ((site.folder / "now.pem", site.folder / "now.key"), "already"),
    ):
        with pytest.raises(NotRotated, match=why):
            rotate(site.settings, PLACE, *pair, NOW)
    with pytest.raises(NotRotated, match=r"they have banks\.pab\.lanes\.main\.tls"):
        rotate(site.settings, "banks.boc.lanes.main.tls", *fresh, NOW)
    with pytest.raises(NotRotated, match="no kept pair"):
        undo(site.settings, PLACE, NOW)
    assert site.shown() == old and not list(site.folder.glob("*before*"))


def test_another_subject_and_a_missing_overlap_are_noted(site: Site) -> None:
    fresh = site.issue("next", subject="someone else", days=900)
    done = rotate(site.settings, PLACE, *fresh, NOW + timedelta(days=20))
    assert done.overlap_days == 0 and len(done.notes) == 2
    assert "no overlap" in done.notes[0] and "registered" in done.notes[1]


def test_a_credential_is_replaced_elsewhere(site: Site) -> None:
    lane = site.settings.banks["pab"].lanes["main"]
    assert lane.tls is not None
    table = lane.tls.model_copy(update={"key": lane.tls.key.model_copy(update={"file": None, "credential": "pab-key"})})
    banks = {
        "pab": site.settings.banks["pab"].model_copy(update={"lanes": {"main": lane.model_copy(update={"tls": table})}})
    }
    with pytest.raises(NotRotated, match="LoadCredential"):
        rotate(site.settings.model_copy(update={"banks": banks}), PLACE, *site.issue("next"), NOW)


def test_the_banks_next_pin_is_staged_or_not(site: Site) -> None:
    file, _key = site.issue("bank", purpose=ExtendedKeyUsageOID.SERVER_AUTH)
    pin = spki_pin(read_certificates(file)[0])
    present = "A" * 43 + "="
    assert staged(site.settings, "pab", file) == (pin, [(PLACE, False, False)])
    assert staged(of(site.folder, (present,)), "pab", file) == (pin, [(PLACE, True, False)])
    assert staged(of(site.folder, (present, pin)), "pab", file) == (pin, [(PLACE, True, True)])
    assert staged(site.settings, "boc", file)[1] == []


def called(site: Site, *pins: str) -> Settings:
    """Settings of a bank that also connects to the gateway."""
    files = site.issue("door", days=30, purpose=ExtendedKeyUsageOID.SERVER_AUTH)
    return of(
        site.folder,
        pushes={
            "port": 3001,
            "certificate": str(files[0]),
            "key": {"file": str(files[1])},
            "ca_file": str(site.folder / "ca.pem"),
            "client_pins": pins or ("A" * 43 + "=",),
        },
    )


DOOR = "banks.pab.pushes"


def test_what_meets_a_bank_that_calls_us_is_listed_and_looked_at(site: Site) -> None:
    settings = called(site)
    assert [(one.role, one.days_left) for one in listing(settings, NOW) if one.place == DOOR] == [
        ("push_ca", 7),
        ("push_server", 29),
    ]
    said = [one.what for one in faults(settings, NOW) if one.place == DOOR]
    assert [any(words in one for one in said) for words in ("one pin", "ends in 29 days", "ends in 7 days")] == [
        True
    ] * 3
    (site.folder / "door.key").write_bytes((site.folder / "now.key").read_bytes())
    assert any(one.place == DOOR and "does not belong to" in one.what for one in faults(settings, NOW))


def test_the_pair_that_meets_a_bank_that_calls_us_is_rotated(site: Site) -> None:
    settings = called(site)
    fresh = site.issue("next", days=100, purpose=ExtendedKeyUsageOID.SERVER_AUTH)
    rotate(settings, DOOR, *fresh, NOW)
    assert read_certificates(site.folder / "door.pem") == read_certificates(fresh[0])


def test_the_pin_of_a_caller_is_staged_where_it_calls(site: Site) -> None:
    file, _key = site.issue("caller")
    pin = spki_pin(read_certificates(file)[0])
    assert staged(called(site), "pab", file) == (pin, [(DOOR, True, False)])
    assert staged(called(site, "A" * 43 + "=", pin), "pab", file) == (pin, [(DOOR, True, True)])


def test_a_crash_between_the_two_is_mended_by_the_same_command(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh, replace = site.issue("next"), Path.replace

    def once(self: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "replace", replace)
        replace(self, target)
        raise OSError("the machine stops here")

    monkeypatch.setattr(Path, "replace", once)
    with pytest.raises(OSError, match="stops here"):
        rotate(site.settings, PLACE, *fresh, NOW)
    rotate(site.settings, PLACE, *fresh, NOW)
    assert read_private_key(site.folder / "now.key").public_key() == site.shown().public_key()
