"""All commands of `bankgw`, each imported for its words and options. A daemon needs none but its own."""

from __future__ import annotations

import typer

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


def add(app: typer.Typer) -> None:
    """Give the application all of them."""
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
