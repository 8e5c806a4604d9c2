"""`bankgw init`: from the installed package to a gateway that can pay, at a simulated bank or towards a real one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from gateway.act import Bilingual
from gateway.cli import exit_codes, output

if TYPE_CHECKING:
    from gateway.demo.first_setup import FirstSetup, Written

_UNITS = Path("/etc/systemd/system")
_PACKAGED = Path("/usr/lib/systemd/system/bankgw.service")
_IMPORT_S = 60
_ACCOUNT = re.compile(r"([0-9A-Za-z-]{4,40})=(.+)")


def init(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of the settings.")] = Path("/etc/bankgw"),
    bank: Annotated[str | None, typer.Option(help="The bank's protocol; `bankgw banks` lists them.")] = None,
    simulated: Annotated[
        bool | None, typer.Option("--simulated/--real", help="A simulated bank, or a real one whose files come later.")
    ] = None,
    account: Annotated[
        list[str] | None,
        typer.Option(metavar="NUMBER=HOLDER", help="An own account; repeatable. A simulated bank invents two."),
    ] = None,
    company: Annotated[str | None, typer.Option(help="The company's short name (a-z, 0-9, _).")] = None,
    sender: Annotated[str | None, typer.Option(help="The ERP's short name (a-z, 0-9, _).")] = None,
    front_end: Annotated[str | None, typer.Option(metavar="HOST", help="With --real: the front end's host.")] = None,
    node: Annotated[str, typer.Option(help="The name of this instance.")] = "gw1",
    state: Annotated[Path, typer.Option(help="The gateway's state folder.")] = Path("/var/lib/bankgw"),
    broker: Annotated[str, typer.Option(metavar="HOST[:PORT]", help="The RabbitMQ server.")] = "127.0.0.1",
    vhost: Annotated[str, typer.Option(help="The virtual host to make, for this gateway alone.")] = "bankgw",
    units: Annotated[
        bool | None, typer.Option("--units/--no-units", help="Run under systemd, with credentials; or start by hand.")
    ] = None,
    into_broker: Annotated[
        bool | None,
        typer.Option("--import/--no-import", help="Make virtual host, users and queues by this machine's rabbitmqctl."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; say what FOLDER still lacks.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: what no option says has its default.")] = False,
) -> None:
    """Write settings, secrets, broker definitions, an ERP's profile and a first order; say how to start and pay.

    Nothing that exists is overwritten, no person is enrolled, and production is never switched on. No secret is taken
    as an option: passwords and keys are made here.
    """
    if check:
        _check(context, folder)
        return
    asked = _Asked(yes)
    setup = _setup(
        asked,
        folder=folder.absolute(),
        bank=bank,
        simulated=simulated,
        accounts=account or [],
        company=company,
        sender=sender,
        front_end=front_end,
        node=node,
        state=state.absolute(),
        broker=broker,
        vhost=vhost,
        units=_PACKAGED.exists() if units is None else units,
    )
    _refuse_long_paths(setup)
    rabbitmqctl = _rabbitmqctl(setup, into_broker)
    if rabbitmqctl is not None:
        _refuse_taken(rabbitmqctl, setup)
    written = _written(context, setup)
    if rabbitmqctl is not None:
        _run(rabbitmqctl, "--quiet", "import_definitions", str(setup.definitions))
    _say_written(setup, written, imported=rabbitmqctl is not None)


class _Asked:
    """Asks for a value that no option gave, if somebody is at the terminal and did not say --yes."""

    def __init__(self, silent: bool) -> None:
        import sys

        self._silent = silent or not sys.stdin.isatty()

    def text(self, given: str | None, question: Bilingual, otherwise: str) -> str:
        if given is not None or self._silent:
            return otherwise if given is None else given
        return str(typer.prompt(output.worded(question), default=otherwise, err=True))

    def flag(self, given: bool | None, question: Bilingual, otherwise: bool) -> bool:
        if given is not None or self._silent:
            return otherwise if given is None else given
        return typer.confirm(output.worded(question), default=otherwise, err=True)


def _setup(asked: _Asked, **given: Any) -> FirstSetup:
    from gateway.cli import joint_run
    from gateway.demo.first_setup import BrokerPlace, FirstSetup
    from protocols.trial import banks

    bank = asked.text(given["bank"], ("the bank's protocol", "银行协议"), "sample")
    if bank not in banks():
        output.leave(exit_codes.USAGE, joint_run.no_bank(bank, banks()))
    simulated = asked.flag(given["simulated"], ("a simulated bank", "使用模拟银行"), True)
    company = _slug("--company", asked.text(given["company"], ("the company's short name", "公司代号"), "company"))
    sender = _slug("--sender", asked.text(given["sender"], ("the ERP's short name", "ERP 代号"), "erp"))
    accounts = tuple(_account(one) for one in given["accounts"])
    front_end = given["front_end"] or ""
    if not simulated:
        front_end = asked.text(given["front_end"], ("the front end's host", "前置机主机名"), "")
        _need_real(accounts, front_end)
    host, _colon, port = given["broker"].partition(":")
    if port and not port.isdigit():
        wrong = f"--broker {given['broker']}"
        output.leave(exit_codes.USAGE, (f"{wrong}: write HOST or HOST:PORT", f"{wrong}：应写作 HOST 或 HOST:PORT"))
    return FirstSetup(
        given["folder"],
        given["state"],
        bank,
        simulated,
        company,
        sender,
        given["node"],
        BrokerPlace(host, int(port or 5672), given["vhost"], given["vhost"], f"{given['vhost']}-erp-{sender}"),
        accounts,
        front_end,
        _UNITS if given["units"] else None,
    )


def _slug(option: str, value: str) -> str:
    from gateway.settings.values import SLUG

    if not re.fullmatch(SLUG, value):
        output.leave(
            exit_codes.USAGE,
            (
                f"{option} {value}: begin with a letter; then a-z, 0-9 and _, at most 31",
                f"{option} {value}：以字母开头，只含 a-z、0-9 与 _，最多 31 位",
            ),
        )
    return value


def _account(text: str) -> tuple[str, str]:
    found = _ACCOUNT.fullmatch(text)
    if found is None:
        wrong = f"--account {text}"
        output.leave(exit_codes.USAGE, (f"{wrong}: write NUMBER=HOLDER", f"{wrong}：应写作 NUMBER=HOLDER（账号=户名）"))
    return found.group(1), found.group(2)


def _need_real(accounts: tuple[tuple[str, str], ...], front_end: str) -> None:
    if not accounts or not front_end:
        output.leave(
            exit_codes.USAGE,
            (
                "--real needs --front-end HOST and at least one --account NUMBER=HOLDER. Nothing was written",
                "--real 需要 --front-end HOST 与至少一个 --account NUMBER=HOLDER。未写入任何内容",
            ),
        )


def _refuse_long_paths(setup: FirstSetup) -> None:
    """Refuse a socket's path that is too long; otherwise the fault would only be found when the gateway or the
    simulated bank starts.
    """
    import os

    from gateway.settings.agreement import SOCKET_BYTES

    for path in setup.sockets:
        if (size := len(os.fsencode(path))) > SOCKET_BYTES:
            output.leave(
                exit_codes.USAGE,
                (
                    f"{path} would have {size} bytes; a socket's path may have {SOCKET_BYTES}: name a shorter FOLDER, "
                    "or --state. Nothing was written",
                    f"{path} 有 {size} 字节，套接字路径最多 {SOCKET_BYTES} 字节："
                    "请用较短的 FOLDER 或 --state。未写入任何内容",
                ),
            )


# ---- the broker ------------------------------------------------------------------------------------------------------


def _rabbitmqctl(setup: FirstSetup, wanted: bool | None) -> str | None:
    """The program that makes the broker's objects; None if they are to be imported by hand."""
    import os
    import shutil

    program = shutil.which("rabbitmqctl")
    here = setup.broker.host in ("127.0.0.1", "localhost", "::1")
    possible = program is not None and here and os.geteuid() == 0
    if wanted and not possible:
        output.leave(
            exit_codes.UNAVAILABLE,
            (
                "--import needs root, rabbitmqctl, and the broker on this machine; leave it out, and import the "
                "definitions there. Nothing was written",
                "--import 需要 root、rabbitmqctl，且消息服务器在本机；可不用该选项，改在服务器上导入。未写入任何内容",
            ),
        )
    return program if possible and wanted is not False else None


def _refuse_taken(program: str, setup: FirstSetup) -> None:
    """Refuse a virtual host or a user that exists already, because it belongs to somebody else. Nothing of it is
    changed.
    """
    broker = setup.broker
    for what, names, wanted in (
        ("list_vhosts", ("virtual host", "虚拟主机"), (broker.vhost,)),
        ("list_users", ("user", "用户"), (broker.user, broker.erp_user)),
    ):
        done = _run(program, "--quiet", what)
        there = {line.split("\t")[0] for line in done.splitlines()}
        for one in wanted:
            if one in there:
                output.leave(
                    exit_codes.REFUSED,
                    (
                        f"the broker has a {names[0]} {one} already, and nothing of others is changed: name another by "
                        "--vhost, or use --no-import. Nothing was written",
                        f"消息服务器上已有{names[1]} {one}，不改动他人的内容：请用 --vhost 换名，或用 --no-import。"
                        "未写入任何内容",
                    ),
                )


def _run(program: str, *arguments: str) -> str:
    import subprocess

    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_IMPORT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        _leave_failed(program, arguments, f"no end within {_IMPORT_S} s")
    if done.returncode:
        _leave_failed(program, arguments, (done.stderr or done.stdout).strip()[-500:])
    return done.stdout


def _leave_failed(program: str, arguments: tuple[str, ...], told: str) -> NoReturn:
    shown = " ".join((program, *arguments))
    output.leave(exit_codes.UNAVAILABLE, (f"{shown} failed: {told}", f"{shown} 失败：{told}"))


# ---- files -----------------------------------------------------------------------------------------------------------


def _written(context: typer.Context, setup: FirstSetup) -> Written:
    from gateway.demo import first_setup

    try:
        return first_setup.write_files(setup, output.environment(context).now())
    except first_setup.AlreadyThere as error:
        output.leave(
            exit_codes.REFUSED,
            (
                f"there already, and nothing is overwritten: {error}. Name another FOLDER, or see what lacks: --check",
                f"已存在，不覆盖任何内容：{error}。请换一个目录，或用 --check 查看尚缺什么",
            ),
        )
    except OSError as error:
        shown = f"{setup.folder}: {error.strerror or error}"
        output.leave(exit_codes.FAILED, (f"cannot be written: {shown}", f"无法写入：{shown}"))


def _say_written(setup: FirstSetup, written: Written, *, imported: bool) -> None:
    for path in written.files:
        output.say((f"wrote {path}", f"已写入 {path}"))
    if imported:
        vhost = setup.broker.vhost
        output.say((f"made virtual host {vhost} and its users", f"已建立虚拟主机 {vhost} 及其用户"))
    else:
        command = f"rabbitmqctl import_definitions {setup.definitions}"
        output.say((f"as root on the broker's machine: {command}", f"在消息服务器上以 root 执行：{command}"))
    key = setup.secrets / "vault.key"
    output.say(
        (
            f"keep a copy of {key} on another machine: without it nobody can read the journal",
            f"请将 {key} 另存一份到其他机器：没有它，任何人都无法读取流水库",
        )
    )
    if not setup.simulated:
        output.say(
            (
                f"the bank's certificates and options are still lacking: bankgw init --check {setup.folder}",
                f"尚缺银行的证书与参数：bankgw init --check {setup.folder}",
            )
        )
    output.say(("to start:", "启动："))
    for line in written.start:
        output.say(f"    {line}")
    output.say(("to pay 1.00:", "付款 1.00 元："))
    output.say(f"    {written.pay}")


# ---- what lacks ------------------------------------------------------------------------------------------------------


def _check(context: typer.Context, folder: Path) -> None:
    """List the missing parts of the folder; exit code 0 if it lacks nothing."""
    import os
    import tempfile

    from gateway.control.offline import settings_check
    from gateway.settings import BadSettings, read_settings
    from protocols.kit import dsig

    environment, config = output.environment(context), folder / "bankgw.toml"
    if not config.exists():
        output.leave(
            exit_codes.CONFIG,
            (
                f"{config}: not there; write it by `bankgw init {folder}`",
                f"{config}：不存在；请执行 `bankgw init {folder}`",
            ),
        )
    dsig.start()
    with tempfile.TemporaryDirectory(prefix="bankgw-init-") as name:
        for secret in (folder / "secrets").glob("*"):
            # The credential of the vault's key has another name than the file.
            (Path(name) / ("vault" if secret.name == "vault.key" else secret.name)).symlink_to(secret.absolute())
        # Secrets are looked up in this process's environment, as under the unit.
        os.environ["CREDENTIALS_DIRECTORY"] = name
        try:
            loaded = read_settings(config, environment.variables)
            found = settings_check.findings(loaded, environment.load_bank, environment.now())
            mistakes = list(found.mistakes)
        except BadSettings as error:
            mistakes = list(error.mistakes)
    if mistakes:
        output.leave_with_mistakes(exit_codes.CONFIG, mistakes)
    _check_unit_user()
    output.say(
        (
            "the settings and every file that they name are there; `bankgw doctor` looks at broker, clock and disk",
            "设置及其所指的文件齐全；`bankgw doctor` 检查消息服务器、时钟与磁盘",
        )
    )


def _check_unit_user() -> None:
    import pwd

    from gateway.demo.first_setup import UNIT_USER

    if not (_UNITS / "bankgw.service.d" / "50-init.conf").exists():
        return
    try:
        pwd.getpwnam(UNIT_USER)
    except KeyError:
        make = f"useradd --system --home-dir /var/lib/bankgw --shell /usr/sbin/nologin {UNIT_USER}"
        told = (
            f"the units run as the user {UNIT_USER}, which is not there: {make}",
            f"单元以用户 {UNIT_USER} 运行，该用户不存在：{make}",
        )
        output.leave(exit_codes.CONFIG, told)
