"""The reference pages are what the program is, and the files we ship for operators work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from gateway import settings
from gateway.desk import profile, reference
from gateway.settings import tables

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("page", ["settings.md", "metrics.md", "cli.md"])
def test_pages_are_up_to_date(page: str) -> None:
    written = (ROOT / "docs" / "lookup" / page).read_text("utf-8")
    assert written == reference.pages()[page], "run python -m gateway.desk.reference --write"


def test_every_setting_has_a_meaning_and_is_listed() -> None:
    page = reference.settings_page()
    models = [value for value in vars(tables).values()
              if isinstance(value, type) and issubclass(value,
                   tables._Table) and value is not tables._Table]  # fmt: skip
    assert len(models) >= 14
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
    loaded = settings.read(ROOT / "conf" / "bankgw.toml")
    assert loaded.mistakes == ()
    assert loaded.settings.mode == "production"
    assert loaded.settings.banks.keys() == {"sample", "pab"}
    profile.Profile.model_validate(tomllib.loads((ROOT / "conf" / "erp.toml").read_text("utf-8")),
         context={"folder": ROOT})


def test_the_unit_names_what_the_example_settings_need() -> None:
    unit = (ROOT / "systemd" / "bankgw.service").read_text("utf-8")
    for credential in ("vault", "broker"):
        assert re.search(rf"^LoadCredential={credential}:", unit, re.MULTILINE)
    for line in ("Type=notify", "WatchdogSec=30", "RestartPreventExitStatus=78", "StateDirectoryMode=0700",
         "UMask=0077"):
        assert f"\n{line}\n" in unit
    assert not re.search(r"^MemoryDenyWriteExecute", unit, re.MULTILINE)
    settings_there = settings.read(ROOT / "conf" / "bankgw.toml").settings
    stop_s = float(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE).group(1))  # type: ignore[union-attr]
    assert stop_s > settings_there.drain_s + 5, "the daemon must end by itself before it is killed"


def test_the_unit_exposes_little() -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        reason = "no systemd-analyze"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", "--threshold=10",
             str(ROOT / "systemd" / "bankgw.service")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-600:] + done.stderr


def test_the_side_cars_judge_the_other_side() -> None:
    for name in ("fep-side.conf", "gateway-side.conf"):
        text = (ROOT / "conf" / "stunnel" / name).read_text("utf-8")
        assert "verifyChain = yes" in text
        assert "sslVersionMin = TLSv1.2" in text
    assert re.search(r"^accept = 127\.0\.0\.1:", (ROOT / "conf/stunnel/gateway-side.conf").read_text(), re.MULTILINE)
