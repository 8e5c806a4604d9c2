"""Which TLS a lane speaks: short connections resume, so they stay below the version whose sessions are not resumed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import settings as conf
from gateway.bank.lane_dialer import tls_settings


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
