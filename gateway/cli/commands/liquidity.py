"""`bankgw liquidity`: cash pools (归集, 下拨). Two supervisors put one in force; its runs move money by its rules."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.help_pages import Listing
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, ReasonOption, Socket
from gateway.cli.signing import DEFAULT_KEY, KeyOption, PassphraseFile, Pen, Yes, administered, propose

if TYPE_CHECKING:
    from gateway.control.client import ControlClient

LinkedArgument = Annotated[str, typer.Argument(metavar="ORDER", help="The order, as SENDER:ID or by its key.")]
PoolArgument = Annotated[str, typer.Argument(metavar="POOL", help="The pool's name.")]
ClearOption = Annotated[bool, typer.Option("--clear", help="Account numbers unmasked; this is noted.")]
_POOLS = {"pool": "pool", "version": "version", "currency": "currency", "header": "header", "children": "children",
          "slots": "slots", "most_run": "most a run", "most_day": "most a day", "last": "last run"}  # fmt: skip
_MOVES = {"direction": "", "debit": "from", "credit": "to", "amount": "amount", "state": "state", "order": "order",
          "why": "why not"}  # fmt: skip
_LINKED = {"order": "order", "amount": "amount", "state": "state", "order_state": "order is", "funding": "funded by",
           "funded": "brought", "why": "waits for"}  # fmt: skip
_WOULD = {"direction": "", "debit": "from", "credit": "to", "amount": "amount", "held": "held"}
_STAYS = {"direction": "", "account": "account", "why": "why nothing is moved"}
_ACCOUNTS = {"account": "account", "available": "available", "as_of": "as of", "debits_under_way": "debits under way",
             "credits_under_way": "credits under way"}  # fmt: skip


def application() -> typer.Typer:
    """The group."""
    group = typer.Typer(help="Cash pools: what moves between own accounts by rules.", no_args_is_help=True,
                        cls=Listing)  # fmt: skip
    group.command("list")(list_pools)
    group.command("show")(show)
    group.command("preview")(preview)
    group.command("run")(run_pool)
    group.command("linked")(linked)
    group.command("return")(send_back)
    group.command("stay")(stay)
    group.command("propose")(propose_pool)
    group.command("close")(close)
    return group


def list_pools(
    context: typer.Context,
    clear: ClearOption = False,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """List the pools in force, each with its last run."""
    with output.asking():
        said = output.remote(context, config, socket).get("liquidity", clear=_yes(clear))

    def words(page: Any) -> None:
        rows = [{**one, "slots": ", ".join(one["slots"]) or "by hand",
                 "last": f"{run['run']} {run['state']}" if (run := next(iter(one["runs"]), None)) else "never"}
                for one in page["pools"]]  # fmt: skip
        output.table(rows, _POOLS, "no pool is in force")

    output.show(said, as_json=as_json, words=words)


def show(
    context: typer.Context,
    pool: Annotated[str, typer.Argument(metavar="POOL|RUN", help="A pool's name, or a run's id.")],
    clear: ClearOption = False,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Show a pool: its rules, versions, what each member has lent, its runs. For a run: what it moved."""
    remote = output.remote(context, config, socket)
    with output.asking():
        if "." in pool:
            said = remote.get("liquidity-runs", pool, clear=_yes(clear))
        else:
            said = remote.get("liquidity", pool, clear=_yes(clear))
    output.show(said, as_json=as_json, words=_run_words if "." in pool else _pool_words)


def preview(
    context: typer.Context,
    pool: PoolArgument,
    clear: ClearOption = False,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Say what a run of the pool would move now, and why nothing moves at the other accounts. Nothing is moved."""
    with output.asking():
        said = output.remote(context, config, socket).get("liquidity", pool, "preview", clear=_yes(clear))

    def words(one: Any) -> None:
        if one["closed"]:
            output.say(f"no run today: {one['closed']}")
        rows = [{**move, "held": "over a ceiling" if move["over_ceiling"] else ""} for move in one["moves"]]
        output.table(rows, _WOULD, "nothing would be moved")
        output.table(one["stays"], _STAYS, "")
        output.table(one["accounts"], _ACCOUNTS, "")

    output.show(said, as_json=as_json, words=words)


def run_pool(
    context: typer.Context,
    pool: PoolArgument,
    slot: Annotated[
        str | None, typer.Option("--slot", help="Name of the run; the same name on the same day is the same run.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; needed where two persons sign it.")] = "",
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """As supervisor: run the pool now. What was planned and not ordered within an hour is not ordered any more.

    Where there are administrators this proposes the run, and another supervisor approves it with `bankgw resolve
    --approve`.
    """
    remote = output.remote(context, config, socket)
    if administered(remote):
        from gateway.control.signed_words import ProposalKind

        if not reason:
            output.leave(exit_codes.USAGE, "two persons sign a run here: give --reason")
        wanted = {"kind": ProposalKind.POOL_RUN.value, "subject": pool, "to": slot or f"by-{_now():%H%M%S}",
                  "note": reason}  # fmt: skip
        propose(remote, wanted, None, Pen(key, passphrase_file, yes), as_json=as_json)
        return
    with output.asking():
        said = remote.post("liquidity", pool, "run", **({"slot": slot} if slot else {}))
    output.show(said, as_json=as_json, words=_run_words)


def linked(
    context: typer.Context,
    clear: ClearOption = False,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """List linked payments (联动支付): what waits for its funding and why, and what waits for a decision."""
    with output.asking():
        said = output.remote(context, config, socket).get("linked", clear=_yes(clear))
    output.show(said, as_json=as_json,
                words=lambda page: output.table(page["linked"], _LINKED, "no linked payment waits"))  # fmt: skip


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
    """As supervisor: order what came for a linked payment that failed back to the header account."""
    _decide(output.remote(context, config, socket), order, "return", reason, Pen(key, passphrase_file, yes), as_json)


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
    """As supervisor: decide that what came for a linked payment that failed stays with its account."""
    _decide(output.remote(context, config, socket), order, "stay", reason, Pen(key, passphrase_file, yes), as_json)


def _decide(remote: ControlClient, order: str, to: str, reason: str, pen: Pen, as_json: bool) -> None:
    if administered(remote):
        from gateway.control.signed_words import ProposalKind

        wanted = {"kind": ProposalKind.LINK.value, "subject": order, "to": to, "note": reason}
        propose(remote, wanted, None, pen, as_json=as_json)
        return
    with output.asking():
        said = remote.post("linked", order, "decide", to=to, reason=reason)
    words = f"ordered back as payment {said['payment']}" if said["payment"] else "it stays with the account"
    output.show(said, as_json=as_json, words=lambda _: output.say(words))


def _now() -> datetime:
    return datetime.now(UTC)


def propose_pool(
    context: typer.Context,
    pool: PoolArgument,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The head, then one child a line; # is a comment.")
    ],
    reason: ReasonOption,
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """As supervisor of all accounts: propose the pool in FILE. Another one approves it with `bankgw resolve --approve`.
    See docs/do/liquidity.md."""
    from gateway.treasury.liquidity import pool as pool_text

    try:
        lines = [line.partition("#")[0].strip() for line in file.read_text("utf-8").splitlines()]
        made = pool_text.parse("; ".join(line for line in lines if line))
    except OSError as error:
        output.leave(exit_codes.USAGE, f"{file} cannot be read: {error.strerror}")
    except ValueError as error:
        output.leave(exit_codes.USAGE, f"{file} holds no pool that could be used: {error}")
    text = pool_text.NONE if made is None else made.text()
    _propose(context, (config, socket), pool, text, reason, Pen(key, passphrase_file, yes), as_json=as_json)


def close(
    context: typer.Context,
    pool: PoolArgument,
    reason: ReasonOption,
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """As supervisor of all accounts: propose that the pool ends. Another one approves it."""
    pen = Pen(key, passphrase_file, yes)
    _propose(context, (config, socket), pool, "none", reason, pen, as_json=as_json)


def _propose(
    context: typer.Context, where: tuple[Any, Any], pool: str, text: str, reason: str, pen: Pen, *, as_json: bool
) -> None:
    from gateway.control.signed_words import ProposalKind

    wanted = {"kind": ProposalKind.POOL.value, "subject": pool, "to": text, "note": reason}
    propose(output.remote(context, *where), wanted, None, pen, as_json=as_json)


def _yes(clear: bool) -> str | None:
    return "1" if clear else None


def _pool_words(one: Any) -> None:
    for version in one["versions"]:
        output.say(f"version {version['version']} since {version['in_force_since']}")
        for line in version["lines"]:
            output.say(f"  {line}")
    output.table(one["members"], {"account": "member", "lent": "has lent the header"}, "")
    runs = {"run": "run", "state": "state", "by": "by", "at": "at"}
    output.table(one["runs"], runs, "no run yet")


def _run_words(one: Any) -> None:
    output.say(f"run {one['run']} is {one['state']}, version {one['version']} of pool {one['pool']}, by {one['by']}")
    output.table(one["moves"], _MOVES, "nothing was moved")
    output.table(one["stays"], _STAYS, "")
