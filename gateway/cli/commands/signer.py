"""`bankgw signer`: run the process that alone holds the bank signing keys; check its settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.help_pages import FullHelpGroup
from gateway.cli.output import AsJson

if TYPE_CHECKING:
    from gateway.signer.signer_file import SignerFile

DEFAULT_FILE = Path("/etc/bankgw/signer.toml")
SignerOption = Annotated[Path, typer.Option("--signer", help="The signer's own settings.")]


def application() -> typer.Typer:
    """The group."""
    group = typer.Typer(
        help="The process that alone holds the bank signing keys.", no_args_is_help=True, cls=FullHelpGroup
    )
    group.command("run")(run)
    group.command("check")(check)
    return group


def run(context: typer.Context, file: SignerOption = DEFAULT_FILE) -> None:
    """Run the signer until SIGTERM or SIGINT. It signs what it has read back and compared with the journal."""
    import os
    import resource

    from gateway.control.offline import state_lock
    from gateway.kernel import log
    from protocols.kit import dsig

    wanted = _read(file)
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    log.start()
    # This comes before any use of the XML libraries, which can be set up only once, and by one thread.
    dsig.start()
    try:
        # The descriptor is kept open, and the lock held, for as long as the process runs.
        _lock = state_lock.lock(wanted.state_dir)
        _serve(output.environment(context).reactor(), wanted)
    except (state_lock.AlreadyRunning, OSError) as error:
        output.leave(exit_codes.UNAVAILABLE, _not_started(error))


def _serve(reactor: Any, wanted: SignerFile) -> None:
    from twisted.internet.defer import Deferred
    from twisted.internet.error import CannotListenError

    from gateway.kernel import log
    from gateway.kernel.clock import SystemClock, SystemEntropy
    from gateway.signer import process

    try:
        made = process.SignerProcess(wanted, reactor, SystemClock(reactor), SystemEntropy())
        if wanted.lock_memory:
            process.lock_memory()
        made.open()
    except (process.SignerNotStarted, CannotListenError) as error:
        output.leave(exit_codes.UNAVAILABLE, _not_started(error))
    reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred.fromCoroutine(made.close()))
    log.get("signer").info("signer.started", keys=",".join(sorted(wanted.keys)), socket=str(wanted.socket))
    reactor.run()


def check(file: SignerOption = DEFAULT_FILE, as_json: AsJson = False) -> None:
    """Read the signer's settings, and show each key: its place, its lane, and what it may sign in a day."""
    found = _read(file)
    rows = [
        {
            "key": name,
            "bank": one.bank,
            "lane": one.lane,
            "source": one.source.source(),
            "daily": {kind.value: f"{most} {one.currency}" for kind, most in one.daily.items()},
        }
        for name, one in sorted(found.keys.items())
    ]
    output.show({"keys": rows}, as_json=as_json, words=lambda _said: _words(rows))


def _words(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        daily = ", ".join(f"{kind} {most}" for kind, most in row["daily"].items()) or "-"
        output.say(
            (
                f"{row['key']}: {row['lane']} ({row['bank']}), {row['source']}; a day: {daily}",
                f"{row['key']}：{row['lane']}（{row['bank']}），{row['source']}；每日上限：{daily}",
            )
        )


def _read(file: Path) -> SignerFile:
    from gateway.signer.signer_file import BadSignerFile, read_signer_file

    try:
        return read_signer_file(file)
    except BadSignerFile as error:
        output.leave(exit_codes.CONFIG, output.explained(error, "签名进程的设置有误："))


def _not_started(error: Exception) -> tuple[str, str]:
    return f"the signer does not run: {error}", f"签名进程未能运行：\n{error}"
