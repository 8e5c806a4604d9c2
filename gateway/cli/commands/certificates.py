"""`bankgw certificates`: list, check and rotate certificate files; request a certificate from a bank, first with a
one-time code, later with the current key."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from gateway.act import Bilingual
from gateway.cli import exit_codes, output
from gateway.cli.commands.certificate_files import check_files, list_files, rotate
from gateway.cli.environment import Environment
from gateway.cli.help_pages import FullHelpGroup
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, ReasonOption

if TYPE_CHECKING:
    from gateway.cli.enrolment import EnrolmentDriver, ExchangeBytes, KeptRequest
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
        no_args_is_help=True,
        cls=FullHelpGroup,
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

    Exit code 0: issued; 3: the bank refused, or a request is under way already; 4: the result is unknown, see
    `continue`; 69: not connected, nothing was sent.
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
    """Make a new key and ask for its certificate, signed with the present key. Exit codes as in `request`."""
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
    """After a missing answer or a crash: take the next permitted step, if there is one. A new request is never made.

    A request that was stored and never sent is sent. A request that may have arrived is sent once more, byte for byte,
    within ten minutes; after that only a person can find out the result. Exit codes as in `request`.
    """
    found = _place(context, config, bank, lane, folder, at)
    with _drawn(found):
        if found.driver.request_folder.kept() is None:
            output.leave(exit_codes.FAILED, _no_request(found.driver.request_folder.folder))
        _finish(context, found, found.driver.carry_on, as_json=as_json)


def show(
    context: typer.Context,
    bank: BankName,
    lane: LaneName = "main",
    folder: Folder = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show the state of the request, its steps, and the next permitted step. Nothing is sent."""
    from gateway.cli.enrolment import RequestFolder

    request_folder = RequestFolder(_folder(output.loaded(context, config).settings, bank, lane, folder))
    found = request_folder.latest()
    if found is None:
        output.leave(exit_codes.FAILED, _no_request(request_folder.folder))
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
        if found.driver.request_folder.kept() is None:
            output.leave(exit_codes.FAILED, _no_request(found.driver.request_folder.folder))
        place = found.driver.abandon(reason)
        output.say((f"put aside in {place}", f"已搁置于 {place}"))


def _no_request(folder: Path) -> Bilingual:
    return f"{folder}: no request", f"{folder}：没有申请"


# ---- from the settings -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    """The bank's certificate service, the driver of requests, and how the service is reached."""

    driver: EnrolmentDriver
    office: Office
    lane: LaneSettings
    host: str
    port: int
    about: dict[str, str]


def _place(context: typer.Context, config: Path, bank: str, lane: str, folder: Path | None, at: str) -> _Found:
    from gateway.cli.enrolment import EnrolmentDriver, RequestFolder
    from protocols.bank import BadOptions
    from protocols.kit import dsig

    settings, environment = output.loaded(context, config).settings, output.environment(context)
    table = settings.banks.get(bank)
    if table is None or lane not in table.lanes:
        output.leave(exit_codes.CONFIG, (f"no lane {bank}.{lane} in {config}", f"{config} 中没有通道 {bank}.{lane}"))
    try:
        office = environment.load_office(table)
    except (BadOptions, OSError, ValueError) as error:
        output.leave(
            exit_codes.CONFIG,
            (
                f"banks.{bank}: {error}; `bankgw check` says more",
                f"banks.{bank} 的设置有误，详见 `bankgw check`：\n{error}",
            ),
        )
    if office is None:
        output.leave(
            exit_codes.USAGE,
            (f"{bank}: certificates of this bank do not come over the wire", f"{bank}：该银行不联机签发证书"),
        )
    dsig.start()
    row = table.lanes[lane]
    host, port = _address(at, row)
    place = _folder(settings, bank, lane, folder)
    signing = _signing(environment, row, production=settings.mode == "production")
    driver = EnrolmentDriver(office, RequestFolder(place), environment.now, signing)
    return _Found(driver, office, row, host, port, {"bank": bank, "lane": lane, "at": f"{host}:{port}"})


def _folder(settings: Settings, bank: str, lane: str, given: Path | None) -> Path:
    return given or settings.state_dir / "certificates" / f"{bank}-{lane}"


def _address(at: str, lane: LaneSettings) -> tuple[str, int]:
    if not at:
        return lane.host, next(iter(lane.ports.values()))
    host, colon, port = at.rpartition(":")
    if not colon or not host or not port.isdigit():
        output.leave(exit_codes.USAGE, (f"--at {at}: write HOST:PORT", f"--at {at}：应写作 HOST:PORT"))
    return host, int(port)


def _signing(environment: Environment, lane: LaneSettings, *, production: bool) -> Callable[[str, bytes], Any]:
    async def sign(name: str, octets: bytes) -> bytes:
        # The key is read when it is needed: before the first certificate there is none.
        from gateway.bank.lane_dialer import lane_signers
        from gateway.bank.outside_keys import OutsideKeys
        from gateway.kernel.clock import SystemClock, SystemEntropy

        if name not in lane.keys:
            output.leave(
                exit_codes.CONFIG,
                (
                    f"keys.{name} of this lane is missing: there is no old key to renew with",
                    f"该通道缺少 keys.{name}：没有可用于续办的旧密钥",
                ),
            )
        alone = lane.model_copy(update={"keys": {name: lane.keys[name]}})
        reactor = environment.reactor()
        outside = OutsideKeys(reactor, SystemClock(reactor), SystemEntropy())
        keys = lane_signers(alone, production=production, nonce=os.urandom(32), outside=outside)
        return await keys[name].sign(octets)

    return sign


def _code(file: Path) -> str:
    try:
        octets = sys.stdin.buffer.readline() if str(file) == "-" else file.read_bytes()
        # Editors put a byte order mark in front, which is no part of the code. The code is valid once only.
        code = octets.decode("utf-8-sig").strip()
    except OSError as error:
        output.leave(exit_codes.USAGE, output.unreadable(file, error))
    except UnicodeDecodeError:
        code = "\x00"
    if not code:
        output.leave(exit_codes.USAGE, ("the one-time code is empty", "一次性代码为空"))
    if not code.isprintable():
        where = output.in_language(("standard input", "标准输入")) if str(file) == "-" else file
        advice = "save the code alone, in UTF-8. Nothing was sent"
        output.leave(
            exit_codes.USAGE,
            (
                f"{where} is not one line of text in UTF-8; {advice}",
                f"{where} 不是一行 UTF-8 文字；请以 UTF-8 只保存代码。未发送任何内容",
            ),
        )
    return code


# ---- the request -------------------------------------------------------------------------------------------------


@contextmanager
def _drawn(found: _Found) -> Iterator[None]:
    """The folder of certificate requests, locked for this command."""
    from gateway.cli.enrolment import FolderBusy

    with ExitStack() as stack:
        try:
            stack.enter_context(found.driver.request_folder.locked())
        except FolderBusy as error:
            output.leave(exit_codes.REFUSED, output.explained(error, "该申请正由另一命令办理："))
        yield


def _begin(context: typer.Context, found: _Found, name: str, country: str, code: str | None, *, as_json: bool) -> None:
    from gateway.bank.signers import KeyFileError
    from gateway.cli.enrolment import RequestUnfinished
    from protocols.kit.errors import ProtocolError

    with _drawn(found):

        async def work(exchange: ExchangeBytes) -> KeptRequest:
            await found.driver.prepare(name, country, code, found.about)
            return await found.driver.carry_on(exchange)

        try:
            _finish(context, found, work, as_json=as_json)
        except RequestUnfinished as error:
            output.leave(
                exit_codes.REFUSED,
                (
                    f"{error}; `bankgw certificates continue`, or `abandon` once it is settled",
                    f"已有申请未办完：请 `bankgw certificates continue`，商定后可 `abandon`：\n{error}",
                ),
            )
        except ProtocolError as error:
            output.leave(
                exit_codes.REFUSED, (f"cannot be asked for like this: {error.text}", f"不能这样申请：\n{error.text}")
            )
        except KeyFileError as error:
            output.leave(exit_codes.CONFIG, output.explained(error, "密钥文件无法使用："))


def _finish(context: typer.Context, found: _Found, work: Callable[[ExchangeBytes], Any], *, as_json: bool) -> NoReturn:
    from gateway.bank.dialer import NotConnected
    from protocols.certificates import Stage

    request_folder = found.driver.request_folder
    try:
        kept = _visit(context, work, found)
    except NotConnected as error:
        kept_for_later = (
            "the request is kept; `bankgw certificates continue` sends it",
            "申请已保存；`bankgw certificates continue` 将其发出",
        )
        output.leave(exit_codes.UNAVAILABLE, output.explained(error, "未能连接银行的证书服务："), kept_for_later)
    place = request_folder.put_away(kept)
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
        # Another host has a name of its own, and its certificate matches none of the lane's pins.
        free = lane.tls.model_copy(update={"server_name": None, "pins": (), "name_check": "san"})
        lane = lane.model_copy(update={"tls": free})

    async def working() -> Any:
        return await work(exchange_with(reactor, lane, found.host, found.port, found.office.port))

    return broker_client.visit(reactor, working, _LIMIT_S)


# ---- the output --------------------------------------------------------------------------------------------------


def _plain(folder: Path, kept: KeptRequest, now: Any) -> dict[str, Any]:
    from gateway.cli.enrolment import CERTIFICATE, KEY
    from protocols import certificates
    from protocols.certificates import Stage

    one = kept.request
    said: dict[str, Any] = {
        **kept.about,
        "request_id": one.request_id,
        "stage": one.stage.value,
        "code": one.code,
        "text": one.text,
        "asked_at": None if one.asked_at is None else one.asked_at.isoformat(),
        "next": certificates.next_move(one, now).value,
        "folder": str(folder),
        "steps": [{"at": at, "what": what} for at, what in kept.steps],
    }
    if one.stage is Stage.ISSUED:
        said |= {"certificate": str(folder / CERTIFICATE), "key": str(folder / KEY)}
    return said


_ADVICE: Mapping[str, Bilingual] = {
    "send": (
        "it never left: `bankgw certificates continue` sends it",
        "尚未发出：`bankgw certificates continue` 将其发出",
    ),
    "send_same_bytes": (
        "nobody knows whether it arrived: `bankgw certificates continue` sends the same bytes again",
        "是否到达不明：`bankgw certificates continue` 原样再发一次",
    ),
    "ask_a_person": (
        "call the bank; when it is settled, `bankgw certificates abandon` makes room for a new request",
        "请致电银行；商定后以 `bankgw certificates abandon` 搁置，即可重新申请",
    ),
    "done": ("", ""),
}
_STAGES: Mapping[str, str] = {
    "prepared": "已拟就",
    "asked": "已发出",
    "arrived": "已送达",
    "refused": "被拒绝",
    "issued": "已签发",
}


def _words(said: Any) -> None:
    lane, number, at, stage = f"{said['bank']}.{said['lane']}", said["request_id"], said["at"], said["stage"]
    output.say(
        (f"{lane}, request {number} to {at}: {stage}", f"{lane}，申请 {number}，发往 {at}：{_STAGES.get(stage, stage)}")
    )
    for step in said["steps"]:
        output.say(f"  {step['at']}  {step['what']}")
    if said["stage"] == "issued":
        from gateway.control import service_unit

        certificate, key = said["certificate"], said["key"]
        output.say((f"certificate {certificate}\nits key   {key}", f"证书 {certificate}\n密钥 {key}"))
        restart = service_unit.restart()
        output.say(
            (
                f"put both in the lane's keys and the bank's options, then `bankgw check`; then {restart[0]}",
                f"将两者填入通道的 keys 与银行的 options，然后 `bankgw check`，再 {restart[1]}",
            )
        )
    elif _ADVICE[said["next"]][0]:
        output.say(_ADVICE[said["next"]])
