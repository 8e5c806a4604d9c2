"""The command line: exit codes and output of every command that needs no daemon, and of the others without a daemon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
import typer

from gateway.cli import application, exit_codes, help_pages, output
from gateway.cli.environment import Environment
from gateway.cli.erp_profile import ErpProfile
from gateway.control import service_unit
from gateway.kernel import log
from gateway.kernel.checkpoints import checkpoints, merkle
from gateway.kernel.commit import audit, permit_log
from gateway.kernel.commit.rows import Head
from gateway.kernel.sql import migrations, schema, vault
from gateway.register import adapters
from gateway.settings import read_settings as read_settings
from protocols import trial
from tests.gateway.cli import site as sites
from tests.gateway.kernel.bench import Journal


def no_reactor() -> NoReturn:
    raise AssertionError("this command needs no reactor")


def world(**changed: Any) -> Environment:
    given: dict[str, Any] = {
        "version": lambda: "9.9",
        "variables": {},
        "reactor": no_reactor,
        "load_bank": adapters.load_bank,
        "start": lambda *_: None,
        "now": lambda: sites.NOW,
        "load_office": adapters.load_office,
    }
    return Environment(**{**given, **changed})


def bankgw(*words: Any, **changed: Any) -> int:
    return application.main(world(**changed), [str(word) for word in words])


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sites.make(tmp_path_factory.mktemp("cli") / "site").settings


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert bankgw("--version") == exit_codes.OK
    assert capsys.readouterr().out == "bankgw 9.9\n"
    assert bankgw("--help") == exit_codes.OK
    said = capsys.readouterr().out
    for word in ("run", "check", "status", "orders", "lanes", "parked", "send", "simulate", "doctor", "demo", "78"):
        assert word in said


@pytest.mark.parametrize("words", [("nothing",), ("orders", "shwo"), ("orders", "list", "--limit", "0"), ("send",)])
def test_a_wrong_command_line_is_2(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert bankgw(*words) == exit_codes.USAGE


def test_check_finds_nothing_wrong(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bankgw("check", "--config", settings) == exit_codes.OK
    assert "no mistakes" in capsys.readouterr().out
    assert bankgw("check", "--config", settings, "--json") == exit_codes.OK
    said = json.loads(capsys.readouterr().out)
    sources = {one["key"]: one["source"] for one in said.pop("sources")}
    assert said == {"ok": True, "mistakes": [], "notes": []}
    assert sources["broker.password"] == f"file {settings.parent / 'secrets' / 'broker'}"


@pytest.mark.parametrize("command", ["check", "run"])
def test_check_and_run_refuse_with_one_line_per_mistake(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = sites.make(tmp_path / "site")
    (site.folder / "secrets" / "broker").unlink()
    (site.folder / "pki" / "pab-ca-cert.pem").unlink()
    assert bankgw(command, "--config", site.settings) == exit_codes.CONFIG
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{site.settings}: broker.password: ")
    assert lines[1].startswith(f"{site.folder}/conf.d/pab.toml: banks.pab.lanes.main.tls.ca_file: ")
    assert said.out == ""
    assert not site.state.exists()


@pytest.mark.parametrize("command", ["check", "run"])
def test_files_that_cannot_be_settings(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bankgw(command, "--config", tmp_path / "none.toml") == exit_codes.CONFIG
    assert "create it (`bankgw init` writes one) or name another with --config" in capsys.readouterr().err


def test_a_database_that_is_away_is_unavailable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = sites.make(tmp_path / "site")
    text = site.settings.read_text("utf-8")
    site.settings.write_text(text.replace("[journal]", '[journal]\nurl = "postgresql+psycopg://u@127.0.0.1:1/x"'))
    assert bankgw("check", "--config", site.settings) == exit_codes.UNAVAILABLE
    assert "journal.url" in capsys.readouterr().err
    daemon = subprocess.run(
        [sys.executable, "-m", "gateway", "run", "--config", str(site.settings)],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert daemon.returncode == exit_codes.UNAVAILABLE
    [line] = map(json.loads, daemon.stderr.splitlines())
    assert line["event"] == "journal.away" and "journal.url" in line["error"] and "/x cannot be opened" in line["error"]


def test_mistakes_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bankgw("check", "--json", "--config", tmp_path / "none.toml") == exit_codes.CONFIG
    said = json.loads(capsys.readouterr().out)
    assert not said["ok"]
    assert said["mistakes"][0]["file"].endswith("none.toml")


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("drain",),
        ("orders", "list"),
        ("orders", "show", "a:b"),
        ("lanes", "list"),
        ("lanes", "resume", "x"),
        ("parked", "list"),
        ("orders", "release", "a:b", "--reason", "x"),
    ],
)
def test_without_a_daemon_it_is_69(words: Sequence[str], settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bankgw(*words, "--config", settings) == exit_codes.UNAVAILABLE
    assert "no daemon listens at" in capsys.readouterr().err
    assert bankgw(*words, "--socket", "/nowhere/control.sock") == exit_codes.UNAVAILABLE


def test_a_vault_key_is_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "vault.key"
    assert bankgw("doctor", "--make-key", path) == exit_codes.OK
    assert os.stat(path).st_mode & 0o777 == 0o600
    vault.load(path)
    before = path.read_bytes()
    assert bankgw("doctor", "--make-key", path) == exit_codes.REFUSED
    assert path.read_bytes() == before
    assert "never overwritten" in capsys.readouterr().err
    assert bankgw("doctor", "--make-key", tmp_path / "no" / "key") == exit_codes.FAILED


def test_doctor_names_each_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bankgw("doctor", "--json", "--config", tmp_path / "none.toml") == exit_codes.FAILED
    said = json.loads(capsys.readouterr().out)
    wrong = [line for line in said["lines"] if not line["ok"]]
    assert [line["what"] for line in wrong if line["what"] == "settings"] == ["settings"]
    assert all(line["fix"] for line in wrong)
    good = {line["what"] for line in said["lines"] if line["ok"]}
    assert {"python", "packages", "xml signatures"} <= good


def test_banks(settings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bankgw("banks", "--json") == exit_codes.OK
    said = {one["protocol"]: one for one in json.loads(capsys.readouterr().out)}
    assert tuple(said) == trial.banks()
    for name, one in said.items():
        assert one["heading"] and one["about"], name
        assert {"payment", "transfer"} <= set(one["orders"]), name
        assert {"balance", "fate"} <= set(one["questions"]), name
        assert one["reconstructed"], f"{name}: what nobody has confirmed is said"
    assert bankgw("banks", "--json", "--config", settings) == exit_codes.OK
    built = {one["bank"]: one for one in json.loads(capsys.readouterr().out)}
    assert "payment" in built["pab"]["orders"]
    assert {"balance", "lines", "fate"} <= set(built["sample"]["questions"])
    assert built["pab"]["reconstructed"]
    capsys.readouterr()
    assert bankgw("banks") == exit_codes.OK
    listed = [line.split(":")[0] for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert tuple(listed) == trial.banks()
    assert bankgw("banks", "--config", settings) == exit_codes.OK


def test_topology(capsys: pytest.CaptureFixture[str]) -> None:
    assert bankgw("topology", "export", "--vhost", "v", "--user", "gw", "--sender", "erp=a,b") == exit_codes.OK
    said = json.loads(capsys.readouterr().out)
    assert {user["name"] for user in said["users"]} == {"gw", "a", "b"}
    assert "bankgw.commands.money" in {queue["name"] for queue in said["queues"]}
    assert bankgw("topology", "export", "--sender", "erp") == exit_codes.USAGE


@pytest.mark.parametrize(
    "words",
    [
        ("--sender", "A b=c"),
        ("--sender", "erp=a b"),
        ("--sender", "erp=a,"),
        ("--sender", "erp=a=b c"),
        ("--vhost", ""),
        ("--user", ""),
        ("--user", "a b"),
    ],
)
def test_names_that_no_broker_has_are_not_exported(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert bankgw("topology", "export", *words) == exit_codes.USAGE
    said = capsys.readouterr()
    assert said.out == "" and words[0] in said.err and "write" in said.err


@pytest.mark.parametrize("command", ["check", "run"])
def test_an_option_file_that_is_a_folder_is_a_mistake(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = sites.make(tmp_path / "site")
    (site.folder / "pki" / "sample-bank-sign-cert.pem").unlink()
    (site.folder / "pki" / "sample-bank-sign-cert.pem").mkdir()
    assert bankgw(command, "--config", site.settings) == exit_codes.CONFIG
    [line] = capsys.readouterr().err.splitlines()
    assert "banks.sample.option_files.bank_certificate: " in line and "(Is a directory)" in line
    assert bankgw("banks", "--config", site.settings) == exit_codes.CONFIG


def test_a_certificate_in_der_is_a_mistake_for_banks_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = sites.make(tmp_path / "site")
    (site.folder / "pki" / "sample-bank-sign-cert.pem").write_bytes(b"\x30\x82\xff")
    assert bankgw("banks", "--config", site.settings) == exit_codes.CONFIG
    assert "`bankgw check` says more" in capsys.readouterr().err


def test_doctor_on_a_damaged_journal_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = sites.make(tmp_path / "site", {**sites.BROKER, "host": "127.0.0.1", "port": 1})
    site.state.mkdir()
    (site.state / "journal.db").write_bytes(b"no database at all" * 500)
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "doctor", "--config", str(site.settings)],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == exit_codes.FAILED and "Traceback" not in done.stderr
    assert "is damaged; keep the file and put a copy back" in done.stdout.replace("\n", " ")


@pytest.mark.parametrize(
    ("charset", "words"),
    [
        ("latin-1", ("--help",)),
        ("latin-1", ("banks",)),
        ("latin-1", ("banks", "--json")),
        ("ascii", ("banks", "--json")),
    ],
)
def test_a_terminal_that_lacks_characters_shows_the_others(charset: str, words: Sequence[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *words],
        capture_output=True,
        timeout=50,
        env={**os.environ, "PYTHONIOENCODING": charset},
    )
    assert (done.returncode, done.stderr) == (exit_codes.OK, b"")
    said = done.stdout.decode(charset)
    if "--json" in words:
        assert "平安" in json.dumps(json.loads(said), ensure_ascii=False)
    else:
        assert "\\u" in said


def test_simulate_names_its_levels(capsys: pytest.CaptureFixture[str]) -> None:
    assert bankgw("simulate", "x.toml", "--log-level", "loud") == exit_codes.USAGE
    said = capsys.readouterr().err
    assert all(level in said for level in ("debug", "info", "warning", "error"))


def test_simulate_refuses_wrong_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Otherwise the program's log would outlive this test.
    monkeypatch.setattr(log, "start", lambda *_, **__: None)
    file = tmp_path / "bank.toml"
    assert bankgw("simulate", file, reactor=object) == exit_codes.CONFIG
    file.write_text('bank = "nobank"\naccounts = []\n')
    assert bankgw("simulate", file, reactor=object) == exit_codes.CONFIG
    assert "nobank: bank: " in capsys.readouterr().err


def test_send_needs_a_command_and_a_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "o.json"
    assert bankgw("send", file) == exit_codes.USAGE
    file.write_text('{"what": 1}')
    assert bankgw("send", file) == exit_codes.USAGE
    assert "payment.submit" in capsys.readouterr().err
    file.write_text('{"amount": "1.00"}')
    assert bankgw("send", file, "--profile", tmp_path / "erp.toml", reactor=object) == exit_codes.CONFIG
    (tmp_path / "erp.toml").write_text('user = "erp"\nqueue = 5\n')
    assert bankgw("send", file, "--profile", tmp_path / "erp.toml", reactor=object) == exit_codes.CONFIG
    keys = [line.split(": ")[1] for line in capsys.readouterr().err.splitlines() if "erp.toml" in line]
    assert {"password", "queue"} <= set(keys)
    assert bankgw("send", file, "--type", "payment.sumbit") == exit_codes.USAGE
    said = capsys.readouterr().err
    assert said.startswith("--type payment.sumbit: there is no such command; write one of payment.submit, ")


def test_send_names_a_secret_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BANKGW_NO_SUCH_KEY", raising=False)
    file, profile, password = tmp_path / "o.json", tmp_path / "erp.toml", tmp_path / "none"
    file.write_text('{"amount": "1.00"}')
    profile.write_text(
        f'user = "erp"\npassword = {{ file = "{password}" }}\nhmac_key = {{ environment = "BANKGW_NO_SUCH_KEY" }}\n'
    )
    assert bankgw("send", file, "--profile", profile, reactor=object) == exit_codes.CONFIG
    assert capsys.readouterr().err.splitlines() == [
        f"{profile}: password: there is no file {password}; create it or mend `password`",
        f"{profile}: hmac_key: environment variable BANKGW_NO_SUCH_KEY cannot be read (environment variable "
        "BANKGW_NO_SUCH_KEY is not set); mend `hmac_key`",
    ]
    told = world(reactor=object, variables={"LC_ALL": "zh_CN.UTF-8"})
    assert application.main(told, ["send", str(file), "--profile", str(profile)]) == exit_codes.CONFIG
    first = capsys.readouterr().err.splitlines()[0]
    assert first == f"{profile}：password：文件 {password} 不存在；请新建，或更正 password"


def test_a_question_about_a_payment_must_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "q.json").write_text('{"id": "AP-1"}')
    assert bankgw("send", tmp_path / "q.json") == exit_codes.USAGE
    assert "a status.query always must be named" in capsys.readouterr().err


def test_mistakes_of_a_profile_say_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "o.json").write_text('{"amount": "1.00"}')
    file = tmp_path / "erp.toml"
    file.write_text('user = "erp"\nqueue = 5\nport = 70000\nhots = "x"\nhost = "amqp://mq"\n')
    assert bankgw("send", tmp_path / "o.json", "--profile", file, reactor=object) == exit_codes.CONFIG
    said = dict(line.removeprefix(f"{file}: ").split(": ", 1) for line in capsys.readouterr().err.splitlines())
    assert said == {
        "password": "is required; add it (bankgw send --help says what it is)",
        "queue": "write text in quotes",
        "port": "must be at most 65535",
        "hots": "there is no such setting; remove it or mend its spelling (bankgw send --help lists all)",
        "host": "write a host name or an IP address, without scheme or port",
    }
    file.write_text('user = "erp"\n', "utf-8-sig")
    assert bankgw("send", tmp_path / "o.json", "--profile", file, reactor=object) == exit_codes.CONFIG
    assert "begins with a BOM; save the file as UTF-8 without BOM" in capsys.readouterr().err


def test_help_lists_the_profiles_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert bankgw("send", "--help") == exit_codes.OK
    said = capsys.readouterr().out
    assert [name for name in ErpProfile.model_fields if name not in said.partition("Its keys:")[2]] == []


@pytest.mark.parametrize(
    "words",
    [
        ("resolve",),
        ("resolve", "--list", "--approve", "X"),
        ("resolve", "erp:1", "--as", "paid"),
        ("resolve", "erp:1", "--as", "failed"),
        ("resolve", "--withdraw", "X"),
        ("resolve", "erp:1", "--as", "failed", "--note", "x", "--evidence", "/nowhere/letter.pdf"),
    ],
)
def test_a_decision_that_lacks_something_is_2(
    settings: Path, words: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert bankgw(*words, "--config", settings) == exit_codes.USAGE
    assert len(capsys.readouterr().err) > 20


@pytest.mark.parametrize("words", [("resolve", "--list"), ("persons", "list"), ("lanes", "forgotten")])
def test_without_a_daemon_nobody_signs(settings: Path, words: Sequence[str]) -> None:
    assert bankgw(*words, "--config", settings) == exit_codes.UNAVAILABLE


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_credentials_of_a_unit_that_does_not_run_are_named_with_the_option_for_their_file(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    site = sites.make(tmp_path / "site")
    site.state.mkdir()
    key, text = site.folder / "secrets" / "vault.key", site.settings.read_text("utf-8")
    text = text.replace(f'vault_key = {{ file = "{key}" }}', 'vault_key = { credential = "vault" }')
    text = text.replace(
        "[journal]", '[journal]\nurl = "mysql+nodriver://u@h/x"\npassword = { credential = "database" }'
    )
    site.settings.write_text(text, "utf-8")
    assert bankgw(command, tmp_path / "copy", "--config", site.settings) == exit_codes.CONFIG
    assert capsys.readouterr().err == (
        "journal.vault_key: credential vault is there only for the unit while it runs; name its file with --vault-key\n"
    )
    assert bankgw(command, tmp_path / "copy", "--config", site.settings, "--vault-key", key) == exit_codes.CONFIG
    assert capsys.readouterr().err == (
        "journal.password: credential database is there only for the unit while it "
        "runs; name its file with --database-password\n"
    )


def test_backup_and_restore_say_why_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = sites.make(tmp_path / "site")
    assert bankgw("backup", tmp_path / "copy", "--config", site.settings) == exit_codes.FAILED
    assert "no journal at" in capsys.readouterr().err
    assert bankgw("restore", tmp_path / "copy", "--config", site.settings) == exit_codes.REFUSED
    assert "Nothing was put back" in capsys.readouterr().err
    assert (
        bankgw("backup", tmp_path / "copy", "--vault-key", "/nowhere", "--config", site.settings) == exit_codes.CONFIG
    )
    assert "--vault-key" in capsys.readouterr().err
    migrations.upgrade(f"sqlite:///{site.state / 'journal.db'}")
    assert bankgw("backup", tmp_path, "--config", site.settings, "--json") == exit_codes.OK
    said = json.loads(capsys.readouterr().out)
    assert (said["payments"], said["backend"]) == (0, "sqlite")
    made = tmp_path / "copies"
    assert bankgw("backup", made, "--config", site.settings) == exit_codes.OK
    assert bankgw("backup", made, "--config", site.settings) == exit_codes.FAILED, "the same second: the same name"
    assert made.is_dir() and made.stat().st_mode & 0o777 == 0o700
    assert len(list(made.glob("bankgw-*.db"))) == 1
    capsys.readouterr()
    assert bankgw("backup", tmp_path / "no" / "copies", "--config", site.settings) == exit_codes.FAILED
    assert "cannot be made" in capsys.readouterr().err
    (site.state / "journal.db").rename(site.state / "aside.db")
    assert bankgw("restore", said["path"], "--config", site.settings) == exit_codes.OK
    out = capsys.readouterr().out
    assert "0 payments" in out and "no permit log" in out


@pytest.mark.parametrize("words", [["banks"], ["banks", "--json"], ["--help"], ["topology", "export"]])
def test_a_reader_that_goes_away_ends_it_quietly(words: list[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "gateway", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    ) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == exit_codes.OUTPUT


def test_a_full_disk_is_no_defect_of_ours() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "banks"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == exit_codes.OUTPUT
    assert done.stderr == "bankgw: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("installed", [True, False])
def test_systemctl_is_named_only_where_there_is_a_unit(
    installed: bool, tmp_path: Path, settings: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_unit, "UNIT_FOLDERS", (tmp_path,))
    if installed:
        (tmp_path / "bankgw@.service").touch()
    assert bankgw("status", "--config", settings) == exit_codes.UNAVAILABLE
    said = capsys.readouterr().err
    assert ("systemctl" in said) is installed
    assert ("bankgw run" in said) is not installed


def test_audit_verify_says_that_a_journal_is_whole_or_what_contradicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = sites.make(tmp_path / "site")
    assert bankgw("audit", "key", "--config", site.settings) == exit_codes.FAILED
    assert "it is made when the gateway starts" in capsys.readouterr().err
    url = f"sqlite:///{site.state / 'journal.db'}"
    assert bankgw("audit", "verify", "--config", site.settings) == exit_codes.UNAVAILABLE
    site.state.mkdir()
    migrations.upgrade(url)
    keys, node = vault.load(site.folder / "secrets" / "vault.key"), read_settings(site.settings, {}).settings.node
    log = permit_log.PermitLog(site.state / "permits", keys, node)
    journal = Journal(url, node, sealing=keys, permits=log)
    for n in range(3):
        journal.do(lambda tx, n=n: audit.append(tx, "uid:1", "thing.done", str(n)))  # type: ignore[misc]
    head = journal.read(lambda conn: audit.head_of(conn, node))
    signer, origin = checkpoints.load_key(site.state / "checkpoint.key"), checkpoints.origin_of(node)
    leaves, _head = journal.read(lambda conn: checkpoints.entries_after(conn, node, Head(0, audit.GENESIS)))
    root = merkle.root(merkle.grown((), leaves))
    kept = tmp_path / "kept.txt"
    kept.write_text(checkpoints.sign(checkpoints.Checkpoint(origin, 3, root, head.hash, "2026-11-24"), signer), "utf-8")
    assert bankgw("audit", "key", "--config", site.settings) == exit_codes.OK
    assert capsys.readouterr().out.strip().endswith(checkpoints.public_words(signer.public_key(), origin))
    words = ("audit", "verify", "--config", site.settings, "--checkpoint", kept)
    assert bankgw(*words) == exit_codes.OK
    assert "the journal is whole" in capsys.readouterr().out
    with journal.stranger() as conn:
        conn.execute(schema.audit.delete().where(schema.audit.c.seq == 3))
        first = conn.execute(schema.audit.select().where(schema.audit.c.seq == 2)).one()
        conn.execute(schema.units.update().values(audit_seq=2, audit_hash=first.hash))
    assert bankgw(*words) == exit_codes.FAILED
    out = capsys.readouterr().out
    assert "counted 3 entries, and there are fewer" in out and "3 contradictions" in out
    assert bankgw(*words, "--json") == exit_codes.FAILED
    said = json.loads(capsys.readouterr().out)
    assert not said["whole"] and (said["entries"], said["checkpoints"]) == (2, 1)
    journal.close()


def error_of(said: str) -> Any:
    (line,) = said.splitlines()
    return json.loads(line)["error"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("orders", "list", "--limit", "0", "--json"), exit_codes.USAGE),
        (("status", "--nope", "--json"), exit_codes.USAGE),
        (("orders", "show", "--json"), exit_codes.USAGE),
        (("resolve", "--json"), exit_codes.USAGE),
        (("status", "--json", "--socket", "/nowhere/control.sock"), exit_codes.UNAVAILABLE),
        (("lanes", "list", "--json", "--config", "/nowhere/bankgw.toml"), exit_codes.CONFIG),
        (("backup", "/nowhere/copy.db", "--json", "--config", "/nowhere/bankgw.toml"), exit_codes.CONFIG),
    ],
)
def test_errors_are_json_where_json_is_asked_for(
    words: Sequence[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bankgw(*words) == code
    said = capsys.readouterr()
    error = error_of(said.err)
    assert (error["exit"], error["name"], said.out) == (code, exit_codes.NAMES[code], "")
    assert error["messages"] and all(error["messages"])


def test_an_error_in_words_after_one_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    bankgw("status", "--json", "--socket", "/nowhere/control.sock")
    capsys.readouterr()
    assert bankgw("status", "--socket", "/nowhere/control.sock") == exit_codes.UNAVAILABLE
    assert capsys.readouterr().err.startswith("no daemon listens at")


def test_every_command_stands_in_one_group_of_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    top: Any = typer.main.get_command(application.application())
    names = [name for names in help_pages.GROUPS.values() for name in names]
    assert sorted(names) == sorted(top.commands) and len(names) == len(set(names))
    assert bankgw("--help") == exit_codes.OK
    said = capsys.readouterr().out
    for heading in help_pages.GROUPS:
        assert f"\n{heading}:\n" in said
    for words in ((), ("orders",), ("certificates",)):
        bankgw(*words, "--help")
        listed = capsys.readouterr().out.partition("Commands:")[2] if words else said.partition("Run:")[2]
        assert listed and "..." not in listed, "a summary that was cut off"


def test_watching_repeats_until_it_is_interrupted() -> None:
    looks: list[float] = []

    def wait(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 4:
            raise KeyboardInterrupt

    output.repeated(2.0, lambda: looks.append(0.0), wait)
    assert looks == [0.0, 2.0, 0.0, 2.0]
    looks.clear()
    output.repeated(None, lambda: looks.append(0.0), wait)
    assert looks == [0.0]


def test_a_drain_waits_until_nothing_moves(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    counts = [{"ready": 2, "sending": 1, "in_doubt": 4}, {"ready": 0, "sending": 1, "in_doubt": 4}, {"in_doubt": 4}]

    class Daemon:
        def post(self, *parts: str, **body: Any) -> Any:
            return {"draining": True, "orders": counts.pop(0)}

        def get(self, *parts: str) -> Any:
            return {"orders": counts.pop(0)}

    monkeypatch.setattr("gateway.cli.output.remote", lambda *_: Daemon())
    assert bankgw("drain", "--wait", "30") == exit_codes.OK
    assert "orders under way: in_doubt 4" in capsys.readouterr().out
    counts.append({"ready": 2})
    assert bankgw("drain", "--wait", "0") == exit_codes.UNAVAILABLE
    assert "2 orders are still ready or sending" in capsys.readouterr().err
