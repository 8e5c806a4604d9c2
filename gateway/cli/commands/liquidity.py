"""`bankgw liquidity`: cash pools (归集, 下拨). Two supervisors put one in force; its runs move money by its rules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, ReasonOption, Socket
from gateway.cli.signing import DEFAULT_KEY, KeyOption, PassphraseFile, PersonSigner, Yes, administered, propose
from gateway.control.register import REGISTER

if TYPE_CHECKING:
    from gateway.control.client import ControlClient

LinkedArgument = Annotated[str, typer.Argument(metavar="ORDER", help="The order, as SENDER:ID or by its key.")]
ClearOption = Annotated[bool, typer.Option("--clear", help="Account numbers unmasked; this is noted.")]


def show(
    context: typer.Context,
    pool: Annotated[str, typer.Argument(metavar="POOL|RUN", help="A pool's name, or a run's id.")],
    clear: ClearOption = False,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Show a pool: its rules, its versions, each member's loan, its runs. For a run: its moves."""
    remote = output.remote(context, config, socket)
    with output.asking():
        if "." in pool:
            said = remote.get("liquidity-runs", pool, clear=_yes(clear))
        else:
            said = remote.get("liquidity", pool, clear=_yes(clear))
    output.show(said, as_json=as_json, words=_run_words if "." in pool else _pool_words)


def send_back(
    context: typer.Context,
    order: LinkedArgument,
    reason: ReasonOption,
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """As supervisor: return the funding of a failed linked payment to the header account."""
    _decide(
        output.remote(context, config, socket),
        order,
        "return",
        reason,
        PersonSigner(key, passphrase_file, yes),
        as_json,
    )


def stay(
    context: typer.Context,
    order: LinkedArgument,
    reason: ReasonOption,
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """As supervisor: leave the funding of a failed linked payment in its account."""
    _decide(
        output.remote(context, config, socket), order, "stay", reason, PersonSigner(key, passphrase_file, yes), as_json
    )


def _decide(remote: ControlClient, order: str, to: str, reason: str, signer: PersonSigner, as_json: bool) -> None:
    if administered(remote):
        from gateway.control.signed_words import ProposalKind

        wanted = {"kind": ProposalKind.LINK.value, "subject": order, "to": to, "note": reason}
        propose(remote, wanted, None, signer, as_json=as_json)
        return
    with output.asking():
        said = remote.post("linked", order, "decide", to=to, reason=reason)
    back = ("ordered back as payment {payment}", "已提交退回，付款编号 {payment}")
    kept = ("it stays with the account", "资金留存在该账户")
    words = output.in_language(back if said["payment"] else kept).format_map(said)
    output.show(said, as_json=as_json, words=lambda _: output.say(words))


def _yes(clear: bool) -> str | None:
    return "1" if clear else None


def _pool_words(one: Any) -> None:
    for version in one["versions"]:
        output.say(
            output.in_language(
                ("version {version} since {in_force_since}", "第 {version} 版，自 {in_force_since}")
            ).format_map(version)
        )
        for line in version["lines"]:
            output.say(f"  {line}")
    output.table(one["members"], {"account": "member", "lent": "has lent the header"}, "")
    runs = {"run": "run", "state": "state", "by": "by", "at": "at"}
    output.table(one["runs"], runs, "no run yet")


def _run_words(one: Any) -> None:
    from gateway.cli.act_commands import show as show_answer

    show_answer(REGISTER["pools.show_run"], one)


def by_this_moment() -> str:
    """The name for a run that was given none: the time of day."""
    return f"by-{datetime.now(UTC):%H%M%S}"


def from_file(given: dict[str, Any]) -> dict[str, Any]:
    """The parameters with the pool of the file, written in the form in which it is signed."""
    from gateway.pools.rules import pool as pool_text

    def written(text: str) -> str:
        made = pool_text.parse(text)
        return pool_text.NONE if made is None else made.text()

    return {**given, "text": output.signed_text(given["text"], written)}
