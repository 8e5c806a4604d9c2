"""`check` finds the faults of everything that the settings name: files, keys, banks, broker, database; all at once."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway import settings
from gateway.cli import doctor
from gateway.control.offline import settings_check as check
from gateway.control.offline.settings_check import CheckFindings
from gateway.demo import site as demo_site
from gateway.kernel.sql import migrations
from gateway.register import adapters
from gateway.settings import Mistake, read_settings
from protocols.bank import Bank, Replay
from protocols.canon.limits import ReferenceForm
from protocols.kit import dsig
from tests.gateway.cli import site as sites

dsig.start()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original") / "site"
    sites.make(folder)
    return folder


@pytest.fixture
def site(original: Path, tmp_path: Path) -> demo_site.Site:
    folder = tmp_path / "site"
    shutil.copytree(original, folder)
    for file in (folder / "bankgw.toml", *(folder / "conf.d").glob("*.toml")):
        file.write_text(file.read_text("utf-8").replace(str(original), str(folder)), "utf-8")
    return demo_site.Site(folder, sites.PLANS)


def look(site: demo_site.Site, days: int = 0) -> CheckFindings:
    return check.findings(read_settings(site.settings), adapters.load_bank, sites.NOW + timedelta(days=days))


def edit(site: demo_site.Site, file: str, old: str, new: str) -> None:
    path = site.folder / file
    text = path.read_text("utf-8")
    assert old in text, text
    path.write_text(text.replace(old, new), "utf-8")


def only(found: CheckFindings) -> Mistake:
    (one,) = found.mistakes
    assert not found.unreachable
    return one


def test_a_good_site_has_no_mistakes_and_is_not_touched(site: demo_site.Site) -> None:
    before = sorted(site.folder.rglob("*"))
    assert look(site) == CheckFindings((), ())
    assert sorted(site.folder.rglob("*")) == before


SAMPLE, PAB = "conf.d/sample.toml", "conf.d/pab.toml"
TLS = "banks.sample.lanes.main.tls"


def remove(name: str) -> Callable[[demo_site.Site], None]:
    return lambda site: (site.folder / name).unlink()


def put(name: str, content: str, mode: int = 0o600) -> Callable[[demo_site.Site], None]:
    def change(site: demo_site.Site) -> None:
        (site.folder / name).write_text(content)
        (site.folder / name).chmod(mode)

    return change


def folder(name: str) -> Callable[[demo_site.Site], None]:
    def change(site: demo_site.Site) -> None:
        (site.folder / name).unlink()
        (site.folder / name).mkdir()

    return change


def to_der(name: str) -> Callable[[demo_site.Site], None]:
    def change(site: demo_site.Site) -> None:
        file = site.folder / name
        file.write_bytes(x509.load_pem_x509_certificate(file.read_bytes()).public_bytes(Encoding.DER))

    return change


def utf16(name: str) -> Callable[[demo_site.Site], None]:
    def change(site: demo_site.Site) -> None:
        (site.folder / name).write_text((site.folder / name).read_text("utf-8"), "utf-16")

    return change


def open_up(name: str) -> Callable[[demo_site.Site], None]:
    return lambda site: (site.folder / name).chmod(0o644)


def swap(file: str, old: str, new: str) -> Callable[[demo_site.Site], None]:
    return lambda site: edit(site, file, old, new)


def by_credential(site: demo_site.Site) -> None:
    path = site.folder / "bankgw.toml"
    text = re.sub(r'password = \{ file = "[^"]+" \}', 'password = { credential = "x" }', path.read_text("utf-8"))
    path.write_text(text, "utf-8")


# (the change, the file, the key, words of the line)
CASES: dict[str, tuple[Callable[[demo_site.Site], None], str, str, str]] = {
    "vault_gone": (remove("secrets/vault.key"), "bankgw.toml", "journal.vault_key", "No such file"),
    "vault_open": (open_up("secrets/vault.key"), "bankgw.toml", "journal.vault_key", "chmod 0600"),
    "vault_empty": (put("secrets/vault.key", ""), "bankgw.toml", "journal.vault_key", "is empty"),
    "vault_broken": (put("secrets/vault.key", "{}"), "bankgw.toml", "journal.vault_key", "not a vault key file"),
    "password_gone": (remove("secrets/broker"), "bankgw.toml", "broker.password", "No such file"),
    "password_open": (open_up("secrets/broker"), "bankgw.toml", "broker.password", "other users than the owner"),
    "credential": (
        by_credential,
        "bankgw.toml",
        "broker.password",
        "credential x cannot be read (No such file or "
        "directory); credentials are there only for the unit while it runs: add LoadCredential=x:/path/to/file to the "
        "unit of this instance",
    ),
    "tls_key_gone": (remove("pki/sample-client-key.pem"), SAMPLE, f"{TLS}.key", "No such file"),
    "tls_key_open": (open_up("pki/sample-client-key.pem"), SAMPLE, f"{TLS}.key", "chmod 0600"),
    "tls_key_other": (swap(SAMPLE, "sample-client-key", "pab-client-key"), SAMPLE, f"{TLS}.key", "does not belong to"),
    "certificate_gone": (remove("pki/sample-client-cert.pem"), SAMPLE, f"{TLS}.certificate", "No such file"),
    "certificate_broken": (put("pki/sample-client-cert.pem", "x"), SAMPLE, f"{TLS}.certificate", "no readable PEM"),
    "ca_gone": (remove("pki/pab-ca-cert.pem"), PAB, "banks.pab.lanes.main.tls.ca_file", "No such file"),
    "ca_no_root": (swap(PAB, "pab-ca-cert", "pab-server-cert"), PAB, "banks.pab.lanes.main.tls.ca_file", "bank's root"),
    "pin": (swap(SAMPLE, "ca_file =", 'pins = ["abc"], ca_file ='), SAMPLE, TLS, "not the base64 of a SHA-256"),
    "versions": (
        swap(SAMPLE, "ca_file =", 'min_version = "1.3", max_version = "1.2", ca_file ='),
        SAMPLE,
        TLS,
        "min_version is above max_version",
    ),
    "signing_key_gone": (
        remove("pki/sample-gateway-sign-key.pem"),
        SAMPLE,
        "banks.sample.lanes.main.keys.order.key",
        "No such file",
    ),
    "signing_pair": (
        swap(SAMPLE, "sample-gateway-sign-cert", "sample-client-cert"),
        SAMPLE,
        "banks.sample.lanes.main.keys.order.certificate",
        "does not belong to the key",
    ),
    "signing_name": (
        swap(SAMPLE, "order =", "orders ="),
        SAMPLE,
        "banks.sample.lanes.main.keys.orders",
        "no signing key of this name",
    ),
    "credentials": (
        swap(SAMPLE, "user = {", "usr = {"),
        SAMPLE,
        "banks.sample.lanes.main.credentials.user",
        "sign-on needs it",
    ),
    "credential_gone": (
        remove("secrets/sample-user"),
        SAMPLE,
        "banks.sample.lanes.main.credentials.user",
        "No such file",
    ),
    "protocol": (swap(PAB, 'protocol = "pab"', 'protocol = "nobank"'), PAB, "banks.pab.protocol", "no protocol nobank"),
    "option_unknown": (
        swap(PAB, "enterprise_code =", "enterprise_cod ="),
        PAB,
        "banks.pab.options.enterprise_cod",
        "no such option",
    ),
    "option_wrong": (swap(PAB, demo_site.ENTERPRISE_CODE, "12"), PAB, "banks.pab.options.enterprise_code", "20"),
    "option_file_gone": (
        remove("pki/sample-bank-sign-cert.pem"),
        SAMPLE,
        "banks.sample.option_files.bank_certificate",
        "cannot be read",
    ),
    "option_file_folder": (
        folder("pki/sample-bank-sign-cert.pem"),
        SAMPLE,
        "banks.sample.option_files.bank_certificate",
        "sample-bank-sign-cert.pem cannot be read (Is a directory)",
    ),
    "option_file_der": (
        to_der("pki/sample-bank-sign-cert.pem"),
        SAMPLE,
        "banks.sample.option_files.bank_certificate",
        "is a certificate in DER, not in PEM; convert it (`openssl x509 -inform DER -in /",
    ),
    "option_file_bytes": (
        utf16("pki/sample-bank-sign-cert.pem"),
        SAMPLE,
        "banks.sample.option_files.bank_certificate",
        "sample-bank-sign-cert.pem is not text in UTF-8",
    ),
    "tls_der": (to_der("pki/sample-client-cert.pem"), SAMPLE, f"{TLS}.certificate", "sample-client-cert.pem.pem"),
    "ca_der": (to_der("pki/sample-ca-cert.pem"), SAMPLE, f"{TLS}.ca_file", "openssl x509 -inform DER -in /"),
    "signing_der": (
        to_der("pki/sample-gateway-sign-cert.pem"),
        SAMPLE,
        "banks.sample.lanes.main.keys.order.certificate",
        "openssl x509 -inform DER -in /",
    ),
    "option_file_wrong": (
        put("pki/sample-bank-sign-cert.pem", "x"),
        SAMPLE,
        "banks.sample.option_files.bank_certificate",
        "signing certificate in PEM",
    ),
    "port_missing": (
        swap(PAB, "business = 1", "busyness = 1"),
        PAB,
        "banks.pab.lanes.main.ports.business",
        "door of this name",
    ),
    "currency": (
        swap("bankgw.toml", 'bank = "pab", watch = false }', 'bank = "pab", watch = false, currency = "USD" }'),
        "bankgw.toml",
        "accounts.2.currency",
        "pab carries CNY",
    ),
    "url": (
        swap("bankgw.toml", "[journal]", '[journal]\nurl = "not a url"'),
        "bankgw.toml",
        "journal.url",
        "cannot be used",
    ),
    "database": (
        swap("bankgw.toml", "[journal]", '[journal]\nurl = "oracle://u@h/y"'),
        "bankgw.toml",
        "journal.url",
        "oracle is none of sqlite, postgresql, mysql, mariadb; write sqlite:///journal.db, or see docs/do/install.md",
    ),
    "driver": (
        swap("bankgw.toml", "[journal]", '[journal]\nurl = "mysql+nodriver://u@h/y"'),
        "bankgw.toml",
        "journal.url",
        "install.md",
    ),
    "journal_folder": (
        swap("bankgw.toml", "[journal]", '[journal]\nurl = "sqlite:////nowhere/at/all/journal.db"'),
        "bankgw.toml",
        "journal.url",
        "there is no folder /nowhere/at/all; make it, or name a file elsewhere",
    ),
    "journal_folder_of_ours": (
        swap("bankgw.toml", "[journal]", '[journal]\nurl = "sqlite:///sub/journal.db"'),
        "bankgw.toml",
        "journal.url",
        "/state/sub; make it",
    ),
    "state": (put("state", "a file"), "bankgw.toml", "state_dir", "not a folder"),
}


@pytest.mark.parametrize(("change", "file", "key", "words"), CASES.values(), ids=CASES)
def test_each_mistake_names_file_key_and_remedy(
    site: demo_site.Site, change: Callable[[demo_site.Site], None], file: str, key: str, words: str
) -> None:
    change(site)
    found = look(site).mistakes
    said = [one for one in found if one.key == key]
    assert said, found
    assert said[0].file == str(site.folder / file)
    assert words in said[0].remedy
    assert "\n" not in str(said[0])


def test_mistakes_of_every_kind_come_at_once(site: demo_site.Site) -> None:
    edit(site, "bankgw.toml", 'mode = "development"', 'mode = "development"\nzone = "x"')
    remove("secrets/broker")(site)
    remove("pki/pab-ca-cert.pem")(site)
    edit(site, SAMPLE, "order =", "orders =")
    keys = {one.key for one in look(site).mistakes}
    assert keys == {
        "zone",
        "broker.password",
        "banks.pab.lanes.main.tls.ca_file",
        "banks.sample.lanes.main.keys.order",
        "banks.sample.lanes.main.keys.orders",
    }


def test_what_ran_out_is_said_before_the_bank_says_it(site: demo_site.Site) -> None:
    keys = {one.key for one in look(site, days=400).mistakes}
    assert {f"{TLS}.certificate", f"{TLS}.ca_file", "banks.sample.lanes.main.keys.order.certificate"} <= keys


def test_guest_is_refused_in_production(original: Path, tmp_path: Path) -> None:
    broker = {**sites.BROKER, "users": {"bankgw": {"user": "guest", "password": "guest"}}}
    site = sites.make(tmp_path / "site", broker)
    assert look(site) == CheckFindings((), ())
    edit(site, "bankgw.toml", 'mode = "development"', 'mode = "production"')
    edit(site, "bankgw.toml", "[journal]", '[journal]\nno_witness = "a test"')
    assert only(look(site)).key == "broker.user"


@pytest.mark.parametrize(
    ("quarantine_s", "repeats", "wrong"),
    [("29.5", "", True), ("0.0", "", True), ("30.0", "", False), ("29.5", "most_repeats = 0, ", False)],
)
def test_production_repeats_nothing_on_a_not_found_that_came_too_early(
    site: demo_site.Site, quarantine_s: str, repeats: str, wrong: bool
) -> None:
    edit(site, SAMPLE, "options = {  }", f"{repeats}options = {{ quarantine_s = {quarantine_s} }}")
    assert look(site) == CheckFindings((), ()), "while nothing but a trial is at stake it may be short"
    edit(site, "bankgw.toml", 'mode = "development"', 'mode = "production"')
    edit(site, "bankgw.toml", "[journal]", '[journal]\nno_witness = "a test"')
    found = [one for one in look(site).mistakes if one.key == "banks.sample.options.quarantine_s"]
    assert bool(found) is wrong
    for one in found:
        assert one.file == str(site.folder / SAMPLE) and "replay_safe" in one.remedy
        assert f"{float(quarantine_s):g} s after" in one.remedy and "set quarantine_s to 30 or more" in one.remedy
        assert "`most_repeats = 0` in [banks.sample]" in one.remedy


@pytest.mark.parametrize(
    ("deadline_s", "repeats", "wrong"),
    [("60", "", True), ("120", "", True), ("121", "", False), ("60", "most_repeats = 0, ", False)],
)
def test_production_escalates_nothing_before_it_might_be_repeated(
    site: demo_site.Site, deadline_s: str, repeats: str, wrong: bool
) -> None:
    edit(
        site,
        SAMPLE,
        "options = {  }",
        f"{repeats}enquiry_deadline_s = {deadline_s}, options = {{ quarantine_s = 120 }}",
    )
    assert look(site) == CheckFindings((), ()), "whoever tries something out may have it escalate at once"
    edit(site, "bankgw.toml", 'mode = "development"', 'mode = "production"')
    edit(site, "bankgw.toml", "[journal]", '[journal]\nno_witness = "a test"')
    found = [one for one in look(site).mistakes if one.key == "banks.sample.enquiry_deadline_s"]
    assert bool(found) is wrong
    for one in found:
        assert f"escalates {deadline_s} s" in one.remedy and "only after 120 s" in one.remedy
        assert "set enquiry_deadline_s above 120" in one.remedy and "`most_repeats = 0` in [banks.sample]" in one.remedy


def test_a_database_that_is_away_is_no_mistake(site: demo_site.Site) -> None:
    edit(site, "bankgw.toml", "[journal]", '[journal]\nurl = "postgresql+psycopg://u@127.0.0.1:1/none"')
    found = look(site)
    assert not found.mistakes
    (one,) = found.unreachable
    assert one.key == "journal.url"
    assert "start the server" in one.remedy


def test_a_quarantine_that_no_setting_made_is_named_by_what_banks_call_it(site: demo_site.Site) -> None:
    edit(site, "bankgw.toml", 'mode = "development"', 'mode = "production"')
    edit(site, "bankgw.toml", "[journal]", '[journal]\nno_witness = "a test"')

    def hasty(table: settings.BankSettings) -> Bank:
        bank = adapters.load_bank(table)
        rules = {
            kind: replace(rule, policy=Replay.REPLAY_SAFE, not_found_quarantine=timedelta())
            for kind, rule in bank.profile.replay.items()
        }
        return replace(bank, profile=replace(bank.profile, replay=rules))

    found = check.findings(read_settings(site.settings), hasty, sites.NOW).mistakes
    [one] = {one.remedy for one in found if one.key == "banks.sample.options" and "a payment" in one.remedy}
    assert "(quarantine_s, not_found_after_s, not_found_quarantine_s) to 30 or more" in one


@pytest.mark.parametrize(
    ("form", "cure"),
    [
        (ReferenceForm(20), None),
        (ReferenceForm(12, prefix="ABCD"), None),
        (ReferenceForm(12, prefix="ABCDE"), "unique for 0 days, 400 are needed.*prefix 'ABCDE'.*shorten or remove"),
        (ReferenceForm(12, "0123456789"), "references of sample stay unique for 0 days.*longer reference form"),
    ],
)
def test_a_reference_that_could_come_again_within_400_days_is_refused(
    site: demo_site.Site, form: ReferenceForm, cure: str | None
) -> None:
    def with_form(table: settings.BankSettings) -> Bank:
        bank = adapters.load_bank(table)
        limits = replace(bank.profile.limits, reference=form)
        return replace(bank, profile=replace(bank.profile, limits=limits))

    mistakes = check.findings(read_settings(site.settings), with_form, sites.NOW).mistakes
    found = [one.remedy for one in mistakes if one.key == "banks.sample.options"]
    if cure is None:
        assert found == []
    else:
        [remedy] = found
        assert re.search(cure, remedy)


@pytest.mark.parametrize("damage", [b"no database at all" * 500, None])
def test_a_damaged_journal_is_a_mistake(site: demo_site.Site, damage: bytes | None) -> None:
    site.state.mkdir()
    file = site.state / "journal.db"
    migrations.upgrade(f"sqlite:///{file}")
    octets = bytearray(file.read_bytes())
    octets[100:4096] = b"\xff" * 3996
    file.write_bytes(damage or octets)
    one = only(look(site))
    assert one.key == "journal.url"
    assert one.remedy == (
        f"{file} is no SQLite database, or is damaged; keep the file and put a copy back: docs/do/restore.md"
    )
    loaded = read_settings(site.settings)
    assert list(doctor._journal(loaded)) == [], "the look at the settings has told it"


def test_a_journal_that_cannot_be_opened_needs_no_server(site: demo_site.Site) -> None:
    (site.state / "journal.db").mkdir(parents=True)
    (one,) = look(site).unreachable
    assert "check the file's owner and mode" in one.remedy


def test_a_journal_from_the_future_is_refused(site: demo_site.Site) -> None:
    site.state.mkdir()
    url = f"sqlite:///{site.state}/journal.db"
    migrations.upgrade(url)
    assert look(site) == CheckFindings((), ())
    with sqlite3.connect(site.state / "journal.db") as db:
        db.execute("update alembic_version set version_num = '9999'")
    assert look(site) == CheckFindings((), ()), "a newer one that still serves this program, as it says of itself"
    with sqlite3.connect(site.state / "journal.db") as db:
        db.execute("update meta set value = '9999' where name = 'beside'")
    assert "newer than this program" in only(look(site)).remedy


def test_a_permit_log_that_was_altered(site: demo_site.Site) -> None:
    site.state.mkdir()
    (site.state / "permits").mkdir()
    (site.state / "permits" / "00000001.log").write_text("P lane/REF 1 1 00000000\nP lane/REF 1 1 00000000\n")
    one = only(look(site))
    assert one.key == "state_dir"
    assert "00000001.log, line 1" in one.remedy


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_state_folder_that_is_somebody_elses(site: demo_site.Site) -> None:
    site.state.mkdir(mode=0o500)
    assert only(look(site)).key == "state_dir"


def password(site: demo_site.Site) -> str:
    return f'password = {{ file = "{site.folder}/secrets/broker" }}'


def test_each_secret_is_named_by_its_place_only(site: demo_site.Site, monkeypatch: pytest.MonkeyPatch) -> None:
    printing = site.folder / "print-it"
    printing.write_text("#!/bin/sh\necho TOPSECRET\n")
    printing.chmod(0o700)
    edit(site, "bankgw.toml", password(site), f'password = {{ command = ["{printing}", "broker"] }}')
    found = look(site)
    assert found.mistakes == found.unreachable == ()
    places = dict(found.sources)
    assert places["broker.password"] == f"command {printing}"
    assert places["journal.vault_key"].startswith("file /") and "TOPSECRET" not in str(found)
    assert {f"{TLS}.key", "banks.sample.lanes.main.keys.order.key"} <= places.keys()


def test_a_program_that_fails_may_succeed_in_a_minute(site: demo_site.Site) -> None:
    edit(site, "bankgw.toml", password(site), 'password = { command = ["/bin/false"] }')
    found = look(site)
    (away,) = found.unreachable
    assert not found.mistakes and away.key == "broker.password" and "ended with code 1" in away.remedy
    edit(site, "bankgw.toml", '["/bin/false"]', '["/bin/nothing-of-the-kind"]')
    assert only(look(site)).key == "broker.password"


def test_an_environment_variable_that_is_not_set(site: demo_site.Site) -> None:
    edit(site, "bankgw.toml", password(site), 'password = { environment = "NO_SUCH_VARIABLE" }')
    assert "NO_SUCH_VARIABLE is not set" in only(look(site)).remedy


def in_production(site: demo_site.Site) -> None:
    edit(site, "bankgw.toml", 'mode = "development"', 'mode = "production"')
    edit(site, "bankgw.toml", "[journal]", '[journal]\nno_witness = "a test"')


@pytest.mark.parametrize(("host", "over_internet", "wrong"), [
    ("8.8.8.8", False, True), ("2606:4700::1", False, True), ("10.1.2.3", False, False), ("127.0.0.1", False, False),
    ("127.0.0.1", True, True), ("fep.example.com", False, False), ("fep.example.com", True, True),
])  # fmt: skip
def test_production_wants_no_key_in_a_file_towards_the_internet(
    site: demo_site.Site, host: str, over_internet: bool, wrong: bool
) -> None:
    def load_bank(table: settings.BankSettings) -> Bank:
        bank = adapters.load_bank(table)
        return replace(bank, profile=replace(bank.profile, over_internet=over_internet))

    edit(
        site,
        "conf.d/sample.toml",
        'sample = { protocol = "sample", options = {  }, lanes = { main = { host = "127.0.0.1"',
        f'sample = {{ protocol = "sample", options = {{  }}, lanes = {{ main = {{ host = "{host}"',
    )
    edit(site, "bankgw.toml", "may_dial = []", f'may_dial = ["{host}"]')
    place = "banks.sample.lanes.main.keys.order.key"

    def keys() -> list[str]:
        looked = check.findings(read_settings(site.settings), load_bank, sites.NOW)
        return [one.key for one in looked.mistakes if one.key == place]

    assert not keys(), "in development a key may be in a file"
    in_production(site)
    assert keys() == [place] * wrong


def test_a_key_in_a_token_is_checked_without_the_token(site: demo_site.Site) -> None:
    table = '{ module = "/nowhere/lib.so", token = "bank", label = "order", pin = { file = "pin" } }'
    key = f'order = {{ key = {{ file = "{site.folder}/pki/sample-gateway-sign-key.pem" }}'
    edit(site, "conf.d/sample.toml", key, f"order = {{ pkcs11 = {table}")
    (site.folder / "pin").write_text("123456")
    (site.folder / "pin").chmod(0o600)
    assert only(look(site)).key == "banks.sample.lanes.main.keys.order.pkcs11.module"
    edit(site, "conf.d/sample.toml", "/nowhere/lib.so", __file__)
    found = look(site)
    assert found.mistakes == found.unreachable == ()
    places = dict(found.sources)
    assert places["banks.sample.lanes.main.keys.order"] == "PKCS#11 token bank, key order"
    assert places["banks.sample.lanes.main.keys.order.pkcs11.pin"].startswith("file ")


def test_a_key_with_the_signer_is_refused_where_no_signer_can_judge(site: demo_site.Site) -> None:
    key = f'order = {{ key = {{ file = "{site.folder}/pki/sample-gateway-sign-key.pem" }}'
    edit(site, "conf.d/sample.toml", key, 'order = { signer = { socket = "/run/bankgw-signer/s", name = "order" }')
    found = look(site)
    assert found.mistakes == found.unreachable == ()
    places = dict(found.sources)
    assert places["banks.sample.lanes.main.keys.order"] == "signer process /run/bankgw-signer/s, key order"

    def told(**changed: Any) -> str:
        def load_bank(table: settings.BankSettings) -> Bank:
            bank = adapters.load_bank(table)
            return replace(bank, profile=replace(bank.profile, **changed)) if table.protocol == "sample" else bank

        looked = check.findings(read_settings(site.settings), load_bank, sites.NOW)
        [mistake] = [one for one in looked.mistakes if one.key == "banks.sample.lanes.main.keys.order.signer"]
        return str(mistake)

    assert "encrypted for the bank" in told(encrypts=frozenset({"order"}))
    assert "cannot be read back" in told(name="pab")


def test_no_secret_is_ever_printed(site: demo_site.Site) -> None:
    put("secrets/vault.key", '{"keys": "TOPSECRET"}')(site)
    put("secrets/broker", "TOPSECRET", 0o644)(site)
    put("pki/sample-client-key.pem", "TOPSECRET")(site)
    assert "TOPSECRET" not in str(look(site))
