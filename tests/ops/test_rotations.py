"""The client's certificate and the vault's key are replaced while an ERP keeps sending, and backups of both times work."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.control.offline import backup_copies
from gateway.kernel.sql import vault
from gateway.simbank.pki import CLIENT_PURPOSE, Authority, BankPki, new_key, write_certificates, write_key
from tests.ops.drill import Drill, drill, result, until
from tests.ops.units import UnitProcess
from tests.world.services import ROOT

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(500)]


def _authority(one: Drill) -> tuple[Path, Path]:
    """Give bank and client certificates of an authority whose key the drill has; returns a second pair for the client.

    It is called before the bank starts, so that the bank trusts the authority from the beginning.
    """
    files, now = BankPki(one.folder / "pki", "pab"), datetime.now(UTC)
    root = Authority.root("pab drill CA", now)
    write_certificates(files.ca_cert, root.certificate)
    server, names = new_key(), (files.server_name, "localhost", "127.0.0.1")
    write_certificates(files.server_cert, root.issue(files.server_name, server.public_key(), now, names=names))
    write_key(files.server_key, server)
    second = one.folder / "next.pem", one.folder / "next.key"
    for pair, subject in (((files.client_cert, files.client_key), "present"), (second, "next")):
        key = new_key()
        write_certificates(pair[0], root.issue(subject, key.public_key(), now, purpose=CLIENT_PURPOSE))
        write_key(pair[1], key)
    return second


def _is_done(one: Drill) -> bool:
    """Whether the older values are sealed anew, as `bankgw keys list` says."""
    return all(row["done"] for row in json.loads(one.bankgw("keys", "list", "--json"))["vault"])


def test_certificate_and_vault_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    made: list[tuple[Path, Path]] = []
    start_banks = Drill.start_banks

    def start_with_own_authority(self: Drill) -> None:
        made.append(_authority(self))
        start_banks(self)

    monkeypatch.setattr(Drill, "start_banks", start_with_own_authority)
    with drill(tmp_path / "s", "rotations", "pab") as one:
        one.configure()
        key_file, copies = one.folder / "secrets" / "vault.key", one.folder / "copies"
        old_key = key_file.read_bytes()
        log = one.folder / "daemon.log"
        running = UnitProcess(ROOT, "bankgw.service", one.site.settings, log)
        try:
            running.until_ready()
            one.traffic.start()
            one.traffic.more(8)
            # The certificate: two files and a reload, no restart.
            [pair] = made
            said = one.bankgw(
                "certificates",
                "rotate",
                "banks.pab.lanes.main.tls",
                "--certificate",
                str(pair[0]),
                "--key",
                str(pair[1]),
            )
            one.bankgw("check")
            running.process.send_signal(signal.SIGHUP)
            until(lambda: '"settings.reloaded"' in running.log.read_text("utf-8"), 30, "the settings are read again")
            assert "CN=next" in one.bankgw("lanes", "probe", "pab.main"), said
            one.traffic.more(8)
            one.bankgw("backup", str(copies))
            # The vault's key: a new one beside the old one, without a restart; the next life begins with it.
            name = json.loads(one.bankgw("keys", "prepare", "vault", "--vault-key", str(key_file), "--json"))["key"]
            one.bankgw("keys", "activate", "vault", name, "--reason", "a rotation")
            one.traffic.more(8)
            until(lambda: _is_done(one), 60, "the older values are sealed anew")
            assert running.stop() == 0, running.tail()
            running = UnitProcess(ROOT, "bankgw.service", one.site.settings, log)
            running.until_ready()
            one.traffic.more(8)
            one.traffic.stop()
            paid = one.judge()
            one.bankgw("audit", "verify")
            one.bankgw("backup", str(copies))
            assert set(one.settled().values()) == {"settled"}
        finally:
            running.stop()
        keys = [
            row["vault_key"] for row in json.loads(one.bankgw("backup", "--list", str(copies), "--json"))["backups"]
        ]
        assert len(set(keys)) == 2, keys
        late, early = backup_copies.backups(copies, "gw1")
        url, both = f"sqlite:///{one.site.state / 'journal.db'}", vault.load(key_file)
        for backup in (early, late):
            assert backup_copies.drill((url, both), "gw1", backup, None).read_back
        kept = one.folder / "old.key"
        kept.write_bytes(old_key)
        kept.chmod(0o600)
        assert backup_copies.drill((url, vault.load(kept)), "gw1", early, None).read_back
        with pytest.raises(backup_copies.NoBackup, match="which the vault's key file does not hold"):
            backup_copies.drill((url, vault.load(kept)), "gw1", late, None)
    result(record_property, orders=paid, keys=str(keys))
