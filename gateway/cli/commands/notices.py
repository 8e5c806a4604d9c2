"""`bankgw notices`: run the process that tells persons by e-mail, chat and web-hooks; its state; try a destination."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.act import Bilingual
from gateway.cli import exit_codes, output
from gateway.cli.help_pages import FullHelpGroup
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config

if TYPE_CHECKING:
    from gateway import settings as conf
    from gateway.notices.notice_file import NoticeFile
    from gateway.notices.state_file import NoticeState

NoticesOption = Annotated[Path, typer.Option("--notices", help="The file of notices: whom to tell, how, and when not.")]
StateOption = Annotated[Path, typer.Option("--state", help="Folder of what waits, what was sent, and what failed.")]
DEFAULT_FILE, DEFAULT_STATE = Path("/etc/bankgw/notices.toml"), Path("/var/lib/bankgw-notices")


def application() -> typer.Typer:
    """The group `bankgw notices`."""
    group = typer.Typer(
        help="Notices to persons by e-mail, chat and web-hooks.", no_args_is_help=True, cls=FullHelpGroup
    )
    group.command("run")(run)
    group.command("status")(status)
    group.command("list")(list_notices)
    group.command("acknowledge")(acknowledge)
    group.command("try")(try_one)
    return group


def run(
    context: typer.Context,
    config: Config = DEFAULT_CONFIG,
    file: NoticesOption = DEFAULT_FILE,
    state: StateOption = DEFAULT_STATE,
) -> None:
    """Run the process that sends notices, until SIGTERM or SIGINT. It reads the journal and writes only its state."""
    import os
    import resource

    from gateway.control.offline import state_lock
    from gateway.kernel import log

    settings, wanted = _read(context, config, file)
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    log.start(settings.log.level, priorities=settings.log.priorities, environment=settings.environment_name())
    try:
        # The descriptor is kept open, and the lock held, for as long as the process runs.
        _lock = state_lock.lock(state)
        _run(settings, wanted, state)
    except (state_lock.AlreadyRunning, OSError) as error:
        output.leave(exit_codes.UNAVAILABLE, _not_sent(error))


def _not_sent(error: Exception) -> Bilingual:
    return f"notices are not sent: {error}", f"不能发送通知：\n{error}"


def _run(settings: conf.Settings, wanted: NoticeFile, state: Path) -> None:
    import signal
    import time
    from threading import Event

    from prometheus_client import CollectorRegistry, start_http_server

    from gateway.control.offline import journal_access
    from gateway.kernel import log
    from gateway.kernel.meters import NoticeMeters
    from gateway.notices import couriers, daemon_page, state_file
    from gateway.notices.conditions import CompanyMap
    from gateway.notices.process import NoticeParts, NoticeProcess, journal_of

    registry, stop, place = CollectorRegistry(), Event(), _place(settings, wanted)

    def now_ms() -> int:
        return time.time_ns() // 1_000_000

    try:
        process = NoticeProcess(
            wanted,
            NoticeParts(
                journal_of(settings),
                state / state_file.FILE,
                lambda to: couriers.courier(to, wanted.smtp, place, now_ms),
                now_ms,
                NoticeMeters(registry),
                daemon_page.pages_of(settings, wanted.daemons),
                CompanyMap(settings).of,
            ),
        )
    except (journal_access.NoAccess, state_file.BadState) as error:
        output.leave(exit_codes.UNAVAILABLE, _not_sent(error))
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
    found = _state(state)
    rows = [
        {
            "destination": name,
            "sent": queue.sent,
            "failed": queue.failed,
            "gathered": sum(len(one.keys) + one.more for one in queue.gathered.values()),
            "escalates": sum(len(keys) for keys in queue.later.values()),
            "waiting": len(queue.under_way) + len(queue.partly),
            "refused": sum(len(one.left) for one in queue.partly.values()),
            "tries": max((one.tries for one in (*queue.under_way.values(), *queue.partly.values())), default=0),
            "trouble": queue.last_why,
        }
        for name, queue in sorted(found.queues.items())
    ]
    lasting = [
        {"kind": one.kind.value, "subject": one.key, "since": _instant(one.since_ms), "told": one.told is not None}
        for one in sorted(found.conditions.values(), key=lambda one: one.since_ms)
    ]
    output.show({"destinations": rows, "conditions": lasting}, as_json=as_json, words=_shown)


def _state(state: Path) -> NoticeState:
    from gateway.notices import state_file

    try:
        if not (state / state_file.FILE).exists():
            place = state / state_file.FILE
            output.leave(
                exit_codes.UNAVAILABLE,
                (f"there is no {place}: notices have never run there", f"没有 {place}：通知进程从未在此运行"),
            )
        return state_file.load(state / state_file.FILE)
    except (state_file.BadState, OSError) as error:
        output.leave(exit_codes.FAILED, output.explained(error, "通知进程的状态无法读取："))


def _instant(at_ms: int) -> str:
    from protocols.erp.news import instant

    return instant(at_ms)


def _shown(said: Any) -> None:
    columns = {
        "destination": "destination",
        "sent": "sent",
        "failed": "tries in vain",
        "gathered": "gathered",
        "escalates": "may escalate",
        "waiting": "waiting",
        "refused": "recipients refused",
        "tries": "tries now",
        "trouble": "last trouble",
    }
    output.table(said["destinations"], columns, "no destination")
    if said["conditions"]:
        output.table(said["conditions"], {"kind": "kind", "subject": "subject", "since": "since", "told": "told"}, "")


def list_notices(state: StateOption = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """List the notices that wait, with the recipients who lack them, and the last that were sent."""
    found = _state(state)
    rows = [
        {
            "notice": one.id,
            "destination": name,
            "kind": one.kind.value,
            "events": one.count,
            "state": "refused" if one.left else "waiting",
            "at": _instant(one.made_ms),
            "tries": one.tries,
            "lacking": ", ".join(one.left),
            "trouble": one.why,
            "acknowledged": "",
        }
        for name, queue in sorted(found.queues.items())
        for one in (*queue.under_way.values(), *queue.partly.values())
    ]
    rows += [
        {
            "notice": name,
            "destination": one.destination,
            "kind": one.kind.value,
            "events": one.count,
            "state": "sent",
            "at": _instant(one.at_ms),
            "tries": 0,
            "lacking": "",
            "trouble": "",
            "acknowledged": one.by,
        }
        for name, one in reversed(found.sent.items())
    ]
    output.show({"notices": rows}, as_json=as_json, words=_listed)


def _listed(said: Any) -> None:
    columns = {
        "notice": "notice",
        "destination": "destination",
        "kind": "kind",
        "events": "events",
        "state": "state",
        "at": "at",
        "tries": "tries now",
        "lacking": "recipients refused",
        "trouble": "last trouble",
        "acknowledged": "acknowledged by",
    }
    output.table(said["notices"], columns, "no notice")


def acknowledge(
    notice: Annotated[
        str, typer.Argument(metavar="NOTICE", help="The notice's id, as the notice and the list show it.")
    ],
    state: StateOption = DEFAULT_STATE,
) -> None:
    """Record that a person deals with the events of a notice, so that no second person is notified of them.

    Destinations with `after_s` then get no notice of these events. For root and the user of the process.
    """
    import getpass
    import os

    from gateway.notices import state_file

    found = _state(state)
    if notice not in found.sent:
        output.leave(
            exit_codes.FAILED,
            (
                f"there is no notice {notice} among those that were sent lately; see bankgw notices list",
                f"最近发出的通知中没有 {notice}；请查看 bankgw notices list",
            ),
        )
    try:
        by = os.environ.get("SUDO_USER") or getpass.getuser()
        state_file.leave_acknowledgement(state, notice, by)
    except OSError as error:
        output.leave(exit_codes.FAILED, output.explained(error, "无法记录："))
    output.say((f"{by} deals with notice {notice}", f"{by} 已接手通知 {notice}"))


def try_one(
    context: typer.Context,
    destination: Annotated[str, typer.Argument(metavar="DESTINATION", help="A table `destinations.NAME` of the file.")],
    config: Config = DEFAULT_CONFIG,
    file: NoticesOption = DEFAULT_FILE,
) -> None:
    """Send one notice to a destination now, and show whether the destination accepted it."""
    import secrets

    from gateway.notices import couriers
    from gateway.notices.kinds import NoticeKind
    from gateway.notices.notice_queue import Notice

    settings, wanted = _read(context, config, file)
    to = wanted.destinations.get(destination)
    if to is None:
        names = ", ".join(sorted(wanted.destinations))
        output.leave(
            exit_codes.USAGE,
            (
                f"the file has no destination {destination}; it has {names}",
                f"文件中没有通知对象 {destination}；有 {names}",
            ),
        )
    now_ms = int(output.environment(context).now().timestamp() * 1000)
    notice = Notice(secrets.token_hex(16), NoticeKind.ALIVE, now_ms, now_ms, ("try",), 0)
    try:
        couriers.courier(to, wanted.smtp, _place(settings, wanted), lambda: now_ms)(notice)
    except (couriers.NoticeNotTaken, couriers.NoticePartlyTaken) as error:
        output.leave(exit_codes.FAILED, (f"{destination} did not take it: {error}", f"{destination} 未接收：\n{error}"))
    output.say((f"{destination} took notice {notice.id}", f"{destination} 已接收通知 {notice.id}"))


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
        return found.settings, notice_file.load_notice_file(file, found.settings)
    except notice_file.BadNoticeFile as error:
        output.refuse(error.mistakes)
