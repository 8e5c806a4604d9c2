"""A hundred reloads while orders flow: certificates are replaced, and no order fails or is paid twice."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.demo import site as demo_site
from gateway.simbank.pki import CLIENT_PURPOSE, Authority, BankPki, new_key, write_certificates, write_key
from gateway.simbank.record import plain_executions
from tests.gateway.cli.test_twelve_faults import Place
from tests.gateway.erp.rabbit import rabbit_for_tests

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(400)]
RELOADS, EACH = 100, 2


def _pairs(files: BankPki, folder: Path) -> list[tuple[Path, Path]]:
    """An authority of its own for this bank, and two client certificates of it."""
    now, root, server = datetime.now(UTC), Authority.root("pab root CA", datetime.now(UTC)), new_key()
    write_certificates(files.ca_cert, root.certificate)
    names = (files.server_name, "localhost", "127.0.0.1")
    write_certificates(files.server_cert, root.issue(files.server_name, server.public_key(), now, names=names))
    write_key(files.server_key, server)
    made = []
    for name in ("first", "second"):
        key = new_key()
        pair = folder / f"{name}.pem", folder / f"{name}.key"
        write_certificates(pair[0], root.issue(name, key.public_key(), now, purpose=CLIENT_PURPOSE))
        write_key(pair[1], key)
        made.append(pair)
    return made


def test_a_hundred_reloads_under_load(tmp_path: Path) -> None:
    with rabbit_for_tests("reloads") as rabbit:
        # Short connections: each exchange shows a certificate.
        place = Place.make(tmp_path / "s", rabbit, "pab")
        place.site = demo_site.prepare(
            tmp_path / "s",
            (
                demo_site.BankPlan(
                    "pab",
                    options={
                        "enterprise_code": demo_site.ENTERPRISE_CODE,
                        "per_second": 100,
                        "burst": 50,
                        "first_enquiry_s": 0.5,
                    },
                    twin_options={"enterprise_code": demo_site.ENTERPRISE_CODE},
                ),
            ),
        )
        files = BankPki(tmp_path / "s" / "pki", "pab")
        pairs = _pairs(files, tmp_path)

        def use(number: int) -> None:
            for given, there in zip(pairs[number % 2], (files.client_cert, files.client_key), strict=True):
                shutil.copy(given, there)

        try:
            use(0)
            place.banks()
            place.configure()
            daemon = place.daemon()
            for number in range(1, RELOADS + 1):
                use(number)
                daemon.send_signal(signal.SIGHUP)
                for n in range(EACH):
                    place.send(f"R-{number}-{n}", "pab", f"{number}.{n + 1:02d}")
                place.until(lambda number=number: place.log().count('"settings.reloaded"') >= number, 20)
            wanted = {f"R-{number}-{n}" for number in range(1, RELOADS + 1) for n in range(EACH)}

            def settled() -> set[str]:
                said = json.loads(place.bankgw("orders", "list", "--state", "settled", "--limit", "1000", "--json")[1])
                return {one["id"] for one in said["orders"]}

            ends_s = time.monotonic() + 120
            while settled() != wanted:
                assert time.monotonic() < ends_s, wanted - settled()
                time.sleep(1)
            paid = [
                one
                for line in place.site.ledger("pab").read_text("utf-8").splitlines()
                for one in plain_executions(json.loads(line))
            ]
            assert len(paid) == len(wanted)
            events = Counter(json.loads(line)["event"] for line in place.log().splitlines() if line.startswith("{"))
            assert events["certificates.reloaded"] == RELOADS and events["settings.not_reloaded"] == 0
            assert "CN=first" in place.bankgw("lanes", "probe", "pab.main")[1]
            # With one bad file nothing is replaced.
            files.client_cert.write_text("nonsense")
            daemon.send_signal(signal.SIGHUP)
            place.until(lambda: '"settings.not_reloaded"' in place.log(), 20)
            assert str(files.client_cert) in place.log().splitlines()[-1]
            assert "CN=first" in place.bankgw("lanes", "probe", "pab.main")[1]
            place.send("LAST", "pab", "999.00")
            place.until(lambda: "LAST" in place.bankgw("orders", "list", "--state", "settled")[1], 60)
        finally:
            place.stop()
