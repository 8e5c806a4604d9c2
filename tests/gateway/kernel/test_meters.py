"""The metrics: their names pass Prometheus' own linter, and series with known labels exist from the start."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from gateway.kernel.meters import Meters
from protocols.canon.errors import Code
from protocols.canon.outcome import State


def page() -> str:
    meters = Meters(CollectorRegistry())
    meters.build.info({"version": "1", "mode": "development", "node": "gw1"})
    meters.known(["sample"], [("sample", "sample.main")])
    # Everything a registry holds is linted only once it has a series.
    for value in vars(meters).values():
        names = getattr(value, "_labelnames", ())
        if names and value._name != "bankgw_build":
            value.labels(*("x" for _ in names))
    return generate_latest(meters.registry).decode()


def test_promtool_has_no_complaint() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool: apt-get install prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=page(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_known_series_exist_before_their_first_event() -> None:
    said = page()
    for state in State:
        assert f'bankgw_payments_total{{bank="sample",state="{state.value}"}} 0.0' in said
    for code in Code:
        assert f'bankgw_refusals_total{{code="{code.value}"}} 0.0' in said
    assert 'bankgw_payments_in_doubt{bank="sample"} 0.0' in said
    assert 'bankgw_session_up{bank="sample",lane="sample.main"} 0.0' in said


def test_names_are_ours_and_say_their_unit() -> None:
    for line in page().splitlines():
        if line.startswith("# TYPE"):
            _, _, name, kind = line.split()
            assert name.startswith("bankgw_")
            assert kind != "counter" or name.endswith("_total")
            assert not name.endswith("_created")
            assert ("timestamp" in name) <= name.endswith("_timestamp_seconds")
