"""`bankgw notices`: run the process that tells persons by e-mail, chat and web-hooks; its state; try a destination."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.help_pages import Listing
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config

if TYPE_CHECKING:
    from gateway import settings as conf
    from gateway.notices.notice_file import NoticeFile

NoticesOption = Annotated[Path, typer.Option("--notices", help="The file of notices: whom to tell, how, and when not.")]
StateOption = Annotated[Path, typer.Option("--state", help="Folder of what waits, what was sent, and what failed.")]
DEFAULT_FILE, DEFAULT_STATE = Path("/etc/bankgw/notices.toml"), Path("/var/lib/bankgw-notices")


def application() -> typer.Typer:
    """The group."""
    group = typer.Typer(help="Notices to persons by e-mail, chat and web-hooks.", no_args_is_help=True, cls=Listing)
    group.command("run")(run)
    group.command("status")(status)
    group.command("try")(try_one)
    return group


def run(
    context: typer.Context, config: Config = DEFAULT_CONFIG, file: NoticesOption = DEFAULT_FILE,
    state: StateOption = DEFAULT_STATE,
) -> None:  # fmt: skip
    """Run the process that sends notices, until SIGTERM or SIGINT. It reads the journal and writes only its state."""
    import os
    import resource

    from gateway import log
    from gateway.control.offline import state_lock

    settings, wanted = _read(context, config, file)
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    log.start(settings.log.level, priorities=settings.log.priorities, environment=settings.environment_name())
    try:
        # The descriptor is kept open, and the lock held, for as long as the process runs.
        _lock = state_lock.lock(state)
        _run(settings, wanted, state)
    except (state_lock.AlreadyRunning, OSError) as error:
        output.leave(exit_codes.UNAVAILABLE, f"notices are not sent: {error}")


def _run(settings: conf.Settings, wanted: NoticeFile, state: Path) -> None:
    import signal
    import time
    from threading import Event

    from prometheus_client import CollectorRegistry, start_http_server

    from gateway import log
    from gateway.control.offline import journal_access
    from gateway.meters import NoticeMeters
    from gateway.notices import couriers, state_file
    from gateway.notices.process import NoticeParts, NoticeProcess, journal_of

    registry, stop, place = CollectorRegistry(), Event(), _place(settings, wanted)

    def now_ms() -> int:
        return time.time_ns() // 1_000_000

    try:
        process = NoticeProcess(wanted, NoticeParts(
            journal_of(settings), state / state_file.FILE, lambda to: couriers.courier(to, wanted.smtp, place, now_ms),
            now_ms, NoticeMeters(registry),
        ))  # fmt: skip
    except (journal_access.NoAccess, state_file.BadState) as error:
        output.leave(exit_codes.UNAVAILABLE, f"notices are not sent: {error}")
    if wanted.port:
        start_http_server(wanted.port, wanted.host, registry)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    log.get("notices").info("notices.started", destinations=len(wanted.destinations))
    while not stop.is_set():
        process.round()
        stop.wait(wanted.poll_s)
    process.close()


def status(state: StateOption = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Show what waits for each destination, what was sent, and why the last try failed."""
    from gateway.notices import state_file

    try:
        if not (state / state_file.FILE).exists():
            output.leave(exit_codes.UNAVAILABLE, f"there is no {state / state_file.FILE}: notices have never run there")
        found = state_file.load(state / state_file.FILE)
    except (state_file.BadState, OSError) as error:
        output.leave(exit_codes.FAILED, str(error))
    rows = [
        {
            "destination": name, "sent": queue.sent, "failed": queue.failed,
            "gathered": sum(len(one.keys) + one.more for one in queue.gathered.values()),
            "waiting": len(queue.under_way), "tries": max((one.tries for one in queue.under_way.values()), default=0),
            "trouble": queue.last_why,
        }
        for name, queue in sorted(found.queues.items())
    ]  # fmt: skip
    output.show({"destinations": rows}, as_json=as_json, words=_shown)


def _shown(said: Any) -> None:
    columns = {"destination": "destination", "sent": "sent", "failed": "tries in vain", "gathered": "gathered",
               "waiting": "waiting", "tries": "tries now", "trouble": "last trouble"}  # fmt: skip
    output.table(said["destinations"], columns, "no destination")


def try_one(
    context: typer.Context,
    destination: Annotated[str, typer.Argument(metavar="DESTINATION", help="A table `destinations.NAME` of the file.")],
    config: Config = DEFAULT_CONFIG, file: NoticesOption = DEFAULT_FILE,
) -> None:  # fmt: skip
    """Send one notice to a destination now, and say whether it was taken."""
    import secrets

    from gateway.notices import couriers
    from gateway.notices.kinds import NoticeKind
    from gateway.notices.notice_queue import Notice

    settings, wanted = _read(context, config, file)
    to = wanted.destinations.get(destination)
    if to is None:
        names = ", ".join(sorted(wanted.destinations))
        output.leave(exit_codes.USAGE, f"the file has no destination {destination}; it has {names}")
    now_ms = int(output.environment(context).now().timestamp() * 1000)
    notice = Notice(secrets.token_hex(16), NoticeKind.ALIVE, now_ms, now_ms, ("try",), 0)
    try:
        couriers.courier(to, wanted.smtp, _place(settings, wanted), lambda: now_ms)(notice)
    except couriers.NotTaken as error:
        output.leave(exit_codes.FAILED, f"{destination} did not take it: {error}")
    output.say(f"{destination} took notice {notice.id}")


def _place(settings: conf.Settings, wanted: NoticeFile) -> Any:
    from zoneinfo import ZoneInfo

    from gateway.notices.wording import NoticePlace

    return NoticePlace(settings.environment_name(), settings.mode == "production", ZoneInfo(wanted.zone))


def _read(context: typer.Context, config: Path, file: Path) -> tuple[conf.Settings, NoticeFile]:
    from gateway.notices import notice_file

    found = output.loaded(context, config)
    if found.mistakes:
        output.refuse(found.mistakes)
    try:
        return found.settings, notice_file.read(file, found.settings)
    except notice_file.BadNoticeFile as error:
        output.refuse(error.mistakes)
