"""The reference pages match the program, and the files that we ship for operators work."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from gateway import settings
from gateway.cli import erp_profile, reference, reference_words
from gateway.control.offline import settings_check as check
from gateway.kernel.sql import vault
from gateway.register import adapters
from gateway.settings import tables, treasury_tables
from gateway.settings.strict_table import StrictTable
from gateway.simbank.pki import make_pki
from protocols import trial
from tests.gateway.cli import site as sites

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("page", sorted(reference.pages()))
def test_pages_are_up_to_date(page: str) -> None:
    written = (ROOT / "docs" / "lookup" / page).read_text("utf-8")
    assert written == reference.pages()[page], "run python -m gateway.cli.reference --write"


def test_every_translation_is_of_a_text_that_a_page_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, chinese = set[str](), reference_words.translator("zh")

    def noted(text: str) -> str:
        shown.add(text)
        return chinese(text)

    monkeypatch.setattr(reference_words, "translator", lambda lang: noted if lang == "zh" else str)
    reference.pages()
    table = tomllib.loads((ROOT / "gateway" / "cli" / "reference.zh.toml").read_text("utf-8"))
    assert {text for part in table.values() for text in part} ^ (shown - {""}) == set()


def test_a_text_without_a_translation_is_named() -> None:
    with pytest.raises(KeyError, match=r"reference.zh.toml has no Chinese for: nobody wrote this"):
        reference_words.translator("zh")("nobody wrote this")


def test_every_setting_has_a_meaning_and_is_listed() -> None:
    page = reference.settings_page("en")
    models = [
        value
        for value in {**vars(tables), **vars(treasury_tables)}.values()
        if isinstance(value, type) and issubclass(value, StrictTable) and value is not StrictTable
    ]
    assert len(models) >= 28
    for model in models:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"
            assert f"| `{name}` |" in page, f"{model.__name__}.{name}"


def test_every_command_and_option_is_explained() -> None:
    page = reference.cli_page()
    for section in page.split("### ")[1:]:
        assert len(section.split("\n\n")[2]) > 20, section[:80]
    assert "--clear" in page
    assert "$BANKGW_CONFIG" in page


def test_the_example_settings_are_settings() -> None:
    loaded = settings.read_settings(ROOT / "conf" / "bankgw.toml")
    assert loaded.mistakes == ()
    assert loaded.settings.mode == "production"
    assert loaded.settings.banks.keys() == set(trial.banks()), "each bank has a file in conf/conf.d"
    erp_profile.ErpProfile.model_validate(
        tomllib.loads((ROOT / "conf" / "erp.toml").read_text("utf-8")), context={"folder": ROOT}
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example settings after an installation: every file and credential that they name exists."""
    folder = tmp_path_factory.mktemp("installed")
    shutil.copytree(ROOT / "conf", folder / "conf")
    credentials = folder / "credentials"
    credentials.mkdir(mode=0o700)
    main = folder / "conf" / "bankgw.toml"
    main.write_text(main.read_text("utf-8").replace("/var/lib/bankgw", str(folder / "state")), "utf-8")
    there = settings.read_settings(main).settings
    pki = make_pki(folder / "pki", [table.protocol for table in there.banks.values()], sites.NOW)

    def put(secret: settings.Secret | settings.KeyPlace, content: bytes) -> None:
        assert secret.credential is not None, "an example names no file for a secret"
        (credentials / secret.credential).write_bytes(content)
        (credentials / secret.credential).chmod(0o600)

    def lay(path: Path, source: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, path)

    assert there.broker.password is not None
    put(there.broker.password, b"p")
    vault.create(credentials / (there.journal.vault_key.credential or ""))
    for table in there.banks.values():
        files = pki[table.protocol]
        for option, path in table.option_files.items():
            lay(path, getattr(files, trial.trial(table.protocol).files[option]))
        for lane in table.lanes.values():
            assert lane.tls is not None, "an example guards its line"
            lay(lane.tls.ca_file, files.ca_cert)
            lay(lane.tls.certificate, files.client_cert)
            put(lane.tls.key, files.client_key.read_bytes())
            for key in lane.keys.values():
                if key.pkcs11 is not None:
                    put(key.pkcs11.pin, b"123456")
                    lay(key.pkcs11.module, files.gateway_sign_cert)
                else:
                    assert key.key is not None
                    put(key.key, files.gateway_sign_key.read_bytes())
                lay(key.certificate, files.gateway_sign_cert)
            for secret in lane.credentials.values():
                put(secret, b"secret")
    return folder


def test_check_finds_nothing_wrong_with_the_examples(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(installed / "credentials"))
    found = check.findings(settings.read_settings(installed / "conf" / "bankgw.toml"), adapters.load_bank, sites.NOW)
    assert found.mistakes == ()


def test_check_would_find_a_wrong_word_in_each_example(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(installed / "credentials"))
    spoilt = tmp_path / "conf"
    shutil.copytree(installed / "conf", spoilt)
    for bank in trial.banks():
        file = spoilt / "conf.d" / f"{bank}.toml"
        file.write_text(re.sub(r"business = (\d+)", r"busyness = \1", file.read_text("utf-8")), "utf-8")
    found = check.findings(settings.read_settings(spoilt / "bankgw.toml"), adapters.load_bank, sites.NOW).mistakes
    wrong = {one.key.split(".")[1] for one in found if one.key.endswith(".ports.busyness")}
    assert wrong == set(trial.banks())


def test_the_unit_names_what_the_example_settings_need() -> None:
    unit = (ROOT / "systemd" / "bankgw.service").read_text("utf-8")
    for credential in ("vault", "broker"):
        assert re.search(rf"^LoadCredential={credential}:", unit, re.MULTILINE)
    for line in (
        "Type=notify",
        "WatchdogSec=30",
        "RestartPreventExitStatus=78",
        "StateDirectoryMode=0700",
        "UMask=0077",
        "StartLimitIntervalSec=0",
        "Restart=always",
    ):
        assert f"\n{line}\n" in unit
    assert not re.search(r"^MemoryDenyWriteExecute", unit, re.MULTILINE)
    settings_there = settings.read_settings(ROOT / "conf" / "bankgw.toml").settings
    stop_s = float(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE).group(1))  # type: ignore[union-attr]
    assert stop_s > settings_there.drain_s + 5, "the daemon must end by itself before it is killed"


def test_an_instance_is_the_unit_under_a_name() -> None:
    one, many = ((ROOT / "systemd" / name).read_text("utf-8") for name in ("bankgw.service", "bankgw@.service"))
    changed = {line for line in many.splitlines() if not line.startswith("#")} - set(one.splitlines())
    assert changed == {
        "Description=bankgw payment gateway (银企直联网关), instance %i",
        "ExecStart=/usr/bin/env bankgw run --config /etc/bankgw/%i.toml",
        "ExecReload=/usr/bin/env bankgw check --reload --config /etc/bankgw/%i.toml",
        "StateDirectory=bankgw/%i",
        "RuntimeDirectory=bankgw-%i",
        "SocketBindAllow=tcp:9464-9479",
    }
    assert len(many.splitlines()) == len(one.splitlines()) + 1


def test_a_shard_is_the_unit_with_its_number() -> None:
    one, shard = ((ROOT / "systemd" / name).read_text("utf-8") for name in ("bankgw.service", "bankgw-shard@.service"))
    changed = {line for line in shard.splitlines() if not line.startswith("#")} - set(one.splitlines())
    assert changed == {
        "Description=bankgw payment gateway (银企直联网关), shard %I",
        "ExecStart=/usr/bin/env bankgw run --shard %I --config /etc/bankgw/bankgw.toml",
        "RuntimeDirectoryPreserve=yes",
        "SocketBindAllow=tcp:9464-9479",
    }


@pytest.mark.parametrize(
    "name",
    [
        "bankgw.service",
        "bankgw@.service",
        "bankgw-shard@.service",
        "bankgw-backup.service",
        "bankgw-drill.service",
        "bankgw-query.service",
        "bankgw-console.service",
        "bankgw-approval-page.service",
        "bankgw-notices.service",
        "bankgw-signer.service",
    ],
)
def test_the_unit_exposes_little(name: str) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze: apt-get install systemd")
    # In tenths. The signer has the keys, and needs neither network nor code that is made while it runs.
    most = 2 if name == "bankgw-signer.service" else 10
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", f"--threshold={most}", str(ROOT / "systemd" / name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-600:] + done.stderr


def test_the_side_cars_judge_the_other_side() -> None:
    for name in ("fep-side.conf", "gateway-side.conf"):
        text = (ROOT / "conf" / "stunnel" / name).read_text("utf-8")
        assert "verifyChain = yes" in text
        assert "sslVersionMin = TLSv1.2" in text
    assert re.search(r"^accept = 127\.0\.0\.1:", (ROOT / "conf/stunnel/gateway-side.conf").read_text(), re.MULTILINE)
