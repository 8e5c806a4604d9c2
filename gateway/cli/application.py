"""`bankgw`: one command with nouns and verbs, listed in groups. The reference page is generated from here.

Command modules import what is heavy inside their functions, so that `--version`, `--help` and commands that only ask
the daemon start at once.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.commands import (
    approvals,
    audit,
    backup,
    banks,
    certificates,
    check,
    console,
    delegations,
    demo,
    directory,
    doctor,
    drain,
    explain,
    joint_test,
    lanes,
    leave_safe_mode,
    liquidity,
    login,
    notices,
    orders,
    parked,
    payees,
    persons,
    policy,
    positions,
    query,
    receipts,
    reconcile,
    rename,
    report,
    resolve,
    restart_all,
    restore,
    roles,
    run,
    send,
    simulate,
    status,
    stop_all,
    support_bundle,
    today,
    topology,
    worklists,
)
from gateway.cli.help_pages import GroupedListing

if TYPE_CHECKING:
    from gateway.cli.environment import Environment

HELP = """银企直联网关 — carries payment orders from RabbitMQ to banks and back. Every payment, exactly once.

Exit codes: 0 done · 1 failed · 2 wrong command line · 3 refused or waits for approval · 4 in doubt ·
69 unavailable · 78 wrong settings · 141 the output was cut off."""

# What a wrong command line raises; typer exports only this descendant of it.
_WRONG_WORDS: Any = typer.BadParameter.__mro__[2]


def application() -> typer.Typer:
    """All commands. The environment is the context's object."""
    app = typer.Typer(
        name="bankgw", help=HELP, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]}, cls=GroupedListing,
    )  # fmt: skip
    app.callback()(_options)
    for verb in (
        run.run, query.query, console.console, console.approval_page, drain.drain, backup.backup, restore.restore,
        support_bundle.support_bundle, status.status, today.today, positions.positions, report.report,
        worklists.worklists, directory.directory, resolve.resolve, leave_safe_mode.leave_safe_mode, stop_all.stop_all,
        restart_all.restart_all, send.send, explain.explain, simulate.simulate, demo.demo, check.check, doctor.doctor,
        banks.banks, login.login, login.logout, login.whoami,
    ):  # fmt: skip
        app.command(verb.__name__.replace("_", "-"))(verb)
    app.add_typer(notices.application(), name="notices")
    app.add_typer(audit.application(), name="audit")
    app.add_typer(orders.application(), name="orders")
    app.add_typer(lanes.application(), name="lanes")
    app.add_typer(parked.application(), name="parked")
    app.add_typer(certificates.application(), name="certificates")
    app.add_typer(persons.application(), name="persons")
    app.add_typer(roles.application(), name="roles")
    app.add_typer(delegations.application(), name="delegations")
    app.add_typer(policy.application(), name="policy")
    app.add_typer(reconcile.application(), name="reconcile")
    app.add_typer(receipts.application(), name="receipts")
    app.add_typer(liquidity.application(), name="liquidity")
    app.add_typer(approvals.application(), name="approvals")
    app.add_typer(rename.senders(), name="senders")
    app.add_typer(payees.application(), name="payees")
    app.add_typer(topology.application(), name="topology")
    app.add_typer(joint_test.application(), name="joint-test")
    return app


def _version(context: typer.Context, wanted: bool) -> None:
    if wanted:
        print(f"bankgw {context.obj.version()}")
        raise typer.Exit(exit_codes.OK)


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    pass


def main(environment: Environment, arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit code. With `--json` a wrong command line is told in JSON, too."""
    output.tell_errors_in_words()
    code = _run(environment, sys.argv[1:] if arguments is None else list(arguments))
    if not environment.last:
        return code
    # A daemon has no use for the commands, which take two megabytes.
    gc.collect()
    return environment.last.pop()()


def _run(environment: Environment, words: list[str]) -> int:
    command: Any = typer.main.get_command(application())
    try:
        result = command.main(args=words, prog_name="bankgw", obj=environment, standalone_mode="--json" not in words)
    except _WRONG_WORDS as wrong:
        output.tell_json_error(wrong.exit_code, [wrong.format_message()])
        return int(wrong.exit_code)
    except typer.Abort:
        output.tell_json_error(exit_codes.FAILED, ["interrupted at a question; nothing was changed"])
        return exit_codes.FAILED
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else exit_codes.OK if ended.code is None else exit_codes.FAILED
    return result if isinstance(result, int) else exit_codes.OK
