"""`bankgw support-bundle`: one zip for whoever helps, without accounts, names or secrets; the daemon may be down."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, Socket

if TYPE_CHECKING:
    from gateway.cli.environment import Environment
    from gateway.cli.support_bundle import Blackout
    from gateway.settings import Loaded

_JOURNAL_WAIT_S = 30.0


def support_bundle(
    context: typer.Context,
    target: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="New zip file; default: named by node and time, here.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option("--log", help="The daemon's log file; default: what the journal has of the unit.")
    ] = None,
    lines: Annotated[int, typer.Option(min=0, help="So many last lines of the log.")] = 2_000,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Pack versions, settings without secrets, what `check` finds, status, metrics and the last log lines into one zip.

    Account numbers are masked, names and secrets left out. Works while the daemon is down, and says so.
    """
    from gateway.cli import support_bundle as cli_support_bundle
    from gateway.settings import BadSettings, read

    environment = output.environment(context)
    try:
        loaded, mistakes = read(config, environment.variables), ""
    except BadSettings as error:
        loaded, mistakes = None, "".join(f"{one}\n" for one in error.mistakes)
    settings = None if loaded is None else loaded.settings
    veil, missing = cli_support_bundle.blackout(settings), list[str]()
    members = [("versions.json", _json(cli_support_bundle.versions(environment.version())))]
    if loaded is None:
        members.append(("settings-mistakes.txt", veil.text(mistakes)))
        missing.append("the settings cannot be read: settings-mistakes.txt says why; no settings, status or metrics")
    else:
        members.append(("settings.json", _json(cli_support_bundle.settings_words(loaded.settings, veil))))
        members.append(("check.txt", veil.text(_check(environment, loaded))))
    at = socket or (None if settings is None else settings.control_socket())
    if at is not None:
        members += _status(at, veil, missing)
    if settings is not None:
        try:
            members.append(("metrics.txt", veil.text(cli_support_bundle.metrics(settings))))
        except (OSError, ValueError) as error:
            missing.append(f"no metrics: {error}")
    members += _log(log, lines, veil, missing)
    members.append(("missing.txt", veil.text("".join(f"{one}\n" for one in missing) or "nothing\n")))
    node = "unknown" if settings is None else settings.node
    path = target or Path(f"bankgw-support-{node}-{environment.now():%Y%m%dT%H%M%SZ}.zip")
    _write(path, [("README.txt", cli_support_bundle.contents(members)), *members])

    def words(said: Any) -> None:
        output.say(f"wrote {said['path']}: {', '.join(said['members'])}")
        for one in said["missing"]:
            output.say(f"  missing: {one}")
        output.say("no account number, name or secret is in it; look through it before you send it")

    said = {"path": str(path), "members": [name for name, _text in members], "missing": missing}
    output.show(said, as_json=as_json, words=words)


def _json(said: Any) -> str:
    return json.dumps(said, ensure_ascii=False, indent=1) + "\n"


def _check(environment: Environment, loaded: Loaded) -> str:
    from gateway.control.offline import settings_check as checking
    from protocols.kit import dsig

    dsig.start()
    looked = checking.findings(loaded, environment.load_bank, environment.now())
    return "".join(f"{one}\n" for one in (*looked.mistakes, *looked.unreachable)) or "no mistakes found\n"


def _status(at: Path, veil: Blackout, missing: list[str]) -> list[tuple[str, str]]:
    from gateway.control.client import ControlClient, NoDaemon, Refused

    try:
        return [("status.json", _json(veil.value(ControlClient(at).get("status"))))]
    except (NoDaemon, Refused) as error:
        missing.append(f"no status, the daemon is down or cannot be asked: {error}")
        return []


def _log(file: Path | None, lines: int, veil: Blackout, missing: list[str]) -> list[tuple[str, str]]:
    from gateway.cli import support_bundle as cli_support_bundle

    try:
        found = _journal(lines) if file is None else cli_support_bundle.tail(file, lines)
    except (OSError, subprocess.SubprocessError) as error:
        missing.append(f"no log: {error}")
        return []
    return [("log.txt", cli_support_bundle.log_text(found, veil))]


def _journal(lines: int) -> list[str]:
    from gateway.control import service_unit

    program = shutil.which("journalctl")
    if program is None or not service_unit.installed():
        raise FileNotFoundError("there is no unit of bankgw on this machine; name the daemon's log file with --log")
    command = [program, "--unit=bankgw.service", "--unit=bankgw@*", "--output=cat", "--no-pager", f"--lines={lines}"]
    done = subprocess.run(command, capture_output=True, timeout=_JOURNAL_WAIT_S, check=True)  # noqa: S603 - our words
    return done.stdout.decode("utf-8", "replace").splitlines()


def _write(path: Path, members: list[tuple[str, str]]) -> None:
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        output.leave(exit_codes.REFUSED, f"{path} exists, and nothing is overwritten; name another file")
    except OSError as error:
        output.leave(exit_codes.FAILED, f"{path} cannot be made: {error.strerror}")
    with os.fdopen(number, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in members:
            bundle.writestr(name, text)
