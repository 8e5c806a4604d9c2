"""The TLS version of a lane: short connections resume sessions, so they use a version below the one whose sessions are
not resumed."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import settings as conf
from gateway.bank.lane_dialer import LaneDialer
from gateway.bank.lane_tls import tls_settings
from gateway.bank.signers import read_certificates
from gateway.simbank.pki import make_pki


@pytest.mark.parametrize(
    ("said", "short", "spoken"),
    [(None, True, "1.2"), (None, False, "1.3"), ("1.3", True, "1.3"), ("1.2", False, "1.2")],
)
def test_highest_tls_version(said: str | None, short: bool, spoken: str) -> None:
    table = conf.Tls.model_validate(
        {"ca_file": "ca.pem", "certificate": "cert.pem", "key": {"file": "key.pem"}, "max_version": said},
        context={"folder": Path("/pki")},
    )
    found = tls_settings(table, "127.0.0.1", resumption=short)
    assert (found.max_version, found.resumption, found.server_name) == (spoken, short, "127.0.0.1")


def test_what_a_reload_read_is_used_whatever_happens_to_the_files_meanwhile(tmp_path: Path) -> None:
    first, second = (make_pki(tmp_path / name, ["sample"], datetime.now(UTC))["sample"] for name in ("first", "second"))
    bank: Any = SimpleNamespace(ports={"main": SimpleNamespace(kept=True)})
    table = conf.LaneSettings.model_validate(
        {
            "host": "127.0.0.1",
            "ports": {"main": 7001},
            "tls": {
                "ca_file": str(first.ca_cert),
                "certificate": str(first.client_cert),
                "key": {"file": str(first.client_key)},
            },
        }
    )
    [own] = read_certificates(first.client_cert)[:1]
    reactor: Any = object()
    dialer = LaneDialer(reactor, table, bank)
    read = dialer.context_of(table)
    # Half of a rotation: the certificate is another one already, the key is not.
    shutil.copy(second.client_cert, first.client_cert)
    dialer.use(table, read)
    assert read is not None and dialer.tls is read and read.own == own
    first.client_cert.unlink()
    dialer.use(table, read)
