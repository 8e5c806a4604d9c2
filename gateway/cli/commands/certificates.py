"""`bankgw certificates`: list, check and rotate certificate files; request a certificate from a bank, first with a
one-time code, later with the current key."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from gateway.cli import exit_codes, output
from gateway.cli.commands.certificate_files import check_files, list_files, rotate
from gateway.cli.help_pages import Listing
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, ReasonOption

if TYPE_CHECKING:
    from gateway.cli.enrolment import Clerk, ExchangeBytes, Kept
    from gateway.settings import LaneSettings, Settings
    from protocols.certificates import Office

BankName = Annotated[str, typer.Argument(metavar="BANK", help="The bank's name in the settings.")]
SubjectName = Annotated[str, typer.Option("--name", help="The subject's name as the bank knows the company.")]
Country = Annotated[str, typer.Option(help="The subject's country.")]
LaneName = Annotated[str, typer.Option("--lane", help="The login whose certificate it is.")]
Folder = Annotated[
    Path | None,
    typer.Option(help="Where everything about the request is kept; default: state_dir/certificates/BANK-LANE."),
]
At = Annotated[
    str, typer.Option(metavar="HOST:PORT", help="The bank's certificate service; default: the lane's own address.")
]
_LIMIT_S = 300.0


def application() -> typer.Typer:
    """The commands below `bankgw certificates`."""
    group = typer.Typer(
        help="Certificates: list, check and rotate the files; request those that a bank gives over the wire.",
        no_args_is_help=True, cls=Listing,
    )
    group.command("list")(list_files)
    group.command("check")(check_files)
    group.command("rotate")(rotate)
    group.command("request")(request)
    group.command("renew")(renew)
    group.command("continue")(carry_on)
    group.command("show")(show)
    group.command("abandon")(abandon)
    return group


def request(
    context: typer.Context,
    bank: BankName,
    name: SubjectName,
    code_file: Annotated[
        Path, typer.Option(help="A file with the one-time code; - is standard input. It is good once.")
    ] = Path("-"),
    country: Country = "FI",
    lane: LaneName = "main",
    folder: Folder = None,
    at: At = "",
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make a key, ask for its first certificate with the one-time code, and wait for the answer.

    Exit code 0: issued; 3: the bank's no, or a request is under way already; 4: nobody knows, see `continue`; 69: not
    connected, nothing was sent.
    """
    found = _place(context, config, bank, lane, folder, at)
    code = _code(code_file)
    _begin(context, found, name, country, code, as_json=as_json)


def renew(
    context: typer.Context,
    bank: BankName,
    name: SubjectName,
    country: Country = "FI",
    lane: LaneName = "main",
    folder: Folder = None,
    at: At = "",
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make a new key and ask for its certificate, signed with the one still good. Exit codes as in `request`."""
    _begin(context, _place(context, config, bank, lane, folder, at), name, country, None, as_json=as_json)


def carry_on(
    context: typer.Context,
    bank: BankName,
    lane: LaneName = "main",
    folder: Folder = None,
    at: At = "",
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """After silence or a crash: do what may be done, which may be nothing. A new request is never made.

    What was written down and never left is sent; what may have arrived is sent once more, byte for byte, within ten
    minutes; after that only a person can find out. Exit codes as in `request`.
    """
    found = _place(context, config, bank, lane, folder, at)
    with _drawn(found):
        if found.clerk.drawer.kept() is None:
            output.leave(exit_codes.FAILED, f"{found.clerk.drawer.folder}: no request")
        _finish(context, found, found.clerk.carry_on, as_json=as_json)


def show(
    context: typer.Context,
    bank: BankName,
    lane: LaneName = "main",
    folder: Folder = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """How far the request is, each step, and what may be done next. Nothing is sent."""
    from gateway.cli.enrolment import Drawer

    drawer = Drawer(_folder(output.loaded(context, config).settings, bank, lane, folder))
    found = drawer.latest()
    if found is None:
        output.leave(exit_codes.FAILED, f"{drawer.folder}: no request")
    output.show(_plain(*found, output.environment(context).now()), as_json=as_json, words=_words)


def abandon(
    context: typer.Context,
    bank: BankName,
    reason: ReasonOption,
    lane: LaneName = "main",
    folder: Folder = None,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Put a request aside that you have settled with the bank on the telephone; its key and bytes are kept."""
    found = _place(context, config, bank, lane, folder, "")
    with _drawn(found):
        if found.clerk.drawer.kept() is None:
            output.leave(exit_codes.FAILED, f"{found.clerk.drawer.folder}: no request")
        output.say(f"put aside in {found.clerk.abandon(reason)}")


# ---- what the settings say ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    """The bank's office, who drives it, and how its service is reached."""

    clerk: Clerk
    office: Office
    lane: LaneSettings
    host: str
    port: int
    about: dict[str, str]


def _place(
    context: typer.Context, config: Path, bank: str, lane: str, folder: Path | None, at: str
) -> _Found:
    from gateway.cli.enrolment import Clerk, Drawer
    from protocols.bank import BadOptions
    from protocols.kit import dsig

    settings, environment = output.loaded(context, config).settings, output.environment(context)
    table = settings.banks.get(bank)
    if table is None or lane not in table.lanes:
        output.leave(exit_codes.CONFIG, f"no lane {bank}.{lane} in {config}")
    try:
        office = environment.load_office(table)
    except (BadOptions, OSError, ValueError) as error:
        output.leave(exit_codes.CONFIG, f"banks.{bank}: {error}; `bankgw check` says more")
    if office is None:
        output.leave(exit_codes.USAGE, f"{bank}: certificates of this bank do not come over the wire")
    dsig.start()
    row = table.lanes[lane]
    host, port = _address(at, row)
    place = _folder(settings, bank, lane, folder)
    signing = _signing(row, production=settings.mode == "production")
    clerk = Clerk(office, Drawer(place), environment.now, signing)
    return _Found(clerk, office, row, host, port, {"bank": bank, "lane": lane, "at": f"{host}:{port}"})


def _folder(settings: Settings, bank: str, lane: str, given: Path | None) -> Path:
    return given or settings.state_dir / "certificates" / f"{bank}-{lane}"


def _address(at: str, lane: LaneSettings) -> tuple[str, int]:
    if not at:
        return lane.host, next(iter(lane.ports.values()))
    host, colon, port = at.rpartition(":")
    if not colon or not host or not port.isdigit():
        output.leave(exit_codes.USAGE, f"--at {at}: write HOST:PORT")
    return host, int(port)


def _signing(lane: LaneSettings, *, production: bool) -> Callable[[str, bytes], Any]:
    async def sign(name: str, octets: bytes) -> bytes:
        # Read when it is needed: before the first certificate there is no such key.
        from gateway.bank.lane_dialer import lane_signers

        if name not in lane.keys:
            output.leave(exit_codes.CONFIG, f"keys.{name} of this lane is missing: there is no old key to renew with")
        alone = lane.model_copy(update={"keys": {name: lane.keys[name]}})
        return await lane_signers(alone, production=production, nonce=os.urandom(32))[name].sign(octets)

    return sign


def _code(file: Path) -> str:
    try:
        octets = sys.stdin.buffer.readline() if str(file) == "-" else file.read_bytes()
        # Editors put a mark in front that is no part of the code, which is good once only.
        code = octets.decode("utf-8-sig").strip()
    except OSError as error:
        output.leave(exit_codes.USAGE, f"{file} cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        code = "\x00"
    if not code:
        output.leave(exit_codes.USAGE, "the one-time code is empty")
    if not code.isprintable():
        where = "standard input" if str(file) == "-" else file
        advice = "save the code alone, in UTF-8. Nothing was sent"
        output.leave(exit_codes.USAGE, f"{where} is not one line of text in UTF-8; {advice}")
    return code


# ---- doing it ----------------------------------------------------------------------------------------------------


@contextmanager
def _drawn(found: _Found) -> Iterator[None]:
    """The folder, for this command alone."""
    from gateway.cli.enrolment import Busy

    with ExitStack() as stack:
        try:
            stack.enter_context(found.clerk.drawer.locked())
        except Busy as error:
            output.leave(exit_codes.REFUSED, str(error))
        yield


def _begin(context: typer.Context, found: _Found, name: str, country: str, code: str | None, *, as_json: bool) -> None:
    from gateway.bank.signers import KeyFileError
    from gateway.cli.enrolment import Underway
    from protocols.kit.errors import ProtocolError

    with _drawn(found):
        async def work(exchange: ExchangeBytes) -> Kept:
            await found.clerk.prepare(name, country, code, found.about)
            return await found.clerk.carry_on(exchange)

        try:
            _finish(context, found, work, as_json=as_json)
        except Underway as error:
            output.leave(exit_codes.REFUSED, f"{error}; `bankgw certificates continue`, or `abandon` once it is "
                                             f"settled")  # fmt: skip
        except ProtocolError as error:
            output.leave(exit_codes.REFUSED, f"cannot be asked for like this: {error.text}")
        except KeyFileError as error:
            output.leave(exit_codes.CONFIG, str(error))


def _finish(context: typer.Context, found: _Found, work: Callable[[ExchangeBytes], Any], *, as_json: bool) -> NoReturn:
    from gateway.bank.dialer import NotConnected
    from protocols.certificates import Stage

    drawer = found.clerk.drawer
    try:
        kept = _visit(context, work, found)
    except NotConnected as error:
        output.leave(exit_codes.UNAVAILABLE, str(error), "the request is kept; `bankgw certificates continue` sends it")
    place = drawer.put_away(kept)
    output.show(_plain(place, kept, output.environment(context).now()), as_json=as_json, words=_words)
    ends = {Stage.ISSUED: exit_codes.OK, Stage.REFUSED: exit_codes.REFUSED}
    raise typer.Exit(ends.get(kept.request.stage, exit_codes.IN_DOUBT))


def _visit(context: typer.Context, work: Callable[[ExchangeBytes], Any], found: _Found) -> Any:
    """Run the reactor for one piece of work. `work` gets a way to exchange bytes with the bank's service."""
    from gateway.cli import broker_client
    from gateway.cli.enrolment_exchange import exchange_with

    reactor = output.environment(context).reactor()
    lane = found.lane
    if lane.tls is not None and found.host != lane.host:
        # Another host has a name of its own, and none of the pins of the lane's.
        free = lane.tls.model_copy(update={"server_name": None, "pins": (), "name_check": "san"})
        lane = lane.model_copy(update={"tls": free})

    async def working() -> Any:
        return await work(exchange_with(reactor, lane, found.host, found.port, found.office.port))

    return broker_client.visit(reactor, working, _LIMIT_S)


# ---- saying it ---------------------------------------------------------------------------------------------------


def _plain(folder: Path, kept: Kept, now: Any) -> dict[str, Any]:
    from gateway.cli.enrolment import CERTIFICATE, KEY
    from protocols import certificates
    from protocols.certificates import Stage

    one = kept.request
    said: dict[str, Any] = {
        **kept.about, "request_id": one.request_id, "stage": one.stage.value, "code": one.code, "text": one.text,
        "asked_at": None if one.asked_at is None else one.asked_at.isoformat(),
        "next": certificates.next_move(one, now).value, "folder": str(folder),
        "steps": [{"at": at, "what": what} for at, what in kept.steps],
    }  # fmt: skip
    if one.stage is Stage.ISSUED:
        said |= {"certificate": str(folder / CERTIFICATE), "key": str(folder / KEY)}
    return said


_ADVICE = {
    "send": "it never left: `bankgw certificates continue` sends it",
    "send_same_bytes": "nobody knows whether it arrived: `bankgw certificates continue` sends the same bytes again",
    "ask_a_person": "call the bank; when it is settled, `bankgw certificates abandon` makes room for a new request",
    "done": "",
}


def _words(said: Any) -> None:
    output.say(f"{said['bank']}.{said['lane']}, request {said['request_id']} to {said['at']}: {said['stage']}")
    for step in said["steps"]:
        output.say(f"  {step['at']}  {step['what']}")
    if said["stage"] == "issued":
        from gateway.control import service_unit

        output.say(f"certificate {said['certificate']}\nits key   {said['key']}")
        output.say(f"put both in the lane's keys and the bank's options, then `bankgw check`; then "
                   f"{service_unit.restart()}")  # fmt: skip
    elif _ADVICE[said["next"]]:
        output.say(_ADVICE[said["next"]])
