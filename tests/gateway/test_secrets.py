"""The places of secrets: file, credential, command, environment; and that no output of a command is ever shown."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import pytest

from gateway.settings import Secret
from gateway.settings.secret_command import OUTPUT_MAX, run_secret_command


def program(folder: Path, text: str) -> str:
    file = folder / "program"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o700)
    return str(file)


def test_each_place_gives_the_secret_and_names_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s").write_bytes(b"hunter2\r\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("A_SECRET", "hunter2")
    printing = program(tmp_path, 'echo "$1"')
    for table, source in (
        ({"file": str(tmp_path / "s")}, f"file {tmp_path / 's'}"),
        ({"credential": "s"}, "systemd credential s"),
        ({"command": [printing, "hunter2"]}, f"command {printing}"),
        ({"environment": "A_SECRET"}, "environment variable A_SECRET"),
    ):
        secret = Secret.model_validate(table)
        assert secret.secret_bytes() == b"hunter2" and secret.source() == source
        assert "hunter2" not in secret.source()


def test_there_is_no_shell(tmp_path: Path) -> None:
    printing = program(tmp_path, 'printf %s "$1"')
    assert run_secret_command([printing, "$(id); `id` > x"]) == b"$(id); `id` > x"


def test_a_program_that_is_late_is_killed_with_its_children(tmp_path: Path) -> None:
    began_s = time.monotonic()
    for text in ("sleep 60 & echo part; wait", "exec 1>&-; sleep 60"):
        with pytest.raises(OSError, match="did not end within 0.3 s") as told:
            run_secret_command([program(tmp_path, text)], 0.3)
        assert told.value.errno == errno.ETIMEDOUT
    assert time.monotonic() - began_s < 20


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo hunter2; echo hunter2 >&2; exit 3", "ended with code 3"),
        ("exit 0", "printed nothing"),
        (f"yes hunter2 | head -c {OUTPUT_MAX * 2}", "more than"),
        ("yes hunter2", "more than"),
    ],
)
def test_a_failure_shows_neither_the_output_nor_the_words(
    text: str, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OSError, match=said) as told:
        run_secret_command([program(tmp_path, text), "--token=swordfish"])
    shown = f"{told.value!r} {told.value.__cause__!r} {capfd.readouterr()}"
    assert "hunter2" not in shown and "swordfish" not in shown


def test_what_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot be run") as told:
        run_secret_command([str(tmp_path / "nothing")])
    assert told.value.errno == errno.ENOENT
    with pytest.raises(OSError, match="A_SECRET_THAT_IS_NOT_SET is not set"):
        Secret.model_validate({"environment": "A_SECRET_THAT_IS_NOT_SET"}).secret_bytes()
