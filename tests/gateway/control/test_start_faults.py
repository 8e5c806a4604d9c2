"""A start that a person can mend is told with cause and remedy; anything else is a defect."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gateway.bank.signers import KeyFileError
from gateway.control.offline.start_faults import remedy_of_fatal, start_fault
from gateway.kernel.commit.permit_access import PermitLogUnwritable, why_unwritable
from gateway.kernel.commit.permit_log import PermitLog, PermitLogBroken
from gateway.kernel.sql.migrations import TooNew
from gateway.kernel.sql.vault import VaultError
from gateway.settings import Settings
from tests.gateway.kernel.bench import vault


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    secret = {"file": str(tmp_path / "x")}
    return Settings.model_validate(
        {"state_dir": str(tmp_path), "broker": {"password": secret}, "journal": {"vault_key": secret}}
    )


@pytest.mark.parametrize(
    ("error", "cause", "remedy"),
    [
        (
            PermitLogUnwritable("the permit log /x cannot be written: why"),
            "cannot be written",
            "never delete or move it",
        ),
        (PermitLogBroken("line 7 is altered"), "line 7", "restore.md"),
        (VaultError("the key is short"), "the key is short", "bankgw check"),
        (KeyFileError(Path("/x/key.pem"), "no key in it", "make one"), "no key in it", "bankgw check"),
        (TooNew("revision 99"), "revision 99", "install the version"),
        (OSError(errno.EACCES, "Permission denied", "/x/y"), "/x/y cannot be used: Permission denied", "ls -ld /x/y"),
    ],
)
def test_what_a_person_can_mend(settings: Settings, error: Exception, cause: str, remedy: str) -> None:
    fault = start_fault(error, settings)
    assert fault is not None and cause in fault.cause and remedy in fault.remedy


@pytest.mark.parametrize("error", [KeyError("x"), OSError(errno.EIO, "I/O"), None])
def test_a_defect_is_none_of_them(settings: Settings, error: Exception | None) -> None:
    assert start_fault(error, settings) is None


def test_a_permit_log_that_ends_the_process_has_the_same_remedy(settings: Settings) -> None:
    assert "never delete or move it" in remedy_of_fatal(
        "the journal cannot go on: the permit log cannot be written (x)"
    )
    assert "make room" in remedy_of_fatal("the journal cannot go on: database or disk is full")
    assert "mend this cause" in remedy_of_fatal("the virtual host belongs to another journal")


def test_a_log_that_can_be_written_says_nothing(tmp_path: Path) -> None:
    assert why_unwritable(tmp_path / "none") == "" == why_unwritable(tmp_path)
    PermitLog(tmp_path / "permits", vault(), "gw1").close()
    assert why_unwritable(tmp_path / "permits") == ""


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "permits").write_text("")
    with pytest.raises(PermitLogUnwritable, match="permits cannot be written: it is no folder"):
        PermitLog(tmp_path / "permits", vault(), "gw1")


def test_a_missing_right_is_found_before_a_payment_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "00000001.log").write_text("")
    asked: list[str] = []

    def access(path: Path, _mode: int) -> bool:
        asked.append(path.name)
        return path.suffix != ".log"

    monkeypatch.setattr(os, "access", access)
    assert why_unwritable(tmp_path).endswith("cannot be written: Permission denied")
    assert asked == [tmp_path.name, "00000001.log"] and os.path.exists(tmp_path)
